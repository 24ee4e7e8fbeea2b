/*
 * test_removal.c - what is removed in archives is hidden, lapses after its time, and goes with its archive.
 *
 * Method: rows are short histories of two archives; each ends with what is hidden and what lapses.
 */

#include "tests/support/tap.h"

#include "fs/removal.h"

#include <pthread.h>

#define ENTRY(archive, index) ((uint64_t)(archive) << 32 | (index))

enum { IDLE_S = 60, STEPS_MAX = 8 };

enum step_kind { END, ADD, BEGIN, GONE, FAILED, LAPSE, LAPSE_ALL, HIDDEN, SHOWN, PENDING };

struct step {
	enum step_kind kind;
	uint32_t archive, index; /* of LAPSE: 0 is nobody; index: how many names */
	int64_t ms;
	int want;
};

static const struct row {
	const char *name;
	struct step steps[STEPS_MAX];
} rows[] = {
	{ "nothing",
	  { { SHOWN, 5, 1, 0, 0 }, { LAPSE, 0, 0, 1 << 20, 0 }, { PENDING, 0, 0, 0, 0 } } },
	{ "a name is hidden, another of the file is not",
	  { { ADD, 5, 1, 0, 0 },
	    { HIDDEN, 5, 1, 0, 0 },
	    { SHOWN, 5, 2, 0, 0 },
	    { PENDING, 0, 0, 0, 1 } } },
	{ "nor is the same one of another archive",
	  { { ADD, 5, 1, 0, 0 }, { SHOWN, 6, 1, 0, 0 } } },
	{ "a name is removed once", { { ADD, 5, 1, 0, 0 }, { ADD, 5, 1, 0, -ENOENT } } },
	{ "not a moment before its time",
	  { { ADD, 5, 1, 7, 0 },
	    { LAPSE, 0, 0, 60006, 0 },
	    { HIDDEN, 5, 1, 0, 0 },
	    { LAPSE, 5, 1, 60007, 0 },
	    { SHOWN, 5, 1, 0, 0 },
	    { PENDING, 0, 0, 0, 0 } } },
	{ "each removal begins the time anew",
	  { { ADD, 5, 1, 0, 0 },
	    { ADD, 5, 2, 50000, 0 },
	    { LAPSE, 0, 0, 109999, 0 },
	    { LAPSE, 5, 2, 110000, 0 } } },
	{ "of its own archive",
	  { { ADD, 5, 1, 0, 0 },
	    { ADD, 6, 1, 50000, 0 },
	    { LAPSE, 5, 1, 60000, 0 },
	    { LAPSE, 0, 0, 60000, 0 },
	    { SHOWN, 5, 1, 0, 0 },
	    { HIDDEN, 6, 1, 0, 0 },
	    { PENDING, 0, 0, 0, 1 } } },
	{ "an archive that goes does not lapse",
	  { { ADD, 5, 1, 0, 0 },
	    { BEGIN, 5, 0, 0, 0 },
	    { LAPSE, 0, 0, 1 << 20, 0 },
	    { HIDDEN, 5, 1, 0, 0 },
	    { GONE, 5, 0, 0, 0 },
	    { LAPSE, 0, 0, 1 << 20, 0 },
	    { PENDING, 0, 0, 0, 0 } } },
	{ "one that could not go lapses later",
	  { { ADD, 5, 1, 0, 0 },
	    { BEGIN, 5, 0, 0, 0 },
	    { FAILED, 5, 0, 90000, 0 },
	    { LAPSE, 0, 0, 149999, 0 },
	    { LAPSE, 5, 1, 150000, 0 } } },
	{ "an archive goes of which nothing was removed",
	  { { BEGIN, 5, 0, 0, 0 }, { GONE, 5, 0, 0, 0 }, { PENDING, 0, 0, 0, 0 } } },
	{ "at the end all lapses",
	  { { ADD, 5, 1, 0, 0 },
	    { ADD, 6, 1, 0, 0 },
	    { LAPSE_ALL, 5, 1, 0, 0 },
	    { LAPSE_ALL, 6, 1, 0, 0 },
	    { LAPSE_ALL, 0, 0, 0, 0 } } },
};

static void check_lapse(struct removal *r, const struct step *s)
{
	CLEANUP(removed_freep)
	struct removed *d = removal_lapse(r, s->ms, s->kind == LAPSE_ALL);

	assert_int_equal(d ? d->archive : 0, s->archive);
	assert_int_equal(d ? d->nodes.count : 0, s->index);
}

static void take(struct removal *r, const struct step *s)
{
	uint64_t entry = ENTRY(s->archive, s->index);

	switch (s->kind) {
	case END: break;
	case ADD:
		assert_int_equal(removal_add(r, ENTRY(s->archive, 0), entry, entry, s->ms),
				 s->want);
		break;
	case BEGIN: removal_begin(r, s->archive); break;
	case GONE: removal_end(r, s->archive, true, s->ms); break;
	case FAILED: removal_end(r, s->archive, false, s->ms); break;
	case LAPSE:
	case LAPSE_ALL: check_lapse(r, s); break;
	case HIDDEN: assert_true(removal_hides(r, entry)); break;
	case SHOWN: assert_false(removal_hides(r, entry)); break;
	case PENDING: assert_int_equal(removal_pending(r), s->want); break;
	}
}

static void play(const void *arg)
{
	const struct row *row = arg;
	CLEANUP(removal_freep) struct removal *r = removal_new(IDLE_S);

	assert_non_null(r);
	for (size_t i = 0; i < STEPS_MAX; i++)
		take(r, &row->steps[i]);
}

/* --- what the kernel is to be told --- */

static void nodes_and_directories(void **state)
{
	CLEANUP(removal_freep) struct removal *r = removal_new(IDLE_S);
	CLEANUP(removed_freep) struct removed *d = NULL;
	uint64_t dir = ENTRY(5, 9), entry = ENTRY(5, 2);

	(void)state;
	assert_int_equal(removal_add(r, dir, ENTRY(5, 1), ENTRY(5, 1), 0), 0);
	assert_int_equal(removal_add(r, dir, entry, ENTRY(5, 1), 0), 0); /* a hard link */
	d = removal_lapse(r, 0, true);
	assert_non_null(d);
	assert_int_equal(d->dirs.count, 1);
	assert_int_equal(*(uint64_t *)table_get(&d->dirs, &dir), 2);
	assert_int_equal(*(uint64_t *)table_get(&d->nodes, &entry), ENTRY(5, 1));
}

/* --- threads --- */

enum { THREADS = 4, EACH = 5000 };

static struct removal *shared;

static void *remove_many(void *arg)
{
	uint32_t first = (uint32_t)(uintptr_t)arg * EACH;
	intptr_t failed = 0;

	for (uint32_t i = first; i < first + EACH; i++)
		failed += removal_add(shared, ENTRY(5, 0), ENTRY(5, i), ENTRY(5, i), 0) != 0 ||
			  !removal_hides(shared, ENTRY(5, i));
	return (void *)failed;
}

static void many_threads(void **state)
{
	CLEANUP(removed_freep) struct removed *d = NULL;
	pthread_t threads[THREADS];
	void *failed;

	(void)state;
	shared = removal_new(IDLE_S);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, remove_many, (void *)i), 0);
	for (size_t i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	d = removal_lapse(shared, 0, true);
	assert_int_equal(d->nodes.count, THREADS * EACH);
	removal_free(shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nodes_and_directories),
		cmocka_unit_test(many_threads),
	};
	int rc = run_table(rows, play);

	return rc ? rc : cmocka_run_group_tests(tests, NULL, NULL);
}
