/*
 * create_content.c - a file's bytes, cut into chunks where they lie.
 *
 * Files are read into slabs of the pipeline one behind the other, so that small ones share a slab
 * and nothing is copied; only a chunk that a slab's end would cut is moved to the next slab.
 */

#include "core/archive/create_internal.h"

#include "core/platform/sparse.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum {
	READ_SIZE = 1 << 20,
	ROOM_MIN = 64 * 1024, /* bytes left in a slab for which no read is made */
};

struct reading {
	struct create *c;
	const struct item *it;
	const char *path, *name;
	const struct create_content *content; /* NULL: fd's */
	int fd;
	bool seekable;
	struct chunker_scan scan;
	size_t start; /* of the present chunk in the slab; it goes to c->slab_used */
};

/* A slab with room behind the present chunk's bytes, which may move. */
static int make_room(struct reading *r, struct err *e)
{
	struct create *c = r->c;
	size_t part = c->slab_used - r->start;
	struct put_slab *next;

	if (c->slab && c->slab->cap - c->slab_used >= ROOM_MIN)
		return 0;
	next = put_slab_take(c->put);
	if (!next)
		return put_failure(c->put, e);
	if (part)
		memcpy(next->p, c->slab->p + r->start, part);
	if (c->slab)
		put_slab_release(c->put, c->slab);
	c->slab = next;
	c->slab_used = part;
	r->start = 0;
	return 0;
}

/* Give away every chunk that is complete. */
static int cut(struct reading *r, bool at_end, struct err *e)
{
	struct create *c = r->c;
	size_t len;

	for (;;) {
		struct bytes data = { c->slab->p + r->start, c->slab_used - r->start };
		int rc;

		len = chunker_cut(c->chunker, &r->scan, data, at_end);
		if (len == 0)
			return 0;
		rc = archive_writer_chunk(c->writer, c->slab, (struct bytes){ data.p, len }, e);
		if (rc < 0)
			return rc;
		r->start += len;
		if (c->options.step) {
			rc = c->options.step(c->options.arg, r->path, true, e);
			if (rc < 0)
				return rc;
			c->stopped |= rc != 0;
		}
	}
}

/* Up to `limit` bytes from `off`, or from where the pipe is.  The count; 0 at the end; -errno. */
static ssize_t fill(struct reading *r, off_t off, size_t limit, struct err *e)
{
	struct create *c = r->c;
	size_t room = c->slab->cap - c->slab_used, want = room < READ_SIZE ? room : READ_SIZE;
	ssize_t n;

	if (want > limit)
		want = limit;
	if (r->content) {
		n = r->content->read(r->content->arg, c->slab->p + c->slab_used, want, e);
		c->slab_used += n > 0 ? (size_t)n : 0;
		return n;
	}
	do
		n = r->seekable ? pread(r->fd, c->slab->p + c->slab_used, want, off)
				: read(r->fd, c->slab->p + c->slab_used, want);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		c->slab_used += (size_t)n;
	return n < 0 ? -errno : n;
}

/* A file that cannot be read to its end is not archived. */
static int give_up(struct reading *r, int code, struct err *e)
{
	int rc = archive_writer_drop_chunks(r->c->writer, e);

	r->c->slab_used = r->start;
	return rc < 0 ? rc : create_file_failed(r->c, r->path, "read", code, r->name);
}

/* The user has had enough: what was read is in a checkpoint's part. */
static int stop(struct reading *r, struct err *e)
{
	int rc = archive_writer_drop_chunks(r->c->writer, e);

	r->c->slab_used = r->start;
	return rc < 0 ? rc : CREATE_FILE_FAILED;
}

/* The bytes from `off` to `end`, or to the end of the file where that comes first. */
static int read_range(struct reading *r, off_t off, off_t end, struct err *e)
{
	struct create *c = r->c;

	for (;;) {
		size_t asked = end - off > READ_SIZE ? READ_SIZE : (size_t)(end - off);
		ssize_t n = 0;
		int rc = make_room(r, e);

		if (rc < 0)
			return rc;
		n = off < end ? fill(r, off, asked, e) : 0;
		if (n < 0)
			return r->content ? (int)n : give_up(r, (int)-n, e);
		off += n;
		rc = cut(r, n == 0, e);
		if (rc < 0 || n == 0)
			return rc;
		if (c->stopped)
			return stop(r, e);
	}
}

