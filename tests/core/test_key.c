/*
 * test_key.c - key blobs of stock borg unlock to the documented keys, and nothing else does.
 *
 * Method: the blobs of tests/support/crypto_vectors.h; for what is wrong inside a blob, inner maps
 * written by hand and wrapped here with OpenSSL (one iteration, empty salt, passphrase "test").
 */

#include "tests/support/crypto_vectors.h"
#include "tests/support/tap.h"

#include "core/crypto/kdf.h"
#include "core/crypto/key.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

static void assert_hex(struct bytes b, const char *hex)
{
	size_t len;
	uint8_t *want = unhex(hex, &len);

	assert_int_equal(b.len, len);
	if (len > 0)
		assert_memory_equal(b.p, want, len);
	free(want);
}

static int open_with(const char *blob_hex, uint8_t type, const char *passphrase, struct key **k,
		     struct err *e)
{
	size_t len;
	uint8_t *blob = unhex(blob_hex, &len);
	int rc = key_open_blob(k, type, (struct bytes){ blob, len }, bytes_str(passphrase),
			       false, e);

	free(blob);
	return rc;
}

static void documented_blob(const void *arg)
{
	const struct crypto_vector *v = arg;
	struct key *k = NULL;
	struct err e = ERR_INIT;

	if (v->type == KEY_PLAINTEXT) {
		assert_int_equal(key_open_plaintext(&k, &e), 0);
		assert_false(k->tam_required);
	} else {
		assert_int_equal(open_with(v->blob, v->type, "test", &k, &e), 0);
		assert_true(k->tam_required);
		assert_hex((struct bytes){ k->repository_id.b, CHUNK_ID_SIZE },
			   v->repository_id);
	}
	assert_string_equal(k->traits->argument, v->name);
	assert_int_equal(k->traits->type, v->type);
	assert_int_equal(k->chunk_seed, v->chunk_seed);
	assert_hex(k->enc_key, v->enc_key);
	assert_hex(k->enc_hmac_key, v->enc_hmac_key);
	assert_hex(k->id_key, v->id_key);
	assert_false(k->passphrase_empty);
	key_close(k);
}

static void wrong_passphrase(void **state)
{
	struct key *k = NULL;
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 1; i < CRYPTO_VECTORS; i++) {
		assert_int_equal(open_with(crypto_vectors[i].blob, crypto_vectors[i].type,
					   "test ", &k, &e),
				 -EKEYREJECTED);
		assert_string_equal(e.msgid, "PassphraseWrong");
		assert_null(k);
	}
}

static struct bytes cut_blob(const uint8_t *blob, size_t len, uint8_t **memory)
{
	*memory = malloc(len ? len : 1);
	assert_non_null(*memory);
	if (len > 0)
		memcpy(*memory, blob, len);
	return (struct bytes){ *memory, len };
}

static void blob_cut_at_every_byte(void **state)
{
	size_t len;
	uint8_t *blob = unhex(crypto_vectors[1].blob, &len), *memory;
	struct key *k = NULL;

	(void)state;
	for (size_t cut = 0; cut < len; cut++) {
		struct bytes b = cut_blob(blob, cut, &memory);

		assert_int_equal(key_open_blob(&k, crypto_vectors[1].type, b, bytes_str("test"),
					       false, NULL),
				 -EBADMSG);
		free(memory);
	}
	free(blob);
}

