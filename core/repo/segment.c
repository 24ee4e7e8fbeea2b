/*
 * segment.c - see segment.h for the layout and the contract.
 *
 * Sizes are checked against the format's bounds before a byte is allocated for them: a damaged
 * length field must cost nothing.
 */

#include "core/repo/segment.h"

#include "core/base/io.h"
#include "core/codec/checksum.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CRC = 4 /* bytes */ };

struct segment {
	int fd;
	uint32_t number;
	atomic_uint refs;
};

int segment_open(struct segment **out, int fd, uint32_t number, struct err *e)
{
	CLEANUP(segment_closep) struct segment *s = malloc(sizeof(*s));
	uint8_t magic[SEGMENT_FIRST];
	int rc;

	if (!s) {
		close(fd);
		return err_nomem(e, "segment");
	}
	s->fd = fd;
	s->number = number;
	atomic_init(&s->refs, 1);
	rc = read_exact(fd, magic, sizeof(magic), 0);
	if (rc < 0 && rc != -EBADMSG)
		return err_set(e, -rc, "segment %u: cannot read magic: %s", number,
			       strerror(-rc));
	if (rc == 1 && memcmp(magic, "ATTICSEG", sizeof(magic)) == 0)
		return err_set(e, ENOTSUP, "segment %u: an attic segment", number);
	if (rc != 1 || memcmp(magic, "BORG_SEG", sizeof(magic)) != 0)
		return err_set(e, EBADMSG, "segment %u: no segment magic", number);
	*out = TAKE(s);
	return 0;
}

struct segment *segment_ref(struct segment *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void segment_close(struct segment *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	close(s->fd);
	free(s);
}

uint32_t segment_number(const struct segment *s)
{
	return s->number;
}

int segment_fd(const struct segment *s)
{
	return s->fd;
}

static int refuse(const struct segment *s, uint64_t off, int rc, const char *why, struct err *e)
{
	return e ? err_set(e, -rc, "segment %u: entry at %" PRIu64 ": %s", s->number, off, why)
		 : rc;
}

int segment_head(const struct segment *s, uint64_t off, struct bytes in,
		 struct segment_entry *out, struct err *e)
{
	uint32_t size, least, most;
	uint8_t tag;

	if (in.len < SEGMENT_HEAD)
		return refuse(s, off, -EBADMSG, "truncated header", e);
	size = get_le32(in.p + CRC);
	tag = in.p[CRC + 4];
	if (tag > SEGMENT_COMMIT)
		return refuse(s, off, -EBADMSG, "unknown tag", e);
	least = tag == SEGMENT_COMMIT ? SEGMENT_HEAD : SEGMENT_KEYED_HEAD;
	most = tag == SEGMENT_PUT ? SEGMENT_ENTRY_MAX : least;
	if (size < least || size > most)
		return refuse(s, off, -EBADMSG, "impossible size", e);
	*out = (struct segment_entry){ .tag = (enum segment_tag)tag, .size = size };
	if (tag == SEGMENT_COMMIT)
		return 0;
	if (in.len < SEGMENT_KEYED_HEAD)
		return refuse(s, off, -EBADMSG, "truncated header", e);
	memcpy(out->id.b, in.p + SEGMENT_HEAD, sizeof(out->id.b));
	return 0;
}

int segment_entry(const struct segment *s, uint64_t off, struct bytes in,
		  struct segment_entry *out, struct err *e)
{
	int rc = segment_head(s, off, in, out, e);

	if (rc < 0)
		return rc;
	if (in.len < out->size)
		return refuse(s, off, -EBADMSG, "truncated entry", e);
	if (crc32_of(0, in.p + CRC, out->size - CRC) != get_le32(in.p))
		return refuse(s, off, -EBADMSG, "checksum mismatch", e);
	if (out->tag != SEGMENT_COMMIT)
		out->payload = (struct bytes){ in.p + SEGMENT_KEYED_HEAD,
					       out->size - SEGMENT_KEYED_HEAD };
	return 0;
}

int segment_read(const struct segment *s, uint64_t off, struct buf *scratch,
		 struct segment_entry *out, struct err *e)
{
	uint8_t head[SEGMENT_KEYED_HEAD];
	ssize_t n;
	int rc;

	assert(off >= SEGMENT_FIRST); /* a caller's bug, never the disk's fault */

	n = read_at(s->fd, head, sizeof(head), off);
	if (n == 0)
		return 0;
	if (n < 0)
		return refuse(s, off, (int)n, strerror((int)-n), e);
	rc = segment_head(s, off, (struct bytes){ head, (size_t)n }, out, e);
	if (rc < 0)
		return rc;
	if (buf_resize(scratch, out->size) < 0)
		return refuse(s, off, -ENOMEM, "out of memory", e);
	n = read_at(s->fd, scratch->p, out->size, off);
	if (n < 0)
		return refuse(s, off, (int)n, strerror((int)-n), e);
	rc = segment_entry(s, off, (struct bytes){ scratch->p, (size_t)n }, out, e);
	return rc < 0 ? rc : 1;
}

/* Have `len` bytes at off in the window, or what there is of them. */
static int fill_window(const struct segment *s, struct segment_walk *w, uint64_t off,
		       size_t len)
{
	ssize_t n;

	if (off >= w->window_off && off + len <= w->window_off + w->window_len)
		return 0;
	n = read_at(s->fd, w->window, sizeof(w->window), off);
	if (n < 0)
		return (int)n;
	w->window_off = off;
	w->window_len = (size_t)n;
	return 0;
}

int segment_next_head(const struct segment *s, struct segment_walk *w, uint64_t *off,
		      uint64_t file_size, struct segment_entry *out, struct err *e)
{
	struct bytes in;
	int rc;

	if (*off == file_size)
		return 0;
	rc = fill_window(s, w, *off, SEGMENT_KEYED_HEAD);
	if (rc < 0)
		return refuse(s, *off, rc, strerror(-rc), e);
	in = (struct bytes){ w->window + (*off - w->window_off),
			     w->window_len - (size_t)(*off - w->window_off) };
	rc = segment_head(s, *off, in, out, e);
	if (rc < 0)
		return rc;
	if (out->size > file_size - *off)
		return refuse(s, *off, -EBADMSG, "truncated entry", e);
	*off += out->size;
	return 1;
}