static int read_all(struct reading *r, struct err *e)
{
	return read_range(r, 0, INT64_MAX, e);
}

/* --- sparse files --- */

/* A block of zeros: stored once, then named. */
static int give_zeros(struct reading *r, size_t len, struct err *e)
{
	struct create *c = r->c;
	int rc;

	if (c->zero.size == len)
		return archive_writer_known_chunk(c->writer, &c->zero, e);
	if (c->zeros.len < len) {
		size_t before = c->zeros.len;

		if (buf_resize(&c->zeros, len) < 0)
			return err_nomem(e, "zeros");
		memset(c->zeros.p + before, 0, len - before);
	}
	rc = archive_writer_stored_chunk(c->writer, (struct bytes){ c->zeros.p, len }, &c->zero,
					 e);
	return rc < 0 ? rc : archive_writer_known_chunk(c->writer, &c->zero, e);
}

/* Holes are cut into blocks like data, and not read. */
static int give_hole(struct reading *r, off_t len, struct err *e)
{
	off_t block = (off_t)r->c->options.chunker.block_size;
	int rc = 0;

	for (; rc == 0 && len > 0; len -= block)
		rc = give_zeros(r, (size_t)(len < block ? len : block), e);
	return rc;
}

static int read_sparse(struct reading *r, off_t size, struct err *e)
{
	off_t header = (off_t)r->c->options.chunker.header_size;
	off_t at = header < size ? header : size;
	struct sparse_range range;
	int rc = at > 0 ? read_range(r, 0, at, e) : 0;

	while (rc == 0 && sparse_next(r->fd, &at, size, &range) == 1)
		rc = range.is_hole ? give_hole(r, range.len, e)
				   : read_range(r, range.off, range.off + range.len, e);
	return rc;
}

int create_write_part(struct create *c, struct err *e)
{
	CLEANUP(buf_fini) struct buf path = BUF_INIT;
	struct item part = *c->reading;
	char suffix[32];

	snprintf(suffix, sizeof(suffix), ".borg_part_%u", ++c->parts);
	if (buf_append(&path, part.path.p, part.path.len) < 0 ||
	    buf_append_str(&path, suffix) < 0)
		return err_nomem(e, "part file");
	part.path = buf_bytes(&path);
	part.part = c->parts;
	part.has |= ITEM_PART;
	return archive_writer_part(c->writer, &part, &c->part_from, e);
}

static void begin(struct create *c, const struct item *it)
{
	c->reading = it;
	c->parts = 0;
	c->part_from = 0;
}

/* Once there are parts, all of the file is in parts. */
static int finish(struct create *c, int rc, struct err *e)
{
	if (rc == 0 && c->parts > 0)
		rc = create_write_part(c, e);
	c->reading = NULL;
	return rc;
}

int create_read(struct create *c, int fd, const char *path, const char *name,
		const struct node *n, const struct item *it, struct err *e)
{
	struct reading r = {
		.c = c,
		.it = it,
		.path = path,
		.name = name,
		.fd = fd,
		.seekable = n && S_ISREG(n->st.st_mode),
		.start = c->slab_used,
	};

	begin(c, it);
	if (r.seekable && c->options.sparse && c->options.chunker.algorithm == CHUNKER_FIXED)
		return finish(c, read_sparse(&r, n->st.st_size, e), e);
	return finish(c, read_all(&r, e), e);
}

int create_read_content(struct create *c, const struct create_content *content,
			const char *path, const struct item *it, struct err *e)
{
	struct reading r = {
		.c = c,
		.it = it,
		.path = path,
		.name = path,
		.content = content,
		.fd = -1,
		.start = c->slab_used,
	};

	begin(c, it);
	return finish(c, read_all(&r, e), e);
}
