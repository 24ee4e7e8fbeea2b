#ifndef FS_OWN_XATTR_H
#define FS_OWN_XATTR_H

/*
 * own_xattr.h - what a mount tells of an archive and its files as extended attributes of its own.
 *
 *   user.alcove.id       of the archive, in hex
 *   user.alcove.time     of the archive, as the manifest has it (UTC)
 *   user.alcove.comment  of the archive; on its topmost directory, where it can be set while staged
 *   user.alcove.chunker_params  of the archive, likewise; where it tells them
 *   user.alcove.compression     likewise, while it is staged
 *   user.alcove.chunks   a file's chunk ids in hex, a line each; -E2BIG beyond 64 KiB
 *   user.alcove.damaged  on the topmost directory of an archive whose listing is incomplete
 *
 * They answer by name and are never listed, else every copy would carry them (design decision 12).
 * Threads: any.
 */

#include "core/archive/reader.h"
#include "fs/volume.h"

bool own_xattr_is(struct bytes name); /* begins with user.alcove. */
bool own_xattr_waits(
	struct bytes name); /* own_xattr() may have to read from the repository for it */

/* 1 with out replaced, 0 none. */
int own_xattr(struct reader *r, struct volume *v, const struct tree_node *node,
	      struct bytes name, struct buf *out, struct err *e);
/* Replace out by the ids of a list. */
int own_xattr_chunks(const struct item_chunk *chunks, size_t count, struct buf *out,
		     struct err *e);

#endif
