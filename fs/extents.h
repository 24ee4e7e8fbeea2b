#ifndef FS_EXTENTS_H
#define FS_EXTENTS_H

/*
 * extents.h - what each range of a file is made of.
 *
 * Extents cover the file from 0 to extents_end() without gaps or overlaps, in the order of their
 * offsets.  Neighbours that are one thing are one extent: pieces of a chunk that come together
 * again are the chunk.  One extent lives in the struct itself; more in a tree, where a change costs
 * O(log n).
 *
 * Threads: one user.
 */

#include "core/base/bytes.h"
#include "core/base/id.h"

enum extent_kind {
	EXTENT_HOLE,
	EXTENT_SPILL,  /* bytes in the spill file */
	EXTENT_CHUNK,  /* a range of a stored chunk */
	EXTENT_FLIGHT, /* a range of a chunk whose id is not known yet */
};

/* Why a chunk ends where it ends. */
enum extent_cut {
	CUT_NONE,   /* because its file ended, or nobody knows */
	CUT_OWN,    /* the chunker has cut there, by what stands before and behind it */
	CUT_SOURCE, /* so it was in the file it was copied from, which went on */
};

struct flight;

struct extent {
	uint64_t off, len; /* in the file; len > 0 */
	union {
		struct chunk_id id;
		struct flight *flight;
		uint64_t pos; /* in the spill file */
	};
	/* Of chunks: */
	uint32_t size, csize; /* of all of it */
	uint32_t from;        /* the extent is bytes [from, from + len) of it */
	uint8_t kind, cut;    /* enum extent_kind, enum extent_cut */
	bool zeros;           /* it was a hole: nothing but zeros */
};

/* Chunks have two kinds: those with an id and those without. */
static inline bool extent_is_chunk(const struct extent *x)
{
	return x->kind == EXTENT_CHUNK || x->kind == EXTENT_FLIGHT;
}

static inline bool extent_is_whole(const struct extent *x)
{
	return extent_is_chunk(x) && x->from == 0 && x->len == x->size;
}

/* Nothing but zeros, because it was a hole? */
static inline bool extent_is_hole(const struct extent *x)
{
	return x->kind == EXTENT_HOLE || x->zeros;
}

static inline uint64_t extent_end(const struct extent *x)
{
	return x->off + x->len;
}

struct extent_node;

struct extents { /* zeroed: empty */
	union {
		struct extent one;
		struct extent_node *root;
	};
	size_t count; /* 1: `one`; more: `root` */
};

/* Told of each extent that comes or goes, by splitting and joining too.  May be NULL. */
struct extents_watch {
	void (*change)(void *arg, const struct extent *x, int by); /* by: +1 or -1 */
	void *arg;
};

void extents_fini(struct extents *t, const struct extents_watch *w);

uint64_t extents_end(const struct extents *t);
/* The extent that has the byte at off: 1, or 0 behind the end. */
int extents_at(const struct extents *t, uint64_t off, struct extent *out);
/*
 * All that have a byte of [from, to), in order; nonzero stops, and is returned.  fn may change
 * everything but off, len and whatever makes it one with a neighbour.
 */
int extents_each(struct extents *t, uint64_t from, uint64_t to,
		 int (*fn)(void *arg, struct extent *x), void *arg);

/* Memory for one change, taken before it so that the change cannot fail. */
enum { EXTENTS_ROOM = 4 };
struct extents_room {
	struct extent_node *nodes[EXTENTS_ROOM];
	size_t count;
};
int extents_reserve(const struct extents *t, struct extents_room *room); /* -ENOMEM */
void extents_room_fini(struct extents_room *room);                       /* also a cleanup */

/* x takes the place of what is in its range; it starts at the end or before it. */
void extents_replace(struct extents *t, const struct extent *x, struct extents_room *room,
		     const struct extents_watch *w);
/* What is behind `end` goes. */
void extents_truncate(struct extents *t, uint64_t end, const struct extents_watch *w);

#endif
