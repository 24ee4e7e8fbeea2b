/*
 * ingest.c - what all contents of a mount share, and contents as such: who has one, how it is cut; see
 * ingest.h, and ingest_internal.h for who may touch what.
 */

#include "fs/ingest_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum {
	MEMORY_DEFAULT = 64 << 20,
	UNDER_WAY_EACH = 8 << 20, /* plaintext bytes in the pipeline, for each processor ... */
	UNDER_WAY_MORE = 2,       /* ... and as for so many more: being filled, being written */
};

/* --- one at a time --- */

void ingest_wake_locked(struct ingest *in)
{
	if (in->waiters > 0)
		cond_broadcast(&in->changed);
}

void ingest_wait_locked(struct ingest *in)
{
	in->waiters++;
	cond_wait(&in->changed, &in->lock);
	in->waiters--;
}

int content_enter(struct stage_content *c, bool may_wait)
{
	struct ingest *in = c->in;
	int rc = 0;

	mutex_lock(&in->lock);
	while (c->busy && may_wait)
		ingest_wait_locked(in);
	if (c->busy)
		rc = -EAGAIN;
	else
		c->busy = true;
	mutex_unlock(&in->lock);
	return rc;
}

static void unlink_tail(struct ingest *in, struct active *a)
{
	*(a->older ? &a->older->newer : &in->oldest) = a->newer;
	*(a->newer ? &a->newer->older : &in->newest) = a->older;
	a->older = a->newer = NULL;
}

/* Those whose tails change are the newest. */
static void count_tail_locked(struct stage_content *c)
{
	struct ingest *in = c->in;
	struct active *a = c->active;

	if (!a || a->tail.len == a->counted)
		return;
	if (a->counted > 0)
		unlink_tail(in, a);
	in->tail_bytes += a->tail.len - a->counted;
	a->counted = a->tail.len;
	if (a->counted == 0)
		return;
	a->older = in->newest;
	*(in->newest ? &in->newest->newer : &in->oldest) = a;
	in->newest = a;
}

/* A content that is nothing but a list of chunks needs no more than that. */
void content_rest_locked(struct stage_content *c)
{
	struct active *a = c->active;

	if (a && a->pieces && a->pieces->version != c->version && a->flights == 0)
		free(TAKE(a->pieces));
	if (!a || a->pieces || a->tail.len > 0 || a->flights > 0 || a->dirty != UINT64_MAX ||
	    a->counted > 0)
		return;
	block_unref_locked(c->in, a->tail.block);
	free(a);
	c->active = NULL;
}

void content_leave(struct stage_content *c)
{
	struct ingest *in = c->in;

	mutex_lock(&in->lock);
	content_land_locked(c);
	count_tail_locked(c);
	content_rest_locked(c);
	c->busy = false;
	ingest_wake_locked(in);
	mutex_unlock(&in->lock);
}

int content_activate(struct stage_content *c, struct err *e)
{
	if (c->active)
		return 0;
	c->active = calloc(1, sizeof(*c->active));
	if (!c->active)
		return err_nomem(e, "file content");
	c->active->content = c;
	c->active->dirty = UINT64_MAX;
	return 0;
}

int ingest_relieve(struct ingest *in, size_t n, struct err *e)
{
	for (;;) {
		struct stage_content *c = NULL;
		bool enough;
		int rc;

		mutex_lock(&in->lock);
		enough = in->tail_bytes + n <= in->memory;
		for (struct active *a = enough ? NULL : in->oldest; a && !c; a = a->newer)
			if (!a->content->busy)
				c = a->content;
		if (c)
			c->busy = true;
		mutex_unlock(&in->lock);
		if (!c)
			return enough;
		rc = content_spill_tail(c, e);
		content_leave(c);
		if (rc < 0)
			return rc;
	}
}

/* --- how chunks are made --- */

static void chunking_free(struct chunking *k)
{
	if (k)
		chunker_free(k->chunker);
	free(k);
}
DEFINE_CLEANUP(struct chunking *, chunking_free);

static int chunking_new(struct chunking **out, const struct ingest *in,
			const struct chunker_params *p, struct err *e)
{
	CLEANUP(chunking_freep) struct chunking *k = calloc(1, sizeof(*k));
	int rc = k ? chunker_new(&k->chunker, p, in->seed, e) : err_nomem(e, "chunker");

	if (rc < 0)
		return rc;
	k->params = *p;
	k->chunk_max = chunker_max(k->chunker);
	k->tail_max = k->chunk_max + PIECE;
	k->fixed = p->algorithm == CHUNKER_FIXED;
	k->fixed_header = k->fixed ? p->header_size : 0;
	/* The hash at a cut covers a window behind it, and that is seen only where a byte follows. */
	k->reach = k->fixed ? 0 : p->window + 1;
	*out = TAKE(k);
	return 0;
}

