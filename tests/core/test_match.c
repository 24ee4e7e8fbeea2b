/*
 * test_match.c - patterns match what they match in stock borg.
 *
 * Method: the verdicts of `styles` are those of borg.patterns 1.2.4 (Python 3.11), written down
 * by a script that knows nothing of this code; order, commands and files are as documented.
 */

#include "tests/support/tap.h"

#include <stdio.h>
#include <unistd.h>

#include "core/archive/match.h"

static const struct style_row {
	const char *pattern;
	const char *path;
	bool matches;
} styles[] = {
	{ "fm:a/b", "a/b", true },
	{ "fm:a/b", "a/b/c", true },
	{ "fm:a/b", "a/bc", false },
	{ "fm:a/b/", "a/b", false },
	{ "fm:a/b/", "a/b/c", true },
	{ "fm:/home/*/junk", "home/u/x/junk", true },
	{ "fm:*.o", "a/b.o", true },
	{ "fm:*.o", "a/b.o/c", true },
	{ "fm:[!a]b", "ab", false },
	{ "fm:[!a]b", "cb", true },
	{ "fm:[b-a]", "a", false },
	{ "fm:x[]", "x[]", true },
	{ "fm:a\?c", "a/c", true },
	{ "fm:./a/../b", "b", true },
	{ "fm:", "x", false },
	{ "fm:", ".", true },
	{ "sh:*.o", "a/b.o", false },
	{ "sh:**/*.o", "a/b.o", true },
	{ "sh:**/*.o", "b.o", true },
	{ "sh:a/**/z", "a/z", true },
	{ "sh:a/**/z", "a/b/c/z", true },
	{ "sh:a/**/z", "a/b/cz", false },
	{ "sh:a\?c", "a/c", false },
	{ "sh:a", "a/b/c", true },
	{ "sh:a/", "a", false },
	{ "sh:a/", "a/b", true },
	{ "sh:[^a]", "^", true },
	{ "sh:[^a]", "b", false },
	{ "sh:[!a]", "b", true },
	{ "sh:a**b", "a/b", false },
	{ "sh:\303\251\?", "\303\251\303\250", true },
	{ "sh:a\?", "a\377", true },
	{ "sh:a\?", "a\377\376", false },
	{ "sh:[a-", "[a-", true },
	{ "pp:a/b", "a/b", true },
	{ "pp:a/b/", "a/b/c", true },
	{ "pp:a/b", "a/bc", false },
	{ "pp:/", "a", true },
	{ "pp:/a//b/.", "a/b", true },
	{ "pp:.", ".", true },
	{ "pp:.", "a", false },
	{ "pp:../a", "../a/x", true },
	{ "pf:a/b", "a/b", true },
	{ "pf:/a/./b/", "a/b", true },
	{ "pf:a/b", "a/b/c", false },
	{ "re:b/", "a/b/c", true },
	{ "re:^b", "ab", false },
	{ "re:b$", "ab", true },
	{ "re:b\\Z", "ab\012", false },
	{ "re:b$", "ab\012", true },
	{ "re:^/a", "a", false },
	{ "re:\\w\303\251", "x\303\251", true },
	{ "re:^a.$", "a\377", true },
	{ "re:(\?P<q>a|b)c", "bc", true },
};

static void verdicts_of_borg(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(styles) / sizeof(styles[0]); i++) {
		char line[256];
		struct matcher *m = NULL;
		struct err e = ERR_INIT;

		snprintf(line, sizeof(line), "! %s", styles[i].pattern);
		assert_int_equal(matcher_new(&m, &e), 0);
		assert_int_equal(matcher_pattern(m, line, &e), 0);
		if (matcher_match(m, bytes_str(styles[i].path)).included == styles[i].matches)
			fail_msg("%s on %s", styles[i].pattern, styles[i].path);
		matcher_free(m);
	}
}

static void refusals(void **state)
{
	static const struct {
		const char *line, *says;
		int rc;
	} rows[] = {
		{ "", "A pattern/command must not be empty.", -EINVAL },
		{ "x a", "A pattern/command must start with any of: -, !, +, R, r, P, p",
		  -EINVAL },
		{ "+", "A pattern/command must have a value part.", -EINVAL },
		{ "-  ", "A pattern/command must have a value part.", -EINVAL },
		{ "P xx", "Invalid pattern style: xx", -EINVAL },
		{ "- zz:a", "Unknown pattern style: zz", -ENOENT },
		{ "- sh:[b-a]", "bad character range in pattern '[b-a]'", -EINVAL },
	};
	struct matcher *m = NULL;

	(void)state;
	assert_int_equal(matcher_new(&m, NULL), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err e = ERR_INIT;

		assert_int_equal(matcher_pattern(m, rows[i].line, &e), rows[i].rc);
		assert_string_equal(e.msg, rows[i].says);
	}
	assert_int_equal(matcher_exclude(m, "re:(", NULL), -EINVAL);
	assert_true(matcher_is_trivial(m));
	matcher_free(m);
}

