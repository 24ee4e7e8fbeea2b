#ifndef ARCHIVE_INODE_NUMBERS_H
#define ARCHIVE_INODE_NUMBERS_H

/*
 * inode_numbers.h - a number for each archive, the upper half of its files' inode numbers.
 *
 * A number is given once to an archive's id and never to another.  It comes from the id (its
 * first 31 bits, or the next number that is free), so that most numbers stay the same even where
 * the cache is lost; it is kept in the cache folder, so that all do where it is not.
 *
 * Threads: any; a mutex guards the table.  Processes: a lock on the file.
 */

#include "core/base/cleanup.h"
#include "core/base/err.h"
#include "core/base/id.h"

struct inode_numbers;

/* cache_dir: Alcove's folder of the repository; NULL, or one that cannot be written: new numbers
 * are kept in memory only. */
int inode_numbers_open(struct inode_numbers **out, const char *cache_dir, struct err *e);
void inode_numbers_close(struct inode_numbers *n); /* does nothing for NULL */
DEFINE_CLEANUP(struct inode_numbers *, inode_numbers_close);

/* 1 ... 2^31 - 1. */
int inode_numbers_get(struct inode_numbers *n, const struct chunk_id *id, uint32_t *number,
		      struct err *e);

#endif
