/* staging.c - see staging.h: the repository's lock, the gate, checkpoints, the end. */

#include "fs/staging_internal.h"

#include "core/archive/keep.h"
#include "core/base/log.h"
#include "core/base/table.h"
#include "core/base/thread.h"
#include "core/platform/host.h"
#include "fs/publish.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	SLAB_SPARE = 2 << 20,  /* bytes of a slab beyond the longest chunk */
	MEND_S = 3,            /* between two tries to store again after a failure */
	RETRY_S = 30,          /* after a commit that failed */
	LOOK_MS = 500,         /* between two looks at the clock */
	WRITERS_WAIT_MS = 1000 /* for files to be closed before publishing */
};

static const char logger[] = "borg.fuse";

static double seconds_since(const struct timespec *then)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - then->tv_sec) +
	       (double)(now.tv_nsec - then->tv_nsec) / 1e9;
}

int64_t staging_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

struct stage *staging_stage(struct staging *s)
{
	return s->stage;
}

/* --- the repository, open for writing; under `committing` --- */

int staging_open_pipeline(struct staging *s, struct err *e)
{
	size_t slab = s->chunk_max + SLAB_SPARE;
	int rc = session_put(s->session, &s->options.compression, slab, &s->put, e);

	return rc == 0 ? ingest_attach(s->ingest, s->put, e) : rc;
}

void staging_close_pipeline(struct staging *s)
{
	(void)ingest_detach(s->ingest, NULL); /* what was not stored waits for the next one */
	put_close(s->put);
	s->put = NULL;
}

struct chunk_id staging_manifest_hash(struct staging *s)
{
	struct manifest *m = reader_manifest(s->options.reader);
	struct chunk_id hash = m->hash;

	reader_manifest_unref(s->options.reader, m);
	return hash;
}

struct chunk_check {
	struct repo *repo;
	int rc;
};

static int is_there(void *arg, const struct chunk_id *id)
{
	struct chunk_check *check = arg;

	check->rc = repo_has(check->repo, id, NULL);
	return check->rc <= 0;
}

/* While the lock was not ours somebody may have deleted what staged files refer to. */
static int check_chunks(struct staging *s, struct err *e)
{
	struct chunk_check check = { .repo = s->options.reader->repo, .rc = 1 };
	struct chunk_id now = staging_manifest_hash(s);
	struct stage_node n;
	uint64_t cursor = 0, lost = 0;

	if (id_equal(&s->seen, &now))
		return 0;
	while (check.rc >= 0 && stage_next_file(s->stage, false, &cursor, &n)) {
		check.rc = 1;
		if (staged_forget_draft(n.content))
			staging_mark_dirty(s, n.st.st_ino);
		if (staged_each_chunk(n.content, is_there, &check) > 0 && check.rc == 0) {
			staged_lost(n.content);
			stage_mark_stale(s->stage, n.st.st_ino);
			lost++;
		}
		stage_release(s->stage, n.st.st_ino, 1);
	}
	if (lost > 0)
		log_error(logger,
			  "the repository has lost content of %" PRIu64
			  " staged file%s: write them again, or remove them",
			  lost, lost > 1 ? "s" : "");
	return check.rc < 0 ? err_set(e, -check.rc, "chunks of staged files") : 0;
}

static int open_session(struct staging *s, struct err *e)
{
	struct session_options options = {
		.prompt = s->options.prompt,
		.lock_wait = s->options.lock_wait,
		.operation = MANIFEST_WRITE,
		.rescue = true,
	};
	int rc = session_begin(&s->session, s->options.reader, &options, e);

	if (rc == 0)
		rc = check_chunks(s, e);
	if (rc == 0)
		rc = staging_open_pipeline(s, e);
	if (rc < 0 && s->session) {
		session_drop(s->session);
		s->session = NULL;
	}
	clock_gettime(CLOCK_MONOTONIC, &s->last_commit);
	return rc;
}

/* What was stored and is not committed is taken back first: to be stored again by the next one. */
static int close_session(struct staging *s, struct err *e)
{
	struct session *session = s->session;
	struct err why = ERR_INIT;
	int failed = s->put ? put_failure(s->put, NULL) : -ENOMEM;

	if (!session)
		return 0;
	if (failed != -ENOMEM)
		session_failed(session, failed);
	staging_close_pipeline(s);
	if (ingest_rescue(s->ingest, &why) < 0)
		log_error(logger, "staged content is lost: %s", why.msg);
	ingest_rolled_back(s->ingest);
	s->session = NULL;
	s->seen = staging_manifest_hash(s);
	return session_end(session, e);
}

