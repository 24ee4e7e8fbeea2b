#ifndef FS_RESUME_H
#define FS_RESUME_H

/*
 * resume.h - a checkpoint as a staged tree again.
 *
 * Contents are references to the checkpoint's chunks: nothing is read but the tree.  The parts of a
 * file that was not finished become one file of its name, with the bytes that arrived.
 *
 * Threads: nobody else changes the tree below `top`.
 */

#include "fs/staging.h"
#include "fs/volume.h"

/* Fill the empty directory `top` with what `from` has, part files too. */
int resume_tree(struct staging *s, uint64_t top, struct volume *from, struct fetch *fetch,
		const struct attr_policy *policy, struct err *e);

#endif
