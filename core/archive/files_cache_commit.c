/*
 * files_cache_commit.c - the end of a run: what it remembered is written, what is old is dropped.
 *
 * Written in ascending order of keys, in transactions small enough for their pages to be held in
 * memory.  Each leaves a good cache behind: entries stand for themselves.  The counts of entries
 * by generation tell when a generation is empty, and when there is anything old to look for.
 */

#include "core/archive/files_cache_internal.h"

#include <errno.h>
#include <stdlib.h>

enum { BATCH_BYTES = 8 << 20, PAGE = 4096 };

struct writing {
	struct files_cache *c;
	MDB_txn *txn;
	MDB_cursor *cursor;
	uint32_t run;
	size_t dirty;      /* bytes of pages changed, about */
	uintptr_t page;    /* changed last */
	uint8_t last[KEY]; /* of all keys; all zero while there is none */
	uint8_t newest[TIME_TAG];
};

static int fail(struct writing *w, int mdb_rc, struct err *e)
{
	return cache_db_fail(w->c->db, mdb_rc, e);
}

static void stop(struct writing *w)
{
	if (w->cursor)
		mdb_cursor_close(w->cursor);
	if (w->txn)
		mdb_txn_abort(w->txn);
	w->cursor = NULL;
	w->txn = NULL;
}

static int start(struct writing *w, struct err *e)
{
	int rc = cache_db_begin(w->c->db, true, &w->txn, e);

	if (rc < 0)
		return rc;
	w->dirty = 0;
	rc = mdb_cursor_open(w->txn, w->c->db->dbi, &w->cursor);
	return rc ? fail(w, rc, e) : 0;
}

static int finish(struct writing *w, struct err *e)
{
	struct files_cache *c = w->c;
	MDB_txn *txn = w->txn;
	int rc = 0;

	for (size_t i = 0; i < c->generation_count && rc == 0; i++)
		rc = files_write_generation(c, txn, &c->generations[i], e);
	if (rc == 0)
		rc = files_write_meta(c, txn, w->run, e);
	if (rc < 0)
		return rc;
	mdb_cursor_close(w->cursor);
	w->cursor = NULL;
	w->txn = NULL;
	return cache_db_commit(c->db, txn, e);
}

static int next_batch(struct writing *w, struct err *e)
{
	int rc = finish(w, e);

	return rc < 0 ? rc : start(w, e);
}

/* Values of one page come one after the other. */
static void note_dirty(struct writing *w, const void *p, size_t len)
{
	uintptr_t page = (uintptr_t)p / PAGE;

	if (len > PAGE)
		w->dirty += len;
	if (page == w->page)
		return;
	w->page = page;
	w->dirty += PAGE;
	cache_db_touch_any(w->c->db); /* it was copied from the map */
}

static void uncount(struct writing *w, const MDB_val *value)
{
	struct generation *g = NULL;

	if (value->mv_size >= HEAD)
		g = files_find_generation(w->c, get_le32(value->mv_data));
	if (g && g->count)
		g->count--;
}

/* --- entries of this run --- */

static int append(struct writing *w, MDB_val *key, MDB_val *value, struct err *e)
{
	int rc = mdb_cursor_put(w->cursor, key, value, MDB_APPEND | MDB_RESERVE);

	memcpy(w->last, key->mv_data, KEY);
	return rc ? fail(w, rc, e) : 0;
}

static int put(struct writing *w, MDB_val *key, MDB_val *value, struct err *e)
{
	MDB_val old = *value;
	int rc = mdb_cursor_put(w->cursor, key, &old, MDB_NOOVERWRITE | MDB_RESERVE);

	if (rc == MDB_KEYEXIST) {
		uncount(w, &old);
		rc = mdb_cursor_put(w->cursor, key, value, MDB_RESERVE);
	} else {
		*value = old;
	}
	return rc ? fail(w, rc, e) : 0;
}

static int write_entry(struct writing *w, MDB_val *key, struct bytes sealed, struct err *e)
{
	MDB_val value = { sealed.len, NULL };
	int rc = memcmp(key->mv_data, w->last, KEY) > 0 ? append(w, key, &value, e)
							: put(w, key, &value, e);

	if (rc < 0)
		return rc;
	memcpy(value.mv_data, sealed.p, sealed.len);
	note_dirty(w, value.mv_data, sealed.len);
	w->c->mine->count++;
	return 0;
}

static int drop_entry(struct writing *w, MDB_val *key, struct err *e)
{
	MDB_val value;
	int rc = mdb_cursor_get(w->cursor, key, &value, MDB_SET_KEY);

	if (rc == MDB_NOTFOUND)
		return 0;
	if (rc)
		return fail(w, rc, e);
	uncount(w, &value);
	note_dirty(w, value.mv_data, 0);
	rc = mdb_cursor_del(w->cursor, 0);
	return rc ? fail(w, rc, e) : 0;
}

