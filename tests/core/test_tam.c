/*
 * test_tam.c - the documented manifests verify; changed in any byte, they do not; signed again they
 * are the same.
 *
 * Source: docs/format.md "Golden values": first manifests of three repositories of stock borg.
 */

#include "tests/support/crypto_vectors.h"
#include "tests/support/tap.h"

#include "core/crypto/tam.h"

static const struct row {
	const char *name; /* of the key in crypto_vectors */
	size_t hmac_off;
	const char *hex;
} rows[] = {
	{ "none", 223,
	  "86a8617263686976657380a6636f6e66696780a96974656d5f6b657973dc0017aa61636c5f6163636573"
	  "73ab61636c5f64656661756c74ac61636c5f657874656e646564a861636c5f6e667334a56174696d65a9"
	  "626972746874696d65a8627364666c616773a66368756e6b73ae6368756e6b735f6865616c746879a563"
	  "74696d65a3676964a567726f7570af686172646c696e6b5f6d6173746572a46d6f6465a56d74696d65a4"
	  "70617274a470617468a472646576a473697a65a6736f75726365a3756964a475736572a6786174747273"
	  "a374616d83a4686d6163da00409f02f2cd7f34c54d4fae9629a953eb14e6d09cfaaa24e10b48e7cee970"
	  "9cdf0131c992c41d8b8c4f43fff3972031cc9378135c4c43977f6a599ca844b4b56af2a473616c74da00"
	  "409580d115e76ba3e16e0fd01a97d2b27040b4f8ebc681fbadbba159f7e36da11ac6fa528e8ff96e8362"
	  "88cb907901cc3c136299e3374f311907a17112ccc1c72da474797065b0484b44465f484d41435f534841"
	  "353132a974696d657374616d70ba323032362d31312d32325431323a35353a32332e303531353234a776"
	  "657273696f6e01" },
	{ "repokey", 237,
	  "86a8617263686976657380a6636f6e66696781ac74616d5f7265717569726564c3a96974656d5f6b6579"
	  "73dc0017aa61636c5f616363657373ab61636c5f64656661756c74ac61636c5f657874656e646564a861"
	  "636c5f6e667334a56174696d65a9626972746874696d65a8627364666c616773a66368756e6b73ae6368"
	  "756e6b735f6865616c746879a56374696d65a3676964a567726f7570af686172646c696e6b5f6d617374"
	  "6572a46d6f6465a56d74696d65a470617274a470617468a472646576a473697a65a6736f75726365a375"
	  "6964a475736572a6786174747273a374616d83a4686d6163da0040593b9361ebc8309530af022306a0e8"
	  "388b8f5b69990d743eae9463500d73f5fb405df21e3c8d6bbc53f4a4fb2edd4d969537f53c3b85f70031"
	  "13ea6fbf0adbada473616c74da0040dcdaa3dac8e65f4e202ecb31ffa4a2bca398f9b42973c311044874"
	  "423ddc6673a87d566b8c3313ee474caf32d10d9276da15e9f8e73aed3692b40153ddd0a0dca474797065"
	  "b0484b44465f484d41435f534841353132a974696d657374616d70ba323032362d31312d32325431323a"
	  "35353a32352e393436393633a776657273696f6e01" },
	{ "repokey-blake2", 237,
	  "86a8617263686976657380a6636f6e66696781ac74616d5f7265717569726564c3a96974656d5f6b6579"
	  "73dc0017aa61636c5f616363657373ab61636c5f64656661756c74ac61636c5f657874656e646564a861"
	  "636c5f6e667334a56174696d65a9626972746874696d65a8627364666c616773a66368756e6b73ae6368"
	  "756e6b735f6865616c746879a56374696d65a3676964a567726f7570af686172646c696e6b5f6d617374"
	  "6572a46d6f6465a56d74696d65a470617274a470617468a472646576a473697a65a6736f75726365a375"
	  "6964a475736572a6786174747273a374616d83a4686d6163da0040477f9a3ec1e01b2ac8e39f5fc3bd36"
	  "d062f34e8da63699c26baee5e1166ca7091394d277c7434aa0eba3d132b604948b468e14ed82a88afdb3"
	  "7a5443858969f5a473616c74da0040b70a26d9107af9a3ed1479683fae3877050fb27a65ed134f33866b"
	  "884f4e5ab28db87c3f4d62ffd1e337f885fdd44e2b8c6cb1ab1e092c3524aeb35b198e2853a474797065"
	  "b0484b44465f484d41435f534841353132a974696d657374616d70ba323032362d31312d32325431323a"
	  "35353a32362e393836313837a776657273696f6e01" },
};

