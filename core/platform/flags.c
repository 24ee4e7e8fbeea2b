/* flags.c - see flags.h. */

#include "core/platform/flags.h"

#include <errno.h>
#include <linux/fs.h>
#include <stddef.h>
#include <sys/ioctl.h>

static const struct {
	uint64_t bsd;
	int linux_flag;
} map[] = {
	{ 1, FS_NODUMP_FL },
	{ 2, FS_IMMUTABLE_FL },
	{ 4, FS_APPEND_FL },
};

static int change(int fd, int clear, int set)
{
	int before, after;

	if (ioctl(fd, FS_IOC_GETFLAGS, &before) < 0)
		return -errno;
	after = (before & ~clear) | set;
	if (after == before)
		return 0;
	return ioctl(fd, FS_IOC_SETFLAGS, &after) < 0 ? -errno : 0;
}

uint64_t flags_bsd(uint32_t linux_flags)
{
	uint64_t bsd = 0;

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (linux_flags & (uint32_t)map[i].linux_flag)
			bsd |= map[i].bsd;
	return bsd;
}

int flags_set(int fd, uint64_t bsdflags)
{
	int all = 0, wanted = 0;

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++) {
		all |= map[i].linux_flag;
		if (bsdflags & map[i].bsd)
			wanted |= map[i].linux_flag;
	}
	return change(fd, all, wanted);
}

int flags_unlock(int fd)
{
	return change(fd, FS_IMMUTABLE_FL | FS_APPEND_FL, 0);
}
