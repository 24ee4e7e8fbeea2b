/*
 * test_paper_key.c - keys as lines to be typed in.
 *
 * The texts are those that borg 1.2's key manager made of the same bytes.
 */

#include "tests/support/tap.h"

#include "core/base/cleanup.h"
#include "core/crypto/paper_key.h"

static const struct chunk_id repository = { .b = {
						    0xa0,
						    0xa1,
						    0xa2,
						    0xa3,
						    0xa4,
						    0xa5,
						    0xa6,
						    0xa7,
						    0xa8,
						    0xa9,
						    0xaa,
					    } };

static const struct text_row {
	const char *name, *blob, *text;
} text_rows[] = {
#define HEAD "To restore key use borg key import --paper /path/to/repo\n\nBORG PAPER KEY v1\n"
	{ "a short last line", "abcdefghijklmnopqrstu",
	  HEAD "id: 2 / a0a1a2 a3a4a5 a6a7a8 / 25f62a 5a3d41 - 61\n"
	       " 1: 616263 646566 676869 6a6b6c 6d6e6f 707172 - 6d\n"
	       " 2: 737475 - 88\n" },
	{ "full lines",
	  "\x20\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11"
	  "\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x20\x21\x22\x23",
	  HEAD "id: 2 / a0a1a2 a3a4a5 a6a7a8 / f4fdef aa4dda - 54\n"
	       " 1: 200102 030405 060708 090a0b 0c0d0e 0f1011 - a0\n"
	       " 2: 121314 151617 18191a 1b1c1d 1e1f20 212223 - f6\n" },
};

static void text_of(const void *arg)
{
	const struct text_row *row = arg;
	CLEANUP(buf_fini) struct buf text = BUF_INIT;

	assert_int_equal(paper_key_put(&text, &repository, bytes_str(row->blob), NULL), 0);
	assert_int_equal(buf_append_byte(&text, 0), 0);
	assert_string_equal((const char *)text.p, row->text);
}

static const struct id_row {
	const char *name, *line;
	int want;
} id_rows[] = {
	{ "as printed", "2 / a0a1a2 a3a4a5 a6a7a8 / 25f62a 5a3d41 - 61", PAPER_FINE },
	{ "no blanks, capital digits", "2/A0A1A2A3A4A5A6A7A8/25F62A5A3D41-61", PAPER_FINE },
	{ "nothing", "", PAPER_NOT_ONE_DASH },
	{ "two dashes", "2/a0/25-6-1", PAPER_NOT_ONE_DASH },
	{ "two parts", "2/a0a1a2-61", PAPER_NOT_THREE_PARTS },
	{ "four parts", "2/a0/a1/a2-61", PAPER_NOT_THREE_PARTS },
	{ "a digit that is another", "2/a0a1a2a3a4a5a6a7a9/25f62a5a3d41-61", PAPER_BAD_SUM },
	{ "another sum", "2/a0a1a2a3a4a5a6a7a8/25f62a5a3d41-62", PAPER_BAD_SUM },
	/* The sums of the following are right. */
	{ "no lines", "0/a/b-aa", PAPER_BAD_SUM },
	{ "no number", "x/a/b-2b", PAPER_BAD_SUM },
	{ "too many lines", "65536/a/b-52", PAPER_BAD_SUM },
	{ "too long an id", "2/a0a1a2a3a4a5a6a7a8a/b-b9", PAPER_BAD_SUM },
	{ "short ones", "1/a/b-ca", PAPER_FINE },
};

static void id_line(const void *arg)
{
	const struct id_row *row = arg;
	struct paper_key_id id;

	assert_int_equal(paper_key_parse_id(bytes_str(row->line), &id), row->want);
	if (row != &id_rows[0] && row != &id_rows[1])
		return;
	assert_int_equal(id.lines, 2);
	assert_string_equal(id.repository, "a0a1a2a3a4a5a6a7a8");
	assert_string_equal(id.sum, "25f62a5a3d41");
}

static const struct line_row {
	const char *name, *line;
	unsigned number;
	int want;
	const char *bytes;
} line_rows[] = {
	{ "as printed", "616263 646566 676869 6a6b6c 6d6e6f 707172 - 6d", 1, PAPER_FINE,
	  "abcdefghijklmnopqr" },
	{ "other blanks", " 7 37475-  88 ", 2, PAPER_FINE, "stu" },
	{ "of another place", "737475 - 88", 3, PAPER_BAD_SUM, "" },
	{ "a digit that is another", "737476 - 88", 2, PAPER_BAD_SUM, "" },
	{ "no dash", "737475 88", 2, PAPER_NOT_ONE_DASH, "" },
	{ "two dashes", "73-7475-88", 2, PAPER_NOT_ONE_DASH, "" },
	{ "a digit is missing", "73747 - 88", 2, PAPER_BAD_DIGITS, "" },
	{ "no digit", "7374gg - 88", 2, PAPER_BAD_DIGITS, "" },
	{ "no sum", "737475 -", 2, PAPER_BAD_SUM, "" },
};

static void data_line(const void *arg)
{
	const struct line_row *row = arg;
	CLEANUP(buf_fini) struct buf blob = BUF_INIT;

	assert_int_equal(paper_key_parse_line(bytes_str(row->line), row->number, &blob),
			 row->want);
	assert_int_equal(blob.len, strlen(row->bytes));
	if (blob.len > 0)
		assert_memory_equal(blob.p, row->bytes, blob.len);
}

int main(void)
{
	int failed = run_table(text_rows, text_of);

	failed |= run_table(id_rows, id_line);
	return failed | run_table(line_rows, data_line);
}
