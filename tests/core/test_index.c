/*
 * test_index.c - tables laid out by hand: where ids are looked for, and which files are refused;
 * and the digest that borg wrote for an index of its own.
 */

#include "tests/support/golden.h"
#include "tests/support/tap.h"

#include "core/base/io.h"
#include "core/repo/index.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { HEADER = 18, BUCKET = 40, BUCKETS = 5, LEN = HEADER + BUCKETS * BUCKET };

static const uint32_t EMPTY = 0xffffffff, DELETED = 0xfffffffe;

/* One bucket: the id starts with le32(hash) and goes on with `tail`. */
struct cell {
	uint32_t hash;
	uint8_t tail;
	uint32_t segment, off;
};

static struct chunk_id id_of(uint32_t hash, uint8_t tail)
{
	struct chunk_id id;

	memset(id.b, tail, sizeof(id.b));
	put_le32(id.b, hash);
	return id;
}

static void lay_out(uint8_t file[static LEN], const struct cell cells[BUCKETS])
{
	int32_t used = 0;

	for (size_t i = 0; i < BUCKETS; i++) {
		uint8_t *bucket = file + HEADER + i * BUCKET;
		struct chunk_id id = id_of(cells[i].hash, cells[i].tail);

		memcpy(bucket, id.b, sizeof(id.b));
		put_le32(bucket + 32, cells[i].segment);
		put_le32(bucket + 36, cells[i].off);
		used += cells[i].segment != EMPTY && cells[i].segment != DELETED;
	}
	memcpy(file, "BORG_IDX", 8);
	put_le32(file + 8, (uint32_t)used);
	put_le32(file + 12, BUCKETS);
	file[16] = 32;
	file[17] = 8;
}

#define NONE                                                                                   \
	{                                                                                      \
		0, 0, 0xffffffff, 0                                                            \
	}

static const struct find_row {
	const char *name;
	struct cell cells[BUCKETS];
	uint32_t hash;
	uint8_t tail;
	uint32_t off; /* where it is found; 0: not */
} find_rows[] = {
	{ "in its own bucket", { NONE, { 6, 1, 3, 11 }, NONE, NONE, NONE }, 6, 1, 11 },
	{ "behind another", { NONE, { 6, 1, 3, 11 }, { 6, 2, 3, 12 }, NONE, NONE }, 6, 2, 12 },
	{ "around the end",
	  { { 4, 2, 3, 12 }, { 9, 3, 3, 13 }, NONE, NONE, { 4, 1, 3, 11 } },
	  9,
	  3,
	  13 },
	{ "behind a deleted one",
	  { NONE, { 6, 1, 0xfffffffe, 0 }, { 6, 2, 3, 12 }, NONE, NONE },
	  6,
	  2,
	  12 },
	{ "deleted itself", { NONE, { 6, 1, 0xfffffffe, 9 }, NONE, NONE, NONE }, 6, 1, 0 },
	{ "deleted, and put again behind",
	  { NONE, { 6, 1, 0xfffffffe, 9 }, { 6, 1, 3, 14 }, NONE, NONE },
	  6,
	  1,
	  14 },
	{ "not beyond an empty bucket", { NONE, NONE, { 6, 1, 3, 11 }, NONE, NONE }, 6, 1, 0 },
	{ "another id of the same hash", { NONE, { 6, 1, 3, 11 }, NONE, NONE, NONE }, 6, 2, 0 },
	{ "the last of a full table",
	  { { 0, 1, 3, 1 }, { 1, 1, 3, 2 }, { 2, 1, 3, 3 }, { 3, 1, 3, 4 }, { 9, 1, 3, 5 } },
	  9,
	  1,
	  5 },
	{ "missing in a full table",
	  { { 0, 1, 3, 1 }, { 1, 1, 3, 2 }, { 2, 1, 3, 3 }, { 3, 1, 3, 4 }, { 9, 1, 3, 5 } },
	  7,
	  7,
	  0 },
	{ "missing among deleted ones",
	  { { 0, 1, 0xfffffffe, 1 },
	    { 1, 1, 0xfffffffe, 2 },
	    { 2, 1, 0xfffffffe, 3 },
	    { 3, 1, 0xfffffffe, 4 },
	    { 9, 1, 0xfffffffe, 5 } },
	  7,
	  7,
	  0 },
};

static struct index *open_bytes(const uint8_t *file, size_t len)
{
	struct index *x = NULL;

	assert_int_equal(index_open(&x, memory_file(file, len), "index.7", NULL), 0);
	return x;
}

