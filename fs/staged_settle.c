/*
 * staged_settle.c - contents become lists of chunks.
 *
 * Where a chunk ends depends on nothing but the bytes from its start to a window behind its end.  So
 * a chunk whose mark says that these are still the same is kept unread, and where the
 * chunker, started anew at a cut before the change, cuts where a kept chunk begins, the two
 * lists are one again:
 *
 *   kept     |aaaaaaaa|bbbbbbb|cccccccc|dddddd|eeeeeeeeee|
 *   changed                      ^^
 *   read                      |********|******|
 *   now      |aaaaaaaa|bbbbbbb|CCCCC|DDDDDDDDD|eeeeeeeeee|
 */

#include "fs/ingest_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* --- chunks out of the tail --- */

int content_chunk_tail(struct stage_content *c, bool at_end, unsigned how, struct err *e)
{
	struct run *t = &c->active->tail;

	while (t->len > 0) {
		struct chunker_scan before = t->scan;
		struct extent x = { .off = tail_at(c) };
		int rc;

		if (t->cut == 0)
			t->cut = chunker_cut(chunking_of(c)->chunker, &t->scan, run_bytes(t),
					     at_end);
		if (t->cut == 0)
			return 0;
		x.len = x.size = (uint32_t)t->cut;
		x.cut = at_end && t->cut == t->len ? CUT_NONE : CUT_OWN;
		rc = ingest_give(c, &x, t->block, run_bytes(t).p, how, e);
		if (rc < 0) {
			if (at_end) { /* what is no cut if more bytes come */
				t->scan = before;
				t->cut = 0;
			}
			return rc;
		}
		run_consume(t, t->cut);
		c->active->absorbed = 0;
	}
	return 0;
}

/* --- what can be kept --- */

static int not_whole(void *arg, struct extent *x)
{
	const struct stage_content *c = arg;

	return !extent_is_whole(x) || (x->cut == CUT_NONE && extent_end(x) != c->size);
}

/* Does the file end, or go on, as the source did? */
static bool source_goes_on(struct stage_content *c, uint64_t end)
{
	if (end + chunking_of(c)->reach <= c->size)
		return true;
	return tail_len(c) == 0 && !extents_each(&c->extents, end, UINT64_MAX, not_whole, c);
}

/* Is what starts at `off`, where a chunk starts, a chunk that ends where it should? */
static bool is_kept(struct stage_content *c, uint64_t off, struct extent *x)
{
	if (!extents_at(&c->extents, off, x) || x->off != off || !extent_is_whole(x))
		return false;
	if (extent_end(x) == c->size || x->cut == CUT_OWN ||
	    x->size == chunking_of(c)->chunk_max)
		return true;
	return x->cut == CUT_SOURCE && source_goes_on(c, extent_end(x));
}

/* --- holes --- */

/* The length of a chunk at `off` where the hole there is so long that it decides; else 0. */
static size_t zeros_chunk(struct stage_content *c, uint64_t off)
{
	const struct chunking *k = chunking_of(c);
	struct extent x;

	if (off < k->fixed_header || !extents_at(&c->extents, off, &x) ||
	    x.kind != EXTENT_HOLE || extent_end(&x) - off < k->chunk_max)
		return 0;
	return k->chunk_max;
}

/* A chunk of zeros is made once while the pipeline stays. */
static int give_zeros(struct stage_content *c, struct extent *x, struct err *e)
{
	struct run r = { .block = NULL };
	struct chunker_scan scan = { .at = x->off };
	int rc = run_reserve(c, &r, chunking_of(c)->chunk_max, e);

	if (rc < 0)
		return rc;
	memset(r.block->p, 0, chunking_of(c)->chunk_max);
	x->len = chunker_cut(chunking_of(c)->chunker, &scan,
			     (struct bytes){ r.block->p, chunking_of(c)->chunk_max }, false);
	x->size = (uint32_t)x->len;
	rc = ingest_give(c, x, r.block, r.block->p, GIVE_WAIT | GIVE_SETTLE, e);
	run_drop(c->in, &r);
	return rc < 0 ? rc : ingest_land(c, e);
}

