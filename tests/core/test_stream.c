/*
 * test_stream.c - what is pushed comes out in the same order, decoded, within the window.
 *
 * Method: the repository is a double whose objects are late at random, missing or damaged.  Run
 * under the thread sanitizer too.
 */

#include "tests/support/tap.h"

#include "tests/support/store_double.h"

#include "core/store/stream.h"

enum { KIB = 1024, MIB = 1024 * KIB };

static struct repo repository;
static struct key no_key;

static struct chunk_want want(uint64_t n)
{
	return (struct chunk_want){ number_id(n), (uint32_t)numbers[n].size };
}

static int expected_rc(uint64_t n)
{
	switch (atomic_load(&numbers[n].fate)) {
	case FATE_GOOD:
	case FATE_STALE: return 0;
	case FATE_MISSING: return -ENOENT;
	case FATE_DAMAGED: return -EBADMSG;
	}
	return 1;
}

static void expect_pull(struct stream *s, uint64_t n)
{
	struct chunk *c = NULL;
	struct err e = ERR_INIT;
	char hex[CHUNK_ID_HEX];
	struct chunk_id id = number_id(n);
	int rc = stream_pull(s, &c, &e);

	assert_int_equal(rc, expected_rc(n));
	if (rc == 0) {
		expect_plain(n, c->p, c->len);
	} else {
		assert_null(c);
		assert_int_equal(e.code, -rc);
		assert_non_null(strstr(e.msg, id_hex(&id, hex)));
	}
	chunk_unref(c);
}

static const struct row {
	const char *name;
	unsigned threads;
	size_t window, size_max;
	unsigned delay_us;
	unsigned fates;   /* each so many-th number is not good; 0: none */
	unsigned repeats; /* each so many-th chunk is pushed again */
	bool lies;
	size_t count;
} rows[] = {
	{ "small, one thread", 1, MIB, 200, 0, 0, 0, false, 5000 },
	{ "small, two threads", 2, MIB, 200, 0, 0, 0, false, 5000 },
	{ "small and late", 4, MIB, 2000, 300, 0, 0, false, 1500 },
	{ "mixed sizes", 2, 2 * MIB, 400 * KIB, 100, 0, 0, false, 200 },
	{ "large ones, small window", 2, MIB, 2 * MIB, 0, 0, 0, false, 30 },
	{ "a window of one chunk", 2, 1, 1000, 100, 0, 0, false, 100 },
	{ "holes and damage", 2, MIB, 3000, 100, 5, 0, false, 1000 },
	{ "repeats", 2, MIB, 3000, 100, 7, 3, false, 1000 },
	{ "sizes that lie", 3, MIB, 100 * KIB, 50, 9, 4, true, 500 },
	{ "the default number of threads", 0, MIB, 3000, 0, 0, 0, false, 1000 },
};

/* The number at a place of the run: each `repeats`-th place repeats the one before. */
static uint64_t number_at(const struct row *row, size_t i)
{
	if (row->repeats && i % row->repeats == row->repeats - 1)
		i--;
	return i % NUMBERS;
}

static void prepare(const struct row *row)
{
	numbers_reset(test_seed(), row->size_max);
	atomic_store(&delay_us, row->delay_us);
	for (uint64_t n = 0; row->fates && n < NUMBERS; n += row->fates)
		atomic_store(&numbers[n].fate, (enum fate)(1 + mix(n) % 3));
}

static void in_order(const void *arg)
{
	const struct row *row = arg;
	struct stream *s = NULL;
	size_t pushed = 0, pulled = 0;

	prepare(row);
	assert_int_equal(stream_open(&s, &repository, &no_key, row->threads, row->window, NULL),
			 0);
	while (pulled < row->count) {
		/* Mostly as full as it gets, now and then only a few. */
		size_t most = mix(pulled) % 4 ? SIZE_MAX : 1 + mix(pulled) % 5;

		for (size_t i = 0; i < most && pushed < row->count; i++) {
			struct chunk_want w = want(number_at(row, pushed));

			if (row->lies)
				w.size = (uint32_t)(pushed % 3 ? 1 : mix(pushed));
			if (!stream_push(s, &w))
				break;
			pushed++;
		}
		assert_int_equal(stream_pending(s), pushed - pulled);
		assert_true(pushed > pulled);
		for (size_t n = 1 + mix(pulled) % 40; n > 0 && pulled < pushed; n--)
			expect_pull(s, number_at(row, pulled++));
	}
	assert_int_equal(stream_pending(s), 0);
	stream_close(s);
}

