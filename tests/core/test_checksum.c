/*
 * test_checksum.c - published and documented values, whole and in pieces.
 *
 * Source: the check value of the CRC catalogue; docs/format.md "Golden values".
 */

#include "tests/support/tap.h"

#include "core/codec/checksum.h"

static void crc32_values(void **state)
{
	static const uint8_t commit[] = { 0x09, 0, 0, 0, 0x02 }; /* of a COMMIT entry */

	(void)state;
	assert_int_equal(crc32_of(0, "", 0), 0);
	assert_int_equal(crc32_of(0, "123456789", 9), 0xcbf43926);
	assert_int_equal(crc32_of(0, commit, sizeof(commit)), 0x253cf440);
	for (size_t cut = 0; cut <= 9; cut++)
		assert_int_equal(
			crc32_of(crc32_of(0, "123456789", cut), &"123456789"[cut], 9 - cut),
			0xcbf43926);
}

static void xxh64_values(void **state)
{
	uint8_t counting[100];

	(void)state;
	for (size_t i = 0; i < sizeof(counting); i++)
		counting[i] = (uint8_t)i;
	assert_int_equal(xxh64_of("", 0), 0xef46db3751d8e999);
	assert_int_equal(xxh64_of("a", 1), 0xd24ec4f1a98c6e5b);
	assert_int_equal(xxh64_of("abc", 3), 0x44bc2cf5ad770999);
	assert_int_equal(xxh64_of(counting, sizeof(counting)), 0x6ac1e58032166597);
	for (size_t cut = 0; cut <= sizeof(counting); cut++) {
		struct xxh64 *x = xxh64_new();

		assert_non_null(x);
		xxh64_update(x, counting, cut);
		xxh64_update(x, counting + cut, sizeof(counting) - cut);
		assert_int_equal(xxh64_digest(x), 0x6ac1e58032166597);
		xxh64_free(x);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc32_values),
		cmocka_unit_test(xxh64_values),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
