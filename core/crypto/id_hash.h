#ifndef CRYPTO_ID_HASH_H
#define CRYPTO_ID_HASH_H

/*
 * id_hash.h - the digests of Borg: HMAC-SHA256 or prefixed BLAKE2b-256 under a key, SHA-256
 * without one.
 *
 * One struct digest is set up for one key and used for any number of messages, each in pieces.
 * Source: docs/format.md "Object ids", "Envelope".
 * Threads: one user at a time.
 */

#include "core/base/bytes.h"
#include "core/base/cleanup.h"
#include "core/base/err.h"

enum { DIGEST_SIZE = 32 };

enum digest_kind { DIGEST_SHA256, DIGEST_HMAC_SHA256, DIGEST_BLAKE2B };

struct digest;

/* BLAKE2b is the unkeyed function over key || message, as Borg has it. */
int digest_new(struct digest **out, enum digest_kind kind, struct bytes key, struct err *e);
void digest_free(struct digest *d); /* wipes; does nothing for NULL */
DEFINE_CLEANUP(struct digest *, digest_free);

/* The digest of a || b (either may be empty). */
void digest_of(struct digest *d, struct bytes a, struct bytes b, uint8_t out[DIGEST_SIZE]);

#endif
