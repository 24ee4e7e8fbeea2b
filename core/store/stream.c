/*
 * stream.c - see stream.h.
 *
 * A ring of slots.  Indexes only grow; a slot is at index % SLOTS.
 *
 *        head          ready           next            shared          tail
 *   ------|--- DONE -----|-- TAKEN/DONE --|---- QUEUED ----|-- private ----|------
 *     pulled next                    first a worker     workers see
 *                                      may take        up to here
 *
 * 1. head, ready and tail belong to the consumer: it pulls what is known to be done and pushes
 *    without the lock, and shares what it pushed in portions, for a wake-up costs more than
 *    decoding a small chunk.  head <= ready <= next: workers never look at what the consumer
 *    may be pulling or filling again.
 * 2. A slot belongs to whoever set it TAKEN, until it is DONE; QUEUED and DONE ones are guarded by
 *    the lock, DONE ones below `ready` are the consumer's.
 * 3. A consumer that would wait for a chunk nobody has begun decodes it itself, so it never
 *    depends on a worker that has no room.
 * 4. Sizes are hints and may lie: what is decoded and not pulled is counted as it really is, and
 *    workers pause beyond the window.
 */

#include "core/store/stream.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "core/base/thread.h"
#include "core/store/loader.h"

enum {
	SLOTS = 2048,     /* a power of two */
	SHARE_COUNT = 64, /* pushed chunks that are worth a wake-up */
	SHARE_BYTES = 256 * 1024,
	SMALL = 128 * 1024,     /* plaintext bytes up to which objects are read in runs */
	RUN_BYTES = 512 * 1024, /* of plaintext in a run */
	UNKNOWN = 64 * 1024,    /* planned for a chunk of unknown size */
	SPARE_MAX = 8 << 20,    /* bytes of buffers kept for reuse */
};

enum slot_state { SLOT_QUEUED, SLOT_TAKEN, SLOT_DONE };

struct slot {
	struct chunk_want want;
	enum slot_state state;
	bool repeat; /* the same id as the slot before */
	int rc;
	struct chunk *chunk;
	struct err *err; /* of a failure; NULL where there was no memory for it */
	size_t planned;  /* its part of the window */
};

/* One user's run of slots and what it takes to decode them. */
struct crew {
	struct stream *s;
	struct loader *loader;
	struct load_job jobs[LOAD_RUN_MAX];
	uint64_t slots[LOAD_RUN_MAX];
	size_t count;
	size_t decoded; /* bytes of this run, not yet counted in the stream */
};

struct stream {
	/* The consumer's own. */
	uint64_t head, ready, tail;
	uint64_t shared_copy;  /* of `shared` */
	size_t planned;        /* bytes of the slots from head to tail */
	size_t unshared_bytes; /* of the slots from shared to tail */
	size_t pulled_bytes;   /* decoded ones, not yet taken off `decoded` */
	size_t window;
	struct chunk *last; /* the result of the last pull, where the next slot repeats it */
	int last_rc;
	struct err last_err;
	struct crew own;

	struct chunk_heap *heap;
	struct mutex lock; /* guards what follows, but the threads; slots as said above */
	struct cond work;
	struct cond done;
	uint64_t next, shared;
	uint64_t wanted; /* the slot the consumer sleeps for; UINT64_MAX: it does not */
	size_t decoded;  /* bytes of plaintext decoded and, as far as known, not pulled */
	size_t idle;
	bool closing;
	unsigned thread_count;
	struct crew *crews;
	pthread_t *threads;
	struct slot slots[SLOTS];
};

static struct slot *slot_at(struct stream *s, uint64_t index)
{
	return &s->slots[index % SLOTS];
}

static bool is_small(const struct slot *slot)
{
	return slot->want.size <= SMALL;
}

/* --- decoding: workers, and the consumer while it would wait --- */

static bool has_room(const struct stream *s)
{
	return s->decoded <= s->window;
}

/* Move `next` to the first slot nobody has begun; false when there is none. */
static bool find_next(struct stream *s)
{
	while (s->next < s->shared && slot_at(s, s->next)->state != SLOT_QUEUED)
		s->next++;
	return s->next < s->shared;
}

/* The run that one user decodes next: small chunks together, larger ones in pairs, and no more
 * than a fair share of what waits. */
