#ifndef CRYPTO_SEAL_H
#define CRYPTO_SEAL_H

/*
 * seal.h - blocks of a cache file, each encrypted and authenticated for itself.
 *
 * AES-256-GCM.  The key of a file comes by HKDF-SHA256 from the repository's secret, a random
 * salt kept in the file, and what the file is for; so no two files share a key, and the block's
 * number can be its nonce.  The file's header is authenticated with every block, which binds a
 * block to its file and place.  A file is written once and never changed: a nonce is used once.
 *
 * Source: design decision 10; NIST SP 800-38D, RFC 5869.
 * Threads: a struct seal has one user at a time (it keeps a cipher context).
 */

#include "core/base/cleanup.h"
#include "core/base/err.h"
#include "core/base/secret.h"

enum {
	SEAL_BLOCK = 64 * 1024, /* plaintext bytes of a block; the last may have fewer */
	SEAL_TAG = 16,
	SEAL_SALT = 32,
	SEAL_SECRET_MIN = 32,
};

struct seal;

/* `purpose` tells apart files of different kinds; header lives as long as the seal. */
int seal_new(struct seal **out, const struct secret *secret, const uint8_t salt[SEAL_SALT],
	     const char *purpose, struct bytes header, struct err *e);
void seal_free(struct seal *s);
DEFINE_CLEANUP(struct seal *, seal_free);

/* plain.len bytes and the tag into out (plain.len + SEAL_TAG). */
int seal_block(struct seal *s, uint64_t number, struct bytes plain, uint8_t *out,
	       struct err *e);
/* The reverse; -EBADMSG where the block is not authentic at this place of this file. */
int seal_open_block(struct seal *s, uint64_t number, struct bytes sealed, uint8_t *out,
		    struct err *e);

#endif
