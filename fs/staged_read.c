/* staged_read.c - see ingest.h: what a content holds, wherever it is. */

#include "fs/ingest_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- looking --- */

uint64_t staged_size(struct stage_content *c)
{
	return c->size;
}

uint64_t staged_blocks(struct stage_content *c)
{
	uint64_t size = c->size, holes = c->holes;

	return holes < size ? (size - holes + 511) / 512 : 0;
}

uint64_t staged_version(struct stage_content *c)
{
	return c->version;
}

struct seeking {
	uint64_t off;
	bool holes; /* are looked for */
};

static int seek_in(void *arg, struct extent *x)
{
	struct seeking *s = arg;

	if (extent_is_hole(x) == s->holes) {
		if (x->off > s->off)
			s->off = x->off;
		return 1;
	}
	s->off = extent_end(x);
	return 0;
}

int staged_seek(struct stage_content *c, uint64_t off, int whence, bool may_wait, uint64_t *out)
{
	struct seeking s = { .off = off, .holes = whence == SEEK_HOLE };
	int rc;

	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return -EINVAL;
	rc = content_enter(c, may_wait);
	if (rc < 0)
		return rc;
	if (off >= c->size)
		rc = -ENXIO;
	else if (off < tail_at(c) && !extents_each(&c->extents, off, UINT64_MAX, seek_in, &s) &&
		 tail_len(c) == 0 && !s.holes)
		rc = -ENXIO; /* nothing but a hole */
	else if (s.holes && s.off >= tail_at(c))
		s.off = c->size;
	content_leave(c);
	*out = s.off;
	return rc;
}

/* --- bytes out --- */

static int check_chunk(const struct extent *x, struct chunk *chunk, struct err *e)
{
	char hex[CHUNK_ID_HEX];

	if (chunk->len == x->size)
		return 0;
	return err_set(e, EIO, "chunk %s has %zu bytes instead of %u", id_hex(&x->id, hex),
		       chunk->len, x->size);
}

static int fetch_extent(struct stage_content *c, const struct extent *x, struct chunk **out,
			struct err *e)
{
	struct chunk_want want = { .id = x->id, .size = x->size };
	int rc = fetch_chunk(c->in->fetch, &want, out, e);

	if (rc == 0)
		rc = check_chunk(x, *out, e);
	if (rc == 0 || rc == -ENOMEM)
		return rc;
	if (e)
		e->code = EIO;
	return -EIO;
}

int content_copy_extent(struct stage_content *c, const struct extent *x, uint64_t skip,
			uint8_t *out, size_t len, struct err *e)
{
	CLEANUP(chunk_unrefp) struct chunk *chunk = NULL;
	int rc;

	if (extent_is_hole(x)) {
		memset(out, 0, len);
		return 0;
	}
	switch ((enum extent_kind)x->kind) {
	case EXTENT_SPILL: return spill_read(c->in->spill, x->pos + skip, out, len, e);
	case EXTENT_FLIGHT: memcpy(out, x->flight->p + x->from + skip, len); return 0;
	case EXTENT_HOLE:
	case EXTENT_CHUNK: break;
	}
	rc = fetch_extent(c, x, &chunk, e);
	if (rc == 0)
		memcpy(out, chunk->p + x->from + skip, len);
	return rc;
}

int content_copy_out(struct stage_content *c, uint64_t off, uint8_t *out, size_t len,
		     struct err *e)
{
	struct extent x;
	int rc = 0;

	while (rc == 0 && len > 0 && extents_at(&c->extents, off, &x)) {
		size_t n = (size_t)min64(len, extent_end(&x) - off);

		rc = content_copy_extent(c, &x, off - x.off, out, n, e);
		off += n;
		out += n;
		len -= n;
	}
	if (rc == 0 && len > 0)
		memcpy(out, run_bytes(&c->active->tail).p + (off - tail_at(c)), len);
	return rc;
}

/* A range under way out: pieces of chunks that are not in memory come later. */
struct reading {
	struct stage_content *c;
	struct content_range *out;
	bool may_wait;
	uint64_t off, end;
	size_t used;        /* of out->own */
	bool next_chunk;    /* it has come to the start of a chunk */
	struct buf missing; /* of struct missing */
	struct err *e;
};

struct missing {
	size_t piece;
	struct extent x;
	uint64_t skip;
};

