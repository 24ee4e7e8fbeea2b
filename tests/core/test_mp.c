/*
 * test_mp.c - the cursor takes what MessagePack allows and refuses the rest without reading on.
 *
 * Method: bytes written by hand from the MessagePack specification; each row names the reader,
 * what it must yield and how many bytes it must leave.  Every good row is also cut at every
 * byte, in memory that ends there, and must then be "truncated" and nothing else.
 */

#include "tests/support/tap.h"

#include "core/codec/mp.h"

enum reader { INT, UINT, STR, ARRAY, MAP, BOOL, SKIP };
enum outcome { GOOD, WRONG, CUT };

static const struct row {
	const char *name;
	const char *hex;
	enum reader reader;
	enum outcome outcome;
	int64_t value; /* or the length of the string, or the count */
	size_t left;
} rows[] = {
	{ "int: positive fixint", "7f", INT, GOOD, 127, 0 },
	{ "int: negative fixint", "e0", INT, GOOD, -32, 0 },
	{ "int: minus one", "ff c0", INT, GOOD, -1, 1 },
	{ "int: uint8", "cc ff", INT, GOOD, 255, 0 },
	{ "int: uint16", "cd ff00", INT, GOOD, 0xff00, 0 },
	{ "int: uint32", "ce ffffffff", INT, GOOD, 0xffffffff, 0 },
	{ "int: largest of uint64 that fits", "cf 7fffffffffffffff", INT, GOOD, INT64_MAX, 0 },
	{ "int: uint64 that does not fit", "cf 8000000000000000", INT, WRONG, 0, 0 },
	{ "int: int8", "d0 80", INT, GOOD, -128, 0 },
	{ "int: int8, positive", "d0 7f", INT, GOOD, 127, 0 },
	{ "int: int16", "d1 8000", INT, GOOD, -32768, 0 },
	{ "int: int32 of the documented seed", "d2 b66803ca", INT, GOOD, -1234697270, 0 },
	{ "int: int64", "d3 8000000000000000", INT, GOOD, INT64_MIN, 0 },
	{ "int: not minimal", "cf 0000000000000001", INT, GOOD, 1, 0 },
	{ "int: a string", "a161", INT, WRONG, 0, 0 },
	{ "int: nil", "c0", INT, WRONG, 0, 0 },
	{ "int: a float", "ca 3f800000", INT, WRONG, 0, 0 },
	{ "uint: fixint", "00", UINT, GOOD, 0, 0 },
	{ "uint: uint64 maximum", "cf ffffffffffffffff", UINT, GOOD, -1, 0 },
	{ "uint: signed but positive", "d3 0000000000000007", UINT, GOOD, 7, 0 },
	{ "uint: negative", "ff", UINT, WRONG, 0, 0 },
	{ "uint: negative int32", "d2 b66803ca", UINT, WRONG, 0, 0 },
	{ "str: empty", "a0", STR, GOOD, 0, 0 },
	{ "str: fix", "a3 616263 01", STR, GOOD, 3, 1 },
	{ "str: fix, longest",
	  "bf 00000000000000000000000000000000000000000000000000000000000000", STR, GOOD, 31,
	  0 },
	{ "str: str8", "d9 02 6162", STR, GOOD, 2, 0 },
	{ "str: raw16", "da 0002 6162", STR, GOOD, 2, 0 },
	{ "str: raw32", "db 00000002 6162", STR, GOOD, 2, 0 },
	{ "str: bin8", "c4 02 6162", STR, GOOD, 2, 0 },
	{ "str: bin16", "c5 0002 6162", STR, GOOD, 2, 0 },
	{ "str: bin32", "c6 00000002 6162", STR, GOOD, 2, 0 },
	{ "str: length of 4 GiB", "db ffffffff 6162", STR, CUT, 0, 0 },
	{ "str: an ext", "c7 01 02 03", STR, WRONG, 0, 0 },
	{ "str: an int", "05", STR, WRONG, 0, 0 },
	{ "str: a map", "80", STR, WRONG, 0, 0 },
	{ "array: empty", "90", ARRAY, GOOD, 0, 0 },
	{ "array: fix", "92 01 02", ARRAY, GOOD, 2, 2 },
	{ "array: array16", "dc 0001 05", ARRAY, GOOD, 1, 1 },
	{ "array: array32", "dd 00000001 05", ARRAY, GOOD, 1, 1 },
	{ "array: more elements than bytes", "dd ffffffff 05", ARRAY, CUT, 0, 0 },
	{ "array: fix, one element too many", "93 01 02", ARRAY, CUT, 0, 0 },
	{ "array: a map", "81 01 02", ARRAY, WRONG, 0, 0 },
	{ "map: empty", "80", MAP, GOOD, 0, 0 },
	{ "map: fix", "81 01 02", MAP, GOOD, 1, 2 },
	{ "map: map16", "de 0001 01 02", MAP, GOOD, 1, 2 },
	{ "map: map32", "df 00000001 01 02", MAP, GOOD, 1, 2 },
	{ "map: more pairs than bytes", "df 80000001 01 02", MAP, CUT, 0, 0 },
	{ "map: fix, half a pair too many", "82 01 02 03", MAP, CUT, 0, 0 },
	{ "map: an array", "91 01", MAP, WRONG, 0, 0 },
	{ "bool: true", "c3", BOOL, GOOD, 1, 0 },
	{ "bool: false", "c2", BOOL, GOOD, 0, 0 },
	{ "bool: an int", "01", BOOL, WRONG, 0, 0 },
	{ "skip: nil", "c0 05", SKIP, GOOD, 0, 1 },
	{ "skip: float32", "ca 3f800000", SKIP, GOOD, 0, 0 },
	{ "skip: float64", "cb 3ff0000000000000", SKIP, GOOD, 0, 0 },
	{ "skip: fixext1", "d4 01 aa", SKIP, GOOD, 0, 0 },
	{ "skip: fixext2", "d5 01 aaaa", SKIP, GOOD, 0, 0 },
	{ "skip: fixext4", "d6 01 aaaaaaaa", SKIP, GOOD, 0, 0 },
	{ "skip: fixext8", "d7 01 aaaaaaaaaaaaaaaa", SKIP, GOOD, 0, 0 },
	{ "skip: fixext16", "d8 01 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", SKIP, GOOD, 0, 0 },
	{ "skip: ext8", "c7 02 01 aaaa", SKIP, GOOD, 0, 0 },
	{ "skip: ext16", "c8 0002 01 aaaa", SKIP, GOOD, 0, 0 },
	{ "skip: ext32", "c9 00000002 01 aaaa", SKIP, GOOD, 0, 0 },
	{ "skip: ext of 4 GiB", "c9 ffffffff 01 aaaa", SKIP, CUT, 0, 0 },
	{ "skip: the byte that is never used", "c1", SKIP, WRONG, 0, 0 },
	{ "skip: never used, inside", "92 01 c1", SKIP, WRONG, 0, 0 },
	{ "skip: maps in arrays in maps", "82 a161 92 81 01 02 c0 a162 da 0001 78 07", SKIP,
	  GOOD, 0, 1 },
	{ "skip: wide integers", "93 cf 0102030405060708 d1 ffff cd 0001", SKIP, GOOD, 0, 0 },
	{ "skip: count beyond the end, inside", "91 dd 10000000 01", SKIP, CUT, 0, 0 },
};

