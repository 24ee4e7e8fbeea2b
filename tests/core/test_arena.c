/*
 * test_arena.c - pieces of any size are aligned, do not overlap, and keep their bytes.
 */

#include "tests/support/tap.h"

#include "core/base/arena.h"

static void pieces(void **state)
{
	enum { COUNT = 2000 };
	struct arena a = ARENA_INIT;
	uint8_t *piece[COUNT];
	size_t size[COUNT];

	(void)state;
	for (size_t i = 0; i < COUNT; i++) {
		size[i] = i % 50 == 49 ? 3000000 / (i + 1) : i % 97;
		piece[i] = arena_alloc(&a, size[i]);
		assert_non_null(piece[i]);
		assert_int_equal((uintptr_t)piece[i] % 16, 0);
		memset(piece[i], (int)i & 0xff, size[i]);
	}
	for (size_t i = 0; i < COUNT; i++)
		for (size_t k = 0; k < size[i]; k++)
			assert_int_equal(piece[i][k], i & 0xff);
	arena_fini(&a);
	assert_int_equal(a.total, 0);
}

static void refusals(void **state)
{
	struct arena a = ARENA_INIT;
	uint8_t *zeros;

	(void)state;
	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_null(arena_alloc(&a, SIZE_MAX - 20));
	assert_null(arena_zalloc(&a, SIZE_MAX / 2, 3));
	zeros = arena_zalloc(&a, 10, 10);
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(zeros[i], 0);
	assert_string_equal(arena_dup(&a, bytes_str("name")), "name");
	arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces),
		cmocka_unit_test(refusals),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
