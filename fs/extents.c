/*
 * extents.c - see extents.h.
 *
 * The tree is a treap: ordered by offset, and a heap by random numbers, which keeps it flat.
 * Splitting it at an offset and joining two of them is all it can do, and all that is needed.
 */

#include "fs/extents.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct extent_node {
	struct extent x;
	struct extent_node *left, *right;
	uint32_t weight; /* not below that of its children */
};

/* --- one extent --- */

static void tell(const struct extents_watch *w, const struct extent *x, int by)
{
	if (w && w->change)
		w->change(w->arg, x, by);
}

/* The first n bytes go. */
static void cut_front(struct extent *x, uint64_t n)
{
	x->off += n;
	x->len -= n;
	if (x->kind == EXTENT_SPILL)
		x->pos += n;
	else if (extent_is_chunk(x))
		x->from += (uint32_t)n;
}

static bool same_thing(const struct extent *a, const struct extent *b)
{
	if (a->kind != b->kind || a->off + a->len != b->off)
		return false;
	switch ((enum extent_kind)a->kind) {
	case EXTENT_HOLE: return true;
	case EXTENT_SPILL: return a->pos + a->len == b->pos;
	case EXTENT_CHUNK:
		return a->from + a->len == b->from && a->size == b->size &&
		       a->zeros == b->zeros && id_equal(&a->id, &b->id);
	case EXTENT_FLIGHT: return a->from + a->len == b->from && a->flight == b->flight;
	}
	return false;
}

/* --- trees --- */

static uint32_t weight_of(const struct extent_node *n)
{
	uint64_t h = (uint64_t)(uintptr_t)n * UINT64_C(0x9e3779b97f4a7c15);

	h ^= h >> 29;
	h *= UINT64_C(0xbf58476d1ce4e5b9);
	return (uint32_t)(h >> 32);
}

/* Those that start below `off`, and the others. */
static void split(struct extent_node *n, uint64_t off, struct extent_node **below,
		  struct extent_node **others)
{
	while (n) {
		if (n->x.off < off) {
			*below = n;
			below = &n->right;
			n = n->right;
		} else {
			*others = n;
			others = &n->left;
			n = n->left;
		}
	}
	*below = *others = NULL;
}

static struct extent_node *join(struct extent_node *a, struct extent_node *b)
{
	struct extent_node *root = NULL, **at = &root;

	while (a && b) {
		if (a->weight >= b->weight) {
			*at = a;
			at = &a->right;
			a = a->right;
		} else {
			*at = b;
			at = &b->left;
			b = b->left;
		}
	}
	*at = a ? a : b;
	return root;
}

static struct extent_node *first_of(struct extent_node *n)
{
	while (n && n->left)
		n = n->left;
	return n;
}

static struct extent_node *last_of(struct extent_node *n)
{
	while (n && n->right)
		n = n->right;
	return n;
}

static struct extent_node *use_room(struct extents_room *room, const struct extent *x)
{
	struct extent_node *n;

	assert(room->count > 0);
	n = room->nodes[--room->count];
	*n = (struct extent_node){ .x = *x, .weight = weight_of(n) };
	return n;
}

/* --- from one to many and back --- */

static struct extent_node *take_tree(struct extents *t, struct extents_room *room)
{
	if (t->count == 0)
		return NULL;
	return t->count == 1 ? use_room(room, &t->one) : t->root;
}

static void give_tree(struct extents *t, struct extent_node *root)
{
	if (t->count == 1) {
		t->one = root->x;
		free(root);
	} else {
		t->root = root;
	}
}

int extents_reserve(const struct extents *t, struct extents_room *room)
{
	*room = (struct extents_room){ .count = 0 };
	if (t->count == 0)
		return 0;
	while (room->count < EXTENTS_ROOM) {
		room->nodes[room->count] = malloc(sizeof(struct extent_node));
		if (!room->nodes[room->count]) {
			extents_room_fini(room);
			return -ENOMEM;
		}
		room->count++;
	}
	return 0;
}

void extents_room_fini(struct extents_room *room)
{
	while (room->count > 0)
		free(room->nodes[--room->count]);
}

/* --- changes --- */

/* In post-order without a stack: what a node has on its left is hung below its right. */
static size_t drop_tree(struct extent_node *n, const struct extents_watch *w)
{
	size_t count = 0;

	while (n) {
		struct extent_node *next = n->right;

		if (n->left) {
			struct extent_node *left = n->left;

			n->left = left->right;
			left->right = n;
			n = left;
			continue;
		}
		tell(w, &n->x, -1);
		free(n);
		count++;
		n = next;
	}
	return count;
}

