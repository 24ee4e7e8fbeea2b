/*
 * test_shelf.c - an archive is opened once however many ask, failures are told to all and kept for a
 * while, what is retired is not opened any more, and closing leaves nobody waiting.
 *
 * Method: shelf_options.make stands for the decoding of an archive: it is counted, takes its time,
 * and fails when told to.
 */

#include "tests/support/tap.h"

#include "core/archive/tree_builder.h"
#include "core/base/thread.h"
#include "fs/shelf.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NUMBER = 5, THREADS = 8 };

static atomic_int made; /* calls of make_tree() */
static int outcome;     /* what it returns */
static unsigned slow_ms;

static int make_tree(void *arg, const _Atomic bool *stop, struct tree **out, struct err *e)
{
	struct tree_builder *b = NULL;
	struct item it = { .path = bytes_str("file"), .mode = S_IFREG | 0644 };
	int rc;

	(void)arg;
	atomic_fetch_add(&made, 1);
	for (unsigned ms = 0; ms < slow_ms && !atomic_load(stop); ms++)
		usleep(1000);
	if (atomic_load(stop))
		return -ECANCELED;
	if (outcome < 0)
		return err_set(e, -outcome, "told to fail");
	rc = tree_builder_new(&b, &(struct tree_builder_options){ 0 }, e);
	if (rc == 0)
		rc = tree_builder_add(b, &it, e);
	if (rc >= 0)
		rc = tree_builder_finish(b, false, out, e);
	tree_builder_free(b);
	return rc;
}

static const struct attr_policy policy = { .numeric_ids = true };
static struct shelf *shelf;

static int begin(void **state)
{
	static const struct chunk_id id = { { 1 } };
	struct shelf_options options = { .policy = &policy, .make = make_tree };

	(void)state;
	atomic_store(&made, 0);
	outcome = 0;
	slow_ms = 30;
	assert_int_equal(shelf_open(&shelf, &options, NULL), 0);
	return shelf_add(shelf, NUMBER, &id, bytes_str("arch"), NULL);
}

static int end(void **state)
{
	(void)state;
	shelf_close(shelf);
	return 0;
}

struct asker {
	pthread_t thread;
	struct volume *volume;
	int rc;
};

static void *ask(void *arg)
{
	struct asker *a = arg;

	a->rc = shelf_take_wait(shelf, NUMBER, &a->volume, NULL);
	return NULL;
}

static void all_ask(struct asker askers[THREADS])
{
	for (size_t i = 0; i < THREADS; i++) {
		askers[i] = (struct asker){ 0 };
		assert_int_equal(thread_start(&askers[i].thread, ask, &askers[i], "ask", NULL),
				 0);
	}
	for (size_t i = 0; i < THREADS; i++)
		thread_join(askers[i].thread);
}

static void many_ask_at_once(void **state)
{
	struct asker askers[THREADS];

	(void)state;
	all_ask(askers);
	assert_int_equal(atomic_load(&made), 1);
	for (size_t i = 0; i < THREADS; i++) {
		assert_int_equal(askers[i].rc, 0);
		assert_ptr_equal(askers[i].volume, askers[0].volume);
		volume_unref(askers[i].volume);
	}
}

static void a_failure_is_told_to_all_and_kept(void **state)
{
	struct asker askers[THREADS];
	struct volume *volume = NULL;
	struct err e = ERR_INIT;

	(void)state;
	outcome = -EBADMSG;
	all_ask(askers);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(askers[i].rc, -EBADMSG);
	assert_int_equal(shelf_take(shelf, NUMBER, &volume, &e), -EBADMSG);
	assert_non_null(strstr(e.msg, "told to fail"));
	assert_int_equal(atomic_load(&made), 1); /* not tried again for each question */
}

static void nothing_waits_for_nothing(void **state)
{
	struct volume *volume = NULL;

	(void)state;
	assert_int_equal(shelf_take(shelf, NUMBER, &volume, NULL), -EINPROGRESS);
	assert_int_equal(atomic_load(&made), 0); /* asking opens nothing */
	assert_int_equal(shelf_take(shelf, NUMBER + 1, &volume, NULL), -ESTALE);
}

static void what_is_retired(void **state)
{
	struct volume *volume = NULL, *again = NULL;

	(void)state;
	assert_int_equal(shelf_take_wait(shelf, NUMBER, &volume, NULL), 0);
	shelf_retire(shelf, NUMBER);
	assert_int_equal(shelf_take(shelf, NUMBER, &again, NULL), 0); /* serves on */
	volume_unref(again);
	volume_unref(volume);
}

static void retired_before_it_was_opened(void **state)
{
	struct volume *volume = NULL;

	(void)state;
	shelf_retire(shelf, NUMBER);
	assert_int_equal(shelf_take_wait(shelf, NUMBER, &volume, NULL), -ESTALE);
	assert_int_equal(atomic_load(&made), 0);
}

static atomic_int called;

static void count_call(void *arg)
{
	(void)arg;
	atomic_fetch_add(&called, 1);
}

static void see_the_end(void *arg)
{
	struct volume *volume = NULL;
	struct err e = ERR_INIT;

	*(int *)arg = shelf_take(shelf, NUMBER, &volume, &e);
}

/* ... and gives up what it would wait for. */
static void closing_calls_who_waits(void **state)
{
	int rc = 0;

	(void)begin(state);
	atomic_store(&called, 0);
	slow_ms = 3600 * 1000;
	for (int i = 0; i < 3; i++)
		assert_true(shelf_await(shelf, NUMBER, count_call, NULL));
	assert_true(shelf_await(shelf, NUMBER, see_the_end, &rc));
	usleep(20000);
	shelf_close(shelf);
	assert_int_equal(atomic_load(&called), 3);
	assert_int_equal(rc, -ESTALE);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(many_ask_at_once),
		CASE(a_failure_is_told_to_all_and_kept),
		CASE(nothing_waits_for_nothing),
		CASE(what_is_retired),
		CASE(retired_before_it_was_opened),
		cmocka_unit_test(closing_calls_who_waits),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
