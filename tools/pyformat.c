/* pyformat.c - see pyformat.h. */

#include "tools/pyformat.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH_MAX = 1 << 20 }; /* a hostile width must not fill the memory */

static struct bytes slice(struct bytes b, size_t from, size_t to)
{
	return (struct bytes){ b.p + from, to - from };
}

/* Where the field that opens before `at` ends: the "}" of its own level. */
static int find_close(struct bytes text, size_t at, size_t *close, struct err *e)
{
	size_t depth = 1;

	for (; at < text.len; at++) {
		if (text.p[at] == '{')
			depth++;
		else if (text.p[at] == '}' && --depth == 0) {
			*close = at;
			return 0;
		}
	}
	return err_set(e, EINVAL, "expected '}' before end of string");
}

static int split_field(struct bytes inside, struct py_field *out, struct err *e)
{
	const uint8_t *colon = inside.len ? memchr(inside.p, ':', inside.len) : NULL;
	size_t head = colon ? (size_t)(colon - inside.p) : inside.len;
	const uint8_t *bang = head ? memchr(inside.p, '!', head) : NULL;
	size_t name = bang ? (size_t)(bang - inside.p) : head;

	out->has_key = true;
	out->key = slice(inside, 0, name);
	out->conversion = bang ? slice(inside, name + 1, head) : (struct bytes){ 0 };
	out->spec = colon ? slice(inside, head + 1, inside.len) : (struct bytes){ 0 };
	if (bang && out->conversion.len != 1)
		return err_set(e, EINVAL,
			       out->conversion.len ? "expected ':' after conversion specifier"
						   : "unmatched '{' in format spec");
	if (out->spec.len && memchr(out->spec.p, '{', out->spec.len))
		return err_set(e, EINVAL, "nested fields are not supported");
	return 0;
}

int py_field_next(struct bytes *rest, struct py_field *out, struct err *e)
{
	struct bytes text = *rest;
	size_t close = 0;

	*out = (struct py_field){ .literal = text };
	if (text.len == 0)
		return 0;
	*rest = slice(text, text.len, text.len);
	for (size_t at = 0; at < text.len; at++) {
		uint8_t c = text.p[at];
		int rc;

		if (c != '{' && c != '}')
			continue;
		if (at + 1 < text.len && text.p[at + 1] == c) {
			at++;
			continue;
		}
		if (c == '}')
			return err_set(e, EINVAL, "Single '}' encountered in format string");
		if (at + 1 == text.len)
			return err_set(e, EINVAL, "Single '{' encountered in format string");
		rc = find_close(text, at + 1, &close, e);
		if (rc < 0)
			return rc;
		out->literal = slice(text, 0, at);
		*rest = slice(text, close + 1, text.len);
		rc = split_field(slice(text, at + 1, close), out, e);
		return rc < 0 ? rc : 1;
	}
	return 1;
}

int py_literal(struct bytes literal, struct buf *out)
{
	for (size_t i = 0; i < literal.len; i++) {
		uint8_t c = literal.p[i];

		if (buf_append_byte(out, c) < 0)
			return -ENOMEM;
		if (c == '{' || c == '}')
			i++; /* doubled, as py_field_next() saw */
	}
	return 0;
}

/* --- specs --- */

static size_t character_size(uint8_t first)
{
	if (first >= 0xf0)
		return 4;
	if (first >= 0xe0)
		return 3;
	return first >= 0xc0 ? 2 : 1;
}

static bool is_align(uint8_t c)
{
	return c == '<' || c == '>' || c == '^' || c == '=';
}

struct cursor {
	struct bytes text;
	size_t at;
};

static bool take(struct cursor *c, uint8_t wanted)
{
	if (c->at >= c->text.len || c->text.p[c->at] != wanted)
		return false;
	c->at++;
	return true;
}

static int take_number(struct cursor *c, size_t *out, struct err *e)
{
	*out = 0;
	for (; c->at < c->text.len; c->at++) {
		uint8_t digit = c->text.p[c->at];

		if (digit < '0' || digit > '9')
			break;
		*out = *out * 10 + (size_t)(digit - '0');
		if (*out > WIDTH_MAX)
			return err_set(e, EINVAL, "Too many decimal digits in format string");
	}
	return 0;
}

