/* io.c - see io.h. */

#include "core/base/io.h"

#include "core/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <ftw.h>

ssize_t read_at(int fd, void *p, size_t len, uint64_t off)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, (uint8_t *)p + done, len - done, (off_t)(off + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int read_exact(int fd, void *p, size_t len, uint64_t off)
{
	ssize_t n = read_at(fd, p, len, off);

	if (n < 0)
		return (int)n;
	if ((size_t)n == len)
		return 1;
	return n == 0 ? 0 : -EBADMSG;
}

int write_all(int fd, const void *p, size_t len)
{
	const uint8_t *at = p;

	while (len > 0) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

int write_all_at(int fd, const void *p, size_t len, uint64_t off)
{
	const uint8_t *at = p;

	while (len > 0) {
		ssize_t n = pwrite(fd, at, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int read_to_end(int fd, size_t max, struct buf *out)
{
	size_t step = 64 * 1024;

	for (;;) {
		ssize_t n;

		if (buf_reserve(out, out->len + step) < 0)
			return -ENOMEM;
		n = read(fd, out->p + out->len, step);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		out->len += (size_t)n;
		if (out->len > max)
			return -EFBIG;
	}
}

int file_read(int dirfd, const char *path, size_t max, struct buf *out, struct err *e)
{
	CLEANUP(cleanup_closep) int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return err_set(e, errno, "%s: %s", path, strerror(errno));
	rc = read_to_end(fd, max, out);
	if (rc == -EFBIG)
		return err_set(e, EFBIG, "%s: larger than %zu bytes", path, max);
	if (rc < 0)
		return err_set(e, -rc, "%s: %s", path, strerror(-rc));
	return 0;
}

int sync_dir(const char *path)
{
	CLEANUP(cleanup_closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

int sync_dirs_above(const char *path, struct err *e)
{
	CLEANUP(cleanup_freep) char *at = folder_of(path);

	while (at) {
		CLEANUP(cleanup_freep) char *above = folder_of(at);
		int rc = sync_dir(at);

		if (rc < 0 && rc != -EACCES && rc != -EINVAL && rc != -EROFS)
			return err_set(e, -rc, "%s: cannot sync the folder: %s", at,
				       strerror(-rc));
		if (!above || strcmp(above, at) == 0)
			return above ? 0 : err_nomem(e, at);
		free(at);
		at = TAKE(above);
	}
	return err_nomem(e, path);
}

static int write_temp(const char *temp, struct bytes content, mode_t mode)
{
	CLEANUP(cleanup_closep)
	int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	int rc;

	if (fd < 0)
		return -errno;
	rc = write_all(fd, content.p, content.len);
	if (rc == 0 && fsync(fd) < 0)
		rc = -errno;
	return rc;
}

static int replace_from(const char *temp, const char *path, struct bytes content, mode_t mode,
			struct err *e)
{
	CLEANUP(cleanup_freep) char *folder = folder_of(path);
	int rc;

	if (!folder)
		return err_nomem(e, path);
	unlink(temp); /* ours alone by its pid: only a crash leaves one */
	rc = write_temp(temp, content, mode);
	if (rc == 0 && rename(temp, path) < 0)
		rc = -errno;
	if (rc < 0) {
		unlink(temp);
		return err_set(e, -rc, "%s: cannot write: %s", path, strerror(-rc));
	}
	rc = sync_dir(folder);
	if (rc < 0)
		return err_set(e, -rc, "%s: cannot sync its folder: %s", path, strerror(-rc));
	return 0;
}

int file_replace(const char *path, struct bytes content, mode_t mode, struct err *e)
{
	CLEANUP(cleanup_freep) char *temp = NULL;

	if (asprintf(&temp, "%s-%ld.tmp", path, (long)getpid()) < 0) {
		temp = NULL;
		return err_nomem(e, path);
	}
	return replace_from(temp, path, content, mode, e);
}

int file_replace_from(const char *folder, const char *path, struct bytes content, mode_t mode,
		      struct err *e)
{
	CLEANUP(cleanup_freep) char *temp = NULL;
	const char *slash = strrchr(path, '/');

	if (asprintf(&temp, "%s/%s-%ld.tmp", folder, slash ? slash + 1 : path, (long)getpid()) <
	    0) {
		temp = NULL;
		return err_nomem(e, path);
	}
	return replace_from(temp, path, content, mode, e);
}

int make_dirs(const char *path, mode_t mode, struct err *e)
{
	CLEANUP(cleanup_freep) char *copy = strdup(path);

	if (!copy)
		return err_nomem(e, path);
	for (char *p = copy + 1; *copy; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(copy, mode) < 0 && errno != EEXIST)
			return err_set(e, errno, "%s: cannot create folder: %s", copy,
				       strerror(errno));
		*p = c;
		if (c == '\0')
			break;
	}
	return 0;
}

char *path_join(const char *a, const char *b)
{
	size_t n = strlen(a);
	char *s;

	if (asprintf(&s, "%s%s%s", a, n && a[n - 1] == '/' ? "" : "/", b) < 0)
		return NULL;
	return s;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path) < 0 && errno != ENOENT ? errno : 0;
}

int remove_tree(const char *path, struct err *e)
{
	enum { OPEN_DIRS = 16 };
	int rc = nftw(path, remove_one, OPEN_DIRS, FTW_DEPTH | FTW_PHYS);

	if (rc == -1)
		rc = errno == ENOENT ? 0 : errno;
	return rc ? err_set(e, rc, "%s: cannot remove all of it: %s", path, strerror(rc)) : 0;
}

int path_normal(const char *text, struct buf *out)
{
	size_t slashes = strspn(text, "/");
	size_t root = slashes == 2 ? 2 : slashes != 0; /* POSIX keeps exactly two */
	size_t floor = root;                           /* ".." cannot go above here */

	if (buf_append(out, "//", root) < 0)
		return -ENOMEM;
	for (text += slashes; *text; text += strspn(text, "/")) {
		size_t len = strcspn(text, "/");
		bool up = len == 2 && text[0] == '.' && text[1] == '.';

		if (len == 1 && text[0] == '.') {
			text += len;
			continue;
		}
		if (up && out->len > floor) {
			while (out->len > floor && out->p[out->len - 1] != '/')
				out->len--;
			if (out->len > floor)
				out->len--; /* the '/' before it */
		} else if (!up || !root) {
			if (out->len > root && buf_append_byte(out, '/') < 0)
				return -ENOMEM;
			if (buf_append(out, text, len) < 0)
				return -ENOMEM;
			if (up)
				floor = out->len;
		}
		text += len;
	}
	return out->len ? 0 : buf_append_str(out, ".");
}
