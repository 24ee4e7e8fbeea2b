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
#include <openssl/rand.h>
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

/* --- new keys --- */

enum {
	BLAKE2_RANDOM = 64, /* bytes of a BLAKE2b key; zeros follow, as in its keyed mode */
	SALT_SIZE = 32,
	ITERATIONS = 100000,
	LINE = 70, /* characters of base64 */
	INNER_MAX = 512,
};

static int put_random(struct buf *b, const char *name, size_t len, size_t zeros)
{
	static const uint8_t none[BLAKE2_KEY_SIZE - BLAKE2_RANDOM];
	uint8_t head[3] = { 0xda, (uint8_t)((len + zeros) >> 8), (uint8_t)(len + zeros) };

	/* The head as mp_put_str() would make it, since the bytes are made where they are to be. */
	if (mp_put_str(b, bytes_str(name)) < 0)
		return -ENOMEM;
	if (len + zeros < 32)
		head[2] = (uint8_t)(0xa0 | (len + zeros));
	if (buf_append(b, len + zeros < 32 ? head + 2 : head, len + zeros < 32 ? 1 : 3) < 0 ||
	    buf_reserve(b, b->len + len + zeros) < 0)
		return -ENOMEM;
	if (RAND_priv_bytes(b->p + b->len, (int)len) != 1)
		return -EIO;
	b->len += len;
	return buf_append(b, none, zeros);
}

static int put_seed(struct buf *b)
{
	uint8_t seed[4];

	if (RAND_priv_bytes(seed, sizeof(seed)) != 1)
		return -EIO;
	return mp_put_str(b, bytes_str("chunk_seed")) < 0
		       ? -ENOMEM
		       : mp_put_int(b, (int32_t)get_be32(seed));
}

/* The inner map, in the order of its keys. */
static int put_inner(struct buf *b, const struct key_traits *t,
		     const struct chunk_id *repository_id)
{
	size_t hmac = t->blake2 ? BLAKE2_RANDOM : HMAC_KEY_SIZE;
	size_t zeros = t->blake2 ? BLAKE2_KEY_SIZE - BLAKE2_RANDOM : 0;
	int rc = mp_put_map(b, 7);

	if (rc == 0)
		rc = put_seed(b);
	if (rc == 0)
		rc = put_random(b, "enc_hmac_key", hmac, zeros);
	if (rc == 0)
		rc = put_random(b, "enc_key", ENC_KEY_SIZE, 0);
	if (rc == 0)
		rc = put_random(b, "id_key", hmac, zeros);
	if (rc == 0 && (mp_put_str(b, bytes_str("repository_id")) < 0 ||
			mp_put_str(b, (struct bytes){ repository_id->b, CHUNK_ID_SIZE }) < 0 ||
			mp_put_str(b, bytes_str("tam_required")) < 0 ||
			mp_put_bool(b, true) < 0 || mp_put_str(b, bytes_str("version")) < 0))
		rc = -ENOMEM;
	return rc < 0 ? rc : mp_put_uint(b, 1);
}

int key_make(struct key **out, uint8_t type, const struct chunk_id *repository_id,
	     struct err *e)
{
	CLEANUP(key_closep) struct key *k = NULL;
	CLEANUP(secret_freep) struct secret *room = secret_new(INNER_MAX);
	struct buf inner;
	int rc;

	if (!key_traits(type) || key_traits(type)->store == KEY_IN_NONE)
		return err_set(e, EINVAL, "key type %u has no key data", type);
	k = key_new(type, e);
	if (!k || !room)
		return err_nomem(e, "key");
	/* A buffer that lies in guarded memory and is large enough never to grow out of it. */
	inner = (struct buf){ room->p, 0, room->len };
	rc = put_inner(&inner, k->traits, repository_id);
	if (rc < 0)
		return err_set(e, -rc, "key: no random numbers");
	k->material = secret_copy(buf_bytes(&inner));
	if (!k->material)
		return err_nomem(e, "key");
	rc = parse_inner(k, true, e);
	if (rc < 0)
		return rc;
	*out = TAKE(k);
	return 0;
}

static int put_named(struct buf *b, const char *name, struct bytes value)
{
	return mp_put_str(b, bytes_str(name)) < 0 ? -ENOMEM : mp_put_str(b, value);
}

static int put_migrated(struct buf *b, const struct key *old)
{
	struct bytes id = { old->repository_id.b, CHUNK_ID_SIZE };

	if (mp_put_map(b, 7) < 0 || mp_put_str(b, bytes_str("chunk_seed")) < 0 ||
	    mp_put_int(b, old->chunk_seed) < 0 ||
	    put_named(b, "enc_hmac_key", old->enc_hmac_key) < 0 ||
	    put_named(b, "enc_key", old->enc_key) < 0 ||
	    put_named(b, "id_key", old->id_key) < 0 || put_named(b, "repository_id", id) < 0 ||
	    mp_put_str(b, bytes_str("tam_required")) < 0 || mp_put_bool(b, true) < 0 ||
	    mp_put_str(b, bytes_str("version")) < 0)
		return -ENOMEM;
	return mp_put_uint(b, 1);
}