static int write_entries(struct writing *w, struct err *e)
{
	struct files_cache *c = w->c;
	uint8_t copy[KEY];
	const uint8_t *found;
	struct bytes value;
	int rc = sorter_rewind(c->changed, e);

	while (rc == 0 && (rc = sorter_next(c->changed, &found, &value, e)) == 1) {
		struct bytes sealed = { value.p + TIME_TAG, value.len - TIME_TAG };
		MDB_val key = { KEY, copy };

		memcpy(copy, found, KEY);
		if (c->any && memcmp(value.p, w->newest, TIME_TAG) == 0)
			rc = drop_entry(w, &key, e);
		else
			rc = write_entry(w, &key, sealed, e);
		if (rc == 0 && w->dirty > BATCH_BYTES)
			rc = next_batch(w, e);
	}
	return rc;
}

/* --- entries of old runs --- */

static bool is_old(const struct writing *w, const struct generation *g)
{
	uint32_t age = w->run - g->run;

	return g != w->c->mine && age >= w->c->ttl + files_refresh_age(w->c) - 1;
}

static bool any_old(const struct writing *w)
{
	for (size_t i = 0; i < w->c->generation_count; i++)
		if (w->c->generations[i].count && is_old(w, &w->c->generations[i]))
			return true;
	return false;
}

/* The entry at the cursor goes where it is old, or nobody's. */
static int drop_if_old(struct writing *w, const MDB_val *value, struct err *e)
{
	struct generation *g = NULL;
	int rc;

	if (value->mv_size >= HEAD)
		g = files_find_generation(w->c, get_le32(value->mv_data));
	if (g && !is_old(w, g))
		return 0;
	note_dirty(w, value->mv_data, value->mv_size);
	rc = mdb_cursor_del(w->cursor, 0);
	return rc ? fail(w, rc, e) : 0;
}

static int drop_old(struct writing *w, struct err *e)
{
	uint8_t from[KEY] = { 'E' };
	MDB_val key = { KEY, from }, value;
	int found, rc = 0;

	found = mdb_cursor_get(w->cursor, &key, &value, MDB_SET_RANGE);
	while (found == 0 && rc == 0 && key.mv_size == KEY) {
		cache_db_touch(w->c->db, value.mv_data);
		memcpy(from, key.mv_data, KEY);
		rc = drop_if_old(w, &value, e);
		if (rc == 0 && w->dirty > BATCH_BYTES) {
			rc = next_batch(w, e);
			key = (MDB_val){ KEY, from };
			if (rc == 0)
				found = mdb_cursor_get(w->cursor, &key, &value, MDB_SET_RANGE);
		} else if (rc == 0) {
			found = mdb_cursor_get(w->cursor, &key, &value, MDB_NEXT);
		}
	}
	if (rc == 0 && found && found != MDB_NOTFOUND)
		rc = fail(w, found, e);
	for (size_t i = 0; i < w->c->generation_count && rc == 0; i++)
		if (is_old(w, &w->c->generations[i]))
			w->c->generations[i].count = 0;
	return rc;
}

/* --- the run --- */

/* What another process wrote since we opened counts too. */
static int look_again(struct writing *w, struct err *e)
{
	struct files_cache *c = w->c;
	struct generation mine = *c->mine, *g;
	MDB_val key, value;
	int rc;

	for (size_t i = 0; i < c->generation_count; i++)
		if (&c->generations[i] != c->mine)
			seal_free(c->generations[i].seal);
	c->generation_count = 0;
	c->mine = NULL;
	rc = files_read_meta(c, w->txn, e);
	if (rc >= 0)
		rc = files_read_generations(c, w->txn, e);
	g = rc == 0 ? files_add_generation(c, e) : NULL;
	if (!g) {
		seal_free(mine.seal);
		return rc < 0 ? rc : -ENOMEM;
	}
	mine.run = w->run = c->runs + 1;
	*g = mine;
	c->mine = g;
	for (size_t i = 0; i + 1 < c->generation_count; i++)
		if (c->generations[i].id == mine.id)
			return err_set(e, EAGAIN, "files cache: the same generation twice");
	rc = mdb_cursor_get(w->cursor, &key, &value, MDB_LAST);
	if (rc && rc != MDB_NOTFOUND)
		return fail(w, rc, e);
	if (rc == 0)
		memcpy(w->last, key.mv_data, key.mv_size < KEY ? key.mv_size : KEY);
	return 0;
}

static int write_run(struct writing *w, struct err *e)
{
	int rc = start(w, e);

	if (rc == 0)
		rc = look_again(w, e);
	if (rc == 0)
		rc = write_entries(w, e);
	if (rc == 0 && any_old(w))
		rc = drop_old(w, e);
	return rc < 0 ? rc : finish(w, e);
}

int files_cache_commit(struct files_cache *c, struct err *e)
{
	struct writing w = { .c = c };
	int rc;

	if (c->mode.disabled)
		return 0;
	mutex_lock(&c->lock);
	if (c->txn)
		mdb_txn_abort(c->txn);
	c->txn = NULL;
	files_time_tag(c, c->newest, w.newest);
	cache_db_enter(c->db);
	rc = write_run(&w, e);
	stop(&w);
	cache_db_leave(c->db);
	mutex_unlock(&c->lock);
	return rc;
}
