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

#endif
