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

#endif