static struct key *key_of(const char *name)
{
	struct key *k = NULL;
	size_t i = 0, len;
	uint8_t *blob;

	while (strcmp(crypto_vectors[i].name, name) != 0)
		i++;
	blob = unhex(crypto_vectors[i].blob, &len);
	if (crypto_vectors[i].type == KEY_PLAINTEXT)
		assert_int_equal(key_open_plaintext(&k, NULL), 0);
	else
		assert_int_equal(key_open_blob(&k, crypto_vectors[i].type,
					       (struct bytes){ blob, len }, bytes_str("test"),
					       false, NULL),
				 0);
	free(blob);
	return k;
}

static void documented(const void *arg)
{
	const struct row *row = arg;
	struct key *k = key_of(row->name);
	size_t len;
	uint8_t *packed = unhex(row->hex, &len);
	struct bytes whole = { packed, len };

	assert_int_equal(tam_verify(k, "manifest", whole), TAM_VALID);
	assert_int_equal(tam_verify(k, "archive", whole), TAM_INVALID);
	for (size_t i = 0; i < len; i++) {
		packed[i] ^= 0x20;
		assert_int_not_equal(tam_verify(k, "manifest", whole), TAM_VALID);
		packed[i] ^= 0x20;
	}
	for (size_t cut = 0; cut < len; cut++) {
		uint8_t *copy = malloc(cut + 1); /* never empty: malloc(0) may be NULL */

		assert_non_null(copy);
		memcpy(copy, packed, cut);
		assert_int_not_equal(tam_verify(k, "manifest", (struct bytes){ copy, cut }),
				     TAM_VALID);
		free(copy);
	}
	assert_int_equal(tam_verify(k, "manifest", whole), TAM_VALID);
	free(packed);
	key_close(k);
}

static void of_another_key(void **state)
{
	struct key *k = key_of("keyfile");
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t *packed = unhex(rows[i].hex, &len);

		assert_int_equal(tam_verify(k, "manifest", (struct bytes){ packed, len }),
				 TAM_INVALID);
		free(packed);
	}
	key_close(k);
}

/* An earlier occurrence of the hmac is what is zeroed, so the verification fails. */
static void hmac_occurs_earlier(void **state)
{
	struct key *k = key_of("repokey");
	size_t len;
	uint8_t *packed = unhex(rows[1].hex, &len);
	struct buf b = BUF_INIT;

	(void)state;
	assert_int_equal(packed[0], 0x86);
	assert_int_equal(buf_append(&b,
				    "\x87\xa1"
				    "a"
				    "\xda\x00\x40",
				    6),
			 0);
	assert_int_equal(buf_append(&b, packed + rows[1].hmac_off, 64), 0);
	assert_int_equal(buf_append(&b, packed + 1, len - 1), 0);
	assert_int_equal(tam_verify(k, "manifest", buf_bytes(&b)), TAM_INVALID);
	buf_fini(&b);
	free(packed);
	key_close(k);
}

#define TYPE     "a474797065"
#define SUITE    "b0484b44465f484d41435f534841353132"
#define HMAC     "a4686d6163"
#define SALT     "a473616c74"
#define BYTES_16 "00112233445566778899aabbccddeeff"
#define BYTES_64 "da0040" BYTES_16 BYTES_16 BYTES_16 BYTES_16

