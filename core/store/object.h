#ifndef STORE_OBJECT_H
#define STORE_OBJECT_H

/*
 * object.h - a stored object to its plaintext: authenticate, decrypt, decompress, verify the id;
 * and a plaintext to the object that is stored: compress, take counters, encrypt, authenticate.
 *
 * No plaintext comes out whose id was not verified.  The manifest has no content id and is
 * protected by its MAC and TAM instead.
 * Threads: a struct unsealer or sealer has one user at a time; each worker owns one.  Sealers
 * share the counters.
 */

#include "core/codec/compress.h"
#include "core/crypto/key.h"
#include "core/store/nonce.h"

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

struct sealer;

/* Key and nonces are borrowed for the sealer's life.  Errors: -EINVAL a key that was opened without
 * its secrets; -ENOMEM. */
int sealer_new(struct sealer **out, const struct key *key, const struct compression *how,
	       struct nonces *nonces, struct err *e);
void sealer_free(struct sealer *s);
DEFINE_CLEANUP(struct sealer *, sealer_free);

/* What follows is compressed so; NULL: as sealer_new() was told.  -ENOMEM. */
int sealer_compress(struct sealer *s, const struct compression *how, struct err *e);

/* The id under which a plaintext is stored.  Up to SEALER_MANY at once are faster, best if those
 * of like length stand together. */
enum { SEALER_MANY = 32 };
void sealer_id(struct sealer *s, struct bytes plain, struct chunk_id *out);
void sealer_ids(struct sealer *s, const struct bytes *plain, size_t count,
		struct chunk_id *out);

/*
 * Replace out's content by the object of `plain`; the manifest's is made likewise.
 * Errors: -EFBIG it would be larger than an object can be; those of nonces_take(); -ENOMEM.  Then
 * out is empty.
 */
int object_seal(struct sealer *s, struct bytes plain, struct buf *out, struct err *e);
/* Up to SEALER_MANY at once: their MACs run interleaved.  All or none. */
int object_seal_many(struct sealer *s, const struct bytes *plain, struct buf *const *out,
		     size_t count, struct err *e);

#endif
