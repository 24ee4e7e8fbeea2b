/*
 * fetch.c - see fetch.h; the states of an id are in chunk_cache.h.
 *
 * One lock guards the table and is held for lookups and list operations only: no I/O, no
 * decoding, no release of memory.  Room for a chunk is made before it is loaded, so plaintext
 * under way counts like plaintext kept and the buffers of what was dropped are used again at once.
 *
 * Hints: the newest list goes in front of the queue in its own order; what is not loaded or
 * asked for falls out at the end.  Readahead may fill half of the cache with chunks nobody has asked for
 * yet, else it would throw out its own work.
 */

#include "core/store/fetch.h"

#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#include "core/base/thread.h"
#include "core/store/chunk_cache.h"
#include "core/store/loader.h"

enum {
	CACHE_DEFAULT =
		32 * 1024 * 1024,       /* half of it may be ahead of the reader: less, and the
					   * second of two workers waits for the first */
	CACHE_REST = 8 * 1024 * 1024,   /* of the default, kept while nothing is read */
	LOADING_MAX = 16 * 1024 * 1024, /* of plaintext readahead may add to */
	SPARE = 4 * 1024 * 1024,
	QUEUE_MAX = 512,         /* hints */
	SMALL = 128 * 1024,      /* plaintext bytes up to which objects are read in runs */
	RUN_BYTES = 1024 * 1024, /* of plaintext in a run */
	PAIR_BYTES =
		8 * 1024 * 1024, /* of plaintext in a pair: two hashed together cost 0.7 of one
				       * after the other, but both are in memory at once */
	UNKNOWN = 64 * 1024,     /* planned for a chunk of unknown size */
	LOADERS_MAX = 16,        /* idle loaders kept for fetch_chunk() */
};

struct fetch {
	struct repo *repo;
	const struct key *key;
	struct chunk_heap *heap;
	struct mutex lock;    /* guards what follows, but the threads */
	struct cond loaded;   /* an entry with waiters got its result */
	struct cond work;     /* something to load ahead, or room for it, or closing */
	struct cond returned; /* a loader was given back */
	struct chunk_cache cache;
	struct loader *loaders[LOADERS_MAX]; /* idle */
	size_t idle_loaders, busy_loaders, loaders_max;
	size_t idle_workers;
	bool closing;
	uint64_t hits, misses, ahead;
	uint64_t rested_at; /* misses and ahead at the last fetch_rest() */
	uint64_t rests;
	size_t rest_bytes; /* of the cache, kept while resting */
	unsigned thread_count;
	pthread_t *threads;
};

/* Room planned for a chunk, before its real size is known. */
static size_t room_for(const struct fetch *f, const struct chunk_want *want)
{
	size_t room = loader_room(want->size ? want->size : UNKNOWN);

	return room < f->cache.max / 4 ? room : f->cache.max / 4;
}

/* --- readahead --- */

static bool is_large(const struct cache_entry *e)
{
	return e->size > SMALL;
}

/* The buffers of what is being loaded are several times its size: they are bounded as well. */
static bool has_room(const struct fetch *f, size_t room)
{
	size_t ahead = f->cache.ahead_bytes, loading = f->cache.loading;

	return (ahead == 0 || ahead + room <= f->cache.max / 2) &&
	       (loading == 0 || loading + room <= LOADING_MAX);
}

static struct chunk_want want_of(const struct cache_entry *e)
{
	return (struct chunk_want){ .id = e->id, .size = e->size };
}

static size_t room_of(const struct fetch *f, const struct cache_entry *e)
{
	struct chunk_want want = want_of(e);

	return room_for(f, &want);
}

/* Two large chunks that stand in front and may be loaded together. */
static bool front_is_pair(const struct fetch *f)
{
	const struct cache_entry *first = f->cache.queue.first;

	return is_large(first) && first->next && is_large(first->next) &&
	       (size_t)first->size + first->next->size <= PAIR_BYTES;
}

/* A pair waits until there is room for both: a reader makes room chunk by chunk, and loading each
 * as its room comes would never load two together. */
static bool has_work(const struct fetch *f)
{
	const struct cache_entry *first = f->cache.queue.first;
	size_t room;

	if (!first)
		return false;
	room = room_of(f, first);
	if (front_is_pair(f))
		room += room_of(f, first->next);
	return has_room(f, room);
}

/* A worker's load under way. */
struct ahead_run {
	struct fetch *f;
	struct load_job jobs[LOAD_RUN_MAX];
	struct cache_entry *entries[LOAD_RUN_MAX];
	size_t count;
	uint64_t rests; /* seen by this worker */
};