/* One field of the outer map wrong at a time. */
static const struct outer_row {
	const char *name;
	const char *hex;
	int want;
} outer_rows[] = {
#define ALGORITHM "a9616c676f726974686d a6736861323536"
#define DATA      "a464617461 a161"
#define HASH                                                                                   \
	"a468617368 da0020 00000000000000000000000000000000"                                   \
	"00000000000000000000000000000000"
#define ITERATIONS "aa697465726174696f6e73"
#define SALT       "a473616c74 a473616c74"
#define VERSION    "a776657273696f6e"
	{ "sound, but of another passphrase",
	  "86" ALGORITHM DATA HASH ITERATIONS "01" SALT VERSION "01", -EKEYREJECTED },
	{ "an unknown field more",
	  "87" ALGORITHM DATA HASH ITERATIONS "01" SALT VERSION "01 a178 93010203",
	  -EKEYREJECTED },
	{ "no iterations", "85" ALGORITHM DATA HASH SALT VERSION "01", -EBADMSG },
	{ "no iteration", "86" ALGORITHM DATA HASH ITERATIONS "00" SALT VERSION "01",
	  -EBADMSG },
	{ "iterations for hours",
	  "86" ALGORITHM DATA HASH ITERATIONS "ceffffffff" SALT VERSION "01", -EBADMSG },
	{ "iterations beyond 32 bits",
	  "86" ALGORITHM DATA HASH ITERATIONS "cf0000000100000001" SALT VERSION "01",
	  -EBADMSG },
	{ "negative iterations", "86" ALGORITHM DATA HASH ITERATIONS "ff" SALT VERSION "01",
	  -EBADMSG },
	{ "no hash", "85" ALGORITHM DATA ITERATIONS "01" SALT VERSION "01", -EBADMSG },
	{ "hash too short",
	  "86" ALGORITHM DATA "a468617368 a100" ITERATIONS "01" SALT VERSION "01", -EBADMSG },
	{ "version 2", "86" ALGORITHM DATA HASH ITERATIONS "01" SALT VERSION "02", -ENOTSUP },
	{ "no version", "85" ALGORITHM DATA HASH ITERATIONS "01" SALT, -ENOTSUP },
	{ "another algorithm",
	  "86 a9616c676f726974686d a6617267736f6e" DATA HASH ITERATIONS "01" SALT VERSION "01",
	  -ENOTSUP },
	{ "an array", "93 01 02 03", -EBADMSG },
	{ "a name that is a number", "81 01 02", -EBADMSG },
	{ "nothing", "", -EBADMSG },
};

static void outer_one(const void *arg)
{
	const struct outer_row *row = arg;
	struct key *k = NULL;
	struct err e = ERR_INIT;

	assert_int_equal(open_with(row->hex, KEY_REPOKEY, "test", &k, &e), row->want);
	assert_null(k);
	assert_int_equal(e.code, -row->want);
}

static void put_raw(struct buf *b, const char *name, const void *p, size_t len)
{
	const uint8_t head[] = { 0xda, (uint8_t)(len >> 8), (uint8_t)len };

	assert_int_equal(buf_append_byte(b, (uint8_t)(0xa0 | strlen(name))), 0);
	assert_int_equal(buf_append_str(b, name), 0);
	assert_int_equal(buf_append(b, head, sizeof(head)), 0);
	assert_int_equal(buf_append(b, p, len), 0);
}

/* A blob around this inner map, whatever it says. */
static void wrap(struct buf *blob, const uint8_t *inner, size_t len)
{
	static const uint8_t zeros[16], tail[] = "\xaaiterations\x01\xa7version\x01";
	EVP_CIPHER_CTX *aes = EVP_CIPHER_CTX_new();
	uint8_t kek[32], data[1024], hash[32];
	unsigned hash_len = 0;
	int n = 0;

	assert_non_null(aes);
	assert_true(len <= sizeof(data));
	assert_true(PKCS5_PBKDF2_HMAC("test", 4, zeros, 0, 1, EVP_sha256(), sizeof(kek), kek));
	assert_true(EVP_EncryptInit_ex2(aes, EVP_aes_256_ctr(), kek, zeros, NULL));
	assert_true(EVP_EncryptUpdate(aes, data, &n, inner, (int)len));
	assert_non_null(HMAC(EVP_sha256(), kek, sizeof(kek), inner, len, hash, &hash_len));
	blob->len = 0;
	assert_int_equal(buf_append_byte(blob, 0x86), 0);
	put_raw(blob, "algorithm", "sha256", 6);
	put_raw(blob, "data", data, len);
	put_raw(blob, "hash", hash, sizeof(hash));
	put_raw(blob, "salt", zeros, 0);
	assert_int_equal(buf_append(blob, tail, sizeof(tail) - 1), 0);
	EVP_CIPHER_CTX_free(aes);
}

static void data_longer_than_borg_allows(void **state)
{
	static const uint8_t zeros[4001];
	struct buf inner = BUF_INIT;
	struct key *k = NULL;

	(void)state;
	for (size_t len = 4000; len <= 4001; len++) {
		inner.len = 0;
		assert_int_equal(
			buf_append(&inner, "\x85\xaaiterations\x01\xa7version\x01", 22), 0);
		put_raw(&inner, "algorithm", "sha256", 6);
		put_raw(&inner, "hash", zeros, 32);
		put_raw(&inner, "data", zeros, len);
		assert_int_equal(key_open_blob(&k, KEY_REPOKEY, buf_bytes(&inner),
					       bytes_str("test"), false, NULL),
				 len == 4000 ? -EKEYREJECTED : -EBADMSG);
	}
	buf_fini(&inner);
}

