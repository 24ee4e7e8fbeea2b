#ifndef PLATFORM_XATTR_H
#define PLATFORM_XATTR_H

/*
 * xattr.h - extended attributes of an open object, also of one that was only named (O_PATH).
 *
 * Threads: no state, but for xattr_by_working_folder().
 */

#include "core/base/bytes.h"

#include <stdbool.h>

/* Set one attribute of what fd refers to; fd may be O_PATH, also of a symlink.  0 or -errno. */
int xattr_set(int fd, bool is_path, const char *name, struct bytes value);

struct xattr_entry {
	struct bytes name, value; /* in the list's memory */
};

/* All attributes of an object, used again for the next one. */
struct xattr_list {
	struct xattr_entry *v; /* by name */
	size_t count, cap;
	struct buf names, values;
	int refused; /* errno of the last one that could not be read and was left out, or 0 */
};

/*
 * fd: an object open for reading, or with `name` (no "/") the folder it is in, which is not followed.
 * 0, also where the file system has none; -errno.
 */
int xattr_read(int fd, const char *name, struct xattr_list *out);
/* Are there any?  1, 0 or -errno. */
int xattr_any(int fd, const char *name);
/* The calling thread has no use for a working folder: from now on, where the kernel gives it one of
 * its own, that is wherever names were last looked up.  On kernels before 6.13 that is faster. */
void xattr_by_working_folder(void);
void xattr_list_fini(struct xattr_list *list); /* also a cleanup */

#endif