static void add_front_locked(struct ahead_run *run, struct cache_list *dropped)
{
	struct fetch *f = run->f;
	struct chunk_want want = want_of(f->cache.queue.first);
	struct cache_entry *e =
		chunk_cache_claim(&f->cache, &want, room_for(f, &want), true, dropped);

	assert(e); /* it was queued: nothing is allocated */
	run->entries[run->count] = e;
	run->jobs[run->count].id = want.id;
	run->jobs[run->count].hint = want.size;
	run->count++;
}

/*
 * What one worker loads next: a run of small chunks, or two larger ones that are hashed together.
 * Enough is left for the workers that have nothing to do.
 */
static void take_run_locked(struct ahead_run *run, struct cache_list *dropped)
{
	struct fetch *f = run->f;
	size_t fair = f->cache.queue.count / (f->idle_workers + 1) + 1;
	bool large = is_large(f->cache.queue.first);
	size_t most = large ? 1 + front_is_pair(f) : LOAD_RUN_MAX;
	size_t bytes = f->cache.queue.first->size;

	run->count = 0;
	add_front_locked(run, dropped);
	while (run->count < most && f->cache.queue.first) {
		const struct cache_entry *next = f->cache.queue.first;

		if (!large && (is_large(next) || run->count >= fair || !has_work(f)))
			break;
		bytes += next->size;
		if (!large && bytes > RUN_BYTES)
			break;
		add_front_locked(run, dropped);
	}
}

static bool publish_ahead(void *arg, struct load_job *job)
{
	struct ahead_run *run = arg;
	struct fetch *f = run->f;
	struct cache_entry *e = run->entries[job - run->jobs];
	struct cache_list dropped = { 0 };
	bool go_on;

	mutex_lock(&f->lock);
	if (e->waiters > 0)
		cond_broadcast(&f->loaded);
	if (job->rc == 0) {
		f->ahead++;
		chunk_cache_fill(&f->cache, e, job->chunk, &dropped);
	} else {
		chunk_cache_fail(&f->cache, e, job->rc, &job->err, &dropped);
	}
	go_on = !f->closing;
	mutex_unlock(&f->lock);
	cache_list_release(&dropped);
	return go_on;
}

/* Entries of a run that was broken off: as if they had never been asked for. */
static void abandon(struct ahead_run *run)
{
	struct cache_list dropped = { 0 };

	mutex_lock(&run->f->lock);
	for (size_t i = 0; i < run->count; i++) {
		if (run->jobs[i].rc != LOAD_PENDING)
			continue;
		if (run->entries[i]->waiters > 0)
			cond_broadcast(&run->f->loaded);
		chunk_cache_fail(&run->f->cache, run->entries[i], -ECANCELED, NULL, &dropped);
	}
	mutex_unlock(&run->f->lock);
	cache_list_release(&dropped);
}

/* The next run, none (count 0) where it is time to rest, or false when it is time to end. */
static bool next_run(struct ahead_run *run)
{
	struct fetch *f = run->f;
	struct cache_list dropped = { 0 };
	bool closing;

	mutex_lock(&f->lock);
	f->idle_workers++;
	while (!f->closing && !has_work(f) && run->rests == f->rests)
		cond_wait(&f->work, &f->lock);
	f->idle_workers--;
	run->rests = f->rests;
	run->count = 0;
	closing = f->closing;
	if (!closing && has_work(f))
		take_run_locked(run, &dropped);
	if (has_work(f) && f->idle_workers > 0)
		cond_signal(&f->work);
	mutex_unlock(&f->lock);
	cache_list_release(&dropped);
	return !closing;
}

static void *worker(void *arg)
{
	struct fetch *f = arg;
	CLEANUP(loader_freep) struct loader *loader = NULL;
	CLEANUP(cleanup_freep) struct ahead_run *run = calloc(1, sizeof(*run));

	/* Readahead is a service: without memory for it the chunks come when asked for. */
	if (!run || loader_new(&loader, f->repo, f->key, f->heap, NULL) < 0)
		return NULL;
	run->f = f;
	while (next_run(run)) {
		if (run->count == 0) {
			loader_trim(loader);
			continue;
		}
		loader_run(loader, run->jobs, run->count, publish_ahead, run);
		abandon(run);
	}
	return NULL;
}