/* After a failure the transaction is of no use any more: another one, with all that was accepted. */
static int begin_again(struct staging *s, struct err *e)
{
	struct err why = ERR_INIT;

	if (close_session(s, &why) < 0)
		log_error(logger, "%s", why.msg);
	return open_session(s, e);
}

/* --- changes and the gate --- */

void staging_mark_dirty(struct staging *s, uint64_t node)
{
	mutex_lock(&s->lock);
	s->all_dirty |= !table_put(&s->dirty, &node, NULL);
	mutex_unlock(&s->lock);
}

static void set_state(struct staging *s, enum state state)
{
	mutex_lock(&s->lock);
	s->state = state;
	cond_broadcast(&s->changed);
	mutex_unlock(&s->lock);
}

/* Somebody has to open it: this call, which has set CHANGING_STATE. */
static int open_for_change(struct staging *s, struct err *e)
{
	int rc;

	mutex_lock(&s->committing);
	rc = s->session ? 0 : open_session(s, e);
	mutex_unlock(&s->committing);
	set_state(s, rc == 0 ? OPEN : CLOSED);
	return rc;
}

int staging_begin_change(struct staging *s, bool may_wait, struct err *e)
{
	int rc = 0;

	mutex_lock(&s->lock);
	while (rc == 0 && (s->state != OPEN || s->gate)) {
		if (!may_wait) {
			rc = -EAGAIN;
		} else if (s->closing) {
			rc = err_set(e, EROFS, "the mount is ending");
		} else if (s->state == CLOSED) {
			s->state = CHANGING_STATE;
			mutex_unlock(&s->lock);
			rc = open_for_change(s, e);
			mutex_lock(&s->lock);
		} else {
			cond_wait(&s->changed, &s->lock);
		}
	}
	s->changing += rc == 0;
	mutex_unlock(&s->lock);
	return rc;
}

static bool is_want_of_space(int rc)
{
	return rc == -ENOSPC || rc == -EDQUOT || rc == -EIO;
}

static void touch_locked(struct staging *s, uint64_t archive, int rc)
{
	struct touched *t = table_put(&s->touched, &archive, NULL);

	if (!t)
		return; /* it will be looked at when something else changes */
	if (rc >= 0)
		t->change = s->changes;
	t->refused |= is_want_of_space(rc);
}

void staging_end_change(struct staging *s, const uint64_t nodes[2], int rc)
{
	uint64_t archives[2] = { 0 };

	for (size_t i = 0; i < 2; i++)
		if (nodes[i] && stage_archive(s->stage, nodes[i], &archives[i]) < 0)
			archives[i] = 0;
	mutex_lock(&s->lock);
	s->changing--;
	s->changes += rc >= 0;
	for (size_t i = 0; i < 2; i++)
		if (archives[i])
			touch_locked(s, archives[i], rc);
	clock_gettime(CLOCK_MONOTONIC, &s->last_change);
	if (s->gate && s->changing == 0)
		cond_broadcast(&s->changed);
	mutex_unlock(&s->lock);
}

struct touched staging_touched(struct staging *s, uint64_t archive)
{
	struct touched out = { 0 }, *t;

	mutex_lock(&s->lock);
	t = table_get(&s->touched, &archive);
	if (t)
		out = *t;
	mutex_unlock(&s->lock);
	return out;
}

void staging_forget_touched(struct staging *s, uint64_t archive)
{
	struct touched *t;

	mutex_lock(&s->lock);
	t = table_get(&s->touched, &archive);
	if (t)
		free(t->comment);
	table_remove(&s->touched, &archive);
	mutex_unlock(&s->lock);
}

/* When this returns nothing changes; the number of changes up to now. */
static uint64_t close_gate(struct staging *s)
{
	uint64_t changes;

	mutex_lock(&s->lock);
	s->gate = true;
	while (s->changing > 0)
		cond_wait(&s->changed, &s->lock);
	changes = s->changes;
	mutex_unlock(&s->lock);
	return changes;
}

static void open_gate(struct staging *s)
{
	mutex_lock(&s->lock);
	s->gate = false;
	cond_broadcast(&s->changed);
	mutex_unlock(&s->lock);
}

/* --- checkpoints and the lock --- */

