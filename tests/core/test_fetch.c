/*
 * test_fetch.c - each chunk is loaded once at a time, kept within bounds, and right.
 *
 * Method: the repository is a double whose objects can be late, missing, damaged or stale; many
 * threads ask at once.  Run under the thread sanitizer too.
 */

#include "tests/support/tap.h"

#include "tests/support/store_double.h"

#include "core/base/thread.h"
#include "core/store/fetch.h"

#include <stdio.h>

enum { THREADS = 8, KIB = 1024, MIB = 1024 * KIB };

static struct repo repository;
static struct key no_key;

static struct fetch *open_fetch(size_t cache_bytes, unsigned threads)
{
	struct fetch_options options = { cache_bytes, threads };
	struct fetch *f = NULL;

	assert_int_equal(fetch_open(&f, &repository, &no_key, &options, NULL), 0);
	return f;
}

static struct chunk_want want(uint64_t n)
{
	return (struct chunk_want){ number_id(n), (uint32_t)numbers[n].size };
}

static uint64_t cached_bytes(struct fetch *f)
{
	struct fetch_stats stats;

	fetch_stats(f, &stats);
	return stats.cached_bytes;
}

static void expect_fetch(struct fetch *f, uint64_t n)
{
	struct chunk_want w = want(n);
	struct chunk *c = NULL;
	struct err e = ERR_INIT;

	assert_int_equal(fetch_chunk(f, &w, &c, &e), 0);
	expect_plain(n, c->p, c->len);
	chunk_unref(c);
}

/* Wait until the number has been asked for and either is cached or is not loading any more. */
static bool becomes_cached(struct fetch *f, uint64_t n)
{
	struct chunk_id id = number_id(n);

	for (int i = 0; i < 5000; i++) {
		struct chunk *c = fetch_cached(f, &id);

		if (c) {
			expect_plain(n, c->p, c->len);
			chunk_unref(c);
			return true;
		}
		usleep(1000);
	}
	return false;
}

struct asker {
	struct fetch *f;
	uint64_t n;
	int rc;
	struct err err;
	bool right;
	uint64_t seed;
	size_t count;
};

static void *ask_one(void *arg)
{
	struct asker *a = arg;
	struct chunk_want w = want(a->n);
	struct chunk *c = NULL;

	a->rc = fetch_chunk(a->f, &w, &c, &a->err);
	a->right = a->rc == 0 && c->len == numbers[a->n].size && c->p[0] == byte_of(a->n, 0);
	chunk_unref(c);
	return NULL;
}

static void ask_together(struct fetch *f, uint64_t n, struct asker askers[THREADS])
{
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++) {
		askers[i] = (struct asker){ .f = f, .n = n };
		assert_int_equal(thread_start(&threads[i], ask_one, &askers[i], "ask", NULL),
				 0);
	}
	for (int i = 0; i < THREADS; i++)
		thread_join(threads[i]);
}

static void one_load_for_many(void **state)
{
	struct asker askers[THREADS];
	struct fetch *f;

	(void)state;
	numbers_reset(1, 100 * KIB);
	atomic_store(&delay_us, 50000);
	f = open_fetch(MIB, 2);
	ask_together(f, 5, askers);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(askers[i].rc, 0);
		assert_true(askers[i].right);
	}
	assert_int_equal(atomic_load(&numbers[5].asked), 1);
	fetch_close(f);
}

/* Resting, between loads and during them, costs nothing that is cached, and stops nothing. */
static void rests(void **state)
{
	struct chunk_want wants[8];
	struct fetch *f;

	(void)state;
	numbers_reset(8, 300 * KIB);
	f = open_fetch(16 * MIB, 2);
	for (uint64_t n = 0; n < 8; n++)
		wants[n] = want(n);
	expect_fetch(f, 0);
	for (int i = 0; i < 3; i++)
		fetch_rest(f);
	assert_true(cached_bytes(f) >= numbers[0].size);
	expect_fetch(f, 0);
	assert_int_equal(atomic_load(&numbers[0].asked), 1);
	fetch_ahead(f, wants, 8);
	for (uint64_t n = 1; n < 8; n++) {
		fetch_rest(f);
		assert_true(becomes_cached(f, n));
		assert_int_equal(atomic_load(&numbers[n].asked), 1);
	}
	fetch_close(f);
}