void fetch_ahead(struct fetch *f, const struct chunk_want *wants, size_t count)
{
	size_t most = count < QUEUE_MAX ? count : QUEUE_MAX;

	mutex_lock(&f->lock);
	for (size_t i = most; i-- > 0;) {
		if (!chunk_cache_want(&f->cache, &wants[i], QUEUE_MAX))
			break;
	}
	if (f->idle_workers > 0 && has_work(f))
		cond_signal(&f->work);
	mutex_unlock(&f->lock);
}

/* --- one chunk --- */

static struct loader *take_loader(struct fetch *f, struct err *e)
{
	struct loader *l = NULL;

	mutex_lock(&f->lock);
	while (f->idle_loaders == 0 && f->busy_loaders == f->loaders_max)
		cond_wait(&f->returned, &f->lock);
	f->busy_loaders++;
	if (f->idle_loaders > 0)
		l = f->loaders[--f->idle_loaders];
	mutex_unlock(&f->lock);
	if (l || loader_new(&l, f->repo, f->key, f->heap, e) == 0)
		return l;
	mutex_lock(&f->lock);
	f->busy_loaders--;
	cond_signal(&f->returned);
	mutex_unlock(&f->lock);
	return NULL;
}

static void return_loader(struct fetch *f, struct loader *l)
{
	mutex_lock(&f->lock);
	f->loaders[f->idle_loaders++] = l;
	f->busy_loaders--;
	cond_signal(&f->returned);
	mutex_unlock(&f->lock);
}

static bool nothing_to_do(void *arg, struct load_job *job)
{
	(void)arg;
	(void)job;
	return true;
}

static int load(struct fetch *f, const struct chunk_want *want, struct chunk **out,
		struct err *e)
{
	struct load_job job = { .id = want->id, .hint = want->size };
	struct loader *loader = take_loader(f, e);

	if (!loader)
		return -ENOMEM;
	loader_run(loader, &job, 1, nothing_to_do, NULL);
	return_loader(f, loader);
	*out = job.chunk;
	if (job.rc < 0 && e)
		*e = job.err;
	return job.rc;
}

/* Using what was loaded ahead, or being done with loading, makes room for more. */
static void wake_readahead_locked(struct fetch *f)
{
	if (f->idle_workers > 0 && has_work(f))
		cond_signal(&f->work);
}

/* Load an entry claimed by this thread, for it and for those who wait meanwhile. */
static int load_entry(struct fetch *f, struct cache_entry *entry, const struct chunk_want *want,
		      struct chunk **out, struct err *e)
{
	struct cache_list dropped = { 0 };
	struct chunk *chunk = NULL;
	struct err why = ERR_INIT;
	int rc = load(f, want, &chunk, &why);

	if (rc == 0)
		chunk_ref(chunk);
	else if (e)
		*e = why;
	mutex_lock(&f->lock);
	if (entry->waiters > 0)
		cond_broadcast(&f->loaded);
	if (rc == 0)
		chunk_cache_fill(&f->cache, entry, chunk, &dropped);
	else
		chunk_cache_fail(&f->cache, entry, rc, &why, &dropped);
	wake_readahead_locked(f);
	mutex_unlock(&f->lock);
	cache_list_release(&dropped);
	if (rc == 0)
		*out = chunk;
	return rc;
}

/* What another thread is loading.  -ECANCELED: it gave up for reasons of its own. */
static int wait_locked(struct fetch *f, struct cache_entry *entry, struct chunk **out,
		       struct cache_list *dropped, struct err *e)
{
	int rc = 0;

	entry->waiters++;
	while (entry->state == CACHE_LOADING)
		cond_wait(&f->loaded, &f->lock);
	if (entry->state == CACHE_READY) {
		*out = chunk_cache_use(&f->cache, entry);
	} else {
		rc = entry->rc;
		if (entry->err && e)
			*e = *entry->err;
		else
			err_set(e, -rc, "chunk: could not be loaded");
	}
	chunk_cache_leave(&f->cache, entry, dropped);
	return rc;
}

int fetch_chunk(struct fetch *f, const struct chunk_want *want, struct chunk **out,
		struct err *e)
{
	struct cache_list dropped = { 0 };
	struct cache_entry *entry;
	bool mine = false;
	int rc = 0;

