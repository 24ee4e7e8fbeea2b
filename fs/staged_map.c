/*
 * staged_map.c - see ingest_internal.h: extents of a content come and go, with the pages of the spill and the
 * marks of cuts that the change costs.
 */

#include "fs/ingest_internal.h"

#include <assert.h>

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

	if (extent_is_hole(x))
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
	c->holes += (extent_is_hole(x) ? x->len : 0) - holes;
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

void content_unmark_before(struct stage_content *c, uint64_t off, bool keep_source)
{
	struct unmarking u = { off, chunking_of(c)->reach, keep_source };
	uint64_t from = off > u.reach ? off - u.reach : 0;

	if (u.reach > 0)
		extents_each(&c->extents, from, off, unmark, &u);
}

/* Bytes from `off` on are about to change. */
void content_touch(struct stage_content *c, uint64_t off, bool keep_source)
{
	uint64_t back = chunking_of(c)->reach ? chunking_of(c)->reach : 1,
		 from = off > back ? off - back : 0;
	struct extent x;

	if (from >= extents_end(&c->extents))
		return;
	content_unmark_before(c, off, keep_source);
	if (extents_at(&c->extents, from, &x))
		content_taint(c, x.off);
}
