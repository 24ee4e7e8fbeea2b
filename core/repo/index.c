/* index.c - see index.h for the layout and the contract. */

#include "core/repo/index.h"

#include "core/base/io.h"
#include "core/codec/checksum.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	HEADER = 18,
	BUCKET = CHUNK_ID_SIZE + 8, /* id, segment, offset */
	VALUE = 8,
};

static const uint32_t EMPTY = 0xffffffff, DELETED = 0xfffffffe;

/*
 * A look-up in the map faults the pages around its bucket in, 64 KiB of them, and they stay: the
 * process would come to hold the whole of a large index.  So the buckets of a large one are read
 * from the page cache instead, a few at a time: measured, that is faster than the fault.
 */
enum { SMALL_INDEX = 8 << 20 /* bytes that may stay mapped */, PROBE = 16 /* buckets */ };

struct index {
	const uint8_t *map;
	size_t len;
	uint32_t entries, buckets;
	int fd;
	struct index_version version;
	char *name; /* the file's base name, which its digest covers */
};

static int check_header(const struct index *x, struct err *e)
{
	int32_t entries = (int32_t)get_le32(x->map + 8),
		buckets = (int32_t)get_le32(x->map + 12);

	if (memcmp(x->map, "BORG_IDX", 8) != 0)
		return err_set(e, EBADMSG, "%s: no index magic", x->name);
	if (x->map[16] != CHUNK_ID_SIZE || x->map[17] != VALUE)
		return err_set(e, EBADMSG, "%s: key or value size of another index", x->name);
	if (buckets < 1 || entries < 0 || entries > buckets)
		return err_set(e, EBADMSG, "%s: impossible counts", x->name);
	if (x->len != HEADER + (uint64_t)buckets * BUCKET)
		return err_set(e, EBADMSG, "%s: length does not fit its header", x->name);
	return 0;
}

static int map_file(struct index *x, int fd, struct err *e)
{
	struct stat st;
	void *map;

	if (fstat(fd, &st) < 0)
		return err_set(e, errno, "%s: %s", x->name, strerror(errno));
	x->version = (struct index_version){ st.st_ino, st.st_size, st.st_mtim };
	if (st.st_size < HEADER)
		return err_set(e, EBADMSG, "%s: shorter than its header", x->name);
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return err_set(e, errno, "%s: cannot map: %s", x->name, strerror(errno));
	x->map = map;
	x->len = (size_t)st.st_size;
	/* Look-ups are all over the table: reading ahead would only cost. */
	(void)madvise(map, x->len, MADV_RANDOM);
	return 0;
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
	rc = map_file(x, fd, e);
	if (rc == 0)
		rc = check_header(x, e);
	if (rc < 0)
		return rc;
	x->entries = get_le32(x->map + 8);
	x->buckets = get_le32(x->map + 12);
	*out = TAKE(x);
	return 0;
}

/* munmap(2) and madvise(2) take a pointer that is not const; they write nothing. */
static void *map_of(const struct index *x)
{
	union {
		const uint8_t *in;
		void *out;
	} map = { .in = x->map };

	return map.out;
}

