/* envelope.c - see envelope.h. */

#include "core/crypto/envelope.h"

#include "core/crypto/id_hash.h"

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
			  key->enc_hmac_key, e);
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
	rc = digest_new(&env->id, id_kind(key), key->id_key, e);
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

static int decrypt(struct envelope *env, struct bytes object, struct buf *scratch,
		   struct err *e)
{
	struct bytes text = { object.p + HEAD, object.len - HEAD };
	uint8_t counter[BLOCK] = { 0 };
	int n = 0;

	memcpy(counter + BLOCK - IV, object.p + TYPE + MAC, IV);
	if (buf_resize(scratch, text.len) < 0)
		return err_nomem(e, "decryption");
	if (text.len == 0)
		return 0;
	if (!EVP_DecryptInit_ex2(env->cipher, NULL, NULL, counter, NULL) ||
	    !EVP_DecryptUpdate(env->cipher, scratch->p, &n, text.p, (int)text.len) ||
	    (size_t)n != text.len)
		return err_set(e, EIO, "decryption failed");
	return 0;
}

int envelope_open(struct envelope *env, struct bytes object, struct buf *scratch,
		  struct bytes *payload, struct err *e)
{
	uint8_t mac[DIGEST_SIZE];
	struct bytes signed_part;
	int rc;

	if (object.len < TYPE || !type_fits(env->key, object.p[0]))
		return err_set_id(e, EBADMSG, "IntegrityError", "Invalid encryption envelope");
	if (!env->key->traits->encrypts) {
		*payload = (struct bytes){ object.p + TYPE, object.len - TYPE };
		return 0;
	}
	if (object.len < HEAD || object.len > INT32_MAX)
		return err_set_id(e, EBADMSG, "IntegrityError",
				  "Encryption envelope has an impossible size");
	signed_part = (struct bytes){ object.p + TYPE + MAC, object.len - TYPE - MAC };
	digest_of(env->mac, signed_part, (struct bytes){ 0 }, mac);
	if (sodium_memcmp(mac, object.p + TYPE, MAC) != 0)
		return err_set_id(e, EBADMSG, "IntegrityError",
				  "Encryption envelope checksum mismatch");
	rc = decrypt(env, object, scratch, e);
	if (rc == 0)
		*payload = buf_bytes(scratch);
	return rc;
}

void envelope_id(struct envelope *env, struct bytes plaintext, struct chunk_id *out)
{
	digest_of(env->id, plaintext, (struct bytes){ 0 }, out->b);
}
