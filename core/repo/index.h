#ifndef REPO_INDEX_H
#define REPO_INDEX_H

/*
 * index.h - index.N: id -> (segment, offset), looked up where it lies.
 *
 * "BORG_IDX", entries i32, buckets i32, key size i8, value size i8, then buckets of id[32],
 * segment u32, offset u32, little-endian; segment 0xffffffff is an empty bucket, 0xfffffffe a
 * deleted one.  Open addressing: bucket = u32le(id[0..4]) mod buckets, then the next, around.
 *
 * Opening costs next to nothing however big it is: header and length are checked, and only a
 * small one is read.  Probing is
 * bounded by the table's size.  index_verify() reads it all and compares with the digest that
 * Borg keeps in integrity.N.
 *
 * Source: docs/format.md "Hash index files", "Integrity data".
 * Threads: immutable, but for index_hold(); any number.
 */

#include "core/base/cleanup.h"
#include "core/base/err.h"
#include "core/base/id.h"

#include <sys/types.h>
#include <time.h>

enum {
	INDEX_HEADER = 18,
	INDEX_BUCKET = CHUNK_ID_SIZE + 8, /* id, segment, offset */
};
#define INDEX_EMPTY   0xffffffffU
#define INDEX_DELETED 0xfffffffeU

struct index;

struct place {
	uint32_t segment;
	uint32_t off;
};

/* Open the file; fd is the index's from now on, also on failure.  Errors: -EBADMSG a bad header
 * or length. */
int index_open(struct index **out, int fd, const char *name, struct err *e);
void index_close(struct index *x);
DEFINE_CLEANUP(struct index *, index_close);

/* Tells one index file from another of the same name. */
struct index_version {
	ino_t inode;
	off_t size;
	struct timespec written;
};
struct index_version index_version(const struct index *x);
bool index_version_equal(const struct index_version *a, const struct index_version *b);

uint64_t index_count(const struct index *x);
uint32_t index_buckets(const struct index *x);
int index_fd(const struct index *x); /* to copy the file; stays the index's */
bool index_find(const struct index *x, const struct chunk_id *id, struct place *out);
/* Many more look-ups are to come than it has buckets to read: keep those in use in memory, up to
 * INDEX_HELD_MAX.  Where that cannot be, nothing changes.  Others may look up meanwhile; one caller. */
#define INDEX_HELD_MAX ((size_t)48 << 20) /* bytes */
void index_hold(struct index *x);
bool index_in_memory(const struct index *x);
/* A walk over all entries: start with a zeroed one; false at the end. */
enum { INDEX_WINDOW = 16 * 1024 /* bytes */ };
struct index_walk {
	uint64_t bucket;
	const uint8_t *next; /* its bytes, and those of the `left` behind it */
	uint32_t left;
	uint8_t window[INDEX_WINDOW];
};
bool index_next(const struct index *x, struct index_walk *w, struct chunk_id *id,
		struct place *out);

/* Does the content have the digest of this integrity file (JSON text for "index")?  1 yes, 0 no,
 * -ENOTSUP unknown algorithm or no digest: nothing can be said. */
int index_verify(const struct index *x, struct bytes integrity, struct err *e);

#endif