/* Under `committing`: all that is staged becomes durable. */
static int commit(struct staging *s, const struct order *o, struct err *e)
{
	uint64_t changes = close_gate(s);
	struct err why = ERR_INIT;
	int rc = staging_commit(s, changes, o, e), reopened;

	if (rc == 0 && o && o->node)
		rc = stage_freeze(s->stage, o->node);
	clock_gettime(CLOCK_MONOTONIC, &s->last_commit);
	reopened = rc < 0 ? begin_again(s, &why) : staging_open_pipeline(s, &why);
	if (reopened < 0) {
		log_error(logger, "%s", why.msg);
		(void)close_session(s, &why);
		set_state(s, CLOSED); /* the next change tries */
	}
	open_gate(s);
	return rc;
}

/* Chunks can no longer be stored, say for want of space: once there is some, they can. */
static int mend_pipeline(struct staging *s, struct err *e)
{
	int rc = 0;

	if (!s->session || !s->put || put_failure(s->put, NULL) == -ENOMEM ||
	    seconds_since(&s->mended_at) < MEND_S)
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &s->mended_at);
	(void)close_gate(s);
	rc = begin_again(s, e);
	if (rc < 0) {
		(void)close_session(s, NULL);
		set_state(s, CLOSED);
	}
	open_gate(s);
	return rc;
}

static uint64_t changes_now(struct staging *s, double *idle)
{
	uint64_t changes;

	mutex_lock(&s->lock);
	changes = s->changes;
	*idle = seconds_since(&s->last_change);
	mutex_unlock(&s->lock);
	return changes;
}

/* After a failure that has closed it, with changes that are not durable. */
static int reopen(struct staging *s, struct err *e)
{
	int rc = open_session(s, e);

	if (rc == 0)
		set_state(s, OPEN);
	return rc;
}

int staging_checkpoint(struct staging *s, struct err *e)
{
	double idle;
	int rc = 0;

	mutex_lock(&s->committing);
	if (changes_now(s, &idle) != s->committed) {
		if (!s->session)
			rc = reopen(s, e);
		if (rc == 0)
			rc = commit(s, NULL, e);
	}
	mutex_unlock(&s->committing);
	return rc;
}

/* The lock goes back.  Only where all is committed, and nothing is about to change. */
static int give_back(struct staging *s, struct err *e)
{
	bool still;
	int rc;

	mutex_lock(&s->lock);
	still = s->changing == 0 && s->changes == s->committed && s->state == OPEN;
	if (still)
		s->state = CHANGING_STATE;
	mutex_unlock(&s->lock);
	if (!still)
		return 0;
	rc = close_session(s, e);
	set_state(s, CLOSED);
	return rc;
}

/* By itself, now and then; after a failure not before some time has passed. */
static void keep(struct staging *s)
{
	struct err e = ERR_INIT;
	double idle;
	bool dirty;
	int rc = 0;

	mutex_lock(&s->committing);
	if (s->failed && seconds_since(&s->failed_at) < RETRY_S) {
		mutex_unlock(&s->committing);
		return;
	}
	(void)staging_try_resume(s, NULL);
	(void)mend_pipeline(s, NULL);
	dirty = s->session && changes_now(s, &idle) != s->committed;
	if (dirty && ((s->options.checkpoint_s &&
		       seconds_since(&s->last_commit) >= s->options.checkpoint_s) ||
		      (s->options.idle_s && idle >= s->options.idle_s)))
		rc = commit(s, NULL, &e);
	if (rc == 0 && s->session && s->options.idle_s &&
	    changes_now(s, &idle) == s->committed && idle >= s->options.idle_s)
		rc = give_back(s, &e);
	s->failed = rc < 0;
	clock_gettime(CLOCK_MONOTONIC, &s->failed_at);
	mutex_unlock(&s->committing);
	if (rc < 0)
		log_error(logger, "%s", e.msg);
}

static void *keeper(void *arg)
{
	struct staging *s = arg;

	mutex_lock(&s->lock);
	while (!s->closing) {
		(void)cond_wait_ms(&s->changed, &s->lock, LOOK_MS);
		mutex_unlock(&s->lock);
		keep(s);
		mutex_lock(&s->lock);
	}
	mutex_unlock(&s->lock);
	return NULL;
}

/* --- publishing --- */

int staging_check_name(struct staging *s, struct bytes name)
{
	struct manifest *m = reader_manifest(s->options.reader);
	bool taken = manifest_find(m, name) != NULL;

	reader_manifest_unref(s->options.reader, m);
	if (taken)
		return -EEXIST;
	return keep_stem(name).len != name.len ? -EINVAL : 0;
}

