#ifndef STORE_CHUNK_CACHE_H
#define STORE_CHUNK_CACHE_H

/*
 * chunk_cache.h - the table behind fetch.c: what is wanted, on its way, or kept.
 *
 *            want                claim                 fill
 *   (none) --------> QUEUED ------------> LOADING ------------> READY --+
 *      ^                |                    |                          | room is needed
 *      +-- queue full --+------ fail --------+--------------------------+
 *
 * 1. An id has at most one entry in the table, so it is loaded once at a time.
 * 2. `used` is the room planned for LOADING entries plus the memory of READY ones; READY ones are
 *    dropped, least recently used first, until it is at most `max`.
 * 3. An entry that left the table while somebody waits for it lives until the last of them has
 *    seen its result.
 *
 * What is dropped is handed back in a list and released by the caller outside its lock.
 * Threads: the owner's lock covers every call.
 */

#include "core/base/table.h"
#include "core/store/chunk.h"

enum cache_state { CACHE_QUEUED, CACHE_LOADING, CACHE_READY, CACHE_FAILED };

struct cache_entry {
	struct chunk_id id;
	enum cache_state state;
	bool in_table;
	bool ahead; /* loaded on a hint, and nobody asked for it yet */
	uint32_t size;
	unsigned waiters;
	size_t cost; /* its part of `used` */
	struct chunk *chunk;
	int rc;                          /* CACHE_FAILED */
	struct err *err;                 /* or NULL when there was no memory for it */
	struct cache_entry *prev, *next; /* in `recent` or `queue` */
};

struct cache_list {
	struct cache_entry *first, *last;
	size_t count;
};

struct chunk_cache {
	struct table by_id;
	struct cache_list recent; /* READY, the most recently used first */
	struct cache_list queue;  /* QUEUED, the next to load first */
	size_t used, max;
	size_t loading;     /* cost of the LOADING entries */
	size_t ahead_bytes; /* cost of the entries marked ahead */
};

void chunk_cache_init(struct chunk_cache *c, size_t max);
void chunk_cache_fini(struct chunk_cache *c);

struct cache_entry *chunk_cache_find(const struct chunk_cache *c, const struct chunk_id *id);
/* The chunk of a READY entry with a reference; it becomes the most recently used. */
struct chunk *chunk_cache_use(struct chunk_cache *c, struct cache_entry *e);
/* Put an id in front of the queue, where it is not loading or ready; the oldest hint beyond
 * queue_max falls out.  False when out of memory. */
bool chunk_cache_want(struct chunk_cache *c, const struct chunk_want *want, size_t queue_max);
/* A LOADING entry for an id that is absent or queued; NULL when out of memory. */
struct cache_entry *chunk_cache_claim(struct chunk_cache *c, const struct chunk_want *want,
				      size_t room, bool ahead, struct cache_list *dropped);
/* The result of loading: takes over a reference of the chunk. */
void chunk_cache_fill(struct chunk_cache *c, struct cache_entry *e, struct chunk *chunk,
		      struct cache_list *dropped);
void chunk_cache_fail(struct chunk_cache *c, struct cache_entry *e, int rc,
		      const struct err *why, struct cache_list *dropped);
/* A waiter has seen the result. */
void chunk_cache_leave(struct chunk_cache *c, struct cache_entry *e,
		       struct cache_list *dropped);

/* Drop what was used least recently until at most max bytes are held. */
void chunk_cache_shrink(struct chunk_cache *c, size_t max, struct cache_list *dropped);

/* Release what was dropped; outside the lock. */
void cache_list_release(struct cache_list *dropped);

#endif
