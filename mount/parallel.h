#ifndef MOUNT_PARALLEL_H
#define MOUNT_PARALLEL_H

/*
 * parallel.h - several look-ups and listings of one folder at a time.
 *
 * Before 3.17, libfuse agrees to FUSE_CAP_PARALLEL_DIROPS and does not tell the kernel, which then
 * sends one request about a folder's names after the other.  Who comes second while an archive is
 * being read waits in the kernel, and cannot even be killed.  So the session's replies go through
 * here, and the one to INIT gets the flag.
 */

#include "mount/mount_internal.h"

/* Once the session is mounted, before a request is received.  0 or -errno. */
int parallel_listen(struct mount *m);

#endif
