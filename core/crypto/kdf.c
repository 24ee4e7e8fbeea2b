/* kdf.c - see kdf.h. */

#include "core/crypto/kdf.h"

#include <errno.h>
#include <limits.h>
#include <openssl/evp.h>

int kdf_derive(struct secret *out, struct bytes passphrase, struct bytes salt,
	       uint64_t iterations, struct err *e)
{
	if (iterations == 0 || iterations > KDF_ITERATIONS_MAX)
		return err_set(e, EBADMSG, "key: impossible number of iterations");
	if (passphrase.len > INT_MAX || salt.len > INT_MAX)
		return err_set(e, EINVAL, "key: passphrase too long");
	if (!PKCS5_PBKDF2_HMAC((const char *)passphrase.p, (int)passphrase.len, salt.p,
			       (int)salt.len, (int)iterations, EVP_sha256(), (int)out->len,
			       out->p))
		return err_nomem(e, "key derivation");
	return 0;
}
