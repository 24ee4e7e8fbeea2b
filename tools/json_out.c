/* json_out.c - see json_out.h. */

#include "tools/json_out.h"

#include "tools/text.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(struct json_out *j, const void *p, size_t n)
{
	if (buf_append(&j->out, p, n) < 0)
		j->failed = true;
}

static void put_str(struct json_out *j, const char *s)
{
	put(j, s, strlen(s));
}

static void newline(struct json_out *j)
{
	put(j, "\n", 1);
	for (unsigned i = 0; i < j->depth * (unsigned)j->indent; i++)
		put(j, " ", 1);
}

/* What stands in front of a key, of an array's value, of the document. */
static void before(struct json_out *j)
{
	if (j->keyed) {
		j->keyed = false;
		return;
	}
	if (j->depth == 0)
		return;
	if (j->filled[j->depth - 1])
		put_str(j, j->indent < 0 ? ", " : ",");
	j->filled[j->depth - 1] = true;
	if (j->indent >= 0)
		newline(j);
}

void json_open(struct json_out *j, char bracket)
{
	before(j);
	assert(j->depth < JSON_DEPTH_MAX);
	j->filled[j->depth++] = false;
	put(j, &bracket, 1);
}

void json_close(struct json_out *j, char bracket)
{
	assert(j->depth > 0);
	j->depth--;
	if (j->filled[j->depth] && j->indent >= 0)
		newline(j);
	put(j, &bracket, 1);
}

static uint32_t code_point(const uint8_t *p, size_t n)
{
	static const uint8_t masks[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	uint32_t c = p[0] & masks[n];

	for (size_t i = 1; i < n; i++)
		c = c << 6 | (p[i] & 0x3f);
	return c;
}

static void put_escaped(struct json_out *j, uint32_t c)
{
	char text[16];

	if (c >= 0x10000)
		snprintf(text, sizeof(text), "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10),
			 0xdc00 + ((c - 0x10000) & 0x3ff));
	else
		snprintf(text, sizeof(text), "\\u%04x", c);
	put_str(j, text);
}

static const char *short_escape(uint32_t c)
{
	switch (c) {
	case '"': return "\\\"";
	case '\\': return "\\\\";
	case '\n': return "\\n";
	case '\r': return "\\r";
	case '\t': return "\\t";
	case '\f': return "\\f";
	case '\b': return "\\b";
	default: return NULL;
	}
}

static void put_quoted(struct json_out *j, struct bytes text)
{
	put(j, "\"", 1);
	for (size_t at = 0; at < text.len;) {
		size_t run = at, n;

		while (run < text.len && text.p[run] >= 0x20 && text.p[run] < 0x7f &&
		       text.p[run] != '"' && text.p[run] != '\\')
			run++;
		put(j, text.p + at, run - at);
		at = run;
		if (at == text.len)
			break;
		n = text_utf8(text.p + at, text.len - at);
		if (n == 0) {
			put(j, "?", 1);
			at++;
			continue;
		}
		if (n == 1 && short_escape(text.p[at]))
			put_str(j, short_escape(text.p[at]));
		else if (n == 1 && text.p[at] == 0x7f)
			put(j, text.p + at, 1);
		else
			put_escaped(j, code_point(text.p + at, n));
		at += n;
	}
	put(j, "\"", 1);
}

void json_key(struct json_out *j, const char *key)
{
	before(j);
	put_quoted(j, bytes_str(key));
	put(j, ": ", 2);
	j->keyed = true;
}

void json_text(struct json_out *j, struct bytes text)
{
	before(j);
	put_quoted(j, text);
}

void json_str(struct json_out *j, const char *text)
{
	json_text(j, bytes_str(text));
}

static void put_value(struct json_out *j, const char *text)
{
	before(j);
	put_str(j, text);
}

void json_int(struct json_out *j, int64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRId64, value);
	put_value(j, text);
}

void json_uint(struct json_out *j, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	put_value(j, text);
}

void json_bool(struct json_out *j, bool value)
{
	put_value(j, value ? "true" : "false");
}

void json_nil(struct json_out *j)
{
	put_value(j, "null");
}

/* Python's repr(float): the shortest digits that read back, an exponent from 1e16 and below
 * 1e-4. */
void json_double(struct json_out *j, double value)
{
	char text[64];
	int precision = 1, exponent;

	if (!isfinite(value)) {
		put_value(j, isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
		return;
	}
	do
		snprintf(text, sizeof(text), "%.*e", precision - 1, value);
	while (strtod(text, NULL) != value && precision++ < 17);
	exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
	if (exponent >= -4 && exponent < 16) {
		int decimals = precision - 1 - exponent;

		snprintf(text, sizeof(text), "%.*f", decimals > 1 ? decimals : 1, value);
	}
	put_value(j, text);
}
