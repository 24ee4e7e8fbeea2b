/*
 * ingest.c - what all contents of a mount share: the pipeline, memory, what was stored; see
 * ingest.h, and ingest_internal.h for who may touch what.
 *
 * A chunk in the pipeline is a flight.  Its bytes stay where they are, in the block that was the
 * tail of its file, until its id is there; reading goes on from them.  Results are taken from the
 * pipeline by whoever comes by with the lock.  Where the pipeline fails, its flights are stranded
 * and go into the next one.
 */

#include "fs/ingest_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum {
	MEMORY_DEFAULT = 64 << 20,
	UNDER_WAY_EACH = 8 << 20, /* plaintext bytes in the pipeline, for each processor ... */
	UNDER_WAY_MORE = 2,       /* ... and as for so many more: being filled, being written */
	BLOCK_GRAIN = 64,
	SPARE_BLOCKS = 4,
};

/* --- memory of bytes --- */

static void unref_block_locked(struct ingest *in, struct block *b)
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
	unref_block_locked(in, r->block);
	mutex_unlock(&in->lock);
	r->block = b;
	r->start = 0;
	return 0;
}

void run_drop(struct ingest *in, struct run *r)
{
	if (r->block) {
		mutex_lock(&in->lock);
		unref_block_locked(in, r->block);
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

/* --- chunks stored since the last commit --- */

void ingest_refer(struct ingest *in, const struct extent *x, int by)
{
	struct fresh *f;

	if (x->kind != EXTENT_CHUNK)
		return;
	mutex_lock(&in->lock);
	f = table_get(&in->fresh, &x->id);
	if (f)
		f->refs = (uint32_t)((int64_t)f->refs + by);
	mutex_unlock(&in->lock);
}

static int collect_orphans(struct ingest *in, struct buf *out)
{
	const void *key;
	void *value;
	size_t at = 0;
	int rc = 0;

	mutex_lock(&in->lock);
	assert(!in->put);
	while (rc == 0 && table_next(&in->fresh, &at, &key, &value)) {
		const struct fresh *f = value;

		if (f->refs == 0 && f->round != in->round)
			rc = buf_append(out, key, sizeof(struct chunk_id));
	}
	mutex_unlock(&in->lock);
	return rc;
}

int ingest_orphans(struct ingest *in, int (*fn)(void *arg, const struct chunk_id *id),
		   void *arg)
{
	CLEANUP(buf_fini) struct buf ids = BUF_INIT;
	struct chunk_id id;
	int rc = collect_orphans(in, &ids);

	for (size_t at = 0; rc == 0 && at < ids.len; at += sizeof(id)) {
		memcpy(&id, ids.p + at, sizeof(id));
		rc = fn(arg, &id);
	}
	return rc;
}

/* What no archive has, as only files without a name refer to it, is asked for again. */
void ingest_committed(struct ingest *in)
{
	struct table rest;
	const void *key;
	void *value;
	size_t at = 0;

	table_init(&rest, sizeof(struct chunk_id), sizeof(struct fresh));
	mutex_lock(&in->lock);
	while (table_next(&in->fresh, &at, &key, &value)) {
		const struct fresh *f = value;
		struct fresh *kept = NULL;

		if (f->refs > 0 && f->round != in->round)
			kept = table_put(&rest, key, NULL);
		if (kept)
			*kept = (struct fresh){ .refs = f->refs, .durable = true };
	}
	table_fini(&in->fresh);
	in->fresh = rest;
	in->round++;
	mutex_unlock(&in->lock);
}

static int names_lost(void *arg, struct extent *x)
{
	const struct ingest *in = arg;
	const struct fresh *f = x->kind == EXTENT_CHUNK ? table_get(&in->fresh, &x->id) : NULL;

	return f && !f->durable;
}

/* Each content in turn, not busy; fn may mark it busy, release the lock and take it again, and be
 * not busy at its end. */
static void each_content_locked(struct ingest *in,
				void (*fn)(void *arg, struct stage_content *c), void *arg)
{
	for (uint64_t place = 0; place < slab_end(&in->contents);) {
		struct stage_content *c = slab_at(&in->contents, (uint32_t)place);

		if (c && c->busy) {
			in->waiters++;
			cond_wait(&in->changed, &in->lock);
			in->waiters--;
			continue; /* it may have been freed */
		}
		place++;
		if (c)
			fn(arg, c);
	}
}

struct rescue {
	struct ingest *in;
	int rc;
	struct err *err;
};

/* What was not stored need not fill the next pipeline before anybody settles it. */
static bool is_uncommitted(struct ingest *in, struct extent *x)
{
	bool lost;

	if (x->kind == EXTENT_FLIGHT)
		return true;

	mutex_lock(&in->lock);
	lost = names_lost(in, x);
	mutex_unlock(&in->lock);
	return lost;
}

static void rescue_content(void *arg, struct stage_content *c)
{
	struct rescue *r = arg;
	int rc;

	if (!(c->active && c->active->flights > 0) &&
	    !extents_each(&c->extents, 0, UINT64_MAX, names_lost, r->in))
		return;
	c->busy = true;
	mutex_unlock(&r->in->lock);
	rc = content_spill_chunks(c, is_uncommitted, r->rc == 0 ? r->err : NULL);
	if (r->rc == 0)
		r->rc = rc;
	if (rc == 0)
		ingest_abandon(c);
	content_leave(c);
	mutex_lock(&r->in->lock);
}

int ingest_rescue(struct ingest *in, struct err *e)
{
	struct rescue r = { .in = in, .err = e };

	mutex_lock(&in->lock);
	assert(!in->put);
	if (in->fresh.count > 0 || in->stranded.first)
		each_content_locked(in, rescue_content, &r);
	mutex_unlock(&in->lock);
	return r.rc;
}

static bool piece_is_lost(const struct ingest *in, const struct pieces *p)
{
	bool lost = p->missing > 0;

	for (size_t i = 0; !lost && i < p->count; i++) {
		const struct fresh *f = table_get(&in->fresh, &p->v[i].id);

		lost = f && !f->durable;
	}
	return lost;
}

static void lose_content(void *arg, struct stage_content *c)
{
	if (c->active && c->active->pieces && piece_is_lost(arg, c->active->pieces))
		free(TAKE(c->active->pieces));
	if (extents_each(&c->extents, 0, UINT64_MAX, names_lost, arg))
		c->failed = EIO;
}

/* Of what was stored only that is left which a commit has seen. */
static void forget_lost_locked(struct ingest *in)
{
	struct table rest;
	const void *key;
	void *value;
	size_t at = 0;

	table_init(&rest, sizeof(struct chunk_id), sizeof(struct fresh));
	while (table_next(&in->fresh, &at, &key, &value)) {
		const struct fresh *f = value;
		struct fresh *kept = f->durable ? table_put(&rest, key, NULL) : NULL;

		if (kept)
			*kept = *f;
	}
	table_fini(&in->fresh);
	in->fresh = rest;
}

void ingest_rolled_back(struct ingest *in)
{
	mutex_lock(&in->lock);
	if (in->fresh.count > 0)
		each_content_locked(in, lose_content, in);
	forget_lost_locked(in);
	mutex_unlock(&in->lock);
}

/* --- flights --- */

static void flights_init(struct flights *q)
{
	q->first = NULL;
	q->last = &q->first;
}

static void flights_push(struct flights *q, struct flight *f)
{
	f->next = NULL;
	*q->last = f;
	q->last = &f->next;
}

static struct flight *flights_pop(struct flights *q)
{
	struct flight *f = q->first;

	if (f) {
		q->first = f->next;
		if (!q->first)
			q->last = &q->first;
	}
	return f;
}

static void free_flight_locked(struct ingest *in, struct flight *f)
{
	unref_block_locked(in, f->block);
	free(f);
}

struct landing {
	struct flight *flight;
	uint32_t pieces;
};

static int give_id(void *arg, struct extent *x)
{
	struct landing *l = arg;

	if (x->kind != EXTENT_FLIGHT || x->flight != l->flight)
		return 0;
	x->kind = EXTENT_CHUNK;
	x->id = l->flight->result.id;
	x->csize = l->flight->result.csize;
	l->pieces++;
	return 0;
}

static void land_piece(const struct flight *f)
{
	f->pieces->v[f->piece] =
		(struct item_chunk){ f->result.id, f->result.size, f->result.csize };
	f->pieces->missing--;
}

static void land_locked(struct stage_content *c)
{
	struct ingest *in = c->in;
	struct active *a = c->active;

	while (a && a->landed) {
		struct landing l = { .flight = a->landed };
		struct flight *f = l.flight;
		struct fresh *fresh;

		a->landed = f->next;
		a->flights--;
		if (f->pieces)
			land_piece(f);
		else
			extents_each(&c->extents, f->off, f->off + f->size, give_id, &l);
		fresh = table_get(&in->fresh, &f->result.id);
		if (fresh)
			fresh->refs += l.pieces;
		free_flight_locked(in, f);
	}
}

/* A content that is nothing but a list of chunks needs no more than that. */
static void rest_locked(struct stage_content *c)
{
	struct active *a = c->active;

	if (a && a->pieces && a->pieces->version != c->version && a->flights == 0)
		free(TAKE(a->pieces));
	if (!a || a->pieces || a->tail.len > 0 || a->flights > 0 || a->dirty != UINT64_MAX ||
	    a->counted > 0)
		return;
	unref_block_locked(c->in, a->tail.block);
	free(a);
	c->active = NULL;
}

static void fail_locked(struct ingest *in, int rc, const struct err *why)
{
	if (in->failure.code)
		return;
	in->failure = *why;
	in->failure.code = -rc;
}

static int failure_locked(const struct ingest *in, struct err *e)
{
	if (e)
		*e = in->failure;
	return -in->failure.code;
}

/* Remember the chunk as ours to account for. */
static void note_result_locked(struct ingest *in, const struct put_result *r)
{
	struct err why = ERR_INIT;

	if (!r->is_new || table_put(&in->fresh, &r->id, NULL))
		return;
	/* It would have no owner if nobody named it: rather no commit. */
	fail_locked(in, err_nomem(&why, "chunks stored"), &why);
}

/* Take the results that are there. */
static void harvest_locked(struct ingest *in)
{
	uint64_t done;

	if (!in->put || !in->queue.first)
		return;
	done = put_done(in->put);
	while (in->queue.first && in->queue.first->number < done) {
		struct flight *f = flights_pop(&in->queue);
		struct stage_content *c = f->c;

		put_result(in->put, f->number, &f->result);
		put_forget(in->put, f->number + 1);
		in->under_way -= f->size;
		note_result_locked(in, &f->result);
		if (!c) {
			free_flight_locked(in, f);
			continue;
		}
		f->next = c->active->landed;
		c->active->landed = f;
		if (!c->busy) {
			land_locked(c);
			rest_locked(c);
		}
	}
}

/* --- one at a time --- */

static void wake_locked(struct ingest *in)
{
	if (in->waiters > 0)
		cond_broadcast(&in->changed);
}

static void wait_locked(struct ingest *in)
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
		wait_locked(in);
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

void content_leave(struct stage_content *c)
{
	struct ingest *in = c->in;

	mutex_lock(&in->lock);
	land_locked(c);
	count_tail_locked(c);
	rest_locked(c);
	c->busy = false;
	wake_locked(in);
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

/* --- giving --- */

static bool takes_locked(const struct stage_content *c, unsigned how)
{
	const struct ingest *in = c->in;

	return in->put && !c->evicted && (!in->held || (how & GIVE_SETTLE));
}

bool ingest_takes(struct stage_content *c, unsigned how)
{
	bool takes;

	mutex_lock(&c->in->lock);
	takes = takes_locked(c, how);
	mutex_unlock(&c->in->lock);
	return takes;
}

/* Wait with the pipeline in our hands until the oldest chunk is stored. */
static void wait_for_oldest_locked(struct ingest *in)
{
	struct err why = ERR_INIT;
	uint64_t number = in->queue.first->number;
	int rc;

	in->putting = true;
	mutex_unlock(&in->lock);
	rc = put_wait(in->put, number, &why);
	mutex_lock(&in->lock);
	in->putting = false;
	if (rc < 0)
		fail_locked(in, rc, &why);
	harvest_locked(in);
	wake_locked(in);
}

/* 0: the pipeline is ours. */
static int take_put(struct stage_content *c, size_t size, unsigned how, struct err *e)
{
	struct ingest *in = c->in;
	int rc = 1;

	mutex_lock(&in->lock);
	harvest_locked(in);
	while (rc > 0) {
		bool full = in->under_way > 0 && in->under_way + size > in->under_way_max;

		if (!takes_locked(c, how))
			rc = err_set(e, ENOTCONN, "repository: not open for writing");
		else if (in->failure.code)
			rc = failure_locked(in, e);
		else if (!in->putting && !full &&
			 ((how & GIVE_WAIT) || !put_would_wait(in->put)))
			rc = 0;
		else if (!(how & GIVE_WAIT))
			rc = -EAGAIN;
		else if (in->putting)
			wait_locked(in);
		else
			wait_for_oldest_locked(in);
	}
	if (rc == 0)
		in->putting = true;
	mutex_unlock(&in->lock);
	return rc;
}

/* Give a flight, which is at the end of the queue, its number. */
static int give_flight(struct ingest *in, struct flight *f, struct err *e)
{
	struct bytes data = { f->p, f->size };
	struct err why = ERR_INIT;
	int rc = f->compression == 0 ? put_chunk(in->put, NULL, data, &why)
				     : put_chunk_as(in->put, NULL, data,
						    &in->compressions[f->compression], &why);
	uint64_t number = put_count(in->put) - 1;

	mutex_lock(&in->lock);
	if (rc == 0) {
		f->number = number;
		in->under_way += f->size;
	} else {
		fail_locked(in, rc, &why);
		failure_locked(in, e);
	}
	mutex_unlock(&in->lock);
	return rc;
}

static void end_putting(struct ingest *in)
{
	mutex_lock(&in->lock);
	harvest_locked(in);
	in->putting = false;
	wake_locked(in);
	mutex_unlock(&in->lock);
}

static int place_flight(struct stage_content *c, const struct extent *x, struct flight *f,
			struct err *e)
{
	struct extent placed = *x;

	placed.kind = EXTENT_FLIGHT;
	placed.flight = f;
	return content_place(c, &placed, e);
}

/* x: its place in the map, or NULL. */
static int give(struct stage_content *c, const struct flight *what, const struct extent *x,
		unsigned how, struct err *e)
{
	struct ingest *in = c->in;
	struct flight *f;
	int rc = take_put(c, what->size, how, e);

	if (rc < 0)
		return rc;
	f = malloc(sizeof(*f));
	rc = f ? 0 : err_nomem(e, "chunk");
	if (rc == 0) {
		*f = *what;
		f->compression = c->compression;
	}
	if (rc == 0 && x)
		rc = place_flight(c, x, f, e);
	if (rc < 0) {
		end_putting(in);
		free(f);
		return rc;
	}
	mutex_lock(&in->lock);
	f->block->refs++;
	c->active->flights++;
	flights_push(&in->queue, f);
	mutex_unlock(&in->lock);
	/* Where the pipeline does not take it, the chunk is safe, and the next call is told. */
	(void)give_flight(in, f, NULL);
	end_putting(in);
	return 0;
}

int ingest_give(struct stage_content *c, const struct extent *x, struct block *b,
		const uint8_t *p, unsigned how, struct err *e)
{
	struct flight f = {
		.c = c, .block = b, .p = p, .off = x->off, .size = x->size, .number = UINT64_MAX
	};

	return give(c, &f, x, how, e);
}

int ingest_give_piece(struct stage_content *c, struct pieces *pieces, size_t piece,
		      struct bytes data, struct err *e)
{
	struct flight f = { .c = c,
			    .block = c->active->tail.block,
			    .p = data.p,
			    .size = (uint32_t)data.len,
			    .pieces = pieces,
			    .piece = piece,
			    .number = UINT64_MAX };

	return give(c, &f, NULL, GIVE_WAIT | GIVE_SETTLE, e);
}

/* --- waiting --- */

/* Until this chunk has its id; `in->lock` is held. */
static int wait_for_locked(struct ingest *in, uint64_t number, struct err *e)
{
	struct err why = ERR_INIT;
	struct put *put = in->put;
	int rc;

	in->putting = true;
	mutex_unlock(&in->lock);
	put_dispatch(put);
	mutex_lock(&in->lock);
	in->putting = false;
	in->put_users++;
	wake_locked(in);
	mutex_unlock(&in->lock);
	rc = put_wait(put, number, &why);
	mutex_lock(&in->lock);
	in->put_users--;
	if (rc < 0) {
		fail_locked(in, rc, &why);
		failure_locked(in, e);
	}
	harvest_locked(in);
	wake_locked(in);
	return rc;
}

/* The last of its flights that is in the pipeline. */
static const struct flight *last_flight(const struct ingest *in, const struct stage_content *c)
{
	const struct flight *last = NULL;

	for (const struct flight *f = in->queue.first; f; f = f->next)
		if (f->c == c)
			last = f;
	return last;
}

int ingest_land(struct stage_content *c, struct err *e)
{
	struct ingest *in = c->in;
	int rc = 0;

	mutex_lock(&in->lock);
	harvest_locked(in);
	land_locked(c);
	while (rc == 0 && c->active && c->active->flights > 0) {
		const struct flight *f = last_flight(in, c);

		if (in->failure.code)
			rc = failure_locked(in, e);
		else if (in->putting)
			wait_locked(in);
		else if (!in->put || !f)
			rc = err_set(e, ENOTCONN, "repository: not open for writing");
		else
			rc = wait_for_locked(in, f->number, e);
		land_locked(c);
	}
	mutex_unlock(&in->lock);
	return rc;
}

/* --- the pipeline comes and goes --- */

int ingest_attach(struct ingest *in, struct put *put, struct err *e)
{
	int rc = 0;

	mutex_lock(&in->lock);
	assert(!in->put);
	in->put = put;
	in->held = false;
	for (size_t i = 0; i < in->chunking_count; i++)
		in->chunkings[i]->zeros_len = 0;
	in->failure = (struct err)ERR_INIT;
	in->putting = true;
	while (rc == 0 && in->stranded.first) {
		struct flight *f = flights_pop(&in->stranded);

		if (!f->c) {
			free_flight_locked(in, f);
			continue;
		}
		flights_push(&in->queue, f);
		mutex_unlock(&in->lock);
		rc = give_flight(in, f, e);
		mutex_lock(&in->lock);
		harvest_locked(in);
	}
	in->putting = false;
	wake_locked(in);
	mutex_unlock(&in->lock);
	return rc;
}

/* What was not stored is kept for the next pipeline; pieces are made anew. */
static void strand_locked(struct ingest *in, struct flight *f)
{
	f->number = UINT64_MAX;
	if (!f->pieces || !f->c) {
		flights_push(&in->stranded, f);
		return;
	}
	f->c->active->flights--;
	if (f->c->active->pieces == f->pieces && --f->pieces->missing == 0)
		free(TAKE(f->c->active->pieces));
	free_flight_locked(in, f);
}

int ingest_detach(struct ingest *in, struct err *e)
{
	struct err why = ERR_INIT;
	struct flight *f;
	int rc = 0;

	mutex_lock(&in->lock);
	while (in->putting)
		wait_locked(in);
	in->putting = true; /* until it is dropped: nobody gives it anything more */
	if (in->put && in->queue.first) {
		mutex_unlock(&in->lock);
		rc = put_wait(in->put, put_count(in->put) - 1, &why);
		mutex_lock(&in->lock);
		if (rc < 0)
			fail_locked(in, rc, &why);
		harvest_locked(in);
	}
	while (in->put_users > 0)
		wait_locked(in);
	while ((f = flights_pop(&in->queue)))
		strand_locked(in, f);
	in->under_way = 0;
	rc = in->put && in->failure.code ? failure_locked(in, e) : 0;
	in->put = NULL;
	in->putting = false;
	wake_locked(in);
	mutex_unlock(&in->lock);
	return rc;
}

void ingest_hold(struct ingest *in, bool on)
{
	mutex_lock(&in->lock);
	if (on && !in->held)
		in->round++;
	in->held = on;
	mutex_unlock(&in->lock);
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
		free_flight_locked(in, f);
	while (in->spare) {
		struct block *b = in->spare;

		in->spare = b->next;
		free(b->p);
		free(b);
	}
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

static void forget_content(struct flights *q, const struct stage_content *c)
{
	for (struct flight *f = q->first; f; f = f->next)
		if (f->c == c)
			f->c = NULL;
}

static void abandon_flights_locked(struct stage_content *c)
{
	struct ingest *in = c->in;
	struct active *a = c->active;

	while (a->landed) {
		struct flight *f = a->landed;

		a->landed = f->next;
		a->flights--;
		free_flight_locked(in, f);
	}
	if (a->flights > 0) {
		forget_content(&in->queue, c);
		forget_content(&in->stranded, c);
		a->flights = 0;
	}
	free(TAKE(a->pieces));
}

void ingest_abandon(struct stage_content *c)
{
	mutex_lock(&c->in->lock);
	abandon_flights_locked(c);
	mutex_unlock(&c->in->lock);
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
		abandon_flights_locked(c);
		c->active->tail.len = 0;
		c->active->dirty = UINT64_MAX;
		count_tail_locked(c);
		rest_locked(c);
	}
	slab_give(&in->contents, c->place);
	wake_locked(in);
	mutex_unlock(&in->lock);
}
