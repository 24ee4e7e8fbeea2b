/*
 * put.c - see put.h.
 *
 * Batches go around: free -> filled by the caller -> sealed by a worker -> appended -> free.  They
 * are numbered, and appended in that order, so the log has the order of the calls whoever was
 * faster, and the results can be handed out by number.
 *
 * A worker that finds a chunk under way in another batch leaves it to that one.  The appender may
 * meet the second before the first; then it waits for the first to be sealed, and stores it there
 * and then.  That batch is being sealed by somebody, so the wait ends.
 */

#include "core/store/put.h"

#include "core/base/table.h"
#include "core/base/thread.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
	BATCH_CHUNKS = 128,
	BATCH_BYTES = 8 << 20,  /* plaintext after which a batch goes to the workers */
	KEPT_OBJECT = 64 << 10, /* bytes of a buffer that a job of a full batch keeps */
	LARGE_JOBS = 2,         /* jobs of a batch that keep theirs whatever the size */
	SLABS_SPARE = 2,
};

struct slab {
	struct put_slab shown; /* first: callers see a struct put_slab */
	unsigned refs;         /* under put.lock */
	struct slab *next;     /* among the idle ones */
};

enum job_kind {
	JOB_KNOWN,     /* the repository has it */
	JOB_SEALED,    /* object is to be stored */
	JOB_ELSEWHERE, /* another job has it under way */
	JOB_STORED,
};

struct job {
	struct bytes plain;
	struct slab *slab; /* a reference; NULL: plain is in `copy` */
	struct buf copy;
	struct chunk_id id;
	enum job_kind kind;
	struct compression how;
	struct buf object;
	uint32_t csize;
};

enum batch_state { BATCH_FREE, BATCH_FILLING, BATCH_WAITING, BATCH_SEALING, BATCH_SEALED };

struct batch {
	enum batch_state state;
	uint64_t number;
	uint64_t first; /* number of its first chunk */
	size_t count, bytes;
	struct job jobs[BATCH_CHUNKS];
};

/* Where a chunk that is under way is to be found. */
struct under_way {
	struct batch *batch;
	struct job *job;
};

struct put {
	struct repo *repo;
	const struct key *key;
	struct nonces *nonces;
	struct put_options options;

	struct mutex lock; /* guards all that follows, but what a batch's state gives to one */
	struct cond changed;
	struct batch *batches;
	size_t batch_count;
	struct batch *filling; /* NULL: none is begun */
	uint64_t next_batch;   /* number of the next one filled */
	uint64_t next_append;
	struct table under_way; /* chunk_id -> struct under_way */
	struct slab *idle;
	size_t slab_count, slab_max;
	bool closing;
	struct err failure; /* code 0: none */

	struct put_result *results; /* a ring: of numbers [forgotten, done) */
	size_t result_cap;
	uint64_t given, done, forgotten;

	pthread_t *threads; /* workers, then the appender */
	size_t thread_count;
};

/* --- failure --- */

static void fail_locked(struct put *p, const struct err *why)
{
	if (p->failure.code == 0)
		p->failure = *why;
	if (p->failure.code == 0)
		p->failure.code = EIO;
	cond_broadcast(&p->changed);
}

static void fail(struct put *p, const struct err *why)
{
	mutex_lock(&p->lock);
	fail_locked(p, why);
	mutex_unlock(&p->lock);
}

static int failure(const struct put *p, struct err *e)
{
	if (e)
		*e = p->failure;
	return -p->failure.code;
}

/* --- slabs --- */

static void unref_locked(struct put *p, struct slab *s)
{
	if (!s || --s->refs > 0)
		return;
	s->next = p->idle;
	p->idle = s;
	cond_broadcast(&p->changed);
}

static struct slab *make_slab(const struct put *p)
{
	struct slab *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->shown.cap = p->options.slab_bytes;
	s->shown.p = malloc(s->shown.cap);
	if (!s->shown.p) {
		free(s);
		return NULL;
	}
	return s;
}

static void dispatch_locked(struct put *p);