static void take_align(struct cursor *c, struct py_spec *out)
{
	size_t n = c->text.len ? character_size(c->text.p[0]) : 0;

	if (n && n < c->text.len && is_align(c->text.p[n])) {
		memcpy(out->fill, c->text.p, n);
		out->fill[n] = 0;
		out->align = (char)c->text.p[n];
		c->at = n + 1;
	} else if (c->text.len && is_align(c->text.p[0])) {
		out->align = (char)c->text.p[0];
		c->at = 1;
	}
}

int py_spec_parse(struct bytes text, struct py_spec *out, struct err *e)
{
	struct cursor c = { .text = text };
	size_t number, start;
	int rc;

	*out = (struct py_spec){ .fill = " ", .precision = -1 };
	take_align(&c, out);
	if (c.at < text.len && text.p[c.at] && strchr("+- ", text.p[c.at]))
		out->sign = (char)text.p[c.at++];
	out->alternate = take(&c, '#');
	if (take(&c, '0')) {
		out->zero = true;
		if (c.at < 2 || !out->align)
			memcpy(out->fill, "0", 2);
	}
	rc = take_number(&c, &out->width, e);
	if (rc < 0)
		return rc;
	out->grouped = take(&c, ',');
	out->underscored = !out->grouped && take(&c, '_');
	if (take(&c, '.')) {
		start = c.at;
		rc = take_number(&c, &number, e);
		if (rc < 0)
			return rc;
		if (c.at == start)
			return err_set(e, EINVAL, "Format specifier missing precision");
		out->precision = (int)number;
	}
	if (c.at < text.len)
		out->type = (char)text.p[c.at++];
	if (c.at < text.len)
		return err_set(e, EINVAL, "Invalid format specifier");
	return 0;
}

static size_t characters(struct bytes text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++)
		n += (text.p[i] & 0xc0) != 0x80;
	return n;
}

static int pad(const struct py_spec *spec, size_t count, struct buf *out)
{
	for (size_t i = 0; i < count; i++)
		if (buf_append_str(out, spec->fill) < 0)
			return -ENOMEM;
	return 0;
}

/* `head` is what '=' alignment pads behind: the sign and base prefix. */
static int put_aligned(const struct py_spec *spec, char align, struct bytes head,
		       struct bytes value, struct buf *out)
{
	size_t width = characters(head) + characters(value);
	size_t missing = spec->width > width ? spec->width - width : 0;
	size_t left = align == '>' ? missing : align == '^' ? missing / 2 : 0;
	size_t middle = align == '=' ? missing : 0;

	if (pad(spec, left, out) < 0 || buf_append(out, head.p, head.len) < 0 ||
	    pad(spec, middle, out) < 0 || buf_append(out, value.p, value.len) < 0)
		return -ENOMEM;
	return pad(spec, missing - left - middle, out);
}

static size_t cut_characters(struct bytes text, size_t count)
{
	size_t i = 0;

	while (i < text.len && count > 0) {
		i++;
		while (i < text.len && (text.p[i] & 0xc0) == 0x80)
			i++;
		count--;
	}
	return i;
}

int py_format_text(const struct py_spec *spec, struct bytes value, struct buf *out,
		   struct err *e)
{
	if (spec->type && spec->type != 's')
		return err_set(e, EINVAL, "Unknown format code '%c' for object of type 'str'",
			       spec->type);
	if (spec->sign)
		return err_set(e, EINVAL, "Sign not allowed in string format specifier");
	if (spec->alternate)
		return err_set(e, EINVAL,
			       "Alternate form (#) not allowed in string format specifier");
	if (spec->align == '=')
		return err_set(e, EINVAL,
			       "'=' alignment not allowed in string format specifier");
	if (spec->grouped || spec->underscored)
		return err_set(e, EINVAL, "Cannot specify '%c' with 's'.",
			       spec->grouped ? ',' : '_');
	if (spec->precision >= 0)
		value.len = cut_characters(value, (size_t)spec->precision);
	if (put_aligned(spec, spec->align ? spec->align : '<', (struct bytes){ 0 }, value,
			out) < 0)
		return err_nomem(e, "format");
	return 0;
}

