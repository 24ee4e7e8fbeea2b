/*
 * index_writer.c - see index_writer.h.
 *
 * A new table is built in parts of consecutive buckets.  For each part all entries are gone
 * through, and those that belong there are laid; what overflows its end is carried into the next
 * part, and at last around to the first.
 */

#include "core/repo/index_writer.h"

#include "core/base/io.h"
#include "core/repo/integrity.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	HEADER = INDEX_HEADER,
	BUCKET = INDEX_BUCKET,
	PART = (16 << 20) / BUCKET, /* buckets built at once */
	PROBE = 16,                 /* buckets read at once by a patch */
};

/* Borg's table sizes: primes, so that ids spread. */
static const uint32_t sizes[] = {
	1031,       2053,       4099,       8209,       16411,      32771,      65537,
	131101,     262147,     445649,     757607,     1287917,    2189459,    3065243,
	4291319,    6007867,    8410991,    11775359,   16485527,   23079703,   27695653,
	33234787,   39881729,   47858071,   57429683,   68915617,   82698751,   99238507,
	119086189,  144378011,  157223263,  173476439,  190253911,  209915011,  230493629,
	253169431,  278728861,  306647623,  337318939,  370742809,  408229973,  449387209,
	493428073,  543105119,  596976533,  657794869,  722676499,  795815791,  874066969,
	962279771,  1057701643, 1164002657, 1280003147, 1407800297, 1548442699, 1703765389,
	1873768367, 2062383853,
};

static uint64_t most_entries(uint64_t buckets)
{
	return buckets * 3 / 4;
}

static uint64_t fewest_empty(uint64_t buckets)
{
	return 2 + buckets * 7 / 100;
}

/* Two thirds full at the most: room to grow before another program has to build it anew. */
static uint32_t buckets_for(uint64_t entries)
{
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		if (sizes[i] >= entries + entries / 2)
			return sizes[i];
	return 0;
}

static void put_header(uint8_t header[HEADER], uint64_t entries, uint32_t buckets)
{
	memcpy(header, "BORG_IDX", 8);
	put_le32(header + 8, (uint32_t)entries);
	put_le32(header + 12, buckets);
	header[16] = CHUNK_ID_SIZE;
	header[17] = BUCKET - CHUNK_ID_SIZE;
}

static void put_bucket(uint8_t *bucket, const struct chunk_id *id, struct place at)
{
	memcpy(bucket, id->b, CHUNK_ID_SIZE);
	put_le32(bucket + CHUNK_ID_SIZE, at.segment);
	put_le32(bucket + CHUNK_ID_SIZE + 4, at.off);
}

static uint32_t mark_of(const uint8_t *bucket)
{
	return get_le32(bucket + CHUNK_ID_SIZE);
}

static bool is_deletion(const struct place *at)
{
	return at->segment == UINT32_MAX;
}

static int cannot_write(int rc, struct err *e)
{
	return err_set(e, -rc, "index: cannot write: %s", strerror(-rc));
}

/* How many entries there are in the end. */
static uint64_t count_entries(const struct index *base, const struct table *changes)
{
	uint64_t n = base ? index_count(base) : 0;
	size_t cursor = 0;
	struct place at;
	const void *key;
	void *value;

	while (table_next(changes, &cursor, &key, &value)) {
		bool before = base && index_find(base, key, &at);

		n += !before && !is_deletion(value);
		n -= before && is_deletion(value);
	}
	return n;
}

/* --- a new table --- */

struct entry {
	struct chunk_id id;
	struct place at;
};

struct build {
	int fd;
	uint32_t buckets;
	uint32_t first, count; /* the part's buckets */
	uint8_t *part;
	struct entry *carry; /* what does not fit before the part's end */
	size_t carry_count, carry_cap;
};

static int carry(struct build *b, const struct chunk_id *id, struct place at)
{
	if (b->carry_count == b->carry_cap) {
		size_t cap = b->carry_cap ? 2 * b->carry_cap : 64;
		struct entry *p = realloc(b->carry, cap * sizeof(*p));

		if (!p)
			return -ENOMEM;
		b->carry = p;
		b->carry_cap = cap;
	}
	b->carry[b->carry_count++] = (struct entry){ *id, at };
	return 0;
}

/* Into the first empty bucket of the part from the i-th on. */
static int lay(struct build *b, uint32_t i, const struct chunk_id *id, struct place at)
{
	for (; i < b->count; i++) {
		uint8_t *bucket = b->part + (size_t)i * BUCKET;

		if (mark_of(bucket) == INDEX_EMPTY) {
			put_bucket(bucket, id, at);
			return 0;
		}
	}
	return carry(b, id, at);
}

static int lay_home(struct build *b, const struct chunk_id *id, struct place at)
{
	uint32_t home = get_le32(id->b) % b->buckets;

	return home < b->first || home - b->first >= b->count ? 0
							      : lay(b, home - b->first, id, at);
}