static void failure_wakes_all_and_leaves_no_trace(void **state)
{
	struct asker askers[THREADS];
	char hex[CHUNK_ID_HEX];
	struct chunk_id id = number_id(7);
	struct fetch *f;

	(void)state;
	numbers_reset(2, 100 * KIB);
	atomic_store(&delay_us, 50000);
	atomic_store(&numbers[7].fate, FATE_MISSING);
	f = open_fetch(MIB, 1);
	ask_together(f, 7, askers);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(askers[i].rc, -ENOENT);
		assert_int_equal(askers[i].err.code, ENOENT);
		assert_non_null(strstr(askers[i].err.msg, id_hex(&id, hex)));
	}
	assert_int_equal(cached_bytes(f), 0);
	atomic_store(&numbers[7].fate, FATE_GOOD);
	expect_fetch(f, 7);
	fetch_close(f);
}

static const struct fate_row {
	const char *name;
	enum fate fate;
	int rc;
	unsigned asked, fresh;
} fates[] = {
	{ "good", FATE_GOOD, 0, 1, 0 },
	{ "missing", FATE_MISSING, -ENOENT, 1, 0 },
	{ "damaged", FATE_DAMAGED, -EBADMSG, 1, 1 },
	{ "stale: right in fresh files", FATE_STALE, 0, 1, 1 },
};

static void fate(const void *arg)
{
	const struct fate_row *row = arg;
	struct chunk_want w;
	struct chunk *c = NULL;
	struct err e = ERR_INIT;
	struct fetch *f;

	numbers_reset(3, KIB);
	atomic_store(&numbers[9].fate, row->fate);
	f = open_fetch(MIB, 1);
	w = want(9);
	assert_int_equal(fetch_chunk(f, &w, &c, &e), row->rc);
	assert_int_equal(atomic_load(&numbers[9].asked), row->asked);
	assert_int_equal(atomic_load(&numbers[9].fresh), row->fresh);
	assert_true((c != NULL) == (row->rc == 0));
	if (row->rc < 0)
		assert_true(strncmp(e.msg, "chunk 09000000", 14) == 0);
	chunk_unref(c);
	fetch_close(f);
}

static void cache_stays_within_its_bound(void **state)
{
	enum { MAX = 1 * MIB };
	uint64_t seed = test_seed();
	struct fetch *f;

	(void)state;
	numbers_reset(seed, 100 * KIB);
	f = open_fetch(MAX, 1);
	for (uint64_t n = 0; n < 300; n++) {
		expect_fetch(f, n);
		assert_true(cached_bytes(f) <= MAX);
		expect_fetch(f, n);
		assert_int_equal(atomic_load(&numbers[n].asked), 1);
	}
	assert_true(cached_bytes(f) > MAX / 2);
	expect_fetch(f, 0); /* long gone */
	assert_int_equal(atomic_load(&numbers[0].asked), 2);
	fetch_close(f);
}

static void larger_than_the_cache(void **state)
{
	struct asker askers[THREADS];
	struct fetch *f;

	(void)state;
	numbers_reset(5, KIB);
	numbers[3].size = 3 * MIB;
	atomic_store(&delay_us, 20000);
	f = open_fetch(MIB, 1);
	expect_fetch(f, 3);
	assert_true(cached_bytes(f) <= MIB);
	ask_together(f, 3, askers);
	for (int i = 0; i < THREADS; i++)
		assert_true(askers[i].right);
	assert_true(cached_bytes(f) <= MIB);
	fetch_close(f);
}

static void the_least_recently_used_goes_first(void **state)
{
	struct chunk_id kept = number_id(0);
	struct fetch *f;

	(void)state;
	numbers_reset(6, 1);
	for (uint64_t n = 0; n < 100; n++)
		numbers[n].size = 100 * KIB;
	f = open_fetch(MIB, 1);
	for (uint64_t n = 0; n < 100; n++) {
		struct chunk *c;

		expect_fetch(f, n);
		c = fetch_cached(f, &kept);
		assert_non_null(c);
		chunk_unref(c);
	}
	fetch_close(f);
}

