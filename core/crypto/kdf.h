#ifndef CRYPTO_KDF_H
#define CRYPTO_KDF_H

/*
 * kdf.h - PBKDF2-HMAC-SHA256: a passphrase to key bytes.
 *
 * Source: docs/format.md "Key blob"; RFC 8018.  Threads: no state.
 */

#include "core/base/err.h"
#include "core/base/secret.h"

enum {
	KDF_ITERATIONS_MAX = 100000000
}; /* Borg writes 100,000; a hostile blob may not hang us */

/* out->len bytes.  -EBADMSG for an impossible number of iterations. */
int kdf_derive(struct secret *out, struct bytes passphrase, struct bytes salt,
	       uint64_t iterations, struct err *e);

#endif
