/*
 * test_format.c - format_put() prints as Python's str.format() does.
 *
 * Expected text is what Python 3.11 prints for the same format and values.
 */

#include "tests/support/tap.h"

#include "tools/format.h"
#include "tools/text.h"

enum { K_TEXT, K_NUMBER, K_NEGATIVE, K_WIDE, K_BAD, K_TIME };

static const struct format_key keys[] = {
	{ "text", K_TEXT }, { "n", K_NUMBER }, { "neg", K_NEGATIVE },
	{ "wide", K_WIDE }, { "bad", K_BAD },  { "t", K_TIME },
};

static int get(void *arg, unsigned id, struct format_value *out, struct err *e)
{
	(void)arg;
	(void)e;
	switch (id) {
	case K_TEXT: out->text = bytes_str("abc"); break;
	case K_WIDE: out->text = bytes_str("\xc3\xbc\xe5\x90\x8d"); break; /* two characters */
	case K_BAD: out->text = bytes_str("x\xe2\x82y\xff"); break;
	case K_TIME:
		out->kind = FORMAT_TIME;
		out->number = INT64_C(1600000026123456789);
		break;
	default: out->kind = FORMAT_INT; out->number = id == K_NUMBER ? 1234567 : -42;
	}
	return 0;
}

static const struct row {
	const char *name, *format, *want; /* NULL: refused */
} rows[] = {
	{ "literal", "a{{b}}c", "a{b}c" },
	{ "literal keys", "{NL}{TAB}{SPACE}{CR}{LF}", "\n\t \r\n" },
	{ "literal key with a width", "{NL:3}|", "\n  |" },
	{ "text", "<{text}>", "<abc>" },
	{ "text left", "<{text:5}>", "<abc  >" },
	{ "text right", "<{text:>5}>", "<  abc>" },
	{ "text centred", "<{text:^6}>", "< abc  >" },
	{ "text filled", "<{text:*>5}>", "<**abc>" },
	{ "text zero-padded", "<{text:05}>", "<abc00>" },
	{ "fill of several bytes", "<{text:\xc3\xa4<5}>", "<abc\xc3\xa4\xc3\xa4>" },
	{ "text cut", "<{text:5.2}>", "<ab   >" },
	{ "width counts characters", "<{wide:4}>", "<\xc3\xbc\xe5\x90\x8d  >" },
	{ "undecodable bytes", "{bad:7}|", "x??y?  |" },
	{ "str conversion", "{text!s:4}|", "abc |" },
	{ "number", "<{n}>", "<1234567>" },
	{ "number right", "<{n:9}>", "<  1234567>" },
	{ "number left", "<{n:<9}>", "<1234567  >" },
	{ "number zero-padded", "<{neg:06}>", "<-00042>" },
	{ "number, d", "<{n:9d}>", "<  1234567>" },
	{ "number, grouped", "<{n:,}>", "<1,234,567>" },
	{ "number, underscores", "<{n:_}>", "<1_234_567>" },
	{ "number, hex", "<{n:#x}>", "<0x12d687>" },
	{ "number, octal", "<{n:o}>", "<4553207>" },
	{ "number, plus", "<{n:+}>", "<+1234567>" },
	{ "number, sign apart", "<{neg:=6}>", "<-   42>" },
	{ "number as a float", "<{neg:.1f}>", "<-42.0>" },
	{ "time", "{t}", "Sun, 2020-09-13 12:27:06" },
	{ "time, seconds", "{t:%s}", "1600000026" },
	{ "time, microseconds rounded", "{t:%H:%M:%S.%f}", "12:27:06.123457" },
	{ "time, percent", "{t:%%f %Y}", "%f 2020" },
	{ "time cannot be padded", "{t:>30}", ">30" },
	{ "unknown key", "{nope}", NULL },
	{ "unknown conversion", "{text!r}", NULL },
	{ "open brace", "{text", NULL },
	{ "single brace", "a}b", NULL },
	{ "brace at the end", "a{", NULL },
	{ "type of another kind", "{n:s}", NULL },
	{ "number type for text", "{text:d}", NULL },
	{ "sign for text", "{text:+}", NULL },
	{ "enormous width", "{text:99999999999}", NULL },
	{ "rubbish behind", "{n:dd}", NULL },
};

static void put_one(const void *arg)
{
	const struct row *row = arg;
	struct format *f = NULL;
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;
	int rc = format_compile(&f, row->format, keys, sizeof(keys) / sizeof(keys[0]), &e);

	if (rc == 0)
		rc = format_put(f, get, NULL, &out, &e);
	if (row->want) {
		assert_string_equal(e.msg, "");
		assert_int_equal(rc, 0);
		buf_append_byte(&out, 0);
		assert_string_equal((const char *)out.p, row->want);
	} else {
		assert_true(rc < 0);
		assert_true(e.msg[0] != 0);
	}
	format_free(f);
	buf_fini(&out);
}

int main(void)
{
	setenv("TZ", "UTC", 1);
	return run_table(rows, put_one);
}