static bool known_zeros(struct stage_content *c, struct extent *x)
{
	const struct chunking *k = chunking_of(c);
	struct ingest *in = c->in;
	bool known;

	mutex_lock(&in->lock);
	known = in->put && k->zeros_len > 0;
	if (known) {
		x->kind = EXTENT_CHUNK;
		x->id = k->zeros.id;
		x->size = k->zeros.size;
		x->csize = k->zeros.csize;
		x->len = k->zeros.size;
	}
	mutex_unlock(&in->lock);
	return known;
}

static void remember_zeros(struct stage_content *c, const struct extent *x)
{
	struct chunking *k = chunking_of(c);

	mutex_lock(&c->in->lock);
	k->zeros = (struct item_chunk){ .id = x->id, .size = x->size, .csize = x->csize };
	k->zeros_len = x->size;
	mutex_unlock(&c->in->lock);
}

static int settle_zeros(struct stage_content *c, uint64_t *at, struct err *e)
{
	struct extent x = { .off = *at, .cut = CUT_OWN, .zeros = true };
	int rc = 0;

	if (known_zeros(c, &x)) {
		rc = content_place(c, &x, e);
	} else {
		rc = give_zeros(c, &x, e);
		if (rc == 0 && extents_at(&c->extents, *at, &x) && x.kind == EXTENT_CHUNK)
			remember_zeros(c, &x);
	}
	if (rc == 0)
		*at += x.len;
	return rc;
}

/* --- cutting anew --- */

/* More bytes behind the run, which starts at `at`. */
static int read_more(struct stage_content *c, uint64_t at, struct run *r, struct err *e)
{
	uint64_t off = at + r->len;
	size_t n = (size_t)min64(c->size - off, PIECE);
	struct extent x;
	int rc;

	/* A chunk is read whole, once. */
	if (extents_at(&c->extents, off, &x))
		n = (size_t)min64(extent_end(&x) - off, chunking_of(c)->tail_max - r->len);
	rc = run_reserve(c, r, n, e);
	if (rc == 0)
		rc = content_copy_out(c, off, r->block->p + r->start + r->len, n, e);
	if (rc < 0)
		return rc;
	r->len += n;
	c->in->settle_read += n;
	return 0;
}

/* The tail's first bytes are in a chunk now. */
static void consume_tail(struct stage_content *c, uint64_t end)
{
	struct active *a = c->active;
	uint64_t at = c->size - a->tail.len;

	if (end <= at)
		return;
	run_consume(&a->tail, (size_t)(end - at));
	run_rescan(&a->tail, end);
}

static int mark_own(void *arg, struct extent *x)
{
	(void)arg;
	x->cut = CUT_OWN;
	return 1;
}

/* The run's first chunk takes its place in the map. */
static int settle_chunk(struct stage_content *c, uint64_t at, struct run *r, struct err *e)
{
	struct extent old, x = { .off = at, .cut = CUT_OWN };
	uint64_t tail = tail_at(c);
	size_t taken;
	int rc;

	x.len = x.size = (uint32_t)r->cut;
	if (extents_at(&c->extents, at, &old) && old.off == at && extent_is_whole(&old) &&
	    old.len == x.len) {
		extents_each(&c->extents, at, at + 1, mark_own, NULL);
		return 0;
	}
	/* What the chunk has of the tail is the tail's no more, but only if it is taken. */
	rc = ingest_give(c, &x, r->block, run_bytes(r).p, GIVE_WAIT | GIVE_SETTLE, e);
	taken = extent_end(&x) > tail ? (size_t)(extent_end(&x) - tail) : 0;
	if (rc == 0 && taken > 0)
		consume_tail(c, extent_end(&x));
	return rc;
}

/* What is left behind the last cut is the tail from now on. */
static void become_tail(struct stage_content *c, uint64_t at, struct run *r)
{
	struct active *a = c->active;
	struct extent x;

	if (extents_at(&c->extents, at, &x) && x.kind == EXTENT_CHUNK)
		a->absorbed = x.size;
	run_drop(c->in, &a->tail);
	content_cut(c, at);
	a->tail = *r;
	*r = (struct run){ .block = NULL };
}