static void sizes_that_lie(void **state)
{
	static const uint32_t lies[] = { 0, 1, 100, 1 << 20, 1 << 30, UINT32_MAX };
	struct fetch *f;

	(void)state;
	numbers_reset(7, 300 * KIB);
	f = open_fetch(4 * MIB, 1);
	for (uint64_t n = 0; n < 60; n++) {
		struct chunk_want w = { number_id(n), lies[n % 6] };
		struct chunk *c = NULL;

		if (n % 2)
			fetch_ahead(f, &w, 1);
		assert_int_equal(fetch_chunk(f, &w, &c, NULL), 0);
		expect_plain(n, c->p, c->len);
		chunk_unref(c);
		assert_true(cached_bytes(f) <= 4 * MIB);
	}
	/* What a lie reserved was given back: small chunks are all still there. */
	numbers_reset(8, 100);
	for (uint64_t n = 100; n < 200; n++) {
		struct chunk_want w = { number_id(n), UINT32_MAX };
		struct chunk *c = NULL;

		assert_int_equal(fetch_chunk(f, &w, &c, NULL), 0);
		chunk_unref(c);
	}
	for (uint64_t n = 190; n < 200; n++)
		expect_fetch(f, n);
	for (uint64_t n = 190; n < 200; n++)
		assert_int_equal(atomic_load(&numbers[n].asked), 1);
	fetch_close(f);
}

static void readahead_loads_each_once_and_in_runs(void **state)
{
	struct chunk_want wants[64];
	struct fetch *f;

	(void)state;
	numbers_reset(9, 2 * KIB);
	for (uint64_t n = 0; n < 64; n++)
		wants[n] = want(n);
	f = open_fetch(4 * MIB, 2);
	for (int i = 0; i < 3; i++)
		fetch_ahead(f, wants, 64);
	for (uint64_t n = 0; n < 64; n++)
		assert_true(becomes_cached(f, n));
	for (uint64_t n = 0; n < 64; n++)
		assert_int_equal(atomic_load(&numbers[n].asked), 1);
	assert_true(atomic_load(&requests) < 32);
	fetch_close(f);
}

static void failed_readahead_leaves_no_trace(void **state)
{
	struct chunk_want w;
	struct chunk_id id = number_id(11);
	struct fetch *f;

	(void)state;
	numbers_reset(10, KIB);
	atomic_store(&numbers[11].fate, FATE_MISSING);
	f = open_fetch(MIB, 1);
	w = want(11);
	fetch_ahead(f, &w, 1);
	while (atomic_load(&numbers[11].asked) == 0)
		usleep(1000);
	while (cached_bytes(f) > 0)
		usleep(1000);
	assert_null(fetch_cached(f, &id));
	atomic_store(&numbers[11].fate, FATE_GOOD);
	expect_fetch(f, 11);
	fetch_close(f);
}

/* One worker is held at its first chunk while two lists of hints arrive. */
static void newest_hints_first_oldest_forgotten(void **state)
{
	static struct chunk_want old[600], new[4];
	struct fetch *f;

	(void)state;
	numbers_reset(11, 1);
	for (uint64_t n = 0; n < NUMBERS; n++)
		numbers[n].size = 200 * KIB; /* not small: taken in pairs at most */
	for (uint64_t n = 0; n < 600; n++)
		old[n] = want(1000 + n);
	for (uint64_t n = 0; n < 4; n++)
		new[n] = want(2000 + n);
	atomic_store(&gate, true);
	f = open_fetch(64 * MIB, 1);
	fetch_ahead(f, &(struct chunk_want){ number_id(1), 200 * KIB }, 1);
	while (atomic_load(&order_count) == 0)
		usleep(1000);
	fetch_ahead(f, old, 600);
	fetch_ahead(f, new, 4);
	atomic_store(&gate, false);
	for (uint64_t n = 0; n < 4; n++)
		assert_true(becomes_cached(f, 2000 + n));
	assert_true(becomes_cached(f, 1000));
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(atomic_load(&order[1 + i]), 2000 + i);
	assert_int_equal(atomic_load(&numbers[1599].asked), 0);
	fetch_close(f);
}

