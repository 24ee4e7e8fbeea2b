#ifndef STORE_KEYRING_H
#define STORE_KEYRING_H

/*
 * keyring.h - from a repository to its unlocked key: type from the manifest object, blob from
 * the repository's config or a key file, passphrase from the environment or a person.
 *
 * Source: docs/format.md "Key blob", "Passphrase sources".
 * Errors (Borg's classes): PassphraseWrong, PasscommandFailure, NoPassphraseFailure,
 * KeyfileNotFoundError, KeyfileInvalidError, KeyfileMismatchError, RepoKeyNotFoundError,
 * UnsupportedPayloadError, KeyBlobUnsupported...; -EKEYREJECTED for a wrong passphrase.
 */

#include "core/crypto/key.h"
#include "core/repo/repo.h"
#include "core/store/prompt.h"

/* `manifest` is the stored manifest object: its first byte is the type of key. */
int keyring_unlock(struct key **out, struct repo *repo, struct bytes manifest,
		   const struct prompt *prompt, struct err *e);
/* Path of the key file of this repository, on the heap (keyfile modes, for `info`). */
int keyring_find_file(struct repo *repo, char **out, struct err *e);

/*
 * A new key for a new repository, kept where its type keeps it, under a passphrase from
 * BORG_NEW_PASSPHRASE, the variables that keyring_unlock() uses, or a person.  A key file has its name
 * from the repository's, as given; none is ever overwritten (-EEXIST).
 */
int keyring_create(struct key **out, struct repo *repo, const struct location *where,
		   const struct key_traits *type, const struct prompt *prompt, struct err *e);
/* Keep the key under this passphrase: in the file `path`, or in the repository where that is NULL. */
int keyring_save(struct repo *repo, const struct key *key, struct bytes passphrase,
		 const char *path, struct err *e);
/* Keep an unlocked key under a new passphrase, where it is kept now; the place is on the heap. */
int keyring_change_passphrase(struct repo *repo, const struct key *key,
			      const struct prompt *prompt, char **place, struct err *e);

/* The key data of a repository, still locked, and the kind of key, by the stored manifest; NULL (the
 * kind) where it is none we know. */
const struct key_traits *keyring_identify(struct bytes manifest, struct err *e);
int keyring_blob(struct repo *repo, const struct key_traits *type, struct buf *blob,
		 struct err *e);
/* Keep key data that was saved elsewhere, in place of what is there. */
int keyring_restore(struct repo *repo, const struct location *where,
		    const struct key_traits *type, struct bytes blob, struct err *e);
/* The passphrase mode of before 1.0: a repokey of the same secrets, under a new passphrase. */
int keyring_migrate(struct repo *repo, struct bytes manifest, const struct prompt *prompt,
		    struct err *e);

#endif
