#ifndef PLATFORM_XATTR_H
#define PLATFORM_XATTR_H

/*
 * xattr.h - extended attributes of an open object, also of one that was only named (O_PATH).
 *
 * Threads: no state.
 */

#include "core/base/bytes.h"

#include <stdbool.h>

/* Set one attribute of what fd refers to; fd may be O_PATH, also of a symlink.  0 or -errno. */
int xattr_set(int fd, bool is_path, const char *name, struct bytes value);

#endif
