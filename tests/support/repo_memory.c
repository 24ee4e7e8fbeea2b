/* repo_memory.c - see repo_memory.h. */

#include "tests/support/repo_memory.h"

#include "core/base/table.h"
#include "core/base/thread.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Changes are kept in order; a reader at transaction T sees those of up to T. */
struct change {
	struct chunk_id id;
	uint64_t transaction;
	bool deleted;
	uint8_t *p;
	size_t len;
};

struct fault {
	int code, times;
};

struct memory {
	struct repo repo; /* first: callers see a struct repo */

	struct mutex lock; /* guards what follows */
	struct change *changes;
	size_t count;
	uint64_t shown, committed;
	struct table faults; /* chunk_id -> struct fault */
	int refresh_code;
	size_t reads;
	uint64_t nonce;
	int nonce_code;
	size_t reservations;
};

static struct memory *memory_of(struct repo *r)
{
	return (struct memory *)r;
}

/* The newest change of the id that the transaction shows; NULL where it is not there. */
static const struct change *find_locked(const struct memory *m, const struct chunk_id *id)
{
	for (size_t i = m->count; i > 0; i--) {
		const struct change *c = &m->changes[i - 1];

		if (c->transaction <= m->shown && id_equal(&c->id, id))
			return c->deleted ? NULL : c;
	}
	return NULL;
}

static void add_change(struct repo *r, const struct change *change)
{
	struct memory *m = memory_of(r);

	mutex_lock(&m->lock);
	m->changes = realloc(m->changes, (m->count + 1) * sizeof(*m->changes));
	if (!m->changes)
		abort();
	m->changes[m->count] = *change;
	m->changes[m->count++].transaction = m->committed + 1;
	mutex_unlock(&m->lock);
}

void repo_memory_put(struct repo *r, const struct chunk_id *id, struct bytes object)
{
	struct change change = { .id = *id, .len = object.len };

	change.p = malloc(object.len + 1);
	if (!change.p)
		abort();
	if (object.len)
		memcpy(change.p, object.p, object.len);
	add_change(r, &change);
}

void repo_memory_delete(struct repo *r, const struct chunk_id *id)
{
	add_change(r, &(struct change){ .id = *id, .deleted = true });
}

void repo_memory_commit(struct repo *r)
{
	struct memory *m = memory_of(r);

	mutex_lock(&m->lock);
	m->committed++;
	mutex_unlock(&m->lock);
}

void repo_memory_fail(struct repo *r, const struct chunk_id *id, int code, int times)
{
	struct memory *m = memory_of(r);
	struct fault *fault;

	mutex_lock(&m->lock);
	fault = table_put(&m->faults, id, NULL);
	if (!fault)
		abort();
	*fault = (struct fault){ code, times };
	mutex_unlock(&m->lock);
}

void repo_memory_fail_refresh(struct repo *r, int code)
{
	struct memory *m = memory_of(r);

	mutex_lock(&m->lock);
	m->refresh_code = code;
	mutex_unlock(&m->lock);
}

size_t repo_memory_reads(struct repo *r)
{
	struct memory *m = memory_of(r);
	size_t reads;

	mutex_lock(&m->lock);
	reads = m->reads;
	mutex_unlock(&m->lock);
	return reads;
}

static int fault_locked(struct memory *m, const struct chunk_id *id)
{
	struct fault *fault = table_get(&m->faults, id);

	if (!fault || fault->times == 0)
		return 0;
	if (fault->times > 0)
		fault->times--;
	return fault->code;
}

static int read_locked(struct memory *m, const struct chunk_id *id, struct bytes *out,
		       struct err *e)
{
	const struct change *c = find_locked(m, id);
	int code = fault_locked(m, id);
	char hex[CHUNK_ID_HEX];

	m->reads++;
	if (code)
		return err_set(e, code, "memory: %s: %s", id_hex(id, hex), strerror(code));
	if (!c)
		return err_set_id(e, ENOENT, "Repository.ObjectNotFound",
				  "Object with key %s not found in repository %s.",
				  id_hex(id, hex), m->repo.canonical);
	*out = (struct bytes){ c->p, c->len };
	return 0;
}