static void take_run_locked(struct stream *s, struct crew *c)
{
	uint64_t at = s->next;
	bool small = is_small(slot_at(s, at));
	size_t most = small ? LOAD_RUN_MAX : 2;
	size_t fair = (size_t)(s->shared - at) / (s->thread_count + 1) + 1;
	size_t bytes = 0;

	c->count = 0;
	c->decoded = 0;
	for (; at < s->shared && c->count < most && c->count < fair; at++) {
		struct slot *slot = slot_at(s, at);

		if (slot->state != SLOT_QUEUED)
			continue; /* a repeat, or begun before a run was broken off */
		if (is_small(slot) != small)
			break;
		bytes += slot->want.size;
		if (c->count > 0 && bytes > (small ? RUN_BYTES : s->window / 4))
			break;
		slot->state = SLOT_TAKEN;
		c->jobs[c->count].id = slot->want.id;
		c->jobs[c->count].hint = slot->want.size;
		c->slots[c->count++] = at;
	}
	s->next = at;
}

static struct err *keep_err(const struct err *e)
{
	struct err *copy = malloc(sizeof(*copy));

	if (copy)
		*copy = *e;
	return copy;
}

/* The slot stays TAKEN, ours, until the whole run is handed over. */
static bool store_result(void *arg, struct load_job *job)
{
	struct crew *c = arg;
	struct slot *slot = slot_at(c->s, c->slots[job - c->jobs]);

	slot->rc = job->rc;
	slot->chunk = job->chunk;
	slot->err = job->rc < 0 ? keep_err(&job->err) : NULL;
	if (job->chunk)
		c->decoded += chunk_cost(job->chunk);
	return c->decoded <= c->s->window; /* sizes that lie end the run */
}

static void hand_over_locked(struct stream *s, struct crew *c)
{
	for (size_t i = 0; i < c->count; i++) {
		bool begun = c->jobs[i].rc != LOAD_PENDING;

		slot_at(s, c->slots[i])->state = begun ? SLOT_DONE : SLOT_QUEUED;
		if (!begun && c->slots[i] < s->next)
			s->next = c->slots[i];
	}
	s->decoded += c->decoded;
	if (s->wanted != UINT64_MAX && slot_at(s, s->wanted)->state != SLOT_TAKEN)
		cond_signal(&s->done);
}

static void *worker(void *arg)
{
	struct crew *c = arg;
	struct stream *s = c->s;

	mutex_lock(&s->lock);
	for (;;) {
		s->idle++;
		while (!s->closing && !(has_room(s) && find_next(s)))
			cond_wait(&s->work, &s->lock);
		s->idle--;
		if (s->closing)
			break;
		take_run_locked(s, c);
		mutex_unlock(&s->lock);
		loader_run(c->loader, c->jobs, c->count, store_result, c);
		mutex_lock(&s->lock);
		hand_over_locked(s, c);
	}
	mutex_unlock(&s->lock);
	return NULL;
}

/* --- the consumer --- */

static void share_locked(struct stream *s)
{
	s->shared = s->shared_copy = s->tail;
	s->unshared_bytes = 0;
	s->decoded -= s->pulled_bytes;
	s->pulled_bytes = 0;
	if (s->idle > 0 && has_room(s) && find_next(s))
		cond_broadcast(&s->work);
}

static void share(struct stream *s)
{
	mutex_lock(&s->lock);
	share_locked(s);
	mutex_unlock(&s->lock);
}

static size_t plan(const struct chunk_want *want)
{
	return loader_room(want->size ? want->size : UNKNOWN);
}

bool stream_push(struct stream *s, const struct chunk_want *want)
{
	uint64_t pending = s->tail - s->head;
	struct slot *slot = slot_at(s, s->tail);
	bool repeat = pending > 0 && id_equal(&slot_at(s, s->tail - 1)->want.id, &want->id);
	size_t planned = repeat ? 0 : plan(want);

	if (pending == SLOTS || (pending > 0 && s->planned + planned > s->window)) {
		if (s->shared_copy < s->tail)
			share(s);
		return false;
	}
	*slot = (struct slot){ .want = *want,
			       .state = repeat ? SLOT_DONE : SLOT_QUEUED,
			       .repeat = repeat,
			       .planned = planned };
	s->tail++;
	s->planned += planned;
	s->unshared_bytes += planned;
	if (s->tail - s->shared_copy >= SHARE_COUNT || s->unshared_bytes >= SHARE_BYTES)
		share(s);
	return true;
}

size_t stream_pending(const struct stream *s)
{
	return (size_t)(s->tail - s->head);
}

/* Decode a run ourselves, outside the lock. */
static void help_locked(struct stream *s)
{
	struct crew *c = &s->own;

	take_run_locked(s, c);
	mutex_unlock(&s->lock);
	loader_run(c->loader, c->jobs, c->count, store_result, c);
	mutex_lock(&s->lock);
	hand_over_locked(s, c);
}

