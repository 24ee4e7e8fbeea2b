#ifndef FS_CONTENT_H
#define FS_CONTENT_H

/*
 * content.h - any byte range of a file, touching only the chunks it needs.
 *
 * A range comes as pieces of chunk memory, not copied: the caller sends them and releases the
 * range.  Either all bytes of a range come or none: a damaged chunk costs every range that
 * touches it, and no other.
 *
 * Threads: a content may be read from any number of threads; a range has one user.
 */

#include "core/store/fetch.h"
#include "fs/volume.h"

#include <sys/uio.h>

struct content {               /* one file for reading */
	struct volume *volume; /* a reference */
	struct tree_node file;
	struct fetch *fetch;
	bool zeros; /* what is lost reads as zeros instead of -EIO */
};

void content_fini(struct content *c); /* also a cleanup; does nothing for a zeroed one */

enum { CONTENT_PIECES_INLINE = 8 };

struct content_range {
	struct iovec *pieces;
	size_t count;
	size_t len; /* bytes in all */
	/* private */
	void *own; /* memory that pieces lie in, freed with the range; may be NULL */
	struct chunk **chunks;
	size_t chunk_count, cap;
	struct iovec pieces_inline[CONTENT_PIECES_INLINE];
	struct chunk *chunks_inline[CONTENT_PIECES_INLINE];
};

/*
 * Bytes [off, off + len), fewer only at the end of the file.
 * content_cached(): 1, or 0 where some chunk is not in memory now; never waits for a chunk.
 * content_read(): 1, waits.
 * Errors: -EIO a chunk is missing or damaged, the sentence names archive, file and reason.
 * *out needs no initialisation and, unless 1 comes back, no content_range_fini().
 */
int content_cached(const struct content *c, uint64_t off, size_t len, struct content_range *out,
		   struct err *e);
int content_read(const struct content *c, uint64_t off, size_t len, struct content_range *out,
		 struct err *e);
void content_range_fini(struct content_range *r);

/* --- for whoever else has content: ingest.h --- */

void content_range_init(struct content_range *r);
/* One more piece; a reference to `chunk` (may be NULL), which it is in, is the range's from now on,
 * also when this fails.  -ENOMEM. */
int content_range_add(struct content_range *r, struct chunk *chunk, const uint8_t *p,
		      size_t len);
int content_range_add_zeros(struct content_range *r, size_t len);

#endif
