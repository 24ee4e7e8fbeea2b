/*
 * tar_in.c - see tar_in.h.
 *
 * Headers of the pax kind are UTF-8 by definition and converted by libarchive to the locale's
 * encoding, so the thread gets one that is UTF-8 too.
 */

#include "core/archive/tar_in.h"

#include "core/archive/collect.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum { BUFFER = 1 << 18 };

struct tar_in {
	struct archive *archive;
	struct archive_entry *entry; /* the archive's */
	locale_t locale, before;
	struct buf name;
	uint64_t size, at; /* of the entry's content */
};

static int failed(const struct tar_in *t, struct err *e)
{
	const char *why = archive_error_string(t->archive);
	int code = archive_errno(t->archive);

	/* Those two are what libarchive itself objects to. */
	if (code > 0 && code != EILSEQ && code != EINVAL)
		why = strerror(code);
	else
		code = EBADMSG; /* a stream that is no tar, or not whole */
	return err_set(e, code, "cannot read the tar stream: %s", why ? why : "unknown error");
}

int tar_in_open(struct tar_in **out, int fd, bool ignore_zeros, struct err *e)
{
	CLEANUP(tar_in_freep) struct tar_in *t = calloc(1, sizeof(*t));

	if (!t)
		return err_nomem(e, "tar");
	t->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	t->before = t->locale ? uselocale(t->locale) : (locale_t)0;
	t->archive = archive_read_new();
	if (!t->archive)
		return err_nomem(e, "tar");
	if (archive_read_support_format_tar(t->archive) != ARCHIVE_OK ||
	    (ignore_zeros &&
	     archive_read_set_option(t->archive, "tar", "read_concatenated_archives", "1") !=
		     ARCHIVE_OK) ||
	    archive_read_open_fd(t->archive, fd, BUFFER) != ARCHIVE_OK)
		return failed(t, e);
	*out = TAKE(t);
	return 0;
}

void tar_in_free(struct tar_in *t)
{
	if (!t)
		return;
	archive_read_free(t->archive);
	buf_fini(&t->name);
	if (t->locale) {
		uselocale(t->before);
		freelocale(t->locale);
	}
	free(t);
}

/* A text of an entry: as it stands, else (where it is not in the locale) in UTF-8. */
static const char *text_of(const char *raw, const char *utf8)
{
	return raw ? raw : utf8;
}

static struct bytes text_bytes(const char *text)
{
	return text ? bytes_str(text) : (struct bytes){ 0 };
}

/* A folder's name may have slashes behind it. */
static struct bytes without_slash(const char *name)
{
	struct bytes path = bytes_str(name);

	while (path.len > 1 && path.p[path.len - 1] == '/')
		path.len--;
	return path;
}

static int take_name(struct tar_in *t, struct tar_entry *out, struct err *e)
{
	const char *name = text_of(archive_entry_pathname(t->entry),
				   archive_entry_pathname_utf8(t->entry));
	struct bytes trimmed;

	if (!name)
		return err_set(e, EILSEQ, "cannot read the tar stream: a name without text");
	trimmed = without_slash(name);
	t->name.len = 0;
	if (buf_append(&t->name, trimmed.p, trimmed.len) < 0 ||
	    buf_append_byte(&t->name, 0) < 0)
		return err_nomem(e, "tar");
	out->name = (const char *)t->name.p;
	out->item.path = collect_stored_path(bytes_str(out->name));
	return 0;
}

static char letter_of(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG: return 'A';
	case S_IFDIR: return 'd';
	case S_IFLNK: return 's';
	case S_IFCHR: return 'c';
	case S_IFBLK: return 'b';
	case S_IFIFO: return 'f';
	default: return 'E';
	}
}

static uint32_t id_of(la_int64_t id)
{
	return id < 0 || id > UINT32_MAX ? 0 : (uint32_t)id;
}

static void take_owner(struct archive_entry *entry, struct item *it)
{
	it->uid = id_of(archive_entry_uid(entry));
	it->gid = id_of(archive_entry_gid(entry));
	it->user = text_bytes(
		text_of(archive_entry_uname(entry), archive_entry_uname_utf8(entry)));
	it->group = text_bytes(
		text_of(archive_entry_gname(entry), archive_entry_gname_utf8(entry)));
	it->has |= (it->user.len ? ITEM_USER : 0) | (it->group.len ? ITEM_GROUP : 0);
}

static void take_source(struct tar_entry *out, const char *target)
{
	out->item.source = text_bytes(target);
	out->item.has |= ITEM_SOURCE;
}

static void take_kind(struct archive_entry *entry, struct tar_entry *out)
{
	const char *link =
		text_of(archive_entry_hardlink(entry), archive_entry_hardlink_utf8(entry));
	struct item *it = &out->item;

	if (link) {
		out->letter = 'h';
		it->mode = S_IFREG | (it->mode & 07777);
		it->source = collect_stored_path(without_slash(link));
		it->has |= ITEM_SOURCE;
	} else if (S_ISLNK(it->mode)) {
		take_source(out, text_of(archive_entry_symlink(entry),
					 archive_entry_symlink_utf8(entry)));
	} else if (S_ISCHR(it->mode) || S_ISBLK(it->mode)) {
		it->rdev = archive_entry_rdev(entry);
		it->has |= ITEM_RDEV;
	}
	out->has_content = out->letter == 'A';
}

static int take_entry(struct tar_in *t, struct tar_entry *out, struct err *e)
{
	struct archive_entry *entry = t->entry;
	struct timespec mtime = { archive_entry_mtime(entry), archive_entry_mtime_nsec(entry) };
	uint32_t mode = archive_entry_mode(entry);

	int rc;

	*out = (struct tar_entry){ 0 };
	rc = take_name(t, out, e);
	if (rc < 0)
		return rc;
	if (!(mode & S_IFMT) && archive_entry_hardlink(entry))
		mode |= S_IFREG;
	out->letter = letter_of(mode);
	out->item.mode = mode;
	out->item.mtime_ns = collect_time(&mtime);
	take_owner(entry, &out->item);
	take_kind(entry, out);
	t->size = out->has_content ? (uint64_t)archive_entry_size(entry) : 0;
	t->at = 0;
	return 1;
}

int tar_in_next(struct tar_in *t, struct tar_entry *out, struct err *e)
{
	int rc = archive_read_next_header(t->archive, &t->entry);

	if (rc == ARCHIVE_EOF)
		return 0;
	/* A warning is about an attribute that is not taken. */
	if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
		return failed(t, e);
	return take_entry(t, out, e);
}

ssize_t tar_in_read(struct tar_in *t, uint8_t *p, size_t len, struct err *e)
{
	uint64_t left = t->size - t->at;
	la_ssize_t n;

	if (len > left)
		len = (size_t)left;
	if (len == 0)
		return 0;
	n = archive_read_data(t->archive, p, len);
	if (n < 0)
		return failed(t, e);
	if (n == 0) { /* a hole at the end of a sparse file */
		memset(p, 0, len);
		n = (la_ssize_t)len;
	}
	t->at += (uint64_t)n;
	return n;
}