struct put_slab *put_slab_take(struct put *p)
{
	struct slab *s = NULL;

	mutex_lock(&p->lock);
	if (!p->idle && p->slab_count == p->slab_max)
		dispatch_locked(p); /* what is half filled holds slabs, too */
	while (!p->idle && p->slab_count == p->slab_max && p->failure.code == 0)
		cond_wait(&p->changed, &p->lock);
	if (p->failure.code == 0) {
		s = p->idle;
		if (s)
			p->idle = s->next;
		else if ((s = make_slab(p)))
			p->slab_count++;
	}
	if (s)
		s->refs = 1;
	mutex_unlock(&p->lock);
	return s ? &s->shown : NULL;
}

void put_slab_release(struct put *p, struct put_slab *shown)
{
	mutex_lock(&p->lock);
	unref_locked(p, (struct slab *)shown);
	mutex_unlock(&p->lock);
}

int put_failure(struct put *p, struct err *e)
{
	int rc;

	mutex_lock(&p->lock);
	rc = p->failure.code ? failure(p, e) : err_nomem(e, "chunks");
	mutex_unlock(&p->lock);
	return rc;
}

/* --- sealing --- */

/* Under the lock: who is the first to have this id?  Then it is his to seal. */
static void mark(struct put *p, struct batch *b, struct job *job)
{
	bool created;
	struct under_way *u = table_put(&p->under_way, &job->id, &created);
	struct err nomem = ERR_INIT;

	if (!u) {
		(void)err_nomem(&nomem, "chunks under way");
		fail_locked(p, &nomem);
		job->kind = JOB_KNOWN;
		return;
	}
	if (created)
		*u = (struct under_way){ b, job };
	job->kind = created ? JOB_SEALED : JOB_ELSEWHERE;
}

static int look_up(struct put *p, struct batch *b, struct err *e)
{
	for (size_t i = 0; i < b->count; i++) {
		struct job *job = &b->jobs[i];
		int rc;

		/* Marked before it is looked up: who has stored it is unmarked only after that. */
		mutex_lock(&p->lock);
		mark(p, b, job);
		mutex_unlock(&p->lock);
		if (job->kind != JOB_SEALED)
			continue;
		rc = repo_has(p->repo, &job->id, e);
		if (rc < 0)
			return rc;
		if (rc == 0)
			continue;
		rc = repo_object_size(p->repo, &job->id, &job->csize, e);
		if (rc < 0)
			return rc;
		job->kind = JOB_KNOWN;
	}
	return 0;
}

/* What one worker has: its sealer, and the id of the zeros it met last. */
struct worker {
	struct put *put;
	struct sealer *sealer;
	size_t zeros; /* their length; 0: none met */
	struct chunk_id zeros_id;
	struct job *jobs[BATCH_CHUNKS]; /* of a batch, to be hashed */
};

static int longer_first(const void *a, const void *b)
{
	const struct job *const *x = a, *const *y = b;

	return ((*x)->plain.len < (*y)->plain.len) - ((*x)->plain.len > (*y)->plain.len);
}

/* They are hashed two at a time, the next taking the place of one that ends; so the last that is
 * hashed alone is short. */
static void sort_jobs(struct worker *w, size_t count)
{
	qsort(w->jobs, count, sizeof(w->jobs[0]), longer_first);
}

static bool is_zeros(struct bytes b)
{
	return b.len > 0 && b.p[0] == 0 && memcmp(b.p, b.p + 1, b.len - 1) == 0;
}

/* Holes are of one length mostly, and their id is worth remembering. */
static bool name_zeros(struct worker *w, struct job *job)
{
	if (!is_zeros(job->plain))
		return false;
	if (w->zeros != job->plain.len) {
		sealer_id(w->sealer, job->plain, &w->zeros_id);
		w->zeros = job->plain.len;
	}
	job->id = w->zeros_id;
	return true;
}

