/*
 * shelf.c - see shelf.h.
 *
 * A slot is in one of these states; `lock` guards all of it:
 *
 *   COLD     nothing is open                      -> LOADING  shelf_await(), probe()
 *   LOADING  one thread opens it, others wait     -> OPEN, FAILED, COLD  finish()
 *   OPEN     volume is there                      -> COLD     evict_locked(), shelf_spoiled()
 *   FAILED   error says why, until retry_ms       -> LOADING  shelf_await()
 *
 * 1. Waiters exist only while LOADING; finish() takes them all and calls them without the lock.
 * 2. Slots are never removed, so a pointer to one stays good: the kernel may ask for a node of an
 *    archive that has long been deleted.
 */

#include "fs/shelf.h"

#include "core/base/table.h"
#include "core/base/thread.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum {
	LOADERS = 12,       /* archives decoded at the same time */
	LOADS_MAX = 65536,  /* that wait for a loader: more than a manifest has archives */
	OPEN_MAX_KEPT = 24, /* trees that stay open */
	RETRY_MS = 5000,    /* how long a failure is believed */
	SPOILED_MAX = 3,    /* rebuilds of one archive's cache file in one mount */
};

enum state { COLD, LOADING, OPEN, FAILED };

struct waiter {
	void (*fn)(void *);
	void *arg;
	struct waiter *next;
};

struct slot {
	struct shelf *shelf;
	uint32_t number;
	struct chunk_id id;
	char *name;
	enum state state;
	bool retired;
	bool probed; /* it was tried whether the cache folder has it */
	bool root_known;
	unsigned spoiled;
	struct stat root;
	struct volume *volume; /* while OPEN */
	uint64_t used;         /* by the shelf's clock, for eviction */
	struct err error;      /* while FAILED */
	int64_t retry_ms;
	struct waiter *waiters;
};

struct shelf {
	struct shelf_options options;
	bool filtered;     /* not as the cache folder has it */
	_Atomic bool stop; /* `closing`, for whoever builds a tree */
	struct pool *loaders;
	struct mutex lock;  /* guards everything below, and the slots */
	struct table slots; /* uint64_t number -> struct slot *: eights, so aligned */
	uint64_t clock;
	unsigned open_count;
	bool closing;
};

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int shelf_open(struct shelf **out, const struct shelf_options *options, struct err *e)
{
	CLEANUP(shelf_closep) struct shelf *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return err_nomem(e, "archives");
	s->options = *options;
	s->options.tree.stop = &s->stop;
	s->filtered = options->make ||
		      (options->tree.matcher && !matcher_is_trivial(options->tree.matcher)) ||
		      options->tree.strip_components > 0 || options->tree.consider_part_files;
	mutex_init(&s->lock);
	table_init(&s->slots, sizeof(uint64_t), sizeof(struct slot *));
	rc = pool_open(&s->loaders, "alcove-load", LOADERS, LOADS_MAX, e);
	if (rc < 0)
		return rc;
	*out = TAKE(s);
	return 0;
}

static void slot_free(struct slot *slot)
{
	volume_unref(slot->volume);
	free(slot->name);
	free(slot);
}

void shelf_close(struct shelf *s)
{
	size_t cursor = 0;
	const void *key;
	void *value;

	if (!s)
		return;
	mutex_lock(&s->lock);
	s->closing = true;
	mutex_unlock(&s->lock);
	atomic_store(&s->stop, true);
	pool_close(s->loaders);
	while (table_next(&s->slots, &cursor, &key, &value))
		slot_free(*(struct slot **)value);
	table_fini(&s->slots);
	mutex_fini(&s->lock);
	free(s);
}

static struct slot *slot_new(struct shelf *s, uint32_t number, const struct chunk_id *id,
			     struct bytes name)
{
	struct slot *slot = calloc(1, sizeof(*slot));

	if (!slot)
		return NULL;
	slot->shelf = s;
	slot->number = number;
	slot->id = *id;
	slot->name = bytes_dup(name);
	slot->probed = s->filtered;
	if (slot->name)
		return slot;
	free(slot);
	return NULL;
}

int shelf_add(struct shelf *s, uint32_t number, const struct chunk_id *id, struct bytes name,
	      struct err *e)
{
	uint64_t key = number;
	struct slot **place;
	int rc = 0;

	mutex_lock(&s->lock);
	place = table_put(&s->slots, &key, NULL);
	if (place && !*place)
		*place = slot_new(s, number, id, name);
	if (!place || !*place)
		rc = -ENOMEM;
	else
		(*place)->retired = false;
	if (place && !*place)
		table_remove(&s->slots, &key);
	mutex_unlock(&s->lock);
	return rc < 0 ? err_nomem(e, "archives") : 0;
}

static struct slot *find_locked(struct shelf *s, uint32_t number)
{
	uint64_t key = number;
	struct slot **place = table_get(&s->slots, &key);

