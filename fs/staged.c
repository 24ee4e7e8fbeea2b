/*
 * staged.c - the calls for one content; see ingest.h, and ingest_internal.h for the invariants.
 *
 * Bytes behind the end go into the tail, others into the spill, chunks in as references.  All of it
 * goes into the map by content_place(), which looks after the pages and marks that the change costs.
 */

#include "fs/ingest_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <unistd.h>

static const uint8_t zeros[64 << 10];

static uint64_t page_of(uint64_t off)
{
	return off / SPILL_PAGE;
}

static bool is_hole(const struct extent *x)
{
	return x->kind == EXTENT_HOLE || x->zeros;
}

static uint64_t min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* --- the map --- */

static void watch_change(void *arg, const struct extent *x, int by)
{
	ingest_refer(arg, x, by);
}

static struct extents_watch watch(const struct stage_content *c)
{
	return (struct extents_watch){ watch_change, c->in };
}

/* A range that is about to go: its pages, and how much of it is holes. */
struct going {
	struct stage_content *c;
	uint64_t from, to;
	uint64_t holes;
	bool keep_pages;
	uint64_t released; /* pages of the file below it are released already */
};

static int is_spill(void *arg, struct extent *x)
{
	(void)arg;
	return x->kind == EXTENT_SPILL;
}

/* Does a part of the file's page that stays lie in the spill? */
static bool page_stays(const struct going *g, uint64_t page)
{
	uint64_t start = page * SPILL_PAGE, end = start + SPILL_PAGE;

	return (start < g->from &&
		extents_each(&g->c->extents, start, g->from, is_spill, NULL)) ||
	       (end > g->to && extents_each(&g->c->extents, g->to, end, is_spill, NULL));
}

static int let_go(void *arg, struct extent *x)
{
	struct going *g = arg;
	uint64_t from = x->off > g->from ? x->off : g->from, to = min64(extent_end(x), g->to);
	uint64_t first = page_of(from), end = page_of(to - 1) + 1, page;

	if (is_hole(x))
		g->holes += to - from;
	if (x->kind != EXTENT_SPILL || g->keep_pages)
		return 0;
	page = page_of(x->pos + (from - x->off)) -
	       first; /* of the spill, less that of the file */
	if (first < g->released || page_stays(g, first))
		first++;
	if (end > first && page_stays(g, end - 1))
		end--;
	if (end > first) {
		spill_release(g->c->in->spill, page + first, (size_t)(end - first));
		g->released = end;
	}
	return 0;
}

/* [from, to) is about to be replaced: its pages go, and how many bytes of it were holes is told. */
static uint64_t release_range(struct stage_content *c, uint64_t from, uint64_t to,
			      bool keep_pages)
{
	struct going g = { .c = c, .from = from, .to = to, .keep_pages = keep_pages };

	extents_each(&c->extents, from, to, let_go, &g);
	return g.holes;
}

void content_taint(struct stage_content *c, uint64_t off)
{
	assert(c->active);
	if (off < c->active->dirty)
		c->active->dirty = off;
}

int content_place(struct stage_content *c, const struct extent *x, struct err *e)
{
	struct extents_watch w = watch(c);
	struct extents_room room;
	uint64_t holes;

	if (extents_reserve(&c->extents, &room) < 0)
		return err_nomem(e, "file content");
	/* Spilled bytes go to the pages that are there already. */
	holes = release_range(c, x->off, extent_end(x), x->kind == EXTENT_SPILL);
	extents_replace(&c->extents, x, &room, &w);
	extents_room_fini(&room);
	c->holes += (is_hole(x) ? x->len : 0) - holes;
	return 0;
}

void content_cut(struct stage_content *c, uint64_t end)
{
	struct extents_watch w = watch(c);

	c->holes -= release_range(c, end, UINT64_MAX, false);
	extents_truncate(&c->extents, end, &w);
}

/* Marks of chunks whose end was found by looking at bytes from `off` on. */
struct unmarking {
	uint64_t off, reach;
	bool keep_source;
};

static int unmark(void *arg, struct extent *x)
{
	const struct unmarking *u = arg;

	if (extent_is_chunk(x) && extent_end(x) <= u->off &&
	    extent_end(x) + u->reach > u->off && !(u->keep_source && x->cut == CUT_SOURCE))
		x->cut = CUT_NONE;
	return 0;
}

