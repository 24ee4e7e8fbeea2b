/*
 * test_slab.c - objects come zeroed and stay where they are with what was written to them, a number is
 * never given twice, a place is used again, and memory goes back when nothing is there.
 */

#include "tests/support/tap.h"

#include "core/base/slab.h"
#include "core/base/table.h"

#include <stdio.h>

enum { MANY = 1000 };

struct object {
	uint64_t number, more;
	uint32_t words[4];
};

static bool is_zeroed(const struct object *o)
{
	static const struct object zero;

	return memcmp(o, &zero, sizeof(zero)) == 0;
}

struct model {
	struct slab slab;
	struct object *objects[MANY];
	uint64_t numbers[MANY];
	struct table given; /* every number that was */
};

static void take(struct model *m, size_t i)
{
	bool created;

	m->objects[i] = slab_take(&m->slab, &m->numbers[i]);
	assert_non_null(m->objects[i]);
	assert_true(is_zeroed(m->objects[i]));
	m->objects[i]->number = m->numbers[i];
	m->objects[i]->words[3] = (uint32_t)i;
	assert_non_null(table_put(&m->given, &m->numbers[i], &created));
	assert_true(created);
}

static void give(struct model *m, size_t i)
{
	assert_int_equal(m->objects[i]->number, m->numbers[i]);
	slab_give(&m->slab, (uint32_t)m->numbers[i]);
	m->objects[i] = NULL;
	assert_null(slab_get(&m->slab, m->numbers[i]));
}

static void agrees(const struct model *m)
{
	size_t there = 0;

	for (size_t i = 0; i < MANY; i++) {
		if (!m->objects[i])
			continue;
		there++;
		assert_ptr_equal(slab_get(&m->slab, m->numbers[i]), m->objects[i]);
		assert_ptr_equal(slab_at(&m->slab, (uint32_t)m->numbers[i]), m->objects[i]);
		assert_int_equal(slab_number(&m->slab, (uint32_t)m->numbers[i]), m->numbers[i]);
		assert_int_equal(m->objects[i]->number, m->numbers[i]);
		assert_int_equal(m->objects[i]->words[3], i);
	}
	assert_int_equal(m->slab.used, there);
	for (uint64_t place = 0; place < slab_end(&m->slab); place++)
		there -= slab_at(&m->slab, (uint32_t)place) != NULL;
	assert_int_equal(there, 0);
}

/* More come than go, then the other way round, again and again: blocks empty and are made anew. */
static void comes_and_goes(void **state)
{
	struct model m = { 0 };
	unsigned short seed[3];
	uint64_t start = test_seed();
	size_t full;

	(void)state;
	slab_init(&m.slab, sizeof(struct object));
	table_init(&m.given, sizeof(uint64_t), 0);
	memcpy(seed, &start, sizeof(seed));
	for (size_t step = 0; step < test_count(20000, 1000000); step++) {
		size_t i = (size_t)nrand48(seed) % MANY;
		bool filling = step / 4000 % 2 == 0;

		if (!m.objects[i] && (filling || nrand48(seed) % 8 == 0))
			take(&m, i);
		else if (m.objects[i] && (!filling || nrand48(seed) % 8 == 0))
			give(&m, i);
		if (step % 500 == 0)
			agrees(&m);
	}
	for (size_t i = 0; i < MANY; i++)
		if (!m.objects[i])
			take(&m, i);
	agrees(&m);
	full = slab_bytes(&m.slab);
	assert_true(full < MANY * (sizeof(struct object) + 8) * 2);
	for (size_t i = 0; i < MANY; i++)
		give(&m, i);
	agrees(&m);
	assert_true(slab_bytes(&m.slab) < full / 4);
	slab_fini(&m.slab);
	table_fini(&m.given);
}

static void a_place_is_used_again(void **state)
{
	struct slab s;
	uint64_t first, second;

	(void)state;
	slab_init(&s, 8);
	assert_non_null(slab_take(&s, &first));
	slab_give(&s, (uint32_t)first);
	assert_non_null(slab_take(&s, &second));
	assert_int_equal((uint32_t)first, (uint32_t)second);
	assert_true(first != second);
	assert_null(slab_get(&s, first));
	assert_null(slab_at(&s, UINT32_MAX));
	slab_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_and_goes),
		cmocka_unit_test(a_place_is_used_again),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