	return place ? *place : NULL;
}

void shelf_retire(struct shelf *s, uint32_t number)
{
	struct slot *slot;

	mutex_lock(&s->lock);
	slot = find_locked(s, number);
	if (slot)
		slot->retired = true;
	mutex_unlock(&s->lock);
}

/* --- opening --- */

/* Close what was not used for longest, as far as there are too many: the volume to release. */
static struct volume *evict_locked(struct shelf *s)
{
	struct slot *oldest = NULL;
	struct volume *volume;
	size_t cursor = 0;
	const void *key;
	void *value;

	if (s->open_count <= OPEN_MAX_KEPT)
		return NULL;
	while (table_next(&s->slots, &cursor, &key, &value)) {
		struct slot *slot = *(struct slot **)value;

		if (slot->state == OPEN && (!oldest || slot->used < oldest->used))
			oldest = slot;
	}
	volume = TAKE(oldest->volume);
	oldest->state = COLD;
	s->open_count--;
	return volume;
}

static void note_root_locked(struct slot *slot, const struct tree_node *root)
{
	const struct shelf *s = slot->shelf;

	attr_stat(s->options.policy, &slot->volume->owners, root, (uint64_t)slot->number << 32,
		  &slot->root);
	slot->root_known = true;
}

/* The end of LOADING: rc 1 with a volume, 0 none was looked for in vain, or -errno. */
static void finish(struct slot *slot, int rc, struct volume *volume,
		   const struct tree_node *root, const struct err *why)
{
	struct shelf *s = slot->shelf;
	CLEANUP(volume_unrefp) struct volume *evicted = NULL;
	struct waiter *waiters, *next;

	mutex_lock(&s->lock);
	slot->state = rc == 0 ? COLD : FAILED;
	if (rc > 0) {
		slot->state = OPEN;
		slot->volume = volume;
		slot->used = ++s->clock;
		s->open_count++;
		note_root_locked(slot, root);
		evicted = evict_locked(s);
	} else if (rc < 0) {
		slot->error = *why;
		slot->error.code = -rc;
		slot->retry_ms = now_ms() + RETRY_MS;
	}
	waiters = TAKE(slot->waiters);
	mutex_unlock(&s->lock);
	for (; waiters; waiters = next) {
		next = waiters->next;
		waiters->fn(waiters->arg);
		free(waiters);
	}
}

static int open_volume(struct slot *slot, struct tree *tree, struct volume **out,
		       struct tree_node *root, struct err *e)
{
	CLEANUP(volume_unrefp) struct volume *volume = NULL;
	int rc = volume_new(&volume, tree, slot->name, slot->shelf->options.policy, e);

	if (rc == 0)
		rc = tree_node(volume->tree, TREE_ROOT, root, e);
	if (rc < 0)
		return rc;
	*out = TAKE(volume);
	return 1;
}

/* From the cache folder: 1, 0 not there, -errno. */
static int open_known(struct slot *slot, struct volume **out, struct tree_node *root,
		      struct err *e)
{
	struct tree *tree = NULL;
	int rc = tree_open_known(&tree, slot->shelf->options.reader, &slot->id, e);

	return rc > 0 ? open_volume(slot, tree, out, root, e) : rc;
}

static int open_decoded(struct slot *slot, struct volume **out, struct tree_node *root,
			struct err *e)
{
	const struct shelf_options *o = &slot->shelf->options;
	CLEANUP(archive_freep) struct archive *archive = NULL;
	struct tree *tree = NULL;
	int rc = o->make ? o->make(o->make_arg, o->tree.stop, &tree, e)
			 : archive_load(&archive, o->reader, &slot->id, e);

	if (rc == 0 && !o->make)
		rc = tree_open(&tree, o->reader, archive, &o->tree, e);
	return rc < 0 ? rc : open_volume(slot, tree, out, root, e);
}

static void load(void *arg)
{
	struct slot *slot = arg;
	struct volume *volume = NULL;
	struct tree_node root;
	struct err err = ERR_INIT;
	bool closing;
	int rc = 0;

	mutex_lock(&slot->shelf->lock);
	closing = slot->shelf->closing;
	mutex_unlock(&slot->shelf->lock);
	if (!closing && !slot->shelf->filtered)
		rc = open_known(slot, &volume, &root, NULL);
	if (!closing && rc <= 0) /* a damaged cache file is not the archive's fault */
		rc = open_decoded(slot, &volume, &root, &err);
	if (closing || rc == -ECANCELED)
		rc = err_set(&err, ESTALE, "the mount is ending");
	if (rc < 0)
		err_wrap(&err, rc, "%s", slot->name);
	finish(slot, rc, volume, &root, &err);
}

/* --- asking --- */

