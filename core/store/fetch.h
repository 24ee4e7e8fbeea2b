#ifndef STORE_FETCH_H
#define STORE_FETCH_H

/*
 * fetch.h - the verified plaintext of an id: cache, repository, unsealing, readahead.
 *
 * Plaintext chunks are shared and immutable, counted by references.  Each id is loaded once at
 * a time: the first to miss loads, others wait; failure wakes them too and leaves no trace.
 * The cache is bounded in bytes.  An object that is not authentic is asked for once more from
 * fresh files (REPO_GET_FRESH) before it is called damaged.
 *
 * Threads: all functions from any thread.
 */

#include "core/crypto/key.h"
#include "core/repo/repo.h"

struct chunk { /* plaintext; read-only */
	const uint8_t *p;
	size_t len;
};

void chunk_ref(struct chunk *c);
void chunk_unref(struct chunk *c); /* does nothing for NULL */
DEFINE_CLEANUP(struct chunk *, chunk_unref);

struct chunk_want {
	struct chunk_id id;
	uint32_t size; /* plaintext bytes expected, 0 where unknown; a hint */
};

struct fetch;

struct fetch_options {
	size_t cache_bytes; /* plaintext kept, at least a chunk or two; 0: the default */
	unsigned readahead_threads; /* 0: one per processor */
};

int fetch_open(struct fetch **out, struct repo *repo, const struct key *key,
	       const struct fetch_options *options, struct err *e);
void fetch_close(struct fetch *f); /* waits for its workers; does nothing for NULL */
DEFINE_CLEANUP(struct fetch *, fetch_close);

/* The chunk, from the cache or loaded now.  The caller owns a reference. */
int fetch_chunk(struct fetch *f, const struct chunk_want *want, struct chunk **out,
		struct err *e);
/* The chunk if it is in memory now, else NULL.  Never waits for I/O: for the receiving thread. */
struct chunk *fetch_cached(struct fetch *f, const struct chunk_id *id);
/* Hint: these will be wanted soon, in this order.  Loaded by readahead threads as far as room
 * allows; what is cached or already on its way is skipped.  Never waits. */
void fetch_ahead(struct fetch *f, const struct chunk_want *wants, size_t count);

/* Called now and then: where nothing was loaded since the call before, the working memory of
 * loading goes back to the system, and of a cache of the default size all but a quarter. */
void fetch_rest(struct fetch *f);

struct fetch_stats {
	uint64_t hits, misses, ahead, cached_bytes;
};
void fetch_stats(struct fetch *f, struct fetch_stats *out);

#endif
