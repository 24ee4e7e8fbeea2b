/*
 * test_thread.c - a pool runs every task once, blocks its producer when full, and drains before
 * it closes.
 */

#include "tests/support/tap.h"

#include "core/base/thread.h"

#include <stdatomic.h>
#include <unistd.h>

struct gate {
	struct mutex lock;
	struct cond changed;
	bool open; /* under lock */
	atomic_int ran;
};

static void wait_at_gate(void *arg)
{
	struct gate *g = arg;

	mutex_lock(&g->lock);
	while (!g->open)
		cond_wait(&g->changed, &g->lock);
	mutex_unlock(&g->lock);
	atomic_fetch_add(&g->ran, 1);
}

static void open_gate(struct gate *g)
{
	mutex_lock(&g->lock);
	g->open = true;
	cond_broadcast(&g->changed);
	mutex_unlock(&g->lock);
}

static void pool_drains(void **state)
{
	struct gate g = { .ran = 0 };
	struct pool *p = NULL;
	struct err e = ERR_INIT;
	unsigned accepted = 0;

	(void)state;
	mutex_init(&g.lock);
	cond_init(&g.changed);
	assert_int_equal(pool_open(&p, "test", 2, 4, &e), 0);
	/* Two run (and wait), four stand in the queue, then it is full for good. */
	for (unsigned i = 0; i < 1000 && accepted < 6; i++) {
		accepted += pool_try_submit(p, wait_at_gate, &g);
		if (i % 10 == 9)
			usleep(1000);
	}
	assert_int_equal(accepted, 6);
	assert_false(pool_try_submit(p, wait_at_gate, &g));
	open_gate(&g);
	for (unsigned i = 0; i < 500; i++)
		pool_submit(p, wait_at_gate, &g);
	pool_close(p);
	assert_int_equal(atomic_load(&g.ran), 506);
	cond_fini(&g.changed);
	mutex_fini(&g.lock);
}

static void waiting_ends(void **state)
{
	struct mutex m;
	struct cond c;

	(void)state;
	mutex_init(&m);
	cond_init(&c);
	mutex_lock(&m);
	assert_false(cond_wait_ms(&c, &m, 20));
	mutex_unlock(&m);
	cond_fini(&c);
	mutex_fini(&m);
	assert_true(cpu_count() >= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pool_drains),
		cmocka_unit_test(waiting_ends),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
