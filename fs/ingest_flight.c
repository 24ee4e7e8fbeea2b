/*
 * ingest_flight.c - see ingest_internal.h: a chunk in the pipeline is a flight.  Its bytes stay where they are, in
 * the block that was the tail of its file, until its id is there; reading goes on from them.
 */

#include "fs/ingest_internal.h"

#include <stdlib.h>

/* --- queues --- */

void flights_init(struct flights *q)
{
	q->first = NULL;
	q->last = &q->first;
}

void flights_push(struct flights *q, struct flight *f)
{
	f->next = NULL;
	*q->last = f;
	q->last = &f->next;
}

struct flight *flights_pop(struct flights *q)
{
	struct flight *f = q->first;

	if (f) {
		q->first = f->next;
		if (!q->first)
			q->last = &q->first;
	}
	return f;
}

void flight_free_locked(struct ingest *in, struct flight *f)
{
	block_unref_locked(in, f->block);
	free(f);
}

/* --- landing --- */

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

void content_land_locked(struct stage_content *c)
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
		flight_free_locked(in, f);
	}
}

/* --- abandoning --- */

static void forget_content(struct flights *q, const struct stage_content *c)
{
	for (struct flight *f = q->first; f; f = f->next)
		if (f->c == c)
			f->c = NULL;
}

void content_abandon_locked(struct stage_content *c)
{
	struct ingest *in = c->in;
	struct active *a = c->active;

	while (a->landed) {
		struct flight *f = a->landed;

		a->landed = f->next;
		a->flights--;
		flight_free_locked(in, f);
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
	content_abandon_locked(c);
	mutex_unlock(&c->in->lock);
}
