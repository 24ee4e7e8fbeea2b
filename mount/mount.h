#ifndef MOUNT_MOUNT_H
#define MOUNT_MOUNT_H

/*
 * mount.h - a view at a mount point, until it is unmounted.
 *
 * Threads: the caller's thread receives requests and answers what is in memory; workers wait for
 * chunks; one more thread follows the repository, tells the kernel what changed there, and takes
 * the signals.  All start in mount_serve() and have ended when it returns.
 */

#include "core/base/cleanup.h"
#include "core/base/err.h"
#include "mount/options.h"

#include <stdbool.h>

struct mount;
struct staging;
struct view;

/*
 * Is `point` a directory that can be mounted on, neither in the repository (an absolute real
 * path, or NULL) nor around it?  *out: its absolute real path, on the heap.
 */
int mount_check_point(const char *point, const char *repository, char **out, struct err *e);

/*
 * Mount.  `view` is the mount's from now on, also when this fails; `point` is absolute.  staging: of the
 * view, and closed after it; NULL: read-only.
 * In the foreground a signal unmounts; in the background it ends the process and leaves an
 * unusable mount behind, as Borg does: an empty folder instead could make a running
 * `rsync --delete` throw away its target.
 */
int mount_open(struct mount **out, struct view *view, struct staging *staging,
	       const struct mount_options *options, const char *point, bool foreground,
	       struct err *e);
/* Serve until unmounted, or until SIGINT, SIGTERM or SIGHUP; 0, or the signal. */
int mount_serve(struct mount *m, struct err *e);
/* After that: has somebody unmounted it, in good order? */
bool mount_was_unmounted(const struct mount *m);
void mount_close(struct mount *m); /* does nothing for NULL */
DEFINE_CLEANUP(struct mount *, mount_close);

/* Unmount what is mounted at `point`, with the system's helper: its exit status, or -errno. */
int mount_unmount(const char *point, bool lazy, struct err *e);

#endif
