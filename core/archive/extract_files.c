/*
 * extract_files.c - see extract_internal.h: makes files, never through a symlink.
 *
 * A path is walked from the target folder component by component with O_NOFOLLOW, so that
 * neither the archive nor somebody who races with us can lead it elsewhere.  The folder of the
 * last file stays open: neighbours in an archive mostly share it.
 *
 * Order per object: content, owner, mode, ACL, xattrs, times, flags - chown drops set-id bits
 * and capabilities, an immutable file refuses everything.
 */

#include "core/archive/extract_internal.h"

#include "core/base/cleanup.h"
#include "core/platform/acl.h"
#include "core/platform/flags.h"
#include "core/platform/xattr.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void files_init(struct files *f, const struct extract_options *options,
		const struct extract_events *events, struct owner_cache *owners)
{
	*f = (struct files){
		.options = options, .events = events, .owners = owners, .parent_fd = -1
	};
}

void files_fini(struct files *f)
{
	if (f->parent_fd >= 0)
		close(f->parent_fd);
	f->parent_fd = -1;
	buf_fini(&f->parent);
	buf_fini(&f->scratch);
}

/* --- warnings --- */

void files_warn(const struct files *f, const char *msgid, const char *fmt, ...)
{
	CLEANUP(cleanup_freep) char *text = NULL;
	va_list args;

	if (!f->events->warning)
		return;
	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		text = NULL;
	va_end(args);
	f->events->warning(f->events->arg, msgid, text ? text : fmt);
}

static const char *msgid_of(int error)
{
	switch (error) {
	case EPERM:
	case EACCES:
	case EBUSY: return "BackupPermissionError";
	case EIO: return "BackupIOError";
	case ENOENT: return "BackupFileNotFoundError";
	default: return "BackupOSError";
	}
}

int files_warn_os(const struct files *f, struct bytes path, const char *op, int error)
{
	int len = (int)path.len;
	const char *p = (const char *)path.p;

	files_warn(f, msgid_of(error), "%.*s: %s%s[Errno %d] %s: '%s/%.*s'", len, p,
		   op ? op : "", op ? ": " : "", error, strerror(error), f->options->root_name,
		   len, p);
	return 1;
}

/* --- walking --- */

static const char *c_string(struct files *f, struct bytes text)
{
	f->scratch.len = 0;
	if (buf_append(&f->scratch, text.p, text.len) < 0 ||
	    buf_append_byte(&f->scratch, 0) < 0)
		return NULL;
	return (const char *)f->scratch.p;
}

static size_t last_slash(struct bytes path)
{
	size_t n = path.len;

	while (n > 0 && path.p[n - 1] != '/')
		n--;
	return n;
}

static bool is_dots(struct bytes name)
{
	return bytes_is(name, "..") || bytes_is(name, ".") || name.len == 0;
}

/* The folder `name` in dir, made where it is missing; a descriptor or -errno. */
static int enter(struct files *f, int dir, struct bytes name)
{
	enum { HOW = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };
	const char *text = c_string(f, name);
	int fd;

	if (!text)
		return -ENOMEM;
	if (is_dots(name))
		return -EINVAL;
	fd = openat(dir, text, HOW);
	if (fd < 0 && errno == ENOENT) {
		if (mkdirat(dir, text, 0777) < 0 && errno != EEXIST)
			return -errno;
		fd = openat(dir, text, HOW);
	}
	return fd < 0 ? -errno : fd;
}

/* "." is passed over: `tar cf - .` writes "./name", and import-tar keeps it. */
static int walk(struct files *f, struct bytes path)
{
	int fd = fcntl(f->options->root_fd, F_DUPFD_CLOEXEC, 0);
	size_t at = 0;

	if (fd < 0)
		return -errno;
	while (at < path.len) {
		const uint8_t *slash = memchr(path.p + at, '/', path.len - at);
		size_t end = slash ? (size_t)(slash - path.p) : path.len;
		struct bytes name = { path.p + at, end - at };
		int next;

		at = end + 1;
		if (bytes_is(name, "."))
			continue;
		next = enter(f, fd, name);
		close(fd);
		if (next < 0)
			return next;
		fd = next;
	}
	return fd;
}

