/*
 * id_hash.c - see id_hash.h.
 *
 * What depends on the key alone is computed once: HMAC's padded blocks, BLAKE2b's first blocks.
 * It is as good as the key, so it lives in guarded memory.
 */

#include "core/crypto/id_hash.h"

#include "core/crypto/sha256_pair.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <stdlib.h>

/* Computed from the key, guarded. */
union keyed {
	struct {
		struct sha256_state inner, outer; /* after HMAC's padded key */
	} hmac;
	crypto_generichash_state blake2b; /* after the key */
};

struct digest {
	enum digest_kind kind;
	bool own; /* sha256_pair.h computes it, and none of OpenSSL's contexts is there */
	union keyed *keyed;
	EVP_MD *sha256;
	EVP_MD_CTX *plain; /* DIGEST_SHA256 */
	EVP_MAC_CTX *mac;  /* DIGEST_HMAC_SHA256, keyed */
};

/* The library's calls fail only for want of memory or for a broken provider, which no caller
 * can do anything about and which must not pass as a digest. */
static void must(int ok)
{
	if (!ok)
		abort();
}

static int setup_library_hmac(struct digest *d, struct bytes key)
{
	char name[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);

	d->mac = hmac ? EVP_MAC_CTX_new(hmac) : NULL;
	EVP_MAC_free(hmac);
	return d->mac && EVP_MAC_init(d->mac, key.p ? key.p : (const uint8_t *)"", key.len,
				      params)
		       ? 0
		       : -ENOMEM;
}

static int setup_library_sha256(struct digest *d)
{
	d->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	d->plain = EVP_MD_CTX_new();
	return d->sha256 && d->plain ? 0 : -ENOMEM;
}

static int keyed_new(struct digest *d)
{
	d->keyed = sodium_allocarray(1, sizeof(*d->keyed));
	return d->keyed ? 0 : -ENOMEM;
}

/* HMAC's first block on either side: the key, padded and masked. */
static void absorb_key(struct sha256_state *s, const uint8_t key[SHA256_BLOCK], uint8_t mask)
{
	uint8_t block[SHA256_BLOCK];

	for (size_t i = 0; i < SHA256_BLOCK; i++)
		block[i] = key[i] ^ mask;
	*s = SHA256_START;
	sha256_block(s, block);
	sodium_memzero(block, sizeof(block));
}

static int setup_own_hmac(struct digest *d, struct bytes key)
{
	uint8_t padded[SHA256_BLOCK] = { 0 };

	if (keyed_new(d) < 0)
		return -ENOMEM;
	if (key.len > SHA256_BLOCK) {
		struct sha256_message m = { SHA256_START, 0, key };

		sha256_one(&m, padded);
	} else if (key.len > 0) {
		memcpy(padded, key.p, key.len);
	}
	absorb_key(&d->keyed->hmac.inner, padded, 0x36);
	absorb_key(&d->keyed->hmac.outer, padded, 0x5c);
	sodium_memzero(padded, sizeof(padded));
	return 0;
}

static int setup_blake2b(struct digest *d, struct bytes key)
{
	if (keyed_new(d) < 0)
		return -ENOMEM;
	crypto_generichash_init(&d->keyed->blake2b, NULL, 0, DIGEST_SIZE);
	crypto_generichash_update(&d->keyed->blake2b, key.p, key.len);
	return 0;
}

static int setup(struct digest *d, struct bytes key)
{
	switch (d->kind) {
	case DIGEST_SHA256: return d->own ? 0 : setup_library_sha256(d);
	case DIGEST_HMAC_SHA256:
		return d->own ? setup_own_hmac(d, key) : setup_library_hmac(d, key);
	case DIGEST_BLAKE2B: return setup_blake2b(d, key);
	}
	return -EINVAL;
}

int digest_new(struct digest **out, enum digest_kind kind, enum digest_engine engine,
	       struct bytes key, struct err *e)
{
	CLEANUP(digest_freep) struct digest *d = calloc(1, sizeof(*d));

	if (!d || sodium_init() < 0)
		return err_nomem(e, "digest");
	d->kind = kind;
	d->own = kind != DIGEST_BLAKE2B && engine == DIGEST_FASTEST && sha256_pair_usable();
	if (setup(d, key) < 0)
		return err_nomem(e, "digest");
	*out = TAKE(d);
	return 0;
}

