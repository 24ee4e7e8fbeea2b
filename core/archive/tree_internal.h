#ifndef ARCHIVE_TREE_INTERNAL_H
#define ARCHIVE_TREE_INTERNAL_H

/* tree_internal.h - what the files of the tree share and nobody else sees. */

#include "core/archive/tree.h"
#include "core/archive/tree_file.h"
#include "core/archive/tree_image.h"
#include "core/base/thread.h"

/* A tree over an image in memory from mmap(2), the tree's from now on, also on failure. */
int tree_from_image(struct tree **out, uint8_t *image, size_t len, struct err *e);
/* A tree over a sealed file, the tree's from now on, also on failure. */
int tree_from_file(struct tree **out, struct tree_file *file, struct err *e);

/* The image while it is in memory, for writing it out. */
struct bytes tree_image(const struct tree *t);
/* From now on read from the file, which holds the same image; the memory is given back. */
void tree_settle(struct tree *t, struct tree_file *file);
/* Run a thread that will settle the tree; closing the tree waits for it. */
int tree_start_settling(struct tree *t, void *(*run)(void *), void *arg, struct err *e);

#endif