static const struct inner_row {
	const char *name;
	size_t enc_key, hmac_key, id_key, repository_id; /* lengths */
	const char *rest; /* hex: chunk_seed, tam_required, version and what else */
	int pairs;
	uint8_t type;
	int want;
} inner_rows[] = {
#define SEED      "aa6368756e6b5f73656564"
#define REQUIRED  "ac74616d5f7265717569726564"
#define VERSION_1 VERSION "01"
	{ "HMAC keys", 32, 32, 32, 32, SEED "d2b66803ca" REQUIRED "c2" VERSION_1, 7,
	  KEY_REPOKEY, 0 },
	{ "BLAKE2 keys", 32, 128, 128, 32, SEED "d2b66803ca" REQUIRED "c2" VERSION_1, 7,
	  KEY_BLAKE2_REPOKEY, 0 },
	{ "a key of 1.0: no tam_required", 32, 32, 32, 32, SEED "d2b66803ca" VERSION_1, 6,
	  KEY_KEYFILE, 0 },
	{ "HMAC keys for a BLAKE2 type", 32, 32, 32, 32, SEED "00" VERSION_1, 6,
	  KEY_BLAKE2_REPOKEY, -EBADMSG },
	{ "BLAKE2 keys for an HMAC type", 32, 128, 128, 32, SEED "00" VERSION_1, 6, KEY_REPOKEY,
	  -EBADMSG },
	{ "short enc_key", 31, 32, 32, 32, SEED "00" VERSION_1, 6, KEY_REPOKEY, -EBADMSG },
	{ "long enc_key", 33, 32, 32, 32, SEED "00" VERSION_1, 6, KEY_REPOKEY, -EBADMSG },
	{ "short enc_hmac_key", 32, 31, 32, 32, SEED "00" VERSION_1, 6, KEY_REPOKEY, -EBADMSG },
	{ "short id_key", 32, 32, 0, 32, SEED "00" VERSION_1, 6, KEY_REPOKEY, -EBADMSG },
	{ "short repository_id", 32, 32, 32, 31, SEED "00" VERSION_1, 6, KEY_REPOKEY,
	  -EBADMSG },
	{ "seed beyond 32 bits", 32, 32, 32, 32, SEED "ce80000000" VERSION_1, 6, KEY_REPOKEY,
	  -EBADMSG },
	{ "seed that is a string", 32, 32, 32, 32, SEED "a0" VERSION_1, 6, KEY_REPOKEY,
	  -EBADMSG },
	{ "tam_required that is a number", 32, 32, 32, 32, SEED "00" REQUIRED "01" VERSION_1, 7,
	  KEY_REPOKEY, -EBADMSG },
	{ "version 2", 32, 32, 32, 32, SEED "00" VERSION "02", 6, KEY_REPOKEY, -ENOTSUP },
	{ "no version", 32, 32, 32, 32, SEED "00", 5, KEY_REPOKEY, -ENOTSUP },
	{ "fewer pairs than promised", 32, 32, 32, 32, SEED "00" VERSION_1, 7, KEY_REPOKEY,
	  -EBADMSG },
	{ "an unknown field more", 32, 32, 32, 32, SEED "00" VERSION_1 "a178 8101c0", 7,
	  KEY_REPOKEY, 0 },
};

static void inner_one(const void *arg)
{
	const struct inner_row *row = arg;
	struct buf inner = BUF_INIT, blob = BUF_INIT;
	uint8_t bytes[128];
	struct key *k = NULL;
	struct err e = ERR_INIT;
	size_t len;
	uint8_t *rest = unhex(row->rest, &len);

	memset(bytes, 0x5a, sizeof(bytes));
	assert_int_equal(buf_append_byte(&inner, (uint8_t)(0x80 | row->pairs)), 0);
	put_raw(&inner, "enc_key", bytes, row->enc_key);
	put_raw(&inner, "enc_hmac_key", bytes, row->hmac_key);
	put_raw(&inner, "id_key", bytes, row->id_key);
	put_raw(&inner, "repository_id", bytes, row->repository_id);
	assert_int_equal(buf_append(&inner, rest, len), 0);
	wrap(&blob, inner.p, inner.len);
	for (int by_default = 0; by_default < 2; by_default++) {
		assert_int_equal(key_open_blob(&k, row->type, buf_bytes(&blob),
					       bytes_str("test"), by_default, &e),
				 row->want);
		if (row->want == 0)
			assert_int_equal(k->tam_required,
					 strstr(row->rest, REQUIRED) ? false : by_default);
		key_close(k);
		k = NULL;
	}
	free(rest);
	buf_fini(&inner);
	buf_fini(&blob);
}

