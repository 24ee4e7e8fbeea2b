/*
 * test_keep.c - rows were decided by prune_within(), prune_split() and interval() of Borg 1.2.4,
 * those with checkpoints by its `prune --list`.
 */

#include "tests/support/tap.h"

#include "core/archive/keep.h"
#include "core/archive/manifest.h"

#include <stdio.h>

static const struct {
	const char *name, *time; /* UTC */
} archives[] = {
	{ "a", "2020-12-31T23:59:59" },        { "b", "2021-01-01T00:00:01" },
	{ "c", "2021-01-02T12:00:00" },        { "d", "2021-01-02T13:00:00" },
	{ "e", "2021-01-03T10:00:00" },        { "f", "2021-01-04T10:00:00" },
	{ "g", "2021-01-10T10:00:00" },        { "h", "2021-01-11T10:00:00" },
	{ "i", "2021-02-01T00:00:00" },        { "j", "2021-02-28T23:00:00" },
	{ "k", "2021-03-01T01:00:00" },        { "l", "2021-03-01T01:00:00" },
	{ "m", "2021-03-01T01:00:00.500000" }, { "n", "2021-03-01T01:59:30" },
	{ "o", "2021-10-31T00:30:00" },        { "p", "2021-10-31T01:30:00" },
	{ "q", "2021-10-31T01:30:30" },        { "t", "2021-10-30T00:00:00" },
	{ "r", "1969-12-31T23:59:59.250000" }, { "s", "1970-01-01T00:00:00" },
};
enum { ARCHIVES = sizeof(archives) / sizeof(archives[0]) };

static const char now[] = "2021-11-01T00:00:00";