static void check(struct matcher *m, const char *path, bool included, bool recurse)
{
	struct match_result r = matcher_match(m, bytes_str(path));

	if (r.included != included || r.recurse != recurse)
		fail_msg("%s: included %d, recurse %d", path, r.included, r.recurse);
}

static void first_match_wins(void **state)
{
	struct matcher *m = NULL;

	(void)state;
	assert_int_equal(matcher_new(&m, NULL), 0);
	assert_int_equal(matcher_pattern(m, "+ a/keep", NULL), 0);
	assert_int_equal(matcher_pattern(m, "- a", NULL), 0);
	assert_int_equal(matcher_exclude(m, "b", NULL), 0);
	assert_int_equal(matcher_pattern(m, "- pf:a/keep/not", NULL), 0);
	assert_int_equal(matcher_pattern(m, "+ pf:b", NULL), 0);
	assert_int_equal(matcher_pattern(m, "! pf:b", NULL), 0);
	check(m, "a/keep/x", true, true);
	check(m, "/a/other", false, true);
	check(m, "b/x", false, false);
	check(m, "b", false, false);         /* of two for one path the last */
	check(m, "a/keep/not", false, true); /* full paths come before all */
	check(m, "c", true, true);
	matcher_free(m);
}

static void path_arguments(void **state)
{
	char *paths[] = { (char *)(uintptr_t) "a", (char *)(uintptr_t) "sh:*.c",
			  (char *)(uintptr_t) "pf:x/y" };
	struct matcher *m = NULL;
	size_t cursor = 0;

	(void)state;
	assert_int_equal(matcher_new(&m, NULL), 0);
	assert_int_equal(matcher_exclude(m, "a/no", NULL), 0);
	assert_int_equal(matcher_include_paths(m, paths, 3, NULL), 0);
	assert_false(matcher_is_trivial(m));
	check(m, "a/b", true, true);
	check(m, "a/no", false, false);
	check(m, "b", false, true);
	check(m, "x/y", true, true);
	assert_string_equal(matcher_unmatched(m, &cursor), "*.c");
	assert_null(matcher_unmatched(m, &cursor)); /* pf is not counted */
	matcher_free(m);
}

static void pattern_files(void **state)
{
	static const char text[] =
		"# comment\n\n  R /root/dir \r\n- *.o\nP re\n- ^q+$\n+ fm:z\n";
	char *dir = test_dir_make(), path[4096];
	struct matcher *m = NULL;
	struct err e = ERR_INIT;
	FILE *f;

	(void)state;
	snprintf(path, sizeof(path), "%s/patterns", dir);
	f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(matcher_new(&m, NULL), 0);
	assert_int_equal(matcher_patterns_from(m, path, &e), 0);
	assert_int_equal(matcher_pattern(m, "- w.", &e), 0); /* sh again: not a regex */
	check(m, "x.o", false, true);
	check(m, "d/x.o", true, true);
	check(m, "qqq", false, true);
	check(m, "wx", true, true);
	assert_string_equal(matcher_root(m, 0), "/root/dir");
	assert_null(matcher_root(m, 1));
	unlink(path);
	assert_int_equal(matcher_exclude_from(m, path, &e), -ENOENT);
	assert_memory_equal(e.msg, "Error: [Errno 2] No such file or directory: '", 45);
	assert_string_equal(e.msgid, "Error");
	matcher_free(m);
	test_dir_remove(dir);
}

static void archive_globs(void **state)
{
	(void)state;
	assert_true(match_glob("sh:host-*", bytes_str("host-2024")));
	assert_true(match_glob("*", bytes_str("")));
	assert_false(match_glob("host", bytes_str("host-2024")));
	assert_true(match_glob("h?st-[0-9]", bytes_str("host-7")));
	assert_false(match_glob("[9-0]", bytes_str("5")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verdicts_of_borg), cmocka_unit_test(refusals),
		cmocka_unit_test(first_match_wins), cmocka_unit_test(path_arguments),
		cmocka_unit_test(pattern_files),    cmocka_unit_test(archive_globs),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
