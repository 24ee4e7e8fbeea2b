/*
 * test_content.c - content_read() and content_cached() give exactly the range that was asked for,
 * whatever the chunks' borders, and nothing at all where a chunk of it is lost.
 *
 * Method: files of a few chunks with known bytes (content_double.h).  Rows ask for ranges; the
 * bytes expected are computed byte by byte from the file's layout, not range by range.
 */

#include "tests/support/tap.h"

#include "fs/content.h"

#include "tests/support/content_double.h"

/* File A: 10 + 1 + 100 + 5 bytes.  File B: 600 chunks of 3 bytes.  File C: says more than it has. */
enum { A = 1, B = 2, C = 3, EMPTY = 4 };

static const struct row {
	const char *name;
	uint32_t file;
	uint64_t off;
	size_t len;
	int want;       /* of content_read() */
	size_t bytes;   /* how many come */
	uint32_t lost;  /* chunk that is ... */
	enum fate fate; /* ... so */
	bool zeros;     /* allow_damaged_files */
	const char *says;
} rows[] = {
	{ "the whole file", A, 0, 116, 1, 116, 0, ON_DISK, false, "" },
	{ "more than there is", A, 0, 4096, 1, 116, 0, ON_DISK, false, "" },
	{ "inside one chunk", A, 2, 5, 1, 5, 0, ON_DISK, false, "" },
	{ "up to a border", A, 4, 6, 1, 6, 0, ON_DISK, false, "" },
	{ "from a border", A, 10, 1, 1, 1, 0, ON_DISK, false, "" },
	{ "over two borders", A, 9, 3, 1, 3, 0, ON_DISK, false, "" },
	{ "the last byte", A, 115, 1, 1, 1, 0, ON_DISK, false, "" },
	{ "at the end", A, 116, 10, 1, 0, 0, ON_DISK, false, "" },
	{ "far behind the end", A, UINT64_MAX, 10, 1, 0, 0, ON_DISK, false, "" },
	{ "a length that would overflow", A, 100, SIZE_MAX, 1, 16, 0, ON_DISK, false, "" },
	{ "nothing", A, 5, 0, 1, 0, 0, ON_DISK, false, "" },
	{ "an empty file", EMPTY, 0, 10, 1, 0, 0, ON_DISK, false, "" },
	{ "many small chunks", B, 1, 1700, 1, 1700, 0, ON_DISK, false, "" },
	{ "a lost chunk", A, 0, 116, -EIO, 0, 2, MISSING, false,
	  "arch: the/path: chunk 2 is missing" },
	{ "a damaged chunk", A, 50, 1, -EIO, 0, 2, DAMAGED, false, "arch: the/path: chunk 2" },
	{ "up to a damaged chunk", A, 0, 11, 1, 11, 2, DAMAGED, false, "" },
	{ "behind a damaged chunk", A, 111, 5, 1, 5, 2, DAMAGED, false, "" },
	{ "a chunk of another length", A, 0, 1, -EIO, 0, 0, SHORT, false,
	  "the archive says 10" },
	{ "a lost chunk as zeros", A, 8, 20, 1, 20, 2, MISSING, true, "" },
	{ "a damaged chunk as zeros", A, 0, 116, 1, 116, 1, DAMAGED, true, "" },
	{ "a short chunk as zeros", A, 0, 116, 1, 116, 3, SHORT, true, "" },
	{ "a size beyond the chunks", C, 0, 20, -EIO, 0, 0, ON_DISK, false, "before its size" },
	{ "the good part of it", C, 0, 10, 1, 10, 0, ON_DISK, false, "" },
};

static void lay_out(void)
{
	memset(fates, 0, sizeof(fates));
	memset(loads, 0, sizeof(loads));
	chunk_sizes[0] = 10;
	chunk_sizes[1] = 1;
	chunk_sizes[2] = 100;
	chunk_sizes[3] = 5;
	for (uint32_t i = 0; i < 600; i++)
		chunk_sizes[10 + i] = 3;
	nodes[A] = (struct tree_node){ .index = A, .size = 116, .chunk_count = 4 };
	nodes[B] = (struct tree_node){
		.index = B, .size = 1800, .chunk_first = 10, .chunk_count = 600
	};
	nodes[C] = (struct tree_node){ .index = C, .size = 12, .chunk_count = 1 };
	nodes[EMPTY] = (struct tree_node){ .index = EMPTY };
	node_count = 5;
}

/* The byte at `off` of a file, from the layout alone. */
static uint8_t byte_at(const struct row *row, uint64_t off)
{
	uint32_t n = (uint32_t)nodes[row->file].chunk_first;

	while (off >= chunk_sizes[n])
		off -= chunk_sizes[n++];
	return row->fate != ON_DISK && n == row->lost ? 0 : (uint8_t)(n * 31 + off);
}

static void check_bytes(const struct row *row, const struct content_range *r)
{
	uint64_t off = row->off;
	size_t total = 0;

	for (size_t i = 0; i < r->count; i++) {
		const uint8_t *p = r->pieces[i].iov_base;

		assert_true(r->pieces[i].iov_len > 0);
		for (size_t k = 0; k < r->pieces[i].iov_len; k++)
			assert_int_equal(p[k], byte_at(row, off++));
		total += r->pieces[i].iov_len;
	}
	assert_int_equal(total, row->bytes);
	assert_int_equal(r->len, row->bytes);
}

static void read_one(const void *arg)
{
	const struct row *row = arg;
	struct content c;
	struct content_range r;
	struct err e = ERR_INIT;

	lay_out();
	fates[row->lost] = row->fate;
	c = (struct content){ .volume = volume_made(),
			      .file = nodes[row->file],
			      .zeros = row->zeros };
	/* Nothing is in memory: the receiving thread must not load it. */
	if (row->bytes > 0) {
		assert_int_equal(content_cached(&c, row->off, row->len, &r, &e), 0);
		assert_int_equal(loads[nodes[row->file].chunk_first], 0);
	}
	assert_int_equal(content_read(&c, row->off, row->len, &r, &e), row->want);
	assert_non_null(strstr(e.msg, row->says));
	if (row->want == 1) {
		check_bytes(row, &r);
		content_range_fini(&r);
	}
	assert_int_equal(chunks_held, 0);
	content_fini(&c);
}

/* All in memory but one chunk: what touches it is left to a worker, the rest comes at once. */
static void cached_parts(void **state)
{
	struct content c;
	struct content_range r;
	struct err e = ERR_INIT;

	(void)state;
	lay_out();
	for (uint32_t i = 0; i < 4; i++)
		fates[i] = IN_MEMORY;
	fates[2] = ON_DISK;
	c = (struct content){ .volume = volume_made(), .file = nodes[A] };
	assert_int_equal(content_cached(&c, 0, 11, &r, &e), 1);
	assert_int_equal(r.len, 11);
	content_range_fini(&r);
	assert_int_equal(content_cached(&c, 0, 12, &r, &e), 0);
	assert_int_equal(content_cached(&c, 112, 100, &r, &e), 1);
	assert_int_equal(r.len, 4);
	content_range_fini(&r);
	assert_int_equal(chunks_held, 0);
	assert_int_equal(loads[2], 0);
	content_fini(&c);
}

int main(void)
{
	const struct CMUnitTest more[] = { cmocka_unit_test(cached_parts) };
	int failed = run_table(rows, read_one);

	return failed + cmocka_run_group_tests(more, NULL, NULL);
}
