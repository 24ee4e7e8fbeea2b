/*
 * test_ini.c - a changed option leaves everything else as it was, and Python's configparser
 * reads the result: values and files are those of Python 3.11's configparser without
 * interpolation, except that it drops comments when it writes.
 */

#include "tests/support/tap.h"

#include "core/repo/ini.h"

static const struct get_row {
	const char *name;
	const char *text, *section, *option;
	const char *want; /* NULL: no such option */
} get_rows[] = {
	{ "a plain one", "[a]\nx = 1\n", "a", "x", "1" },
	{ "with a colon", "[a]\nx: 1 = 2\n", "a", "x", "1 = 2" },
	{ "in capitals", "[a]\nX=1\n", "a", "x", "1" },
	{ "of the other section", "[a]\nx = 1\n[b]\nx = 2\n", "b", "x", "2" },
	{ "of no section", "x = 1\n[a]\n", "a", "x", NULL },
	{ "another's beginning", "[a]\nxy = 1\n", "a", "x", NULL },
	{ "a section in capitals", "[A]\nx = 1\n", "a", "x", NULL },
	{ "empty", "[a]\nx =\n", "a", "x", "" },
	{ "of two lines", "[a]\nx = 1\n\t2\ny = 3\n", "a", "x", "1\n2" },
	{ "with a comment inside", "[a]\nx = 1\n# c\n  2\n", "a", "x", "1\n2" },
	{ "with an empty line inside", "[a]\nx = 1\n\n  2\n\n", "a", "x", "1\n\n2" },
	{ "begun below its name", "[a]\nx =\n\t1\n", "a", "x", "\n1" },
	{ "further in than the name", "[a]\n  x = 1\n   2\n", "a", "x", "1\n2" },
	{ "as far in as the one above", "[a]\n  x = 1\n  y = 2\n", "a", "y", "2" },
	{ "a line that only looks like an option", "[a]\nx = 1\n y = 2\n", "a", "y", NULL },
	{ "a line that only looks like a section", "[a]\nx = 1\n [b]\ny = 2\n", "a", "y", "2" },
	{ "a bracket without its other", "[a]\n[x = 1\n", "a", "[x", "1" },
	{ "no newline at the end", "[a]\nx = 1", "a", "x", "1" },
	{ "lines of other systems", "[a]\r\nx = 1\r\n\t2\r\n", "a", "x", "1\n2" },
	{ "in an empty text", "", "a", "x", NULL },
};

static const struct set_row {
	const char *name;
	const char *text, *section, *option, *value; /* NULL: remove it */
	const char *want;
} set_rows[] = {
	{ "changed", "[a]\nx = 1\ny = 2\n\n", "a", "x", "3", "[a]\nx = 3\ny = 2\n\n" },
	{ "the first of two lines", "[a]\nx = 1\n\t2\ny = 3\n", "a", "x", "4",
	  "[a]\nx = 4\ny = 3\n" },
	{ "to two lines", "[a]\nx = 1\ny = 2\n", "a", "x", "3\n4", "[a]\nx = 3\n\t4\ny = 2\n" },
	{ "added before the empty line", "[a]\nx = 1\n\n", "a", "y", "2",
	  "[a]\nx = 1\ny = 2\n\n" },
	{ "added before the next section", "[a]\nx = 1\n\n[b]\ny = 1\n", "a", "y", "2",
	  "[a]\nx = 1\ny = 2\n\n[b]\ny = 1\n" },
	{ "added to an empty section", "[a]\n\n[b]\n", "a", "x", "1", "[a]\nx = 1\n\n[b]\n" },
	{ "added without a newline", "[a]\nx = 1", "a", "y", "2", "[a]\nx = 1\ny = 2\n" },
	{ "added to nothing", "", "a", "x", "1", "[a]\nx = 1\n\n" },
	{ "a new section", "[a]\nx = 1\n\n", "b", "x", "2", "[a]\nx = 1\n\n[b]\nx = 2\n\n" },
	{ "comments stay", "# 1\n[a]\n; 2\nx = 1\n# 3\n", "a", "x", "2",
	  "# 1\n[a]\n; 2\nx = 2\n# 3\n" },
	{ "what is none of these stays", "[a]\nwhat\nx = 1\n", "a", "x", "2",
	  "[a]\nwhat\nx = 2\n" },
	{ "removed", "[a]\nx = 1\n\t2\ny = 3\n", "a", "x", NULL, "[a]\ny = 3\n" },
	{ "the last one removed", "[a]\nx = 1\n[b]\nx = 2\n", "a", "x", NULL, "[b]\nx = 2\n" },
	{ "removed where it is not", "[a]\nx = 1\n", "a", "y", NULL, "[a]\nx = 1\n" },
	{ "removed from no section", "[a]\nx = 1\n", "b", "x", NULL, "[a]\nx = 1\n" },
	{ "changed before one as far in", "[a]\n  x = 1\n  y = 2\n", "a", "x", "3\n4",
	  "[a]\n  x = 3\n  \t4\n  y = 2\n" },
	{ "changed before one less far in", "[a]\n  x = 1\n y = 2\n", "a", "x", "3",
	  "[a]\n x = 3\n y = 2\n" },
	{ "added before a section further in", "[a]\n  [b]\nx = 1\n", "a", "x", "2",
	  "[a]\n  x = 2\n  [b]\nx = 1\n" },
	{ "an empty section stays before one further in", "[c]\nz = 1\n[a]\n  x = 1\n  [b]\n",
	  "a", "x", NULL, "[c]\nz = 1\n[a]\n  [b]\n" },
	{ "the first of two", "[a]\nx = 1\nx = 2\n", "a", "x", "3", "[a]\nx = 3\nx = 2\n" },
	{ "the same name elsewhere stays", "[b]\nx = 1\n[a]\nx = 2\n", "a", "x", "3",
	  "[b]\nx = 1\n[a]\nx = 3\n" },
};

static void get_one(const void *arg)
{
	const struct get_row *row = arg;
	char *value = NULL;

	assert_int_equal(ini_get(bytes_str(row->text), row->section, row->option, &value),
			 row->want != NULL);
	if (row->want)
		assert_string_equal(value, row->want);
	free(value);
}

static void set_one(const void *arg)
{
	const struct set_row *row = arg;
	struct buf text = BUF_INIT;

	assert_int_equal(buf_append_str(&text, row->text), 0);
	assert_int_equal(ini_set(&text, row->section, row->option, row->value), 0);
	assert_int_equal(buf_append_byte(&text, 0), 0);
	assert_string_equal((char *)text.p, row->want);
	buf_fini(&text);
}

static void sections(void **state)
{
	static const char text[] = "[a]\nx = 1\n [c]\n[b] ; x\n#[d]\n[]\n";

	(void)state;
	assert_true(ini_has_section(bytes_str(text), "a"));
	assert_true(ini_has_section(bytes_str(text), "b"));
	assert_false(ini_has_section(bytes_str(text), "c"));
	assert_false(ini_has_section(bytes_str(text), "d"));
	assert_false(ini_has_section(bytes_str(text), ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(sections) };
	int rc = run_table(get_rows, get_one) + run_table(set_rows, set_one);

	return rc + cmocka_run_group_tests(tests, NULL, NULL);
}
