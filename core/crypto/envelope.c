/* envelope.c - see envelope.h. */

#include "core/crypto/envelope.h"

#include "core/crypto/id_hash.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <stdlib.h>

enum { TYPE = 1, MAC = 32, IV = 8, HEAD = TYPE + MAC + IV, BLOCK = 16 }; /* bytes */

struct envelope {
	const struct key *key;
	struct digest *mac; /* NULL where nothing is encrypted */
	struct digest *id;
	EVP_CIPHER_CTX *cipher; /* AES-256-CTR, keyed; NULL where nothing is encrypted */
};

static int setup_cipher(struct envelope *env, struct err *e)
{
	const struct key *key = env->key;
	EVP_CIPHER *aes = EVP_CIPHER_fetch(NULL, "AES-256-CTR", NULL);
	int ok;

	env->cipher = EVP_CIPHER_CTX_new();
	ok = aes && env->cipher &&
	     EVP_DecryptInit_ex2(env->cipher, aes, key->enc_key.p, NULL, NULL);
	EVP_CIPHER_free(aes);
	if (!ok)
		return err_nomem(e, "cipher");
	return digest_new(&env->mac, key->traits->blake2 ? DIGEST_BLAKE2B : DIGEST_HMAC_SHA256,
			  DIGEST_FASTEST, key->enc_hmac_key, e);
}

static enum digest_kind id_kind(const struct key *key)
{
	if (key->traits->type == KEY_PLAINTEXT)
		return DIGEST_SHA256;
	return key->traits->blake2 ? DIGEST_BLAKE2B : DIGEST_HMAC_SHA256;
}

int envelope_new(struct envelope **out, const struct key *key, struct err *e)
{
	CLEANUP(envelope_freep) struct envelope *env = calloc(1, sizeof(*env));
	int rc;

	if (!env)
		return err_nomem(e, "envelope");
	env->key = key;
	rc = digest_new(&env->id, id_kind(key), DIGEST_FASTEST, key->id_key, e);
	if (rc == 0 && key->traits->encrypts)
		rc = setup_cipher(env, e);
	if (rc < 0)
		return rc;
	*out = TAKE(env);
	return 0;
}

void envelope_free(struct envelope *env)
{
	if (!env)
		return;
	digest_free(env->mac);
	digest_free(env->id);
	EVP_CIPHER_CTX_free(env->cipher);
	free(env);
}

/* repokey takes the type byte of the passphrase mode it may have been migrated from. */
static bool type_fits(const struct key *key, uint8_t type)
{
	return type == key->traits->type ||
	       (key->traits->type == KEY_REPOKEY && type == KEY_PASSPHRASE) ||
	       (key->traits->type == KEY_PASSPHRASE && type == KEY_REPOKEY);
}

/* Everything that can be told before a key is used. */
static int check_head(const struct key *key, struct bytes object, struct err *e)
{
	if (object.len < TYPE || !type_fits(key, object.p[0]))
		return err_set_id(e, EBADMSG, "IntegrityError", "Invalid encryption envelope");
	if (key->traits->encrypts && (object.len < HEAD || object.len > INT32_MAX))
		return err_set_id(e, EBADMSG, "IntegrityError",
				  "Encryption envelope has an impossible size");
	return 0;
}

static struct bytes signed_part(struct bytes object)
{
	return (struct bytes){ object.p + TYPE + MAC, object.len - TYPE - MAC };
}

static int check_mac(struct bytes object, const uint8_t mac[DIGEST_SIZE], struct err *e)
{
	if (sodium_memcmp(mac, object.p + TYPE, MAC) != 0)
		return err_set_id(e, EBADMSG, "IntegrityError",
				  "Encryption envelope checksum mismatch");
	return 0;
}

static bool start_cipher(struct envelope *env, struct bytes object)
{
	uint8_t counter[BLOCK] = { 0 };

	memcpy(counter + BLOCK - IV, object.p + TYPE + MAC, IV);
	return EVP_DecryptInit_ex2(env->cipher, NULL, NULL, counter, NULL);
}

/* The next bytes of what start_cipher() began; empty text is allowed.  In CTR mode it is one
 * operation that encrypts and decrypts. */
