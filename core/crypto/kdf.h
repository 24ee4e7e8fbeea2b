#ifndef CRYPTO_KDF_H
#define CRYPTO_KDF_H

/*
 * kdf.h - PBKDF2-HMAC-SHA256: a passphrase to key bytes.
 *
 * Source: docs/format.md "Key blob"; RFC 8018.  Threads: no state.
 */

#include "core/base/err.h"
#include "core/base/secret.h"

/* Borg writes 100,000, some 20 ms of work; a hostile blob may cost seconds, not minutes. */
enum { KDF_ITERATIONS_MAX = 10000000 };

/* out->len bytes.  -EBADMSG for an impossible number of iterations. */
int kdf_derive(struct secret *out, struct bytes passphrase, struct bytes salt,
	       uint64_t iterations, struct err *e);

#endif