void index_close(struct index *x)
{
	if (!x)
		return;
	if (x->map)
		munmap(map_of(x), x->len);
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

static const uint8_t *bucket_at(const struct index *x, uint64_t i)
{
	return x->map + HEADER + i * BUCKET;
}

static struct place place_at(const uint8_t *bucket)
{
	return (struct place){ get_le32(bucket + CHUNK_ID_SIZE),
			       get_le32(bucket + CHUNK_ID_SIZE + 4) };
}

/* Buckets [i, i + n), in the window or in the map. */
static const uint8_t *buckets_at(const struct index *x, uint32_t i, uint32_t n,
				 uint8_t window[PROBE * BUCKET])
{
	if (x->len > SMALL_INDEX &&
	    read_exact(x->fd, window, (size_t)n * BUCKET, HEADER + (uint64_t)i * BUCKET) == 1)
		return window;
	return bucket_at(x, i);
}

bool index_find(const struct index *x, const struct chunk_id *id, struct place *out)
{
	uint32_t i = get_le32(id->b) % x->buckets, left = x->buckets, n;
	uint8_t window[PROBE * BUCKET];

	for (; left > 0; left -= n, i = (i + n) % x->buckets) {
		const uint8_t *bucket;

		n = left < PROBE ? left : PROBE;
		if (n > x->buckets - i)
			n = x->buckets - i;
		bucket = buckets_at(x, i, n, window);
		for (uint32_t k = 0; k < n; k++, bucket += BUCKET) {
			struct place at = place_at(bucket);

			if (at.segment == EMPTY)
				return false;
			if (at.segment == DELETED || memcmp(bucket, id->b, CHUNK_ID_SIZE) != 0)
				continue;
			*out = at;
			return true;
		}
	}
	return false;
}

bool index_next(const struct index *x, uint64_t *cursor, const struct chunk_id **id,
		struct place *out)
{
	for (; *cursor < x->buckets; ++*cursor) {
		const uint8_t *bucket = bucket_at(x, *cursor);
		struct place at = place_at(bucket);

		if (at.segment == EMPTY || at.segment == DELETED)
			continue;
		*id = (const struct chunk_id *)(const void *)bucket;
		*out = at;
		++*cursor;
		return true;
	}
	return false;
}

static void update_text(struct xxh64 *x, const char *text)
{
	xxh64_update(x, text, strlen(text));
}

/* Borg's stream: name, header, the header's part name and offset, the rest, "final", length. */
static uint64_t digest_of_file(const struct index *x, struct xxh64 *h)
{
	char text[64];

	snprintf(text, sizeof(text), "%10zu", strlen(x->name));
	update_text(h, text);
	update_text(h, x->name);
	xxh64_update(h, x->map, HEADER);
	snprintf(text, sizeof(text), "%10dHashHeader%d", 10, HEADER);
	update_text(h, text);
	xxh64_update(h, x->map + HEADER, x->len - HEADER);
	snprintf(text, sizeof(text), "%10dfinal%zu", 5, x->len);
	update_text(h, text);
	return xxh64_digest(h);
}

int index_verify(const struct index *x, struct bytes integrity, struct err *e)
{
	json_t *root = json_loadb((const char *)integrity.p, integrity.len, 0, NULL);
	const char *algorithm = json_string_value(json_object_get(root, "algorithm"));
	const char *want =
		json_string_value(json_object_get(json_object_get(root, "digests"), "final"));
	struct xxh64 *h = xxh64_new();
	char is[17];
	int rc;

	if (!h) {
		rc = err_nomem(e, "index");
	} else if (!algorithm || strcmp(algorithm, "XXH64") != 0 || !want) {
		rc = err_set(e, ENOTSUP, "%s: no digest to compare with", x->name);
	} else {
		snprintf(is, sizeof(is), "%016" PRIx64, digest_of_file(x, h));
		rc = strcmp(is, want) == 0;
	}
	xxh64_free(h);
	json_decref(root);
	if (x->len > SMALL_INDEX) /* all of it was touched */
		(void)madvise(map_of(x), x->len, MADV_DONTNEED);
	return rc;
}

/* Three quarters full at the most, as Borg's own tables; any number of buckets is legal. */
static uint32_t buckets_for(uint64_t count)
{
	uint64_t n = count + count / 2 + 1031;

	return n > INT32_MAX ? 0 : (uint32_t)n | 1;
}

int index_write(int fd, uint64_t count, index_source *next, void *arg, struct err *e)
{
	uint32_t buckets = buckets_for(count);
	size_t len = HEADER + (size_t)buckets * BUCKET;
	struct index_entry entry;
	uint8_t *table;
	int rc;

	if (buckets == 0)
		return err_set(e, EFBIG, "index: too many objects");
	table = malloc(len);
	if (!table)
		return err_nomem(e, "index");
	memset(table, 0, HEADER);
	memcpy(table, "BORG_IDX", 8);
	put_le32(table + 8, (uint32_t)count);
	put_le32(table + 12, buckets);
	table[16] = CHUNK_ID_SIZE;
	table[17] = VALUE;
	memset(table + HEADER, 0xff, len - HEADER); /* every bucket empty */
	while (next(arg, &entry)) {
		uint32_t i = get_le32(entry.id.b) % buckets;
		uint8_t *bucket;

		while (get_le32(table + HEADER + (size_t)i * BUCKET + CHUNK_ID_SIZE) != EMPTY)
			i = i + 1 == buckets ? 0 : i + 1;
		bucket = table + HEADER + (size_t)i * BUCKET;
		memcpy(bucket, entry.id.b, CHUNK_ID_SIZE);
		put_le32(bucket + CHUNK_ID_SIZE, entry.at.segment);
		put_le32(bucket + CHUNK_ID_SIZE + 4, entry.at.off);
	}
	rc = write_all_at(fd, table, len, 0);
	free(table);
	return rc < 0 ? err_set(e, -rc, "index: cannot write: %s", strerror(-rc)) : 0;
}
