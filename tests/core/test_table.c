/*
 * test_table.c - the table agrees with a plain array that is searched, over random puts and
 * removes of a small key space, where probe runs collide, wrap around and close up.
 */

#include "tests/support/tap.h"

#include "core/base/table.h"

#include <stdio.h>

enum { KEYS = 300 };

struct model {
	bool there[KEYS];
	uint64_t value[KEYS];
};

static void agrees(const struct table *t, const struct model *m)
{
	size_t count = 0, seen = 0, cursor = 0;
	const void *key;
	void *value;

	for (uint64_t k = 0; k < KEYS; k++) {
		const uint64_t *v = table_get(t, &k);

		assert_int_equal(v != NULL, m->there[k]);
		if (v)
			assert_int_equal(*v, m->value[k]);
		count += m->there[k];
	}
	assert_int_equal(t->count, count);
	while (table_next(t, &cursor, &key, &value)) {
		uint64_t k;

		memcpy(&k, key, sizeof(k));
		assert_true(k < KEYS && m->there[k]);
		seen++;
	}
	assert_int_equal(seen, count);
}

static void random_operations(void **state)
{
	struct model m = { 0 };
	struct table t;
	unsigned short seed[3];
	uint64_t start = test_seed();

	(void)state;
	memcpy(seed, &start, sizeof(seed));
	table_init(&t, sizeof(uint64_t), sizeof(uint64_t));
	for (size_t i = 0; i < test_count(20000, 1000000); i++) {
		uint64_t k = (uint64_t)nrand48(seed) % KEYS;

		if (nrand48(seed) % 2) {
			bool created;
			uint64_t *v = table_put(&t, &k, &created);

			assert_non_null(v);
			assert_int_equal(created, !m.there[k]);
			if (created)
				assert_int_equal(*v, 0);
			*v = m.value[k] = i;
			m.there[k] = true;
		} else {
			assert_int_equal(table_remove(&t, &k), m.there[k]);
			m.there[k] = false;
		}
		if (i % 1000 == 0)
			agrees(&t, &m);
	}
	agrees(&t, &m);
	table_fini(&t);
}

static void an_empty_one(void **state)
{
	struct table t;
	uint64_t k = 1;
	size_t cursor = 0;
	const void *key;
	void *value;

	(void)state;
	table_init(&t, sizeof(k), 0);
	assert_null(table_get(&t, &k));
	assert_false(table_remove(&t, &k));
	assert_false(table_next(&t, &cursor, &key, &value));
	table_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_operations),
		cmocka_unit_test(an_empty_one),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