static int too_many_ways(struct err *e)
{
	return err_set(e, ENOSPC, "a mount can have %d different ones", WAYS_MAX);
}

int ingest_chunking(struct ingest *in, const struct chunker_params *p, uint8_t *out,
		    struct err *e)
{
	size_t i = 0;
	int rc = 0;

	mutex_lock(&in->lock);
	while (i < in->chunking_count && !chunker_params_equal(&in->chunkings[i]->params, p))
		i++;
	if (i == WAYS_MAX)
		rc = too_many_ways(e);
	else if (i == in->chunking_count)
		rc = chunking_new(&in->chunkings[i], in, p, e);
	if (rc == 0 && i == in->chunking_count)
		in->chunking_count++;
	mutex_unlock(&in->lock);
	*out = (uint8_t)i;
	return rc;
}

int ingest_compression(struct ingest *in, const struct compression *how, uint8_t *out,
		       struct err *e)
{
	size_t i = 1;
	int rc = 0;

	mutex_lock(&in->lock);
	while (i < in->compression_count && !compression_equal(&in->compressions[i], how))
		i++;
	if (i == WAYS_MAX)
		rc = too_many_ways(e);
	else if (i == in->compression_count)
		in->compressions[in->compression_count++] = *how;
	mutex_unlock(&in->lock);
	*out = (uint8_t)i;
	return rc;
}

const struct chunker_params *ingest_chunker_params(struct ingest *in, uint8_t chunking)
{
	return &in->chunkings[chunking]->params;
}

const struct compression *ingest_compression_of(struct ingest *in, uint8_t n)
{
	assert(n > 0);
	return &in->compressions[n];
}

/* --- life --- */

int ingest_new(struct ingest **out, const struct ingest_options *options, struct err *e)
{
	CLEANUP(ingest_freep) struct ingest *in = calloc(1, sizeof(*in));
	uint8_t first;
	int rc;

	if (!in)
		return err_nomem(e, "file contents");
	mutex_init(&in->lock);
	cond_init(&in->changed);
	table_init(&in->fresh, sizeof(struct chunk_id), sizeof(struct fresh));
	slab_init(&in->contents, sizeof(struct stage_content));
	flights_init(&in->queue);
	flights_init(&in->stranded);
	in->fetch = options->fetch;
	in->memory = options->memory ? options->memory : MEMORY_DEFAULT;
	in->seed = options->seed;
	in->compression_count = 1;
	rc = ingest_chunking(in, &options->chunker, &first, e);
	if (rc == 0)
		rc = spill_open(&in->spill, options->spill_dir, e);
	if (rc < 0)
		return rc;
	in->under_way_max = (cpu_count() + UNDER_WAY_MORE) * (size_t)UNDER_WAY_EACH;
	in->round = 1;
	*out = TAKE(in);
	return 0;
}

void ingest_free(struct ingest *in)
{
	struct flight *f;

	if (!in)
		return;
	assert(in->contents.used == 0);
	while ((f = flights_pop(&in->queue)) || (f = flights_pop(&in->stranded)))
		flight_free_locked(in, f);
	blocks_free_spare(in);
	spill_close(in->spill);
	for (size_t i = 0; i < in->chunking_count; i++)
		chunking_free(in->chunkings[i]);
	table_fini(&in->fresh);
	slab_fini(&in->contents);
	cond_fini(&in->changed);
	mutex_fini(&in->lock);
	free(in);
}

void ingest_stats(struct ingest *in, struct ingest_stats *out)
{
	mutex_lock(&in->lock);
	*out = (struct ingest_stats){
		.tail_bytes = in->tail_bytes,
		.under_way_bytes = in->under_way,
		.stored_chunks = in->fresh.count,
		.settle_read_bytes = in->settle_read,
	};
	mutex_unlock(&in->lock);
	out->spill_bytes = spill_used(in->spill);
}

static_assert(sizeof(struct stage_content) <= 120, "there may be millions of them");

struct stage_content *staged_new(struct ingest *in, struct staged_ways ways)
{
	struct stage_content *c;
	uint64_t number;

	mutex_lock(&in->lock);
	c = slab_take(&in->contents, &number);
	if (c) {
		c->in = in;
		c->place = (uint32_t)number;
		c->chunking = ways.chunking;
		c->compression = ways.compression;
	}
	mutex_unlock(&in->lock);
	return c;
}

void staged_free(struct stage_content *c)
{
	struct ingest *in;

	if (!c)
		return;
	in = c->in;
	(void)content_enter(c, true);
	content_cut(c, 0);
	mutex_lock(&in->lock);
	if (c->active) {
		content_abandon_locked(c);
		c->active->tail.len = 0;
		c->active->dirty = UINT64_MAX;
		count_tail_locked(c);
		content_rest_locked(c);
	}
	slab_give(&in->contents, c->place);
	ingest_wake_locked(in);
	mutex_unlock(&in->lock);
}
