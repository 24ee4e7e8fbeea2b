/* index.c - see index.h for the layout and the contract. */

#include "core/repo/index.h"

#include "core/base/io.h"
#include "core/repo/integrity.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	HEADER = INDEX_HEADER,
	BUCKET = INDEX_BUCKET,
	VALUE = BUCKET - CHUNK_ID_SIZE,
};

static const uint32_t EMPTY = INDEX_EMPTY, DELETED = INDEX_DELETED;

/*
 * A small index is read into memory.  A look-up in a large one reads a few buckets from the page
 * cache, which was measured to be faster than the fault that a map would take there, and holds no
 * memory.  Nothing is mapped: a file that somebody truncates must not kill us.
 */
enum {
	SMALL_INDEX = 8 << 20,                       /* bytes */
	PROBE = 16,                                  /* buckets */
	WINDOW = INDEX_WINDOW / (CHUNK_ID_SIZE + 8), /* buckets read at once by a walk */
};

/* The buckets in use, one behind the other; an empty one is a bit. */
struct held {
	uint64_t *used; /* bit i: bucket i is in use, or was deleted */
	uint32_t *rank; /* of 64 buckets each: how many in use come before */
	struct buf dense;
};

struct index {
	uint8_t *table; /* the buckets of a small index, else NULL */
	_Atomic(struct held *) held;
	size_t len; /* of the file */
	uint8_t header[HEADER];
	uint32_t entries, buckets;
	int fd;
	struct index_version version;
	char *name; /* the file's base name, which its digest covers */
};

static int check_header(const struct index *x, struct err *e)
{
	int32_t entries = (int32_t)get_le32(x->header + 8),
		buckets = (int32_t)get_le32(x->header + 12);

	if (memcmp(x->header, "BORG_IDX", 8) != 0)
		return err_set(e, EBADMSG, "%s: no index magic", x->name);
	if (x->header[16] != CHUNK_ID_SIZE || x->header[17] != VALUE)
		return err_set(e, EBADMSG, "%s: key or value size of another index", x->name);
	if (buckets < 1 || entries < 0 || entries > buckets)
		return err_set(e, EBADMSG, "%s: impossible counts", x->name);
	if (x->len != HEADER + (uint64_t)buckets * BUCKET)
		return err_set(e, EBADMSG, "%s: length does not fit its header", x->name);
	return 0;
}

static int read_file(struct index *x, struct err *e)
{
	struct stat st;
	int rc;

	if (fstat(x->fd, &st) < 0)
		return err_set(e, errno, "%s: %s", x->name, strerror(errno));
	x->version = (struct index_version){ st.st_ino, st.st_size, st.st_mtim };
	x->len = (size_t)st.st_size;
	rc = read_exact(x->fd, x->header, HEADER, 0);
	if (rc == 0 || rc == -EBADMSG)
		return err_set(e, EBADMSG, "%s: shorter than its header", x->name);
	if (rc < 0)
		return err_set(e, -rc, "%s: %s", x->name, strerror(-rc));
	rc = check_header(x, e);
	if (rc < 0 || x->len > SMALL_INDEX)
		return rc;
	x->table = malloc(x->len - HEADER);
	if (!x->table)
		return err_nomem(e, "index");
	rc = read_exact(x->fd, x->table, x->len - HEADER, HEADER);
	if (rc == 0 || rc == -EBADMSG)
		return err_set(e, EBADMSG, "%s: cut short", x->name);
	return rc < 0 ? err_set(e, -rc, "%s: %s", x->name, strerror(-rc)) : 0;
}

int index_open(struct index **out, int fd, const char *name, struct err *e)
{
	CLEANUP(index_closep) struct index *x = calloc(1, sizeof(*x));
	int rc;

	if (!x) {
		close(fd);
		return err_nomem(e, "index");
	}
	x->fd = fd;
	x->name = strdup(name);
	if (!x->name)
		return err_nomem(e, "index");
	rc = read_file(x, e);
	if (rc < 0)
		return rc;
	x->entries = get_le32(x->header + 8);
	x->buckets = get_le32(x->header + 12);
	*out = TAKE(x);
	return 0;
}

