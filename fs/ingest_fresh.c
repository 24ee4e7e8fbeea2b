/* ingest_fresh.c - see ingest.h: chunks stored since the last commit, which may have no owner or be lost with it. */

#include "fs/ingest_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
			ingest_wait_locked(in);
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
