/* test_text.c - sizes, modes and JSON as Borg prints them; expected text from stock borg and
 * Python 3.11. */

#include "tests/support/tap.h"

#include "tools/json_out.h"
#include "tools/strftime.h"
#include "core/base/size_text.h"
#include "tools/text.h"

static void sizes(void **state)
{
	static const struct {
		uint64_t bytes;
		bool iec;
		const char *want;
	} rows[] = {
		{ 0, false, "0 B" },
		{ 999, false, "999 B" },
		{ 1000, false, "1.00 kB" },
		{ 300510, false, "300.51 kB" },
		{ 999994, false, "999.99 kB" },
		{ 999996, false, "1.00 MB" }, /* 1000.00 kB once rounded */
		{ 1023, true, "1023 B" },
		{ 1024, true, "1.00 KiB" },
		{ 1048575, true, "1.00 MiB" },
		{ UINT64_MAX, false, "18.45 EB" },
	};
	char out[32];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(size_text(rows[i].bytes, rows[i].iec, out), rows[i].want);
}

static void modes(void **state)
{
	static const struct {
		uint32_t mode;
		const char *want;
	} rows[] = {
		{ 0100644, "-rw-r--r--" }, { 040755, "drwxr-xr-x" },  { 0104755, "-rwsr-xr-x" },
		{ 0104644, "-rwSr--r--" }, { 0102755, "-rwxr-sr-x" }, { 041777, "drwxrwxrwt" },
		{ 041776, "drwxrwxrwT" },  { 0120777, "lrwxrwxrwx" }, { 010600, "prw-------" },
		{ 0644, "?rw-r--r--" },
	};
	char out[11];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		text_mode(rows[i].mode, out);
		assert_string_equal(out, rows[i].want);
	}
}

static void durations(void **state)
{
	static const struct {
		double seconds;
		const char *want;
	} rows[] = {
		{ 0.013391, "0.01 seconds" },
		{ 61.5, "1 minutes 1.50 seconds" },
		{ 90061, "1 days 1 hours 1 minutes 1.00 seconds" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf out = BUF_INIT;

		assert_int_equal(text_duration(rows[i].seconds, &out), 0);
		assert_true(bytes_is(buf_bytes(&out), rows[i].want));
		buf_fini(&out);
	}
}

static void shell_words(void **state)
{
	static const char *const rows[][2] = {
		{ "plain-word_1.0,x", "plain-word_1.0,x" },
		{ "", "''" },
		{ "a b", "'a b'" },
		{ "it's", "'it'\"'\"'s'" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf out = BUF_INIT;

		assert_int_equal(text_shell_quote(bytes_str(rows[i][0]), &out), 0);
		assert_true(bytes_is(buf_bytes(&out), rows[i][1]));
		buf_fini(&out);
	}
}

static void json_texts(void **state)
{
	static const char *const rows[][2] = {
		{ "a\"\\\n\r\t\f\b\x01\x7f", "\"a\\\"\\\\\\n\\r\\t\\f\\b\\u0001\x7f\"" },
		{ "\xc3\xbc\xe5\x90\x8d", "\"\\u00fc\\u540d\"" },
		{ "\xf0\x9f\x8e\x89", "\"\\ud83c\\udf89\"" },
		{ "caf\xe9-\xff", "\"caf?-?\"" },
		{ "\xed\xa0\x80", "\"???\"" },      /* a surrogate is no UTF-8 */
		{ "\xc0\xaf", "\"??\"" },           /* overlong */
		{ "\xf4\x90\x80\x80", "\"????\"" }, /* beyond U+10FFFF */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct json_out j = { .indent = -1 };

		json_str(&j, rows[i][0]);
		assert_true(bytes_is(buf_bytes(&j.out), rows[i][1]));
		buf_fini(&j.out);
	}
}

static void json_floats(void **state)
{
	static const struct {
		double value;
		const char *want;
	} rows[] = {
		{ 0, "0.0" },
		{ 1, "1.0" },
		{ 0.1, "0.1" },
		{ 0.013391, "0.013391" },
		{ 2.7608925436303277e-05, "2.7608925436303277e-05" },
		{ 0.0001, "0.0001" },
		{ 1795352251.85, "1795352251.85" },
		{ 123456789012345680.0, "1.2345678901234568e+17" },
		{ 1e16, "1e+16" },
		{ -1.5, "-1.5" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct json_out j = { .indent = -1 };

		json_double(&j, rows[i].value);
		buf_append_byte(&j.out, 0);
		assert_string_equal((const char *)j.out.p, rows[i].want);
		buf_fini(&j.out);
	}
}

static void json_shape(void **state)
{
	struct json_out j = { .indent = 4 };

	(void)state;
	json_open(&j, '{');
	json_key(&j, "a");
	json_open(&j, '[');
	json_int(&j, -1);
	json_bool(&j, true);
	json_close(&j, ']');
	json_key(&j, "b");
	json_open(&j, '[');
	json_close(&j, ']');
	json_close(&j, '}');
	assert_true(bytes_is(buf_bytes(&j.out), "{\n    \"a\": [\n        -1,\n        true\n"
						"    ],\n    \"b\": []\n}"));
	buf_fini(&j.out);
}

/* The expected texts are datetime.fromtimestamp(ns / 1e9)'s, where rounding twice shows. */
static void times_as_python_rounds_them(void **state)
{
	static const struct {
		int64_t ns;
		const char *want;
	} times[] = {
		{ INT64_C(1521955745781890459), "2018-03-25T05:29:05.781891" },
		{ INT64_C(1523189988214193478), "2018-04-08T12:19:48.214193" },
		{ INT64_C(1763985729149403470), "2025-11-24T12:02:09.149403" },
	};

	(void)state;
	setenv("TZ", "UTC", 1);
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		struct buf text = BUF_INIT;

		assert_int_equal(time_iso(times[i].ns, &text), 0);
		assert_true(bytes_is(buf_bytes(&text), times[i].want));
		buf_fini(&text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_as_python_rounds_them),
		cmocka_unit_test(sizes),
		cmocka_unit_test(modes),
		cmocka_unit_test(durations),
		cmocka_unit_test(shell_words),
		cmocka_unit_test(json_texts),
		cmocka_unit_test(json_floats),
		cmocka_unit_test(json_shape),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
