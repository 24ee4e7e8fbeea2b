/*
 * segment_writer.c - see segment_writer.h.
 *
 * Writing back is started as data come, so that the sync at the end has little left to do; closed
 * segments wait for it, a few at a time.
 */

#include "core/repo/segment_writer.h"

#include "core/base/io.h"
#include "core/codec/checksum.h"
#include "core/repo/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
	BUFFER = 512 * 1024,
	DIRECT = 128 * 1024,   /* a payload of this size is not copied into the buffer */
	WRITE_BACK = 16 << 20, /* bytes after which the kernel is told to begin */
	CLOSED_MAX = 4,        /* segments complete and not yet synced */
	CRC = 4,
};

static const uint8_t magic[SEGMENT_FIRST] = "BORG_SEG";

struct closed {
	int fd;
	uint32_t number;
};

struct segment_writer {
	struct segment_writer_home home;
	uint32_t number;   /* of the open segment, or the next one */
	int fd;            /* -1: none is open */
	uint64_t off;      /* where the next entry goes; 0: none is open */
	uint64_t flushed;  /* bytes of it in the file */
	uint64_t started;  /* bytes of it whose writing back has begun */
	struct buf buffer; /* from `flushed` on */
	struct closed closed[CLOSED_MAX];
	size_t closed_count;
	bool data_dirty; /* a folder in data/ may not be durable */
	bool dir_dirty;  /* a segment was made in ... */
	bool has_dir;
	uint32_t dir; /* ... this folder */
	int broken;   /* -errno of the first failure */
};

int segment_writer_new(struct segment_writer **out, const struct segment_writer_home *home,
		       uint32_t number, struct err *e)
{
	struct segment_writer *w = calloc(1, sizeof(*w));

	if (!w)
		return err_nomem(e, "segment");
	w->home = *home;
	w->number = number;
	w->fd = -1;
	*out = w;
	return 0;
}

void segment_writer_free(struct segment_writer *w)
{
	if (!w)
		return;
	if (w->fd >= 0)
		close(w->fd);
	while (w->closed_count > 0)
		close(w->closed[--w->closed_count].fd);
	buf_fini(&w->buffer);
	free(w);
}

uint32_t segment_writer_number(const struct segment_writer *w)
{
	return w->number;
}

static int fail(struct segment_writer *w, uint32_t number, int rc, const char *what,
		struct err *e)
{
	if (w->broken == 0)
		w->broken = rc;
	return err_set(e, -rc, "%s/data/%u/%u: %s: %s", w->home.path,
		       number / w->home.segments_per_dir, number, what, strerror(-rc));
}

/* --- folders --- */