/* In memory of exactly this size, so that a byte read too far is found by the sanitizer. */
static struct mp cursor_over(uint8_t **memory, const uint8_t *p, size_t len)
{
	*memory = malloc(len ? len : 1);
	assert_non_null(*memory);
	if (len > 0)
		memcpy(*memory, p, len);
	return mp_read((struct bytes){ *memory, len });
}

static int64_t read_with(struct mp *m, enum reader reader)
{
	switch (reader) {
	case INT: return mp_int(m);
	case UINT: return (int64_t)mp_uint(m);
	case STR: return (int64_t)mp_str(m).len;
	case ARRAY: return mp_array(m);
	case MAP: return mp_map(m);
	case BOOL: return mp_bool(m);
	case SKIP: mp_skip(m); return 0;
	}
	return -1;
}

static void read_cut(const struct row *row, const uint8_t *p, size_t len)
{
	uint8_t *memory;
	struct mp m = cursor_over(&memory, p, len);

	assert_int_equal(read_with(&m, row->reader), 0);
	assert_false(mp_ok(&m));
	assert_true(m.truncated);
	assert_int_equal(mp_peek(&m), MP_END);
	free(memory);
}

static void read_one(const void *arg)
{
	const struct row *row = arg;
	size_t len;
	uint8_t *p = unhex(row->hex, &len), *memory;
	struct mp m = cursor_over(&memory, p, len);

	assert_int_equal(read_with(&m, row->reader), row->value);
	assert_int_equal(mp_ok(&m), row->outcome == GOOD);
	assert_int_equal(m.truncated, row->outcome == CUT);
	assert_int_equal(m.end - m.p, row->left);
	for (size_t cut = 0; row->outcome == GOOD && cut < len - row->left; cut++)
		read_cut(row, p, cut);
	free(memory);
	free(p);
}

