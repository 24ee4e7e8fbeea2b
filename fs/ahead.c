/*
 * ahead.c - see ahead.h.
 *
 * A large file.  Of the files read last it is known where the next read should begin.  A read
 * near that place widens the window of bytes loaded ahead, from WINDOW_MIN by doubling; a read
 * elsewhere closes it: who reads at random gets nothing that he did not ask for.
 *
 * Small files.  A walk keeps the files that come next in preorder (which is how programs walk:
 * they take names as the folder lists them, in the order of node numbers) in a ring:
 *
 *    ring   | expected ... expected | expected, not yet found |
 *             ^ tail                  ^ head
 *
 * The first few are only expected.  When a read meets one of them, the walk is real: all before
 * it are behind us, the window doubles, and what enters the ring from then on is loaded.  A read
 * that no walk expects begins a new walk, over the one that was idle longest.
 */

#include "fs/ahead.h"

#include <stdlib.h>
#include <sys/stat.h>

enum {
	FILES = 16,           /* large files followed */
	SLACK = 512 << 10,    /* bytes: the kernel's readahead asks a little out of order */
	WINDOW_MIN = 4 << 20, /* bytes ahead of a reader of one file */
	WINDOW_MAX = 20 << 20,
	CHUNKS_AT_ONCE = 64,

	WALKS = 8,            /* walkers followed */
	RING = 256,           /* files a walk looks ahead, at most */
	EXPECTED_FIRST = 6,   /* files, before the walk is real */
	WALK_BYTES = 6 << 20, /* that it has loaded ahead, at most */
	STEPS_MAX = 512,      /* nodes visited for one read */
	SMALL = 4 << 20,      /* larger files are not loaded whole */
};

struct follow { /* one large file */
	uint64_t node;
	uint64_t next;   /* the offset behind the last read */
	uint64_t loaded; /* asked for up to here */
	uint64_t window;
	uint64_t used;
};

struct walk {
	const struct volume
		*volume;     /* identity only; a number that is used again costs nothing */
	uint32_t ring[RING]; /* files expected, by node */
	uint32_t sizes[RING];
	uint32_t tail, count;
	uint32_t cursor;     /* the last node visited */
	uint32_t window;     /* files that may be in the ring */
	uint64_t bytes;      /* of the files in the ring */
	bool real, finished; /* finished: the tree ends */
	uint64_t used;
};

struct ahead {
	struct follow files[FILES];
	struct walk walks[WALKS];
	uint64_t clock;
	struct chunk_want wants[CHUNKS_AT_ONCE];
	size_t want_count;
};

struct ahead *ahead_new(void)
{
	return calloc(1, sizeof(struct ahead));
}

void ahead_free(struct ahead *a)
{
	free(a);
}

static void flush(struct ahead *a, struct fetch *f)
{
	if (a->want_count > 0)
		fetch_ahead(f, a->wants, a->want_count);
	a->want_count = 0;
}

static void want(struct ahead *a, struct fetch *f, const struct tree_chunk *tc)
{
	a->wants[a->want_count++] = (struct chunk_want){ .id = tc->id, .size = tc->size };
	if (a->want_count == CHUNKS_AT_ONCE)
		flush(a, f);
}

/* Ask for the chunks that hold bytes [from, to) of a file; how far that reaches. */
static uint64_t load_range(struct ahead *a, struct fetch *f, struct tree *t,
			   const struct tree_node *file, uint64_t from, uint64_t to)
{
	struct tree_chunk tc;
	uint32_t index;

	if (tree_chunk_at(t, file, from, &index, NULL) < 0)
		return to;
	for (; from < to && index < file->chunk_count; index++) {
		if (tree_chunks(t, file, index, 1, &tc, NULL) < 0)
			return to;
		want(a, f, &tc);
		from = tc.end;
	}
	return from < to ? to : from;
}

/* --- large files --- */

static struct follow *find_file(struct ahead *a, uint64_t node)
{
	struct follow *idle = &a->files[0];

	for (size_t i = 0; i < FILES; i++) {
		if (a->files[i].node == node) {
			a->files[i].used = ++a->clock;
			return &a->files[i];
		}
		if (a->files[i].used < idle->used)
			idle = &a->files[i];
	}
	*idle = (struct follow){ .node = node, .next = UINT64_MAX, .used = ++a->clock };
	return idle;
}

static bool in_sequence(const struct follow *f, uint64_t off, uint64_t end)
{
	return f->next != UINT64_MAX && off <= f->next + SLACK && end + SLACK >= f->next;
}