static void find_one(const void *arg)
{
	const struct find_row *row = arg;
	struct chunk_id id = id_of(row->hash, row->tail);
	struct place at;
	uint8_t file[LEN];
	struct index *x;

	lay_out(file, row->cells);
	x = open_bytes(file, LEN);
	for (int held = 0; held < 2; held++) {
		assert_int_equal(index_find(x, &id, &at), row->off != 0);
		if (row->off) {
			assert_int_equal(at.segment, 3);
			assert_int_equal(at.off, row->off);
		}
		index_hold(x);
	}
	index_close(x);
}

/* More than one word of bits, read in windows, and too large to be read when it is opened: what is
 * found in the file is found in memory, and nothing else; the file is not asked any more. */
static void what_is_held_is_what_was_read(void **state)
{
	enum { MANY = 250000 };
	uint8_t *file = malloc(HEADER + (size_t)MANY * BUCKET);
	size_t len = HEADER + (size_t)MANY * BUCKET;
	struct index *x = NULL;
	int fd;

	(void)state;
	for (uint32_t i = 0; i < MANY; i++) {
		struct chunk_id id = id_of(i - i % 3, (uint8_t)i); /* three behind each other */

		memcpy(file + HEADER + (size_t)i * BUCKET, id.b, sizeof(id.b));
		put_le32(file + HEADER + (size_t)i * BUCKET + 32, i % 7 == 0    ? EMPTY
								  : i % 11 == 0 ? DELETED
										: 1);
		put_le32(file + HEADER + (size_t)i * BUCKET + 36, i);
	}
	memcpy(file, "BORG_IDX", 8);
	put_le32(file + 8, MANY / 7);
	put_le32(file + 12, MANY);
	file[16] = 32;
	file[17] = 8;
	fd = memory_file(file, len);
	assert_int_equal(index_open(&x, dup(fd), "index.7", NULL), 0);
	assert_false(index_in_memory(x));
	for (int held = 0; held < 2; held++) {
		for (uint32_t i = 0; i < MANY; i += held ? 1 : 97) {
			struct chunk_id id = id_of(i - i % 3, (uint8_t)i);
			bool there = i % 7 && i % 11;
			struct place at;

			for (uint32_t k = i - i % 3; k < i; k++)
				there = there && k % 7;
			assert_int_equal(index_find(x, &id, &at), there);
			if (there)
				assert_int_equal(at.off, i);
		}
		if (held)
			break;
		index_hold(x);
		assert_true(index_in_memory(x));
		assert_int_equal(ftruncate(fd, HEADER), 0);
	}
	index_close(x);
	close(fd);
	free(file);
}

/* Cut short since it was opened: nothing is held, and nothing found. */
static void a_file_cut_short_is_not_held(void **state)
{
	struct chunk_id id = id_of(6, 1);
	size_t len = HEADER + (size_t)250000 * BUCKET;
	uint8_t *file = calloc(1, len);
	struct index *x = NULL;
	struct place at;
	int fd;

	(void)state;
	lay_out(file, find_rows[0].cells);
	put_le32(file + 12, 250000);
	fd = memory_file(file, len);
	assert_int_equal(index_open(&x, dup(fd), "index.7", NULL), 0);
	assert_int_equal(ftruncate(fd, (off_t)len - 100), 0);
	index_hold(x);
	assert_false(index_in_memory(x));
	assert_int_equal(ftruncate(fd, HEADER), 0);
	assert_false(index_find(x, &id, &at));
	index_close(x);
	close(fd);
	free(file);
}

/* A walk finds exactly the buckets in use, each once. */
static void walk_one(const void *arg)
{
	const struct find_row *row = arg;
	struct index_walk walk = { 0 };
	struct chunk_id id;
	uint8_t file[LEN];
	struct place at;
	struct index *x;
	size_t i = 0;

	lay_out(file, row->cells);
	x = open_bytes(file, LEN);
	for (; index_next(x, &walk, &id, &at); i++) {
		while (i < BUCKETS && row->cells[i].segment >= DELETED)
			i++;
		assert_true(i < BUCKETS);
		assert_int_equal(at.off, row->cells[i].off);
		assert_int_equal(get_le32(id.b), row->cells[i].hash);
	}
	while (i < BUCKETS && row->cells[i].segment >= DELETED)
		i++;
	assert_int_equal(i, BUCKETS);
	assert_int_equal(index_count(x), get_le32(file + 8));
	index_close(x);
}

