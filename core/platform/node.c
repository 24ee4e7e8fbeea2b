/* node.c - see node.h. */

#include "core/platform/node.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { LISTING = 64 * 1024 /* bytes of names asked for at once */ };

/* The kernel tells the flags of ext4, btrfs, xfs and others without the file being opened. */
static uint64_t flags_of(uint64_t attributes)
{
	static const struct {
		uint64_t attribute, bsd;
	} map[] = {
		{ STATX_ATTR_NODUMP, 1 },
		{ STATX_ATTR_IMMUTABLE, 2 },
		{ STATX_ATTR_APPEND, 4 },
	};
	uint64_t flags = 0;

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (attributes & map[i].attribute)
			flags |= map[i].bsd;
	return flags;
}

int node_stat(int fd, const char *name, struct node *out)
{
	struct statx x;
	int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (name ? 0 : AT_EMPTY_PATH);

	if (statx(fd, name ? name : "", flags, STATX_BASIC_STATS, &x) < 0)
		return -errno;
	*out = (struct node){ .bsdflags = flags_of(x.stx_attributes & x.stx_attributes_mask) };
	out->st.st_mode = x.stx_mode;
	out->st.st_ino = x.stx_ino;
	out->st.st_dev = makedev(x.stx_dev_major, x.stx_dev_minor);
	out->st.st_rdev = makedev(x.stx_rdev_major, x.stx_rdev_minor);
	out->st.st_nlink = x.stx_nlink;
	out->st.st_uid = x.stx_uid;
	out->st.st_gid = x.stx_gid;
	out->st.st_size = (off_t)x.stx_size;
	out->st.st_blocks = (blkcnt_t)x.stx_blocks;
	out->st.st_atim = (struct timespec){ x.stx_atime.tv_sec, x.stx_atime.tv_nsec };
	out->st.st_mtim = (struct timespec){ x.stx_mtime.tv_sec, x.stx_mtime.tv_nsec };
	out->st.st_ctim = (struct timespec){ x.stx_ctime.tv_sec, x.stx_ctime.tv_nsec };
	return 0;
}

/* --- folders --- */

struct kernel_entry { /* getdents64(2) */
	uint64_t inode;
	int64_t next;
	uint16_t len;
	uint8_t kind;
	char name[];
};

static int add(struct node_names *names, uint64_t inode, const char *name)
{
	if (names->count == names->cap) {
		size_t cap = names->cap ? 2 * names->cap : 256;
		struct node_name *v = realloc(names->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		names->v = v;
		names->cap = cap;
	}
	/* The text may move while it grows: until the end a name is its offset. */
	names->v[names->count].inode = inode;
	names->v[names->count].name = (const char *)(uintptr_t)names->text.len;
	names->count++;
	return buf_append(&names->text, name, strlen(name) + 1);
}

static bool is_dots(const char *name)
{
	return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

static int take_entries(struct node_names *names, const uint8_t *p, size_t len)
{
	int rc = 0;

	for (size_t at = 0; rc == 0 && at < len;) {
		const struct kernel_entry *entry = (const void *)(p + at);

		if (!is_dots(entry->name))
			rc = add(names, entry->inode, entry->name);
		at += entry->len;
	}
	return rc;
}

static int by_inode(const void *a, const void *b)
{
	const struct node_name *x = a, *y = b;

	if (x->inode != y->inode)
		return x->inode < y->inode ? -1 : 1;
	return (x->name > y->name) - (x->name < y->name); /* the folder's order */
}

int node_list(int dirfd, struct node_names *out)
{
	_Alignas(8) uint8_t window[LISTING];
	long n;
	int rc = 0;

	*out = (struct node_names){ 0 };
	while (rc == 0 && (n = syscall(SYS_getdents64, dirfd, window, sizeof(window))) != 0)
		rc = n < 0 ? -errno : take_entries(out, window, (size_t)n);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < out->count; i++)
		out->v[i].name = (const char *)out->text.p + (uintptr_t)out->v[i].name;
	if (out->count > 1)
		qsort(out->v, out->count, sizeof(*out->v), by_inode);
	return 0;
}

void node_names_fini(struct node_names *names)
{
	free(names->v);
	buf_fini(&names->text);
	*names = (struct node_names){ 0 };
}

int node_open(int dirfd, const char *name, unsigned flags)
{
	int how = O_RDONLY | O_CLOEXEC | O_NOCTTY;
	int fd;

	how |= flags & NODE_DIRECTORY ? O_DIRECTORY : 0;
	how |= flags & NODE_FOLLOW ? 0 : O_NOFOLLOW;
	how |= flags & NODE_WAIT ? 0 : O_NONBLOCK;
	fd = openat(dirfd, name, how | O_NOATIME);
	if (fd < 0 && errno == EPERM) /* only the owner may ask for that */
		fd = openat(dirfd, name, how);
	return fd < 0 ? -errno : fd;
}