/* From *at, where a chunk starts, until the cuts are those that are there; *at moves there. */
static int cut_anew(struct stage_content *c, uint64_t *at, struct run *r, struct err *e)
{
	struct extent x;
	int rc = 0;

	r->len = 0; /* what was read behind the last cut is of another place */
	run_rescan(r, *at);
	while (rc == 0) {
		if (r->cut == 0 && zeros_chunk(c, *at)) {
			run_drop(c->in, r);
			rc = settle_zeros(c, at, e);
			run_rescan(r, *at);
		} else if (r->cut == 0 && r->len > 0 &&
			   (r->cut = chunker_cut(chunking_of(c)->chunker, &r->scan,
						 run_bytes(r), false)) > 0) {
			rc = settle_chunk(c, *at, r, e);
			if (rc == 0) {
				*at += r->cut;
				run_consume(r, r->cut);
			}
		} else if (*at + r->len < c->size) {
			rc = read_more(c, *at, r, e);
			continue;
		} else {
			become_tail(c, *at, r);
			return 0;
		}
		if (rc == 0 && (*at == tail_at(c) || is_kept(c, *at, &x)))
			return 0;
	}
	return rc;
}

int content_advance(struct stage_content *c, struct err *e)
{
	struct active *a = c->active;
	struct run r = { .block = NULL };
	struct extent x;
	uint64_t at;
	int rc = 0;

	if (!a)
		return 0;
	at = min64(a->dirty, tail_at(c));
	while (rc == 0 && at < tail_at(c)) {
		if (is_kept(c, at, &x))
			at = extent_end(&x);
		else
			rc = cut_anew(c, &at, &r, e);
	}
	run_drop(c->in, &r);
	a->dirty = rc < 0 ? at : UINT64_MAX;
	if (rc == 0)
		a->synced = true;
	return rc;
}

/* --- pieces --- */

/* Bytes of a piece; they lie in the file as pages do, so that a write changes few of them. */
enum { PIECE_BYTES = 32 << 10 };

/* Are there pieces of the tail as it is, maybe under way? */
static bool has_pieces(const struct stage_content *c)
{
	const struct active *a = c->active;

	return a && a->pieces && a->pieces->version == c->version &&
	       a->dirty >= a->pieces->base;
}

static bool pieces_are_stored(const struct stage_content *c)
{
	return has_pieces(c) && c->active->pieces->missing == 0;
}

static void drop_pieces(struct stage_content *c)
{
	if (c->active)
		free(TAKE(c->active->pieces));
}

static int store_pieces(struct stage_content *c, struct err *e)
{
	uint64_t base = tail_at(c), end = c->size, off = base;
	size_t count = (size_t)((end - 1) / PIECE_BYTES - base / PIECE_BYTES + 1);
	struct pieces *p = calloc(1, sizeof(*p) + count * sizeof(p->v[0]));
	int rc = 0;

	if (!p)
		return err_nomem(e, "file content");
	*p = (struct pieces){
		.base = base, .version = c->version, .count = count, .missing = (uint32_t)count
	};
	drop_pieces(c);
	c->active->pieces = p;
	for (size_t i = 0; rc == 0 && i < count; i++) {
		uint64_t to = min64((off / PIECE_BYTES + 1) * PIECE_BYTES, end);
		struct bytes data = { run_bytes(&c->active->tail).p + (off - base),
				      (size_t)(to - off) };

		rc = ingest_give_piece(c, p, i, data, e);
		off = to;
	}
	if (rc < 0)
		p->version--; /* they are not all there */
	return rc;
}

/* --- calls --- */

/* draft: it need not be what `create` would make of it. */
static int flush(struct stage_content *c, bool draft, struct err *e)
{
	unsigned how = GIVE_WAIT | GIVE_SETTLE;
	int rc = content_failed(c, e);

	if (rc == 0 && draft && has_pieces(c))
		return 0;
	if (rc == 0)
		rc = content_advance(c, e);
	if (rc == 0 && draft && tail_len(c) > 0 && c->active->absorbed > 0) {
		rc = content_chunk_tail(c, false, how, e);
		if (rc == 0 && tail_len(c) > 0 && c->active->absorbed > 0)
			return store_pieces(c, e);
	}
	if (rc == 0 && c->active) {
		drop_pieces(c);
		rc = content_chunk_tail(c, true, how, e);
	}
	return rc;
}

static int settle(struct stage_content *c, bool draft, struct err *e)
{
	int rc = flush(c, draft, e);

	return rc == 0 ? ingest_land(c, e) : rc;
}

/* Is it worth storing all of the tail, rather than pieces of it at the next checkpoint? */
static bool is_worth_storing(const struct stage_content *c)
{
	const struct active *a = c->active;

	return !has_pieces(c) && a->tail.len >= 2 * a->absorbed;
}

