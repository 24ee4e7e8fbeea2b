#ifndef REPO_INTEGRITY_H
#define REPO_INTEGRITY_H

/*
 * integrity.h - the digests that Borg keeps of index.N and hints.N, in integrity.N.
 *
 * A digest is XXH64 over the file's name, its bytes and, in the index, a mark behind the header;
 * integrity.N is a msgpack map from "index" and "hints" to JSON texts with the digests.
 *
 * Source: docs/format.md "Integrity data".
 * Threads: one user.
 */

#include "core/base/cleanup.h"
#include "core/base/err.h"
#include "core/base/bytes.h"

struct integrity;

/* name: the file's base name, as it will be.  NULL when out of memory. */
struct integrity *integrity_new(const char *name);
void integrity_free(struct integrity *s); /* does nothing for NULL */
DEFINE_CLEANUP(struct integrity *, integrity_free);

void integrity_update(struct integrity *s, const void *p, size_t len);
void integrity_mark_header(struct integrity *s); /* behind an index's first 18 bytes */
/* Append the JSON text.  No update afterwards.  0 or -ENOMEM. */
int integrity_finish(struct integrity *s, struct buf *text);

/* Is the finished stream what the JSON text says?  1 yes, 0 no, -ENOTSUP the text has no digest
 * that we know. */
int integrity_matches(struct integrity *s, struct bytes text);

/* The JSON text for "index" or "hints" of a transaction; 1, or 0 where nothing usable is there. */
int integrity_read(int dirfd, uint32_t transaction, const char *what, struct buf *text);

#endif
