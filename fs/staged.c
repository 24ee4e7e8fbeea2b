/*
 * staged.c - writing to one content; see ingest.h, and ingest_internal.h for the invariants.
 *
 * Bytes behind the end go into the tail, others into the spill (staged_spill.c), chunks in as references
 * (staged_copy.c).  All of it goes into the map by content_place() (staged_map.c).
 */

#include "fs/ingest_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t zeros[64 << 10];

/* --- how it is stored --- */

void staged_compress(struct stage_content *c, uint8_t compression)
{
	c->compression = compression;
}

int staged_rechunk(struct stage_content *c, uint8_t chunking, bool may_wait)
{
	int rc = content_enter(c, may_wait);

	if (rc < 0)
		return rc;
	if (c->size == 0)
		c->chunking = chunking;
	content_leave(c);
	return 0;
}

/* --- bytes in --- */

int content_failed(const struct stage_content *c, struct err *e)
{
	if (!c->failed)
		return 0;
	return err_set(e, c->failed, "file content was lost: %s", strerror(c->failed));
}

/* Are all bytes in extents, up to a cut of our own? */
static bool ends_at_cut(struct stage_content *c)
{
	struct extent x;

	return c->size == 0 ||
	       (c->active->dirty == UINT64_MAX && extents_at(&c->extents, c->size - 1, &x) &&
		extent_is_whole(&x) && x.cut == CUT_OWN);
}

/* The tail begins at the end of the extents. */
static void begin_tail(struct stage_content *c)
{
	struct active *a = c->active;

	run_rescan(&a->tail, c->size);
	a->synced = ends_at_cut(c);
	if (!a->synced)
		content_touch(c, c->size, false);
}

static bool is_over(struct ingest *in, size_t n)
{
	bool over;

	mutex_lock(&in->lock);
	over = in->tail_bytes + n > in->memory;
	mutex_unlock(&in->lock);
	return over;
}

/* Room in the tail for n bytes more. */
static int drain_tail(struct stage_content *c, unsigned how, struct err *e)
{
	int rc = -ENOTCONN;

	if (ingest_takes(c, how)) {
		if (c->active->synced)
			rc = content_chunk_tail(c, false, how, e);
		else if (how & GIVE_WAIT)
			rc = content_advance(c, e);
		else
			rc = -EAGAIN;
	}
	if (rc != -ENOTCONN)
		return rc;
	return how & GIVE_WAIT ? content_spill_tail(c, e) : -EAGAIN;
}

static int add_to_tail(struct stage_content *c, struct bytes data, struct err *e)
{
	struct run *t = &c->active->tail;
	int rc;

	if (t->len == 0)
		begin_tail(c);
	else if (t->len < chunking_of(c)->reach)
		content_touch(c, c->size, false);
	rc = run_reserve(c, t, data.len, e);
	if (rc < 0)
		return rc;
	memcpy(t->block->p + t->start + t->len, data.p, data.len);
	t->len += data.len;
	c->size += data.len;
	return 0;
}

/* Chunks that are complete go at once, where that is possible. */
static int chunk_tail(struct stage_content *c, unsigned how, struct err *e)
{
	int rc;

	if (!c->active->synced || !ingest_takes(c, how))
		return 0;
	rc = content_chunk_tail(c, false, how, e);
	return rc == -EAGAIN || rc == -ENOTCONN ? 0 : rc;
}

static int append_piece(struct stage_content *c, struct bytes data, unsigned how, struct err *e)
{
	struct ingest *in = c->in;
	int rc = 0;

	if (is_over(in, data.len)) {
		rc = how & GIVE_WAIT ? ingest_relieve(in, data.len, e) : -EAGAIN;
		/* Then there is no memory but our own. */
		if (rc == 0)
			rc = content_spill_tail(c, e);
	}
	if (rc >= 0 && tail_len(c) + data.len > chunking_of(c)->tail_max)
		rc = drain_tail(c, how, e);
	if (rc >= 0)
		rc = add_to_tail(c, data, e);
	return rc < 0 ? rc : chunk_tail(c, how, e);
}

static int append(struct stage_content *c, struct bytes data, unsigned how, struct err *e)
{
	int rc = 0;

	while (rc == 0 && data.len > 0) {
		struct bytes part = { data.p, data.len < PIECE ? data.len : PIECE };

		rc = append_piece(c, part, how, e);
		data.p += part.len;
		data.len -= part.len;
		/* What follows cannot be given back any more. */
		if (data.len > 0)
			how |= GIVE_WAIT;
	}
	return rc;
}

