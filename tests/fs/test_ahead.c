/*
 * test_ahead.c - what is read in order is loaded ahead, once; who reads elsewhere gets nothing.
 *
 * Method: a tree of one large file and a folder of small ones (content_double.h); rows are ways of
 * reading, and what fetch_ahead() was asked for is counted.
 */

#include "tests/support/tap.h"

#include "fs/ahead.h"

#include <sys/stat.h>

#include "tests/support/content_double.h"

enum {
	MIB = 1 << 20,
	LARGE = 1,         /* node of the large file */
	LARGE_CHUNKS = 64, /* of a MiB each */
	FIRST = 2,         /* node of the first small file */
	SMALLS = 900,
};

static struct ahead *ahead;
static struct volume *volume;

static void lay_out(void)
{
	nodes[TREE_ROOT] = (struct tree_node){ .mode = S_IFDIR | 0755,
					       .first_child = LARGE,
					       .child_count = 1 + SMALLS };
	nodes[LARGE] = (struct tree_node){ .index = LARGE,
					   .file = LARGE,
					   .mode = S_IFREG | 0644,
					   .size = (uint64_t)LARGE_CHUNKS * MIB,
					   .chunk_count = LARGE_CHUNKS };
	for (uint32_t i = 0; i < LARGE_CHUNKS; i++)
		chunk_sizes[i] = MIB;
	for (uint32_t i = 0; i < SMALLS; i++) {
		nodes[FIRST + i] = (struct tree_node){ .index = FIRST + i,
						       .file = FIRST + i,
						       .mode = S_IFREG | 0644,
						       .size = 1000,
						       .chunk_first = LARGE_CHUNKS + i,
						       .chunk_count = 1 };
		chunk_sizes[LARGE_CHUNKS + i] = 1000;
	}
	node_count = FIRST + SMALLS;
}

static void read_at(uint32_t node, uint64_t off, size_t len)
{
	struct content c = { .volume = volume, .file = nodes[node] };

	ahead_read(ahead, node, &c, off, len);
}

static unsigned hints(uint32_t from, uint32_t count)
{
	unsigned n = 0;

	for (uint32_t i = from; i < from + count; i++) {
		assert_true(hinted[i] <= 1); /* never the same twice */
		n += hinted[i];
	}
	return n;
}

static int begin(void **state)
{
	(void)state;
	lay_out();
	memset(hinted, 0, sizeof(hinted));
	ahead = ahead_new();
	volume = volume_made();
	return ahead ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	ahead_free(ahead);
	volume_unref(volume);
	return 0;
}

static void a_file_from_front_to_back(void **state)
{
	unsigned before;

	(void)state;
	read_at(LARGE, 0, MIB);
	assert_int_equal(hints(0, LARGE_CHUNKS), 0); /* one read is no habit */
	read_at(LARGE, MIB, MIB);
	before = hints(0, LARGE_CHUNKS);
	assert_in_range(before, 2, 8); /* a small window at first ... */
	for (unsigned i = 2; i < 20; i++)
		read_at(LARGE, (uint64_t)i * MIB, MIB);
	assert_in_range(hints(20, 20), 8, 20); /* ... that grows, but not without end */
	assert_int_equal(hints(20 + 24, LARGE_CHUNKS - 44), 0);
	for (unsigned i = 20; i < LARGE_CHUNKS; i++)
		read_at(LARGE, (uint64_t)i * MIB, MIB);
	assert_int_equal(hints(4, LARGE_CHUNKS - 4), LARGE_CHUNKS - 4);
}

static void large_chunks_come_several_at_a_time(void **state)
{
	unsigned calls = 0, last;

	(void)state;
	for (unsigned i = 0; i < LARGE_CHUNKS; i++) {
		last = hints(0, LARGE_CHUNKS);
		read_at(LARGE, (uint64_t)i * MIB, MIB);
		calls += hints(0, LARGE_CHUNKS) != last;
	}
	assert_in_range(calls, 2, LARGE_CHUNKS / 3);
}

static void at_random(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 200; i++)
		read_at(LARGE, (uint64_t)(i * 37 % LARGE_CHUNKS) * MIB, 4096);
	assert_int_equal(hints(0, LARGE_CHUNKS), 0);
}

static void backwards(void **state)
{
	(void)state;
	for (unsigned i = LARGE_CHUNKS; i > 0; i--)
		read_at(LARGE, (uint64_t)(i - 1) * MIB, 4096);
	assert_int_equal(hints(0, LARGE_CHUNKS), 0);
}

static void one_small_file(void **state)
{
	(void)state;
	read_at(FIRST + 10, 0, 4096);
	assert_int_equal(hints(LARGE_CHUNKS, SMALLS), 0);
}

static void small_files_in_the_order_of_the_tree(void **state)
{
	(void)state;
	read_at(FIRST, 0, 4096);
	read_at(FIRST + 1, 0, 4096);
	assert_true(hints(LARGE_CHUNKS + 2, 4) == 4); /* what comes next */
	for (uint32_t i = 2; i < 40; i++)
		read_at(FIRST + i, 0, 4096);
	assert_int_equal(hints(LARGE_CHUNKS + 40, 20), 20);
}

/* Some of them unchanged, say, and so not read. */
static void with_gaps(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 60; i += 3)
		read_at(FIRST + i, 0, 4096);
	assert_int_equal(hints(LARGE_CHUNKS + 60, 10), 10);
}

static void small_files_backwards(void **state)
{
	(void)state;
	for (uint32_t i = SMALLS; i > 0; i--)
		read_at(FIRST + i - 1, 0, 4096);
	assert_int_equal(hints(LARGE_CHUNKS, SMALLS), 0);
}

static void two_walkers(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 20; i++) {
		read_at(FIRST + i, 0, 4096);
		read_at(FIRST + 500 + i, 0, 4096);
	}
	assert_int_equal(hints(LARGE_CHUNKS + 20, 10), 10);
	assert_int_equal(hints(LARGE_CHUNKS + 520, 10), 10);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_file_from_front_to_back),
		CASE(large_chunks_come_several_at_a_time),
		CASE(at_random),
		CASE(backwards),
		CASE(one_small_file),
		CASE(small_files_in_the_order_of_the_tree),
		CASE(with_gaps),
		CASE(small_files_backwards),
		CASE(two_walkers),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
