/* chunk.c - see chunk.h. */

#include "core/store/chunk.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/thread.h"

enum {
	SPARE_COUNT = 16,
	SPARE_LEAST = 128 * 1024, /* smaller ones malloc(3) recycles as fast as we could */
	WASTE = 64,               /* bytes of bookkeeping a small chunk costs besides its own */
};

struct chunk_heap {
	atomic_uint refs; /* one of the owner, one of each chunk */
	size_t spare_max;
	struct mutex lock; /* guards what follows */
	struct buf spare[SPARE_COUNT];
	size_t spare_count, spare_bytes;
};

struct chunk_body {
	struct chunk view; /* first: a chunk is a pointer to its body */
	atomic_uint refs;
	struct buf buf;
	struct chunk_heap *heap;
};

static struct chunk_body *body(struct chunk *c)
{
	return (struct chunk_body *)c;
}

struct chunk_heap *chunk_heap_new(size_t spare_max)
{
	struct chunk_heap *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	atomic_init(&h->refs, 1);
	h->spare_max = spare_max;
	mutex_init(&h->lock);
	return h;
}

void chunk_heap_trim(struct chunk_heap *h)
{
	struct buf out[SPARE_COUNT];
	size_t count;

	mutex_lock(&h->lock);
	count = h->spare_count;
	memcpy(out, h->spare, count * sizeof(out[0]));
	h->spare_count = 0;
	h->spare_bytes = 0;
	mutex_unlock(&h->lock);
	for (size_t i = 0; i < count; i++)
		buf_fini(&out[i]);
}

void chunk_heap_unref(struct chunk_heap *h)
{
	if (!h || atomic_fetch_sub_explicit(&h->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < h->spare_count; i++)
		buf_fini(&h->spare[i]);
	mutex_fini(&h->lock);
	free(h);
}

/* The smallest spare buffer that has room for size bytes and is not half wasted on them. */
static struct buf take_spare(struct chunk_heap *h, size_t size)
{
	struct buf found = BUF_INIT;
	size_t best = SPARE_COUNT;

	if (size < SPARE_LEAST / 2)
		return found;
	mutex_lock(&h->lock);
	for (size_t i = 0; i < h->spare_count; i++) {
		size_t cap = h->spare[i].cap;

		if (cap >= size && cap / 2 <= size &&
		    (best == SPARE_COUNT || cap < h->spare[best].cap))
			best = i;
	}
	if (best < SPARE_COUNT) {
		found = h->spare[best];
		h->spare[best] = h->spare[--h->spare_count];
		h->spare_bytes -= found.cap;
	}
	mutex_unlock(&h->lock);
	return found;
}

/* Keep the buffer, or free it; where there is no room the oldest makes place. */
static void give_spare(struct chunk_heap *h, struct buf *b)
{
	struct buf out[SPARE_COUNT];
	size_t dropped = 0;

	if (b->cap < SPARE_LEAST || b->cap > h->spare_max) {
		buf_fini(b);
		return;
	}
	mutex_lock(&h->lock);
	while (h->spare_count == SPARE_COUNT || h->spare_bytes + b->cap > h->spare_max) {
		out[dropped] = h->spare[0];
		h->spare_bytes -= out[dropped++].cap;
		memmove(h->spare, h->spare + 1, --h->spare_count * sizeof(h->spare[0]));
	}
	h->spare[h->spare_count++] = *b;
	h->spare_bytes += b->cap;
	mutex_unlock(&h->lock);
	for (size_t i = 0; i < dropped; i++)
		buf_fini(&out[i]); /* munmap(2) is slow: not under the lock */
}

struct chunk *chunk_new(struct chunk_heap *h, size_t size)
{
	struct chunk_body *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->buf = take_spare(h, size);
	b->buf.len = 0;
	if (size > 0 && buf_reserve(&b->buf, size) < 0) {
		free(b);
		return NULL;
	}
	atomic_init(&b->refs, 1);
	b->heap = h;
	atomic_fetch_add_explicit(&h->refs, 1, memory_order_relaxed);
	return &b->view;
}

struct buf *chunk_buf(struct chunk *c)
{
	return &body(c)->buf;
}

void chunk_finish(struct chunk *c)
{
	struct buf *b = chunk_buf(c);

	/* A wrong hint must not make small chunks occupy much; spare buffers may be up to
	 * twice the size. */
	if (b->len > 0 && b->cap / 2 > b->len + WASTE) {
		uint8_t *p = realloc(b->p, b->len);

		if (p) {
			b->p = p;
			b->cap = b->len;
		}
	}
	c->p = b->p;
	c->len = b->len;
}

size_t chunk_cost(const struct chunk *c)
{
	return sizeof(struct chunk_body) + ((const struct chunk_body *)c)->buf.cap;
}

void chunk_ref(struct chunk *c)
{
	atomic_fetch_add_explicit(&body(c)->refs, 1, memory_order_relaxed);
}

void chunk_unref(struct chunk *c)
{
	struct chunk_body *b = body(c);

	if (!c || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
		return;
	give_spare(b->heap, &b->buf);
	chunk_heap_unref(b->heap);
	free(b);
}
