/* repo.c - the interface's thin front: what holds for every home of a repository. */

#include "core/repo/repo.h"

#include "core/repo/local.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int repo_open(struct repo **out, const struct location *where,
	      const struct repo_options *options, struct err *e)
{
	switch (where->proto) {
	case LOCATION_FILE: return local_open(out, where, options, e);
	case LOCATION_SSH: break;
	}
	return err_set(e, ENOTSUP,
		       "%s: repositories on other hosts cannot be opened yet, only local ones",
		       where->host);
}

void repo_close(struct repo *r)
{
	if (r)
		r->ops->close(r);
}

const struct repo_config *repo_config(const struct repo *r)
{
	return &r->config;
}

const char *repo_path(const struct repo *r)
{
	return r->path;
}

const char *repo_canonical(const struct repo *r)
{
	return r->canonical;
}

int repo_refresh(struct repo *r, struct err *e)
{
	return r->ops->refresh(r, e);
}

uint64_t repo_transaction(struct repo *r)
{
	return r->ops->transaction(r);
}

int repo_get_many(struct repo *r, const struct chunk_id *ids, size_t count,
		  repo_deliver *deliver, void *arg, struct err *e)
{
	return count ? r->ops->get_many(r, ids, count, deliver, arg, e) : 0;
}

struct take_one {
	struct buf *out;
	struct err *e;
};

static int take(void *arg, size_t index, int rc, struct bytes object, const struct err *why)
{
	struct take_one *one = arg;

	(void)index;
	if (rc < 0) {
		if (one->e)
			*one->e = *why;
		return rc;
	}
	one->out->len = 0;
	if (buf_append(one->out, object.p, object.len) < 0)
		return err_nomem(one->e, "object");
	return 0;
}

int repo_get(struct repo *r, const struct chunk_id *id, unsigned flags, struct buf *out,
	     struct err *e)
{
	struct take_one one = { out, e };

	if (flags & REPO_GET_FRESH)
		return r->ops->get_fresh(r, id, out, e);
	return r->ops->get_many(r, id, 1, take, &one, e);
}

int repo_has(struct repo *r, const struct chunk_id *id, struct err *e)
{
	return r->ops->has(r, id, e);
}

int repo_scan(struct repo *r, repo_each *fn, void *arg, struct err *e)
{
	return r->ops->scan(r, fn, arg, e);
}

uint64_t repo_place(struct repo *r, const struct chunk_id *id)
{
	return r->ops->place(r, id);
}

int repo_space(struct repo *r, struct repo_space *out, struct err *e)
{
	return r->ops->space(r, out, e);
}

int repo_nonce_get(struct repo *r, uint64_t *next, struct err *e)
{
	return r->ops->nonce_get(r, next, e);
}

int repo_nonce_reserve(struct repo *r, uint64_t next, uint64_t start, struct err *e)
{
	return r->ops->nonce_reserve(r, next, start, e);
}

int repo_save_key(struct repo *r, const char *text, struct err *e)
{
	char *copy = *text ? strdup(text) : NULL;
	int rc = *text && !copy ? err_nomem(e, "key") : r->ops->save_key(r, text, e);

	if (rc < 0) {
		free(copy);
		return rc;
	}
	free(r->config.key);
	r->config.key = copy;
	return 0;
}

int repo_lock(struct repo *r, double wait, struct err *e)
{
	return r->ops->lock(r, wait, e);
}

int repo_unlock(struct repo *r, struct err *e)
{
	return r->ops->unlock(r, e);
}

int repo_break_lock(struct repo *r, struct err *e)
{
	return r->ops->break_lock(r, e);
}

int repo_put(struct repo *r, const struct chunk_id *id, struct bytes object, struct err *e)
{
	return r->ops->put(r, id, object, e);
}

int repo_delete(struct repo *r, const struct chunk_id *id, struct err *e)
{
	return r->ops->remove(r, id, e);
}

int repo_commit(struct repo *r, struct err *e)
{
	return r->ops->commit(r, e);
}

int repo_rollback(struct repo *r, bool remove_files, struct err *e)
{
	return r->ops->rollback(r, remove_files, e);
}

int repo_compact(struct repo *r, const struct compact_options *options, uint64_t *freed,
		 struct err *e)
{
	return r->ops->compact(r, options, freed, e);
}

int repo_check(struct repo *r, const struct repo_check_options *options, struct err *e)
{
	return r->ops->check(r, options, e);
}

int repo_load(struct repo *r, struct err *e)
{
	return r->ops->load(r, e);
}

int repo_object_size(struct repo *r, const struct chunk_id *id, uint32_t *size, struct err *e)
{
	return r->ops->object_size(r, id, size, e);
}
