/* ingest_memory.c - see ingest_internal.h: memory of bytes that are not stored yet, blocks and runs in them. */

#include "fs/ingest_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	BLOCK_GRAIN = 64,
	SPARE_BLOCKS = 4,
};

/* --- blocks --- */

void block_unref_locked(struct ingest *in, struct block *b)
{
	if (!b || --b->refs > 0)
		return;
	if (b->large && in->spare_count < SPARE_BLOCKS) {
		b->next = in->spare;
		in->spare = b;
		in->spare_count++;
		return;
	}
	free(b->p);
	free(b);
}

static struct block *take_spare(struct ingest *in, size_t cap)
{
	struct block **at = &in->spare, *b;

	mutex_lock(&in->lock);
	while (*at && (*at)->cap < cap)
		at = &(*at)->next;
	b = *at;
	if (b) {
		*at = b->next;
		in->spare_count--;
	}
	mutex_unlock(&in->lock);
	return b;
}

static struct block *new_block(struct ingest *in, size_t cap, bool large)
{
	struct block *b = large ? take_spare(in, cap) : NULL;

	if (!b) {
		b = calloc(1, sizeof(*b));
		if (!b || !(b->p = malloc(cap))) {
			free(b);
			return NULL;
		}
		b->cap = cap;
		b->large = large;
	}
	b->refs = 1;
	return b;
}

void blocks_free_spare(struct ingest *in)
{
	while (in->spare) {
		struct block *b = in->spare;

		in->spare = b->next;
		free(b->p);
		free(b);
	}
}

static bool is_mine_alone(struct ingest *in, const struct block *b)
{
	bool alone;

	mutex_lock(&in->lock);
	alone = b->refs == 1;
	mutex_unlock(&in->lock);
	return alone;
}

static int grow_block(struct block *b, size_t need, size_t tail_max)
{
	size_t cap = 2 * b->cap < tail_max ? 2 * b->cap : tail_max;
	uint8_t *p;

	if (cap < need)
		cap = need;
	p = realloc(b->p, cap);
	if (!p)
		return -ENOMEM;
	b->p = p;
	b->cap = cap;
	b->large = cap >= tail_max;
	return 0;
}

/* --- runs --- */

/* A file begins with a block of its own size, which grows; one that has had its first chunk cut is
 * worth a large one. */
int run_reserve(struct stage_content *c, struct run *r, size_t n, struct err *e)
{
	struct ingest *in = c->in;
	size_t need = r->len + n, tail_max = chunking_of(c)->tail_max;
	struct block *b = r->block;

	if (b && b->cap - r->start >= need)
		return 0;
	if (b && r->start == 0 && is_mine_alone(in, b))
		return grow_block(b, need, tail_max) < 0 ? err_nomem(e, "file content") : 0;
	if (b && need < tail_max)
		need = tail_max;
	b = new_block(in, (need + BLOCK_GRAIN - 1) / BLOCK_GRAIN * BLOCK_GRAIN,
		      need >= tail_max);
	if (!b)
		return err_nomem(e, "file content");
	if (r->len > 0)
		memcpy(b->p, run_bytes(r).p, r->len);
	mutex_lock(&in->lock);
	block_unref_locked(in, r->block);
	mutex_unlock(&in->lock);
	r->block = b;
	r->start = 0;
	return 0;
}

void run_drop(struct ingest *in, struct run *r)
{
	if (r->block) {
		mutex_lock(&in->lock);
		block_unref_locked(in, r->block);
		mutex_unlock(&in->lock);
	}
	*r = (struct run){ .block = NULL };
}

void run_consume(struct run *r, size_t n)
{
	r->start += n;
	r->len -= n;
	r->cut = 0;
}

void run_rescan(struct run *r, uint64_t at)
{
	r->scan = (struct chunker_scan){ .at = at };
	r->cut = 0;
}
