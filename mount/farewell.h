#ifndef MOUNT_FAREWELL_H
#define MOUNT_FAREWELL_H

/*
 * farewell.h - whoever unmounts waits until the mount's process has stored what was staged, and hears
 * what became of it.
 *
 * The process listens on an abstract socket named after the mount's device number.  `umount` connects
 * before it unmounts, and reads: a line for each staged archive, then ".", then the end.  Nobody needs
 * to accept before the mount has ended.
 *
 *   +TEXT  published     -TEXT  left as a checkpoint     .  all is stored
 *
 * Threads: one user.
 */

#include "core/base/cleanup.h"
#include "core/base/err.h"

#include <stdbool.h>

struct farewell;

/* For the mount at `point`, an absolute real path.  NULL where it cannot be: then nobody is told. */
struct farewell *farewell_listen(const char *point);
void farewell_tell(struct farewell *f, bool published, const char *text); /* f may be NULL */
void farewell_done(struct farewell *f);
void farewell_close(struct farewell *f); /* does nothing for NULL */

/* The other side: a descriptor to be waited on, or -1 where nobody would say anything. */
int farewell_connect(const char *point);
/* Print what is said until the end; closes fd.  0; -EIO the process has ended before all was stored. */
int farewell_wait(int fd, struct err *e);

#endif
