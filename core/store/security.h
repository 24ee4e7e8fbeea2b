#ifndef STORE_SECURITY_H
#define STORE_SECURITY_H

/*
 * security.h - what this machine remembers of a repository, in Borg's own files: location, key
 * type, newest manifest time.  Detects moved, replaced and replayed repositories.
 *
 * Source: docs/format.md "Local state directories", "Security checks".
 * Errors (Borg's classes): Cache.CacheInitAbortedError, Cache.RepositoryAccessAborted,
 * Cache.EncryptionMethodMismatch, Cache.RepositoryReplay, Cache.RepositoryIDNotUnique.
 */

#include "core/crypto/key.h"
#include "core/repo/repo.h"
#include "core/store/prompt.h"

/* The checks, in Borg's order; saves the three files where the repository was not yet known or
 * a new location was accepted.  timestamp is the manifest's. */
int security_check(struct repo *repo, const struct key *key, const char *timestamp,
		   const struct prompt *prompt, struct err *e);

/* Remember location, key type and the manifest just committed. */
int security_save(struct repo *repo, const struct key *key, const char *timestamp,
		  struct err *e);

/*
 * What a verified manifest says about TAMs, remembered for keys of Borg 1.0, which do not say it
 * themselves.  Writes or removes a file only where that changes something.
 */
int security_note_tam(struct repo *repo, bool required, struct err *e);

#endif
