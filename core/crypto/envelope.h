#ifndef CRYPTO_ENVELOPE_H
#define CRYPTO_ENVELOPE_H

/*
 * envelope.h - what encryption puts around a payload.
 *
 *   none, authenticated*:  type(1) payload
 *   encrypted modes:       type(1) mac(32) iv(8) ciphertext
 *
 * The mac covers iv and ciphertext; nothing leaves this module before it was verified.
 * Source: docs/format.md "Envelope".
 * Threads: a struct envelope keeps cipher and MAC contexts and has one user at a time.
 */

#include "core/crypto/key.h"

struct envelope;

int envelope_new(struct envelope **out, const struct key *key, struct err *e);
void envelope_free(struct envelope *env);
DEFINE_CLEANUP(struct envelope *, envelope_free);

/*
 * Authenticate and decrypt.  The object is used up: it is decrypted where it lies, and *payload
 * points into it.  So no second buffer is touched, which at 2 MiB a chunk is felt.
 * Errors: -EBADMSG wrong type byte, too short, or not authentic (then nothing was changed).
 */
int envelope_open(struct envelope *env, struct bytes object, struct bytes *payload,
		  struct err *e);

/* Two at once, their MACs interleaved; each job gets what envelope_open() would return. */
struct envelope_job {
	struct bytes object; /* used up */
	struct bytes payload;
	int rc;
	struct err *err;
};
void envelope_open_pair(struct envelope *env, struct envelope_job jobs[2]);

/*
 * For a payload that is `prefix` and then the plaintext itself: MAC and id are over the same
 * bytes but for their encryption, so both are computed at once.  Replaces out's content by the
 * plaintext, *id by its id.
 * Returns 1; 0 when the payload begins otherwise or this processor gains nothing (then nothing
 * was done); errors as envelope_open(), with out empty.
 */
int envelope_open_plain(struct envelope *env, struct bytes object, struct bytes prefix,
			struct buf *out, struct chunk_id *id, struct err *e);

/*
 * Sealing, in place: a writer leaves envelope_head() bytes free, appends the payload, takes as many
 * counters as envelope_blocks() says (nonce.h), and seals.
 */
size_t envelope_head(const struct key *key);
/* Counters a payload uses up; 0 where nothing is encrypted. */
uint64_t envelope_blocks(const struct key *key, size_t payload_len);

/*
 * Encrypt and authenticate what stands behind the head and fill the head in.  The counters from
 * `iv` on must never have been used under this key; it is ignored where nothing is encrypted.
 * Errors: -EFBIG; -EIO, with the object unfit for use.
 */
int envelope_seal(struct envelope *env, uint64_t iv, struct buf *object, struct err *e);
/* Up to ENVELOPE_MANY at once, their MACs interleaved. */
enum { ENVELOPE_MANY = 32 };
int envelope_seal_many(struct envelope *env, const uint64_t *ivs, struct buf *const *objects,
		       size_t count, struct err *e);

/*
 * The first counter that sealing this object cannot have used, by its head and size alone;
 * UINT64_MAX where there is none, 0 where nothing is encrypted.  Errors as envelope_open().
 */
int envelope_after(const struct key *key, struct bytes object, uint64_t *next, struct err *e);

/* The (keyed) id of a plaintext; see id_hash.h for the rules.  Reuses env's contexts. */
void envelope_id(struct envelope *env, struct bytes plaintext, struct chunk_id *out);
/* Up to ENVELOPE_MANY. */
void envelope_ids(struct envelope *env, const struct bytes *plaintexts, size_t count,
		  struct chunk_id *out);

#endif
