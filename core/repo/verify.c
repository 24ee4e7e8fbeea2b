/*
 * verify.c - see verify.h.
 *
 * Order and texts of the findings are Borg's; so a script that reads them finds the same.
 */

#include "core/repo/verify.h"

#include "core/base/io.h"
#include "core/codec/checksum.h"
#include "core/repo/files.h"
#include "core/repo/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	WINDOW = 1 << 20, /* bytes read at once */
	CRC = 4,          /* bytes of the checksum, which it does not cover */
};

static const uint8_t magic[] = "BORG_SEG";

/* A file seen through a window that moves forward. */
struct view {
	const struct snapshot_home *home;
	uint32_t number;
	int fd;
	uint64_t size;
	struct buf window;
	uint64_t at; /* of the window in the file */
};

static void view_fini(struct view *v)
{
	cleanup_closep(&v->fd);
	buf_fini(&v->window);
}

static int view_open(struct view *v, const struct snapshot_home *home, uint32_t number,
		     struct err *e)
{
	struct stat st;

	*v = (struct view){ .home = home, .number = number };
	v->fd = files_open_segment(home->dirfd, home->segments_per_dir, number);
	if (v->fd < 0 || fstat(v->fd, &st) < 0)
		return err_set(e, v->fd < 0 ? -v->fd : errno, "segment %" PRIu32 ": %s", number,
			       strerror(v->fd < 0 ? -v->fd : errno));
	if (!S_ISREG(st.st_mode))
		return err_set(e, EBADMSG, "segment %" PRIu32 " is not a file", number);
	v->size = (uint64_t)st.st_size;
	(void)posix_fadvise(v->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	return 0;
}

/* The bytes from off on, `len` of them or what the file has left.  They are valid until the next
 * call. */
static int view_bytes(struct view *v, uint64_t off, size_t len, struct bytes *out,
		      struct err *e)
{
	uint64_t end = v->at + v->window.len;
	ssize_t n;