/* Content stays until the repository is closed, so that it is delivered without the lock. */
static int memory_get_many(struct repo *r, const struct chunk_id *ids, size_t count,
			   repo_deliver *deliver, void *arg, struct err *e)
{
	struct memory *m = memory_of(r);

	(void)e;
	for (size_t i = 0; i < count; i++) {
		struct bytes object = { 0 };
		struct err why = ERR_INIT;
		int rc;

		mutex_lock(&m->lock);
		rc = read_locked(m, &ids[i], &object, &why);
		mutex_unlock(&m->lock);
		rc = deliver(arg, i, rc, object, &why);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int memory_refresh(struct repo *r, struct err *e)
{
	struct memory *m = memory_of(r);
	int code, moved;

	mutex_lock(&m->lock);
	code = m->refresh_code;
	m->refresh_code = 0;
	moved = code == 0 && m->shown != m->committed;
	if (moved)
		m->shown = m->committed;
	mutex_unlock(&m->lock);
	return code ? err_set(e, code, "memory: %s", strerror(code)) : moved;
}

static int memory_get_fresh(struct repo *r, const struct chunk_id *id, struct buf *out,
			    struct err *e)
{
	struct memory *m = memory_of(r);
	struct bytes object;
	int rc = memory_refresh(r, e);

	if (rc < 0)
		return rc;
	mutex_lock(&m->lock);
	rc = read_locked(m, id, &object, e);
	mutex_unlock(&m->lock);
	if (rc < 0)
		return rc;
	out->len = 0;
	return buf_append(out, object.p, object.len) < 0 ? err_nomem(e, "object") : 0;
}

static uint64_t memory_transaction(struct repo *r)
{
	struct memory *m = memory_of(r);
	uint64_t shown;

	mutex_lock(&m->lock);
	shown = m->shown;
	mutex_unlock(&m->lock);
	return shown;
}

static int memory_has(struct repo *r, const struct chunk_id *id, struct err *e)
{
	struct memory *m = memory_of(r);
	bool has;

	(void)e;
	mutex_lock(&m->lock);
	has = find_locked(m, id) != NULL;
	mutex_unlock(&m->lock);
	return has;
}

static int memory_scan(struct repo *r, repo_each *fn, void *arg, struct err *e)
{
	struct memory *m = memory_of(r);
	size_t count;
	int rc = 0;

	(void)e;
	mutex_lock(&m->lock);
	count = m->count;
	mutex_unlock(&m->lock);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		struct chunk_id id;
		bool live;

		mutex_lock(&m->lock);
		id = m->changes[i].id;
		live = find_locked(m, &id) == &m->changes[i];
		mutex_unlock(&m->lock);
		if (live)
			rc = fn(arg, &id);
	}
	return rc;
}

static uint64_t memory_place(struct repo *r, const struct chunk_id *id)
{
	struct memory *m = memory_of(r);
	const struct change *c;
	uint64_t place;

	mutex_lock(&m->lock);
	c = find_locked(m, id);
	place = c ? (uint64_t)(c - m->changes) : UINT64_MAX;
	mutex_unlock(&m->lock);
	return place;
}

static int memory_space(struct repo *r, struct repo_space *out, struct err *e)
{
	(void)r, (void)e;
	*out = (struct repo_space){ 4096, 1000, 500, 400 };
	return 0;
}

static int memory_nonce_get(struct repo *r, uint64_t *next, struct err *e)
{
	struct memory *m = memory_of(r);

	(void)e;
	mutex_lock(&m->lock);
	*next = m->nonce;
	mutex_unlock(&m->lock);
	return 0;
}

static int memory_nonce_reserve(struct repo *r, uint64_t next, uint64_t start, struct err *e)
{
	struct memory *m = memory_of(r);
	int code;

	mutex_lock(&m->lock);
	code = m->nonce_code;
	if (code == 0 && m->nonce != start)
		code = EBUSY;
	if (code == 0 && (next == NONCE_NONE || (start != NONCE_NONE && next <= start)))
		code = EINVAL;
	m->nonce_code = 0;
	if (code == 0) {
		m->nonce = next;
		m->reservations++;
	}
	mutex_unlock(&m->lock);
	return code ? err_set(e, code, "memory: nonce: %s", strerror(code)) : 0;
}

void repo_memory_set_nonce(struct repo *r, uint64_t nonce)
{
	struct memory *m = memory_of(r);

	mutex_lock(&m->lock);
	m->nonce = nonce;
	mutex_unlock(&m->lock);
}

void repo_memory_fail_nonce(struct repo *r, int code)
{
	struct memory *m = memory_of(r);

	mutex_lock(&m->lock);
	m->nonce_code = code;
	mutex_unlock(&m->lock);
}

size_t repo_memory_reservations(struct repo *r)
{
	struct memory *m = memory_of(r);
	size_t reservations;

	mutex_lock(&m->lock);
	reservations = m->reservations;
	mutex_unlock(&m->lock);
	return reservations;
}

static void memory_close(struct repo *r)
{
	struct memory *m = memory_of(r);

	for (size_t i = 0; i < m->count; i++)
		free(m->changes[i].p);
	free(m->changes);
	table_fini(&m->faults);
	mutex_fini(&m->lock);
	free(r->path);
	free(r->canonical);
	free(r->config.key);
	free(m);
}

static int memory_save_key(struct repo *r, const char *text, struct err *e)
{
	(void)r; /* the front keeps it */
	(void)text;
	(void)e;
	return 0;
}

static const struct repo_ops memory_ops = {
	.get_many = memory_get_many,
	.get_fresh = memory_get_fresh,
	.refresh = memory_refresh,
	.transaction = memory_transaction,
	.has = memory_has,
	.scan = memory_scan,
	.place = memory_place,
	.space = memory_space,
	.nonce_get = memory_nonce_get,
	.nonce_reserve = memory_nonce_reserve,
	.save_key = memory_save_key,
	.close = memory_close,
};

struct repo *repo_memory_new(void)
{
	struct memory *m = calloc(1, sizeof(*m));

	if (!m)
		abort();
	m->repo.ops = &memory_ops;
	m->repo.config.segments_per_dir = 1000;
	m->nonce = NONCE_NONE;
	m->repo.path = strdup("/memory");
	m->repo.canonical = strdup("/memory");
	mutex_init(&m->lock);
	table_init(&m->faults, sizeof(struct chunk_id), sizeof(struct fault));
	if (!m->repo.path || !m->repo.canonical)
		abort();
	return &m->repo;
}
