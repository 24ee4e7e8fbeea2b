#ifndef PLATFORM_HOST_H
#define PLATFORM_HOST_H

/*
 * host.h - how Borg names the machine and the processes on it.
 *
 * A lock says who holds it as (host id, pid).  Two programs recognise each other's locks of one
 * machine only where they compute the same host id, so this follows Borg, which follows Python's
 * socket and uuid modules, which follow libuuid.
 *
 * Threads: any; the environment is read.
 */

#include "core/base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* The host name as the resolver completes it; may ask the network.  On the heap. */
int host_fqdn(char **out, struct err *e);

/*
 * $BORG_HOST_ID where it is set and not empty, else FQDN@NODE: NODE is the hardware address of
 * the first interface that has one and an IPv4 address, as a decimal number.  Where there is
 * none, NODE is random with the multicast bit set: then no other process shares the id.
 * On the heap.
 */
int host_id(char **out, struct err *e);

/* The host name up to its first dot, and the user's login name: as archives tell them.  On the
 * heap; NULL when out of memory. */
char *host_short_name(void);
char *host_user_name(void);

/* Is there such a process here?  Also true where that cannot be known. */
bool host_process_alive(int64_t pid);

#endif