	if (len > v->size - off)
		len = (size_t)(v->size - off);
	if (off < v->at || off + len > end) {
		if (buf_resize(&v->window, len > WINDOW ? len : WINDOW) < 0)
			return err_nomem(e, "segment");
		n = read_at(v->fd, v->window.p, v->window.len, off);
		v->window.len = n < 0 ? 0 : (size_t)n;
		if (n < 0)
			return err_set(e, (int)-n, "segment %" PRIu32 ": %s", v->number,
				       strerror((int)-n));
		v->at = off;
	}
	*out = (struct bytes){ v->window.p + (off - v->at),
			       v->window.len - (size_t)(off - v->at) };
	return 0;
}

/* --- verifying --- */

#define SAY(v, off, e, what, ...)                                                              \
	err_set(e, EBADMSG,                                                                    \
		"Data integrity error: " what " [segment %" PRIu32 ", offset %" PRIu64 "]",    \
		##__VA_ARGS__, (v)->number, off)

static int short_read(const struct view *v, uint64_t off, uint32_t expected, uint64_t got,
		      struct err *e)
{
	return err_set(e, EBADMSG,
		       "Data integrity error: Segment entry data short read [segment %" PRIu32
		       ", offset %" PRIu64 "]: expected %" PRIu32 ", got %" PRIu64 " bytes",
		       v->number, off, expected, got);
}

static int check_size(const struct view *v, uint64_t off, uint32_t size, struct err *e)
{
	if (size > SEGMENT_ENTRY_MAX)
		return SAY(v, off, e, "Invalid segment entry size %" PRIu32 " - too big", size);
	if (size < SEGMENT_HEAD)
		return SAY(v, off, e, "Invalid segment entry size %" PRIu32 " - too small",
			   size);
	if (size > v->size - off)
		return short_read(v, off, size - SEGMENT_HEAD, v->size - off - SEGMENT_HEAD, e);
	return 0;
}

/* The checksum of the entry's bytes, window by window. */
static int checksum(struct view *v, uint64_t off, uint32_t size, uint32_t *crc, struct err *e)
{
	uint64_t end = off + size;
	struct bytes b;

	*crc = 0;
	for (off += CRC; off < end; off += b.len) {
		int rc = view_bytes(v, off, 1, &b, e);

		if (rc < 0)
			return rc;
		if (b.len == 0)
			return short_read(v, off, size, 0, e); /* it shrinks under us */
		if (b.len > end - off)
			b.len = (size_t)(end - off);
		*crc = crc32_of(*crc, b.p, b.len);
	}
	return 0;
}

static int check_tag(const struct view *v, uint64_t off, uint8_t tag, uint32_t size,
		     struct err *e)
{
	if (tag > SEGMENT_COMMIT)
		return SAY(v, off, e,
			   "Invalid segment entry header, did not get acceptable tag");
	if (tag != SEGMENT_COMMIT && size < SEGMENT_KEYED_HEAD)
		return SAY(v, off, e, "Invalid segment entry size %" PRIu32 " - too small",
			   size);
	if (tag != SEGMENT_PUT &&
	    size > (tag == SEGMENT_COMMIT ? SEGMENT_HEAD : SEGMENT_KEYED_HEAD))
		return SAY(v, off, e, "Invalid segment entry size %" PRIu32 " - too big", size);
	return 0;
}

static int verify_entry(struct view *v, uint64_t *off, struct err *e)
{
	uint32_t expected, size, crc;
	struct bytes head;
	uint8_t tag;
	int rc = view_bytes(v, *off, SEGMENT_HEAD, &head, e);

	if (rc < 0)
		return rc;
	if (head.len < SEGMENT_HEAD)
		return err_set(e, EBADMSG,
			       "Data integrity error: Invalid segment entry header [segment "
			       "%" PRIu32 ", offset %" PRIu64
			       "]: unpack requires a buffer of 9 bytes",
			       v->number, *off);
	expected = get_le32(head.p);
	size = get_le32(head.p + CRC);
	tag = head.p[CRC + 4];
	rc = check_size(v, *off, size, e);
	if (rc == 0)
		rc = checksum(v, *off, size, &crc, e);
	if (rc == 0 && crc != expected)
		rc = SAY(v, *off, e, "Segment entry checksum mismatch");
	if (rc == 0)
		rc = check_tag(v, *off, tag, size, e);
	*off += size;
	return rc;
}

static int verify_all(struct view *v, struct err *e)
{
	uint64_t off = SEGMENT_FIRST;
	struct bytes start;
	int rc = view_bytes(v, 0, SEGMENT_FIRST, &start, e);

	if (rc == 0 &&
	    (start.len < SEGMENT_FIRST || memcmp(start.p, magic, SEGMENT_FIRST) != 0))
		return SAY(v, (uint64_t)0, e, "Invalid segment magic");
	while (rc == 0 && off < v->size)
		rc = verify_entry(v, &off, e);
	return rc;
}

int verify_segment(const struct snapshot_home *home, uint32_t number, struct err *e)
{
	struct view v;
	int rc = view_open(&v, home, number, e);

	if (rc == 0)
		rc = verify_all(&v, e);
	view_fini(&v);
	return rc;
}

/* --- saving what there is --- */

/* The entry that begins here, empty where none does. */
static int entry_here(struct view *v, uint64_t off, struct bytes *entry, struct err *e)
{
	struct segment_entry head;
	struct bytes in;
	int rc = view_bytes(v, off, SEGMENT_KEYED_HEAD, &in, e);

	*entry = (struct bytes){ 0 };
	if (rc < 0 || in.len < SEGMENT_HEAD)
		return rc;
	if (segment_head(NULL, off, in, &head, NULL) < 0 || head.size > v->size - off)
		return 0;
	rc = view_bytes(v, off, head.size, &in, e);
	if (rc < 0 || in.len < head.size)
		return rc;
	if (crc32_of(0, in.p + CRC, head.size - CRC) == get_le32(in.p))
		*entry = (struct bytes){ in.p, head.size };
	return 0;
}

static int copy_entries(struct view *v, int to, struct err *e)
{
	int rc = write_all(to, magic, SEGMENT_FIRST);

	for (uint64_t off = 0; rc == 0 && off < v->size;) {
		struct bytes entry;

		rc = entry_here(v, off, &entry, e);
		if (rc < 0)
			return rc;
		rc = entry.len ? write_all(to, entry.p, entry.len) : 0;
		off += entry.len ? entry.len : 1;
	}
	if (rc == 0 && fsync(to) < 0)
		rc = -errno;
	return rc < 0 ? err_set(e, -rc, "segment %" PRIu32 ": cannot write: %s", v->number,
				strerror(-rc))
		      : 0;
}

static int replace(struct view *v, const char *path, char *temp, struct err *e)
{
	CLEANUP(cleanup_closep) int folder = -1;
	int rc = 0;

	if (renameat(v->home->dirfd, temp, v->home->dirfd, path) < 0)
		return err_set(e, errno, "%s/%s: %s", v->home->path, path, strerror(errno));
	*strrchr(temp, '/') = '\0'; /* its folder */
	folder = openat(v->home->dirfd, temp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0 || fsync(folder) < 0)
		rc = err_set(e, errno, "%s/%s: %s", v->home->path, temp, strerror(errno));
	return rc;
}

static int recover_view(struct view *v, struct err *e)
{
	CLEANUP(cleanup_closep) int to = -1;
	char path[48], temp[56];
	int rc;

	snprintf(path, sizeof(path), "data/%" PRIu32 "/%" PRIu32,
		 v->number / v->home->segments_per_dir, v->number);
	snprintf(temp, sizeof(temp), "%s.tmp", path);
	to = openat(v->home->dirfd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (to < 0)
		return err_set(e, errno, "%s/%s: %s", v->home->path, temp, strerror(errno));
	rc = copy_entries(v, to, e);
	if (rc == 0)
		return replace(v, path, temp, e);
	(void)unlinkat(v->home->dirfd, temp, 0);
	return rc;
}

int verify_recover(const struct snapshot_home *home, uint32_t number, struct err *e)
{
	struct view v;
	int rc = view_open(&v, home, number, e);

	if (rc == 0)
		rc = recover_view(&v, e);
	view_fini(&v);
	return rc;
}