static void held_free(struct held *h)
{
	if (!h)
		return;
	free(h->used);
	free(h->rank);
	buf_fini(&h->dense);
	free(h);
}
DEFINE_CLEANUP(struct held *, held_free);

void index_close(struct index *x)
{
	if (!x)
		return;
	held_free(atomic_load_explicit(&x->held, memory_order_relaxed));
	free(x->table);
	close(x->fd);
	free(x->name);
	free(x);
}

struct index_version index_version(const struct index *x)
{
	return x->version;
}

bool index_version_equal(const struct index_version *a, const struct index_version *b)
{
	return a->inode == b->inode && a->size == b->size &&
	       a->written.tv_sec == b->written.tv_sec &&
	       a->written.tv_nsec == b->written.tv_nsec;
}

uint64_t index_count(const struct index *x)
{
	return x->entries;
}

uint32_t index_buckets(const struct index *x)
{
	return x->buckets;
}

int index_fd(const struct index *x)
{
	return x->fd;
}

static struct place place_at(const uint8_t *bucket)
{
	return (struct place){ get_le32(bucket + CHUNK_ID_SIZE),
			       get_le32(bucket + CHUNK_ID_SIZE + 4) };
}

/* Buckets [i, i + n); NULL where the file has been cut short. */
static const uint8_t *buckets_at(const struct index *x, uint64_t i, uint32_t n, uint8_t *window)
{
	if (x->table)
		return x->table + i * BUCKET;
	return read_exact(x->fd, window, (size_t)n * BUCKET, HEADER + i * BUCKET) == 1 ? window
										       : NULL;
}

/* --- held in memory --- */

static struct held *held_new(uint32_t buckets)
{
	CLEANUP(held_freep) struct held *h = calloc(1, sizeof(*h));
	size_t words = (size_t)buckets / 64 + 1;

	if (!h)
		return NULL;
	h->used = calloc(words, sizeof(*h->used));
	h->rank = calloc(words, sizeof(*h->rank));
	return h->used && h->rank ? TAKE(h) : NULL;
}

/* Bucket i, at p. */
static int hold_bucket(struct held *h, uint32_t i, const uint8_t *p)
{
	if (i % 64 == 0)
		h->rank[i / 64] = (uint32_t)(h->dense.len / BUCKET);
	if (place_at(p).segment == EMPTY)
		return 0;
	if (h->dense.len + BUCKET > INDEX_HELD_MAX)
		return -ENOMEM;
	h->used[i / 64] |= UINT64_C(1) << i % 64;
	return buf_append(&h->dense, p, BUCKET);
}

static int hold_all(const struct index *x, struct held *h)
{
	uint8_t window[INDEX_WINDOW];
	int rc = buf_reserve(&h->dense, (size_t)x->entries * BUCKET);
	uint32_t n;

	for (uint32_t i = 0; rc == 0 && i < x->buckets; i += n) {
		const uint8_t *p;

		n = x->buckets - i < WINDOW ? x->buckets - i : WINDOW;
		p = buckets_at(x, i, n, window);
		if (!p)
			return -EBADMSG;
		for (uint32_t k = 0; rc == 0 && k < n; k++)
			rc = hold_bucket(h, i + k, p + (size_t)k * BUCKET);
	}
	return rc;
}

void index_hold(struct index *x)
{
	CLEANUP(held_freep) struct held *h = NULL;

	if (atomic_load_explicit(&x->held, memory_order_relaxed) ||
	    (size_t)x->entries * BUCKET > INDEX_HELD_MAX)
		return;
	h = held_new(x->buckets);
	if (h && hold_all(x, h) == 0)
		atomic_store_explicit(&x->held, TAKE(h), memory_order_release);
}

bool index_in_memory(const struct index *x)
{
	return x->table || atomic_load_explicit(&x->held, memory_order_relaxed);
}

/* --- looking up --- */

enum probe { PROBE_ON, PROBE_END, PROBE_FOUND };

/* What a bucket that is not empty says of an id. */
static enum probe probe_used(const uint8_t *bucket, const struct chunk_id *id,
			     struct place *out)
{
	struct place at = place_at(bucket);

