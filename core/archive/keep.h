#ifndef ARCHIVE_KEEP_H
#define ARCHIVE_KEEP_H

/*
 * keep.h - which archives `prune` keeps.
 *
 * Each rule goes from the newest archive to the oldest and takes the first one of every period,
 * as many as it may; one that an earlier rule keeps already stands for its period, but does not
 * count.  A rule that finds fewer than it may also takes the oldest archive of all.
 *
 * Source: docs/format.md "Prune".  Pure but for the local time zone ($TZ), in which periods are.
 * Threads: no state; the environment is read.
 */

#include "core/base/bytes.h"
#include "core/base/err.h"

#include <stdbool.h>

enum keep_period { /* in the order in which the rules apply */
		   KEEP_SECONDLY,
		   KEEP_MINUTELY,
		   KEEP_HOURLY,
		   KEEP_DAILY,
		   KEEP_WEEKLY, /* ISO weeks */
		   KEEP_MONTHLY,
		   KEEP_YEARLY,
		   KEEP_PERIODS
};

struct keep_rules {
	int64_t within_hours; /* all that are younger, before any other rule; 0: no such rule */
	int64_t count[KEEP_PERIODS]; /* 0: no such rule; negative: without end */
};

struct keep_archive {
	struct bytes name;
	int64_t time_ns;
	size_t index; /* the caller's */
	/* Filled in: */
	bool checkpoint; /* its name says so */
	bool keep;
	const char *
		rule; /* "within", "daily", "daily[oldest]"; NULL where it is not kept, and for a
			     checkpoint */
	size_t number; /* of it among those that the rule keeps, from 1 */
};

/* Is any rule given? */
bool keep_rules_given(const struct keep_rules *rules);

/*
 * Decide, and sort the archives by time, newest first; where times are equal, by name, greatest
 * first.  Of the checkpoints only one is kept, and only where it is the newest archive of all.
 */
void keep_decide(struct keep_archive *archives, size_t count, const struct keep_rules *rules,
		 int64_t now_ns);

/* The name without the .checkpoint or .checkpoint.N at its end: patterns mean that too. */
struct bytes keep_stem(struct bytes name);

/* "2d": hours, days, weeks, months of 31 days, years of 365.  Error: -EINVAL, Borg's sentence. */
int keep_parse_interval(const char *text, int64_t *hours, struct err *e);

#endif
