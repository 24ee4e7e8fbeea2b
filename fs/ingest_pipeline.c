/*
 * ingest_pipeline.c - see ingest.h: chunks are given to the pipeline, which comes and goes.  Results are taken from
 * it by whoever comes by with the lock.  Where it fails, its flights are stranded and go into the next one.
 */

#include "fs/ingest_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* --- results --- */

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
			flight_free_locked(in, f);
			continue;
		}
		f->next = c->active->landed;
		c->active->landed = f;
		if (!c->busy) {
			content_land_locked(c);
			content_rest_locked(c);
		}
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
	ingest_wake_locked(in);
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
			ingest_wait_locked(in);
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
	ingest_wake_locked(in);
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
	ingest_wake_locked(in);
	mutex_unlock(&in->lock);
	rc = put_wait(put, number, &why);
	mutex_lock(&in->lock);
	in->put_users--;
	if (rc < 0) {
		fail_locked(in, rc, &why);
		failure_locked(in, e);
	}
	harvest_locked(in);
	ingest_wake_locked(in);
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
	content_land_locked(c);
	while (rc == 0 && c->active && c->active->flights > 0) {
		const struct flight *f = last_flight(in, c);

		if (in->failure.code)
			rc = failure_locked(in, e);
		else if (in->putting)
			ingest_wait_locked(in);
		else if (!in->put || !f)
			rc = err_set(e, ENOTCONN, "repository: not open for writing");
		else
			rc = wait_for_locked(in, f->number, e);
		content_land_locked(c);
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
			flight_free_locked(in, f);
			continue;
		}
		flights_push(&in->queue, f);
		mutex_unlock(&in->lock);
		rc = give_flight(in, f, e);
		mutex_lock(&in->lock);
		harvest_locked(in);
	}
	in->putting = false;
	ingest_wake_locked(in);
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
	flight_free_locked(in, f);
}

int ingest_detach(struct ingest *in, struct err *e)
{
	struct err why = ERR_INIT;
	struct flight *f;
	int rc = 0;

	mutex_lock(&in->lock);
	while (in->putting)
		ingest_wait_locked(in);
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
		ingest_wait_locked(in);
	while ((f = flights_pop(&in->queue)))
		strand_locked(in, f);
	in->under_way = 0;
	rc = in->put && in->failure.code ? failure_locked(in, e) : 0;
	in->put = NULL;
	in->putting = false;
	ingest_wake_locked(in);
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