static void name_some(struct worker *w, struct job **jobs, size_t count)
{
	struct bytes plain[SEALER_MANY];
	struct chunk_id ids[SEALER_MANY];

	for (size_t i = 0; i < count; i++)
		plain[i] = jobs[i]->plain;
	sealer_ids(w->sealer, plain, count, ids);
	for (size_t i = 0; i < count; i++)
		jobs[i]->id = ids[i];
}

static void name_all(struct worker *w, struct batch *b)
{
	size_t count = 0;

	for (size_t i = 0; i < b->count; i++)
		if (!name_zeros(w, &b->jobs[i]))
			w->jobs[count++] = &b->jobs[i];
	sort_jobs(w, count);
	for (size_t i = 0; i < count; i += SEALER_MANY)
		name_some(w, w->jobs + i, count - i < SEALER_MANY ? count - i : SEALER_MANY);
}

static int seal_some(struct worker *w, struct job **jobs, size_t count, struct err *e)
{
	struct bytes plain[SEALER_MANY];
	struct buf *out[SEALER_MANY];
	int rc;

	for (size_t i = 0; i < count; i++) {
		plain[i] = jobs[i]->plain;
		out[i] = &jobs[i]->object;
	}
	rc = object_seal_many(w->sealer, plain, out, count, e);
	for (size_t i = 0; i < count; i++)
		jobs[i]->csize = (uint32_t)jobs[i]->object.len;
	return rc;
}

/* Those that are compressed in one way. */
static int seal_alike(struct worker *w, size_t count, struct err *e)
{
	int rc = sealer_compress(w->sealer, &w->jobs[0]->how, e);

	sort_jobs(w, count);
	for (size_t i = 0; rc == 0 && i < count; i += SEALER_MANY)
		rc = seal_some(w, w->jobs + i,
			       count - i < SEALER_MANY ? count - i : SEALER_MANY, e);
	return rc;
}

/* The next that are to be sealed, all compressed like the first of them; how many. */
static size_t next_alike(struct worker *w, struct batch *b, bool *taken)
{
	size_t count = 0;

	for (size_t i = 0; i < b->count; i++) {
		struct job *job = &b->jobs[i];

		if (taken[i] || job->kind != JOB_SEALED ||
		    (count > 0 && !compression_equal(&job->how, &w->jobs[0]->how)))
			continue;
		taken[i] = true;
		w->jobs[count++] = job;
	}
	return count;
}

static int seal_all(struct worker *w, struct batch *b, struct err *e)
{
	bool taken[BATCH_CHUNKS] = { false };
	size_t count;
	int rc = 0;

	while (rc == 0 && (count = next_alike(w, b, taken)) > 0)
		rc = seal_alike(w, count, e);
	return rc;
}

static struct batch *find_batch(struct put *p, enum batch_state state, uint64_t number)
{
	for (size_t i = 0; i < p->batch_count; i++)
		if (p->batches[i].state == state &&
		    (number == UINT64_MAX || p->batches[i].number == number))
			return &p->batches[i];
	return NULL;
}

/* The oldest batch that waits, taken; NULL at the end. */
static struct batch *take_waiting(struct put *p)
{
	struct batch *b = NULL;

	mutex_lock(&p->lock);
	for (;;) {
		for (size_t i = 0; i < p->batch_count; i++) {
			struct batch *k = &p->batches[i];

			if (k->state == BATCH_WAITING && (!b || k->number < b->number))
				b = k;
		}
		if (b || p->closing)
			break;
		cond_wait(&p->changed, &p->lock);
	}
	if (b)
		b->state = BATCH_SEALING;
	mutex_unlock(&p->lock);
	return b;
}

static int seal_batch(struct worker *w, struct batch *b, struct err *e)
{
	int rc;

	name_all(w, b);
	rc = look_up(w->put, b, e);
	return rc == 0 ? seal_all(w, b, e) : rc;
}

