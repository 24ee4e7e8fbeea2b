/*
 * xattr.c - see xattr.h.
 *
 * The kernel has no setxattr for an O_PATH descriptor; its link in /proc leads to the very same
 * inode, whatever became of its name meanwhile.
 */

#include "core/platform/xattr.h"

#include <errno.h>
#include <stdio.h>
#include <sys/xattr.h>

int xattr_set(int fd, bool is_path, const char *name, struct bytes value)
{
	char link[40];
	int rc;

	if (is_path) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		rc = setxattr(link, name, value.p, value.len, 0);
	} else {
		rc = fsetxattr(fd, name, value.p, value.len, 0);
	}
	return rc < 0 ? -errno : 0;
}