static void types_without_a_blob(void **state)
{
	static const uint8_t types[] = { KEY_PLAINTEXT, KEY_PASSPHRASE, 8, 0xff };
	struct key *k = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(types); i++)
		assert_int_equal(open_with(crypto_vectors[1].blob, types[i], "test", &k, NULL),
				 -EINVAL);
	assert_null(key_traits(8));
	assert_null(key_traits(0xff));
}

static void passphrase_mode(void **state)
{
	struct chunk_id id;
	struct key *k = NULL;
	uint8_t want[100];

	(void)state;
	memset(id.b, 7, sizeof(id.b));
	assert_true(PKCS5_PBKDF2_HMAC("attic", 5, id.b, sizeof(id.b), 100000, EVP_sha256(),
				      sizeof(want), want));
	assert_int_equal(key_open_passphrase(&k, &id, bytes_str("attic"), NULL), 0);
	assert_memory_equal(k->enc_key.p, want, 32);
	assert_memory_equal(k->enc_hmac_key.p, want + 32, 32);
	assert_memory_equal(k->id_key.p, want + 64, 32);
	assert_int_equal(k->chunk_seed, (int32_t)get_be32(want + 96));
	assert_true(id_equal(&k->repository_id, &id));
	key_close(k);
}

static void unchecked(void **state)
{
	struct key *k = NULL;

	(void)state;
	assert_int_equal(key_open_unchecked(&k, KEY_AUTHENTICATED, NULL), 0);
	assert_int_equal(k->id_key.len, 0);
	key_close(k);
	k = NULL;
	assert_int_equal(key_open_unchecked(&k, KEY_REPOKEY, NULL), -EINVAL);
	assert_int_equal(key_open_unchecked(&k, KEY_PLAINTEXT, NULL), -EINVAL);
	assert_int_equal(key_open_unchecked(&k, 0x55, NULL), -EINVAL);
}

/* What Python 3.11's binascii.a2b_base64() says of each. */
static const struct base64_row {
	const char *name;
	const char *text;
	const char *want; /* NULL: refused */
} base64_rows[] = {
#define TWENTY "YWJjZGVmZ2hpamtsbW5vcHFyc3Q" /* a to t, without its padding */
	{ "plain", TWENTY "=", "abcdefghijklmnopqrst" },
	{ "lines and tabs", "YWJjZGVm\n\tZ2hpamts\r\n bW5vcHFyc3Q=\n", "abcdefghijklmnopqrst" },
	{ "characters outside the alphabet",
	  "Y.WJ:jZGVmZ2hpamtsbW5vcH\x80"
	  "Fyc3Q=",
	  "abcdefghijklmnopqrst" },
	{ "no padding", TWENTY, NULL },
	{ "too much padding", TWENTY "==", "abcdefghijklmnopqrst" },
	{ "text behind the padding", TWENTY "=WHAT", "abcdefghijklmnopqrst" },
	{ "padding between groups", "YWJj=ZGVmZ2hpamtsbW5vcHFyc3Q=", "abcdefghijklmnopqrst" },
	{ "bits left over", "YWJjZGVmZ2hpamtsbW5vcHFyc3R=", "abcdefghijklmnopqrst" },
	{ "whole groups", "YWJjZGVmZ2hpamtsbW5vcHFyc3R1", "abcdefghijklmnopqrstu" },
	{ "19 bytes", "YWJjZGVmZ2hpamtsbW5vcHFycw==", NULL },
	{ "nothing", "", NULL },
	{ "one digit", "YWJjZGVmZ2hpamtsbW5vcHFyc3R1Y===", NULL },
};

static void base64_one(const void *arg)
{
	const struct base64_row *row = arg;
	struct buf out = BUF_INIT;
	int rc = key_blob_decode(bytes_str(row->text), &out, NULL);

	assert_int_equal(rc, row->want ? 0 : -EBADMSG);
	if (row->want) {
		assert_int_equal(out.len, strlen(row->want));
		assert_memory_equal(out.p, row->want, out.len);
	}
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_passphrase),
		cmocka_unit_test(blob_cut_at_every_byte),
		cmocka_unit_test(types_without_a_blob),
		cmocka_unit_test(data_longer_than_borg_allows),
		cmocka_unit_test(passphrase_mode),
		cmocka_unit_test(unchecked),
	};
	int failed;

	if (secret_setup() < 0)
		return 1;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	failed += run_table(crypto_vectors, documented_blob);
	failed += run_table(outer_rows, outer_one);
	failed += run_table(inner_rows, inner_one);
	failed += run_table(base64_rows, base64_one);
	return failed;
}
