#ifndef REPO_SEGMENT_H
#define REPO_SEGMENT_H

/*
 * segment.h - one file of the repository's log, opened for reading.
 *
 * A segment is the magic "BORG_SEG" and then entries, back to back.  Integers are
 * little-endian; offsets are bytes from the start of the file.
 *
 *      at  size  field
 *       0     4  crc32 (zlib polynomial) of the entry from byte 4 to its end
 *       4     4  size of the whole entry in bytes, this header included
 *       8     1  tag: PUT 0, DELETE 1, COMMIT 2
 *       9    32  chunk id                       (PUT and DELETE)
 *      41     -  payload, size - 41 bytes       (PUT)
 *
 * Source: docs/format.md "Segments".
 * Threads: a segment keeps no file position, so any number may read at once.  Counted by
 * references, so that a reader may finish while the descriptor cache lets go.
 */

#include "core/base/cleanup.h"
#include "core/base/err.h"
#include "core/base/id.h"

enum {
	SEGMENT_FIRST = 8,                    /* offset of the first entry */
	SEGMENT_HEAD = 9,                     /* crc, size, tag */
	SEGMENT_KEYED_HEAD = 41,              /* with the id */
	SEGMENT_ENTRY_MAX = 20 * 1024 * 1024, /* whole entry, bytes */
};

enum segment_tag { SEGMENT_PUT = 0, SEGMENT_DELETE = 1, SEGMENT_COMMIT = 2 };

struct segment_entry {
	enum segment_tag tag;
	uint32_t size;        /* whole entry, bytes; the next one is at off + size */
	struct chunk_id id;   /* all zero for COMMIT */
	struct bytes payload; /* points into the caller's bytes */
};

struct segment;

/* Wrap fd, which is the segment's from now on, also when this fails.
 * Errors: -EBADMSG no segment magic; -ENOTSUP an attic segment; errno of pread(2). */
int segment_open(struct segment **out, int fd, uint32_t number, struct err *e);
struct segment *segment_ref(struct segment *s);
void segment_close(struct segment *s); /* drops a reference; does nothing for NULL */
DEFINE_CLEANUP(struct segment *, segment_close);

uint32_t segment_number(const struct segment *s);
int segment_fd(const struct segment *s);

/*
 * Check the head of an entry in memory, `in` starting with it (only its head need be there).
 * Fills all but payload.  s is for the message alone, and may be NULL where e is.
 * Errors: -EBADMSG.
 */
int segment_head(const struct segment *s, uint64_t off, struct bytes in,
		 struct segment_entry *out, struct err *e);
/* The same for a whole entry in memory, its checksum verified, payload set. */
int segment_entry(const struct segment *s, uint64_t off, struct bytes in,
		  struct segment_entry *out, struct err *e);

/*
 * Read and verify the entry at `off`.  1 with *out filled, 0 when `off` is exactly the end of
 * the file.  out->payload lives until scratch is reused.
 * Errors: -EBADMSG damaged or truncated entry; -ENOMEM; errno of pread(2).
 */
int segment_read(const struct segment *s, uint64_t off, struct buf *scratch,
		 struct segment_entry *out, struct err *e);

/* A walk over heads alone: payloads are neither read nor verified.  Start with off =
 * SEGMENT_FIRST; 1 an entry (*off moves behind it), 0 the end, -EBADMSG. */
struct segment_walk {
	uint8_t window[64 * 1024];
	uint64_t window_off;
	size_t window_len;
};
int segment_next_head(const struct segment *s, struct segment_walk *w, uint64_t *off,
		      uint64_t file_size, struct segment_entry *out, struct err *e);

#endif
