#ifndef REPO_CREATE_H
#define REPO_CREATE_H

/*
 * create.h - a repository's beginning and its end.
 *
 * Source: docs/format.md "Repository directory", "Configuration".  Threads: no state.
 */

#include "core/repo/repo.h"

struct repo_creation {
	bool append_only;
	uint64_t storage_quota; /* bytes, 0 none */
	bool make_parent_dirs;
};

/*
 * Make an empty repository: README, data, config with a new random id.  There is no transaction
 * yet, so nobody can read it before something was committed.
 * Errors (Borg's classes): Repository.AlreadyExists there or in a folder above,
 * Repository.PathAlreadyExists, Repository.ParentPathDoesNotExist; errno.
 */
int repo_create(const struct location *where, const struct repo_creation *how, struct err *e);

/* Remove the repository with all that is in its folder, which must be open for change and not
 * append-only.  r is closed, whatever the result. */
int repo_destroy(struct repo *r, struct err *e);

#endif
