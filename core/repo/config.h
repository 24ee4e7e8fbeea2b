#ifndef REPO_CONFIG_H
#define REPO_CONFIG_H

/*
 * config.h - the repository's `config`: an INI file with one section, [repository].
 *
 * Source: docs/format.md "Configuration".  Threads: no state.
 */

#include "core/repo/repo.h"

enum { CONFIG_FILE_MAX = 1024 * 1024 }; /* bytes; a real one has under 2 KiB */

/* Fill out from the file's text.  Errors: -EBADMSG with what is wrong (the caller names the
 * repository); -ENOTSUP for another version. */
int config_parse(struct repo_config *out, struct bytes text, struct err *e);
void config_fini(struct repo_config *c);
/* A file size: a decimal number, whole or not, with one optional suffix of K M G T P, powers of
 * 1000.  False where the text is none. */
bool config_parse_size(const char *text, uint64_t *out);

/*
 * Put text in place of the file at path, whole or not at all, and overwrite what was there with
 * random bytes unless the file has other names: an old key opens the repository with an old
 * passphrase.  The caller holds the repository's exclusive lock.
 */
int config_store(const char *path, struct bytes text, struct err *e);
/* The same with one option of [repository] set, or removed where value is NULL. */
int config_change(const char *path, const char *name, const char *value, struct err *e);

#endif
