/*
 * test_sparse.c - sparse_next() tells data from holes as Borg does, and takes for data what it
 * cannot ask about.
 *
 * Method: files in memory, where a hole is a page nobody wrote to, in pages of 4 KiB; the ranges
 * are those of Borg 1.2.4's own map of the same files.
 */

#include "tests/support/tap.h"

#include "core/platform/sparse.h"

#include <stdio.h>
#include <unistd.h>

enum { K = 1024 };

static const struct row {
	const char *name;
	off_t size, from;
	struct {
		off_t off;
		size_t len;
	} data[2];
	const char *want; /* d or h, offset, length */
} rows[] = {
	{ "empty", 0, 0, { { 0 } }, "" },
	{ "one hole", 100000, 0, { { 0 } }, "h0+100000 " },
	{ "behind the end", 100000, 200000, { { 0 } }, "" },
	{ "data only", 100000, 0, { { 0, 100000 } }, "d0+100000 " },
	{ "data in the middle",
	  1024 * K,
	  0,
	  { { 256 * K, 64 * K } },
	  "h0+262144 d262144+65536 h327680+720896 " },
	{ "data first", 100 * K, 0, { { 0, 8 * K } }, "d0+8192 h8192+94208 " },
	{ "data first, behind a header",
	  100 * K,
	  5000,
	  { { 0, 8 * K } },
	  "d5000+3192 h8192+94208 " },
	{ "data last", 100 * K, 0, { { 96 * K, 4 * K } }, "h0+98304 d98304+4096 " },
	{ "a tail of no whole page",
	  100 * K + 5,
	  5000,
	  { { 100 * K, 5 } },
	  "h5000+97400 d102400+5 " },
	{ "two of data",
	  64 * K,
	  0,
	  { { 8 * K, 4 * K }, { 32 * K, 8 * K } },
	  "h0+8192 d8192+4096 h12288+20480 d32768+8192 h40960+24576 " },
	{ "one byte", 64 * K, 0, { { 20000, 1 } }, "h0+16384 d16384+4096 h20480+45056 " },
	/* The file is longer than it was when its size was asked for. */
	{ "grown, data", 30000, 0, { { 16 * K, 64 * K } }, "h0+16384 d16384+13616 " },
	{ "grown, hole", 30000, 0, { { 64 * K, 64 * K } }, "h0+30000 " },
};

static void list(int fd, off_t at, off_t size, char *out, size_t room)
{
	struct sparse_range r;
	size_t used = 0;

	out[0] = '\0';
	while (sparse_next(fd, &at, size, &r)) {
		assert_int_equal(r.off + r.len, at);
		used += (size_t)snprintf(out + used, room - used, "%c%lld+%lld ",
					 r.is_hole ? 'h' : 'd', (long long)r.off,
					 (long long)r.len);
		assert_true(used < room);
	}
}

static void map(const void *arg)
{
	const struct row *r = arg;
	int fd = memory_file("", 0);
	char content[100000], got[200];

	memset(content, 'x', sizeof(content));
	assert_int_equal(ftruncate(fd, r->size), 0);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pwrite(fd, content, r->data[i].len, r->data[i].off),
				 r->data[i].len);
	list(fd, r->from, r->size, got, sizeof(got));
	assert_string_equal(got, r->want);
	close(fd);
}

static void what_cannot_be_asked_is_data(void **state)
{
	int ends[2];
	char got[200];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	list(ends[0], 10, 100, got, sizeof(got));
	assert_string_equal(got, "d10+90 ");
	close(ends[0]);
	close(ends[1]);
}

/* Shortened since its size was asked for: what is gone reads as zeros, as Borg takes it. */
static void what_is_gone_is_a_hole(void **state)
{
	int fd = memory_file("0123456789", 10);
	char got[200];

	(void)state;
	list(fd, 0, 100, got, sizeof(got));
	assert_string_equal(got, "d0+10 h10+90 ");
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(what_cannot_be_asked_is_data),
					    cmocka_unit_test(what_is_gone_is_a_hole) };

	return run_table(rows, map) + cmocka_run_group_tests(tests, NULL, NULL);
}
