#ifndef PLATFORM_FLAGS_H
#define PLATFORM_FLAGS_H

/*
 * flags.h - BSD file flags as archives have them <-> Linux inode flags (chattr).
 *
 * nodump 1 <-> 0x40, immutable 2 <-> 0x10, append 4 <-> 0x20.  No other bit is touched.
 * Source: docs/format.md "Item keys".
 */

#include <stdint.h>

/* Of flags as FS_IOC_GETFLAGS has them: those that archives have. */
uint64_t flags_bsd(uint32_t linux_flags);
/* Make the three flags of the regular file or directory fd be as in bsdflags; -errno where the
 * file system has no flags or forbids it.  Does nothing where they are so already. */
int flags_set(int fd, uint64_t bsdflags);
/* Take off immutable and append from fd, so that it can be changed or removed. */
int flags_unlock(int fd);

#endif