	if (at.segment == DELETED || memcmp(bucket, id->b, CHUNK_ID_SIZE) != 0)
		return PROBE_ON;
	*out = at;
	return PROBE_FOUND;
}

static enum probe probe(const uint8_t *bucket, const struct chunk_id *id, struct place *out)
{
	return place_at(bucket).segment == EMPTY ? PROBE_END : probe_used(bucket, id, out);
}

static bool find_held(const struct held *h, uint32_t buckets, const struct chunk_id *id,
		      struct place *out)
{
	uint32_t i = get_le32(id->b) % buckets;

	for (uint32_t left = buckets; left > 0; left--, i = i + 1 == buckets ? 0 : i + 1) {
		uint64_t word = h->used[i / 64], bit = UINT64_C(1) << i % 64;
		size_t at = h->rank[i / 64] + (size_t)__builtin_popcountll(word & (bit - 1));

		if (!(word & bit))
			return false;
		if (probe_used(h->dense.p + at * BUCKET, id, out) == PROBE_FOUND)
			return true;
	}
	return false;
}

bool index_find(const struct index *x, const struct chunk_id *id, struct place *out)
{
	const struct held *held = atomic_load_explicit(&x->held, memory_order_acquire);
	uint32_t i = get_le32(id->b) % x->buckets, left = x->buckets, n;
	uint8_t window[PROBE * BUCKET];

	if (held)
		return find_held(held, x->buckets, id, out);
	for (; left > 0; left -= n, i = (i + n) % x->buckets) {
		const uint8_t *bucket;

		n = left < PROBE ? left : PROBE;
		if (n > x->buckets - i)
			n = x->buckets - i;
		bucket = buckets_at(x, i, n, window);
		if (!bucket)
			return false; /* its digest tells the rest */
		for (uint32_t k = 0; k < n; k++, bucket += BUCKET) {
			enum probe found = probe(bucket, id, out);

			if (found != PROBE_ON)
				return found == PROBE_FOUND;
		}
	}
	return false;
}

/* The walk's bucket, read with those behind it; NULL at the end. */
static const uint8_t *walk_bucket(const struct index *x, struct index_walk *w)
{
	uint64_t left = x->buckets - w->bucket;

	if (w->bucket >= x->buckets)
		return NULL;
	if (w->left == 0) {
		w->left = left < WINDOW ? (uint32_t)left : WINDOW;
		w->next = buckets_at(x, w->bucket, w->left, w->window);
	}
	return w->next;
}

bool index_next(const struct index *x, struct index_walk *w, struct chunk_id *id,
		struct place *out)
{
	const uint8_t *bucket;

	while ((bucket = walk_bucket(x, w))) {
		struct place at = place_at(bucket);

		w->bucket++;
		w->left--;
		w->next += BUCKET;
		if (at.segment == EMPTY || at.segment == DELETED)
			continue;
		memcpy(id->b, bucket, CHUNK_ID_SIZE);
		*out = at;
		return true;
	}
	return false;
}

static int digest_buckets(const struct index *x, struct integrity *s)
{
	uint8_t window[INDEX_WINDOW];
	uint32_t n;

	for (uint64_t i = 0; i < x->buckets; i += n) {
		uint64_t left = x->buckets - i;
		const uint8_t *p;

		n = left < WINDOW ? (uint32_t)left : WINDOW;
		p = buckets_at(x, i, n, window);
		if (!p)
			return -EBADMSG;
		integrity_update(s, p, (size_t)n * BUCKET);
	}
	return 0;
}

int index_verify(const struct index *x, struct bytes integrity, struct err *e)
{
	CLEANUP(integrity_freep) struct integrity *s = integrity_new(x->name);
	int rc;

	if (!s)
		return err_nomem(e, "index");
	integrity_update(s, x->header, HEADER);
	integrity_mark_header(s);
	if (digest_buckets(x, s) < 0)
		return 0;
	rc = integrity_matches(s, integrity);
	if (rc < 0)
		return err_set(e, -rc, "%s: no digest to compare with", x->name);
	return rc;
}
