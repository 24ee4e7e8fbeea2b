/* test_item_scan.c - records out of whole, cut, damaged and lost pieces; the records are written down by hand. */

#include "tests/support/tap.h"

#include "core/archive/item_scan.h"
#include "core/base/cleanup.h"

#include <stdio.h>

static const struct bytes keys[] = {
	{ (const uint8_t *)"mode", 4 },
	{ (const uint8_t *)"path", 4 },
};

/* {mode: 1, path: "a"}, and the like with another letter */
#define ITEM(letter) "82 a4 6d6f6465 01 a4 70617468 a1 " letter
#define A            ITEM("61")
#define B            ITEM("62")
#define C            ITEM("63")

struct piece {
	const char *hex; /* NULL: no more; "": it is lost */
};

struct row {
	const char *name;
	struct piece pieces[6];
	const char *expected; /* path letters; '?' a value that is no map, '!' no value */
	bool rest;
};

static const struct row rows[] = {
	{ "whole", { { A B }, { C } }, "abc", false },
	{ "cut inside a record",
	  { { A "82 a4 6d6f" }, { "6465 01 a4 70617468 a1 62" C } },
	  "abc",
	  false },
	{ "cut at every byte of the first",
	  { { "82" }, { "a4 6d6f" }, { "6465 01 a4" }, { "7061 7468" }, { "a1" }, { "61" B } },
	  "ab",
	  false },
	{ "ends inside", { { A "82 a4" } }, "a", true },
	{ "a number between", { { A "05" B } }, "a?b", false },
	{ "no value: the rest of the piece is lost", { { A "c1" B }, { C } }, "a!c", false },
	{ "a piece is lost", { { A }, { "" }, { C } }, "ac", false },
	{ "the first is lost", { { "" }, { "62" C } }, "c", false },
	{ "behind a lost one, the rest of a record",
	  { { A "82 a4" }, { "" }, { "70617468 a1 62" C } },
	  "ac",
	  false },
	{ "behind a lost one, a record is cut",
	  { { "" }, { "00 82 a4 6d6f" }, { "6465 01 a4 70617468 a1 62" C } },
	  "bc",
	  false },
	{ "behind a lost one, a map without path",
	  { { "" }, { "81 a4 6d6f6465 01" C } },
	  "c",
	  false },
	{ "behind a lost one, an unknown key first",
	  { { "" }, { "82 a1 78 01 a4 70617468 a1 62" C } },
	  "c",
	  false },
	{ "behind a lost one, a key in 8 bits of length",
	  { { "" }, { "ff 81 d9 04 70617468 a1 62" } },
	  "b",
	  false },
	{ "behind a lost one, a map 16",
	  { { "" }, { "ff de 0001 a4 70617468 a1 62" } },
	  "b",
	  false },
	{ "two lost ones", { { A }, { "" }, { "81" }, { "" }, { C } }, "ac", false },
	{ "nothing behind a lost one", { { A }, { "" } }, "a", false },
};

static void note(char *out, struct bytes value)
{
	out[strlen(out)] = value.p[0] == 0x05 ? '?' : (char)value.p[value.len - 1];
}

static void feed(struct item_scan *s, const char *hex, char *out)
{
	struct bytes value;
	size_t len;
	uint8_t *piece = unhex(hex, &len);
	int rc;

	assert_int_equal(item_scan_feed(s, (struct bytes){ piece, len }), 0);
	while ((rc = item_scan_next(s, &value)) == 1)
		note(out, value);
	if (rc < 0) {
		assert_int_equal(rc, -EBADMSG);
		out[strlen(out)] = '!';
		item_scan_resync(s);
	}
	free(piece);
}

static void records_are_found(const void *arg)
{
	const struct row *row = arg;
	struct item_scan s;
	char out[32] = "";

	item_scan_init(&s, keys, 2);
	for (size_t i = 0; i < 6 && row->pieces[i].hex; i++) {
		if (row->pieces[i].hex[0])
			feed(&s, row->pieces[i].hex, out);
		else
			item_scan_resync(&s);
	}
	assert_string_equal(out, row->expected);
	assert_int_equal(item_scan_rest(&s), row->rest);
	item_scan_fini(&s);
}

int main(void)
{
	return run_table(rows, records_are_found);
}
