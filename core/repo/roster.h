#ifndef REPO_ROSTER_H
#define REPO_ROSTER_H

/*
 * roster.h - the file that says who shares a lock; a part of lock.c.
 *
 * A JSON object: "shared" and "exclusive" are lists of [host, pid, thread]; whatever else it has
 * stays.  A file that is missing, empty or not JSON says nothing.  Changed only by who holds the
 * lock's folder.
 *
 * Source: docs/format.md "Locks".  Threads: no state.
 */

#include "core/base/cleanup.h"
#include "core/base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { ROSTER_BYTES_MAX = 1024 * 1024 }; /* some ten thousand processes */

#define ROSTER_SHARED    "shared"
#define ROSTER_EXCLUSIVE "exclusive"

struct owner {
	const char *host;
	pid_t pid;
};

/* The thread is always 0. */
bool owner_dead(const struct owner *self, const char *host, size_t host_len, int64_t pid,
		int64_t thread);

/*
 * Read the file.  Errors: -EBADMSG for lists of another shape than this one, and for what only
 * Python's parser accepts: to take it for empty would drop the locks of others.
 */
int roster_load(json_t **out, const char *path, struct err *e);
/* Remove the entries of processes of self's host that are gone, with a warning for each. */
void roster_bury(json_t *roster, const struct owner *self);
/* Entries of a list that are not self's. */
size_t roster_others(const json_t *roster, const char *list, const struct owner *self);
bool roster_has(const json_t *roster, const char *list, const struct owner *self);
void roster_remove(json_t *roster, const char *list, const struct owner *self);
int roster_add(json_t *roster, const char *list, const struct owner *self, struct err *e);
/* Replace the file; remove it where nobody is left in the lists. */
int roster_save(const json_t *roster, const char *path, struct err *e);

#endif
