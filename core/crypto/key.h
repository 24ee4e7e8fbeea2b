#ifndef CRYPTO_KEY_H
#define CRYPTO_KEY_H

/*
 * key.h - the keys of a repository: what Borg's key blob holds, for each type of key.
 *
 * A struct key is immutable after it was made and lives in guarded memory.
 * Source: docs/format.md "Key types", "Key material", "Key blob".
 * Threads: any number may use a key at once.
 */

#include "core/base/cleanup.h"
#include "core/base/err.h"
#include "core/base/id.h"
#include "core/base/secret.h"

enum key_type {
	KEY_KEYFILE = 0x00,
	KEY_PASSPHRASE = 0x01, /* legacy, opened as repokey after migration */
	KEY_PLAINTEXT = 0x02,
	KEY_REPOKEY = 0x03,
	KEY_BLAKE2_KEYFILE = 0x04,
	KEY_BLAKE2_REPOKEY = 0x05,
	KEY_BLAKE2_AUTHENTICATED = 0x06,
	KEY_AUTHENTICATED = 0x07,
};

enum key_store { KEY_IN_NONE, KEY_IN_FILE, KEY_IN_REPO };

/* What is fixed for a type of key. */
struct key_traits {
	enum key_type type;
	const char *argument; /* of `init -e`: "repokey-blake2" */
	const char *name;     /* in `info`: "repokey BLAKE2b" */
	enum key_store store;
	bool encrypts; /* AES-256-CTR and a MAC */
	bool blake2;   /* BLAKE2b ids and MACs instead of HMAC-SHA256 */
};

/* NULL for a type byte we do not know. */
const struct key_traits *key_traits(uint8_t type);

struct key {
	const struct key_traits *traits;
	bool tam_required;
	bool passphrase_empty; /* "logically unencrypted" where the key is in the repository */
	int32_t chunk_seed;
	struct chunk_id repository_id;
	/* One guarded block; the spans below point into it.  Empty for KEY_PLAINTEXT. */
	struct secret *material;
	struct bytes enc_key;      /* 32 bytes */
	struct bytes enc_hmac_key; /* 32, or 128 for BLAKE2b */
	struct bytes id_key;       /* 32, or 128 for BLAKE2b */
};

/* Key type 0x02: no secret at all. */
int key_open_plaintext(struct key **out, struct err *e);
/* Legacy 0x01: everything is derived from the passphrase and the repository id. */
int key_open_passphrase(struct key **out, const struct chunk_id *repository_id,
			struct bytes passphrase, struct err *e);
/*
 * Unlock a key blob (the decoded outer map).  `tam_required_default` counts where the blob
 * does not say (keys of 1.0).
 * Errors: -EKEYREJECTED wrong passphrase; -EBADMSG malformed; -ENOTSUP unknown version or
 * algorithm.
 */
int key_open_blob(struct key **out, uint8_t type, struct bytes blob, struct bytes passphrase,
		  bool tam_required_default, struct err *e);
/* authenticated* without key or passphrase (BORG_WORKAROUNDS=authenticated_no_key): reads
 * without id or TAM checks; id_key is empty. */
int key_open_unchecked(struct key **out, uint8_t type, struct err *e);
/* A new key of a type with a secret, for a new repository: random from the system. */
int key_make(struct key **out, uint8_t type, const struct chunk_id *repository_id,
	     struct err *e);
/* Append the text that Borg keeps: the key data, encrypted under the passphrase and a new salt, in
 * base64 lines of 70 characters without a newline at the end. */
int key_wrap(const struct key *k, struct bytes passphrase, struct buf *text, struct err *e);
/* A repokey with the secrets of a key that key_open_passphrase() made. */
int key_migrate(struct key **out, const struct key *legacy, struct err *e);
void key_close(struct key *k); /* wipes; does nothing for NULL */
DEFINE_CLEANUP(struct key *, key_close);

/* Borg's text form: base64 (characters outside the alphabet skipped) -> the outer map. */
int key_blob_decode(struct bytes text, struct buf *out, struct err *e);
/* The reverse, appended: lines of 70 characters, no newline at the end. */
int key_blob_encode(struct bytes blob, struct buf *text, struct err *e);

#endif