	mutex_lock(&f->lock);
	entry = chunk_cache_find(&f->cache, &want->id);
	if (entry && entry->state == CACHE_READY) {
		f->hits++;
		*out = chunk_cache_use(&f->cache, entry);
		wake_readahead_locked(f);
	} else if (entry && entry->state == CACHE_LOADING) {
		f->misses++;
		rc = wait_locked(f, entry, out, &dropped, e);
		wake_readahead_locked(f);
	} else {
		f->misses++;
		entry = chunk_cache_claim(&f->cache, want, room_for(f, want), false, &dropped);
		mine = entry != NULL;
		rc = mine ? 0 : err_nomem(e, "chunk cache");
	}
	mutex_unlock(&f->lock);
	cache_list_release(&dropped);
	return mine ? load_entry(f, entry, want, out, e) : rc;
}

struct chunk *fetch_cached(struct fetch *f, const struct chunk_id *id)
{
	struct cache_entry *entry;
	struct chunk *chunk = NULL;

	mutex_lock(&f->lock);
	entry = chunk_cache_find(&f->cache, id);
	if (entry && entry->state == CACHE_READY) {
		f->hits++;
		chunk = chunk_cache_use(&f->cache, entry);
		wake_readahead_locked(f);
	}
	mutex_unlock(&f->lock);
	return chunk;
}

void fetch_rest(struct fetch *f)
{
	struct cache_list dropped = { 0 };
	struct loader *idle[LOADERS_MAX];
	size_t count = 0;
	bool resting, dropped_some;

	mutex_lock(&f->lock);
	resting = f->rested_at == f->misses + f->ahead;
	f->rested_at = f->misses + f->ahead;
	while (resting && f->idle_loaders > 0)
		idle[count++] = f->loaders[--f->idle_loaders];
	if (resting) {
		f->rests++;
		cond_broadcast(&f->work);
		chunk_cache_shrink(&f->cache, f->rest_bytes, &dropped);
	}
	dropped_some = dropped.first != NULL;
	mutex_unlock(&f->lock);
	cache_list_release(&dropped);
	for (size_t i = 0; i < count; i++)
		loader_free(idle[i]);
	if (resting)
		chunk_heap_trim(f->heap);
	if (resting && (count > 0 || dropped_some))
		malloc_trim(0); /* what lies free between what is in use */
}

void fetch_stats(struct fetch *f, struct fetch_stats *out)
{
	mutex_lock(&f->lock);
	*out = (struct fetch_stats){ .hits = f->hits,
				     .misses = f->misses,
				     .ahead = f->ahead,
				     .cached_bytes = f->cache.used };
	mutex_unlock(&f->lock);
}

/* --- open and close --- */

void fetch_close(struct fetch *f)
{
	if (!f)
		return;
	mutex_lock(&f->lock);
	f->closing = true;
	cond_broadcast(&f->work);
	mutex_unlock(&f->lock);
	for (unsigned i = 0; i < f->thread_count; i++)
		thread_join(f->threads[i]);
	for (size_t i = 0; i < f->idle_loaders; i++)
		loader_free(f->loaders[i]);
	chunk_cache_fini(&f->cache);
	chunk_heap_unref(f->heap);
	cond_fini(&f->loaded);
	cond_fini(&f->work);
	cond_fini(&f->returned);
	mutex_fini(&f->lock);
	free(f->threads);
	free(f);
}

int fetch_open(struct fetch **out, struct repo *repo, const struct key *key,
	       const struct fetch_options *options, struct err *e)
{
	static const struct fetch_options none;
	const struct fetch_options *o = options ? options : &none;
	unsigned threads = o->readahead_threads ? o->readahead_threads : cpu_count();
	CLEANUP(fetch_closep) struct fetch *f = calloc(1, sizeof(*f));

	if (!f)
		return err_nomem(e, "fetch");
	f->repo = repo;
	f->key = key;
	mutex_init(&f->lock);
	cond_init(&f->loaded);
	cond_init(&f->work);
	cond_init(&f->returned);
	chunk_cache_init(&f->cache, o->cache_bytes ? o->cache_bytes : CACHE_DEFAULT);
	f->rest_bytes = o->cache_bytes ? o->cache_bytes : CACHE_REST;
	f->loaders_max = cpu_count() + 2 < LOADERS_MAX ? cpu_count() + 2 : LOADERS_MAX;
	f->heap = chunk_heap_new(SPARE);
	f->threads = calloc(threads, sizeof(f->threads[0]));
	if (!f->heap || !f->threads)
		return err_nomem(e, "fetch");
	for (; f->thread_count < threads; f->thread_count++) {
		int rc = thread_start(&f->threads[f->thread_count], worker, f, "readahead", e);

		if (rc < 0)
			return rc;
	}
	*out = TAKE(f);
	return 0;
}
