#ifndef FS_PUBLISH_H
#define FS_PUBLISH_H

/*
 * publish.h - a staged tree as the items of an archive.
 *
 * The archive's own directory is item ".", which has its attributes; what is in it follows, each
 * directory before what is in it, and all of that before what is beside it.
 *
 * Threads: those of staged_item.h.
 */

#include "fs/staged_item.h"

/*
 * Give the tree below the directory `top`.
 * -EIO, -ENOSPC, -EDQUOT: what a file holds is lost, with its path in the sentence.
 */
int publish_items(struct item_out *out, uint64_t top, struct err *e);

#endif