static const struct row {
	const char *name;
	struct keep_rules rules;
	const char *zone; /* NULL: UTC */
	const char *want; /* newest first */
} rows[] = {
	{ "no rule", { 0, { 0 } }, NULL, "" },
	{ "the last two", { 0, { [KEEP_SECONDLY] = 2 } }, NULL, "q:secondly#1 p:secondly#2" },
	{ "more seconds than there are",
	  { 0, { [KEEP_SECONDLY] = 100 } },
	  NULL,
	  "q:secondly#1 p:secondly#2 o:secondly#3 t:secondly#4 n:secondly#5 m:secondly#6 "
	  "j:secondly#7 i:secondly#8 h:secondly#9 g:secondly#10 f:secondly#11 e:secondly#12 "
	  "d:secondly#13 c:secondly#14 b:secondly#15 a:secondly#16 s:secondly#17 "
	  "r:secondly#18" },
	{ "all seconds",
	  { 0, { [KEEP_SECONDLY] = -1 } },
	  NULL,
	  "q:secondly#1 p:secondly#2 o:secondly#3 t:secondly#4 n:secondly#5 m:secondly#6 "
	  "j:secondly#7 i:secondly#8 h:secondly#9 g:secondly#10 f:secondly#11 e:secondly#12 "
	  "d:secondly#13 c:secondly#14 b:secondly#15 a:secondly#16 s:secondly#17 "
	  "r:secondly#18" },
	{ "minutes",
	  { 0, { [KEEP_MINUTELY] = 4 } },
	  NULL,
	  "q:minutely#1 o:minutely#2 t:minutely#3 n:minutely#4" },
	{ "hours",
	  { 0, { [KEEP_HOURLY] = 5 } },
	  NULL,
	  "q:hourly#1 o:hourly#2 t:hourly#3 n:hourly#4 j:hourly#5" },
	{ "days", { 0, { [KEEP_DAILY] = 3 } }, NULL, "q:daily#1 t:daily#2 n:daily#3" },
	{ "days, then weeks",
	  { 0, { [KEEP_DAILY] = 2, [KEEP_WEEKLY] = 3 } },
	  NULL,
	  "q:daily#1 t:daily#2 n:weekly#1 j:weekly#2 i:weekly#3" },
	{ "weeks, then months",
	  { 0, { [KEEP_WEEKLY] = 2, [KEEP_MONTHLY] = 10 } },
	  NULL,
	  "q:weekly#1 n:weekly#2 j:monthly#1 h:monthly#2 a:monthly#3 s:monthly#4 r:monthly#5" },
	{ "years, and the oldest",
	  { 0, { [KEEP_YEARLY] = 5 } },
	  NULL,
	  "q:yearly#1 a:yearly#2 s:yearly#3 r:yearly#4" },
	{ "years without end",
	  { 0, { [KEEP_YEARLY] = -1 } },
	  NULL,
	  "q:yearly#1 a:yearly#2 s:yearly#3 r:yearly#4" },
	{ "one rule without count",
	  { 0, { [KEEP_HOURLY] = 1, [KEEP_DAILY] = 0, [KEEP_MONTHLY] = -1 } },
	  NULL,
	  "q:hourly#1 n:monthly#1 j:monthly#2 h:monthly#3 a:monthly#4 s:monthly#5 "
	  "r:monthly#6" },
	{ "ISO weeks over the new year",
	  { 0, { [KEEP_WEEKLY] = 8 } },
	  NULL,
	  "q:weekly#1 n:weekly#2 j:weekly#3 i:weekly#4 h:weekly#5 g:weekly#6 e:weekly#7 "
	  "s:weekly#8" },
	{ "the oldest is kept by an earlier rule",
	  { 0, { [KEEP_DAILY] = 100, [KEEP_YEARLY] = 9 } },
	  NULL,
	  "q:daily#1 t:daily#2 n:daily#3 j:daily#4 i:daily#5 h:daily#6 g:daily#7 f:daily#8 "
	  "e:daily#9 d:daily#10 b:daily#11 a:daily#12 s:daily#13 r:daily#14" },
	{ "every rule",
	  { 0,
	    { [KEEP_SECONDLY] = 1,
	      [KEEP_MINUTELY] = 1,
	      [KEEP_HOURLY] = 1,
	      [KEEP_DAILY] = 1,
	      [KEEP_WEEKLY] = 1,
	      [KEEP_MONTHLY] = 1,
	      [KEEP_YEARLY] = 1 } },
	  NULL,
	  "q:secondly#1 o:minutely#1 t:hourly#1 n:daily#1 j:weekly#1 h:monthly#1 a:yearly#1" },
	{ "every rule, two each",
	  { 0,
	    { [KEEP_SECONDLY] = 2,
	      [KEEP_MINUTELY] = 2,
	      [KEEP_HOURLY] = 2,
	      [KEEP_DAILY] = 2,
	      [KEEP_WEEKLY] = 2,
	      [KEEP_MONTHLY] = 2,
	      [KEEP_YEARLY] = 2 } },
	  NULL,
	  "q:secondly#1 p:secondly#2 o:minutely#1 t:minutely#2 n:hourly#1 j:hourly#2 i:daily#1 "
	  "h:daily#2 g:weekly#1 e:weekly#2 a:monthly#1 s:monthly#2 r:yearly#1" },
	{ "within a day", { 24, { 0 } }, NULL, "q:within#1 p:within#2 o:within#3" },
	{ "within a day and an hour", { 25, { 0 } }, NULL, "q:within#1 p:within#2 o:within#3" },
	{ "within years, then days",
	  { 5880, { [KEEP_DAILY] = 5 } },
	  NULL,
	  "q:within#1 p:within#2 o:within#3 t:within#4 n:within#5 m:within#6 l:within#7 "
	  "k:within#8 j:daily#1 i:daily#2 h:daily#3 g:daily#4 f:daily#5" },
	{ "within, to the second", { 23, { 0 } }, NULL, "q:within#1 p:within#2" },
	{ "within more than there is",
	  { 876000, { 0 } },
	  NULL,
	  "q:within#1 p:within#2 o:within#3 t:within#4 n:within#5 m:within#6 l:within#7 "
	  "k:within#8 j:within#9 i:within#10 h:within#11 g:within#12 f:within#13 e:within#14 "
	  "d:within#15 c:within#16 b:within#17 a:within#18 s:within#19 r:within#20" },
	{ "years of New York",
	  { 0, { [KEEP_YEARLY] = 4 } },
	  "EST5EDT,M3.2.0,M11.1.0",
	  "q:yearly#1 b:yearly#2 s:yearly#3 r:yearly[oldest]#4" },
	{ "days of New York",
	  { 0, { [KEEP_DAILY] = 5 } },
	  "EST5EDT,M3.2.0,M11.1.0",
	  "q:daily#1 t:daily#2 n:daily#3 i:daily#4 h:daily#5" },
	{ "the hour that comes twice",
	  { 0, { [KEEP_HOURLY] = 3 } },
	  "CET-1CEST,M3.5.0,M10.5.0/3",
	  "q:hourly#1 t:hourly#2 n:hourly#3" },
	{ "hours of a zone with half ones",
	  { 0, { [KEEP_HOURLY] = 4 } },
	  "IST-5:30",
	  "q:hourly#1 o:hourly#2 t:hourly#3 n:hourly#4" },
	{ "younger than two days", { 48, { 0 } }, NULL, "q:within#1 p:within#2 o:within#3" },
	{ "younger than 49 hours",
	  { 49, { 0 } },
	  NULL,
	  "q:within#1 p:within#2 o:within#3 t:within#4" },
	{ "months east of here",
	  { 0, { [KEEP_MONTHLY] = 4 } },
	  "NZST-12NZDT,M9.5.0,M4.1.0/3",
	  "q:monthly#1 n:monthly#2 i:monthly#3 h:monthly#4" },
};

