/* keep.c - see keep.h. */

#include "core/archive/keep.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum { PERIOD_TEXT = 64 };

static const struct period {
	const char *rule, *oldest;
} periods[KEEP_PERIODS] = {
	[KEEP_SECONDLY] = { "secondly", "secondly[oldest]" },
	[KEEP_MINUTELY] = { "minutely", "minutely[oldest]" },
	[KEEP_HOURLY] = { "hourly", "hourly[oldest]" },
	[KEEP_DAILY] = { "daily", "daily[oldest]" },
	[KEEP_WEEKLY] = { "weekly", "weekly[oldest]" },
	[KEEP_MONTHLY] = { "monthly", "monthly[oldest]" },
	[KEEP_YEARLY] = { "yearly", "yearly[oldest]" },
};

static const int64_t second_ns = 1000000000;

bool keep_rules_given(const struct keep_rules *rules)
{
	bool given = rules->within_hours != 0;

	for (size_t i = 0; i < KEEP_PERIODS; i++)
		given |= rules->count[i] != 0;
	return given;
}

struct bytes keep_stem(struct bytes name)
{
	static const char suffix[] = ".checkpoint";
	size_t end = name.len, len = sizeof(suffix) - 1;

	while (end > 0 && isdigit(name.p[end - 1]))
		end--;
	end = end > 0 && end < name.len && name.p[end - 1] == '.' ? end - 1 : name.len;
	if (end < len || memcmp(name.p + end - len, suffix, len) != 0)
		return name;
	return (struct bytes){ name.p, end - len };
}

static int newest_first(const void *a, const void *b)
{
	const struct keep_archive *x = a, *y = b;

	if (x->time_ns != y->time_ns)
		return x->time_ns < y->time_ns ? 1 : -1;
	return bytes_compare(y->name, x->name);
}

static void take(struct keep_archive *a, const char *rule, size_t number)
{
	a->keep = true;
	a->rule = rule;
	a->number = number;
}

static void keep_within(struct keep_archive *archives, size_t count, int64_t hours,
			int64_t now_ns)
{
	int64_t interval, target;
	size_t kept = 0;

	if (hours == 0)
		return;
	if (__builtin_mul_overflow(hours, 3600 * second_ns, &interval) ||
	    __builtin_sub_overflow(now_ns, interval, &target))
		target = INT64_MIN;
	for (size_t i = 0; i < count; i++)
		if (!archives[i].checkpoint && archives[i].time_ns > target)
			take(&archives[i], "within", ++kept);
}

static size_t period_text(enum keep_period p, const struct tm *t, char out[PERIOD_TEXT])
{
	switch (p) {
	case KEEP_SECONDLY: return strftime(out, PERIOD_TEXT, "%Y-%m-%d %H:%M:%S", t);
	case KEEP_MINUTELY: return strftime(out, PERIOD_TEXT, "%Y-%m-%d %H:%M", t);
	case KEEP_HOURLY: return strftime(out, PERIOD_TEXT, "%Y-%m-%d %H", t);
	case KEEP_DAILY: return strftime(out, PERIOD_TEXT, "%Y-%m-%d", t);
	case KEEP_WEEKLY: return strftime(out, PERIOD_TEXT, "%G-%V", t);
	case KEEP_MONTHLY: return strftime(out, PERIOD_TEXT, "%Y-%m", t);
	case KEEP_YEARLY: return strftime(out, PERIOD_TEXT, "%Y", t);
	case KEEP_PERIODS: break;
	}
	return 0;
}

/* Times of the same text are in one period. */
static void period_of(int64_t time_ns, enum keep_period p, char out[PERIOD_TEXT])
{
	time_t seconds = time_ns / second_ns - (time_ns % second_ns < 0);
	struct tm local;

	localtime_r(&seconds, &local);
	out[period_text(p, &local, out)] = '\0';
}

static void keep_by(struct keep_archive *archives, size_t count, enum keep_period p,
		    int64_t most)
{
	char last[PERIOD_TEXT] = "", at[PERIOD_TEXT];
	struct keep_archive *oldest = NULL;
	size_t kept = 0;

	for (size_t i = 0; i < count && most != 0; i++) {
		if (archives[i].checkpoint)
			continue;
		oldest = &archives[i];
		period_of(oldest->time_ns, p, at);
		if (strcmp(at, last) == 0)
			continue;
		strcpy(last, at);
		if (oldest->keep)
			continue;
		take(oldest, periods[p].rule, ++kept);
		if (most > 0 && kept == (size_t)most)
			return;
	}
	if (oldest && !oldest->keep && most > 0)
		take(oldest, periods[p].oldest, kept + 1);
}

void keep_decide(struct keep_archive *archives, size_t count, const struct keep_rules *rules,
		 int64_t now_ns)
{
	tzset();
	if (count > 0)
		qsort(archives, count, sizeof(archives[0]), newest_first);
	for (size_t i = 0; i < count; i++) {
		struct keep_archive *a = &archives[i];

		a->checkpoint = keep_stem(a->name).len < a->name.len;
		a->keep = i == 0 && a->checkpoint;
		a->rule = NULL;
		a->number = 0;
	}
	keep_within(archives, count, rules->within_hours, now_ns);
	for (size_t i = 0; i < KEEP_PERIODS; i++)
		keep_by(archives, count, (enum keep_period)i, rules->count[i]);
}

/* --- intervals --- */

/* Hours of a unit; 0 for none. */
static int64_t unit_hours(char unit)
{
	switch (unit) {
	case 'H': return 1;
	case 'd': return 24;
	case 'w': return 24 * 7;
	case 'm': return 24 * 31;
	case 'y': return 24 * 365;
	default: return 0;
	}
}

/* A whole number above 0; 0 where the text is none. */
static int64_t count_of(const char *text, size_t len)
{
	char *end;
	long long n;

	errno = 0;
	n = strtoll(text, &end, 10);
	if (end == text || errno == EINVAL || n <= 0)
		return 0;
	while (end < text + len && isspace((unsigned char)*end))
		end++;
	return end == text + len ? n : 0; /* too large a number is the largest */
}

int keep_parse_interval(const char *text, int64_t *hours, struct err *e)
{
	size_t len = strlen(text), last = len;
	int64_t count;

	do {
		last -= last > 0;
	} while (last > 0 && ((unsigned char)text[last] & 0xc0) == 0x80);
	if (!unit_hours(text[last]))
		return err_set(e, EINVAL,
			       "Unexpected interval time unit \"%s\": expected one of "
			       "['H', 'd', 'w', 'm', 'y']",
			       text + last);
	count = count_of(text, last);
	if (count == 0)
		return err_set(e, EINVAL,
			       "Unexpected interval number \"%.*s\": expected an integer "
			       "greater than 0",
			       (int)last, text);
	if (__builtin_mul_overflow(count, unit_hours(text[last]), hours))
		*hours = INT64_MAX;
	return 0;
}