static bool is_open_in(struct staging *s, uint64_t archive)
{
	const uint64_t *node;
	void *count;
	size_t cursor = 0;
	uint64_t its;

	while (table_next(&s->writers, &cursor, (const void **)&node, &count))
		if (stage_archive(s->stage, *node, &its) == 0 && its == archive)
			return true;
	return false;
}

static int await_writers(struct staging *s, uint64_t archive, struct err *e)
{
	struct timespec began;
	bool open;

	clock_gettime(CLOCK_MONOTONIC, &began);
	mutex_lock(&s->lock);
	while ((open = is_open_in(s, archive)) &&
	       seconds_since(&began) < WRITERS_WAIT_MS / 1000.0)
		(void)cond_wait_ms(&s->changed, &s->lock, 10);
	mutex_unlock(&s->lock);
	return open ? err_set(e, EBUSY, "a file is open for writing") : 0;
}

/* Commit, with an order that may have become impossible meanwhile. */
static int carry_out(struct staging *s, const struct order *o, struct err *e)
{
	int rc = 0;

	mutex_lock(&s->committing);
	if (!s->session)
		rc = reopen(s, e);
	if (rc == 0 && o->name.len > 0 && manifest_draft_find(s->session->draft, o->name))
		rc = -EEXIST;
	if (rc == 0 && o->archive.len > 0 &&
	    !manifest_draft_find(s->session->draft, o->archive))
		rc = -ENOENT;
	if (rc == 0)
		rc = commit(s, o, e);
	mutex_unlock(&s->committing);
	return rc;
}

/* The lock is ours for a while when this returns 0. */
static int take_lock(struct staging *s, struct err *e)
{
	int rc = staging_begin_change(s, true, e);

	if (rc == 0)
		staging_end_change(s, (uint64_t[2]){ 0 }, 0);
	return rc;
}

int staging_publish(struct staging *s, uint64_t node, struct bytes name, struct err *e)
{
	struct order o = { .node = node, .name = name };
	int rc = take_lock(s, e);

	if (rc == 0)
		rc = await_writers(s, node, e);
	return rc == 0 ? carry_out(s, &o, e) : rc;
}

int staging_rename_archive(struct staging *s, struct bytes archive, struct bytes name,
			   struct err *e)
{
	struct order o = { .name = name, .archive = archive };
	int rc = take_lock(s, e);

	return rc == 0 ? carry_out(s, &o, e) : rc;
}

int staging_remove_archive(struct staging *s, struct bytes archive, struct err *e)
{
	struct order o = { .archive = archive };
	int rc = take_lock(s, e);

	return rc == 0 ? carry_out(s, &o, e) : rc;
}

/* --- life --- */

static void dispose(void *arg, struct stage_content *content)
{
	(void)arg;
	staged_free(content);
}

static int open_parts(struct staging *s, struct err *e)
{
	const struct staging_options *o = &s->options;
	struct ingest_options ingest = {
		.fetch = o->reader->fetch,
		.chunker = o->chunker,
		.seed = (uint32_t)o->reader->key->chunk_seed,
		.spill_dir = o->spill_dir,
	};
	struct stage_options stage = {
		.uid = o->uid, .gid = o->gid, .acls = o->acls, .dispose = dispose
	};
	CLEANUP(chunker_freep) struct chunker *chunker = NULL;
	int rc = chunker_new(&chunker, &o->chunker, ingest.seed, e);

	if (rc == 0)
		rc = ingest_new(&s->ingest, &ingest, e);
	if (rc == 0)
		s->chunk_max = chunker_max(chunker);
	s->hostname = host_short_name();
	s->username = host_user_name();
	if (rc == 0 && (!s->hostname || !s->username || stage_new(&s->stage, &stage) < 0))
		rc = err_nomem(e, "staging directory");
	if (rc == 0)
		rc = thread_start(&s->keeper, keeper, s, "alcove-keep", e);
	s->has_keeper = rc == 0;
	return rc;
}