int key_migrate(struct key **out, const struct key *legacy, struct err *e)
{
	CLEANUP(key_closep) struct key *k = key_new(KEY_REPOKEY, e);
	CLEANUP(secret_freep) struct secret *room = secret_new(INNER_MAX);
	struct buf inner;
	int rc;

	if (!k || !room)
		return err_nomem(e, "key");
	inner = (struct buf){ room->p, 0, room->len };
	rc = put_migrated(&inner, legacy);
	if (rc == 0)
		k->material = secret_copy(buf_bytes(&inner));
	if (!k->material)
		return err_nomem(e, "key");
	rc = parse_inner(k, true, e);
	if (rc == 0)
		*out = TAKE(k);
	return rc;
}

static int encrypt_inner(const struct key *k, const struct secret *kek, struct buf *data,
			 uint8_t hash[HASH_SIZE], struct err *e)
{
	static const uint8_t zero_counter[16];
	const struct secret *inner = k->material;
	EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
	unsigned hash_len = HASH_SIZE;
	int n = 0, ok;

	ok = buf_resize(data, inner->len) == 0 && cipher &&
	     EVP_EncryptInit_ex2(cipher, EVP_aes_256_ctr(), kek->p, zero_counter, NULL) &&
	     EVP_EncryptUpdate(cipher, data->p, &n, inner->p, (int)inner->len) &&
	     HMAC(EVP_sha256(), kek->p, (int)kek->len, inner->p, inner->len, hash, &hash_len);
	EVP_CIPHER_CTX_free(cipher);
	return ok ? 0 : err_nomem(e, "key");
}

static int put_outer(struct buf *b, struct bytes salt, struct bytes hash, struct bytes data)
{
	if (mp_put_map(b, 6) < 0 || mp_put_str(b, bytes_str("algorithm")) < 0 ||
	    mp_put_str(b, bytes_str("sha256")) < 0 || mp_put_str(b, bytes_str("data")) < 0 ||
	    mp_put_str(b, data) < 0 || mp_put_str(b, bytes_str("hash")) < 0 ||
	    mp_put_str(b, hash) < 0 || mp_put_str(b, bytes_str("iterations")) < 0 ||
	    mp_put_uint(b, ITERATIONS) < 0 || mp_put_str(b, bytes_str("salt")) < 0 ||
	    mp_put_str(b, salt) < 0 || mp_put_str(b, bytes_str("version")) < 0)
		return -ENOMEM;
	return mp_put_uint(b, 1);
}

int key_blob_encode(struct bytes blob, struct buf *text, struct err *e)
{
	size_t len = 4 * ((blob.len + 2) / 3);
	CLEANUP(cleanup_freep) uint8_t *encoded = malloc(len + 1);
	int rc = encoded ? 0 : -ENOMEM;

	if (encoded)
		EVP_EncodeBlock(encoded, blob.p, (int)blob.len);
	for (size_t at = 0; rc == 0 && at < len; at += LINE) {
		if (at)
			rc = buf_append_byte(text, '\n');
		if (rc == 0)
			rc = buf_append(text, encoded + at, len - at < LINE ? len - at : LINE);
	}
	return rc < 0 ? err_nomem(e, "key") : 0;
}

int key_wrap(const struct key *k, struct bytes passphrase, struct buf *text, struct err *e)
{
	CLEANUP(secret_freep) struct secret *kek = secret_new(KEK_SIZE);
	CLEANUP(buf_fini) struct buf data = BUF_INIT;
	CLEANUP(buf_fini) struct buf blob = BUF_INIT;
	uint8_t salt[SALT_SIZE], hash[HASH_SIZE];
	int rc;

	if (!kek)
		return err_nomem(e, "key");
	if (RAND_bytes(salt, sizeof(salt)) != 1)
		return err_set(e, EIO, "key: no random numbers");
	rc = kdf_derive(kek, passphrase, (struct bytes){ salt, sizeof(salt) }, ITERATIONS, e);
	if (rc == 0)
		rc = encrypt_inner(k, kek, &data, hash, e);
	if (rc < 0)
		return rc;
	if (put_outer(&blob, (struct bytes){ salt, sizeof(salt) },
		      (struct bytes){ hash, sizeof(hash) }, buf_bytes(&data)) < 0)
		return err_nomem(e, "key");
	return key_blob_encode(buf_bytes(&blob), text, e);
}
