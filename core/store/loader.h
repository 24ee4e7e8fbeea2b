#ifndef STORE_LOADER_H
#define STORE_LOADER_H

/*
 * loader.h - objects of a repository to plaintext chunks, one at a time or in runs.
 *
 * What fetch.c and stream.c share: a run is one request to the repository, its objects are
 * unsealed in pairs, and one that is not authentic is asked for once more from fresh files.
 * Threads: a loader has one user at a time; each worker owns one.
 */

#include "core/store/chunk.h"

struct load_job {
	struct chunk_id id;
	size_t hint; /* expected plaintext bytes, 0 where unknown; may lie */
	/* The result: rc 0 and a chunk with a reference, or -errno and err. */
	int rc; /* LOAD_PENDING until it is known */
	struct chunk *chunk;
	struct err err;
};

enum { LOAD_PENDING = 1, LOAD_RUN_MAX = 64 /* jobs of one run */ };

struct loader;

int loader_new(struct loader **out, struct repo *repo, const struct key *key,
	       struct chunk_heap *heap, struct err *e);
void loader_free(struct loader *l); /* does nothing for NULL */
DEFINE_CLEANUP(struct loader *, loader_free);

/* Called once for each job whose result is known, in no certain order; false ends the run: jobs
 * not yet begun stay LOAD_PENDING. */
typedef bool load_done(void *arg, struct load_job *job);

void loader_run(struct loader *l, struct load_job *jobs, size_t count, load_done *done,
		void *arg);

/* Between runs: its buffers, to the system. */
void loader_trim(struct loader *l);

/* The room to plan for a chunk of this hint: a lie costs no more than the largest object. */
size_t loader_room(size_t hint);

#endif
