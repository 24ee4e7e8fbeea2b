/* test_placeholders.c - placeholders_replace(): values, Python's formats, Borg's errors. */

#include "tests/support/tap.h"

#include "core/base/version.h"
#include "tools/placeholders.h"

#include <stdio.h>
#include <unistd.h>

enum { NOW = 1600000026 };

static const struct row {
	const char *name, *text;
	const char *want;  /* NULL: refused */
	const char *msgid; /* of the refusal */
	const char *says;
} rows[] = {
	{ "plain text", "a::b", "a::b", NULL, NULL },
	{ "braces", "{{x}}", "{x}", NULL, NULL },
	{ "now", "{now}", "2020-09-13T12:27:06", NULL, NULL },
	{ "utcnow", "{utcnow}", "2020-09-13T12:27:06", NULL, NULL },
	{ "now with a format", "a-{now:%Y-%m-%d %f}-b", "a-2020-09-13 123456-b", NULL, NULL },
	{ "unixtime", "{unixtime}", "1600000026", NULL, NULL },
	{ "version", "{borgversion} {borgpatch}", BORG_VERSION " " BORG_VERSION, NULL, NULL },
	{ "minor", "{borgminor}/{borgmajor}", "1.2/1", NULL, NULL },
	{ "width", "{borgmajor:>3}|{borgmajor:<3}|", "  1|1  |", NULL, NULL },
	{ "unknown", "x{foo}", NULL, "InvalidPlaceholder",
	  "Invalid placeholder \"foo\" in string: x{foo}" },
	{ "conversion", "{hostname!r}", NULL, "InvalidPlaceholder",
	  "Invalid placeholder \"hostname\" in string: {hostname!r}" },
	{ "unclosed", "{now:%Y", NULL, NULL, "" },
};

static void replace_one(const void *arg)
{
	const struct row *row = arg;
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;
	int rc = placeholders_replace(row->text, INT64_C(1600000026123456789), &out, &e);

	if (row->want) {
		assert_int_equal(rc, 0);
		buf_append_byte(&out, 0);
		assert_string_equal((const char *)out.p, row->want);
	} else {
		assert_true(rc < 0);
		if (row->msgid)
			assert_string_equal(e.msgid, row->msgid);
		else
			assert_null(e.msgid);
		assert_non_null(strstr(e.msg, row->says));
	}
	buf_fini(&out);
}

int main(void)
{
	setenv("TZ", "UTC", 1);
	return run_table(rows, replace_one);
}
