/*
 * key.c - see key.h.
 *
 * Decrypted key material exists in guarded memory only; the blob around it is hostile until
 * its hash fits, and its fields are checked after that all the same.
 */

#include "core/crypto/key.h"

#include "core/codec/mp.h"
#include "core/crypto/kdf.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>
#include <stdlib.h>

enum {
	KEK_SIZE = 32,
	HASH_SIZE = 32,
	ENC_KEY_SIZE = 32,
	HMAC_KEY_SIZE = 32,
	BLAKE2_KEY_SIZE = 128,
	DERIVED_SIZE = 100, /* of the legacy passphrase mode */
	BLOB_MAX = 4000,    /* Borg's own bound for a string in a key blob */
	BLOB_MIN = 20,
	ITERATIONS_LEGACY = 100000,
};

static const struct key_traits traits[] = {
	{ KEY_KEYFILE, "keyfile", "key file", KEY_IN_FILE, true, false },
	{ KEY_PASSPHRASE, "passphrase", "passphrase", KEY_IN_NONE, true, false },
	{ KEY_PLAINTEXT, "none", "plaintext", KEY_IN_NONE, false, false },
	{ KEY_REPOKEY, "repokey", "repokey", KEY_IN_REPO, true, false },
	{ KEY_BLAKE2_KEYFILE, "keyfile-blake2", "key file BLAKE2b", KEY_IN_FILE, true, true },
	{ KEY_BLAKE2_REPOKEY, "repokey-blake2", "repokey BLAKE2b", KEY_IN_REPO, true, true },
	{ KEY_BLAKE2_AUTHENTICATED, "authenticated-blake2", "authenticated BLAKE2b",
	  KEY_IN_REPO, false, true },
	{ KEY_AUTHENTICATED, "authenticated", "authenticated", KEY_IN_REPO, false, false },
};

const struct key_traits *key_traits(uint8_t type)
{
	static_assert(sizeof(traits) / sizeof(traits[0]) == KEY_AUTHENTICATED + 1,
		      "one row per type");
	return type <= KEY_AUTHENTICATED ? &traits[type] : NULL;
}

static struct key *key_new(uint8_t type, struct err *e)
{
	struct key *k = calloc(1, sizeof(*k));

	if (!k) {
		err_nomem(e, "key");
		return NULL;
	}
	k->traits = &traits[type];
	return k;
}

void key_close(struct key *k)
{
	if (k)
		secret_free(k->material);
	free(k);
}

int key_open_plaintext(struct key **out, struct err *e)
{
	*out = key_new(KEY_PLAINTEXT, e);
	return *out ? 0 : -ENOMEM;
}

int key_open_unchecked(struct key **out, uint8_t type, struct err *e)
{
	const struct key_traits *t = key_traits(type);

	if (!t || t->encrypts || type == KEY_PLAINTEXT)
		return err_set(e, EINVAL, "key type %u cannot be read without its key", type);
	*out = key_new(type, e);
	return *out ? 0 : -ENOMEM;
}

int key_open_passphrase(struct key **out, const struct chunk_id *repository_id,
			struct bytes passphrase, struct err *e)
{
	CLEANUP(key_closep) struct key *k = key_new(KEY_PASSPHRASE, e);
	int rc;

	if (!k)
		return -ENOMEM;
	k->material = secret_new(DERIVED_SIZE);
	if (!k->material)
		return err_nomem(e, "key");
	rc = kdf_derive(k->material, passphrase,
			(struct bytes){ repository_id->b, CHUNK_ID_SIZE }, ITERATIONS_LEGACY,
			e);
	if (rc < 0)
		return rc;
	k->repository_id = *repository_id;
	k->enc_key = (struct bytes){ k->material->p, ENC_KEY_SIZE };
	k->enc_hmac_key = (struct bytes){ k->material->p + 32, HMAC_KEY_SIZE };
	k->id_key = (struct bytes){ k->material->p + 64, HMAC_KEY_SIZE };
	k->chunk_seed = (int32_t)get_be32(k->material->p + 96);
	k->passphrase_empty = passphrase.len == 0;
	*out = TAKE(k);
	return 0;
}

struct outer {
	uint64_t version, iterations;
	struct bytes algorithm, data, hash, salt;
};

static int parse_outer(struct bytes blob, struct outer *o, struct err *e)
{
	struct mp m = mp_read(blob);

	*o = (struct outer){ 0 };
	for (uint32_t pairs = mp_map(&m); pairs > 0 && mp_ok(&m); pairs--) {
		struct bytes name = mp_str(&m);

		if (bytes_is(name, "version"))
			o->version = mp_uint(&m);
		else if (bytes_is(name, "iterations"))
			o->iterations = mp_uint(&m);
		else if (bytes_is(name, "algorithm"))
			o->algorithm = mp_str(&m);
		else if (bytes_is(name, "data"))
			o->data = mp_str(&m);
		else if (bytes_is(name, "hash"))
			o->hash = mp_str(&m);
		else if (bytes_is(name, "salt"))
			o->salt = mp_str(&m);
		else
			mp_skip(&m);
	}
	if (!mp_ok(&m) || o->data.len > BLOB_MAX || o->hash.len != HASH_SIZE)
		return err_set(e, EBADMSG, "key: damaged key data");
	if (o->version != 1)
		return err_set(e, ENOTSUP, "key: unknown version of key data");
	if (!bytes_is(o->algorithm, "sha256"))
		return err_set(e, ENOTSUP, "key: unknown algorithm");
	return 0;
}

