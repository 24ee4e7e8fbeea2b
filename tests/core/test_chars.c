/*
 * test_chars.c - text is taken apart as Python's surrogateescape does it: what is UTF-8 by its
 * characters, every other byte for itself.
 */

#include "tests/support/tap.h"

#include "core/archive/chars.h"

#define RAW(byte) (0x10dc00 + (byte))

static const struct row {
	const char *name;
	const char *text;
	bool utf8;
	size_t count;
	uint32_t chars[4];
	const char *as_utf8; /* NULL: as it was */
} rows[] = {
	{ "empty", "", true, 0, { 0 }, NULL },
	{ "ASCII", "a/b", true, 3, { 'a', '/', 'b' }, NULL },
	{ "two, three, four bytes",
	  "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
	  true,
	  3,
	  { 0xe9, 0x20ac, 0x1f600 },
	  NULL },
	{ "a byte that begins nothing",
	  "\xffz",
	  false,
	  2,
	  { RAW(0xff), 'z' },
	  "\xf4\x8d\xb3\xbfz" },
	{ "cut short",
	  "\xe2\x82",
	  false,
	  2,
	  { RAW(0xe2), RAW(0x82) },
	  "\xf4\x8d\xb3\xa2\xf4\x8d\xb2\x82" },
	{ "an overlong form",
	  "\xc0\xaf",
	  false,
	  2,
	  { RAW(0xc0), RAW(0xaf) },
	  "\xf4\x8d\xb3\x80\xf4\x8d\xb2\xaf" },
	{ "a surrogate",
	  "\xed\xa0\x80",
	  false,
	  3,
	  { RAW(0xed), RAW(0xa0), RAW(0x80) },
	  "\xf4\x8d\xb3\xad\xf4\x8d\xb2\xa0\xf4\x8d\xb2\x80" },
	{ "beyond the last character",
	  "\xf4\x90\x80\x80",
	  false,
	  4,
	  { RAW(0xf4), RAW(0x90), RAW(0x80), RAW(0x80) },
	  "\xf4\x8d\xb3\xb4\xf4\x8d\xb2\x90\xf4\x8d\xb2\x80\xf4\x8d\xb2\x80" },
};

static void take_apart(const void *arg)
{
	const struct row *row = arg;
	struct bytes text = bytes_str(row->text);
	const char *want = row->as_utf8 ? row->as_utf8 : row->text;
	uint32_t chars[16];
	struct buf utf8 = BUF_INIT;

	assert_int_equal(chars_are_utf8(text), row->utf8);
	assert_int_equal(chars_decode(text, chars), row->count);
	for (size_t i = 0; i < row->count; i++)
		assert_int_equal(chars[i], row->chars[i]);
	assert_int_equal(chars_to_utf8(text, &utf8), 0);
	assert_true(bytes_is(buf_bytes(&utf8), want));
	assert_true(chars_are_utf8(buf_bytes(&utf8)));
	buf_fini(&utf8);
}

int main(void)
{
	return run_table(rows, take_apart);
}