static int lay_all(struct build *b, const struct index *base, const struct table *changes)
{
	struct index_walk walk = { 0 };
	struct chunk_id id;
	size_t cursor = 0;
	uint64_t seen = 0;
	struct place at;
	const void *key;
	void *value;
	int rc = 0;

	while (rc == 0 && table_next(changes, &cursor, &key, &value))
		if (!is_deletion(value))
			rc = lay_home(b, key, *(const struct place *)value);
	while (rc == 0 && base && index_next(base, &walk, &id, &at)) {
		uint32_t home = get_le32(id.b) % b->buckets;

		seen++;
		if (home >= b->first && home - b->first < b->count && !table_get(changes, &id))
			rc = lay(b, home - b->first, &id, at);
	}
	/* A walk over a file that was cut short just ends. */
	return rc == 0 && base && seen != index_count(base) ? -EBADMSG : rc;
}

static int lay_carried(struct build *b)
{
	struct entry *before = TAKE(b->carry);
	size_t count = b->carry_count;
	int rc = 0;

	b->carry_count = b->carry_cap = 0;
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = lay(b, 0, &before[i].id, before[i].at);
	free(before);
	return rc;
}

static void clear_part(struct build *b)
{
	memset(b->part, 0, (size_t)b->count * BUCKET);
	for (uint32_t i = 0; i < b->count; i++)
		put_le32(b->part + (size_t)i * BUCKET + CHUNK_ID_SIZE, INDEX_EMPTY);
}

static uint64_t bucket_off(uint64_t i)
{
	return HEADER + i * BUCKET;
}

/* What overflowed the last bucket goes into the first empty ones of the table. */
static int wrap_around(struct build *b)
{
	uint8_t bucket[BUCKET];
	uint32_t i = 0;

	for (size_t k = 0; k < b->carry_count; i++) {
		int rc = read_exact(b->fd, bucket, BUCKET, bucket_off(i));

		if (rc != 1)
			return rc < 0 ? rc : -EIO;
		if (mark_of(bucket) != INDEX_EMPTY)
			continue;
		put_bucket(bucket, &b->carry[k].id, b->carry[k].at);
		rc = write_all_at(b->fd, bucket, BUCKET, bucket_off(i));
		if (rc < 0)
			return rc;
		k++;
	}
	return 0;
}

static int build_parts(struct build *b, const struct index *base, const struct table *changes)
{
	int rc = 0;

	for (b->first = 0; rc == 0 && b->first < b->buckets; b->first += b->count) {
		uint32_t left = b->buckets - b->first;

		b->count = left < PART ? left : PART;
		clear_part(b);
		rc = lay_carried(b);
		if (rc == 0)
			rc = lay_all(b, base, changes);
		if (rc == 0)
			rc = write_all_at(b->fd, b->part, (size_t)b->count * BUCKET,
					  bucket_off(b->first));
	}
	return rc == 0 ? wrap_around(b) : rc;
}

static int build_table(int fd, const struct index *base, const struct table *changes,
		       uint64_t entries, struct err *e)
{
	struct build b = { .fd = fd, .buckets = buckets_for(entries) };
	uint8_t header[HEADER];
	int rc;

	if (b.buckets == 0)
		return err_set(e, EFBIG, "index: too many objects");
	b.part = malloc((size_t)(b.buckets < PART ? b.buckets : PART) * BUCKET);
	if (!b.part)
		return err_nomem(e, "index");
	put_header(header, entries, b.buckets);
	rc = write_all_at(fd, header, HEADER, 0);
	if (rc == 0)
		rc = build_parts(&b, base, changes);
	free(b.part);
	free(b.carry);
	return rc < 0 ? cannot_write(rc, e) : 0;
}

/* --- a patched copy --- */

/* All of it, by reference where the file system can. */
static int copy_file(int from, int to)
{
	static const size_t STEP = 1 << 30;
	uint8_t window[64 * 1024];
	loff_t in = 0, out = 0;
	ssize_t n;

	while ((n = copy_file_range(from, &in, to, &out, STEP, 0)) > 0)
		continue;
	if (n == 0 && in > 0)
		return 0;
	while ((n = read_at(from, window, sizeof(window), (uint64_t)in)) > 0) {
		int rc = write_all_at(to, window, (size_t)n, (uint64_t)in);

		if (rc < 0)
			return rc;
		in += n;
	}
	return (int)n;
}

struct patch {
	int fd;
	uint32_t buckets;
	uint64_t empty; /* buckets */
};

/* The bucket of the id, else the one it may take: its first deleted or empty one.  1, 0 or
 * -errno. */