void extents_fini(struct extents *t, const struct extents_watch *w)
{
	if (t->count == 1)
		tell(w, &t->one, -1);
	else if (t->count > 1)
		drop_tree(t->root, w);
	*t = (struct extents){ .count = 0 };
}

/* Cut the tree in two at `off`, an extent that goes across it too. */
static void split_at(struct extents *t, struct extent_node *root, uint64_t off,
		     struct extent_node **before, struct extent_node **behind,
		     struct extents_room *room, const struct extents_watch *w)
{
	struct extent_node *last;
	struct extent rest;

	split(root, off, before, behind);
	last = last_of(*before);
	if (!last || extent_end(&last->x) <= off)
		return;
	rest = last->x;
	cut_front(&rest, off - rest.off);
	last->x.len = off - last->x.off;
	*behind = join(use_room(room, &rest), *behind);
	tell(w, &rest, 1);
	t->count++;
}

/* b's end is the end of both. */
static void absorb(struct extent *a, const struct extent *b)
{
	a->len += b->len;
	a->cut = b->cut;
}

/* Join two trees, and their extents where they meet. */
static struct extent_node *join_touching(struct extents *t, struct extent_node *a,
					 struct extent_node *b, const struct extents_watch *w)
{
	struct extent_node *last = last_of(a), *first = first_of(b), *rest;

	if (last && first && same_thing(&last->x, &first->x)) {
		absorb(&last->x, &first->x);
		split(b, first->x.off + 1, &first, &rest);
		t->count -= drop_tree(first, w);
		b = rest;
	}
	return join(a, b);
}

/* A file that grows at its end by what its last extent is. */
static bool grow_last(struct extents *t, const struct extent *x)
{
	if (t->count != 1 || extent_end(&t->one) != x->off || !same_thing(&t->one, x))
		return false;
	absorb(&t->one, x);
	return true;
}

void extents_replace(struct extents *t, const struct extent *x, struct extents_room *room,
		     const struct extents_watch *w)
{
	struct extent_node *root, *before, *within, *behind;

	assert(x->len > 0);
	assert(x->off <= extents_end(t));
	if (grow_last(t, x))
		return;
	tell(w, x, 1);
	if (t->count == 0) {
		t->one = *x;
		t->count = 1;
		return;
	}
	root = take_tree(t, room);
	split_at(t, root, x->off, &before, &within, room, w);
	split_at(t, within, extent_end(x), &within, &behind, room, w);
	t->count -= drop_tree(within, w);
	t->count++;
	root = join_touching(t, before, use_room(room, x), w);
	give_tree(t, join_touching(t, root, behind, w));
}

void extents_truncate(struct extents *t, uint64_t end, const struct extents_watch *w)
{
	struct extent_node *before, *behind, *last;

	if (end >= extents_end(t))
		return;
	if (t->count == 1 || end == 0) {
		if (end == 0)
			extents_fini(t, w);
		else
			t->one.len = end - t->one.off;
		return;
	}
	split(t->root, end, &before, &behind);
	t->count -= drop_tree(behind, w);
	last = last_of(before);
	last->x.len = end - last->x.off < last->x.len ? end - last->x.off : last->x.len;
	give_tree(t, before);
}

/* --- looking --- */

uint64_t extents_end(const struct extents *t)
{
	if (t->count == 0)
		return 0;
	return extent_end(t->count == 1 ? &t->one : &last_of(t->root)->x);
}

int extents_at(const struct extents *t, uint64_t off, struct extent *out)
{
	const struct extent *found = NULL;

	if (t->count == 1)
		found = &t->one;
	for (const struct extent_node *n = t->count > 1 ? t->root : NULL; n;) {
		if (n->x.off <= off) {
			found = &n->x;
			n = n->right;
		} else {
			n = n->left;
		}
	}
	if (!found || off < found->off || off >= extent_end(found))
		return 0;
	*out = *found;
	return 1;
}

static int each(struct extent_node *n, uint64_t from, uint64_t to,
		int (*fn)(void *arg, struct extent *x), void *arg)
{
	int rc = 0;

	while (n && rc == 0) {
		if (n->x.off >= to) {
			n = n->left;
			continue;
		}
		if (n->x.off > from)
			rc = each(n->left, from, to, fn, arg);
		if (rc == 0 && extent_end(&n->x) > from)
			rc = fn(arg, &n->x);
		n = n->right;
	}
	return rc;
}

int extents_each(struct extents *t, uint64_t from, uint64_t to,
		 int (*fn)(void *arg, struct extent *x), void *arg)
{
	if (t->count == 1)
		return t->one.off < to && extent_end(&t->one) > from ? fn(arg, &t->one) : 0;
	return t->count > 1 ? each(t->root, from, to, fn, arg) : 0;
}
