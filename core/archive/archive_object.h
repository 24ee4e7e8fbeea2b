#ifndef ARCHIVE_ARCHIVE_OBJECT_H
#define ARCHIVE_ARCHIVE_OBJECT_H

/*
 * archive_object.h - the bytes of an archive's own data: packed anew, or changed.
 *
 * Whenever anything in it changes, the archive TAM is computed again.
 * Source: docs/format.md "Archive object", "TAM".  Threads: no state.
 */

#include "core/codec/chunker.h"
#include "core/crypto/key.h"

struct archive_totals {
	uint64_t size, csize, nfiles;                   /* of file content, repeats included */
	uint64_t size_parts, csize_parts, nfiles_parts; /* of part files */
};

struct archive_facts {
	struct bytes name, comment, hostname, username;
	const struct bytes *cmdline;
	size_t cmdline_count;
	const struct chunk_id *items; /* the item stream's chunks */
	size_t item_count;
	int64_t time_ns, time_end_ns; /* since the epoch, UTC */
	struct chunker_params chunker_params;
	struct archive_totals totals;
};

/* Replace out's content by the plaintext of a new archive object. */
int archive_pack(const struct archive_facts *facts, const struct key *key, struct buf *out,
		 struct err *e);

/* Replace out's content by `plain` under another name or with another comment (p NULL: as it is);
 * all else, also what we do not know, is kept.  Error: -EBADMSG plain is no archive object. */
int archive_repack(struct bytes plain, struct bytes name, struct bytes comment,
		   const struct key *key, struct buf *out, struct err *e);
/* The same with another item stream. */
int archive_repack_items(struct bytes plain, const struct chunk_id *items, size_t count,
			 const struct key *key, struct buf *out, struct err *e);

#endif