static void *work(void *arg)
{
	struct put *p = arg;
	CLEANUP(sealer_freep) struct sealer *s = NULL;
	struct worker w = { .put = p };
	struct err e = ERR_INIT;
	struct batch *b;

	if (sealer_new(&s, p->key, &p->options.compression, p->nonces, &e) < 0)
		fail(p, &e);
	w.sealer = s;
	while ((b = take_waiting(p))) {
		int rc = s ? seal_batch(&w, b, &e) : -ENOMEM;

		mutex_lock(&p->lock);
		if (rc < 0)
			fail_locked(p, &e);
		b->state = BATCH_SEALED;
		cond_broadcast(&p->changed);
		mutex_unlock(&p->lock);
	}
	return NULL;
}

/* --- appending --- */

static int store(struct put *p, struct job *job, struct err *e)
{
	int rc = repo_put(p->repo, &job->id, buf_bytes(&job->object), e);

	if (rc < 0)
		return rc;
	job->kind = JOB_STORED;
	mutex_lock(&p->lock);
	table_remove(&p->under_way, &job->id);
	mutex_unlock(&p->lock);
	return 0;
}

/* Another job has, or had, this chunk under way: when this returns, it is stored. */
static int settle_elsewhere(struct put *p, struct job *job, struct err *e)
{
	const struct under_way *u;
	struct job *other = NULL;

	mutex_lock(&p->lock);
	while ((u = table_get(&p->under_way, &job->id)) && u->batch->state != BATCH_SEALED &&
	       p->failure.code == 0)
		cond_wait(&p->changed, &p->lock);
	if (u)
		other = u->job;
	mutex_unlock(&p->lock);
	if (other && other->kind == JOB_SEALED) {
		int rc = store(p, other, e);

		if (rc < 0)
			return rc;
		job->csize = other->csize;
		return 1; /* by this call */
	}
	return repo_object_size(p->repo, &job->id, &job->csize, e);
}

/* 1 stored by this call, 0 it was there, -errno. */
static int settle(struct put *p, struct job *job, struct err *e)
{
	switch (job->kind) {
	case JOB_STORED: return 0; /* for an earlier job that had the same */
	case JOB_KNOWN:
		mutex_lock(&p->lock);
		table_remove(&p->under_way, &job->id);
		mutex_unlock(&p->lock);
		return 0;
	case JOB_ELSEWHERE: return settle_elsewhere(p, job, e);
	case JOB_SEALED: break;
	}
	return store(p, job, e) < 0 ? -(e->code ? e->code : EIO) : 1;
}

static int grow_results(struct put *p)
{
	size_t cap = p->result_cap ? 2 * p->result_cap : 1024;
	struct put_result *ring = calloc(cap, sizeof(*ring));

	if (!ring)
		return -ENOMEM;
	for (uint64_t n = p->forgotten; n < p->done; n++)
		ring[n % cap] = p->results[n % p->result_cap];
	free(p->results);
	p->results = ring;
	p->result_cap = cap;
	return 0;
}

static int add_result(struct put *p, const struct job *job, bool is_new)
{
	int rc = 0;

	mutex_lock(&p->lock);
	if (p->done - p->forgotten == p->result_cap)
		rc = grow_results(p);
	if (rc == 0) {
		p->results[p->done % p->result_cap] = (struct put_result){
			.id = job->id,
			.size = (uint32_t)job->plain.len,
			.csize = job->csize,
			.is_new = is_new,
		};
		p->done++;
	}
	mutex_unlock(&p->lock);
	return rc;
}

static int append_all(struct put *p, struct batch *b, struct err *e)
{
	for (size_t i = 0; i < b->count; i++) {
		int is_new = settle(p, &b->jobs[i], e);

		if (is_new < 0)
			return is_new;
		if (add_result(p, &b->jobs[i], is_new) < 0)
			return err_nomem(e, "results");
	}
	return 0;
}

static void empty_batch(struct put *p, struct batch *b)
{
	for (size_t i = 0; i < b->count; i++) {
		struct job *job = &b->jobs[i];

		if (i >= LARGE_JOBS && job->object.cap > KEPT_OBJECT)
			buf_fini(&job->object);
		if (i >= LARGE_JOBS && job->copy.cap > KEPT_OBJECT)
			buf_fini(&job->copy);
		unref_locked(p, job->slab);
		job->slab = NULL;
		job->plain = (struct bytes){ 0 };
	}
	b->count = b->bytes = 0;
	b->state = BATCH_FREE;
}

