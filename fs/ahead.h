#ifndef FS_AHEAD_H
#define FS_AHEAD_H

/*
 * ahead.h - guesses from the reads so far what will be read next, and has it loaded.
 *
 * Two habits are recognised: reading a large file from front to back, and reading one small file
 * after the other in the order in which programs walk a tree (tar, cp -r, grep -r, find).
 *
 * Threads: one user, the thread that sees the reads in their order.  Never waits.
 */

#include "fs/content.h"

struct ahead;

struct ahead *ahead_new(void); /* NULL when out of memory */
void ahead_free(struct ahead *a);

/* [off, off + len) of the file `node` is being read. */
void ahead_read(struct ahead *a, uint64_t node, const struct content *c, uint64_t off,
		size_t len);

#endif