static void staging_free(struct staging *s)
{
	const uint64_t *node;
	struct touched *t;
	struct draft *d;
	size_t cursor = 0;

	staging_forget_outlines(s);
	stage_free(s->stage);
	ingest_free(s->ingest);
	while (table_next(&s->drafts, &cursor, (const void **)&node, (void **)&d))
		free(d->checkpoint);
	table_fini(&s->drafts);
	cursor = 0;
	while (table_next(&s->touched, &cursor, (const void **)&node, (void **)&t))
		free(t->comment);
	table_fini(&s->touched);
	table_fini(&s->dirty);
	table_fini(&s->writers);
	cond_fini(&s->changed);
	mutex_fini(&s->lock);
	mutex_fini(&s->committing);
	free(s->hostname);
	free(s->username);
	free(s);
}

int staging_open(struct staging **out, const struct staging_options *options, struct err *e)
{
	struct staging *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return err_nomem(e, "staging directory");
	s->options = *options;
	mutex_init(&s->lock);
	mutex_init(&s->committing);
	cond_init(&s->changed);
	table_init(&s->writers, sizeof(uint64_t), sizeof(uint64_t));
	table_init(&s->dirty, sizeof(uint64_t), 0);
	table_init(&s->touched, sizeof(uint64_t), sizeof(struct touched));
	table_init(&s->drafts, sizeof(uint64_t), sizeof(struct draft));
	rc = open_parts(s, e);
	if (rc < 0) {
		staging_free(s);
		return rc;
	}
	*out = s;
	return 0;
}

/* --- the end --- */

static int is_something(void *arg, struct bytes name, const struct stage_node *node,
			uint64_t cookie)
{
	(void)name, (void)node, (void)cookie;
	*(bool *)arg = true;
	return 1;
}

/* Why an archive in the making is left as a checkpoint; NULL: it need not be. */
static const char *reason_to_leave(struct staging *s, uint64_t node, bool publish)
{
	struct touched t = staging_touched(s, node);
	bool filled = false, open;

	(void)stage_list(s->stage, node, 0, is_something, &filled);
	mutex_lock(&s->lock);
	open = is_open_in(s, node);
	mutex_unlock(&s->lock);
	if (!publish)
		return "the mount was not simply unmounted";
	if (!filled)
		return "it is empty";
	if (t.change == 0)
		return "nothing was written to it";
	if (t.refused)
		return "something could not be written to it";
	return open ? "a file is open for writing" : NULL;
}

struct teller {
	staging_tell *tell;
	void *arg;
};

__attribute__((format(printf, 3, 4))) static void say(const struct teller *t, bool published,
						      const char *fmt, ...)
{
	char text[600];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (t->tell)
		t->tell(t->arg, published, text);
}

static int end_archive(struct staging *s, const struct listed *row, bool publish,
		       const struct teller *teller, struct err *e)
{
	const char *why = reason_to_leave(s, row->node, publish);
	int rc = 0;

	if (!why) {
		rc = staging_publish(s, row->node, bytes_str(row->name), e);
		if (rc == 0) {
			say(teller, true, "%s: published", row->name);
			return 0;
		}
		why = e->msg[0] ? e->msg : strerror(-rc);
	}
	log_warning(logger, "%s: left as a checkpoint: %s", row->name, why);
	say(teller, false, "%s: left as a checkpoint: %s", row->name, why);
	return rc;
}

static int end_archives(struct staging *s, bool publish, const struct teller *teller,
			struct err *e)
{
	CLEANUP(buf_fini) struct buf rows = BUF_INIT;
	struct err why = ERR_INIT;
	int rc = staging_list(s, &rows, e), one;
	const struct listed *list = (const struct listed *)(const void *)rows.p;

	for (size_t i = 0; i < rows.len / sizeof(*list); i++) {
		one = end_archive(s, &list[i], publish, teller, rc < 0 ? &why : e);
		rc = rc < 0 ? rc : one;
	}
	return rc;
}

static void stop_keeper(struct staging *s)
{
	mutex_lock(&s->lock);
	s->closing = true;
	cond_broadcast(&s->changed);
	mutex_unlock(&s->lock);
	if (s->has_keeper)
		thread_join(s->keeper);
}

int staging_close(struct staging *s, bool publish, staging_tell *tell, void *arg, struct err *e)
{
	struct teller teller = { tell, arg };
	struct err why = ERR_INIT;
	int rc, one;

	if (!s)
		return 0;
	rc = end_archives(s, publish, &teller, e);
	one = staging_checkpoint(s, rc < 0 ? &why : e);
	rc = rc < 0 ? rc : one;
	stop_keeper(s);
	mutex_lock(&s->committing);
	one = close_session(s, rc < 0 ? &why : e);
	mutex_unlock(&s->committing);
	staging_free(s);
	return rc < 0 ? rc : one;
}