static int read_copy(struct reading *r, const struct extent *x, size_t n)
{
	struct content_range *out = r->out;
	uint8_t *p;
	int rc;

	if (x && x->kind == EXTENT_SPILL && !r->may_wait)
		return -EAGAIN;
	if (!out->own)
		out->own = malloc((size_t)(r->end - r->off));
	if (!out->own)
		return -ENOMEM;
	p = (uint8_t *)out->own + r->used;
	rc = x ? content_copy_extent(r->c, x, r->off - x->off, p, n, r->e)
	       : content_copy_out(r->c, r->off, p, n, r->e);
	r->used += n;
	return rc < 0 ? rc : content_range_add(out, NULL, p, n);
}

static int read_chunk(struct reading *r, const struct extent *x, size_t n)
{
	struct missing m = { .piece = r->out->count, .x = *x, .skip = r->off - x->off };
	struct chunk *chunk = fetch_cached(r->c->in->fetch, &x->id);

	if (chunk) {
		if (check_chunk(x, chunk, r->e) < 0) {
			chunk_unref(chunk);
			return -EIO;
		}
		return content_range_add(r->out, chunk, chunk->p + x->from + m.skip, n);
	}
	if (!r->may_wait)
		return -EAGAIN;
	if (buf_append(&r->missing, &m, sizeof(m)) < 0)
		return -ENOMEM;
	return content_range_add(r->out, NULL, NULL, n);
}

static int read_extent(struct reading *r, const struct extent *x)
{
	size_t n = (size_t)(min64(extent_end(x), r->end) - r->off);
	int rc;

	r->next_chunk |= r->off == x->off && x->kind == EXTENT_CHUNK;
	if (extent_is_hole(x))
		rc = content_range_add_zeros(r->out, n);
	else if (x->kind == EXTENT_CHUNK)
		rc = read_chunk(r, x, n);
	else
		rc = read_copy(r, x, n);
	r->off += n;
	return rc;
}

enum { AHEAD = 3 };

/* Who reads on from chunk to chunk finds the next ones in memory. */
static void look_ahead(const struct reading *r)
{
	struct chunk_want wants[AHEAD];
	uint64_t off = r->end;
	size_t count = 0;
	struct extent x;

	while (count < AHEAD && extents_at(&r->c->extents, off, &x) && x.kind == EXTENT_CHUNK &&
	       !x.zeros) {
		wants[count++] = (struct chunk_want){ .id = x.id, .size = x.size };
		off = extent_end(&x);
	}
	if (count > 0)
		fetch_ahead(r->c->in->fetch, wants, count);
}

static int plan_read(struct reading *r)
{
	struct extent x;
	int rc = 0;

	if (r->end > r->c->size)
		r->end = r->c->size;
	while (rc == 0 && r->off < r->end && extents_at(&r->c->extents, r->off, &x))
		rc = read_extent(r, &x);
	if (rc == 0 && r->off < r->end)
		rc = read_copy(r, NULL, (size_t)(r->end - r->off));
	if (rc == 0 && r->next_chunk)
		look_ahead(r);
	return rc;
}

/* Nobody is held up meanwhile: chunks do not change. */
static int fetch_missing(struct reading *r)
{
	int rc = 0;

	for (size_t at = 0; rc == 0 && at < r->missing.len; at += sizeof(struct missing)) {
		struct missing m;
		struct chunk *chunk = NULL;

		memcpy(&m, r->missing.p + at, sizeof(m));
		rc = fetch_extent(r->c, &m.x, &chunk, r->e);
		if (rc < 0) {
			chunk_unref(chunk);
			break;
		}
		r->out->pieces[m.piece].iov_base =
			(void *)(uintptr_t)(chunk->p + m.x.from + m.skip);
		r->out->chunks[r->out->chunk_count++] = chunk;
	}
	return rc;
}

static int read_once(struct stage_content *c, uint64_t off, size_t len, bool may_wait,
		     struct content_range *out, struct err *e)
{
	struct reading r = {
		.c = c, .out = out, .may_wait = may_wait, .off = off, .end = off + len, .e = e
	};
	int rc;

	content_range_init(out);
	rc = content_enter(c, may_wait);
	if (rc < 0)
		return rc;
	rc = plan_read(&r);
	content_leave(c);
	if (rc == 0)
		rc = fetch_missing(&r);
	buf_fini(&r.missing);
	if (rc < 0)
		content_range_fini(out);
	return rc == -ENOMEM ? err_nomem(e, "read") : rc;
}

int staged_read(struct stage_content *c, uint64_t off, size_t len, bool may_wait,
		struct content_range *out, struct err *e)
{
	int rc;

	if (off > INT64_MAX)
		return err_set(e, EINVAL, "read behind the largest file");
	rc = read_once(c, off, len, may_wait, out, e);
	/* A chunk that nobody needs any more may have gone since it was looked up. */
	return rc == -EIO ? read_once(c, off, len, may_wait, out, e) : rc;
}
