/*
 * test_bytes.c - integers have the byte order their names say, hex and comparison refuse and
 * order as documented, buffers keep what they were given.
 */

#include "tests/support/tap.h"

#include "core/base/bytes.h"
#include "core/base/id.h"

static const struct hex_row {
	const char *name;
	const char *text;
	int want; /* result for two bytes */
	uint8_t first, second;
} hex_rows[] = {
	{ "lower case", "00ff", 0, 0x00, 0xff },   { "upper case", "A0Bc", 0, 0xa0, 0xbc },
	{ "too short", "00f", -EINVAL, 0, 0 },     { "too long", "00ff00", -EINVAL, 0, 0 },
	{ "not a digit", "0g00", -EINVAL, 0, 0 },  { "empty", "", -EINVAL, 0, 0 },
	{ "blank inside", "0 ff", -EINVAL, 0, 0 },
};

static void decode_hex(const void *arg)
{
	const struct hex_row *row = arg;
	uint8_t out[2] = { 0 };

	assert_int_equal(hex_decode(bytes_str(row->text), out, 2), row->want);
	if (row->want == 0) {
		assert_int_equal(out[0], row->first);
		assert_int_equal(out[1], row->second);
	}
}

static const struct order_row {
	const char *name;
	const char *a, *b;
	int sign;
} order_rows[] = {
	{ "equal", "abc", "abc", 0 },
	{ "prefix comes first", "ab", "abc", -1 },
	{ "first difference decides", "abd", "abc", 1 },
	{ "bytes are unsigned", "\x80", "\x7f", 1 },
	{ "empty before all", "", "a", -1 },
	{ "two empty ones", "", "", 0 },
};

static void compare(const void *arg)
{
	const struct order_row *row = arg;
	int rc = bytes_compare(bytes_str(row->a), bytes_str(row->b));

	assert_int_equal((rc > 0) - (rc < 0), row->sign);
	assert_int_equal(bytes_equal(bytes_str(row->a), bytes_str(row->b)), row->sign == 0);
}

/* One byte that is not zero, at every place of runs around the widths machines compare in. */
static void zeros_are_told_from_others(void **state)
{
	enum { LEN = 150 };
	uint8_t p[LEN] = { 0 };

	(void)state;
	for (size_t len = 0; len <= LEN; len++) {
		assert_true(bytes_all_zero((struct bytes){ p, len }));
		for (size_t i = 0; i < LEN; i++) {
			p[i] = 1;
			assert_int_equal(bytes_all_zero((struct bytes){ p, len }), i >= len);
			p[i] = 0;
		}
	}
	assert_true(bytes_all_zero((struct bytes){ NULL, 0 }));
}

static void integers(void **state)
{
	static const uint8_t b[8] = { 1, 2, 3, 4, 5, 6, 7, 0xf8 };
	uint8_t out[8];

	(void)state;
	assert_int_equal(get_le16(b), 0x0201);
	assert_int_equal(get_be16(b), 0x0102);
	assert_int_equal(get_le32(b + 4), 0xf8070605);
	assert_int_equal(get_be32(b + 4), 0x050607f8);
	assert_true(get_le64(b) == 0xf807060504030201);
	assert_true(get_be64(b) == 0x01020304050607f8);
	put_le64(out, 0xf807060504030201);
	assert_memory_equal(out, b, 8);
	put_be64(out, 0x01020304050607f8);
	assert_memory_equal(out, b, 8);
	put_le16(out, 0x0201);
	put_be16(out + 2, 0x0304);
	assert_memory_equal(out, b, 4);
}

static void buffer_grows(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(buf_append_byte(&b, (uint8_t)i), 0);
	assert_int_equal(b.len, 1000);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(b.p[i], (uint8_t)i);
	assert_int_equal(buf_append(&b, NULL, 0), 0);
	assert_int_equal(buf_append(&b, "x", SIZE_MAX - 10), -ENOMEM);
	assert_int_equal(b.len, 1000);
	buf_fini(&b);
	assert_null(b.p);
}

static void ids(void **state)
{
	struct chunk_id id;
	char text[CHUNK_ID_HEX];
	static const char hex[] =
		"00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef";

	(void)state;
	assert_int_equal(id_parse(&id, bytes_str(hex)), 0);
	assert_int_equal(id.b[1], 0x11);
	assert_string_equal(id_hex(&id, text), hex);
	assert_false(id_equal(&id, &MANIFEST_ID));
	assert_true(id_compare(&id, &MANIFEST_ID) > 0);
	assert_int_equal(id_parse(&id, bytes_str("00")), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zeros_are_told_from_others),
		cmocka_unit_test(integers),
		cmocka_unit_test(buffer_grows),
		cmocka_unit_test(ids),
	};
	int rc = run_table(hex_rows, decode_hex) + run_table(order_rows, compare);

	return rc + cmocka_run_group_tests(tests, NULL, NULL);
}
