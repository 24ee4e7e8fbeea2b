#ifndef CRYPTO_TAM_H
#define CRYPTO_TAM_H

/*
 * tam.h - the authentication inside manifest and archive objects.
 *
 * Verified over the original packed bytes, never a re-packed form: the 64 bytes of the first
 * occurrence of the hmac value are zeroed and the whole is authenticated.
 * Source: docs/format.md "TAM".  Threads: no state.
 */

#include "core/crypto/key.h"

enum tam_result {
	TAM_VALID,
	TAM_ABSENT,
	TAM_INVALID, /* malformed, or the hmac is wrong */
	TAM_UNKNOWN_TYPE,
};

/* context is "manifest" or "archive"; packed is the whole plaintext map. */
enum tam_result tam_verify(const struct key *key, const char *context, struct bytes packed);

/*
 * A writer packs its map in the order of the keys and, where "tam" comes, calls tam_put() after
 * the key: it appends the value, with the salt given or a random one where it is empty, and room
 * for the hmac.  When the map is complete, tam_sign() fills the hmac in.
 *
 *   mp_put_str(&b, bytes_str("tam")), tam_put(&b, (struct bytes){ 0 }, e), ...
 *   tam_sign(key, "archive", &b, e)
 *
 * Errors: -ENOMEM; -EINVAL a salt that is not of 64 bytes, a map without such a value, or a key
 * that was opened without its secrets.
 */
int tam_put(struct buf *packed, struct bytes salt, struct err *e);
int tam_sign(const struct key *key, const char *context, struct buf *packed, struct err *e);

#endif