void digest_free(struct digest *d)
{
	if (!d)
		return;
	EVP_MD_CTX_free(d->plain);
	EVP_MD_free(d->sha256);
	EVP_MAC_CTX_free(d->mac);
	sodium_free(d->keyed);
	free(d);
}

bool digest_pairs_well(const struct digest *d)
{
	return d->own;
}

static struct sha256_message start_of(const struct digest *d, struct bytes message)
{
	if (d->kind == DIGEST_SHA256)
		return (struct sha256_message){ SHA256_START, 0, message };
	return (struct sha256_message){ d->keyed->hmac.inner, SHA256_BLOCK, message };
}

/* HMAC's second hash, over the first. */
static struct sha256_message outer_of(const struct digest *d, const uint8_t inner[DIGEST_SIZE])
{
	return (struct sha256_message){ d->keyed->hmac.outer,
					SHA256_BLOCK,
					{ inner, DIGEST_SIZE } };
}

static void own_digest(const struct digest *d, struct bytes message, uint8_t out[DIGEST_SIZE])
{
	struct sha256_message m = start_of(d, message);
	uint8_t inner[DIGEST_SIZE];

	sha256_one(&m, out);
	if (d->kind == DIGEST_SHA256)
		return;
	memcpy(inner, out, sizeof(inner));
	m = outer_of(d, inner);
	sha256_one(&m, out);
}

void digest_of(struct digest *d, struct bytes message, uint8_t out[DIGEST_SIZE])
{
	crypto_generichash_state state;
	size_t n;

	if (d->own) {
		own_digest(d, message, out);
		return;
	}
	switch (d->kind) {
	case DIGEST_SHA256:
		must(EVP_DigestInit_ex2(d->plain, d->sha256, NULL));
		must(EVP_DigestUpdate(d->plain, message.p, message.len));
		must(EVP_DigestFinal_ex(d->plain, out, NULL));
		return;
	case DIGEST_HMAC_SHA256:
		must(EVP_MAC_init(d->mac, NULL, 0, NULL));
		must(EVP_MAC_update(d->mac, message.p, message.len));
		must(EVP_MAC_final(d->mac, out, &n, DIGEST_SIZE));
		return;
	case DIGEST_BLAKE2B: break;
	}
	state = d->keyed->blake2b;
	crypto_generichash_update(&state, message.p, message.len);
	crypto_generichash_final(&state, out, DIGEST_SIZE);
	sodium_memzero(&state, sizeof(state));
}

void digest_pair(struct digest *const d[2], const struct bytes message[2],
		 uint8_t out[2][DIGEST_SIZE])
{
	struct sha256_message m[2];
	uint8_t inner[2][DIGEST_SIZE];

	if (!d[0]->own || !d[1]->own || d[0]->kind != d[1]->kind) {
		digest_of(d[0], message[0], out[0]);
		digest_of(d[1], message[1], out[1]);
		return;
	}
	m[0] = start_of(d[0], message[0]);
	m[1] = start_of(d[1], message[1]);
	sha256_pair(m, out);
	if (d[0]->kind == DIGEST_SHA256)
		return;
	memcpy(inner, out, sizeof(inner));
	m[0] = outer_of(d[0], inner[0]);
	m[1] = outer_of(d[1], inner[1]);
	sha256_pair(m, out);
}

enum { MANY = 32 /* messages in hand at a time */ };

static void own_many(const struct digest *d, const struct bytes *messages, size_t count,
		     uint8_t (*out)[DIGEST_SIZE])
{
	struct sha256_message m[MANY];
	uint8_t inner[MANY][DIGEST_SIZE];

	for (size_t i = 0; i < count; i++)
		m[i] = start_of(d, messages[i]);
	sha256_many(m, count, out);
	if (d->kind == DIGEST_SHA256)
		return;
	memcpy(inner, out, count * sizeof(inner[0]));
	for (size_t i = 0; i < count; i++)
		m[i] = outer_of(d, inner[i]);
	sha256_many(m, count, out);
}

void digest_many(struct digest *d, const struct bytes *messages, size_t count,
		 uint8_t (*out)[DIGEST_SIZE])
{
	for (size_t i = 0; i < count; i += MANY) {
		size_t n = count - i < MANY ? count - i : MANY;

		if (d->own)
			own_many(d, messages + i, n, out + i);
		for (size_t k = 0; k < n && !d->own; k++)
			digest_of(d, messages[i + k], out[i + k]);
	}
}
