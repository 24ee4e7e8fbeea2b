/* staged_spill.c - see ingest_internal.h: bytes of a content in the spill file. */

#include "fs/ingest_internal.h"

#include <errno.h>
#include <stdlib.h>

struct page_search {
	uint64_t page, pos;
};

static int page_in_spill(void *arg, struct extent *x)
{
	struct page_search *s = arg;
	uint64_t start = s->page * SPILL_PAGE;

	if (x->kind != EXTENT_SPILL)
		return 0;
	s->pos = x->off >= start ? (x->pos - x->pos % SPILL_PAGE) : x->pos + (start - x->off);
	return 1;
}

/* Where the file's page is in the spill: 1, or 0. */
static int find_page(struct stage_content *c, uint64_t page, uint64_t *pos)
{
	struct page_search s = { .page = page };
	int found = extents_each(&c->extents, page * SPILL_PAGE, (page + 1) * SPILL_PAGE,
				 page_in_spill, &s);

	*pos = s.pos;
	return found;
}

static int first_spill(void *arg, struct extent *x)
{
	uint64_t *off = arg;

	if (x->kind != EXTENT_SPILL)
		return 0;
	*off = x->off;
	return 1;
}

/* How many of the file's pages from that of `off` on, up to `end`, have none in the spill; the first
 * has none. */
static size_t pages_without(struct stage_content *c, uint64_t off, uint64_t end)
{
	uint64_t to = (page_of(end - 1) + 1) * SPILL_PAGE, spilled = to;

	extents_each(&c->extents, off, to, first_spill, &spilled);
	return (size_t)(page_of(spilled) - page_of(off));
}

static int spill_into(struct stage_content *c, uint64_t off, uint64_t pos, struct bytes data,
		      struct err *e)
{
	struct extent old,
		x = { .off = off, .len = data.len, .kind = EXTENT_SPILL, .pos = pos };
	int rc = spill_write(c->in->spill, pos, data, e);

	if (rc < 0)
		return rc;
	if (extents_at(&c->extents, off, &old) && old.kind == EXTENT_SPILL &&
	    extent_end(&old) >= off + data.len)
		return 0;
	content_taint(c, off);
	return content_place(c, &x, e);
}

/* The same for pages that have none yet. */
static int spill_anew(struct stage_content *c, uint64_t off, uint64_t near, struct bytes *data,
		      uint64_t *pos, struct err *e)
{
	size_t skip = (size_t)(off % SPILL_PAGE), got = 0;
	struct bytes part = *data;
	uint64_t first;
	int rc = spill_alloc(c->in->spill, near, pages_without(c, off, off + data->len), &first,
			     &got);

	if (rc < 0)
		return err_nomem(e, "spill file");
	if (part.len > got * SPILL_PAGE - skip)
		part.len = got * SPILL_PAGE - skip;
	*pos = first * SPILL_PAGE + skip;
	rc = spill_into(c, off, *pos, part, e);
	if (rc < 0)
		spill_release(c->in->spill, first, got);
	data->len = part.len;
	return rc;
}

/* Bytes at or below the end of the extents, into the spill. */
int content_write_spilled(struct stage_content *c, uint64_t off, struct bytes data,
			  struct err *e)
{
	uint64_t near = UINT64_MAX, pos;
	int rc = 0;

	if (off > 0 && find_page(c, page_of(off - 1), &pos))
		near = page_of(pos) + 1;
	while (rc == 0 && data.len > 0) {
		struct bytes part = data;

		if (find_page(c, page_of(off), &pos)) {
			size_t room = SPILL_PAGE - (size_t)(off % SPILL_PAGE);
			struct extent x;

			pos += off % SPILL_PAGE;
			if (extents_at(&c->extents, off, &x) && x.kind == EXTENT_SPILL &&
			    extent_end(&x) - off > room)
				room = (size_t)min64(extent_end(&x) - off, PIECE);
			if (part.len > room)
				part.len = room;
			rc = spill_into(c, off, pos, part, e);
		} else {
			rc = spill_anew(c, off, near, &part, &pos, e);
		}
		near = page_of(pos + part.len - 1) + 1;
		off += part.len;
		data.p += part.len;
		data.len -= part.len;
	}
	return rc;
}

int content_spill_tail(struct stage_content *c, struct err *e)
{
	uint64_t at = tail_at(c);
	int rc;

	if (tail_len(c) == 0)
		return 0;
	content_taint(c, at);
	rc = content_write_spilled(c, at, run_bytes(&c->active->tail), e);
	if (rc < 0) {
		content_cut(c, at);
		return rc;
	}
	run_drop(c->in, &c->active->tail);
	return 0;
}

/* --- what is stored, out of the repository --- */

static int place_hole(struct stage_content *c, const struct extent *instead, struct err *e)
{
	struct extent x = { .kind = EXTENT_HOLE, .off = instead->off, .len = instead->len };

	content_taint(c, x.off);
	return content_place(c, &x, e);
}

int content_spill_chunks(struct stage_content *c,
			 bool (*which)(struct ingest *in, struct extent *x), struct err *e)
{
	CLEANUP(cleanup_freep) uint8_t *bytes = malloc(PIECE);
	struct extent x;
	int rc = bytes ? content_activate(c, e) : err_nomem(e, "file content");

	for (uint64_t off = 0; rc == 0 && extents_at(&c->extents, off, &x);) {
		size_t n = (size_t)min64(extent_end(&x) - off, x.zeros ? x.len : PIECE);

		if (extent_is_chunk(&x) && which(c->in, &x)) {
			if (x.zeros)
				rc = place_hole(c, &x, e);
			else
				rc = content_copy_extent(c, &x, off - x.off, bytes, n, e);
			if (rc == 0 && !x.zeros)
				rc = content_write_spilled(c, off, (struct bytes){ bytes, n },
							   e);
		}
		off += n;
	}
	return rc;
}

static bool any_chunk(struct ingest *in, struct extent *x)
{
	(void)in;
	(void)x;
	return true;
}

int staged_evict(struct stage_content *c, struct err *e)
{
	int rc = content_enter(c, true);

	if (rc < 0)
		return rc;
	mutex_lock(&c->in->lock);
	c->evicted = true;
	mutex_unlock(&c->in->lock);
	rc = content_spill_chunks(c, any_chunk, e);
	content_leave(c);
	return rc;
}