static const struct refuse_row {
	const char *name;
	size_t len;
	size_t at;   /* four bytes here ... */
	uint32_t to; /* ... become this */
	const char *says;
} refuse_rows[] = {
	{ "empty", 0, 0, 0, "shorter than its header" },
	{ "cut in the header", HEADER - 1, 0, 0x47524f42, "shorter than its header" },
	{ "header alone", HEADER, 0, 0x47524f42, "length does not fit" },
	{ "cut in the last bucket", LEN - 1, 0, 0x47524f42, "length does not fit" },
	{ "a byte too many", LEN + 1, 0, 0x47524f42, "length does not fit" },
	{ "another magic", LEN, 0, 0x58524f42, "no index magic" },
	{ "negative count", LEN, 8, 0x80000000, "impossible counts" },
	{ "more entries than buckets", LEN, 8, BUCKETS + 1, "impossible counts" },
	{ "no buckets", LEN, 12, 0, "impossible counts" },
	{ "negative buckets", LEN, 12, 0xffffffff, "impossible counts" },
	{ "one bucket more", LEN, 12, BUCKETS + 1, "length does not fit" },
	{ "as many buckets as can be", LEN, 12, 0x7fffffff, "length does not fit" },
	{ "the chunk index's sizes", LEN, 16, 0x00000c20, "key or value size" },
	{ "another key size", LEN, 16, 0x00000810, "key or value size" },
};

static void refuse_one(const void *arg)
{
	const struct refuse_row *row = arg;
	uint8_t file[LEN + 1] = { 0 };
	struct index *x = NULL;
	struct err e = ERR_INIT;

	lay_out(file, find_rows[0].cells);
	put_le32(file + row->at, row->to);
	assert_int_equal(index_open(&x, memory_file(file, row->len), "index.7", &e), -EBADMSG);
	assert_non_null(strstr(e.msg, "index.7: "));
	assert_non_null(strstr(e.msg, row->says));
	assert_null(x);
}

/* The last JSON text of a golden integrity file: the index's. */
static struct bytes index_digest(const struct golden *g, struct buf *file)
{
	char *path = path_join(g->repo, "integrity.9");
	size_t at;

	assert_int_equal(file_read(AT_FDCWD, path, 4096, file, NULL), 0);
	free(path);
	for (at = file->len - 4; at > 0 && memcmp(file->p + at - 1, "{\"alg", 5) != 0;)
		at--;
	assert_true(at > 0);
	return (struct bytes){ file->p + at - 1, file->len - at + 1 };
}

static void read_index(const struct golden *g, struct buf *out)
{
	char *path = path_join(g->repo, "index.9");

	assert_int_equal(file_read(AT_FDCWD, path, 1 << 20, out, NULL), 0);
	free(path);
}

static int verify(const struct buf *file, const char *name, struct bytes digest)
{
	struct index *x = NULL;
	int rc;

	assert_int_equal(index_open(&x, memory_file(file->p, file->len), name, NULL), 0);
	rc = index_verify(x, digest, NULL);
	index_close(x);
	return rc;
}

static void the_digest_tells_every_change(void **state)
{
	static const char later[] =
		"{\"algorithm\": \"SHA3\", \"digests\": {\"final\": \"0\"}}";
	struct golden *g = golden_open("enc-none");
	struct buf file = BUF_INIT, integrity = BUF_INIT;
	struct bytes digest = index_digest(g, &integrity);

	(void)state;
	read_index(g, &file);
	assert_int_equal(verify(&file, "index.9", digest), 1);
	assert_int_equal(verify(&file, "index.8", digest), 0);
	file.p[HEADER + 33]++;
	assert_int_equal(verify(&file, "index.9", digest), 0);
	file.p[HEADER + 33]--;
	file.p[file.len - 1] ^= 1;
	assert_int_equal(verify(&file, "index.9", digest), 0);
	file.p[file.len - 1] ^= 1;
	file.p[8]--;
	assert_int_equal(verify(&file, "index.9", digest), 0);
	assert_int_equal(verify(&file, "index.9", bytes_str(later)), -ENOTSUP);
	assert_int_equal(verify(&file, "index.9", bytes_str("{}")), -ENOTSUP);
	assert_int_equal(verify(&file, "index.9", bytes_str("[[[")), -ENOTSUP);
	buf_fini(&file);
	buf_fini(&integrity);
	golden_close(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_held_is_what_was_read),
		cmocka_unit_test(a_file_cut_short_is_not_held),
		cmocka_unit_test(the_digest_tells_every_change),
	};
	int rc = run_table(find_rows, find_one);

	rc += run_table(find_rows, walk_one) + run_table(refuse_rows, refuse_one);
	return rc + cmocka_run_group_tests(tests, NULL, NULL);
}
