#ifndef REPO_INDEX_H
#define REPO_INDEX_H

/*
 * index.h - index.N: id -> (segment, offset), mapped and never loaded.
 *
 * "BORG_IDX", entries i32, buckets i32, key size i8, value size i8, then buckets of id[32],
 * segment u32, offset u32, little-endian; segment 0xffffffff is an empty bucket, 0xfffffffe a
 * deleted one.  Open addressing: bucket = u32le(id[0..4]) mod buckets, then the next, around.
 *
 * Opening costs nothing however big it is: only header and length are checked.  Probing is
 * bounded by the table's size.  index_verify() reads it all and compares with the digest that
 * Borg keeps in integrity.N.
 *
 * Source: docs/format.md "Hash index files", "Integrity data".
 * Threads: immutable, any number.
 */

#include "core/base/cleanup.h"
#include "core/base/err.h"
#include "core/base/id.h"

#include <sys/types.h>
#include <time.h>

struct index;

struct place {
	uint32_t segment;
	uint32_t off;
};

/* Map the file; fd is the index's from now on, also on failure.  Errors: -EBADMSG a bad header
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
bool index_find(const struct index *x, const struct chunk_id *id, struct place *out);
/* Iterate over buckets: start with *cursor = 0; false at the end. */
bool index_next(const struct index *x, uint64_t *cursor, const struct chunk_id **id,
		struct place *out);

/* Does the content have the digest of this integrity file (JSON text for "index")?  1 yes, 0 no,
 * -ENOTSUP unknown algorithm or no digest: nothing can be said. */
int index_verify(const struct index *x, struct bytes integrity, struct err *e);

/* Make the bytes of an index file for these entries (used for an index rebuilt from the log). */
struct index_entry {
	struct chunk_id id;
	struct place at;
};
typedef bool index_source(void *arg, struct index_entry *out); /* false at the end */
int index_write(int fd, uint64_t count, index_source *next, void *arg, struct err *e);

#endif
