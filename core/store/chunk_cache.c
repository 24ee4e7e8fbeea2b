/* chunk_cache.c - see chunk_cache.h. */

#include "core/store/chunk_cache.h"

#include <assert.h>
#include <stdlib.h>

static void push_front(struct cache_list *l, struct cache_entry *e)
{
	e->prev = NULL;
	e->next = l->first;
	if (l->first)
		l->first->prev = e;
	else
		l->last = e;
	l->first = e;
	l->count++;
}

static void unlink_entry(struct cache_list *l, struct cache_entry *e)
{
	if (e->prev)
		e->prev->next = e->next;
	else
		l->first = e->next;
	if (e->next)
		e->next->prev = e->prev;
	else
		l->last = e->prev;
	l->count--;
}

static void entry_free(struct cache_entry *e)
{
	chunk_unref(e->chunk);
	free(e->err);
	free(e);
}

void cache_list_release(struct cache_list *dropped)
{
	while (dropped->first) {
		struct cache_entry *e = dropped->first;

		unlink_entry(dropped, e);
		entry_free(e);
	}
}

void chunk_cache_init(struct chunk_cache *c, size_t max)
{
	*c = (struct chunk_cache){ .max = max };
	table_init(&c->by_id, sizeof(struct chunk_id), sizeof(struct cache_entry *));
}

void chunk_cache_fini(struct chunk_cache *c)
{
	cache_list_release(&c->recent);
	cache_list_release(&c->queue);
	table_fini(&c->by_id);
}

struct cache_entry *chunk_cache_find(const struct chunk_cache *c, const struct chunk_id *id)
{
	struct cache_entry *const *slot = table_get(&c->by_id, id);

	return slot ? *slot : NULL;
}

/* A new entry in the table, in no list. */
static struct cache_entry *add(struct chunk_cache *c, const struct chunk_want *want)
{
	struct cache_entry *e = calloc(1, sizeof(*e));
	struct cache_entry **slot = e ? table_put(&c->by_id, &want->id, NULL) : NULL;

	if (!slot) {
		free(e);
		return NULL;
	}
	*slot = e;
	e->id = want->id;
	e->size = want->size;
	e->in_table = true;
	return e;
}

/* Out of the table and the accounts; it dies here unless somebody waits for it. */
static void drop(struct chunk_cache *c, struct cache_entry *e, struct cache_list *dropped)
{
	table_remove(&c->by_id, &e->id);
	e->in_table = false;
	c->used -= e->cost;
	if (e->ahead)
		c->ahead_bytes -= e->cost;
	e->cost = 0;
	e->ahead = false;
	if (e->waiters == 0)
		push_front(dropped, e);
}

void chunk_cache_shrink(struct chunk_cache *c, size_t max, struct cache_list *dropped)
{
	while (c->used > max && c->recent.last) {
		struct cache_entry *e = c->recent.last;

		unlink_entry(&c->recent, e);
		drop(c, e, dropped);
	}
}

static void set_cost(struct chunk_cache *c, struct cache_entry *e, size_t cost)
{
	c->used = c->used - e->cost + cost;
	if (e->ahead)
		c->ahead_bytes = c->ahead_bytes - e->cost + cost;
	e->cost = cost;
}

struct chunk *chunk_cache_use(struct chunk_cache *c, struct cache_entry *e)
{
	assert(e->state == CACHE_READY);
	if (e->ahead) {
		c->ahead_bytes -= e->cost;
		e->ahead = false;
	}
	if (e->in_table && c->recent.first != e) {
		unlink_entry(&c->recent, e);
		push_front(&c->recent, e);
	}
	chunk_ref(e->chunk);
	return e->chunk;
}

bool chunk_cache_want(struct chunk_cache *c, const struct chunk_want *want, size_t queue_max)
{
	struct cache_entry *e = chunk_cache_find(c, &want->id);
	struct cache_list forgotten = { 0 };

	if (e && e->state != CACHE_QUEUED)
		return true;
	if (e)
		unlink_entry(&c->queue, e);
	else
		e = add(c, want);
	if (!e)
		return false;
	push_front(&c->queue, e);
	if (c->queue.count > queue_max) {
		struct cache_entry *oldest = c->queue.last;

		unlink_entry(&c->queue, oldest);
		drop(c, oldest, &forgotten);
		cache_list_release(&forgotten); /* no chunk yet: cheap enough here */
	}
	return true;
}

struct cache_entry *chunk_cache_claim(struct chunk_cache *c, const struct chunk_want *want,
				      size_t room, bool ahead, struct cache_list *dropped)
{
	struct cache_entry *e = chunk_cache_find(c, &want->id);

	assert(!e || e->state == CACHE_QUEUED);
	if (e)
		unlink_entry(&c->queue, e);
	else
		e = add(c, want);
	if (!e)
		return NULL;
	e->state = CACHE_LOADING;
	e->ahead = ahead;
	set_cost(c, e, room);
	c->loading += room;
	chunk_cache_shrink(c, c->max, dropped);
	return e;
}

void chunk_cache_fill(struct chunk_cache *c, struct cache_entry *e, struct chunk *chunk,
		      struct cache_list *dropped)
{
	assert(e->state == CACHE_LOADING);
	c->loading -= e->cost;
	e->state = CACHE_READY;
	e->chunk = chunk;
	set_cost(c, e, chunk_cost(chunk) + sizeof(*e));
	push_front(&c->recent, e);
	chunk_cache_shrink(c, c->max, dropped);
}

void chunk_cache_fail(struct chunk_cache *c, struct cache_entry *e, int rc,
		      const struct err *why, struct cache_list *dropped)
{
	assert(e->state == CACHE_LOADING);
	c->loading -= e->cost;
	e->state = CACHE_FAILED;
	e->rc = rc;
	if (e->waiters > 0 && why) {
		e->err = malloc(sizeof(*e->err));
		if (e->err)
			*e->err = *why;
	}
	drop(c, e, dropped);
}

void chunk_cache_leave(struct chunk_cache *c, struct cache_entry *e, struct cache_list *dropped)
{
	(void)c;
	assert(e->waiters > 0);
	if (--e->waiters == 0 && !e->in_table)
		push_front(dropped, e);
}