static const struct shape {
	const char *name;
	const char *hex;
	enum tam_result want;
} shapes[] = {
	{ "no tam", "81 a161 01", TAM_ABSENT },
	{ "an empty map", "80", TAM_ABSENT },
	{ "nothing", "", TAM_ABSENT },
	{ "not a map", "93 01 02 03", TAM_ABSENT },
	{ "tam is nil", "81 a374616d c0", TAM_INVALID },
	{ "tam is a string", "81 a374616d a161", TAM_INVALID },
	{ "tam is empty", "81 a374616d 80", TAM_UNKNOWN_TYPE },
	{ "well formed, wrong hmac", "81 a374616d 83" TYPE SUITE HMAC BYTES_64 SALT BYTES_64,
	  TAM_INVALID },
	{ "another type", "81 a374616d 83" TYPE "a378797a" HMAC BYTES_64 SALT BYTES_64,
	  TAM_UNKNOWN_TYPE },
	{ "type is a number", "81 a374616d 83" TYPE "01" HMAC BYTES_64 SALT BYTES_64,
	  TAM_UNKNOWN_TYPE },
	{ "no hmac", "81 a374616d 82" TYPE SUITE SALT BYTES_64, TAM_INVALID },
	{ "hmac of 16 bytes", "81 a374616d 83" TYPE SUITE HMAC "b0" BYTES_16 SALT BYTES_64,
	  TAM_INVALID },
	{ "hmac is a number", "81 a374616d 83" TYPE SUITE HMAC "05" SALT BYTES_64,
	  TAM_INVALID },
	{ "no salt", "81 a374616d 82" TYPE SUITE HMAC BYTES_64, TAM_INVALID },
	{ "salt of 16 bytes", "81 a374616d 83" TYPE SUITE HMAC BYTES_64 SALT "b0" BYTES_16,
	  TAM_INVALID },
	{ "salt is a map", "81 a374616d 83" TYPE SUITE HMAC BYTES_64 SALT "80", TAM_INVALID },
	{ "the last of two counts: nil",
	  "82 a374616d 83" TYPE SUITE HMAC BYTES_64 SALT BYTES_64 "a374616d c0", TAM_INVALID },
	{ "the last of two counts: another type",
	  "82 a374616d 83" TYPE SUITE HMAC BYTES_64 SALT BYTES_64 "a374616d 81" TYPE "a178",
	  TAM_UNKNOWN_TYPE },
};

static void shape_one(const void *arg)
{
	const struct shape *shape = arg;
	struct key *k = key_of("repokey"), *none = key_of("none");
	size_t len;
	uint8_t *packed = unhex(shape->hex, &len);

	assert_int_equal(tam_verify(k, "archive", (struct bytes){ packed, len }), shape->want);
	assert_int_equal(tam_verify(none, "archive", (struct bytes){ packed, len }),
			 shape->want);
	free(packed);
	key_close(k);
	key_close(none);
}

/* --- signing --- */

enum { HMAC_HEAD = 3, HMAC_SIZE = 64, SALT_AT = HMAC_SIZE + 5 + 3 /* behind the hmac */ };

/* Borg's hmac again, from its map and its salt. */
static void sign_documented(const void *arg)
{
	const struct row *row = arg;
	struct key *k = key_of(row->name);
	struct buf packed = BUF_INIT;
	size_t len;
	uint8_t *want = unhex(row->hex, &len);

	assert_int_equal(buf_append(&packed, want, len), 0);
	memset(packed.p + row->hmac_off, 0, HMAC_SIZE);
	assert_int_equal(tam_sign(k, "manifest", &packed, NULL), 0);
	assert_int_equal(packed.len, len);
	assert_memory_equal(packed.p, want, len);
	assert_int_equal(tam_sign(k, "manifest", &packed, NULL), -EINVAL); /* no room now */
	memset(packed.p + row->hmac_off, 0, HMAC_SIZE);
	assert_int_equal(tam_sign(k, "archive", &packed, NULL), 0);
	assert_int_equal(tam_verify(k, "archive", buf_bytes(&packed)), TAM_VALID);
	assert_int_equal(tam_verify(k, "manifest", buf_bytes(&packed)), TAM_INVALID);
	buf_fini(&packed);
	free(want);
	key_close(k);
}

