/* seal.c - see seal.h. */

#include "core/crypto/seal.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <stdlib.h>

enum { KEY_SIZE = 32, NONCE = 12 };

struct seal {
	EVP_CIPHER_CTX *encrypt, *decrypt; /* keyed */
	struct bytes header;
};

/* OpenSSL's parameters are not const; it does not write to these. */
static void *not_const(const void *p)
{
	union {
		const void *in;
		void *out;
	} u = { .in = p };

	return u.out;
}

static int derive(struct secret *key, const struct secret *secret, const uint8_t *salt,
		  const char *purpose)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, secret->p, secret->len),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, not_const(salt),
						  SEAL_SALT),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, not_const(purpose),
						  strlen(purpose)),
		OSSL_PARAM_construct_end(),
	};
	EVP_KDF *hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = hkdf ? EVP_KDF_CTX_new(hkdf) : NULL;
	int ok = ctx && EVP_KDF_derive(ctx, key->p, key->len, params) == 1;

	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(hkdf);
	return ok ? 0 : -ENOMEM;
}

int seal_new(struct seal **out, const struct secret *secret, const uint8_t salt[SEAL_SALT],
	     const char *purpose, struct bytes header, struct err *e)
{
	CLEANUP(seal_freep) struct seal *s = calloc(1, sizeof(*s));
	CLEANUP(secret_freep) struct secret *key = secret_new(KEY_SIZE);
	EVP_CIPHER *gcm;
	int ok;

	if (!s || !key)
		return err_nomem(e, "seal");
	if (secret->len < SEAL_SECRET_MIN)
		return err_set(e, EINVAL, "seal: secret too short");
	if (derive(key, secret, salt, purpose) < 0)
		return err_nomem(e, "seal");
	s->header = header;
	s->encrypt = EVP_CIPHER_CTX_new();
	s->decrypt = EVP_CIPHER_CTX_new();
	gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	ok = gcm && s->encrypt && s->decrypt &&
	     EVP_EncryptInit_ex2(s->encrypt, gcm, key->p, NULL, NULL) &&
	     EVP_DecryptInit_ex2(s->decrypt, gcm, key->p, NULL, NULL);
	EVP_CIPHER_free(gcm);
	if (!ok)
		return err_nomem(e, "seal");
	*out = TAKE(s);
	return 0;
}

void seal_free(struct seal *s)
{
	if (!s)
		return;
	EVP_CIPHER_CTX_free(s->encrypt);
	EVP_CIPHER_CTX_free(s->decrypt);
	free(s);
}

static void nonce_of(uint64_t number, uint8_t nonce[NONCE])
{
	memset(nonce, 0, NONCE);
	put_be64(nonce + NONCE - 8, number);
}

int seal_block(struct seal *s, uint64_t number, struct bytes plain, uint8_t *out, struct err *e)
{
	uint8_t nonce[NONCE];
	int n = 0, rest = 0;

	nonce_of(number, nonce);
	if (plain.len > SEAL_BLOCK ||
	    !EVP_EncryptInit_ex2(s->encrypt, NULL, NULL, nonce, NULL) ||
	    !EVP_EncryptUpdate(s->encrypt, NULL, &n, s->header.p, (int)s->header.len) ||
	    !EVP_EncryptUpdate(s->encrypt, out, &n, plain.p, (int)plain.len) ||
	    !EVP_EncryptFinal_ex(s->encrypt, out + n, &rest) ||
	    !EVP_CIPHER_CTX_ctrl(s->encrypt, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG, out + plain.len))
		return err_set(e, EIO, "seal: encryption failed");
	return 0;
}

int seal_open_block(struct seal *s, uint64_t number, struct bytes sealed, uint8_t *out,
		    struct err *e)
{
	uint8_t nonce[NONCE];
	size_t len = sealed.len - SEAL_TAG;
	int n = 0, rest = 0;

	nonce_of(number, nonce);
	if (sealed.len < SEAL_TAG || len > SEAL_BLOCK)
		return err_set(e, EBADMSG, "seal: impossible block length");
	if (!EVP_DecryptInit_ex2(s->decrypt, NULL, NULL, nonce, NULL) ||
	    !EVP_DecryptUpdate(s->decrypt, NULL, &n, s->header.p, (int)s->header.len) ||
	    !EVP_DecryptUpdate(s->decrypt, out, &n, sealed.p, (int)len) ||
	    !EVP_CIPHER_CTX_ctrl(s->decrypt, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG,
				 not_const(sealed.p + len)) ||
	    !EVP_DecryptFinal_ex(s->decrypt, out + n, &rest))
		return err_set(e, EBADMSG, "seal: block %llu is not authentic",
			       (unsigned long long)number);
	return 0;
}
