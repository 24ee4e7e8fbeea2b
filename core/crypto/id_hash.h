#ifndef CRYPTO_ID_HASH_H
#define CRYPTO_ID_HASH_H

/*
 * id_hash.h - the digests of Borg: HMAC-SHA256 or prefixed BLAKE2b-256 under a key, SHA-256
 * without one.
 *
 * One struct digest is set up for one key and used for any number of messages; what depends on
 * the key alone is computed once.
 * Source: docs/format.md "Object ids", "Envelope".
 * Threads: one user at a time.
 */

#include "core/base/bytes.h"
#include "core/base/cleanup.h"
#include "core/base/err.h"

#include <stdbool.h>

enum { DIGEST_SIZE = 32 };

enum digest_kind { DIGEST_SHA256, DIGEST_HMAC_SHA256, DIGEST_BLAKE2B };

/* Who computes SHA-256: our interleaved code where the processor can, or always OpenSSL. */
enum digest_engine { DIGEST_FASTEST, DIGEST_LIBRARY };

struct digest;

/* BLAKE2b is the unkeyed function over key || message, as Borg has it.  DIGEST_SHA256 ignores
 * the key.  Errors: -ENOMEM. */
int digest_new(struct digest **out, enum digest_kind kind, enum digest_engine engine,
	       struct bytes key, struct err *e);
void digest_free(struct digest *d); /* wipes; does nothing for NULL */
DEFINE_CLEANUP(struct digest *, digest_free);

void digest_of(struct digest *d, struct bytes message, uint8_t out[DIGEST_SIZE]);

/* Two at once: out[i] is the digest of message[i] by d[i], which may be the same one. */
void digest_pair(struct digest *const d[2], const struct bytes message[2],
		 uint8_t out[2][DIGEST_SIZE]);
/* count at once, by the same d. */
void digest_many(struct digest *d, const struct bytes *messages, size_t count,
		 uint8_t (*out)[DIGEST_SIZE]);
/* Is digest_pair() with this one faster than two calls of digest_of()? */
bool digest_pairs_well(const struct digest *d);

#endif