/* The next batch in order, sealed; NULL at the end. */
static struct batch *take_sealed(struct put *p)
{
	struct batch *b;

	mutex_lock(&p->lock);
	while (!(b = find_batch(p, BATCH_SEALED, p->next_append)) &&
	       !(p->closing && p->next_append == p->next_batch))
		cond_wait(&p->changed, &p->lock);
	mutex_unlock(&p->lock);
	return b;
}

static void *append_in_order(void *arg)
{
	struct put *p = arg;
	struct batch *b;

	while ((b = take_sealed(p))) {
		struct err e = ERR_INIT;
		bool failed;
		int rc;

		mutex_lock(&p->lock);
		failed = p->failure.code != 0;
		mutex_unlock(&p->lock);
		rc = failed ? 0 : append_all(p, b, &e);
		mutex_lock(&p->lock);
		if (rc < 0)
			fail_locked(p, &e);
		empty_batch(p, b);
		p->next_append++;
		cond_broadcast(&p->changed);
		mutex_unlock(&p->lock);
	}
	return NULL;
}

/* --- the caller's side --- */

static void dispatch_locked(struct put *p)
{
	if (!p->filling)
		return;
	p->filling->state = BATCH_WAITING;
	p->filling = NULL;
	cond_broadcast(&p->changed);
}

static int begin_batch_locked(struct put *p, struct err *e)
{
	struct batch *b;

	while (!(b = find_batch(p, BATCH_FREE, UINT64_MAX)) && p->failure.code == 0)
		cond_wait(&p->changed, &p->lock);
	if (p->failure.code != 0)
		return failure(p, e);
	b->state = BATCH_FILLING;
	b->number = p->next_batch++;
	b->first = p->given;
	p->filling = b;
	return 0;
}

/* The job of the next chunk, which is the caller's to fill in. */
static int next_job(struct put *p, struct slab *s, struct job **out, struct err *e)
{
	int rc = 0;

	mutex_lock(&p->lock);
	if (p->failure.code != 0)
		rc = failure(p, e);
	else if (!p->filling)
		rc = begin_batch_locked(p, e);
	if (rc == 0) {
		*out = &p->filling->jobs[p->filling->count];
		(*out)->slab = s;
		(*out)->how = p->options.compression;
		if (s)
			s->refs++;
	}
	mutex_unlock(&p->lock);
	return rc;
}

static void add_job(struct put *p, size_t bytes)
{
	struct batch *b = p->filling;

	b->count++;
	b->bytes += bytes;
	p->given++;
	if (b->count < BATCH_CHUNKS && b->bytes < BATCH_BYTES)
		return;
	mutex_lock(&p->lock);
	dispatch_locked(p);
	mutex_unlock(&p->lock);
}

int put_chunk(struct put *p, struct put_slab *s, struct bytes data, struct err *e)
{
	return put_chunk_as(p, s, data, &p->options.compression, e);
}

int put_chunk_as(struct put *p, struct put_slab *s, struct bytes data,
		 const struct compression *how, struct err *e)
{
	struct job *job = NULL;
	int rc = next_job(p, (struct slab *)s, &job, e);

	if (rc < 0)
		return rc;
	job->plain = data;
	job->how = *how;
	add_job(p, data.len);
	return 0;
}

int put_bytes(struct put *p, struct bytes data, struct err *e)
{
	struct job *job = NULL;
	int rc = next_job(p, NULL, &job, e);

	if (rc < 0)
		return rc;
	job->copy.len = 0;
	if (buf_append(&job->copy, data.p, data.len) < 0)
		return err_nomem(e, "chunk");
	job->plain = buf_bytes(&job->copy);
	add_job(p, data.len);
	return 0;
}

uint64_t put_count(const struct put *p)
{
	return p->given;
}

