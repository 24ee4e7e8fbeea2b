/* test_select.c - select_archives(): pattern, checkpoints, sort, first and last, in that order. */

#include "tests/support/tap.h"

#include "core/archive/select.h"

#define ENTRY(text, time, byte)                                                                \
	{                                                                                      \
		.name = { (const uint8_t *)(text), sizeof(text) - 1 }, .time_ns = (time),      \
		.id = { { byte } }                                                             \
	}

static struct manifest_entry entries[] = {
	ENTRY("alpha", 30, 3), ENTRY("beta", 10, 1), ENTRY("beta.checkpoint", 5, 9),
	ENTRY("gamma", 10, 2), ENTRY("gb", 20, 2),
};

static const struct manifest all = { .entries = entries,
				     .count = sizeof(entries) / sizeof(entries[0]) };

static const struct row {
	const char *name;
	struct select_options options;
	int want;
	const char *names;
} rows[] = {
	{ "by time; equal ones as in the manifest", { 0 }, 0, "beta gamma gb alpha" },
	{ "by name", { .sort_by = "name" }, 0, "alpha beta gamma gb" },
	{ "by name, the other word", { .sort_by = "archive" }, 0, "alpha beta gamma gb" },
	{ "by id then name", { .sort_by = "id,name" }, 0, "beta gamma gb alpha" },
	{ "by time then name", { .sort_by = "timestamp,name" }, 0, "beta gamma gb alpha" },
	{ "prefix", { .prefix = "g" }, 0, "gamma gb" },
	{ "glob", { .glob = "*a" }, 0, "beta gamma alpha" },
	{ "glob as front ends write it", { .glob = "sh:g*" }, 0, "gamma gb" },
	{ "nothing", { .glob = "x*" }, 0, "" },
	{ "checkpoints",
	  { .glob = "beta*", .consider_checkpoints = true },
	  0,
	  "beta.checkpoint beta" },
	{ "first, after sorting", { .first = 2 }, 0, "beta gamma" },
	{ "last, after sorting", { .last = 1 }, 0, "alpha" },
	{ "more than there are", { .last = 9 }, 0, "beta gamma gb alpha" },
	{ "unknown key", { .sort_by = "name,size" }, -EINVAL, NULL },
	{ "no key", { .sort_by = "" }, -EINVAL, NULL },
};

static void select_one(const void *arg)
{
	const struct row *row = arg;
	struct selection s = { 0 };
	struct buf names = BUF_INIT;
	struct err e = ERR_INIT;

	assert_int_equal(select_archives(&s, &all, &row->options, &e), row->want);
	if (row->want == 0) {
		for (size_t i = 0; i < s.count; i++) {
			if (i)
				buf_append_byte(&names, ' ');
			buf_append(&names, s.entries[i]->name.p, s.entries[i]->name.len);
		}
		buf_append_byte(&names, 0);
		assert_string_equal((const char *)names.p, row->names);
	}
	buf_fini(&names);
	selection_fini(&s);
}

int main(void)
{
	return run_table(rows, select_one);
}
