/*
 * test_key_create.c - new keys are what their type needs, and open under their passphrase alone.
 *
 * That borg opens them, too, is tests/e2e/keys.bats.  The lines of base64 were made by Python's
 * textwrap and binascii.
 */

#include "tests/support/tap.h"

#include "core/crypto/key.h"

#include <errno.h>

static const struct chunk_id repository = { .b = { 1, 2, 3, [31] = 0xff } };

static bool all_zero(const uint8_t *p, size_t n)
{
	while (n > 0 && !p[n - 1])
		n--;
	return n == 0;
}

static bool same(struct bytes a, struct bytes b)
{
	return bytes_equal(a, b);
}

static const struct row {
	const char *name;
	uint8_t type;
	size_t hmac_size, random_size;
	size_t text_size; /* of 222 or 414 bytes within 353 or 545, where the seed takes 5 */
} rows[] = {
	{ "keyfile", KEY_KEYFILE, 32, 32, 476 + 6 },
	{ "repokey", KEY_REPOKEY, 32, 32, 476 + 6 },
	{ "keyfile-blake2", KEY_BLAKE2_KEYFILE, 128, 64, 728 + 10 },
	{ "repokey-blake2", KEY_BLAKE2_REPOKEY, 128, 64, 728 + 10 },
	{ "authenticated-blake2", KEY_BLAKE2_AUTHENTICATED, 128, 64, 728 + 10 },
	{ "authenticated", KEY_AUTHENTICATED, 32, 32, 476 + 6 },
};

static void assert_fresh(const struct row *row, const struct key *k)
{
	assert_int_equal(k->traits->type, row->type);
	assert_true(k->tam_required);
	assert_memory_equal(k->repository_id.b, repository.b, CHUNK_ID_SIZE);
	assert_int_equal(k->enc_key.len, 32);
	assert_int_equal(k->enc_hmac_key.len, row->hmac_size);
	assert_int_equal(k->id_key.len, row->hmac_size);
	assert_false(all_zero(k->id_key.p + row->random_size - 8, 8));
	assert_false(all_zero(k->enc_hmac_key.p + row->random_size - 8, 8));
	assert_true(
		all_zero(k->id_key.p + row->random_size, row->hmac_size - row->random_size));
	assert_true(all_zero(k->enc_hmac_key.p + row->random_size,
			     row->hmac_size - row->random_size));
	assert_false(same(k->enc_hmac_key, k->id_key));
}

static void assert_reopens(const struct row *row, const struct key *k)
{
	CLEANUP(buf_fini) struct buf text = BUF_INIT;
	CLEANUP(buf_fini) struct buf again = BUF_INIT;
	CLEANUP(buf_fini) struct buf blob = BUF_INIT;
	CLEANUP(key_closep) struct key *opened = NULL;
	struct err e = ERR_INIT;

	assert_int_equal(key_wrap(k, bytes_str("s3cret"), &text, &e), 0);
	assert_int_equal(key_wrap(k, bytes_str("s3cret"), &again, &e), 0);
	assert_false(same(buf_bytes(&text), buf_bytes(&again))); /* another salt */
	/* A small seed takes up to 4 bytes less, 8 characters with the rounding. */
	assert_in_range(text.len, row->text_size - 8, row->text_size);
	assert_int_equal(key_blob_decode(buf_bytes(&text), &blob, &e), 0);
	assert_int_equal(key_open_blob(&opened, row->type, buf_bytes(&blob),
				       bytes_str("s3cret "), false, &e),
			 -EKEYREJECTED);
	assert_int_equal(key_open_blob(&opened, row->type, buf_bytes(&blob),
				       bytes_str("s3cret"), false, &e),
			 0);
	assert_true(same(opened->enc_key, k->enc_key));
	assert_true(same(opened->enc_hmac_key, k->enc_hmac_key));
	assert_true(same(opened->id_key, k->id_key));
	assert_int_equal(opened->chunk_seed, k->chunk_seed);
	assert_true(opened->tam_required);
}

static void made(const void *arg)
{
	const struct row *row = arg;
	CLEANUP(key_closep) struct key *k = NULL;
	CLEANUP(key_closep) struct key *other = NULL;
	struct err e = ERR_INIT;

	assert_int_equal(key_make(&k, row->type, &repository, &e), 0);
	assert_int_equal(key_make(&other, row->type, &repository, &e), 0);
	assert_fresh(row, k);
	assert_false(same(k->enc_key, other->enc_key));
	assert_false(same(k->id_key, other->id_key));
	assert_reopens(row, k);
}

static void types_without_key_data(void **state)
{
	struct key *k = NULL;

	(void)state;
	assert_int_equal(key_make(&k, KEY_PLAINTEXT, &repository, NULL), -EINVAL);
	assert_int_equal(key_make(&k, KEY_PASSPHRASE, &repository, NULL), -EINVAL);
	assert_int_equal(key_make(&k, 0x42, &repository, NULL), -EINVAL);
	assert_null(k);
}

static void migrated_has_the_secrets_of_the_passphrase(void **state)
{
	CLEANUP(key_closep) struct key *old = NULL;
	CLEANUP(key_closep) struct key *k = NULL;

	(void)state;
	assert_int_equal(key_open_passphrase(&old, &repository, bytes_str("pw"), NULL), 0);
	assert_int_equal(key_migrate(&k, old, NULL), 0);
	assert_int_equal(k->traits->type, KEY_REPOKEY);
	assert_true(same(k->enc_key, old->enc_key));
	assert_true(same(k->enc_hmac_key, old->enc_hmac_key));
	assert_true(same(k->id_key, old->id_key));
	assert_int_equal(k->chunk_seed, old->chunk_seed);
	assert_memory_equal(k->repository_id.b, repository.b, CHUNK_ID_SIZE);
	assert_reopens(&rows[1], k);
}

static const struct base64_row {
	const char *name;
	size_t bytes; /* 0, 1, 2, ... */
	const char *text;
} base64_rows[] = {
	{ "one line, padded twice", 49,
	  "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMA==" },
	{ "a line and two digits", 54,
	  "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMz\n"
	  "Q1" },
	{ "two lines exactly", 105,
	  "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMz\n"
	  "Q1Njc4OTo7PD0+P0BBQkNERUZHSElKS0xNTk9QUVJTVFVWV1hZWltcXV5fYGFiY2RlZmdo" },
	{ "padded once", 107,
	  "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMz\n"
	  "Q1Njc4OTo7PD0+P0BBQkNERUZHSElKS0xNTk9QUVJTVFVWV1hZWltcXV5fYGFiY2RlZmdo\n"
	  "aWo=" },
};

static void encoded(const void *arg)
{
	const struct base64_row *row = arg;
	CLEANUP(buf_fini) struct buf text = BUF_INIT;
	CLEANUP(buf_fini) struct buf back = BUF_INIT;
	uint8_t bytes[256];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	assert_int_equal(key_blob_encode((struct bytes){ bytes, row->bytes }, &text, NULL), 0);
	assert_int_equal(text.len, strlen(row->text));
	assert_memory_equal(text.p, row->text, text.len);
	assert_int_equal(key_blob_decode(buf_bytes(&text), &back, NULL), 0);
	assert_int_equal(back.len, row->bytes);
	assert_memory_equal(back.p, bytes, back.len);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(types_without_key_data),
		cmocka_unit_test(migrated_has_the_secrets_of_the_passphrase),
	};
	int failed = run_table(rows, made);

	failed |= run_table(base64_rows, encoded);
	return failed | cmocka_run_group_tests(tests, NULL, NULL);
}