/* Hints for more than the cache holds do not throw out what readahead has just loaded. */
static void readahead_waits_for_its_reader(void **state)
{
	static struct chunk_want wants[200];
	struct fetch *f;

	(void)state;
	numbers_reset(12, 1);
	for (uint64_t n = 0; n < 200; n++) {
		numbers[n].size = 100 * KIB;
		wants[n] = want(n);
	}
	f = open_fetch(2 * MIB, 2);
	fetch_ahead(f, wants, 200);
	for (uint64_t n = 0; n < 200; n++) {
		assert_true(becomes_cached(f, n));
		assert_int_equal(atomic_load(&numbers[n].asked), 1);
	}
	fetch_close(f);
}

static void a_chunk_outlives_the_fetch(void **state)
{
	struct chunk_want w;
	struct chunk *c = NULL;
	struct fetch *f;

	(void)state;
	numbers_reset(13, 300 * KIB);
	f = open_fetch(MIB, 1);
	w = want(21);
	assert_int_equal(fetch_chunk(f, &w, &c, NULL), 0);
	fetch_close(f);
	expect_plain(21, c->p, c->len);
	chunk_unref(c);
}

static void *ask_at_random(void *arg)
{
	struct asker *a = arg;
	uint64_t seed = a->seed;

	a->right = true;
	for (size_t i = 0; i < a->count; i++) {
		uint64_t n = mix(++seed) % 300;
		struct chunk_want w = want(n);
		struct chunk *c = NULL;
		int rc = 0;

		if (seed % 5 == 0)
			w.size = (uint32_t)mix(seed); /* a lie */
		switch (mix(seed * 3) % 3) {
		case 0: c = fetch_cached(a->f, &w.id); break;
		case 1: fetch_ahead(a->f, &w, 1); break;
		default: rc = fetch_chunk(a->f, &w, &c, NULL); break;
		}
		if (rc < 0)
			a->right = a->right && atomic_load(&numbers[n].fate) != FATE_GOOD;
		if (c)
			a->right = a->right && c->len == numbers[n].size &&
				   c->p[c->len - 1] == byte_of(n, c->len - 1);
		chunk_unref(c);
	}
	return NULL;
}

static void everything_at_once(void **state)
{
	uint64_t seed = test_seed();
	size_t count = test_count(1500, 100000);
	struct asker askers[THREADS];
	pthread_t threads[THREADS];
	struct fetch *f;

	(void)state;
	numbers_reset(seed, 20 * KIB);
	atomic_store(&delay_us, 100);
	for (uint64_t n = 0; n < 300; n += 7)
		atomic_store(&numbers[n].fate, (enum fate)(1 + n % 3));
	f = open_fetch(MIB, 3);
	for (int i = 0; i < THREADS; i++) {
		askers[i] = (struct asker){ .f = f,
					    .seed = seed + (uint64_t)i * 1000003,
					    .count = count };
		assert_int_equal(
			thread_start(&threads[i], ask_at_random, &askers[i], "ask", NULL), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		thread_join(threads[i]);
		assert_true(askers[i].right);
	}
	assert_true(cached_bytes(f) <= MIB);
	fetch_close(f);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_load_for_many),
		cmocka_unit_test(failure_wakes_all_and_leaves_no_trace),
		cmocka_unit_test(cache_stays_within_its_bound),
		cmocka_unit_test(larger_than_the_cache),
		cmocka_unit_test(the_least_recently_used_goes_first),
		cmocka_unit_test(sizes_that_lie),
		cmocka_unit_test(readahead_loads_each_once_and_in_runs),
		cmocka_unit_test(failed_readahead_leaves_no_trace),
		cmocka_unit_test(newest_hints_first_oldest_forgotten),
		cmocka_unit_test(rests),
		cmocka_unit_test(readahead_waits_for_its_reader),
		cmocka_unit_test(a_chunk_outlives_the_fetch),
		cmocka_unit_test(everything_at_once),
	};
	int failed = run_table(fates, fate);

	return failed | cmocka_run_group_tests(tests, NULL, NULL);
}
