/*
 * id_hash.c - see id_hash.h.
 *
 * What depends on the key alone is computed once: HMAC's padded blocks, BLAKE2b's first blocks.
 */

#include "core/crypto/id_hash.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <stdlib.h>

struct digest {
	enum digest_kind kind;
	EVP_MD *sha256;
	EVP_MD_CTX *plain; /* DIGEST_SHA256 */
	EVP_MAC_CTX *mac;  /* DIGEST_HMAC_SHA256, keyed */
	crypto_generichash_state
		*after_key; /* DIGEST_BLAKE2B: the key already hashed; guarded */
};

static int setup_hmac(struct digest *d, struct bytes key)
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

static int setup(struct digest *d, struct bytes key)
{
	switch (d->kind) {
	case DIGEST_SHA256:
		d->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
		d->plain = EVP_MD_CTX_new();
		return d->sha256 && d->plain ? 0 : -ENOMEM;
	case DIGEST_HMAC_SHA256: return setup_hmac(d, key);
	case DIGEST_BLAKE2B: break;
	}
	d->after_key = sodium_malloc(sizeof(*d->after_key));
	if (!d->after_key)
		return -ENOMEM;
	crypto_generichash_init(d->after_key, NULL, 0, DIGEST_SIZE);
	crypto_generichash_update(d->after_key, key.p, key.len);
	return 0;
}

int digest_new(struct digest **out, enum digest_kind kind, struct bytes key, struct err *e)
{
	CLEANUP(digest_freep) struct digest *d = calloc(1, sizeof(*d));

	if (!d || sodium_init() < 0)
		return err_nomem(e, "digest");
	d->kind = kind;
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
	sodium_free(d->after_key);
	free(d);
}

/* The library's calls fail only for want of memory or for a broken provider, which no caller
 * can do anything about and which must not pass as a digest. */
static void must(int ok)
{
	if (!ok)
		abort();
}

void digest_of(struct digest *d, struct bytes a, struct bytes b, uint8_t out[DIGEST_SIZE])
{
	crypto_generichash_state state;
	size_t n;

	switch (d->kind) {
	case DIGEST_SHA256:
		must(EVP_DigestInit_ex2(d->plain, d->sha256, NULL));
		must(EVP_DigestUpdate(d->plain, a.p, a.len));
		must(EVP_DigestUpdate(d->plain, b.p, b.len));
		must(EVP_DigestFinal_ex(d->plain, out, NULL));
		return;
	case DIGEST_HMAC_SHA256:
		must(EVP_MAC_init(d->mac, NULL, 0, NULL));
		must(EVP_MAC_update(d->mac, a.p, a.len));
		must(EVP_MAC_update(d->mac, b.p, b.len));
		must(EVP_MAC_final(d->mac, out, &n, DIGEST_SIZE));
		return;
	case DIGEST_BLAKE2B: break;
	}
	state = *d->after_key;
	crypto_generichash_update(&state, a.p, a.len);
	crypto_generichash_update(&state, b.p, b.len);
	crypto_generichash_final(&state, out, DIGEST_SIZE);
	sodium_memzero(&state, sizeof(state));
}