void staged_close(struct stage_content *c)
{
	struct active *a;

	if (content_enter(c, false) < 0)
		return;
	a = c->active;
	if (a && a->tail.len > 0 && a->synced && a->dirty == UINT64_MAX &&
	    is_worth_storing(c) && ingest_takes(c, 0))
		(void)content_chunk_tail(c, true, 0, NULL);
	content_leave(c);
}

int staged_flush(struct stage_content *c, bool draft, struct err *e)
{
	int rc = content_enter(c, true);

	if (rc == 0) {
		rc = flush(c, draft, e);
		content_leave(c);
	}
	return rc;
}

int staged_settle(struct stage_content *c, bool draft, struct err *e)
{
	int rc = content_enter(c, true);

	if (rc == 0) {
		rc = settle(c, draft, e);
		content_leave(c);
	}
	return rc;
}

bool staged_is_draft(struct stage_content *c)
{
	bool draft = false;

	if (content_enter(c, true) == 0) {
		draft = pieces_are_stored(c);
		content_leave(c);
	}
	return draft;
}

bool staged_forget_draft(struct stage_content *c)
{
	bool draft = false;

	if (content_enter(c, true) == 0) {
		draft = c->active && c->active->pieces;
		drop_pieces(c);
		content_leave(c);
	}
	return draft;
}

struct listing {
	struct ingest *in;
	struct item_chunk *chunks;
	size_t count;
};

/* Under ingest.lock: what is named here is not deleted. */
static void name_chunk(struct listing *l, const struct item_chunk *chunk)
{
	struct fresh *f = table_get(&l->in->fresh, &chunk->id);

	if (f)
		f->round = l->in->round;
	l->chunks[l->count++] = *chunk;
}

static int list_chunk(void *arg, struct extent *x)
{
	if (x->kind != EXTENT_CHUNK || !extent_is_whole(x))
		return 1;
	name_chunk(arg,
		   &(struct item_chunk){ .id = x->id, .size = x->size, .csize = x->csize });
	return 0;
}

static bool is_settled(const struct stage_content *c)
{
	const struct active *a = c->active;

	return pieces_are_stored(c) || !a ||
	       (a->tail.len == 0 && a->dirty == UINT64_MAX && a->flights == 0);
}

static int fill_list(struct stage_content *c, const struct pieces *p, struct listing *l)
{
	int rc;

	mutex_lock(&c->in->lock);
	rc = extents_each(&c->extents, 0, p ? p->base : UINT64_MAX, list_chunk, l);
	for (size_t i = 0; rc == 0 && p && i < p->count; i++)
		name_chunk(l, &p->v[i]);
	mutex_unlock(&c->in->lock);
	return rc;
}

static int list(struct stage_content *c, struct item_chunk **out, size_t *count,
		uint64_t *version, struct err *e)
{
	const struct pieces *p = pieces_are_stored(c) ? c->active->pieces : NULL;
	struct listing l = { .in = c->in };
	int rc = content_failed(c, e);

	*out = NULL;
	*count = 0;
	*version = c->version;
	if (rc < 0 || !is_settled(c))
		return rc;
	if (c->extents.count == 0 && !p)
		return 1;
	l.chunks = calloc(c->extents.count + (p ? p->count : 0), sizeof(*l.chunks));
	if (!l.chunks)
		return err_nomem(e, "chunks");
	if (fill_list(c, p, &l) != 0) {
		free(l.chunks);
		return 0;
	}
	*out = l.chunks;
	*count = l.count;
	return 1;
}

int staged_chunks(struct stage_content *c, struct item_chunk **out, size_t *count,
		  uint64_t *version, struct err *e)
{
	int rc = content_enter(c, true);

	if (rc == 0) {
		rc = list(c, out, count, version, e);
		content_leave(c);
	}
	return rc;
}

int staged_settled_chunks(struct stage_content *c, struct item_chunk **out, size_t *count,
			  uint64_t *version, struct err *e)
{
	int rc = content_enter(c, true);

	if (rc < 0)
		return rc;
	rc = settle(c, false, e);
	if (rc == 0)
		rc = list(c, out, count, version, e);
	content_leave(c);
	return rc < 0 ? rc : 0;
}