bool put_would_wait(struct put *p)
{
	bool full;

	mutex_lock(&p->lock);
	full = !p->filling && !find_batch(p, BATCH_FREE, UINT64_MAX) && p->failure.code == 0;
	mutex_unlock(&p->lock);
	return full;
}

void put_dispatch(struct put *p)
{
	mutex_lock(&p->lock);
	dispatch_locked(p);
	mutex_unlock(&p->lock);
}

uint64_t put_done(struct put *p)
{
	uint64_t done;

	mutex_lock(&p->lock);
	done = p->done;
	mutex_unlock(&p->lock);
	return done;
}

int put_wait(struct put *p, uint64_t number, struct err *e)
{
	int rc = 0;

	mutex_lock(&p->lock);
	if (p->done <= number && p->filling && number >= p->filling->first)
		dispatch_locked(p);
	while (p->done <= number && p->failure.code == 0)
		cond_wait(&p->changed, &p->lock);
	if (p->done <= number)
		rc = failure(p, e);
	mutex_unlock(&p->lock);
	return rc;
}

void put_result(struct put *p, uint64_t number, struct put_result *out)
{
	mutex_lock(&p->lock);
	assert(number >= p->forgotten && number < p->done);
	*out = p->results[number % p->result_cap];
	mutex_unlock(&p->lock);
}

void put_forget(struct put *p, uint64_t number)
{
	mutex_lock(&p->lock);
	if (number > p->forgotten)
		p->forgotten = number < p->done ? number : p->done;
	mutex_unlock(&p->lock);
}

/* --- life --- */

static int start(struct put *p, unsigned workers, struct err *e)
{
	int rc = 0;

	p->threads = calloc(workers + 1, sizeof(*p->threads));
	if (!p->threads)
		return err_nomem(e, "threads");
	for (unsigned i = 0; rc == 0 && i <= workers; i++) {
		rc = thread_start(&p->threads[i], i < workers ? work : append_in_order, p,
				  i < workers ? "seal" : "append", e);
		p->thread_count += rc == 0;
	}
	return rc;
}

int put_open(struct put **out, struct repo *repo, const struct key *key, struct nonces *nonces,
	     const struct put_options *options, struct err *e)
{
	CLEANUP(put_closep) struct put *p = calloc(1, sizeof(*p));
	unsigned workers = options->threads ? options->threads : cpu_count();
	int rc;

	if (!p)
		return err_nomem(e, "pipeline");
	p->repo = repo;
	p->key = key;
	p->nonces = nonces;
	p->options = *options;
	mutex_init(&p->lock);
	cond_init(&p->changed);
	table_init(&p->under_way, sizeof(struct chunk_id), sizeof(struct under_way));
	p->slab_max = SLABS_SPARE + workers;
	p->batch_count = 2 * (size_t)workers + 2;
	p->batches = calloc(p->batch_count, sizeof(*p->batches));
	if (!p->batches)
		return err_nomem(e, "pipeline");
	rc = start(p, workers, e);
	if (rc < 0)
		return rc;
	*out = TAKE(p);
	return 0;
}

static void free_batch(struct batch *b)
{
	for (size_t i = 0; i < BATCH_CHUNKS; i++) {
		buf_fini(&b->jobs[i].object);
		buf_fini(&b->jobs[i].copy);
	}
}

static void free_slabs(struct put *p)
{
	while (p->idle) {
		struct slab *s = p->idle;

		p->idle = s->next;
		free(s->shown.p);
		free(s);
	}
}

void put_close(struct put *p)
{
	if (!p)
		return;
	mutex_lock(&p->lock);
	dispatch_locked(p);
	p->closing = true;
	cond_broadcast(&p->changed);
	mutex_unlock(&p->lock);
	for (size_t i = 0; i < p->thread_count; i++)
		thread_join(p->threads[i]);
	for (size_t i = 0; p->batches && i < p->batch_count; i++)
		free_batch(&p->batches[i]);
	free(p->batches);
	free_slabs(p);
	table_fini(&p->under_way);
	free(p->results);
	free(p->threads);
	cond_fini(&p->changed);
	mutex_fini(&p->lock);
	free(p);
}
