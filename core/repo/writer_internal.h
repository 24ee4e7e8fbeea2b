#ifndef REPO_WRITER_INTERNAL_H
#define REPO_WRITER_INTERNAL_H

/* writer_internal.h - what writer.c, writer_files.c, replay.c and compact.c share. */

#include "core/base/table.h"
#include "core/repo/hints.h"
#include "core/repo/segment_writer.h"
#include "core/repo/writer.h"

#include <stdatomic.h>

/*
 * States: idle (active false) -> active by writer_begin(), at the first entry -> idle by
 * writer_commit() or writer_rollback().
 *
 * Invariants:
 * 1. `index` with `changes` over it is the log up to its last entry, committed or not; `index` is
 *    index.N, or an unnamed file that has taken in the changes so far (writer_fold()).
 * 2. `hints` is what Borg would have counted for that log.
 * 3. While stale, `changes` holds all that index.N on disk does not know.
 */
struct writer {
	struct writer_home home;
	struct mutex append_lock; /* guards all but what find_lock guards; taken first */
	struct mutex find_lock;   /* guards index, finds, changes */
	struct index *index;      /* or NULL */
	uint32_t finds;           /* looked up there */
	struct table changes;     /* chunk_id -> struct place; segment UINT32_MAX: deleted */
	struct hints hints;
	uint64_t count;        /* objects */
	bool has_index_file;   /* there is an index.N in the repository: */
	uint32_t index_number; /* N */
	uint32_t transaction;  /* the last committed one; UINT32_MAX: none */
	bool stale;            /* index.N is not of the last transaction */
	bool active;           /* there may be entries behind the last COMMIT */
	bool over_quota;
	struct segment_writer *log; /* NULL before the first entry */
	atomic_uint open_segment;   /* its number: only there may entries wait in memory */
};

#define NO_TRANSACTION SNAPSHOT_NO_TRANSACTION

/* --- replay.c: the state of the last transaction --- */

int writer_load(struct writer *w, struct err *e);
void writer_unload(struct writer *w);
/*
 * Lay a segment over the state.  verified: its entries' checksums are known to be right.
 * Errors: Repository.CheckNeeded -EBADMSG; errno.
 */
int writer_replay(struct writer *w, uint32_t number, bool verified, struct err *e);
/* The same for one of which nothing can be believed. */
int writer_replay_nothing(struct writer *w, uint32_t number, struct err *e);
/* The object is at this place from now on, or deleted.  The caller has find_lock, or is alone. */
int writer_set(struct writer *w, const struct chunk_id *id, struct place at, struct err *e);

/* --- writer.c --- */

/* Of an empty log, whatever there is on disk. */
int writer_new(struct writer **out, const struct writer_home *home, struct err *e);
int writer_change(struct writer *w, const struct chunk_id *id, struct place at,
		  struct err *e); /* writer_set() with find_lock taken */
int writer_begin(struct writer *w, struct err *e);
/* Append COMMIT and count it. */
int writer_write_commit(struct writer *w, bool intermediate, struct err *e);
/* Bytes of the whole entry at a place; -ENOENT where its segment is gone. */
int writer_entry_size(struct writer *w, struct place at, uint32_t *size, struct err *e);
bool writer_lookup(const struct writer *w, const struct chunk_id *id, struct place *at);

/* --- writer_files.c --- */

int writer_write_index(struct writer *w, struct err *e);
/* Where `changes` have become many: take them into a file, so that memory does not grow with them. */
int writer_fold(struct writer *w, struct err *e);
/* Remove the segments behind the last COMMIT, the highest first. */
int writer_remove_uncommitted(struct writer *w, struct err *e);
int writer_remove_segment(struct writer *w, uint32_t number, struct err *e);
/* Make durable which segments are in data/DIR; one that is gone is no error. */
int writer_sync_folder(struct writer *w, uint32_t dir, struct err *e);
/* Make durable what these segments hold, and that they are there; ascending. */
int writer_sync_segments(struct writer *w, const uint32_t *numbers, size_t count,
			 struct err *e);
void writer_remove_empty_folders(struct writer *w);
/* Bytes of a segment's file; -ENOENT where it is gone or empty, which is the same. */
int writer_segment_size(struct writer *w, uint32_t number, uint64_t *size);
int writer_check_space(struct writer *w, struct err *e);

#endif
