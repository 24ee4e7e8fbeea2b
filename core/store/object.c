/* object.c - see object.h. */

#include "core/store/object.h"

#include "core/crypto/envelope.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

struct unsealer {
	const struct key *key;
	struct envelope *envelope;
	struct decompressor *decompressor;
};

int unsealer_new(struct unsealer **out, const struct key *key, struct err *e)
{
	CLEANUP(unsealer_freep) struct unsealer *u = calloc(1, sizeof(*u));
	int rc;

	if (!u)
		return err_nomem(e, "unsealer");
	u->key = key;
	rc = envelope_new(&u->envelope, key, e);
	if (rc < 0)
		return rc;
	u->decompressor = decompressor_new();
	if (!u->decompressor)
		return err_nomem(e, "decompressor");
	*out = TAKE(u);
	return 0;
}

void unsealer_free(struct unsealer *u)
{
	if (!u)
		return;
	envelope_free(u->envelope);
	decompressor_free(u->decompressor);
	free(u);
}

/* The manifest is not named by its content; a key that knows no id key cannot check. */
static bool id_is_checked(const struct unsealer *u, const struct chunk_id *id)
{
	bool keyless = u->key->traits->type != KEY_PLAINTEXT && u->key->id_key.len == 0;

	return !keyless && !id_equal(id, &MANIFEST_ID);
}

static int wrong_id(const struct chunk_id *id, struct err *e)
{
	char hex[CHUNK_ID_HEX];

	return err_set_id(e, EBADMSG, "IntegrityError",
			  "Data integrity error: Chunk %s: id verification failed",
			  id_hex(id, hex));
}

/* The last word on an object: what is wrong with it, and then nothing of it comes out. */
static int verdict(const struct unsealer *u, const struct chunk_id *id,
		   const struct chunk_id *is, int rc, struct buf *out, struct err *e)
{
	char hex[CHUNK_ID_HEX];

	if (rc < 0)
		rc = err_wrap(e, rc, "chunk %s", id_hex(id, hex));
	else if (id_is_checked(u, id) && sodium_memcmp(is->b, id->b, sizeof(is->b)) != 0)
		rc = wrong_id(id, e);
	if (rc < 0)
		out->len = 0;
	return rc;
}

/* Stored as it is: MAC and id at once.  1 done, 0 not of that kind. */
static int unseal_plain(struct unsealer *u, const struct chunk_id *id, struct bytes object,
			struct buf *out, struct chunk_id *is, struct err *e)
{
	static const uint8_t none[] = { 0x00, 0x00 };

	if (!id_is_checked(u, id) || object.len > OBJECT_PLAIN_MAX)
		return 0;
	return envelope_open_plain(u->envelope, object, (struct bytes){ none, sizeof(none) },
				   out, is, e);
}

static int expand(struct unsealer *u, struct bytes payload, size_t size_hint, struct buf *out,
		  struct err *e)
{
	return decompress(u->decompressor, payload, size_hint, OBJECT_PLAIN_MAX, out, e);
}

int object_unseal(struct unsealer *u, const struct chunk_id *id, struct bytes object,
		  size_t size_hint, struct buf *out, struct err *e)
{
	struct bytes payload = { 0 };
	struct chunk_id is = { 0 };
	int rc;

	rc = unseal_plain(u, id, object, out, &is, e);
	if (rc != 0)
		return verdict(u, id, &is, rc < 0 ? rc : 0, out, e);
	rc = envelope_open(u->envelope, object, &payload, e);
	if (rc == 0)
		rc = expand(u, payload, size_hint, out, e);
	if (rc == 0 && id_is_checked(u, id))
		envelope_id(u->envelope, buf_bytes(out), &is);
	return verdict(u, id, &is, rc, out, e);
}

static void unseal_both(struct unsealer *u, struct unseal_job jobs[2])
{
	struct envelope_job open[2];
	struct bytes plain[2] = { 0 };
	struct chunk_id is[2];

	for (size_t i = 0; i < 2; i++)
		open[i] =
			(struct envelope_job){ .object = jobs[i].object, .err = &jobs[i].err };
	envelope_open_pair(u->envelope, open);
	for (size_t i = 0; i < 2; i++) {
		struct unseal_job *job = &jobs[i];

		job->rc = open[i].rc;
		if (job->rc == 0)
			job->rc =
				expand(u, open[i].payload, job->size_hint, job->out, &job->err);
		if (job->rc == 0 && id_is_checked(u, job->id))
			plain[i] = buf_bytes(job->out);
	}
	envelope_ids(u->envelope, plain, 2, is);
	for (size_t i = 0; i < 2; i++)
		jobs[i].rc =
			verdict(u, jobs[i].id, &is[i], jobs[i].rc, jobs[i].out, &jobs[i].err);
}

