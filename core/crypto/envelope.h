#ifndef CRYPTO_ENVELOPE_H
#define CRYPTO_ENVELOPE_H

/*
 * envelope.h - what encryption puts around a payload.
 *
 *   none, authenticated*:  type(1) payload
 *   encrypted modes:       type(1) mac(32) iv(8) ciphertext
 *
 * The mac covers iv and ciphertext; it is verified before anything is decrypted.
 * Source: docs/format.md "Envelope".
 * Threads: a struct envelope keeps cipher and MAC contexts and has one user at a time.
 */

#include "core/crypto/key.h"

struct envelope;

int envelope_new(struct envelope **out, const struct key *key, struct err *e);
void envelope_free(struct envelope *env);
DEFINE_CLEANUP(struct envelope *, envelope_free);

/*
 * Authenticate and decrypt.  *payload points into `object` (nothing to decrypt) or into
 * scratch.
 * Errors: -EBADMSG wrong type byte, too short, or not authentic.
 */
int envelope_open(struct envelope *env, struct bytes object, struct buf *scratch,
		  struct bytes *payload, struct err *e);

/* The (keyed) id of a plaintext; see id_hash.h for the rules.  Reuses env's contexts. */
void envelope_id(struct envelope *env, struct bytes plaintext, struct chunk_id *out);

#endif
