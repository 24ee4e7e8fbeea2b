#ifndef REPO_INDEX_WRITER_H
#define REPO_INDEX_WRITER_H

/*
 * index_writer.h - a new index file: an old one with changes laid over it.
 *
 * Few changes are patched into a copy of the old file, which the file system may share with it;
 * many make a new table, built a part at a time, so that memory does not grow with the number of
 * objects.  Sizes and loads are those that every version of Borg accepts: at most three quarters
 * of the buckets in use, more than seven in a hundred empty.
 *
 * Source: docs/format.md "Hash index files".
 * Threads: no state.
 */

#include "core/base/table.h"
#include "core/repo/index.h"

/*
 * Write to fd, an empty file open for reading and writing.  changes: chunk_id -> struct place,
 * segment UINT32_MAX for deleted.  base may be NULL.
 * Errors: -EFBIG more objects than the format can hold; errno of write(2).
 */
int index_make(int fd, const struct index *base, const struct table *changes, struct err *e);

/* The digest of a file that index_make() wrote, as JSON text for integrity.N. */
int index_digest(int fd, const char *name, struct buf *text, struct err *e);

#endif
