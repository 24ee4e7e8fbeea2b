/* chars.c - see chars.h. */

#include "core/archive/chars.h"

enum { NOT_UTF8 = 0x10dc00 /* + byte: a private character, one for each such byte */ };

/* Bytes of the UTF-8 character at p, 0 where there is none.  No surrogates, no overlong forms. */
static size_t utf8_char(const uint8_t *p, size_t len, uint32_t *out)
{
	uint32_t c = p[0];
	size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
	static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };

	if (n == 0 || n > len)
		return 0;
	if (n > 1)
		c &= 0x7fU >> n;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	*out = c;
	return n;
}

static size_t next_char(const uint8_t *p, size_t len, uint32_t *out)
{
	size_t n;

	if (p[0] < 0x80) {
		*out = p[0];
		return 1;
	}
	n = utf8_char(p, len, out);
	if (n)
		return n;
	*out = NOT_UTF8 + p[0];
	return 1;
}

size_t chars_decode(struct bytes text, uint32_t *out)
{
	size_t count = 0;

	for (size_t i = 0; i < text.len; count++)
		i += next_char(text.p + i, text.len - i, &out[count]);
	return count;
}

bool chars_are_utf8(struct bytes text)
{
	for (size_t i = 0; i < text.len;) {
		uint32_t c;
		size_t n = text.p[i] < 0x80 ? 1 : utf8_char(text.p + i, text.len - i, &c);

		if (n == 0)
			return false;
		i += n;
	}
	return true;
}

int chars_to_utf8(struct bytes text, struct buf *out)
{
	for (size_t i = 0; i < text.len;) {
		uint32_t c;
		size_t n = utf8_char(text.p + i, text.len - i, &c);
		int rc;

		if (n) {
			rc = buf_append(out, text.p + i, n);
		} else {
			c = NOT_UTF8 + text.p[i];
			uint8_t four[4] = { (uint8_t)(0xf0 | c >> 18),
					    (uint8_t)(0x80 | (c >> 12 & 0x3f)),
					    (uint8_t)(0x80 | (c >> 6 & 0x3f)),
					    (uint8_t)(0x80 | (c & 0x3f)) };
			rc = buf_append(out, four, sizeof(four));
			n = 1;
		}
		if (rc < 0)
			return rc;
		i += n;
	}
	return 0;
}