static int64_t ns(const char *time)
{
	int64_t out;

	assert_int_equal(manifest_parse_time(bytes_str(time), &out), 0);
	return out;
}

static void describe(const struct keep_archive *list, size_t count, struct buf *out)
{
	for (size_t i = 0; i < count; i++) {
		char number[24];

		assert_int_equal(list[i].rule != NULL, list[i].keep && !list[i].checkpoint);
		if (!list[i].keep)
			continue;
		snprintf(number, sizeof(number), "#%zu", list[i].number);
		buf_append_str(out, out->len ? " " : "");
		buf_append(out, list[i].name.p, list[i].name.len);
		buf_append_str(out, ":");
		buf_append_str(out, list[i].rule ? list[i].rule : "checkpoint");
		buf_append_str(out, number);
	}
	buf_append_byte(out, 0);
}

static void decide_one(const void *arg)
{
	const struct row *row = arg;
	struct keep_archive list[ARCHIVES];
	struct buf got = BUF_INIT;
	bool given = false;

	for (size_t i = 0; i < ARCHIVES; i++)
		list[i] = (struct keep_archive){ .name = bytes_str(archives[i].name),
						 .time_ns = ns(archives[i].time),
						 .index = i };
	setenv("TZ", row->zone ? row->zone : "UTC", 1);
	keep_decide(list, ARCHIVES, &row->rules, ns(now));
	describe(list, ARCHIVES, &got);
	assert_string_equal((char *)got.p, row->want);
	for (size_t i = 0; i < ARCHIVES; i++) {
		assert_string_equal((const char *)list[i].name.p, archives[list[i].index].name);
		assert_true(i == 0 || list[i].time_ns <= list[i - 1].time_ns);
		given |= list[i].keep;
	}
	assert_int_equal(keep_rules_given(&row->rules), given);
	buf_fini(&got);
}

static const struct checkpoint_row {
	const char *name;
	const char *names[4]; /* oldest first, a day apart */
	const char *want;     /* by "daily 9" */
} checkpoint_rows[] = {
	{ "the newest of all", { "a", "b.checkpoint" }, "b.checkpoint:checkpoint#0 a:daily#1" },
	{ "one before the newest", { "a", "b.checkpoint", "c" }, "c:daily#1 a:daily#2" },
	{ "only the first of two",
	  { "a", "b.checkpoint", "c.checkpoint.12" },
	  "c.checkpoint.12:checkpoint#0 a:daily#1" },
	{ "nothing but checkpoints",
	  { "a.checkpoint.1", "a.checkpoint" },
	  "a.checkpoint:checkpoint#0" },
	{ "no name before it", { "a", ".checkpoint", "b" }, "b:daily#1 a:daily#2" },
	{ "nothing behind the dot", { "a.checkpoint." }, "a.checkpoint.:daily#1" },
	{ "no number behind the dot", { "a.checkpoint.x1" }, "a.checkpoint.x1:daily#1" },
	{ "no dot before the number", { "a.checkpoint1" }, "a.checkpoint1:daily#1" },
	{ "no dot before the word", { "acheckpoint" }, "acheckpoint:daily#1" },
	{ "a number alone", { "2021.1" }, "2021.1:daily#1" },
	{ "a name of digits", { "12" }, "12:daily#1" },
	{ "no archives", { NULL }, "" },
};