static int warn_unsafe(const struct files *f, struct bytes path, int rc)
{
	if (rc == -ENOMEM)
		return rc;
	if (rc == -EINVAL)
		files_warn(f, "BackupPathTraversalError",
			   "%.*s: path is not local to the target folder", (int)path.len,
			   (const char *)path.p);
	else if (rc == -ENOTDIR || rc == -ELOOP)
		files_warn(f, "BackupSymlinkParentError",
			   "%.*s: a parent is a symlink or no directory", (int)path.len,
			   (const char *)path.p);
	else
		return files_warn_os(f, path, "makedirs", -rc);
	return 1;
}

/* Go to the folder of `path`; *name is the last component.  Stays valid until the next call. */
static int go_to(struct files *f, struct bytes path, struct bytes *name)
{
	size_t slash = last_slash(path);
	struct bytes folder = { path.p, slash ? slash - 1 : 0 };
	int fd;

	*name = (struct bytes){ path.p + slash, path.len - slash };
	if (is_dots(*name) || path.p[0] == '/')
		return warn_unsafe(f, path, -EINVAL);
	if (f->parent_fd >= 0 && bytes_equal(folder, buf_bytes(&f->parent)))
		return 0;
	fd = walk(f, folder);
	if (fd < 0)
		return warn_unsafe(f, path, fd);
	if (f->parent_fd >= 0)
		close(f->parent_fd);
	f->parent_fd = fd;
	f->parent.len = 0;
	return buf_append(&f->parent, folder.p, folder.len);
}

/* A removed or replaced folder must not be remembered. */
static void forget_parent(struct files *f)
{
	if (f->parent_fd >= 0)
		close(f->parent_fd);
	f->parent_fd = -1;
}

/* Remove what is at the place, an empty directory too.  Errors show when the place is used. */
static void clear_place(struct files *f, const char *name)
{
	if (unlinkat(f->parent_fd, name, 0) == 0 || errno == ENOENT)
		return;
	(void)unlinkat(f->parent_fd, name, AT_REMOVEDIR);
}

/* go_to() and clear_place(); the last component as a C string. */
static int prepare(struct files *f, struct bytes path, const char **name)
{
	struct bytes last;
	int rc = go_to(f, path, &last);

	if (rc != 0)
		return rc;
	*name = c_string(f, last);
	if (!*name)
		return -ENOMEM;
	clear_place(f, *name);
	return 0;
}

/* --- attributes --- */

struct object { /* what attributes are set on */
	struct bytes path;
	const struct item *item;
	int fd;
	bool is_path; /* fd is O_PATH */
};