static bool apply_cipher(struct envelope *env, struct bytes text, uint8_t *out)
{
	int n = 0;

	return text.len == 0 ||
	       (EVP_DecryptUpdate(env->cipher, out, &n, text.p, (int)text.len) &&
		(size_t)n == text.len);
}

/* Objects are lent to be used up (envelope.h); their type does not say so. */
static uint8_t *writable(const uint8_t *p)
{
	union {
		const uint8_t *in;
		uint8_t *out;
	} u = { .in = p };

	return u.out;
}

static int decrypt(struct envelope *env, struct bytes object, struct bytes *payload,
		   struct err *e)
{
	struct bytes text = { object.p + HEAD, object.len - HEAD };

	if (!start_cipher(env, object) || !apply_cipher(env, text, writable(text.p)))
		return err_set(e, EIO, "decryption failed");
	*payload = text;
	return 0;
}

int envelope_open(struct envelope *env, struct bytes object, struct bytes *payload,
		  struct err *e)
{
	uint8_t mac[DIGEST_SIZE];
	int rc = check_head(env->key, object, e);

	if (rc < 0)
		return rc;
	if (!env->key->traits->encrypts) {
		*payload = (struct bytes){ object.p + TYPE, object.len - TYPE };
		return 0;
	}
	digest_of(env->mac, signed_part(object), mac);
	rc = check_mac(object, mac, e);
	return rc < 0 ? rc : decrypt(env, object, payload, e);
}

void envelope_open_pair(struct envelope *env, struct envelope_job jobs[2])
{
	struct digest *const both[2] = { env->mac, env->mac };
	uint8_t mac[2][DIGEST_SIZE];
	struct bytes messages[2];
	bool sound = env->key->traits->encrypts;

	for (size_t i = 0; i < 2 && sound; i++)
		sound = check_head(env->key, jobs[i].object, NULL) == 0;
	if (!sound) { /* nothing to interleave, or not worth it */
		for (size_t i = 0; i < 2; i++)
			jobs[i].rc = envelope_open(env, jobs[i].object, &jobs[i].payload,
						   jobs[i].err);
		return;
	}
	messages[0] = signed_part(jobs[0].object);
	messages[1] = signed_part(jobs[1].object);
	digest_pair(both, messages, mac);
	for (size_t i = 0; i < 2; i++) {
		struct envelope_job *job = &jobs[i];

		job->rc = check_mac(job->object, mac[i], job->err);
		if (job->rc == 0)
			job->rc = decrypt(env, job->object, &job->payload, job->err);
	}
}

/* Does the payload begin with prefix?  Leaves the cipher behind it. */
static bool begins_with(struct envelope *env, struct bytes object, struct bytes prefix)
{
	uint8_t start[BLOCK];

	return prefix.len <= sizeof(start) && object.len >= HEAD + prefix.len &&
	       start_cipher(env, object) &&
	       apply_cipher(env, (struct bytes){ object.p + HEAD, prefix.len }, start) &&
	       memcmp(start, prefix.p, prefix.len) == 0;
}

/*
 * Decrypts before the MAC is verified, since the id needs the plaintext; CTR does not mind, and
 * what it yields is only hashed.  The prefix decides no more than which of two ways verifies
 * the same things.
 */
int envelope_open_plain(struct envelope *env, struct bytes object, struct bytes prefix,
			struct buf *out, struct chunk_id *id, struct err *e)
{
	struct digest *const digests[2] = { env->mac, env->id };
	uint8_t values[2][DIGEST_SIZE];
	struct bytes messages[2], text;
	int rc;

	if (!env->mac || !digest_pairs_well(env->mac))
		return 0;
	rc = check_head(env->key, object, e);
	if (rc < 0)
		return rc;
	if (!begins_with(env, object, prefix))
		return 0;
	text = (struct bytes){ object.p + HEAD + prefix.len, object.len - HEAD - prefix.len };
	if (buf_resize(out, text.len) < 0)
		return err_nomem(e, "decryption");
	if (!apply_cipher(env, text, out->p)) {
		out->len = 0;
		return err_set(e, EIO, "decryption failed");
	}
	messages[0] = signed_part(object);
	messages[1] = buf_bytes(out);
	digest_pair(digests, messages, values);
	rc = check_mac(object, values[0], e);
	if (rc < 0) {
		out->len = 0;
		return rc;
	}
	memcpy(id->b, values[1], sizeof(id->b));
	return 1;
}

