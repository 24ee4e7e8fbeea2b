/*
 * loader.c - see loader.h.
 *
 * In a run the repository lends each object for the length of a call.  The first of a pair is
 * therefore copied aside and waits for the second.  For small objects the copy costs nothing; of
 * two large ones the first is read straight into our buffer.
 */

#include "core/store/loader.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/store/object.h"

enum {
	LARGE = 256 * 1024,            /* from here on a copy is worth avoiding */
	SCRATCH_KEEP = 4 * 1024 * 1024 /* larger buffers go back after use */
};

struct loader {
	struct repo *repo;
	struct chunk_heap *heap;
	struct unsealer *unsealer;
	struct buf held;  /* the first object of a pair */
	struct buf fresh; /* an object asked for again */
};

struct run {
	struct loader *l;
	struct load_job *jobs;
	struct load_job *held_job; /* its object is in l->held; NULL: none waits */
	size_t left;               /* jobs not delivered yet, this one included */
	load_done *done;
	void *arg;
	bool stopped;
};

int loader_new(struct loader **out, struct repo *repo, const struct key *key,
	       struct chunk_heap *heap, struct err *e)
{
	CLEANUP(loader_freep) struct loader *l = calloc(1, sizeof(*l));
	int rc;

	if (!l)
		return err_nomem(e, "loader");
	l->repo = repo;
	l->heap = heap;
	rc = unsealer_new(&l->unsealer, key, e);
	if (rc < 0)
		return rc;
	*out = TAKE(l);
	return 0;
}

void loader_free(struct loader *l)
{
	if (!l)
		return;
	unsealer_free(l->unsealer);
	buf_fini(&l->held);
	buf_fini(&l->fresh);
	free(l);
}

size_t loader_room(size_t hint)
{
	return hint < OBJECT_DATA_MAX ? hint : OBJECT_DATA_MAX;
}

/* Make the sentence name the chunk, unless it does already. */
static void name_chunk(struct load_job *job)
{
	char hex[CHUNK_ID_HEX];

	id_hex(&job->id, hex);
	if (!strstr(job->err.msg, hex))
		err_wrap(&job->err, job->rc, "chunk %s", hex);
}

static void finish(struct run *run, struct load_job *job)
{
	if (job->rc < 0) {
		chunk_unref(job->chunk);
		job->chunk = NULL;
		name_chunk(job);
	} else {
		chunk_finish(job->chunk);
	}
	if (!run->done(run->arg, job))
		run->stopped = true;
}

static bool prepare(struct run *run, struct load_job *job)
{
	job->chunk = chunk_new(run->l->heap, loader_room(job->hint));
	if (job->chunk)
		return true;
	job->rc = err_nomem(&job->err, "chunk");
	finish(run, job);
	return false;
}

/* What is not authentic stays pending: it is asked for again when the run is over, because the
 * repository must not be called from inside its own delivery. */
static void settle(struct run *run, struct load_job *job, int rc)
{
	if (rc == -EBADMSG) {
		chunk_unref(job->chunk);
		job->chunk = NULL;
		job->rc = -EAGAIN;
		return;
	}
	job->rc = rc;
	finish(run, job);
}

static void unseal_one(struct run *run, struct load_job *job, struct bytes object)
{
	if (prepare(run, job))
		settle(run, job,
		       object_unseal(run->l->unsealer, &job->id, object, loader_room(job->hint),
				     chunk_buf(job->chunk), &job->err));
}

static struct unseal_job half(struct load_job *job, struct bytes object)
{
	return (struct unseal_job){ .id = &job->id,
				    .object = object,
				    .size_hint = loader_room(job->hint),
				    .out = chunk_buf(job->chunk) };
}

static void unseal_two(struct run *run, struct load_job *first, struct load_job *second,
		       struct bytes object)
{
	struct unseal_job pair[2];

	if (!prepare(run, first)) {
		unseal_one(run, second, object);
		return;
	}
	if (!prepare(run, second)) {
		settle(run, first,
		       object_unseal(run->l->unsealer, &first->id, buf_bytes(&run->l->held),
				     loader_room(first->hint), chunk_buf(first->chunk),
				     &first->err));
		return;
	}
	pair[0] = half(first, buf_bytes(&run->l->held));
	pair[1] = half(second, object);
	object_unseal_pair(run->l->unsealer, pair);
	if (pair[0].rc < 0)
		first->err = pair[0].err;
	if (pair[1].rc < 0)
		second->err = pair[1].err;
	settle(run, first, pair[0].rc);
	settle(run, second, pair[1].rc);
}