/* Borg's map again, put together: what is before the tam's value, the value, what is behind. */
static void put_documented(const void *arg)
{
	const struct row *row = arg;
	struct key *k = key_of(row->name);
	struct buf packed = BUF_INIT;
	size_t len, before = row->hmac_off - HMAC_HEAD - 6 /* head of the map, "hmac" */,
		    behind;
	uint8_t *want = unhex(row->hex, &len);

	assert_memory_equal(want + before - 4, "\xa3tam", 4);
	assert_int_equal(buf_append(&packed, want, before), 0);
	assert_int_equal(tam_put(&packed,
				 (struct bytes){ want + row->hmac_off + SALT_AT, HMAC_SIZE },
				 NULL),
			 0);
	behind = packed.len;
	assert_int_equal(buf_append(&packed, want + behind, len - behind), 0);
	assert_int_equal(tam_sign(k, "manifest", &packed, NULL), 0);
	assert_memory_equal(packed.p, want, len);
	buf_fini(&packed);
	free(want);
	key_close(k);
}

static void random_salts(void **state)
{
	struct key *k = key_of("repokey-blake2");
	struct buf packed[2] = { BUF_INIT, BUF_INIT };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(buf_append(&packed[i], "\x81\xa3tam", 5), 0);
		assert_int_equal(tam_put(&packed[i], (struct bytes){ 0 }, NULL), 0);
		assert_int_equal(tam_sign(k, "archive", &packed[i], NULL), 0);
		assert_int_equal(tam_verify(k, "archive", buf_bytes(&packed[i])), TAM_VALID);
	}
	assert_int_equal(packed[0].len, packed[1].len);
	assert_memory_not_equal(packed[0].p, packed[1].p, packed[0].len);
	buf_fini(&packed[0]);
	buf_fini(&packed[1]);
	key_close(k);
}

#define ZEROS_16 "00000000000000000000000000000000"
#define ZEROS_64 "da0040" ZEROS_16 ZEROS_16 ZEROS_16 ZEROS_16

static const struct unfit {
	const char *name;
	const char *hex;
} unfits[] = {
	{ "nothing", "" },
	{ "no tam", "81 a161 01" },
	{ "tam is nil", "81 a374616d c0" },
	{ "another type", "81 a374616d 83" TYPE "a378797a" HMAC ZEROS_64 SALT BYTES_64 },
	{ "signed before", "81 a374616d 83" TYPE SUITE HMAC BYTES_64 SALT BYTES_64 },
	{ "a short hmac", "81 a374616d 83" TYPE SUITE HMAC "b0" ZEROS_16 SALT BYTES_64 },
	{ "a short salt", "81 a374616d 83" TYPE SUITE HMAC ZEROS_64 SALT "b0" BYTES_16 },
	{ "cut short", "81 a374616d 83" TYPE SUITE HMAC ZEROS_64 SALT "da0040" BYTES_16 },
};

static void unfit_one(const void *arg)
{
	const struct unfit *row = arg;
	struct key *k = key_of("repokey");
	struct buf packed = BUF_INIT;
	struct err e = ERR_INIT;
	size_t len;
	uint8_t *hex = unhex(row->hex, &len);

	assert_int_equal(buf_append(&packed, hex, len), 0);
	assert_int_equal(tam_sign(k, "archive", &packed, &e), -EINVAL);
	assert_int_equal(packed.len, len);
	assert_memory_equal(len ? packed.p : hex, hex, len);
	buf_fini(&packed);
	free(hex);
	key_close(k);
}

static void refused(void **state)
{
	struct key *k = NULL;
	struct buf packed = BUF_INIT;

	(void)state;
	assert_int_equal(tam_put(&packed, bytes_str("short"), NULL), -EINVAL);
	assert_int_equal(packed.len, 0);
	assert_int_equal(buf_append(&packed, "\x81\xa3tam", 5), 0);
	assert_int_equal(tam_put(&packed, (struct bytes){ 0 }, NULL), 0);
	assert_int_equal(key_open_unchecked(&k, KEY_AUTHENTICATED, NULL), 0);
	assert_int_equal(tam_sign(k, "archive", &packed, NULL), -EINVAL);
	buf_fini(&packed);
	key_close(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_another_key),
		cmocka_unit_test(hmac_occurs_earlier),
		cmocka_unit_test(random_salts),
		cmocka_unit_test(refused),
	};
	int failed;

	if (secret_setup() < 0)
		return 1;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	failed += run_table(rows, documented);
	failed += run_table(shapes, shape_one);
	failed += run_table(rows, sign_documented);
	failed += run_table(rows, put_documented);
	failed += run_table(unfits, unfit_one);
	return failed;
}