/* Bytes [off, off + len) of the tail change to data, or to zeros (p NULL). */
static void change_tail(struct stage_content *c, uint64_t off, struct bytes data)
{
	struct run *t = &c->active->tail;
	uint8_t *at = t->block->p + t->start + (off - tail_at(c));

	content_touch(c, off, false);
	if (data.p)
		memcpy(at, data.p, data.len);
	else
		memset(at, 0, data.len);
	run_rescan(t, tail_at(c));
}

/* The file ends at `size`, further on than now. */
int content_extend(struct stage_content *c, uint64_t size, unsigned how, struct err *e)
{
	struct extent x = { .kind = EXTENT_HOLE };
	int rc;

	if (tail_len(c) > 0 && size - c->size <= GAP_ZEROS)
		return append(c, (struct bytes){ zeros, (size_t)(size - c->size) }, how, e);
	if (tail_len(c) > 0 && !(how & GIVE_WAIT))
		return -EAGAIN;
	rc = content_spill_tail(c, e);
	if (rc < 0)
		return rc;
	content_touch(c, c->size, false);
	content_taint(c, c->size);
	x.off = c->size;
	x.len = size - c->size;
	rc = content_place(c, &x, e);
	if (rc == 0)
		c->size = size;
	return rc;
}

/*
 * A write leaves a gap behind the end.  Where the bytes stream through the chunker they go on doing so,
 * with zeros: what is copied with its holes would all go through the spill else.
 */
static int fill_gap(struct stage_content *c, uint64_t to, unsigned how, struct err *e)
{
	bool streams = tail_len(c) > 0 ? c->active->synced : ends_at_cut(c);
	int rc = 0;

	if (!streams || to - c->size > GAP_STREAM)
		return content_extend(c, to, how, e);
	if (to - c->size > GAP_ZEROS && !(how & GIVE_WAIT))
		return -EAGAIN;
	while (rc == 0 && c->size < to)
		rc = append(c,
			    (struct bytes){ zeros, (size_t)min64(sizeof(zeros), to - c->size) },
			    how, e);
	return rc;
}

int content_write(struct stage_content *c, uint64_t off, struct bytes data, unsigned how,
		  struct err *e)
{
	uint64_t at = tail_at(c);
	int rc = content_activate(c, e);

	if (rc == 0 && off < at) {
		size_t n = (size_t)min64(data.len, at - off);

		if (!(how & GIVE_WAIT))
			return -EAGAIN;
		content_touch(c, off, false);
		rc = content_write_spilled(c, off, (struct bytes){ data.p, n }, e);
		off += n;
		data.p += n;
		data.len -= n;
	}
	if (rc == 0 && off < c->size && data.len > 0) {
		size_t n = (size_t)min64(data.len, c->size - off);

		if (n < data.len && !(how & GIVE_WAIT))
			return -EAGAIN;
		change_tail(c, off, (struct bytes){ data.p, n });
		off += n;
		data.p += n;
		data.len -= n;
	}
	if (rc == 0 && off > c->size && data.len > 0)
		rc = fill_gap(c, off, how, e);
	return rc == 0 ? append(c, data, how, e) : rc;
}

int content_check_range(uint64_t off, uint64_t len, struct err *e)
{
	if (off > INT64_MAX || len > INT64_MAX - off)
		return err_set(e, EFBIG, "file would be too large");
	return 0;
}

int staged_write(struct stage_content *c, uint64_t off, struct bytes data, bool may_wait,
		 struct err *e)
{
	int rc = content_check_range(off, data.len, e);

	if (rc == 0 && data.len > 0)
		rc = content_enter(c, may_wait);
	if (rc < 0 || data.len == 0)
		return rc;
	rc = content_failed(c, e);
	if (rc == 0) {
		rc = content_write(c, off, data, how_of(may_wait), e);
		c->version++;
	}
	content_leave(c);
	return rc;
}