static int take_locked(struct shelf *s, struct slot *slot, struct volume **out, struct err *e)
{
	switch (slot->state) {
	case OPEN:
		slot->used = ++s->clock;
		*out = volume_ref(slot->volume);
		return 0;
	case FAILED:
		if (now_ms() >= slot->retry_ms)
			break;
		if (e)
			*e = slot->error;
		return -slot->error.code;
	case COLD:
	case LOADING: break;
	}
	if (slot->state != LOADING && (slot->retired || s->closing))
		return err_set(e, ESTALE, "%s: the archive is gone", slot->name);
	return -EINPROGRESS;
}

int shelf_take(struct shelf *s, uint32_t number, struct volume **out, struct err *e)
{
	struct slot *slot;
	int rc;

	mutex_lock(&s->lock);
	slot = find_locked(s, number);
	rc = slot ? take_locked(s, slot, out, e) : err_set(e, ESTALE, "no such archive");
	mutex_unlock(&s->lock);
	return rc;
}

bool shelf_await(struct shelf *s, uint32_t number, void (*fn)(void *), void *arg)
{
	struct waiter *waiter = malloc(sizeof(*waiter));
	struct slot *slot;
	bool waits, begins = false;

	mutex_lock(&s->lock);
	slot = find_locked(s, number);
	waits = waiter && slot && !s->closing && slot->state != OPEN &&
		(slot->state == LOADING || !slot->retired) &&
		(slot->state != FAILED || now_ms() >= slot->retry_ms);
	if (waits) {
		begins = slot->state != LOADING;
		slot->state = LOADING;
		slot->probed = true;
		*waiter = (struct waiter){ fn, arg, slot->waiters };
		slot->waiters = TAKE(waiter);
	}
	/* Under the lock, so that the pool is not closed meanwhile; its queue never fills. */
	if (begins)
		pool_submit(s->loaders, load, slot);
	mutex_unlock(&s->lock);
	free(waiter);
	return waits;
}

/* Open it here and now if the cache folder has it: a few system calls. */
static void probe(struct slot *slot)
{
	struct volume *volume = NULL;
	struct tree_node root;
	int rc = open_known(slot, &volume, &root, NULL);
	bool awaited;

	mutex_lock(&slot->shelf->lock);
	awaited = rc <= 0 && slot->waiters && !slot->shelf->closing;
	if (awaited) /* it stays LOADING: who came meanwhile needs it decoded */
		pool_submit(slot->shelf->loaders, load, slot);
	mutex_unlock(&slot->shelf->lock);
	if (!awaited)
		finish(slot, rc > 0, volume, &root, NULL);
}

int shelf_root(struct shelf *s, uint32_t number, struct stat *out)
{
	struct slot *slot;
	bool known, probes;

	mutex_lock(&s->lock);
	slot = find_locked(s, number);
	probes = slot && !slot->root_known && !slot->probed && slot->state == COLD &&
		 !slot->retired && !s->closing;
	if (probes) {
		slot->probed = true;
		slot->state = LOADING;
	}
	mutex_unlock(&s->lock);
	if (probes)
		probe(slot);

	mutex_lock(&s->lock);
	known = slot && slot->root_known;
	if (known)
		*out = slot->root;
	mutex_unlock(&s->lock);
	return known;
}

struct wakeup {
	struct mutex lock;
	struct cond done;
	bool called;
};

static void wake(void *arg)
{
	struct wakeup *w = arg;

	mutex_lock(&w->lock);
	w->called = true;
	cond_signal(&w->done);
	mutex_unlock(&w->lock);
}

int shelf_take_wait(struct shelf *s, uint32_t number, struct volume **out, struct err *e)
{
	int rc;

	while ((rc = shelf_take(s, number, out, e)) == -EINPROGRESS) {
		struct wakeup w = { .called = false };

		mutex_init(&w.lock);
		cond_init(&w.done);
		if (shelf_await(s, number, wake, &w)) {
			mutex_lock(&w.lock);
			while (!w.called)
				cond_wait(&w.done, &w.lock);
			mutex_unlock(&w.lock);
		} else {
			sched_yield(); /* open meanwhile, or no memory to wait with: look again */
		}
		cond_fini(&w.done);
		mutex_fini(&w.lock);
	}
	return rc;
}

bool shelf_spoiled(struct shelf *s, uint32_t number, const struct volume *v)
{
	CLEANUP(volume_unrefp) struct volume *closed = NULL;
	struct slot *slot;
	bool again;

	mutex_lock(&s->lock);
	slot = find_locked(s, number);
	again = slot && !slot->retired && slot->spoiled < SPOILED_MAX;
	if (again && slot->state == OPEN && slot->volume == v) {
		closed = TAKE(slot->volume);
		slot->state = COLD;
		slot->spoiled++;
		s->open_count--;
	}
	mutex_unlock(&s->lock);
	return again;
}
