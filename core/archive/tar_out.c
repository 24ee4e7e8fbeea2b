/* tar_out.c - see tar_out.h: libarchive's GNU writer, with buffers larger than a tape's block. */

#include "core/archive/tar_out.h"

#include "core/base/io.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum { BUFFER = 64 * 10240, RECORD = 10240 /* the stream ends at a multiple of it */ };

struct tar_out {
	struct archive *archive;
	struct archive_entry *entry;
	struct buf text; /* a string for libarchive */
	int fd;
	int error; /* of writing to fd */
	bool closed;
};

static la_ssize_t write_block(struct archive *a, void *arg, const void *p, size_t len)
{
	struct tar_out *t = arg;
	int rc = t->closed ? -ECANCELED : write_all(t->fd, p, len);

	if (rc == 0)
		return (la_ssize_t)len;
	t->error = -rc;
	archive_set_error(a, -rc, "%s", strerror(-rc));
	return -1;
}

static int failed(const struct tar_out *t, struct err *e)
{
	const char *why = archive_error_string(t->archive);
	int code = t->error ? t->error : archive_errno(t->archive);

	if (code == EPIPE)
		return err_set(e, EPIPE, "the reader of the tar stream has closed it");
	return err_set(e, code > 0 ? code : EIO, "cannot write the tar stream: %s",
		       why ? why : "unknown error");
}

int tar_out_open(struct tar_out **out, int fd, struct err *e)
{
	CLEANUP(tar_out_freep) struct tar_out *t = calloc(1, sizeof(*t));

	if (!t)
		return err_nomem(e, "tar");
	t->fd = fd;
	t->archive = archive_write_new();
	t->entry = archive_entry_new();
	if (!t->archive || !t->entry)
		return err_nomem(e, "tar");
	if (archive_write_set_format_gnutar(t->archive) != ARCHIVE_OK ||
	    archive_write_set_bytes_per_block(t->archive, BUFFER) != ARCHIVE_OK ||
	    archive_write_set_bytes_in_last_block(t->archive, RECORD) != ARCHIVE_OK ||
	    archive_write_open(t->archive, t, NULL, write_block, NULL) != ARCHIVE_OK)
		return failed(t, e);
	*out = TAKE(t);
	return 0;
}

void tar_out_free(struct tar_out *t)
{
	if (!t)
		return;
	archive_entry_free(t->entry);
	/* It would write an end, which is refused; archive_write_fail() would leak its buffers. */
	t->closed = true;
	archive_write_free(t->archive);
	buf_fini(&t->text);
	free(t);
}

typedef void set_text(struct archive_entry *entry, const char *text);

static int give_text(struct tar_out *t, set_text *set, struct bytes text)
{
	t->text.len = 0;
	if (buf_append(&t->text, text.p, text.len) < 0 || buf_append_byte(&t->text, 0) < 0)
		return -ENOMEM;
	set(t->entry, (const char *)t->text.p);
	return 0;
}

static bool tar_has(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO: return true;
	default: return false;
	}
}

static int describe(struct tar_out *t, const struct item *it, struct bytes path,
		    struct bytes link)
{
	int rc = give_text(t, archive_entry_copy_pathname, path);

	archive_entry_set_mode(t->entry, (__LA_MODE_T)it->mode);
	archive_entry_set_uid(t->entry, it->uid);
	archive_entry_set_gid(t->entry, it->gid);
	archive_entry_set_mtime(t->entry, (time_t)(it->mtime_ns / 1000000000), 0);
	if (rc == 0 && it->has & ITEM_USER)
		rc = give_text(t, archive_entry_copy_uname, it->user);
	if (rc == 0 && it->has & ITEM_GROUP)
		rc = give_text(t, archive_entry_copy_gname, it->group);
	if (rc == 0 && S_ISLNK(it->mode))
		rc = give_text(t, archive_entry_copy_symlink, it->source);
	if (rc == 0 && link.len)
		rc = give_text(t, archive_entry_copy_hardlink, link);
	if (S_ISCHR(it->mode) || S_ISBLK(it->mode))
		archive_entry_set_rdev(t->entry, (dev_t)it->rdev);
	return rc;
}

int tar_out_item(struct tar_out *t, const struct item *it, struct bytes path, struct bytes link,
		 uint64_t size, struct err *e)
{
	if (!tar_has(it->mode))
		return 1;
	archive_entry_clear(t->entry);
	if (describe(t, it, path, link) < 0)
		return err_nomem(e, "tar");
	archive_entry_set_size(t->entry, S_ISREG(it->mode) ? (la_int64_t)size : 0);
	if (archive_write_header(t->archive, t->entry) < ARCHIVE_WARN)
		return failed(t, e);
	return 0;
}

int tar_out_content(struct tar_out *t, const uint8_t *p, size_t len, struct err *e)
{
	if (archive_write_data(t->archive, p, len) != (la_ssize_t)len)
		return failed(t, e);
	return 0;
}

int tar_out_finish(struct tar_out *t, struct err *e)
{
	return archive_write_close(t->archive) == ARCHIVE_OK ? 0 : failed(t, e);
}
