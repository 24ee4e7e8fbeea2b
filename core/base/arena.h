#ifndef BASE_ARENA_H
#define BASE_ARENA_H

/*
 * arena.h - memory with one lifetime: allocated piece by piece, freed at once.
 *
 * Threads: one user at a time.
 */

#include "core/base/bytes.h"

struct arena_block;

struct arena {
	struct arena_block *head;
	size_t used;  /* bytes handed out of head */
	size_t total; /* bytes taken from the heap, for limits and statistics */
};

#define ARENA_INIT                                                                             \
	{                                                                                      \
		0                                                                              \
	}

void *arena_alloc(struct arena *a, size_t size); /* 16-aligned, not zeroed; or NULL */
void *arena_zalloc(struct arena *a, size_t count, size_t size); /* zeroed, overflow-checked */
char *arena_dup(struct arena *a, struct bytes b); /* NUL-terminated copy, or NULL */
/* Forget what was handed out but keep one block for what comes next. */
void arena_reset(struct arena *a);
void arena_fini(struct arena *a); /* also a cleanup */

#endif
