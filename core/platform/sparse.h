#ifndef PLATFORM_SPARSE_H
#define PLATFORM_SPARSE_H

/*
 * sparse.h - which ranges of a file hold data and which are holes.
 *
 * A hole reads as zeros and need not be read.  The answer is a snapshot: in a file that changes
 * meanwhile, data may be told as a hole that it was a moment ago.  Moves the file position:
 * read with pread(2).
 */

#include <stdbool.h>
#include <sys/types.h>

struct sparse_range {
	off_t off, len; /* bytes; len > 0 */
	bool is_hole;
};

/*
 * The range that starts at *at, which moves behind it, in a file of size bytes; ranges follow
 * each other without gaps.  1 with *out set; 0 when *at is size or more.  Where the file system
 * or the kind of file cannot tell, all the rest is data.
 */
int sparse_next(int fd, off_t *at, off_t size, struct sparse_range *out);

#endif
