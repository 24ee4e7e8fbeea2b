#ifndef REPO_LOCK_H
#define REPO_LOCK_H

/*
 * lock.h - Borg's lock on a repository: many share it, or one has it alone.
 *
 *   PREFIX.exclusive/HOST.PID-THREAD   a folder with one empty file that names who holds it
 *   PREFIX.roster                      JSON: {"shared": [[host, pid, thread]], "exclusive": ...}
 *
 * The folder is the lock.  Who wants it alone keeps the folder as long; who shares it takes the
 * folder only to write himself into the roster, and whoever wants it alone waits until nobody is
 * there.  An entry of this machine whose process is gone is dead and removed by whoever meets it;
 * one of another machine stays until it is broken by hand.
 *
 * A process may be killed at any point: what it leaves behind is recognised as dead, and the
 * roster is replaced whole, so that the others' entries are never lost.
 *
 * A process has at most one lock of a path: another would be taken for the same.
 * Source: docs/format.md "Locks".  Threads: one at a time.
 */

#include "core/base/cleanup.h"
#include "core/base/err.h"

#include <stdbool.h>

struct lock;

enum lock_mode { LOCK_SHARED, LOCK_EXCLUSIVE };

struct lock_options {
	double wait; /* seconds until somebody else's lock is an error; < 0: for ever */
};

/*
 * path_prefix: REPO/lock.  The folder it is in has to exist.  NULL options: wait one second.
 * Errors: -EBUSY somebody else has it (LockTimeout); LockFailed with the errno of what failed.
 */
int lock_acquire(struct lock **out, const char *path_prefix, enum lock_mode mode,
		 const struct lock_options *options, struct err *e);

/* From shared to exclusive; where that fails, the lock is still shared.  Two that wait for each
 * other here both end with -EBUSY. */
int lock_upgrade(struct lock *l, struct err *e);

/* False when somebody broke it. */
bool lock_still_held(const struct lock *l);

/*
 * In the child that goes on in the background: the lock is this process's from now on.  The
 * parent, which lives until this is done, lets go with lock_forget().
 * Errors: -ENOLCK it was broken meanwhile (NotLocked, NotMyLock); as lock_acquire().
 */
int lock_migrate(struct lock *l, struct err *e);

/* Whatever the result, lock_close() does not try again.
 * Errors: -ENOLCK it was broken meanwhile (NotLocked, NotMyLock); as lock_acquire(). */
int lock_release(struct lock *l, struct err *e);

/* Releases what this process still holds, silently; a child that did not migrate holds nothing.
 * Does nothing for NULL. */
void lock_close(struct lock *l);
DEFINE_CLEANUP(struct lock *, lock_close);

void lock_forget(struct lock *l); /* free it, and leave the lock as it is */

/* Remove every lock there is, whoever has it. */
int lock_break(const char *path_prefix, struct err *e);

#endif