static int probe(const struct patch *p, const struct chunk_id *id, uint32_t *out,
		 uint32_t *mark)
{
	uint32_t i = get_le32(id->b) % p->buckets, left = p->buckets, n;
	uint8_t window[PROBE * BUCKET];
	bool free_seen = false;

	for (; left > 0; left -= n, i = (i + n) % p->buckets) {
		n = left < PROBE ? left : PROBE;
		n = n < p->buckets - i ? n : p->buckets - i;
		if (read_exact(p->fd, window, (size_t)n * BUCKET, bucket_off(i)) != 1)
			return -EIO;
		for (uint32_t k = 0; k < n; k++) {
			uint32_t m = mark_of(window + (size_t)k * BUCKET);

			if (m < INDEX_DELETED &&
			    memcmp(window + (size_t)k * BUCKET, id->b, CHUNK_ID_SIZE) == 0) {
				*out = i + k;
				*mark = m;
				return 1;
			}
			if (m >= INDEX_DELETED && !free_seen) {
				free_seen = true;
				*out = i + k;
				*mark = m;
			}
			if (m == INDEX_EMPTY)
				return 0;
		}
	}
	return free_seen ? 0 : -ENOSPC;
}

static int patch_one(struct patch *p, const struct chunk_id *id, struct place at)
{
	uint8_t bucket[BUCKET];
	uint32_t i = 0, mark = 0;
	int found = probe(p, id, &i, &mark);

	if (found < 0)
		return found;
	if (is_deletion(&at)) {
		if (!found)
			return 0;
		at = (struct place){ INDEX_DELETED, 0 };
	} else if (!found && mark == INDEX_EMPTY) {
		p->empty--;
	}
	put_bucket(bucket, id, at);
	return write_all_at(p->fd, bucket, BUCKET, bucket_off(i));
}

/* 1 patched; 0 there is no room left as the format wants it. */
static int patch_all(struct patch *p, const struct table *changes)
{
	size_t cursor = 0;
	const void *key;
	void *value;
	int rc = 0;

	while (rc == 0 && table_next(changes, &cursor, &key, &value)) {
		if (p->empty < fewest_empty(p->buckets))
			return 0;
		rc = patch_one(p, key, *(const struct place *)value);
	}
	return rc < 0 ? rc : p->empty >= fewest_empty(p->buckets);
}

static uint64_t count_empty(int fd, uint32_t buckets)
{
	uint8_t window[409 * BUCKET];
	uint64_t empty = 0, n;

	for (uint64_t i = 0; i < buckets; i += n) {
		n = buckets - i < 409 ? buckets - i : 409;
		if (read_exact(fd, window, n * BUCKET, bucket_off(i)) != 1)
			return 0;
		for (uint64_t k = 0; k < n; k++)
			empty += mark_of(window + k * BUCKET) == INDEX_EMPTY;
	}
	return empty;
}

/* Is a copy with patches cheaper than a new table, and within the loads that Borg keeps? */
static bool worth_patching(const struct index *base, const struct table *changes,
			   uint64_t entries)
{
	uint32_t buckets;

	if (!base)
		return false;
	buckets = index_buckets(base);
	return changes->count <= buckets / 16 && entries <= most_entries(buckets) &&
	       (entries >= buckets / 4 || buckets == sizes[0]);
}

static int patch_copy(int fd, const struct index *base, const struct table *changes,
		      uint64_t entries, struct err *e)
{
	struct patch p = { .fd = fd, .buckets = index_buckets(base) };
	uint8_t header[HEADER];
	int rc = copy_file(index_fd(base), fd);

	if (rc == 0) {
		p.empty = count_empty(fd, p.buckets);
		put_header(header, entries, p.buckets);
		rc = write_all_at(fd, header, HEADER, 0);
	}
	if (rc == 0)
		rc = patch_all(&p, changes);
	if (rc == 0 && ftruncate(fd, 0) < 0)
		rc = -errno;
	return rc < 0 ? cannot_write(rc, e) : rc;
}

int index_make(int fd, const struct index *base, const struct table *changes, struct err *e)
{
	uint64_t entries = count_entries(base, changes);
	int rc = 0;

	if (worth_patching(base, changes, entries))
		rc = patch_copy(fd, base, changes, entries, e);
	if (rc == 0)
		rc = build_table(fd, base, changes, entries, e);
	return rc < 0 ? rc : 0;
}

int index_digest(int fd, const char *name, struct buf *text, struct err *e)
{
	CLEANUP(integrity_freep) struct integrity *s = integrity_new(name);
	uint8_t window[64 * 1024];
	uint64_t off = HEADER;
	ssize_t n;

	if (!s)
		return err_nomem(e, "index");
	n = read_at(fd, window, HEADER, 0);
	if (n == HEADER) {
		integrity_update(s, window, HEADER);
		integrity_mark_header(s);
		while ((n = read_at(fd, window, sizeof(window), off)) > 0) {
			integrity_update(s, window, (size_t)n);
			off += (uint64_t)n;
		}
	}
	if (n < 0)
		return err_set(e, (int)-n, "%s: %s", name, strerror((int)-n));
	return integrity_finish(s, text) < 0 ? err_nomem(e, "index") : 0;
}