/* KEK -> inner map; the hash over the plaintext tells a wrong passphrase. */
static int decrypt_inner(const struct outer *o, const struct secret *kek, struct secret *inner,
			 struct err *e)
{
	static const uint8_t zero_counter[16];
	EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
	uint8_t hash[HASH_SIZE];
	unsigned hash_len = sizeof(hash);
	int n = 0, ok;

	ok = cipher &&
	     EVP_DecryptInit_ex2(cipher, EVP_aes_256_ctr(), kek->p, zero_counter, NULL) &&
	     EVP_DecryptUpdate(cipher, inner->p, &n, o->data.p, (int)o->data.len) &&
	     HMAC(EVP_sha256(), kek->p, (int)kek->len, inner->p, inner->len, hash, &hash_len);
	EVP_CIPHER_CTX_free(cipher);
	if (!ok)
		return err_nomem(e, "key");
	if (sodium_memcmp(hash, o->hash.p, HASH_SIZE) != 0)
		return err_set_id(e, EKEYREJECTED, "PassphraseWrong",
				  "passphrase is incorrect.");
	return 0;
}

static int parse_inner(struct key *k, bool tam_required_default, struct err *e)
{
	struct mp m = mp_read(secret_bytes(k->material));
	size_t hmac_size = k->traits->blake2 ? BLAKE2_KEY_SIZE : HMAC_KEY_SIZE;
	struct bytes id = { 0 };
	uint64_t version = 0;
	int64_t seed = 0;

	k->tam_required = tam_required_default;
	for (uint32_t pairs = mp_map(&m); pairs > 0 && mp_ok(&m); pairs--) {
		struct bytes name = mp_str(&m);

		if (bytes_is(name, "version"))
			version = mp_uint(&m);
		else if (bytes_is(name, "repository_id"))
			id = mp_str(&m);
		else if (bytes_is(name, "enc_key"))
			k->enc_key = mp_str(&m);
		else if (bytes_is(name, "enc_hmac_key"))
			k->enc_hmac_key = mp_str(&m);
		else if (bytes_is(name, "id_key"))
			k->id_key = mp_str(&m);
		else if (bytes_is(name, "chunk_seed"))
			seed = mp_int(&m);
		else if (bytes_is(name, "tam_required"))
			k->tam_required = mp_bool(&m);
		else
			mp_skip(&m);
	}
	if (!mp_ok(&m) || id.len != CHUNK_ID_SIZE || k->enc_key.len != ENC_KEY_SIZE ||
	    k->enc_hmac_key.len != hmac_size || k->id_key.len != hmac_size ||
	    seed != (int32_t)seed)
		return err_set(e, EBADMSG, "key: damaged key data");
	if (version != 1)
		return err_set(e, ENOTSUP, "key: unknown version of key data");
	k->chunk_seed = (int32_t)seed;
	memcpy(k->repository_id.b, id.p, CHUNK_ID_SIZE);
	return 0;
}

int key_open_blob(struct key **out, uint8_t type, struct bytes blob, struct bytes passphrase,
		  bool tam_required_default, struct err *e)
{
	CLEANUP(key_closep) struct key *k = NULL;
	CLEANUP(secret_freep) struct secret *kek = secret_new(KEK_SIZE);
	struct outer outer;
	int rc;

	if (!key_traits(type) || key_traits(type)->store == KEY_IN_NONE)
		return err_set(e, EINVAL, "key type %u has no key data", type);
	rc = parse_outer(blob, &outer, e);
	if (rc < 0)
		return rc;
	k = key_new(type, e);
	if (!k || !kek)
		return err_nomem(e, "key");
	rc = kdf_derive(kek, passphrase, outer.salt, outer.iterations, e);
	if (rc < 0)
		return rc;
	k->material = secret_new(outer.data.len);
	if (!k->material)
		return err_nomem(e, "key");
	rc = decrypt_inner(&outer, kek, k->material, e);
	if (rc == 0)
		rc = parse_inner(k, tam_required_default, e);
	if (rc < 0)
		return rc;
	k->passphrase_empty = passphrase.len == 0;
	*out = TAKE(k);
	return 0;
}

/* The value of a character of base64, -1 outside the alphabet. */
static int base64_value(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/*
 * As Python's decoder, which the libraries' are not: characters outside the alphabet are
 * skipped wherever they stand, the text ends at a complete padding, and bits left over in the
 * last character do not matter.
 */
int key_blob_decode(struct bytes text, struct buf *out, struct err *e)
{
	unsigned digits = 0, pads = 0; /* of the group of four at hand */
	uint32_t bits = 0;

	out->len = 0;
	if (buf_reserve(out, text.len / 4 * 3 + 3) < 0)
		return err_nomem(e, "key");
	for (size_t i = 0; i < text.len && digits + pads < 4; i++) {
		int value = base64_value(text.p[i]);

		if (text.p[i] == '=' && digits >= 2)
			pads++;
		if (value < 0)
			continue;
		pads = 0;
		bits = bits << 6 | (uint32_t)value;
		if (digits > 0)
			out->p[out->len++] = (uint8_t)(bits >> (6 - 2 * digits));
		digits = (digits + 1) % 4;
	}
	if ((digits > 0 && digits + pads < 4) || out->len < BLOB_MIN)
		return err_set(e, EBADMSG, "key: damaged base64 text");
	return 0;
}
