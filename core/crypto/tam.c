/* tam.c - see tam.h. */

#include "core/crypto/tam.h"

#include "core/codec/mp.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>
#include <stdlib.h>

enum { SIZE = 64 /* bytes of hmac, salt and derived key */ };

static const char suite[] = "HKDF_HMAC_SHA512";
static const char purpose[] = "borg-metadata-authentication-";

struct tam {
	bool present, well_formed;
	struct bytes type, hmac, salt;
};

/* Find the tam map among the keys of the packed map. */
static struct tam find(struct bytes packed)
{
	struct tam tam = { 0 };
	struct mp m = mp_read(packed);
	uint32_t pairs = mp_map(&m);

	for (; pairs > 0 && mp_ok(&m); pairs--) {
		struct bytes key = mp_str(&m);
		uint32_t fields;

		if (!bytes_is(key, "tam")) {
			mp_skip(&m);
			continue;
		}
		tam.present = true;
		if (mp_peek(&m) != MP_MAP)
			return tam;
		for (fields = mp_map(&m); fields > 0 && mp_ok(&m); fields--) {
			struct bytes field = mp_str(&m);
			struct bytes *to = bytes_is(field, "type")   ? &tam.type
					   : bytes_is(field, "hmac") ? &tam.hmac
					   : bytes_is(field, "salt") ? &tam.salt
								     : NULL;

			if (to && mp_peek(&m) == MP_STR)
				*to = mp_str(&m);
			else
				mp_skip(&m);
		}
		tam.well_formed = mp_ok(&m);
	}
	return tam;
}

static void hmac512(struct bytes key, struct bytes message, uint8_t out[SIZE])
{
	unsigned n = SIZE;

	if (!HMAC(EVP_sha512(), key.p, (int)key.len, message.p, message.len, out, &n))
		abort(); /* no provider: nothing may pass as verified */
}

/* HKDF with one output block; without a secret the key is salt || context. */
static int derive(const struct key *key, const char *context, struct bytes salt,
		  struct buf *out)
{
	CLEANUP(secret_freep) struct secret *ikm = NULL, *prk = secret_new(SIZE);
	struct buf info = BUF_INIT;
	static const uint8_t one = 1;
	int rc;

	if (key->traits->type == KEY_PLAINTEXT)
		return buf_append(out, salt.p, salt.len) < 0 ? -1
							     : buf_append_str(out, context);
	ikm = secret_new(key->id_key.len + key->enc_key.len + key->enc_hmac_key.len);
	if (!ikm || !prk)
		return -1;
	memcpy(ikm->p, key->id_key.p, key->id_key.len);
	memcpy(ikm->p + key->id_key.len, key->enc_key.p, key->enc_key.len);
	memcpy(ikm->p + key->id_key.len + key->enc_key.len, key->enc_hmac_key.p,
	       key->enc_hmac_key.len);
	hmac512(salt, secret_bytes(ikm), prk->p);
	rc = buf_append_str(&info, purpose) < 0 || buf_append_str(&info, context) < 0 ||
	     buf_append(&info, &one, 1) < 0 || buf_resize(out, SIZE) < 0;
	if (!rc)
		hmac512(secret_bytes(prk), buf_bytes(&info), out->p);
	buf_fini(&info);
	return rc ? -1 : 0;
}

enum tam_result tam_verify(const struct key *key, const char *context, struct bytes packed)
{
	static const uint8_t zeros[SIZE];
	struct tam tam = find(packed);
	struct buf copy = BUF_INIT, derived = BUF_INIT;
	uint8_t want[SIZE];
	uint8_t *at;
	bool ok = false;

	if (!tam.present)
		return TAM_ABSENT;
	if (!tam.well_formed)
		return TAM_INVALID;
	if (!bytes_is(tam.type, suite))
		return TAM_UNKNOWN_TYPE;
	if (tam.hmac.len != SIZE || tam.salt.len != SIZE)
		return TAM_INVALID;
	if (buf_append(&copy, packed.p, packed.len) == 0 &&
	    derive(key, context, tam.salt, &derived) == 0) {
		at = memmem(copy.p, copy.len, tam.hmac.p, SIZE);
		memcpy(at, zeros, SIZE);
		hmac512(buf_bytes(&derived), buf_bytes(&copy), want);
		ok = sodium_memcmp(want, tam.hmac.p, SIZE) == 0;
	}
	if (derived.p)
		secret_wipe(derived.p, derived.len);
	buf_fini(&derived);
	buf_fini(&copy);
	return ok ? TAM_VALID : TAM_INVALID;
}
