/*
 * test_id_hash.c - each digest, alone and in pairs, by our code and by the library.
 *
 * Source: FIPS 180-4 and RFC 4231 examples; keyed BLAKE2b from docs/format.md "Golden values";
 * for every pair of lengths around the block size, OpenSSL's one-shot functions.
 */

#include "tests/support/crypto_vectors.h"
#include "tests/support/tap.h"

#include "core/crypto/id_hash.h"
#include "core/crypto/sha256_pair.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

static const struct row {
	const char *name;
	enum digest_kind kind;
	const char *key, *message; /* hex */
	const char *want;
} rows[] = {
	{ "SHA-256, empty", DIGEST_SHA256, "", "",
	  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
	{ "SHA-256, abc", DIGEST_SHA256, "", "616263",
	  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
	{ "SHA-256, two blocks", DIGEST_SHA256, "",
	  "6162636462636465636465666465666765666768666768696768696a68696a6b696a6b6c6a6b6c6d6b6c"
	  "6d6e6c6d6e6f6d6e6f706e6f7071",
	  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
	{ "HMAC-SHA256, RFC 4231 case 1", DIGEST_HMAC_SHA256,
	  "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
	  "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" },
	{ "HMAC-SHA256, RFC 4231 case 2", DIGEST_HMAC_SHA256, "4a656665",
	  "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
	  "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" },
	{ "HMAC-SHA256, RFC 4231 case 6: a key of 131 bytes", DIGEST_HMAC_SHA256,
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	  "aaaaaaaaaaaaaaaaaaaaaa",
	  "54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d204861"
	  "7368204b6579204669727374",
	  "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54" },
	{ "HMAC-SHA256 without a key", DIGEST_HMAC_SHA256, "", "",
	  "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad" },
};

static struct digest *new_digest(enum digest_kind kind, enum digest_engine engine,
				 struct bytes key)
{
	struct digest *d = NULL;

	assert_int_equal(digest_new(&d, kind, engine, key, NULL), 0);
	return d;
}

static void run_row(const void *arg)
{
	const struct row *row = arg;
	size_t key_len, len, want_len;
	uint8_t *key = unhex(row->key, &key_len), *message = unhex(row->message, &len),
		*want = unhex(row->want, &want_len), out[2][DIGEST_SIZE];

	for (int engine = DIGEST_FASTEST; engine <= DIGEST_LIBRARY; engine++) {
		struct digest *d = new_digest(row->kind, (enum digest_engine)engine,
					      (struct bytes){ key, key_len });
		struct digest *const both[2] = { d, d };
		const struct bytes m[2] = { { message, len }, { message, len } };

		for (int again = 0; again < 2; again++) {
			digest_of(d, m[0], out[0]);
			assert_memory_equal(out[0], want, DIGEST_SIZE);
			digest_pair(both, m, out);
			assert_memory_equal(out[0], want, DIGEST_SIZE);
			assert_memory_equal(out[1], want, DIGEST_SIZE);
		}
		digest_free(d);
	}
	free(key);
	free(message);
	free(want);
}

static void documented_ids(void **state)
{
	static const char hello[] = "hello world\n";

	(void)state;
	for (size_t i = 0; i < CRYPTO_VECTORS; i++) {
		const struct crypto_vector *v = &crypto_vectors[i];
		bool blake2 = v->type >= 4 && v->type <= 6;
		size_t key_len, id_len;
		uint8_t *key = unhex(v->id_key, &key_len), *id = unhex(v->chunk_id, &id_len),
			out[DIGEST_SIZE];
		struct digest *d = new_digest(v->type == 2 ? DIGEST_SHA256
					      : blake2     ? DIGEST_BLAKE2B
							   : DIGEST_HMAC_SHA256,
					      DIGEST_FASTEST, (struct bytes){ key, key_len });

		digest_of(d, bytes_str(hello), out);
		assert_memory_equal(out, id, DIGEST_SIZE);
		digest_free(d);
		free(key);
		free(id);
	}
}

/* Lengths at which the padding takes one block or two, and some that run on alone. */
static const size_t lengths[] = { 0,   1,   55,  56,  63,  64,   65,   119,
				  120, 127, 128, 183, 184, 1000, 70000 };
enum { LENGTHS = sizeof(lengths) / sizeof(lengths[0]), LONGEST = 70000 };

static void every_pair_of_lengths(enum digest_kind kind, enum digest_engine engine)
{
	static const uint8_t keys[2][32] = { "the first of two different keys",
					     "the second of two differing ones" };
	uint8_t *data = malloc(2 * LONGEST), out[2][DIGEST_SIZE], want[DIGEST_SIZE];
	struct digest *d[2];

	assert_non_null(data);
	for (size_t i = 0; i < 2 * LONGEST; i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	for (size_t i = 0; i < 2; i++)
		d[i] = new_digest(kind, engine, (struct bytes){ keys[i], sizeof(keys[i]) });
	for (size_t n = 0; n < LENGTHS * LENGTHS; n++) {
		const struct bytes m[2] = { { data, lengths[n / LENGTHS] },
					    { data + LONGEST, lengths[n % LENGTHS] } };

		digest_pair(d, m, out);
		for (size_t i = 0; i < 2; i++) {
			unsigned len = DIGEST_SIZE;

			if (kind == DIGEST_SHA256)
				EVP_Digest(m[i].p, m[i].len, want, &len, EVP_sha256(), NULL);
			else
				HMAC(EVP_sha256(), keys[i], sizeof(keys[i]), m[i].p, m[i].len,
				     want, &len);
			assert_memory_equal(out[i], want, DIGEST_SIZE);
		}
	}
	digest_free(d[0]);
	digest_free(d[1]);
	free(data);
}

static void sha256_pairs(void **state)
{
	(void)state;
	every_pair_of_lengths(DIGEST_SHA256, DIGEST_FASTEST);
	every_pair_of_lengths(DIGEST_SHA256, DIGEST_LIBRARY);
}

static void hmac_pairs(void **state)
{
	(void)state;
	every_pair_of_lengths(DIGEST_HMAC_SHA256, DIGEST_FASTEST);
	every_pair_of_lengths(DIGEST_HMAC_SHA256, DIGEST_LIBRARY);
}

/* What cannot be interleaved is computed one after the other. */
static void pairs_of_different_kinds(void **state)
{
	static const char key[] = "key";
	struct digest *sha = new_digest(DIGEST_SHA256, DIGEST_FASTEST, (struct bytes){ 0 });

	(void)state;
	for (int kind = DIGEST_HMAC_SHA256; kind <= DIGEST_BLAKE2B; kind++) {
		struct digest *other =
			new_digest((enum digest_kind)kind, DIGEST_FASTEST, bytes_str(key));
		struct digest *const both[2] = { sha, other };
		const struct bytes m[2] = { bytes_str("one"), bytes_str("another") };
		uint8_t out[2][DIGEST_SIZE], want[DIGEST_SIZE];

		digest_pair(both, m, out);
		digest_of(sha, m[0], want);
		assert_memory_equal(out[0], want, DIGEST_SIZE);
		digest_of(other, m[1], want);
		assert_memory_equal(out[1], want, DIGEST_SIZE);
		digest_free(other);
	}
	digest_free(sha);
}

static void engine_is_as_asked(void **state)
{
	struct digest *ours = new_digest(DIGEST_SHA256, DIGEST_FASTEST, (struct bytes){ 0 });
	struct digest *theirs = new_digest(DIGEST_SHA256, DIGEST_LIBRARY, (struct bytes){ 0 });
	struct digest *blake = new_digest(DIGEST_BLAKE2B, DIGEST_FASTEST, (struct bytes){ 0 });

	(void)state;
	assert_int_equal(digest_pairs_well(ours), sha256_pair_usable());
	assert_false(digest_pairs_well(theirs));
	assert_false(digest_pairs_well(blake));
	digest_free(ours);
	digest_free(theirs);
	digest_free(blake);
}

/* Any number of any lengths, against one at a time by OpenSSL. */
static void many_at_once(void **state)
{
	enum { MOST = 70, MOST_BYTES = 3000 };
	static uint8_t text[MOST_BYTES + MOST], out[MOST][DIGEST_SIZE], want[DIGEST_SIZE];
	static const enum digest_kind kinds[] = { DIGEST_SHA256, DIGEST_HMAC_SHA256,
						  DIGEST_BLAKE2B };
	const struct bytes key = { (const uint8_t *)"a key of some length, for MACs", 30 };
	struct bytes m[MOST];

	(void)state;
	srand((unsigned)test_seed());
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)rand();
	for (size_t round = 0; round < test_count(60, 3000); round++) {
		enum digest_kind kind = kinds[round % 3];
		struct digest *d = new_digest(kind, DIGEST_FASTEST, key);
		struct digest *theirs = new_digest(kind, DIGEST_LIBRARY, key);
		size_t count = (size_t)rand() % (MOST + 1);

		for (size_t i = 0; i < count; i++)
			m[i] = (struct bytes){ text + i,
					       (size_t)rand() % MOST_BYTES >> rand() % 8 };
		digest_many(d, m, count, out);
		for (size_t i = 0; i < count; i++) {
			digest_of(theirs, m[i], want);
			assert_memory_equal(out[i], want, DIGEST_SIZE);
		}
		digest_free(d);
		digest_free(theirs);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(documented_ids),
		cmocka_unit_test(many_at_once),
		cmocka_unit_test(sha256_pairs),
		cmocka_unit_test(hmac_pairs),
		cmocka_unit_test(pairs_of_different_kinds),
		cmocka_unit_test(engine_is_as_asked),
	};
	int failed;

	cmocka_set_message_output(CM_OUTPUT_TAP);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	failed += run_table(rows, run_row);
	return failed;
}
