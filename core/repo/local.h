#ifndef REPO_LOCAL_H
#define REPO_LOCAL_H

/*
 * local.h - a repository in a folder of this machine; see repo.h for what it promises.
 */

#include "core/repo/repo.h"

int local_open(struct repo **out, const struct location *where,
	       const struct repo_options *options, struct err *e);

#endif