size_t envelope_head(const struct key *key)
{
	return key->traits->encrypts ? HEAD : TYPE;
}

uint64_t envelope_blocks(const struct key *key, size_t payload_len)
{
	return key->traits->encrypts ? (payload_len + BLOCK - 1) / BLOCK : 0;
}

/* All but the MAC. */
static int encrypt(struct envelope *env, uint64_t iv, struct buf *object, struct err *e)
{
	uint8_t *p = object->p;
	size_t len = object->len - HEAD;

	assert(object->len >= HEAD);
	assert(envelope_blocks(env->key, len) <= UINT64_MAX - iv);
	if (object->len > INT32_MAX)
		return err_set(e, EFBIG, "an object of %zu bytes cannot be encrypted",
			       object->len);
	p[0] = (uint8_t)env->key->traits->type;
	put_be64(p + TYPE + MAC, iv);
	if (!start_cipher(env, buf_bytes(object)) ||
	    !apply_cipher(env, (struct bytes){ p + HEAD, len }, p + HEAD))
		return err_set(e, EIO, "encryption failed");
	return 0;
}

int envelope_seal(struct envelope *env, uint64_t iv, struct buf *object, struct err *e)
{
	uint8_t mac[DIGEST_SIZE];
	int rc;

	if (!env->key->traits->encrypts) {
		assert(object->len >= TYPE);
		object->p[0] = (uint8_t)env->key->traits->type;
		return 0;
	}
	rc = encrypt(env, iv, object, e);
	if (rc < 0)
		return rc;
	digest_of(env->mac, signed_part(buf_bytes(object)), mac);
	memcpy(object->p + TYPE, mac, MAC);
	return 0;
}

int envelope_seal_many(struct envelope *env, const uint64_t *ivs, struct buf *const *objects,
		       size_t count, struct err *e)
{
	struct bytes messages[ENVELOPE_MANY] = { 0 };
	uint8_t macs[ENVELOPE_MANY][DIGEST_SIZE];
	bool encrypts = env->key->traits->encrypts;
	int rc = 0;

	assert(count <= ENVELOPE_MANY);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		rc = encrypts ? encrypt(env, ivs[i], objects[i], e)
			      : envelope_seal(env, ivs[i], objects[i], e);
		messages[i] = encrypts ? signed_part(buf_bytes(objects[i])) : messages[i];
	}
	if (rc < 0 || !encrypts)
		return rc;
	digest_many(env->mac, messages, count, macs);
	for (size_t i = 0; i < count; i++)
		memcpy(objects[i]->p + TYPE, macs[i], MAC);
	return 0;
}

/* As Borg reckons: blocks of the whole object, a little more than it can have used. */
int envelope_after(const struct key *key, struct bytes object, uint64_t *next, struct err *e)
{
	int rc = check_head(key, object, e);
	uint64_t iv, blocks;

	*next = 0;
	if (rc < 0 || !key->traits->encrypts)
		return rc;
	iv = get_be64(object.p + TYPE + MAC);
	blocks = envelope_blocks(key, object.len);
	*next = blocks <= UINT64_MAX - iv ? iv + blocks : UINT64_MAX;
	return 0;
}

void envelope_id(struct envelope *env, struct bytes plaintext, struct chunk_id *out)
{
	digest_of(env->id, plaintext, out->b);
}

void envelope_ids(struct envelope *env, const struct bytes *plaintexts, size_t count,
		  struct chunk_id *out)
{
	uint8_t ids[ENVELOPE_MANY][DIGEST_SIZE];

	assert(count <= ENVELOPE_MANY);
	digest_many(env->id, plaintexts, count, ids);
	for (size_t i = 0; i < count; i++)
		memcpy(out[i].b, ids[i], sizeof(out[i].b));
}
