#ifndef MOUNT_BACKGROUND_H
#define MOUNT_BACKGROUND_H

/*
 * background.h - a program that goes to the background once it is known to work.
 *
 * The child does everything, with the terminal's standard streams, so that it can ask for a
 * passphrase and its errors are seen; the parent only waits for its word.  Forked before any
 * thread was started.
 */

#include "core/base/err.h"

struct background {
	int pipe; /* the child's end, or -1 */
};

/* 1 in the child, *out filled; 0 in the parent when the child has spoken or ended, *status is
 * the exit status; -errno. */
int background_fork(struct background *out, int *status, struct err *e);

/* All is well: leave the terminal (streams to /dev/null, a session of its own, folder "/"), and
 * let the parent go with exit status `status`. */
int background_ready(struct background *b, int status, struct err *e);

#endif
