#ifndef MOUNT_CHANNEL_H
#define MOUNT_CHANNEL_H

/*
 * channel.h - how the session's requests come in and its replies go out.
 *
 * The receiver looks for the next request for a moment before it sleeps.  A client that works
 * through a tree asks again within microseconds, and to wake a thread on another processor costs
 * more than to answer: on a virtual machine of two processors `tar` takes half as long.
 * Meanwhile it yields to whoever else can run.
 *
 * Before 3.17, libfuse agrees to FUSE_CAP_PARALLEL_DIROPS and does not tell the kernel, which then
 * sends one request about a folder's names after the other.  Who comes second while an archive is
 * being read waits in the kernel, and cannot even be killed.  So the one reply to INIT gets the
 * flag here.
 */

#include "mount/mount_internal.h"

/* Once the session is mounted, before a request is received.  0 or -errno. */
int channel_open(struct mount *m);

#endif
