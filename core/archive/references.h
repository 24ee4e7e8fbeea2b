#ifndef ARCHIVE_REFERENCES_H
#define ARCHIVE_REFERENCES_H

/*
 * references.h - what archives refer to: read from an archive, and looked up in the chunk index by
 * whoever only reads.
 *
 * A struct references is the chunk index at one manifest, seen as it was at one moment.  It needs
 * no lock: an archive is named by its content, so what was read of it is true for ever, and a
 * session that finds the index at another manifest than its own brings it back.  Where the cache
 * folder cannot be used, everything is read and nothing kept.
 *
 * Source: docs/format.md "Refcount semantics".
 * Threads: one user.
 */

#include "core/archive/archive.h"
#include "core/store/chunk_index.h"

/* Every reference of the archive, and its content, as docs/format.md counts them. */
int references_read(struct reader *r, const struct archive *a, struct chunk_refs *refs,
		    struct err *e);

/* A new folder for a chunk index that nobody keeps; see remove_tree(). */
int references_temporary(char **out, struct err *e);

/* chunk_index_sync() with the archives of a manifest. */
int references_sync(struct chunk_index *x, const struct manifest *m, chunk_index_read *read,
		    void *arg, struct err *e);

struct references;

/* Archives that the index does not know are read. */
int references_open(struct references **out, struct reader *r, const struct manifest *m,
		    struct err *e);
void references_close(struct references *refs); /* does nothing for NULL */
DEFINE_CLEANUP(struct references *, references_close);

/* To be asked questions; borrowed.  All of them see the same state. */
struct chunk_index *references_index(struct references *refs);

#endif