static void unmark_before(struct stage_content *c, uint64_t off, bool keep_source)
{
	struct unmarking u = { off, chunking_of(c)->reach, keep_source };
	uint64_t from = off > u.reach ? off - u.reach : 0;

	if (u.reach > 0)
		extents_each(&c->extents, from, off, unmark, &u);
}

/* Bytes from `off` on are about to change. */
static void touch(struct stage_content *c, uint64_t off, bool keep_source)
{
	uint64_t back = chunking_of(c)->reach ? chunking_of(c)->reach : 1,
		 from = off > back ? off - back : 0;
	struct extent x;

	if (from >= extents_end(&c->extents))
		return;
	unmark_before(c, off, keep_source);
	if (extents_at(&c->extents, from, &x))
		content_taint(c, x.off);
}

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

	if (is_hole(x) == s->holes) {
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

static int copy_extent(struct stage_content *c, const struct extent *x, uint64_t skip,
		       uint8_t *out, size_t len, struct err *e)
{
	CLEANUP(chunk_unrefp) struct chunk *chunk = NULL;
	int rc;

	if (is_hole(x)) {
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

		rc = copy_extent(c, &x, off - x.off, out, n, e);
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
	rc = x ? copy_extent(r->c, x, r->off - x->off, p, n, r->e)
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
	if (is_hole(x))
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

/* --- bytes into the spill --- */

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
static int write_spilled(struct stage_content *c, uint64_t off, struct bytes data,
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
	rc = write_spilled(c, at, run_bytes(&c->active->tail), e);
	if (rc < 0) {
		content_cut(c, at);
		return rc;
	}
	run_drop(c->in, &c->active->tail);
	return 0;
}

/* --- bytes in --- */

static int failed(const struct stage_content *c, struct err *e)
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
		touch(c, c->size, false);
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
		touch(c, c->size, false);
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

	touch(c, off, false);
	if (data.p)
		memcpy(at, data.p, data.len);
	else
		memset(at, 0, data.len);
	run_rescan(t, tail_at(c));
}

/* The file ends at `size`, further on than now. */
static int extend(struct stage_content *c, uint64_t size, unsigned how, struct err *e)
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
	touch(c, c->size, false);
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
		return extend(c, to, how, e);
	if (to - c->size > GAP_ZEROS && !(how & GIVE_WAIT))
		return -EAGAIN;
	while (rc == 0 && c->size < to)
		rc = append(c,
			    (struct bytes){ zeros, (size_t)min64(sizeof(zeros), to - c->size) },
			    how, e);
	return rc;
}

static int write_at(struct stage_content *c, uint64_t off, struct bytes data, unsigned how,
		    struct err *e)
{
	uint64_t at = tail_at(c);
	int rc = content_activate(c, e);

	if (rc == 0 && off < at) {
		size_t n = (size_t)min64(data.len, at - off);

		if (!(how & GIVE_WAIT))
			return -EAGAIN;
		touch(c, off, false);
		rc = write_spilled(c, off, (struct bytes){ data.p, n }, e);
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

static int check_range(uint64_t off, uint64_t len, struct err *e)
{
	if (off > INT64_MAX || len > INT64_MAX - off)
		return err_set(e, EFBIG, "file would be too large");
	return 0;
}

static unsigned how_of(bool may_wait)
{
	return may_wait ? GIVE_WAIT : 0;
}

int staged_write(struct stage_content *c, uint64_t off, struct bytes data, bool may_wait,
		 struct err *e)
{
	int rc = check_range(off, data.len, e);

	if (rc == 0 && data.len > 0)
		rc = content_enter(c, may_wait);
	if (rc < 0 || data.len == 0)
		return rc;
	rc = failed(c, e);
	if (rc == 0) {
		rc = write_at(c, off, data, how_of(may_wait), e);
		c->version++;
	}
	content_leave(c);
	return rc;
}

static void shrink(struct stage_content *c, uint64_t size)
{
	struct active *a = c->active;
	uint64_t at = tail_at(c);

	touch(c, size, false);
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
		return extend(c, size, how, e);
	/* To nothing is also how a loss is forgotten. */
	if (size < c->size || size == 0)
		shrink(c, size);
	return 0;
}

int staged_truncate(struct stage_content *c, uint64_t size, bool may_wait, struct err *e)
{
	int rc = check_range(size, 0, e);

	if (rc == 0)
		rc = content_enter(c, may_wait);
	if (rc < 0)
		return rc;
	if (size > 0)
		rc = failed(c, e);
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
		touch(c, off, false);
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
		rc = extend(c, end, how, e);
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
	rc = check_range(off, len, e);
	if (rc == 0)
		rc = content_enter(c, may_wait);
	if (rc < 0)
		return rc;
	rc = failed(c, e);
	if (rc == 0) {
		rc = allocate(c, mode, off, off + len, how_of(may_wait), e);
		c->version++;
	}
	content_leave(c);
	return rc;
}

/* --- references in --- */

/* Does x go on where what stands before it came from? */
static bool goes_on(struct stage_content *c, const struct extent *x)
{
	struct extent last;

	if (x->kind != EXTENT_CHUNK || x->off == 0 ||
	    !extents_at(&c->extents, x->off - 1, &last) || last.kind != EXTENT_CHUNK ||
	    extent_end(&last) != x->off)
		return false;
	if (last.from + last.len == last.size)
		return x->from == 0 && last.cut == CUT_SOURCE;
	return last.from + last.len == x->from && id_equal(&last.id, &x->id);
}

/* Pieces of chunks, and holes, that follow each other. */
static int place_all(struct stage_content *c, struct extent *x, size_t count, unsigned how,
		     struct err *e)
{
	uint64_t off, end;
	int rc = content_activate(c, e);

	if (rc < 0 || count == 0)
		return rc;
	off = x[0].off;
	end = extent_end(&x[count - 1]);
	if (off > c->size)
		rc = extend(c, off, how, e);
	if (rc == 0 && tail_len(c) > 0 && end > tail_at(c))
		rc = how & GIVE_WAIT ? content_spill_tail(c, e) : -EAGAIN;
	if (rc < 0)
		return rc;
	touch(c, off, goes_on(c, &x[0]));
	content_taint(c, off);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		rc = content_place(c, &x[i], e);
		if (rc == 0 && extent_end(&x[i]) > c->size)
			c->size = extent_end(&x[i]);
	}
	if (end < c->size)
		unmark_before(c, end, false);
	return rc;
}

/* The extents of an import; how many. */
static size_t import_extents(const struct staged_import *what, uint64_t off, struct extent *out)
{
	uint64_t at = 0, end = what->skip + what->len;
	size_t count = 0;

	for (size_t i = 0; i < what->count && at < end; i++) {
		const struct item_chunk *k = &what->chunks[i];
		uint64_t from = what->skip > at ? what->skip - at : 0,
			 to = min64(k->size, end - at);

		at += k->size;
		if (from >= to)
			continue;
		out[count] = (struct extent){
			.off = off,
			.len = to - from,
			.id = k->id,
			.size = k->size,
			.csize = k->csize,
			.from = (uint32_t)from,
			.kind = EXTENT_CHUNK,
			.cut = what->is_last && i == what->count - 1 ? CUT_NONE : CUT_SOURCE,
		};
		off += out[count++].len;
	}
	return count;
}

int staged_import(struct stage_content *c, uint64_t off, const struct staged_import *what,
		  bool may_wait, struct err *e)
{
	CLEANUP(cleanup_freep) struct extent *x = NULL;
	size_t count;
	int rc = check_range(off, what->len, e);

	if (rc < 0 || what->count == 0)
		return rc;
	x = calloc(what->count, sizeof(*x));
	if (!x)
		return err_nomem(e, "copy");
	count = import_extents(what, off, x);
	rc = content_enter(c, may_wait);
	if (rc < 0)
		return rc;
	rc = failed(c, e);
	if (rc == 0) {
		rc = place_all(c, x, count, how_of(may_wait), e);
		c->version++;
	}
	content_leave(c);
	return rc;
}

/* --- copying --- */

enum { COPY_EXTENTS = 64 };

/* A part of a copy: either references or bytes. */
struct copying {
	struct extent x[COPY_EXTENTS];
	size_t count;
	uint8_t *bytes;
	size_t len; /* of either */
};

static void drop_references(struct ingest *in, const struct copying *k)
{
	for (size_t i = 0; i < k->count; i++)
		ingest_refer(in, &k->x[i], -1);
}

/* x from `off` on, to stand at dst_off. */
static struct extent moved(struct extent x, uint64_t off, uint64_t len, uint64_t dst_off)
{
	uint64_t skip = off - x.off;

	x.len = min64(x.len - skip, len);
	x.off = dst_off;
	if (x.kind == EXTENT_CHUNK)
		x.from += (uint32_t)skip;
	if (x.cut == CUT_OWN)
		x.cut = CUT_SOURCE;
	return x;
}

/* What of [off, off + len) can go by reference, which is held until drop_references(). */
static void take_references(struct stage_content *src, uint64_t off, uint64_t len,
			    uint64_t dst_off, struct copying *k)
{
	struct extent x;

	while (k->count < COPY_EXTENTS && k->len < len &&
	       extents_at(&src->extents, off + k->len, &x) &&
	       (x.kind == EXTENT_CHUNK || x.kind == EXTENT_HOLE)) {
		x = moved(x, off + k->len, len - k->len, dst_off + k->len);
		ingest_refer(src->in, &x, 1);
		k->len += x.len;
		k->x[k->count++] = x;
	}
}

/* How far bytes have to be copied. */
static size_t bytes_to_copy(struct stage_content *src, uint64_t off, uint64_t len)
{
	size_t n = 0;
	struct extent x;

	if (len > PIECE)
		len = PIECE;
	while (n < len && extents_at(&src->extents, off + n, &x) && x.kind != EXTENT_CHUNK &&
	       x.kind != EXTENT_HOLE)
		n += (size_t)min64(extent_end(&x) - (off + n), len - n);
	return off + n >= tail_at(src) ? (size_t)len : n;
}

static int take_bytes(struct stage_content *src, uint64_t off, uint64_t len, struct copying *k,
		      struct err *e)
{
	k->len = bytes_to_copy(src, off, len);
	if (!k->bytes)
		k->bytes = malloc(PIECE);
	if (!k->bytes)
		return err_nomem(e, "copy");
	return content_copy_out(src, off, k->bytes, k->len, e);
}

static int copy_from(struct stage_content *src, uint64_t off, uint64_t len, uint64_t dst_off,
		     struct copying *k, struct err *e)
{
	int rc = content_enter(src, true);

	if (rc < 0)
		return rc;
	k->count = k->len = 0;
	rc = failed(src, e);
	if (rc == 0 && off < src->size) {
		len = min64(len, src->size - off);
		/* Whose id is only to come is worth waiting for; else its bytes will do. */
		(void)ingest_land(src, NULL);
		take_references(src, off, len, dst_off, k);
		if (k->count == 0)
			rc = take_bytes(src, off, len, k, e);
	}
	content_leave(src);
	return rc;
}

static int copy_to(struct stage_content *dst, uint64_t off, struct copying *k, struct err *e)
{
	int rc = content_enter(dst, true);

	if (rc < 0)
		return rc;
	rc = failed(dst, e);
	if (rc == 0) {
		rc = k->count > 0 ? place_all(dst, k->x, k->count, GIVE_WAIT, e)
				  : write_at(dst, off, (struct bytes){ k->bytes, k->len },
					     GIVE_WAIT, e);
		dst->version++;
	}
	content_leave(dst);
	return rc;
}

int staged_copy(struct stage_content *src, uint64_t src_off, struct stage_content *dst,
		uint64_t dst_off, uint64_t len, uint64_t *copied, struct err *e)
{
	struct copying k = { .count = 0 };
	int rc = check_range(dst_off, len, e);

	*copied = 0;
	if (rc == 0 && src == dst && src_off < dst_off + len && dst_off < src_off + len)
		return err_set(e, EINVAL, "copy: the ranges overlap");
	/* Within one file, what is copied may move the end. */
	len = min64(len, src_off < src->size ? src->size - src_off : 0);
	while (rc == 0 && *copied < len) {
		rc = copy_from(src, src_off + *copied, len - *copied, dst_off + *copied, &k, e);
		if (rc == 0 && k.len == 0)
			break;
		if (rc == 0)
			rc = copy_to(dst, dst_off + *copied, &k, e);
		drop_references(src->in, &k);
		if (rc == 0)
			*copied += k.len;
	}
	free(k.bytes);
	return rc;
}

/* --- losses --- */

int staged_sync(struct stage_content *c, struct err *e)
{
	int rc = content_enter(c, true);

	if (rc == 0) {
		rc = failed(c, e);
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
				rc = copy_extent(c, &x, off - x.off, bytes, n, e);
			if (rc == 0 && !x.zeros)
				rc = write_spilled(c, off, (struct bytes){ bytes, n }, e);
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
