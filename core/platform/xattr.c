/*
 * xattr.c - see xattr.h.
 *
 * The kernel has no setxattr for an O_PATH descriptor; its link in /proc leads to the very same
 * inode, whatever became of its name meanwhile.
 */

#include "core/platform/xattr.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#ifndef SYS_listxattrat
#define SYS_listxattrat 465 /* the same number everywhere; Linux 6.13 */
#endif

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

/* --- reading --- */

enum { FIRST_NAMES = 1024, FIRST_VALUE = 256, TRIES = 5, LARGEST = 1 << 20 };

struct source {
	int fd;
	const char *name; /* NULL: fd itself */
};

/* Older kernels look up a name below a descriptor only through /proc ... */
static const char *long_way(const struct source *s, char path[NAME_MAX + 48])
{
	snprintf(path, NAME_MAX + 48, "/proc/self/fd/%d/%s", s->fd, s->name);
	return path;
}

/* ... or in the working folder, which is the whole process's unless a thread gets one of its own. */
static _Thread_local enum { SHARED, MAY_BE_OWN, OWN } working_folder;

void xattr_by_working_folder(void)
{
	if (working_folder == SHARED)
		working_folder = MAY_BE_OWN;
}

static bool go_there(int fd)
{
	if (working_folder == MAY_BE_OWN)
		working_folder = unshare(CLONE_FS) == 0 ? OWN : SHARED;
	return working_folder == OWN && fchdir(fd) == 0;
}

/* Most objects have none, so this call is made for each, and its cost counts: through /proc it is
 * three times as much.  Filters of system calls refuse what they do not know in one of two ways. */
static ssize_t list_below(const struct source *s, void *p, size_t len)
{
	static atomic_bool unknown;
	char path[NAME_MAX + 48];

	if (!atomic_load_explicit(&unknown, memory_order_relaxed)) {
		long n = syscall(SYS_listxattrat, s->fd, s->name, AT_SYMLINK_NOFOLLOW, p, len);

		if (n >= 0 || (errno != ENOSYS && errno != EPERM))
			return n;
		atomic_store_explicit(&unknown, true, memory_order_relaxed);
	}
	return llistxattr(go_there(s->fd) ? s->name : long_way(s, path), p, len);
}

static ssize_t list_names(const struct source *s, void *p, size_t len)
{
	return s->name ? list_below(s, p, len) : flistxattr(s->fd, p, len);
}

static ssize_t get_value(const struct source *s, const char *name, void *p, size_t len)
{
	char path[NAME_MAX + 48];

	return s->name ? lgetxattr(long_way(s, path), name, p, len)
		       : fgetxattr(s->fd, name, p, len);
}

/* Others may change them between two calls, so the length is found by trying. */
static int read_names(const struct source *s, struct buf *out)
{
	size_t room = out->cap > FIRST_NAMES ? out->cap : FIRST_NAMES;

	for (int i = 0; i < TRIES; i++, room *= 8) {
		ssize_t n;

		if (buf_reserve(out, room) < 0)
			return -ENOMEM;
		n = list_names(s, out->p, out->cap);
		if (n >= 0) {
			out->len = (size_t)n;
			return 0;
		}
		if (errno == ENOTSUP || errno == ENODATA) {
			out->len = 0;
			return 0;
		}
		if (errno != ERANGE)
			return -errno;
	}
	return -ERANGE;
}

/* Append the value; its length or -errno. */
static ssize_t read_value(const struct source *s, const char *name, struct buf *out)
{
	for (size_t room = FIRST_VALUE; room <= LARGEST; room *= 8) {
		ssize_t n;

		if (buf_reserve(out, out->len + room) < 0)
			return -ENOMEM;
		n = get_value(s, name, out->p + out->len, out->cap - out->len);
		if (n >= 0) {
			out->len += (size_t)n;
			return n;
		}
		if (errno != ERANGE)
			return -errno;
	}
	return -E2BIG;
}

static int add_entry(struct xattr_list *list, const char *name, size_t value_off, size_t len)
{
	if (list->count == list->cap) {
		size_t cap = list->cap ? 2 * list->cap : 16;
		struct xattr_entry *v = realloc(list->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		list->v = v;
		list->cap = cap;
	}
	/* The values may still move: until the end an offset. */
	list->v[list->count++] =
		(struct xattr_entry){ bytes_str(name),
				      { (const uint8_t *)(uintptr_t)value_off, len } };
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct xattr_entry *x = a, *y = b;

	return bytes_compare(x->name, y->name);
}

static int read_all(const struct source *s, struct xattr_list *out)
{
	for (size_t at = 0; at < out->names.len;) {
		const char *name = (const char *)out->names.p + at;
		size_t value_off = out->values.len;
		ssize_t n = read_value(s, name, &out->values);

		at += strlen(name) + 1;
		if (n == -ENODATA)
			continue; /* removed meanwhile */
		if (n < 0 && n != -ENOMEM) {
			out->refused = (int)-n;
			continue;
		}
		if (n < 0 || add_entry(out, name, value_off, (size_t)n) < 0)
			return -ENOMEM;
	}
	for (size_t i = 0; i < out->count; i++)
		out->v[i].value.p = out->values.p + (uintptr_t)out->v[i].value.p;
	if (out->count > 1)
		qsort(out->v, out->count, sizeof(*out->v), by_name);
	return 0;
}

int xattr_read(int fd, const char *name, struct xattr_list *out)
{
	struct source s = { .fd = fd, .name = name };
	int rc;

	out->count = 0;
	out->values.len = 0;
	out->refused = 0;
	if (name && strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	rc = read_names(&s, &out->names);
	if (rc < 0 || out->names.len == 0)
		return rc;
	return read_all(&s, out); /* the kernel ends each name with a NUL */
}

int xattr_any(int fd, const char *name)
{
	struct source s = { .fd = fd, .name = name };
	ssize_t n = name && strlen(name) > NAME_MAX ? (errno = ENAMETOOLONG, -1)
						    : list_names(&s, NULL, 0);

	if (n < 0)
		return errno == ENOTSUP || errno == ENODATA ? 0 : -errno;
	return n > 0;
}

void xattr_list_fini(struct xattr_list *list)
{
	free(list->v);
	buf_fini(&list->names);
	buf_fini(&list->values);
	*list = (struct xattr_list){ 0 };
}
