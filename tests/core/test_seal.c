/*
 * test_seal.c - sealed blocks: the bytes others would make, and no others are taken.
 *
 * Method: the expected bytes come from Python's `cryptography` 48.0.0 (HKDF with SHA-256, AESGCM):
 *   key = HKDF(SHA256(), 32, salt, purpose).derive(secret)
 *   AESGCM(key).encrypt(b"\0" * 4 + number.to_bytes(8, "big"), plain, header)
 */

#include "tests/support/tap.h"

#include "core/crypto/seal.h"

static const uint8_t header[] = "the header";

struct vector {
	const char *name;
	uint64_t number;
	const char *plain;
	const char *sealed; /* hex */
};

static const struct vector vectors[] = {
	{ "an empty block", 0u, "", "14a91f31c76ccb9446c2a3de70ab083e" },
	{ "the first block", 0u, "plain text",
	  "6ac5a10691813993df86e32fcd53ae38270ace32de2de540f424" },
	{ "a block far behind", 1099511627779u, "plain text",
	  "fcf9fbbed3aaf6554db91a1fc49a7e42060f342da4936f58213c" },
	{ "some blocks of the cipher", 1u,
	  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdefx",
	  "debfe29ebace75cf6a529d3502e344690a337a82d2baeef74d3b84f9ef49c510cb2c5e0164b40ec95b58"
	  "c42fce71e5576cf7300e6352e2564e7fb8919fa49ab2368cadb4650f3e4759c40c2eae3e1c8a3f" },
};

static struct seal *open_seal(uint8_t salt_byte, const char *purpose, size_t header_len)
{
	struct secret *secret = secret_new(40);
	uint8_t salt[SEAL_SALT];
	struct seal *s = NULL;

	for (size_t i = 0; i < secret->len; i++)
		secret->p[i] = (uint8_t)i;
	memset(salt, salt_byte, sizeof(salt));
	assert_int_equal(
		seal_new(&s, secret, salt, purpose, (struct bytes){ header, header_len }, NULL),
		0);
	secret_free(secret); /* not needed any more */
	return s;
}

static void agrees_with_others(const void *arg)
{
	const struct vector *v = arg;
	struct seal *s = open_seal(0x5a, "a purpose", sizeof(header) - 1);
	size_t len = strlen(v->plain), sealed_len;
	uint8_t *sealed = unhex(v->sealed, &sealed_len), out[256];

	assert_int_equal(sealed_len, len + SEAL_TAG);
	assert_int_equal(seal_block(s, v->number, bytes_str(v->plain), out, NULL), 0);
	assert_memory_equal(out, sealed, sealed_len);
	memset(out, 0, sizeof(out));
	assert_int_equal(
		seal_open_block(s, v->number, (struct bytes){ sealed, sealed_len }, out, NULL),
		0);
	assert_memory_equal(out, v->plain, len);
	free(sealed);
	seal_free(s);
}

static void other_seals(void **state)
{
	static const struct {
		const char *what;
		uint8_t salt;
		const char *purpose;
		size_t header_len;
		uint64_t number;
		int rc;
	} rows[] = {
		{ "the same", 1, "p", 10, 7, 0 },
		{ "another salt", 2, "p", 10, 7, -EBADMSG },
		{ "another purpose", 1, "q", 10, 7, -EBADMSG },
		{ "another header", 1, "p", 9, 7, -EBADMSG },
		{ "another place", 1, "p", 10, 8, -EBADMSG },
	};
	struct seal *s = open_seal(1, "p", 10);
	uint8_t sealed[5 + SEAL_TAG], out[5 + SEAL_TAG];

	(void)state;
	assert_int_equal(seal_block(s, 7, bytes_str("plain"), sealed, NULL), 0);
	seal_free(s);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		s = open_seal(rows[i].salt, rows[i].purpose, rows[i].header_len);
		if (seal_open_block(s, rows[i].number, (struct bytes){ sealed, sizeof(sealed) },
				    out, NULL) != rows[i].rc)
			fail_msg("%s", rows[i].what);
		seal_free(s);
	}
}

static void every_bit_counts(void **state)
{
	struct seal *s = open_seal(1, "p", 10);
	uint8_t sealed[5 + SEAL_TAG], out[5 + SEAL_TAG];

	(void)state;
	assert_int_equal(seal_block(s, 7, bytes_str("plain"), sealed, NULL), 0);
	for (size_t bit = 0; bit < 8 * sizeof(sealed); bit++) {
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(seal_open_block(s, 7, (struct bytes){ sealed, sizeof(sealed) },
						 out, NULL),
				 -EBADMSG);
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t len = 0; len < sizeof(sealed); len++)
		assert_int_equal(
			seal_open_block(s, 7, (struct bytes){ sealed, len }, out, NULL),
			-EBADMSG);
	/* A refused block does not spoil the next one. */
	assert_int_equal(
		seal_open_block(s, 7, (struct bytes){ sealed, sizeof(sealed) }, out, NULL), 0);
	assert_memory_equal(out, "plain", 5);
	seal_free(s);
}

static void sizes(void **state)
{
	struct seal *s = open_seal(1, "p", 10), *none = NULL;
	struct secret *small = secret_new(SEAL_SECRET_MIN - 1);
	uint8_t salt[SEAL_SALT] = { 0 };
	uint8_t *plain = calloc(1, SEAL_BLOCK + 1), *out = malloc(SEAL_BLOCK + 1 + SEAL_TAG);
	uint8_t *back = malloc(SEAL_BLOCK);

	(void)state;
	plain[SEAL_BLOCK - 1] = 9;
	assert_int_equal(seal_block(s, 0, (struct bytes){ plain, SEAL_BLOCK + 1 }, out, NULL),
			 -EIO);
	assert_int_equal(seal_block(s, 0, (struct bytes){ plain, SEAL_BLOCK }, out, NULL), 0);
	assert_int_equal(
		seal_open_block(s, 0, (struct bytes){ out, SEAL_BLOCK + SEAL_TAG }, back, NULL),
		0);
	assert_memory_equal(back, plain, SEAL_BLOCK);
	assert_int_equal(seal_open_block(s, 0, (struct bytes){ out, SEAL_BLOCK + 1 + SEAL_TAG },
					 back, NULL),
			 -EBADMSG);
	assert_int_equal(seal_new(&none, small, salt, "p", (struct bytes){ 0 }, NULL), -EINVAL);
	assert_null(none);
	secret_free(small);
	seal_free(s);
	free(plain);
	free(out);
	free(back);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(other_seals),
		cmocka_unit_test(every_bit_counts),
		cmocka_unit_test(sizes),
	};
	int failed = run_table(vectors, agrees_with_others);

	return failed | cmocka_run_group_tests(tests, NULL, NULL);
}
