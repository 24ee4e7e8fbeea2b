#ifndef REPO_NONCE_FILE_H
#define REPO_NONCE_FILE_H

/*
 * nonce_file.h - a file that says which counters of AES-CTR nobody has reserved yet.
 *
 * One lies in the repository, for all its clients, and one in each client's security folder, in
 * case the repository was set back.
 * Source: docs/format.md "Counters".  Threads: one at a time for a file; the repository's is
 * guarded by its exclusive lock.
 */

#include "core/base/err.h"

#include <stdint.h>
#include <sys/types.h>

/* No counter was ever reserved: the file does not exist. */
#define NONCE_NONE UINT64_MAX

/* `whose` begins the sentences: "Repository".  Errors: -EBADMSG not 16 hex digits; -EOVERFLOW
 * every counter is used up. */
int nonce_file_get(const char *path, const char *whose, uint64_t *next, struct err *e);

/*
 * Reserve up to `next`, which is on disk when this returns 0.  start is what nonce_file_get() had
 * told.  Errors: -EBUSY somebody else has reserved since, and nothing was changed; -EINVAL next is
 * not beyond start.
 */
int nonce_file_reserve(const char *path, const char *whose, uint64_t next, uint64_t start,
		       mode_t mode, struct err *e);

#endif
