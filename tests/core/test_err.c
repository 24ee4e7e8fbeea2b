/*
 * test_err.c - an error keeps its code and class, circumstance goes in front, nothing overflows.
 */

#include "tests/support/tap.h"

#include "core/base/err.h"

static void set_and_wrap(void **state)
{
	struct err e = ERR_INIT;
	int rc = err_set_id(&e, ENOENT, "Repository.DoesNotExist", "segment %d", 17);

	(void)state;
	assert_int_equal(rc, -ENOENT);
	assert_int_equal(err_wrap(&e, rc, "archive %s", "nightly"), -ENOENT);
	assert_string_equal(e.msg, "archive nightly: segment 17");
	assert_string_equal(e.msgid, "Repository.DoesNotExist");
	assert_int_equal(e.code, ENOENT);
	assert_int_equal(err_set(&e, EIO, "plain"), -EIO);
	assert_null(e.msgid);
}

static void long_ones_are_cut(void **state)
{
	struct err e = ERR_INIT;
	char long_text[2 * sizeof(e.msg)];

	(void)state;
	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	err_set(&e, EIO, "%s", long_text);
	assert_int_equal(strlen(e.msg), sizeof(e.msg) - 1);
	err_wrap(&e, -EIO, "front");
	assert_int_equal(strncmp(e.msg, "front: xxx", 10), 0);
	assert_int_equal(strlen(e.msg), sizeof(e.msg) - 1);
	err_wrap(&e, -EIO, "%s", long_text);
	assert_int_equal(strlen(e.msg), sizeof(e.msg) - 1);
}

static void nobody_listens(void **state)
{
	(void)state;
	assert_int_equal(err_set(NULL, EIO, "x"), -EIO);
	assert_int_equal(err_wrap(NULL, -EIO, "x"), -EIO);
	assert_int_equal(err_nomem(NULL, "x"), -ENOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_and_wrap),
		cmocka_unit_test(long_ones_are_cut),
		cmocka_unit_test(nobody_listens),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