/* Wait until the head is done; then `ready` covers all that is done behind it. */
static void await_head(struct stream *s)
{
	mutex_lock(&s->lock);
	share_locked(s);
	while (slot_at(s, s->head)->state != SLOT_DONE) {
		if (find_next(s) && s->next == s->head) {
			help_locked(s);
			continue;
		}
		s->wanted = s->head;
		cond_wait(&s->done, &s->lock);
		s->wanted = UINT64_MAX;
	}
	for (s->ready = s->head + 1; s->ready < s->tail; s->ready++) {
		if (slot_at(s, s->ready)->state != SLOT_DONE)
			break;
	}
	if (s->next < s->ready)
		s->next = s->ready;
	mutex_unlock(&s->lock);
}

static bool next_repeats(struct stream *s)
{
	return s->head < s->tail && slot_at(s, s->head)->repeat;
}

/* Keep a result as long as the slots behind it repeat it. */
static void remember(struct stream *s, struct slot *slot)
{
	if (!slot->repeat) {
		s->last = slot->chunk;
		s->last_rc = slot->rc;
		s->last_err = slot->err ? *slot->err : (struct err)ERR_INIT;
		if (s->last)
			chunk_ref(s->last);
	}
	if (!next_repeats(s)) {
		chunk_unref(s->last);
		s->last = NULL;
	}
}

int stream_pull(struct stream *s, struct chunk **out, struct err *e)
{
	struct slot *slot = slot_at(s, s->head);
	const struct err *why;
	int rc;

	assert(s->head < s->tail);
	if (s->head >= s->ready)
		await_head(s);
	s->head++;
	s->planned -= slot->planned;
	rc = slot->repeat ? s->last_rc : slot->rc;
	why = slot->repeat ? &s->last_err : slot->err;
	*out = slot->repeat ? s->last : slot->chunk;
	if (slot->repeat && *out)
		chunk_ref(*out);
	else if (*out)
		s->pulled_bytes += chunk_cost(*out);
	if (rc < 0 && why && e)
		*e = *why;
	else if (rc < 0)
		err_set(e, -rc, "chunk: could not be loaded");
	if (slot->repeat || next_repeats(s))
		remember(s, slot);
	free(slot->err);
	return rc;
}

/* --- open and close --- */

void stream_close(struct stream *s)
{
	if (!s)
		return;
	mutex_lock(&s->lock);
	s->closing = true;
	cond_broadcast(&s->work);
	mutex_unlock(&s->lock);
	for (unsigned i = 0; i < s->thread_count; i++)
		thread_join(s->threads[i]);
	for (uint64_t i = s->head; i < s->tail; i++) {
		chunk_unref(slot_at(s, i)->chunk);
		free(slot_at(s, i)->err);
	}
	chunk_unref(s->last);
	for (unsigned i = 0; s->crews && i < s->thread_count; i++)
		loader_free(s->crews[i].loader);
	loader_free(s->own.loader);
	chunk_heap_unref(s->heap);
	cond_fini(&s->work);
	cond_fini(&s->done);
	mutex_fini(&s->lock);
	free(s->crews);
	free(s->threads);
	free(s);
}

static int start_worker(struct stream *s, struct repo *repo, const struct key *key,
			struct err *e)
{
	struct crew *c = &s->crews[s->thread_count];
	int rc = loader_new(&c->loader, repo, key, s->heap, e);

	c->s = s;
	if (rc == 0)
		rc = thread_start(&s->threads[s->thread_count], worker, c, "decode", e);
	if (rc == 0) {
		mutex_lock(&s->lock);
		s->thread_count++;
		mutex_unlock(&s->lock);
	} else {
		loader_free(c->loader);
	}
	return rc;
}

int stream_open(struct stream **out, struct repo *repo, const struct key *key, unsigned threads,
		size_t window_bytes, struct err *e)
{
	CLEANUP(stream_closep) struct stream *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return err_nomem(e, "stream");
	mutex_init(&s->lock);
	cond_init(&s->work);
	cond_init(&s->done);
	s->window = window_bytes;
	s->wanted = UINT64_MAX;
	s->own.s = s;
	threads = threads ? threads : cpu_count();
	s->heap = chunk_heap_new(window_bytes < SPARE_MAX ? window_bytes : SPARE_MAX);
	s->crews = calloc(threads, sizeof(s->crews[0]));
	s->threads = calloc(threads, sizeof(s->threads[0]));
	if (!s->heap || !s->crews || !s->threads)
		return err_nomem(e, "stream");
	rc = loader_new(&s->own.loader, repo, key, s->heap, e);
	for (unsigned i = 0; rc == 0 && i < threads; i++)
		rc = start_worker(s, repo, key, e);
	if (rc < 0)
		return rc;
	*out = TAKE(s);
	return 0;
}