/* Put the object aside for the next one; false when there is no memory for it. */
static bool hold(struct run *run, struct load_job *job, struct bytes object)
{
	run->l->held.len = 0;
	if (buf_append(&run->l->held, object.p, object.len) < 0)
		return false;
	run->held_job = job;
	return true;
}

static int deliver(void *arg, size_t index, int rc, struct bytes object, const struct err *why)
{
	struct run *run = arg;
	struct load_job *job = &run->jobs[index];
	struct load_job *held = run->held_job;

	run->left--;
	if (rc < 0) {
		job->rc = rc;
		if (why)
			job->err = *why;
		finish(run, job);
	} else if (held) {
		run->held_job = NULL;
		unseal_two(run, held, job, object);
	} else if (run->left == 0 || !hold(run, job, object)) {
		unseal_one(run, job, object);
	}
	return run->stopped;
}

static void unseal_held(struct run *run)
{
	struct load_job *job = run->held_job;

	run->held_job = NULL;
	if (job)
		unseal_one(run, job, buf_bytes(&run->l->held));
}

/* Ask the repository for jobs[from..count), whose ids are gathered for it. */
static void request(struct run *run, size_t from, size_t count)
{
	struct chunk_id ids[LOAD_RUN_MAX];
	struct run part = *run;
	struct err e = ERR_INIT;
	int rc;

	for (size_t i = from; i < count; i++)
		ids[i - from] = run->jobs[i].id;
	part.jobs += from;
	part.left = count - from;
	rc = repo_get_many(run->l->repo, ids, count - from, deliver, &part, &e);
	run->stopped = part.stopped;
	run->held_job = part.held_job;
	unseal_held(run);
	for (size_t i = from; rc < 0 && i < count; i++) {
		if (run->jobs[i].rc == LOAD_PENDING) {
			run->jobs[i].rc = rc;
			run->jobs[i].err = e;
			finish(run, &run->jobs[i]);
		}
	}
}

/* Read the first of two large objects without a copy. */
static void request_two(struct run *run)
{
	struct load_job *first = &run->jobs[0];
	int rc = repo_get(run->l->repo, &first->id, 0, &run->l->held, &first->err);

	if (rc < 0) {
		first->rc = rc;
		finish(run, first);
	} else {
		run->held_job = first;
	}
	if (!run->stopped)
		request(run, 1, 2);
}

/* Bytes that are not authentic may be those of a segment that was compacted away and whose
 * number was used again; the same from fresh files is damage. */
static void again(struct run *run, struct load_job *job)
{
	struct buf *object = &run->l->fresh;

	job->rc = repo_get(run->l->repo, &job->id, REPO_GET_FRESH, object, &job->err);
	if (job->rc == 0) {
		if (!prepare(run, job))
			return;
		job->err = (struct err)ERR_INIT;
		job->rc =
			object_unseal(run->l->unsealer, &job->id, buf_bytes(object),
				      loader_room(job->hint), chunk_buf(job->chunk), &job->err);
	}
	finish(run, job);
}

void loader_trim(struct loader *l)
{
	buf_fini(&l->held);
	buf_fini(&l->fresh);
}

static void trim(struct buf *b)
{
	if (b->cap > SCRATCH_KEEP)
		buf_fini(b);
}

void loader_run(struct loader *l, struct load_job *jobs, size_t count, load_done *done,
		void *arg)
{
	struct run run = { .l = l, .jobs = jobs, .done = done, .arg = arg };

	assert(count <= LOAD_RUN_MAX);
	for (size_t i = 0; i < count; i++) {
		jobs[i].rc = LOAD_PENDING;
		jobs[i].chunk = NULL;
		jobs[i].err.code = 0;
		jobs[i].err.msgid = NULL;
		jobs[i].err.msg[0] = '\0';
	}
	if (count == 2 && jobs[0].hint >= LARGE)
		request_two(&run);
	else
		request(&run, 0, count);
	for (size_t i = 0; i < count; i++) {
		if (jobs[i].rc == -EAGAIN)
			again(&run, &jobs[i]);
	}
	trim(&l->held);
	trim(&l->fresh);
}
