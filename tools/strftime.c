/*
 * strftime.c - see strftime.h.
 *
 * Listings format one time per line and most neighbours share their minute, but localtime_r is
 * cheap beside the rest, so nothing is remembered.
 */

#include "tools/strftime.h"

#include "core/base/cleanup.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { TEXT_FIRST = 256, TEXT_MAX = 65536 };

struct moment {
	struct tm tm;
	unsigned micros;
};

/* To the nearest integer, half to even. */
static double round_even(double value)
{
	int64_t whole = (int64_t)value;
	double rest = value - (double)whole;
	bool odd = whole % 2 != 0;

	if (rest > 0.5 || (odd && !(rest < 0.5)))
		whole++;
	else if (rest < -0.5 || (odd && !(rest > -0.5)))
		whole--;
	return (double)whole;
}

/* Python sees a float of seconds (the integer made a float, then divided: rounded twice) and
 * rounds it to microseconds, half to even. */
static void split(int64_t ns, bool utc, struct moment *m)
{
	double whole, part = modf((double)ns / 1e9, &whole);
	double micros = round_even(part * 1e6);
	time_t seconds;

	if (micros < 0) {
		micros += 1e6;
		whole -= 1;
	}
	if (micros >= 1e6) {
		micros -= 1e6;
		whole += 1;
	}
	seconds = (time_t)whole;
	m->micros = (unsigned)micros;
	m->tm = (struct tm){ 0 };
	if (utc)
		gmtime_r(&seconds, &m->tm);
	else
		localtime_r(&seconds, &m->tm);
}

/* Python replaces %f by itself before strftime sees the format. */
static int with_micros(const char *format, unsigned micros, struct buf *out)
{
	char text[8];

	for (const char *c = format; *c; c++) {
		if (*c == '%' && c[1] == 'f') {
			snprintf(text, sizeof(text), "%06u", micros % 1000000);
			if (buf_append_str(out, text) < 0)
				return -ENOMEM;
			c++;
			continue;
		}
		if (buf_append_byte(out, (uint8_t)*c) < 0)
			return -ENOMEM;
		if (*c == '%' && c[1] && buf_append_byte(out, (uint8_t) * ++c) < 0)
			return -ENOMEM;
	}
	return buf_append_byte(out, 0);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the format is the user's, by design */
static size_t call_strftime(char *out, size_t size, const char *format, const struct tm *tm)
{
	return strftime(out, size, format, tm);
}
#pragma GCC diagnostic pop

int time_format(int64_t ns, bool utc, const char *format, struct buf *out)
{
	CLEANUP(buf_fini) struct buf ready = BUF_INIT;
	struct moment m;
	size_t n = 0;

	split(ns, utc, &m);
	/* One more character, so that a result of 0 means "no room" and never "empty". */
	if (buf_append_byte(&ready, ' ') < 0 || with_micros(format, m.micros, &ready) < 0)
		return -ENOMEM;
	for (size_t room = TEXT_FIRST; n == 0 && room <= TEXT_MAX; room *= 2) {
		if (buf_reserve(out, out->len + room) < 0)
			return -ENOMEM;
		n = call_strftime((char *)out->p + out->len, room, (const char *)ready.p,
				  &m.tm);
	}
	if (n == 0)
		return -ENOMEM;
	memmove(out->p + out->len, out->p + out->len + 1, n - 1);
	out->len += n - 1;
	return 0;
}

int time_text(int64_t ns, struct buf *out)
{
	static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	char text[64];
	struct moment m;

	split(ns, false, &m);
	snprintf(text, sizeof(text), "%s, %04d-%02d-%02d %02d:%02d:%02d",
		 days[m.tm.tm_wday % 7], m.tm.tm_year + 1900, m.tm.tm_mon + 1, m.tm.tm_mday,
		 m.tm.tm_hour, m.tm.tm_min, m.tm.tm_sec);
	return buf_append_str(out, text);
}

int time_iso(int64_t ns, struct buf *out)
{
	char text[64];
	struct moment m;

	split(ns, false, &m);
	snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%06u", m.tm.tm_year + 1900,
		 m.tm.tm_mon + 1, m.tm.tm_mday, m.tm.tm_hour, m.tm.tm_min, m.tm.tm_sec,
		 m.micros);
	return buf_append_str(out, text);
}