static void checkpoint_one(const void *arg)
{
	const struct checkpoint_row *row = arg;
	struct keep_rules rules = { .count = { [KEEP_DAILY] = 9 } };
	struct keep_archive list[4] = { 0 };
	struct buf got = BUF_INIT;
	size_t count = 0;

	for (; count < 4 && row->names[count]; count++)
		list[count] = (struct keep_archive){
			.name = bytes_str(row->names[count]),
			.time_ns = (int64_t)count * 86400 * 1000000000,
		};
	setenv("TZ", "UTC", 1);
	keep_decide(list, count, &rules, 0);
	describe(list, count, &got);
	assert_string_equal((char *)got.p, row->want);
	buf_fini(&got);
}

static const struct interval_row {
	const char *name, *text;
	int64_t want; /* 0: refused */
	const char *says;
} interval_rows[] = {
	{ "interval 1H", "1H", 1, "" },
	{ "interval 2d", "2d", 48, "" },
	{ "interval 1w", "1w", 168, "" },
	{ "interval 3m", "3m", 2232, "" },
	{ "interval 1y", "1y", 8760, "" },
	{ "interval  1d", " 1d", 24, "" },
	{ "interval 1 d", "1 d", 24, "" },
	{ "interval +1d", "+1d", 24, "" },
	{ "interval 0d", "0d", 0,
	  "Unexpected interval number \"0\": expected an integer greater than 0" },
	{ "interval -1d", "-1d", 0,
	  "Unexpected interval number \"-1\": expected an integer greater than 0" },
	{ "interval xd", "xd", 0,
	  "Unexpected interval number \"x\": expected an integer greater than 0" },
	{ "interval d", "d", 0,
	  "Unexpected interval number \"\": expected an integer greater than 0" },
	{ "interval 1", "1", 0,
	  "Unexpected interval time unit \"1\": expected one of ['H', 'd', 'w', 'm', 'y']" },
	{ "interval 1h", "1h", 0,
	  "Unexpected interval time unit \"h\": expected one of ['H', 'd', 'w', 'm', 'y']" },
	{ "interval 1D", "1D", 0,
	  "Unexpected interval time unit \"D\": expected one of ['H', 'd', 'w', 'm', 'y']" },
	{ "interval 1ü", "1ü", 0,
	  "Unexpected interval time unit \"ü\": expected one of ['H', 'd', 'w', 'm', 'y']" },
	{ "interval 1.5d", "1.5d", 0,
	  "Unexpected interval number \"1.5\": expected an integer greater than 0" },
	{ "interval 0x1d", "0x1d", 0,
	  "Unexpected interval number \"0x1\": expected an integer greater than 0" },
	{ "interval 00012H", "00012H", 12, "" },
	{ "interval without anything", "", 0, "Unexpected interval time unit \"\"" },
	{ "interval of 292 million years", "9223372036854775807y", INT64_MAX, "" },
	{ "interval of more", "99999999999999999999999d", INT64_MAX, "" },
};

static void interval_one(const void *arg)
{
	const struct interval_row *row = arg;
	struct err e = ERR_INIT;
	int64_t hours = 0;

	assert_int_equal(keep_parse_interval(row->text, &hours, &e), row->want ? 0 : -EINVAL);
	if (row->want)
		assert_int_equal(hours, row->want);
	else
		assert_non_null(strstr(e.msg, row->says));
}

static void the_stem_of_a_name(void **state)
{
	(void)state;
	assert_true(bytes_is(keep_stem(bytes_str("a.checkpoint.7")), "a"));
	assert_true(bytes_is(keep_stem(bytes_str("a.checkpoint.checkpoint")), "a.checkpoint"));
	assert_true(bytes_is(keep_stem(bytes_str("a.7")), "a.7"));
	assert_true(bytes_is(keep_stem(bytes_str("")), ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(the_stem_of_a_name) };
	int rc = run_table(rows, decide_one);

	rc += run_table(checkpoint_rows, checkpoint_one) +
	      run_table(interval_rows, interval_one);
	return rc + cmocka_run_group_tests(tests, NULL, NULL);
}