/* Digits of v in the base, with separators; the first character in `out` (a full buffer). */
static size_t digits(uint64_t v, unsigned base, bool upper, char separator, unsigned group,
		     char out[96])
{
	const char *set = upper ? "0123456789ABCDEF" : "0123456789abcdef";
	size_t at = 96;
	unsigned written = 0;

	do {
		if (separator && written && written % group == 0)
			out[--at] = separator;
		out[--at] = set[v % base];
		v /= base;
		written++;
	} while (v);
	return at;
}

static int base_of(char type, unsigned *base, const char **prefix)
{
	switch (type) {
	case 0:
	case 'd':
	case 'n': *base = 10, *prefix = ""; return 0;
	case 'x': *base = 16, *prefix = "0x"; return 0;
	case 'X': *base = 16, *prefix = "0X"; return 0;
	case 'o': *base = 8, *prefix = "0o"; return 0;
	case 'b': *base = 2, *prefix = "0b"; return 0;
	default: return -EINVAL;
	}
}

static int print_float(char type, int precision, double v, char *out, size_t size)
{
	switch (type) {
	case 'e': return snprintf(out, size, "%.*e", precision, v);
	case 'E': return snprintf(out, size, "%.*E", precision, v);
	case 'g': return snprintf(out, size, "%.*g", precision, v);
	case 'G': return snprintf(out, size, "%.*G", precision, v);
	case '%': return snprintf(out, size, "%.*f%%", precision, v * 100);
	default: return snprintf(out, size, "%.*f", precision, v);
	}
}

/* The floating-point types, for which Python turns the integer into a float. */
static int format_float(const struct py_spec *spec, double value, struct buf *out)
{
	char text[512], head[2] = "";
	int precision = spec->precision >= 0 ? spec->precision : 6;
	bool negative = value < 0;
	int n = print_float(spec->type, precision < 100 ? precision : 100,
			    negative ? -value : value, text, sizeof(text));

	if (n < 0 || (size_t)n >= sizeof(text))
		return -ENOMEM;
	head[0] = negative ? '-' : spec->sign == '+' || spec->sign == ' ' ? spec->sign : 0;
	return put_aligned(spec,
			   spec->align  ? spec->align
			   : spec->zero ? '='
					: '>',
			   bytes_str(head), bytes_str(text), out);
}

int py_format_int(const struct py_spec *spec, int64_t value, struct buf *out, struct err *e)
{
	uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
	char text[96], head[4] = "";
	const char *prefix;
	unsigned base;
	size_t at, n = 0;
	int rc;

	if (spec->type && strchr("eEfFgG%", spec->type)) {
		rc = format_float(spec, (double)value, out);
		return rc < 0 ? err_nomem(e, "format") : 0;
	}
	if (base_of(spec->type, &base, &prefix) < 0)
		return err_set(e, EINVAL, "Unknown format code '%c' for object of type 'int'",
			       spec->type);
	if (spec->precision >= 0)
		return err_set(e, EINVAL, "Precision not allowed in integer format specifier");
	at = digits(magnitude, base, spec->type == 'X',
		    spec->grouped       ? ','
		    : spec->underscored ? '_'
					: 0,
		    base == 10 ? 3 : 4, text);
	if (value < 0)
		head[n++] = '-';
	else if (spec->sign == '+' || spec->sign == ' ')
		head[n++] = spec->sign;
	if (spec->alternate)
		memcpy(head + n, prefix, strlen(prefix) + 1);
	rc = put_aligned(spec,
			 spec->align  ? spec->align
			 : spec->zero ? '='
				      : '>',
			 bytes_str(head),
			 (struct bytes){ (const uint8_t *)text + at, sizeof(text) - at }, out);
	return rc < 0 ? err_nomem(e, "format") : 0;
}