static void shrink(struct stage_content *c, uint64_t size)
{
	struct active *a = c->active;
	uint64_t at = tail_at(c);

	content_touch(c, size, false);
	if (size > at) {
		a->tail.len = (size_t)(size - at);
		run_rescan(&a->tail, at);
	} else {
		run_drop(c->in, &a->tail);
		content_cut(c, size);
		if (a->dirty >= size)
			a->dirty = UINT64_MAX;
	}
	if (size == 0) {
		ingest_abandon(c);
		c->failed = 0;
	}
	c->size = size;
}

static int set_size(struct stage_content *c, uint64_t size, unsigned how, struct err *e)
{
	int rc = content_activate(c, e);

	if (rc < 0)
		return rc;
	if (size > c->size)
		return content_extend(c, size, how, e);
	/* To nothing is also how a loss is forgotten. */
	if (size < c->size || size == 0)
		shrink(c, size);
	return 0;
}

int staged_truncate(struct stage_content *c, uint64_t size, bool may_wait, struct err *e)
{
	int rc = content_check_range(size, 0, e);

	if (rc == 0)
		rc = content_enter(c, may_wait);
	if (rc < 0)
		return rc;
	if (size > 0)
		rc = content_failed(c, e);
	if (rc == 0) {
		rc = set_size(c, size, how_of(may_wait), e);
		c->version++;
	}
	content_leave(c);
	return rc;
}

/* Zeros from off to end, neither behind the end of the file. */
static int zero_range(struct stage_content *c, uint64_t off, uint64_t end, struct err *e)
{
	uint64_t at = tail_at(c);
	struct extent x = { .kind = EXTENT_HOLE, .off = off };
	int rc = 0;

	if (end > at && end > off) {
		uint64_t from = off > at ? off : at;

		change_tail(c, from, (struct bytes){ NULL, (size_t)(end - from) });
		end = from;
	}
	if (off < at && off < end) {
		x.len = end - off;
		content_touch(c, off, false);
		content_taint(c, off);
		rc = content_place(c, &x, e);
	}
	return rc;
}

static int allocate(struct stage_content *c, int mode, uint64_t off, uint64_t end, unsigned how,
		    struct err *e)
{
	uint64_t size = c->size;
	int rc = content_activate(c, e);

	if (rc == 0 && end > size && !(mode & FALLOC_FL_KEEP_SIZE))
		rc = content_extend(c, end, how, e);
	if (rc == 0 && (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) && off < size)
		rc = zero_range(c, off, min64(end, size), e);
	return rc;
}

int staged_allocate(struct stage_content *c, int mode, uint64_t off, uint64_t len,
		    bool may_wait, struct err *e)
{
	int kind = mode & ~FALLOC_FL_KEEP_SIZE, rc;

	if ((kind != 0 && kind != FALLOC_FL_PUNCH_HOLE && kind != FALLOC_FL_ZERO_RANGE) ||
	    mode == FALLOC_FL_PUNCH_HOLE)
		return err_set(e, EOPNOTSUPP, "fallocate: mode %d is not supported", mode);
	if (len == 0)
		return err_set(e, EINVAL, "fallocate: no bytes");
	rc = content_check_range(off, len, e);
	if (rc == 0)
		rc = content_enter(c, may_wait);
	if (rc < 0)
		return rc;
	rc = content_failed(c, e);
	if (rc == 0) {
		rc = allocate(c, mode, off, off + len, how_of(may_wait), e);
		c->version++;
	}
	content_leave(c);
	return rc;
}

/* --- losses --- */

int staged_sync(struct stage_content *c, struct err *e)
{
	int rc = content_enter(c, true);

	if (rc == 0) {
		rc = content_failed(c, e);
		content_leave(c);
	}
	return rc;
}

void staged_lost(struct stage_content *c)
{
	if (content_enter(c, true) < 0)
		return;
	c->failed = EIO;
	content_leave(c);
}

struct naming {
	int (*fn)(void *arg, const struct chunk_id *id);
	void *arg;
};

static int name_chunk(void *arg, struct extent *x)
{
	const struct naming *n = arg;

	return x->kind == EXTENT_CHUNK ? n->fn(n->arg, &x->id) : 0;
}

int staged_each_chunk(struct stage_content *c, int (*fn)(void *arg, const struct chunk_id *id),
		      void *arg)
{
	struct naming n = { fn, arg };
	int rc = content_enter(c, true);

	if (rc < 0)
		return rc;
	rc = extents_each(&c->extents, 0, UINT64_MAX, name_chunk, &n);
	content_leave(c);
	return rc;
}