static void stays_bad(void **state)
{
	const uint8_t bytes[] = { 0x01, 0xc0, 0x02, 0xa1, 'x' };
	struct mp m = mp_read((struct bytes){ bytes, sizeof(bytes) });

	(void)state;
	assert_int_equal(mp_int(&m), 1);
	assert_int_equal(mp_int(&m), 0); /* a nil */
	assert_false(mp_ok(&m));
	assert_int_equal(mp_int(&m), 0);
	assert_int_equal(mp_uint(&m), 0);
	assert_int_equal(mp_str(&m).len, 0);
	assert_int_equal(mp_array(&m), 0);
	assert_int_equal(mp_map(&m), 0);
	assert_false(mp_bool(&m));
	assert_false(mp_nil(&m));
	mp_skip(&m);
	assert_int_equal(mp_peek(&m), MP_END);
	assert_false(mp_ok(&m));
	assert_false(m.truncated); /* it was wrong first, not short */
}

/* The type of each head byte, by the ranges of the specification. */
static enum mp_type type_of(unsigned head)
{
	static const struct {
		unsigned last;
		enum mp_type type;
	} ranges[] = {
		{ 0x7f, MP_INT },   { 0x8f, MP_MAP },   { 0x9f, MP_ARRAY }, { 0xbf, MP_STR },
		{ 0xc0, MP_NIL },   { 0xc1, MP_OTHER }, { 0xc3, MP_BOOL },  { 0xc6, MP_STR },
		{ 0xcb, MP_OTHER }, { 0xd3, MP_INT },   { 0xd8, MP_OTHER }, { 0xdb, MP_STR },
		{ 0xdd, MP_ARRAY }, { 0xdf, MP_MAP },   { 0xff, MP_INT },
	};
	size_t i = 0;

	while (ranges[i].last < head)
		i++;
	return ranges[i].type;
}

static void every_head_byte(void **state)
{
	(void)state;
	for (unsigned head = 0; head < 256; head++) {
		uint8_t b = (uint8_t)head;
		struct mp m = mp_read((struct bytes){ &b, 1 });

		assert_int_equal(mp_peek(&m), type_of(head));
		assert_int_equal(mp_nil(&m), head == 0xc0);
	}
}

static void nesting(void **state)
{
	enum { DEEP = 100000 };
	uint8_t *arrays = malloc(DEEP);
	struct mp m;

	(void)state;
	assert_non_null(arrays);
	memset(arrays, 0x91, DEEP);
	m = mp_read((struct bytes){ arrays, DEEP });
	mp_skip(&m);
	assert_false(mp_ok(&m));
	assert_false(m.truncated);
	arrays[MP_DEPTH_MAX - 1] = 0x07;
	m = mp_read((struct bytes){ arrays, MP_DEPTH_MAX });
	mp_skip(&m);
	assert_true(mp_ok(&m));
	assert_int_equal(m.p - arrays, MP_DEPTH_MAX);
	free(arrays);
}