static int sync_folder(const struct segment_writer *w, const char *path)
{
	CLEANUP(cleanup_closep)
	int fd = openat(w->home.dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int sync_segment_folder(struct segment_writer *w, struct err *e)
{
	char path[32];
	int rc;

	if (!w->dir_dirty)
		return 0;
	snprintf(path, sizeof(path), "data/%" PRIu32, w->dir);
	rc = sync_folder(w, path);
	if (rc < 0)
		return fail(w, w->number, rc, "cannot sync its folder", e);
	w->dir_dirty = false;
	return 0;
}

static int sync_folders(struct segment_writer *w, struct err *e)
{
	int rc = sync_segment_folder(w, e);

	if (rc < 0 || !w->data_dirty)
		return rc;
	rc = sync_folder(w, "data");
	if (rc < 0)
		return fail(w, w->number, rc, "cannot sync the folder above", e);
	w->data_dirty = false;
	return 0;
}

/* One that is there already may have been made by somebody who was killed before he synced it. */
static int make_folder(struct segment_writer *w, struct err *e)
{
	uint32_t dir = w->number / w->home.segments_per_dir;
	char path[32];
	bool made;
	int rc;

	if (w->dir_dirty && w->dir != dir) {
		rc = sync_segment_folder(w, e);
		if (rc < 0)
			return rc;
	}
	snprintf(path, sizeof(path), "data/%" PRIu32, dir);
	made = mkdirat(w->home.dirfd, path, 0777) == 0;
	if (!made && errno != EEXIST)
		return fail(w, w->number, -errno, "cannot make its folder", e);
	if (made || !w->has_dir || w->dir != dir)
		w->data_dirty = true;
	w->has_dir = true;
	w->dir = dir;
	w->dir_dirty = true;
	return 0;
}

/* --- one segment --- */

static int open_segment(struct segment_writer *w, struct err *e)
{
	char path[48];
	int rc = make_folder(w, e);

	if (rc < 0)
		return rc;
	snprintf(path, sizeof(path), "data/%" PRIu32 "/%" PRIu32,
		 w->number / w->home.segments_per_dir, w->number);
	w->fd = openat(w->home.dirfd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (w->fd < 0)
		return fail(w, w->number, -errno, "cannot create", e);
	w->buffer.len = 0;
	if (buf_append(&w->buffer, magic, sizeof(magic)) < 0)
		return fail(w, w->number, -ENOMEM, "cannot write", e);
	w->off = SEGMENT_FIRST;
	w->flushed = w->started = 0;
	return 0;
}

/* Tell the kernel to begin with what is complete, and to forget what is clean: nobody reads it. */
static void write_back(struct segment_writer *w)
{
	if (w->flushed - w->started < WRITE_BACK)
		return;
	(void)sync_file_range(w->fd, (off_t)w->started, (off_t)(w->flushed - w->started),
			      SYNC_FILE_RANGE_WRITE);
	w->started = w->flushed;
}

static int flush(struct segment_writer *w, struct err *e)
{
	int rc = write_all(w->fd, w->buffer.p, w->buffer.len);

	if (rc < 0)
		return fail(w, w->number, rc, "cannot write", e);
	w->flushed += w->buffer.len;
	w->buffer.len = 0;
	write_back(w);
	return 0;
}

static int sync_closed(struct segment_writer *w, struct err *e)
{
	while (w->closed_count > 0) {
		struct closed c = w->closed[--w->closed_count];
		int rc = fdatasync(c.fd) < 0 ? -errno : 0;

		if (close(c.fd) < 0 && rc == 0)
			rc = -errno;
		if (rc < 0)
			return fail(w, c.number, rc, "cannot sync", e);
	}
	return 0;
}

static int close_segment(struct segment_writer *w, struct err *e)
{
	int rc;

	if (w->fd < 0)
		return 0;
	rc = flush(w, e);
	if (rc == 0 && w->closed_count == CLOSED_MAX)
		rc = sync_closed(w, e);
	if (rc < 0)
		return rc;
	w->closed[w->closed_count++] = (struct closed){ w->fd, w->number };
	w->fd = -1;
	w->number++;
	w->off = 0;
	return 0;
}

/* --- entries --- */

bool segment_writer_is_full(const struct segment_writer *w, const struct chunk_id *id)
{
	return w->off > 0 && (w->off > w->home.max_segment_size || id_equal(id, &MANIFEST_ID));
}

static int make_room(struct segment_writer *w, bool new_segment, struct err *e)
{
	int rc = 0;

	if (w->broken < 0)
		return err_set(e, -w->broken, "%s: writing has failed before", w->home.path);
	if (new_segment)
		rc = close_segment(w, e);
	if (rc == 0 && w->fd < 0)
		rc = open_segment(w, e);
	return rc;
}

static size_t put_head(uint8_t head[SEGMENT_KEYED_HEAD], enum segment_tag tag,
		       const struct chunk_id *id, struct bytes payload)
{
	size_t len = id ? SEGMENT_KEYED_HEAD : SEGMENT_HEAD;
	uint32_t crc;

	put_le32(head + CRC, (uint32_t)(len + payload.len));
	head[8] = (uint8_t)tag;
	if (id)
		memcpy(head + SEGMENT_HEAD, id->b, CHUNK_ID_SIZE);
	crc = crc32_of(0, head + CRC, len - CRC);
	put_le32(head, crc32_of(crc, payload.p, payload.len));
	return len;
}

/* A large payload goes to the file from where it is. */
static int write_direct(struct segment_writer *w, struct bytes payload, struct err *e)
{
	int rc = flush(w, e);

	if (rc == 0) {
		rc = write_all(w->fd, payload.p, payload.len);
		if (rc < 0)
			return fail(w, w->number, rc, "cannot write", e);
		w->flushed += payload.len;
		write_back(w);
	}
	return rc;
}

static int append(struct segment_writer *w, enum segment_tag tag, const struct chunk_id *id,
		  struct bytes payload, struct err *e)
{
	uint8_t head[SEGMENT_KEYED_HEAD];
	size_t len = put_head(head, tag, id, payload);
	int rc = 0;

	if (buf_append(&w->buffer, head, len) < 0)
		return fail(w, w->number, -ENOMEM, "cannot write", e);
	if (payload.len >= DIRECT)
		rc = write_direct(w, payload, e);
	else if (payload.len > 0 && buf_append(&w->buffer, payload.p, payload.len) < 0)
		rc = fail(w, w->number, -ENOMEM, "cannot write", e);
	if (rc == 0 && w->buffer.len >= BUFFER)
		rc = flush(w, e);
	w->off += len + payload.len;
	return rc;
}

static int append_keyed(struct segment_writer *w, enum segment_tag tag,
			const struct chunk_id *id, struct bytes payload, struct place *at,
			struct err *e)
{
	int rc = make_room(w, segment_writer_is_full(w, id), e);

	if (rc < 0)
		return rc;
	*at = (struct place){ w->number, (uint32_t)w->off };
	return append(w, tag, id, payload, e);
}

int segment_writer_put(struct segment_writer *w, const struct chunk_id *id,
		       struct bytes payload, struct place *at, struct err *e)
{
	if (payload.len > SEGMENT_ENTRY_MAX - SEGMENT_KEYED_HEAD)
		return err_set_id(e, EFBIG, "IntegrityError",
				  "More than allowed put data [%zu > %d]", payload.len,
				  SEGMENT_ENTRY_MAX - SEGMENT_KEYED_HEAD);
	return append_keyed(w, SEGMENT_PUT, id, payload, at, e);
}

int segment_writer_delete(struct segment_writer *w, const struct chunk_id *id, struct place *at,
			  struct err *e)
{
	return append_keyed(w, SEGMENT_DELETE, id, (struct bytes){ 0 }, at, e);
}

static int sync_open(struct segment_writer *w, struct err *e)
{
	int rc;

	if (w->fd < 0)
		return 0;
	rc = flush(w, e);
	if (rc == 0 && fdatasync(w->fd) < 0)
		rc = fail(w, w->number, -errno, "cannot sync", e);
	return rc;
}

int segment_writer_commit(struct segment_writer *w, bool intermediate, uint32_t *number,
			  struct err *e)
{
	int rc = make_room(w, !intermediate && w->off > 0, e);

	if (rc == 0)
		rc = sync_closed(w, e);
	if (rc == 0 && intermediate)
		rc = sync_open(w, e);
	if (rc == 0)
		rc = sync_folders(w, e);
	if (rc < 0)
		return rc;
	*number = w->number;
	rc = append(w, SEGMENT_COMMIT, NULL, (struct bytes){ 0 }, e);
	if (rc == 0)
		rc = close_segment(w, e);
	return rc == 0 ? sync_closed(w, e) : rc;
}

int segment_writer_flush_for(struct segment_writer *w, struct place at, struct err *e)
{
	if (w->fd < 0 || at.segment != w->number || w->broken < 0)
		return 0;
	return flush(w, e);
}

int segment_writer_kept(const struct segment_writer *w, struct place at,
			const struct chunk_id *id, struct buf *scratch, struct bytes *out)
{
	const uint8_t *p;
	size_t left, len;

	if (w->broken == 0 || w->fd < 0 || at.segment != w->number || at.off < w->flushed ||
	    at.off - w->flushed + SEGMENT_KEYED_HEAD > w->buffer.len)
		return 0;
	p = w->buffer.p + (at.off - w->flushed);
	left = w->buffer.len - (size_t)(at.off - w->flushed);
	len = get_le32(p + CRC);
	if (p[8] != SEGMENT_PUT || len < SEGMENT_KEYED_HEAD || len > left ||
	    memcmp(p + SEGMENT_HEAD, id->b, CHUNK_ID_SIZE) != 0)
		return 0;
	scratch->len = 0;
	len -= SEGMENT_KEYED_HEAD;
	if (buf_append(scratch, p + SEGMENT_KEYED_HEAD, len) < 0)
		return 0;
	*out = buf_bytes(scratch);
	return 1;
}