static void set_owner(struct files *f, const struct object *o)
{
	const struct item *it = o->item;
	uint32_t uid = it->uid, gid = it->gid;

	if (!f->options->numeric_ids) {
		if ((it->has & ITEM_USER) && it->user.len)
			uid = owner_uid(f->owners, it->user, uid);
		if ((it->has & ITEM_GROUP) && it->group.len)
			gid = owner_gid(f->owners, it->group, gid);
	}
	/* Only root may give files away; Borg says nothing either. */
	if (fchownat(o->fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
		return;
}

static int set_mode(const struct object *o)
{
	mode_t mode = o->item->mode & 07777;
	char link[40];
	int rc;

	if (S_ISLNK(o->item->mode))
		return 0;
	if (!o->is_path)
		return fchmod(o->fd, mode) < 0 ? -errno : 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", o->fd);
	rc = chmod(link, mode);
	return rc < 0 ? -errno : 0;
}

static int set_acl(struct files *f, const struct object *o, const char *name, struct bytes text)
{
	CLEANUP(buf_fini) struct buf binary = BUF_INIT;
	struct err e = ERR_INIT;
	int rc = acl_to_binary(text, f->options->numeric_ids, f->owners, &binary, &e);

	if (rc < 0) {
		files_warn(f, NULL, "%.*s: %s", (int)o->path.len, (const char *)o->path.p,
			   e.msg);
		return 1;
	}
	if (binary.len == 0)
		return 0;
	rc = xattr_set(o->fd, o->is_path, name, buf_bytes(&binary));
	/* A file system without ACLs is no reason to complain about every file. */
	return rc < 0 && rc != -ENOTSUP ? files_warn_os(f, o->path, "attrs", -rc) : 0;
}

static void set_acls(struct files *f, const struct object *o)
{
	const struct item *it = o->item;

	if (f->options->no_acls || S_ISLNK(it->mode))
		return;
	if (it->has & ITEM_ACL_ACCESS)
		(void)set_acl(f, o, "system.posix_acl_access", it->acl_access);
	if ((it->has & ITEM_ACL_DEFAULT) && S_ISDIR(it->mode))
		(void)set_acl(f, o, "system.posix_acl_default", it->acl_default);
}

static void warn_xattr(struct files *f, const struct item_xattr *x, int error)
{
	char reason[256];

	if (error == E2BIG)
		snprintf(reason, sizeof(reason), "too big for this filesystem ([Errno %d] %s)",
			 error, strerror(error));
	else if (error == ENOSPC)
		snprintf(reason, sizeof(reason),
			 "fs full or xattr too big? [xattr len = %zu] ([Errno %d] %s)",
			 x->value.len, error, strerror(error));
	else
		snprintf(reason, sizeof(reason), "%s", strerror(error));
	files_warn(f, msgid_of(error), "when setting extended attribute %.*s: %s",
		   (int)x->name.len, (const char *)x->name.p, reason);
}

static void set_xattrs(struct files *f, const struct object *o)
{
	const struct item *it = o->item;

	if (f->options->no_xattrs)
		return;
	for (size_t i = 0; i < it->xattr_count; i++) {
		const char *name = c_string(f, it->xattrs[i].name);
		int rc = name ? xattr_set(o->fd, o->is_path, name, it->xattrs[i].value)
			      : -ENOMEM;

		if (rc < 0)
			warn_xattr(f, &it->xattrs[i], -rc);
	}
}

static struct timespec to_timespec(int64_t ns)
{
	struct timespec t = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };

	if (t.tv_nsec < 0) {
		t.tv_nsec += 1000000000;
		t.tv_sec--;
	}
	return t;
}

static void set_times(const struct object *o)
{
	const struct item *it = o->item;
	struct timespec times[2] = { to_timespec(it->atime_ns), to_timespec(it->mtime_ns) };
	int rc = o->is_path ? utimensat(o->fd, "", times, AT_EMPTY_PATH)
			    : futimens(o->fd, times);

	if (rc < 0 && o->is_path) { /* before Linux 5.8 */
		char link[40];

		snprintf(link, sizeof(link), "/proc/self/fd/%d", o->fd);
		(void)utimensat(AT_FDCWD, link, times, 0);
	}
}

static void set_flags(struct files *f, const struct object *o)
{
	char link[40];
	int fd;

	if (f->options->no_flags || !(o->item->has & ITEM_BSDFLAGS))
		return;
	if (!S_ISREG(o->item->mode) && !S_ISDIR(o->item->mode))
		return;
	if (!o->is_path) {
		(void)flags_set(o->fd, o->item->bsdflags);
		return;
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", o->fd);
	fd = open(link, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)flags_set(fd, o->item->bsdflags);
	close(fd);
}

static int set_attributes(struct files *f, const struct object *o)
{
	int rc;

	set_owner(f, o);
	rc = set_mode(o);
	if (rc < 0)
		return files_warn_os(f, o->path, "attrs", -rc);
	set_acls(f, o);
	set_xattrs(f, o);
	set_times(o);
	set_flags(f, o);
	return 0;
}

/* Attributes of the object just made as `name` in the current folder. */
static int finish_named(struct files *f, struct bytes path, const struct item *it,
			const char *name)
{
	struct object o = { .path = path, .item = it, .is_path = true };
	int rc;

	o.fd = openat(f->parent_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (o.fd < 0)
		return files_warn_os(f, path, "attrs", errno);
	rc = set_attributes(f, &o);
	close(o.fd);
	return rc;
}

/* --- making --- */

int files_make_dir(struct files *f, struct bytes path)
{
	struct bytes last;
	struct stat st;
	const char *name;
	int rc;

	if (bytes_is(path, "."))
		return 0;
	rc = go_to(f, path, &last);
	if (rc != 0)
		return rc;
	name = c_string(f, last);
	if (!name)
		return -ENOMEM;
	if (fstatat(f->parent_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode))
		(void)unlinkat(f->parent_fd, name, 0);
	if (mkdirat(f->parent_fd, name, 0777) < 0 && errno != EEXIST)
		return files_warn_os(f, path, NULL, errno);
	return 0;
}

int files_make_special(struct files *f, struct bytes path, const struct item *it)
{
	dev_t device = S_ISFIFO(it->mode) ? 0 : (dev_t)it->rdev;
	const char *name;
	int rc = prepare(f, path, &name);

	if (rc != 0)
		return rc;
	if (mknodat(f->parent_fd, name, (it->mode & S_IFMT) | 0600, device) < 0)
		return files_warn_os(f, path, NULL, errno);
	return finish_named(f, path, it, name);
}

int files_make_symlink(struct files *f, struct bytes path, const struct item *it)
{
	CLEANUP(cleanup_freep) char *target = bytes_dup(it->source);
	const char *name;
	int rc = target ? prepare(f, path, &name) : -ENOMEM;

	if (rc != 0)
		return rc;
	if (symlinkat(target, f->parent_fd, name) < 0)
		return files_warn_os(f, path, NULL, errno);
	return finish_named(f, path, it, name);
}

int files_link(struct files *f, struct bytes path, struct bytes target)
{
	CLEANUP(cleanup_freep) char *from_name = NULL;
	CLEANUP(cleanup_closep) int from = -1;
	struct bytes last;
	const char *name;
	int rc = go_to(f, target, &last);

	if (rc != 0)
		return rc;
	from_name = bytes_dup(last);
	from = fcntl(f->parent_fd, F_DUPFD_CLOEXEC, 0);
	if (!from_name || from < 0)
		return -ENOMEM;
	rc = prepare(f, path, &name);
	if (rc != 0)
		return rc;
	if (linkat(from, from_name, f->parent_fd, name, 0) < 0)
		return files_warn_os(f, path, "link", errno);
	return 0;
}

int files_make_file(struct files *f, struct bytes path, int *fd)
{
	enum { HOW = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC };
	struct bytes last;
	const char *name;
	int rc = go_to(f, path, &last);

	*fd = -1;
	if (rc != 0)
		return rc;
	name = c_string(f, last);
	if (!name)
		return -ENOMEM;
	*fd = openat(f->parent_fd, name, HOW, 0600);
	if (*fd < 0 && errno == EEXIST) { /* the rare case pays, not every file */
		clear_place(f, name);
		*fd = openat(f->parent_fd, name, HOW, 0600);
	}
	if (*fd < 0) /* what clear_place() could not remove is a directory with content */
		return files_warn_os(f, path, "open", errno == EEXIST ? EISDIR : errno);
	return 0;
}

int files_finish_file(struct files *f, struct bytes path, const struct item *it, int fd,
		      uint64_t size)
{
	struct object o = { .path = path, .item = it, .fd = fd };
	int rc;

	/* Only a hole at the end leaves the file shorter than its content. */
	if (f->options->sparse && ftruncate(fd, (off_t)size) < 0) {
		rc = files_warn_os(f, path, "truncate_and_attrs", errno);
		close(fd);
		return rc;
	}
	rc = set_attributes(f, &o);
	if (close(fd) < 0 && rc == 0)
		rc = files_warn_os(f, path, "write", errno);
	return rc;
}

int files_finish_dir(struct files *f, struct bytes path, const struct item *it)
{
	struct object o = { .path = path, .item = it, .is_path = true };
	struct bytes last;
	const char *name;
	int rc;

	forget_parent(f);
	if (bytes_is(path, ".")) {
		o.fd = f->options->root_fd;
		return set_attributes(f, &o);
	}
	rc = go_to(f, path, &last);
	if (rc != 0)
		return rc;
	name = c_string(f, last);
	if (!name)
		return -ENOMEM;
	o.fd = openat(f->parent_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (o.fd < 0)
		return files_warn_os(f, path, "attrs", errno);
	rc = set_attributes(f, &o);
	close(o.fd);
	return rc;
}
