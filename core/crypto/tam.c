/* tam.c - see tam.h. */

#include "core/crypto/tam.h"

#include "core/codec/mp.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

enum { SIZE = 64 /* bytes of hmac, salt and derived key */, CONTEXT_MAX = 16 };

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
		tam = (struct tam){ .present = true }; /* the last of several counts */
		if (mp_peek(&m) != MP_MAP) {
			mp_skip(&m);
			continue;
		}
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

static uint8_t *append(uint8_t *to, struct bytes b)
{
	if (b.len > 0)
		memcpy(to, b.p, b.len);
	return to + b.len;
}

/* What stands for a secret where there is none: salt || context. */
static struct secret *derive_public(const char *context, struct bytes salt)
{
	struct secret *out = secret_new(salt.len + strlen(context));

	if (out)
		append(append(out->p, salt), bytes_str(context));
	return out;
}

/* HKDF with one output block.  NULL when out of memory. */
static struct secret *derive(const struct key *key, const char *context, struct bytes salt)
{
	CLEANUP(secret_freep)
	struct secret *ikm =
		secret_new(key->id_key.len + key->enc_key.len + key->enc_hmac_key.len);
	CLEANUP(secret_freep) struct secret *prk = secret_new(SIZE);
	struct secret *out = secret_new(SIZE);
	char info[sizeof(purpose) + CONTEXT_MAX + 1]; /* ends in the block's number, 1 */
	int n = snprintf(info, sizeof(info), "%s%s\x01", purpose, context);

	if (!ikm || !prk || !out) {
		secret_free(out);
		return NULL;
	}
	assert(n > 0 && (size_t)n < sizeof(info));
	append(append(append(ikm->p, key->id_key), key->enc_key), key->enc_hmac_key);
	hmac512(salt, secret_bytes(ikm), prk->p);
	hmac512(secret_bytes(prk), (struct bytes){ (uint8_t *)info, (size_t)n }, out->p);
	return out;
}

static struct secret *derive_for(const struct key *key, const char *context, struct bytes salt)
{
	return key->traits->type == KEY_PLAINTEXT ? derive_public(context, salt)
						  : derive(key, context, salt);
}

/* Over the packed bytes with the first occurrence of the hmac zeroed. */
static bool authentic(const struct secret *derived, struct bytes packed, struct bytes hmac)
{
	struct buf copy = BUF_INIT;
	uint8_t is[SIZE];
	bool same = false;

	if (derived && buf_append(&copy, packed.p, packed.len) == 0) {
		memset(memmem(copy.p, copy.len, hmac.p, SIZE), 0, SIZE);
		hmac512(secret_bytes(derived), buf_bytes(&copy), is);
		same = sodium_memcmp(is, hmac.p, SIZE) == 0;
	}
	buf_fini(&copy);
	return same;
}

enum tam_result tam_verify(const struct key *key, const char *context, struct bytes packed)
{
	CLEANUP(secret_freep) struct secret *derived = NULL;
	struct tam tam = find(packed);

	if (!tam.present)
		return TAM_ABSENT;
	if (!tam.well_formed)
		return TAM_INVALID;
	if (!bytes_is(tam.type, suite))
		return TAM_UNKNOWN_TYPE;
	if (tam.hmac.len != SIZE || tam.salt.len != SIZE)
		return TAM_INVALID;
	derived = derive_for(key, context, tam.salt);
	return authentic(derived, packed, tam.hmac) ? TAM_VALID : TAM_INVALID;
}

int tam_put(struct buf *packed, struct bytes salt, struct err *e)
{
	static const uint8_t zeros[SIZE];
	uint8_t fresh[SIZE];

	if (salt.len == 0) {
		if (RAND_bytes(fresh, sizeof(fresh)) != 1)
			return err_set(e, EIO, "no random numbers");
		salt = (struct bytes){ fresh, sizeof(fresh) };
	}
	if (salt.len != SIZE)
		return err_set(e, EINVAL, "a TAM has a salt of %d bytes", SIZE);
	if (mp_put_map(packed, 3) < 0 || mp_put_str(packed, bytes_str("hmac")) < 0 ||
	    mp_put_str(packed, (struct bytes){ zeros, SIZE }) < 0 ||
	    mp_put_str(packed, bytes_str("salt")) < 0 || mp_put_str(packed, salt) < 0 ||
	    mp_put_str(packed, bytes_str("type")) < 0 ||
	    mp_put_str(packed, bytes_str(suite)) < 0)
		return err_nomem(e, "TAM");
	return 0;
}

int tam_sign(const struct key *key, const char *context, struct buf *packed, struct err *e)
{
	CLEANUP(secret_freep) struct secret *derived = NULL;
	struct tam tam = find(buf_bytes(packed));
	uint8_t hmac[SIZE];

	if (key->traits->type != KEY_PLAINTEXT && key->id_key.len == 0)
		return err_set(e, EINVAL, "nothing can be signed without the key");
	if (!tam.well_formed || !bytes_is(tam.type, suite) || tam.hmac.len != SIZE ||
	    tam.salt.len != SIZE || !sodium_is_zero(tam.hmac.p, SIZE))
		return err_set(e, EINVAL, "a map without room for a TAM");
	derived = derive_for(key, context, tam.salt);
	if (!derived)
		return err_nomem(e, "TAM");
	hmac512(secret_bytes(derived), buf_bytes(packed), hmac);
	memcpy(packed->p + (tam.hmac.p - packed->p), hmac, SIZE);
	return 0;
}
