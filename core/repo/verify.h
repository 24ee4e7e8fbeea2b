#ifndef REPO_VERIFY_H
#define REPO_VERIFY_H

/*
 * verify.h - one segment file: is all of it right, and what can be saved where it is not.
 *
 * Source: docs/format.md "Segments", "Repository check".
 * Threads: no state; two of one segment never run at once.
 */

#include "core/repo/snapshot.h"

/*
 * Read every entry and its checksum, in little memory however large they are.
 * Errors: -EBADMSG with Borg's sentence; errno.
 */
int verify_segment(const struct snapshot_home *home, uint32_t number, struct err *e);

/*
 * Write the segment anew with what can be found of its entries: wherever the bytes of a whole entry
 * with its checksum begin.  The old file is replaced at once, or not at all.
 */
int verify_recover(const struct snapshot_home *home, uint32_t number, struct err *e);

#endif
