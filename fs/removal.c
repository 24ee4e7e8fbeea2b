/* removal.c - see removal.h. */

#include "fs/removal.h"

#include "core/base/thread.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

struct removal {
	int64_t idle_ms;
	_Atomic size_t pending; /* archives in the list */
	struct mutex lock;      /* guards the list */
	struct removed *list;
};

struct removal *removal_new(unsigned idle_s)
{
	struct removal *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->idle_ms = (int64_t)idle_s * 1000;
	mutex_init(&r->lock);
	return r;
}

void removed_free(struct removed *d)
{
	if (!d)
		return;
	table_fini(&d->nodes);
	table_fini(&d->dirs);
	free(d);
}

void removal_free(struct removal *r)
{
	if (!r)
		return;
	while (r->list) {
		struct removed *d = r->list;

		r->list = d->next;
		removed_free(d);
	}
	mutex_fini(&r->lock);
	free(r);
}

bool removal_pending(const struct removal *r)
{
	return atomic_load_explicit(&r->pending, memory_order_acquire) > 0;
}

/* Where the archive is linked in, or the list's end. */
static struct removed **find_locked(struct removal *r, uint32_t archive)
{
	struct removed **at = &r->list;

	while (*at && (*at)->archive != archive)
		at = &(*at)->next;
	return at;
}

static struct removed *unlink_locked(struct removal *r, struct removed **at)
{
	struct removed *d = *at;

	*at = d->next;
	d->next = NULL;
	atomic_fetch_sub(&r->pending, 1);
	return d;
}

bool removal_hides(struct removal *r, uint64_t entry)
{
	const struct removed *d;
	bool hides;

	if (!removal_pending(r))
		return false;
	mutex_lock(&r->lock);
	d = *find_locked(r, (uint32_t)(entry >> 32));
	hides = d && table_get(&d->nodes, &entry);
	mutex_unlock(&r->lock);
	return hides;
}

static struct removed *make_locked(struct removal *r, struct removed **at, uint32_t archive)
{
	struct removed *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->archive = archive;
	table_init(&d->nodes, sizeof(uint64_t), sizeof(uint64_t));
	table_init(&d->dirs, sizeof(uint64_t), sizeof(uint64_t));
	*at = d;
	atomic_fetch_add(&r->pending, 1);
	return d;
}

static int hide(struct removed *d, uint64_t dir, uint64_t entry, uint64_t node)
{
	bool created;
	uint64_t *count = table_put(&d->dirs, &dir, NULL);
	uint64_t *value = count ? table_put(&d->nodes, &entry, &created) : NULL;

	if (!value)
		return -ENOMEM;
	if (!created)
		return -ENOENT;
	*value = node;
	++*count;
	return 0;
}

int removal_add(struct removal *r, uint64_t dir, uint64_t entry, uint64_t node, int64_t now_ms)
{
	uint32_t archive = (uint32_t)(entry >> 32);
	struct removed **at, *d;
	int rc = -ENOMEM;

	mutex_lock(&r->lock);
	at = find_locked(r, archive);
	d = *at ? *at : make_locked(r, at, archive);
	if (d)
		rc = hide(d, dir, entry, node);
	if (rc == 0)
		d->last_ms = now_ms;
	mutex_unlock(&r->lock);
	return rc;
}

void removal_begin(struct removal *r, uint32_t archive)
{
	struct removed *d;

	mutex_lock(&r->lock);
	d = *find_locked(r, archive);
	if (d)
		d->going++;
	mutex_unlock(&r->lock);
}

void removal_end(struct removal *r, uint32_t archive, bool gone, int64_t now_ms)
{
	struct removed **at, *d = NULL;

	mutex_lock(&r->lock);
	at = find_locked(r, archive);
	if (*at && gone) {
		d = unlink_locked(r, at);
	} else if (*at) {
		if ((*at)->going > 0)
			(*at)->going--;
		(*at)->last_ms = now_ms;
	}
	mutex_unlock(&r->lock);
	removed_free(d);
}

struct removed *removal_lapse(struct removal *r, int64_t now_ms, bool all)
{
	struct removed **at, *d = NULL;

	if (!removal_pending(r))
		return NULL;
	mutex_lock(&r->lock);
	at = &r->list;
	while (*at && !all && ((*at)->going > 0 || now_ms - (*at)->last_ms < r->idle_ms))
		at = &(*at)->next;
	if (*at)
		d = unlink_locked(r, at);
	mutex_unlock(&r->lock);
	return d;
}
