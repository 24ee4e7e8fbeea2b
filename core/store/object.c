/* object.c - see object.h. */

#include "core/store/object.h"

#include "core/codec/compress.h"
#include "core/crypto/envelope.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

struct unsealer {
	const struct key *key;
	struct envelope *envelope;
	struct decompressor *decompressor;
	struct buf scratch; /* decrypted payload, reused */
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
	buf_fini(&u->scratch);
	free(u);
}

/* The manifest is not named by its content; a key that knows no id key cannot check. */
static bool id_is_checked(const struct unsealer *u, const struct chunk_id *id)
{
	bool keyless = u->key->traits->type != KEY_PLAINTEXT && u->key->id_key.len == 0;

	return !keyless && !id_equal(id, &MANIFEST_ID);
}

int object_unseal(struct unsealer *u, const struct chunk_id *id, struct bytes object,
		  size_t size_hint, struct buf *out, struct err *e)
{
	char hex[CHUNK_ID_HEX];
	struct bytes payload = { 0 };
	struct chunk_id is;
	int rc;

	rc = envelope_open(u->envelope, object, &u->scratch, &payload, e);
	if (rc == 0)
		rc = decompress(u->decompressor, payload, size_hint, OBJECT_PLAIN_MAX, out, e);
	if (rc < 0)
		return err_wrap(e, rc, "chunk %s", id_hex(id, hex));
	if (!id_is_checked(u, id))
		return 0;
	envelope_id(u->envelope, buf_bytes(out), &is);
	if (sodium_memcmp(is.b, id->b, sizeof(is.b)) != 0)
		return err_set_id(e, EBADMSG, "IntegrityError",
				  "Data integrity error: Chunk %s: id verification failed",
				  id_hex(id, hex));
	return 0;
}

void object_unseal_pair(struct unsealer *u, struct unseal_job jobs[2])
{
	for (size_t i = 0; i < 2; i++)
		jobs[i].rc = object_unseal(u, jobs[i].id, jobs[i].object, jobs[i].size_hint,
					   jobs[i].out, &jobs[i].err);
}