/* One that is stored as it is has its own two hashes to interleave, and is not copied. */
void object_unseal_pair(struct unsealer *u, struct unseal_job jobs[2])
{
	bool done[2];

	for (size_t i = 0; i < 2; i++) {
		struct unseal_job *job = &jobs[i];
		struct chunk_id is = { 0 };
		int rc = unseal_plain(u, job->id, job->object, job->out, &is, &job->err);

		done[i] = rc != 0;
		if (done[i])
			job->rc =
				verdict(u, job->id, &is, rc < 0 ? rc : 0, job->out, &job->err);
	}
	if (!done[0] && !done[1]) {
		unseal_both(u, jobs);
		return;
	}
	for (size_t i = 0; i < 2; i++)
		if (!done[i])
			jobs[i].rc =
				object_unseal(u, jobs[i].id, jobs[i].object, jobs[i].size_hint,
					      jobs[i].out, &jobs[i].err);
}

struct sealer {
	const struct key *key;
	struct nonces *nonces;
	struct envelope *envelope;
	struct compressor *compressor; /* own or other */
	struct compressor *own, *other;
	struct compression own_how, other_how;
};

int sealer_new(struct sealer **out, const struct key *key, const struct compression *how,
	       struct nonces *nonces, struct err *e)
{
	CLEANUP(sealer_freep) struct sealer *s = NULL;
	int rc;

	if (key->traits->type != KEY_PLAINTEXT && key->id_key.len == 0)
		return err_set(e, EINVAL, "nothing can be stored without the key");
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_nomem(e, "sealer");
	s->key = key;
	s->nonces = nonces;
	rc = envelope_new(&s->envelope, key, e);
	if (rc == 0)
		rc = compressor_new(&s->own, how, e);
	if (rc < 0)
		return rc;
	s->own_how = *how;
	s->compressor = s->own;
	*out = TAKE(s);
	return 0;
}

void sealer_free(struct sealer *s)
{
	if (!s)
		return;
	envelope_free(s->envelope);
	compressor_free(s->own);
	compressor_free(s->other);
	free(s);
}

/* One more is kept: each may have a lot of memory. */
int sealer_compress(struct sealer *s, const struct compression *how, struct err *e)
{
	struct compressor *made;
	int rc;

	s->compressor = s->own;
	if (!how || compression_equal(how, &s->own_how))
		return 0;
	if (!s->other || !compression_equal(how, &s->other_how)) {
		rc = compressor_new(&made, how, e);
		if (rc < 0)
			return rc;
		compressor_free(s->other);
		s->other = made;
		s->other_how = *how;
	}
	s->compressor = s->other;
	return 0;
}

void sealer_id(struct sealer *s, struct bytes plain, struct chunk_id *out)
{
	envelope_id(s->envelope, plain, out);
}

void sealer_ids(struct sealer *s, const struct bytes *plain, size_t count, struct chunk_id *out)
{
	envelope_ids(s->envelope, plain, count, out);
}

/* Everything before encryption: room for the head, the payload, and its counters. */
static int prepare(struct sealer *s, struct bytes plain, struct buf *out, uint64_t *iv,
		   struct err *e)
{
	size_t head = envelope_head(s->key);
	int rc;

	if (buf_resize(out, head) < 0)
		return err_nomem(e, "object");
	rc = compress_append(s->compressor, plain, out, e);
	if (rc < 0)
		return rc;
	if (out->len > OBJECT_DATA_MAX)
		return err_set_id(e, EFBIG, "IntegrityError",
				  "More than allowed put data [%zu > %d]", out->len,
				  OBJECT_DATA_MAX);
	return nonces_take(s->nonces, envelope_blocks(s->key, out->len - head), iv, e);
}

int object_seal(struct sealer *s, struct bytes plain, struct buf *out, struct err *e)
{
	uint64_t iv;
	int rc = prepare(s, plain, out, &iv, e);

	if (rc == 0)
		rc = envelope_seal(s->envelope, iv, out, e);
	if (rc < 0)
		out->len = 0;
	return rc;
}

int object_seal_many(struct sealer *s, const struct bytes *plain, struct buf *const *out,
		     size_t count, struct err *e)
{
	uint64_t ivs[SEALER_MANY];
	int rc = 0;

	assert(count <= SEALER_MANY);
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = prepare(s, plain[i], out[i], &ivs[i], e);
	if (rc == 0)
		rc = envelope_seal_many(s->envelope, ivs, out, count, e);
	for (size_t i = 0; rc < 0 && i < count; i++)
		out[i]->len = 0;
	return rc;
}
