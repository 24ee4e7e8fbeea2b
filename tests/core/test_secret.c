/*
 * test_secret.c - secrets keep their bytes, end in a NUL, and core dumps are off.
 */

#include "tests/support/tap.h"

#include "core/base/secret.h"

#include <sys/resource.h>

static void keeps(void **state)
{
	struct secret *s = secret_copy(bytes_str("pass\xff word"));
	struct secret *none = secret_new(0);
	uint8_t stack[16];

	(void)state;
	assert_non_null(s);
	assert_int_equal(s->len, 10);
	assert_memory_equal(s->p, "pass\xff word", 11);
	assert_non_null(none);
	assert_int_equal(none->p[0], 0);
	memset(stack, 7, sizeof(stack));
	secret_wipe(stack, sizeof(stack));
	for (size_t i = 0; i < sizeof(stack); i++)
		assert_int_equal(stack[i], 0);
	secret_free(s);
	secret_free(none);
	secret_free(NULL);
}

static void no_core(void **state)
{
	(void)state;
	assert_int_equal(secret_setup(), 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_CORE, &limit), 0);
	assert_int_equal(limit.rlim_cur, 0);
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps),
		cmocka_unit_test(no_core),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