static void small_ones_are_read_in_runs_and_once(void **state)
{
	struct stream *s = NULL;

	(void)state;
	numbers_reset(1, 1000);
	assert_int_equal(stream_open(&s, &repository, &no_key, 2, 4 * MIB, NULL), 0);
	for (uint64_t n = 0; n < 2000; n++) {
		struct chunk_want w = want(n / 2);

		assert_true(stream_push(s, &w));
	}
	for (uint64_t n = 0; n < 2000; n++)
		expect_pull(s, n / 2);
	for (uint64_t n = 0; n < 1000; n++)
		assert_int_equal(atomic_load(&numbers[n].asked), 1);
	assert_true(atomic_load(&requests) < 250);
	stream_close(s);
}

static void window_holds_and_empty_accepts(void **state)
{
	struct stream *s = NULL;
	struct chunk_want w;
	size_t pushed = 0;

	(void)state;
	numbers_reset(2, 1);
	for (uint64_t n = 0; n < 100; n++)
		numbers[n].size = 100 * KIB;
	assert_int_equal(stream_open(&s, &repository, &no_key, 2, MIB, NULL), 0);
	for (w = want(0); stream_push(s, &w); w = want(++pushed))
		;
	assert_in_range(pushed, 9, 11);
	for (uint64_t n = 0; n < pushed; n++)
		expect_pull(s, n);
	w = (struct chunk_want){ number_id(50), UINT32_MAX };
	assert_true(stream_push(s, &w));
	w = want(51);
	assert_false(stream_push(s, &w));
	expect_pull(s, 50);
	stream_close(s);
}

/* A thousand chunks that claim a byte each and have a quarter of a megabyte. */
static void lies_do_not_fill_the_memory(void **state)
{
	enum { WINDOW = 2 * MIB, SIZE = 256 * KIB, COUNT = 400, THREADS = 3 };
	struct stream *s = NULL;

	(void)state;
	numbers_reset(3, 1);
	for (uint64_t n = 0; n < COUNT; n++)
		numbers[n].size = SIZE;
	atomic_store(&plain_bytes, 0);
	assert_int_equal(stream_open(&s, &repository, &no_key, THREADS, WINDOW, NULL), 0);
	for (uint64_t n = 0; n < COUNT; n++) {
		struct chunk_want w = { number_id(n), 1 };

		assert_true(stream_push(s, &w));
	}
	for (uint64_t n = 0; n < COUNT; n++) {
		if (n % 50 == 0)
			usleep(20000);
		/* Each of workers and consumer may find out only after a window of its own. */
		assert_true(atomic_load(&plain_bytes) - n * SIZE <=
			    (THREADS + 2) * (WINDOW + 2 * SIZE));
		expect_pull(s, n);
	}
	stream_close(s);
}

static void closing_drops_what_is_under_way(void **state)
{
	(void)state;
	numbers_reset(4, 50 * KIB);
	atomic_store(&delay_us, 500);
	atomic_store(&numbers[3].fate, FATE_MISSING);
	for (unsigned pulls = 0; pulls < 8; pulls++) {
		struct stream *s = NULL;

		assert_int_equal(stream_open(&s, &repository, &no_key, 2, 4 * MIB, NULL), 0);
		for (uint64_t n = 0; n < 100; n++) {
			struct chunk_want w = want(n / 2);

			if (!stream_push(s, &w))
				break;
		}
		for (uint64_t n = 0; n < pulls; n++)
			expect_pull(s, n / 2);
		stream_close(s);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_ones_are_read_in_runs_and_once),
		cmocka_unit_test(window_holds_and_empty_accepts),
		cmocka_unit_test(lies_do_not_fill_the_memory),
		cmocka_unit_test(closing_drops_what_is_under_way),
	};
	int failed = run_table(rows, in_order);

	return failed | cmocka_run_group_tests(tests, NULL, NULL);
}