static void read_large(struct ahead *a, uint64_t node, const struct content *c, uint64_t off,
		       size_t len)
{
	struct follow *f = find_file(a, node);
	uint64_t end = off + len;

	if (!in_sequence(f, off, end)) {
		*f = (struct follow){ .node = node, .next = end, .used = f->used };
		return;
	}
	if (end <= f->next)
		return;
	f->next = end;
	if (f->loaded < end)
		f->loaded = end;
	/* Not chunk by chunk as the reader goes on: those asked for together are hashed together. */
	if (f->loaded >= c->file.size || (f->window && f->loaded >= end + f->window / 2))
		return;
	f->window = f->window ? 2 * f->window : WINDOW_MIN;
	if (f->window > WINDOW_MAX)
		f->window = WINDOW_MAX;
	f->loaded =
		load_range(a, c->fetch, c->volume->tree, &c->file, f->loaded, end + f->window);
}

/* --- small files --- */

static void ring_clear(struct walk *w)
{
	w->tail = w->count = 0;
	w->bytes = 0;
}

static void ring_push(struct walk *w, uint32_t node, uint32_t size)
{
	uint32_t at = (w->tail + w->count) % RING;

	w->ring[at] = node;
	w->sizes[at] = size;
	w->count++;
	w->bytes += size;
}

/* Leave behind the first n. */
static void ring_drop(struct walk *w, uint32_t n)
{
	for (; n > 0; n--) {
		w->bytes -= w->sizes[w->tail];
		w->tail = (w->tail + 1) % RING;
		w->count--;
	}
}

/* The node behind *at in preorder: 1, or 0 at the end. */
static int step(struct tree *t, uint32_t *at)
{
	struct tree_node n, parent;

	if (tree_node(t, *at, &n, NULL) < 0)
		return 0;
	if (S_ISDIR(n.mode) && n.child_count > 0) {
		*at = n.first_child;
		return 1;
	}
	while (n.index != TREE_ROOT) {
		if (tree_node(t, n.parent, &parent, NULL) < 0)
			return 0;
		if (n.index + 1 - parent.first_child < parent.child_count) {
			*at = n.index + 1;
			return 1;
		}
		n = parent;
	}
	return 0;
}

/* Let the walk look further ahead, up to its window. */
static void look_ahead(struct ahead *a, struct walk *w, const struct content *c)
{
	struct tree *t = c->volume->tree;
	struct tree_node n;

	for (unsigned steps = 0; steps < STEPS_MAX && !w->finished; steps++) {
		if (w->count >= w->window || w->bytes >= WALK_BYTES)
			break;
		w->finished = !step(t, &w->cursor) || tree_node(t, w->cursor, &n, NULL) < 0;
		if (w->finished)
			break;
		if (!S_ISREG(n.mode) || n.chunk_count == 0 || n.size > SMALL ||
		    n.file != n.index)
			continue;
		ring_push(w, n.index, (uint32_t)n.size);
		if (w->real)
			load_range(a, c->fetch, t, &n, 0, n.size);
	}
	flush(a, c->fetch);
}

/* Load what was only expected so far. */
static void load_expected(struct ahead *a, struct walk *w, const struct content *c)
{
	struct tree_node n;

	for (uint32_t i = 0; i < w->count; i++)
		if (tree_node(c->volume->tree, w->ring[(w->tail + i) % RING], &n, NULL) == 0)
			load_range(a, c->fetch, c->volume->tree, &n, 0, n.size);
}

/* A walk that expects this file, moved up to it; or NULL. */
static struct walk *expecting(struct ahead *a, const struct content *c)
{
	for (size_t i = 0; i < WALKS; i++) {
		struct walk *w = &a->walks[i];

		if (w->volume != c->volume)
			continue;
		for (uint32_t k = 0; k < w->count; k++) {
			if (w->ring[(w->tail + k) % RING] == c->file.index) {
				ring_drop(w, k + 1);
				return w;
			}
		}
	}
	return NULL;
}

static void begin_walk(struct ahead *a, const struct content *c)
{
	struct walk *idle = &a->walks[0];

	for (size_t i = 1; i < WALKS; i++)
		if (a->walks[i].used < idle->used)
			idle = &a->walks[i];
	idle->volume = c->volume;
	ring_clear(idle);
	idle->cursor = c->file.index;
	idle->window = EXPECTED_FIRST;
	idle->real = idle->finished = false;
	idle->used = ++a->clock;
	look_ahead(a, idle, c);
}

static void read_small(struct ahead *a, const struct content *c)
{
	struct walk *w = expecting(a, c);

	if (!w) {
		begin_walk(a, c);
		return;
	}
	w->used = ++a->clock;
	if (!w->real) {
		w->real = true;
		load_expected(a, w, c);
	}
	if (w->window < RING)
		w->window = w->window * 2 < RING ? w->window * 2 : RING;
	/* By halves, so that most reads cost nothing here. */
	if (w->count <= w->window / 2)
		look_ahead(a, w, c);
	flush(a, c->fetch);
}

void ahead_read(struct ahead *a, uint64_t node, const struct content *c, uint64_t off,
		size_t len)
{
	if (c->file.chunk_count > 1 && c->file.size > len) {
		read_large(a, node, c, off, len);
		flush(a, c->fetch);
	}
	if (off == 0 && c->file.size <= SMALL)
		read_small(a, c);
}