struct written {
	const char *name;
	const char *hex;
	int (*put)(struct buf *b);
};

static int put_zero_id(struct buf *b)
{
	static const uint8_t zeros[32];

	return mp_put_str(b, (struct bytes){ zeros, sizeof(zeros) });
}

static int put_ints(struct buf *b)
{
	static const int64_t values[] = {
		0,      127,    128,           255,           256,          65535,
		65536,  -1,     -32,           -33,           -128,         -129,
		-32768, -32769, -2147483648LL, -2147483649LL, 4294967295LL, 4294967296LL
	};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		if (mp_put_int(b, values[i]) < 0)
			return -ENOMEM;
	return 0;
}

static int put_big(struct buf *b)
{
	return mp_put_uint(b, UINT64_MAX) < 0 ? -ENOMEM : mp_put_int(b, -1234697270);
}

static int put_small(struct buf *b)
{
	return mp_put_nil(b) < 0 || mp_put_bool(b, true) < 0 || mp_put_bool(b, false) < 0 ||
			       mp_put_str(b, bytes_str("abc")) < 0
		       ? -ENOMEM
		       : 0;
}

static int put_counts(struct buf *b)
{
	return mp_put_array(b, 15) < 0 || mp_put_array(b, 16) < 0 ||
			       mp_put_array(b, 65536) < 0 || mp_put_map(b, 15) < 0 ||
			       mp_put_map(b, 16) < 0 || mp_put_map(b, 65536) < 0
		       ? -ENOMEM
		       : 0;
}

static const struct written writes[] = {
	{ "an id is raw16",
	  "da0020 0000000000000000000000000000000000000000000000000000000000000000",
	  put_zero_id },
	{ "integers of minimal width",
	  "00 7f cc80 ccff cd0100 cdffff ce00010000 ff e0 d0df d080 d1ff7f d18000 d2ffff7fff "
	  "d280000000 d3ffffffff7fffffff ceffffffff cf0000000100000000",
	  put_ints },
	{ "largest integer, documented seed", "cfffffffffffffffff d2b66803ca", put_big },
	{ "nil, bools, fixstr", "c0 c3 c2 a3616263", put_small },
	{ "counts", "9f dc0010 dd00010000 8f de0010 df00010000", put_counts },
};

static void write_one(const void *arg)
{
	const struct written *w = arg;
	struct buf b = BUF_INIT;
	size_t len;
	uint8_t *want = unhex(w->hex, &len);

	assert_int_equal(w->put(&b), 0);
	assert_int_equal(b.len, len);
	assert_memory_equal(b.p, want, len);
	buf_fini(&b);
	free(want);
}

static void long_strings(void **state)
{
	enum { LEN = 65536 };
	static uint8_t zeros[LEN];
	static const uint8_t head16[] = { 0xda, 0xff, 0xff }, head32[] = { 0xdb, 0, 1, 0, 0 };
	struct buf b = BUF_INIT;

	(void)state;
	assert_int_equal(mp_put_str(&b, (struct bytes){ zeros, LEN - 1 }), 0);
	assert_int_equal(b.len, sizeof(head16) + LEN - 1);
	assert_memory_equal(b.p, head16, sizeof(head16));
	b.len = 0;
	assert_int_equal(mp_put_str(&b, (struct bytes){ zeros, LEN }), 0);
	assert_int_equal(b.len, sizeof(head32) + LEN);
	assert_memory_equal(b.p, head32, sizeof(head32));
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stays_bad),
		cmocka_unit_test(every_head_byte),
		cmocka_unit_test(nesting),
		cmocka_unit_test(long_strings),
	};
	int failed;

	cmocka_set_message_output(CM_OUTPUT_TAP);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	failed += run_table(rows, read_one);
	failed += run_table(writes, write_one);
	return failed;
}
