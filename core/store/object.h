#ifndef STORE_OBJECT_H
#define STORE_OBJECT_H

/*
 * object.h - a stored object to its plaintext: authenticate, decrypt, decompress, verify the id.
 *
 * No plaintext comes out whose id was not verified.  The manifest has no content id and is
 * protected by its MAC and TAM instead.
 * Threads: a struct unsealer has one user at a time; each worker owns one.
 */

#include "core/crypto/key.h"

enum {
	OBJECT_DATA_MAX = 20971479,   /* payload of a PUT: the largest stored object */
	OBJECT_PLAIN_MAX = 128 << 20, /* as Borg's own reader; bombs stop here */
};

struct unsealer;

int unsealer_new(struct unsealer **out, const struct key *key, struct err *e);
void unsealer_free(struct unsealer *u);
DEFINE_CLEANUP(struct unsealer *, unsealer_free);

/*
 * Replace out's content by the plaintext of `object`, which must be that of `id` and is used
 * up: it is decrypted where it lies.
 * size_hint: expected plaintext size, 0 when unknown.
 * Errors: -EBADMSG damaged, forged, or another chunk's; -ENOMEM.
 */
int object_unseal(struct unsealer *u, const struct chunk_id *id, struct bytes object,
		  size_t size_hint, struct buf *out, struct err *e);

/* Two at once: their hashes run interleaved, which is faster than one after the other.
 * Each job gets what object_unseal() would have returned for it. */
struct unseal_job {
	const struct chunk_id *id;
	struct bytes object;
	size_t size_hint;
	struct buf *out;
	int rc;
	struct err err;
};
void object_unseal_pair(struct unsealer *u, struct unseal_job jobs[2]);

#endif
