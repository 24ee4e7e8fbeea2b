/*
 * staging.c - see staging.h: the lock, the gate, commits.
 *
 * Two locks.  `lock` guards the state and is held for moments.  `committing` is held by whoever
 * commits, closes or reopens: for as long as the repository takes.
 */

#include "fs/staging.h"

#include "core/archive/keep.h"
#include "core/base/log.h"
#include "core/base/table.h"
#include "core/base/thread.h"
#include "core/platform/host.h"
#include "fs/publish.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	SLAB_SPARE = 2 << 20,  /* bytes of a slab beyond the longest chunk */
	LOOK_MS = 500,         /* between two looks at the clock */
	WRITERS_WAIT_MS = 1000 /* for files to be closed before publishing */
};

static const char logger[] = "borg.fuse";

enum state { CLOSED, CHANGING_STATE, OPEN };

struct draft {            /* an archive in the making, by the number of its directory */
	char *checkpoint; /* its name in the manifest, or NULL: none yet */
	int64_t started_ns;
	bool listed; /* still there: while commit() looks */
	bool told_sockets;
};

struct staging {
	struct staging_options options;
	struct stage *stage;
	struct ingest *ingest;
	char *hostname, *username;
	size_t chunk_max;

	struct mutex lock; /* guards what follows */
	struct cond changed;
	enum state state;
	bool gate;         /* closed: no change may begin */
	unsigned changing; /* changes under way */
	uint64_t changes;  /* so far */
	struct timespec last_change;
	struct table writers; /* node -> how often it is open for writing */
	bool closing;

	struct mutex committing; /* guards what follows */
	struct session *session;
	struct put *put;
	struct table drafts; /* node -> struct draft */
	uint64_t committed;  /* changes that are durable */
	struct timespec last_commit;

	pthread_t keeper;
	bool has_keeper;
};

static double seconds_since(const struct timespec *then)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - then->tv_sec) +
	       (double)(now.tv_nsec - then->tv_nsec) / 1e9;
}

static int64_t now_ns(void)
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

static int open_pipeline(struct staging *s, struct err *e)
{
	size_t slab = s->chunk_max + SLAB_SPARE;
	int rc = session_put(s->session, &s->options.compression, slab, &s->put, e);

	return rc == 0 ? ingest_attach(s->ingest, s->put, e) : rc;
}

static void close_pipeline(struct staging *s)
{
	(void)ingest_detach(s->ingest, NULL); /* what was not stored waits for the next one */
	put_close(s->put);
	s->put = NULL;
}

static int open_session(struct staging *s, struct err *e)
{
	struct session_options options = {
		.prompt = s->options.prompt,
		.lock_wait = s->options.lock_wait,
		.operation = MANIFEST_WRITE,
	};
	int rc = session_begin(&s->session, s->options.reader, &options, e);

	if (rc == 0)
		rc = open_pipeline(s, e);
	if (rc < 0 && s->session) {
		session_drop(s->session);
		s->session = NULL;
	}
	clock_gettime(CLOCK_MONOTONIC, &s->last_commit);
	return rc;
}

static int close_session(struct staging *s, struct err *e)
{
	struct session *session = s->session;

	if (!session)
		return 0;
	close_pipeline(s);
	s->session = NULL;
	return session_end(session, e);
}

/* --- changes and the gate --- */

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
	rc = open_session(s, e);
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

void staging_end_change(struct staging *s)
{
	mutex_lock(&s->lock);
	s->changing--;
	s->changes++;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &s->last_change);
	if (s->gate && s->changing == 0)
		cond_broadcast(&s->changed);
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

/* --- what a commit consists of; under `committing`, the gate closed --- */

struct publication { /* a staged archive under its final name */
	uint64_t node;
	struct bytes name;
};

struct listed { /* a staged archive */
	uint64_t node;
	char name[STAGE_NAME_MAX + 1];
};

struct listing_out {
	struct buf rows; /* of struct listed */
	int rc;
};

static int note_archive(void *arg, struct bytes name, const struct stage_node *node,
			uint64_t cookie)
{
	struct listing_out *out = arg;
	struct listed row = { .node = node->st.st_ino };

	(void)cookie;
	memcpy(row.name, name.p, name.len);
	out->rc = buf_append(&out->rows, &row, sizeof(row));
	return out->rc;
}

static struct draft *draft_of(struct staging *s, uint64_t node)
{
	bool created;
	struct draft *d = table_put(&s->drafts, &node, &created);

	if (d && created)
		d->started_ns = now_ns();
	return d;
}

/* "NAME.checkpoint", or with a number where that is somebody else's. */
static int name_checkpoint(struct staging *s, const char *name, struct draft *d, struct err *e)
{
	for (unsigned i = 0; !d->checkpoint; i++) {
		char *made = NULL;
		int n = i ? asprintf(&made, "%s.checkpoint.%u", name, i)
			  : asprintf(&made, "%s.checkpoint", name);

		if (n < 0)
			return err_nomem(e, "checkpoint");
		if (manifest_draft_find(s->session->draft, bytes_str(made)))
			free(made);
		else
			d->checkpoint = made;
	}
	return 0;
}

static void facts_of(const struct staging *s, const struct draft *d, struct bytes name,
		     struct archive_facts *out)
{
	*out = (struct archive_facts){
		.name = name,
		.hostname = bytes_str(s->hostname),
		.username = bytes_str(s->username),
		.cmdline = s->options.cmdline,
		.cmdline_count = s->options.cmdline_count,
		.time_ns = d->started_ns,
		.time_end_ns = now_ns(),
		.chunker_params = s->options.chunker,
	};
}

static void tell_sockets(const char *name, struct draft *d, unsigned sockets)
{
	if (sockets == 0 || d->told_sockets)
		return;
	d->told_sockets = true;
	log_warning(logger, "%s: %u socket%s will not be archived", name, sockets,
		    sockets > 1 ? "s" : "");
}

/* The archive object of a staged tree, stored, with all that it refers to. */
static int store_archive(struct staging *s, struct put *put, const struct listed *row,
			 struct draft *d, struct bytes name, struct chunk_id *id,
			 struct chunk_refs **refs, char time_text[MANIFEST_TIME_TEXT],
			 struct err *e)
{
	CLEANUP(archive_writer_freep) struct archive_writer *w = NULL;
	CLEANUP(collector_freep) struct collector *collector = NULL;
	struct archive_writer_options options = { .refs = session_refs(s->session) };
	struct archive_facts facts;
	unsigned sockets;
	int rc = archive_writer_new(&w, put, s->options.reader->key, &options, e);

	if (rc == 0)
		rc = collector_new(&collector, &(struct collect_options){ 0 }, e);
	if (rc == 0)
		rc = publish_items(s->stage, row->node, collector, w, &sockets, e);
	if (rc < 0)
		return rc;
	tell_sockets(row->name, d, sockets);
	facts_of(s, d, name, &facts);
	rc = archive_writer_save(w, &facts, id, e);
	manifest_format_time(facts.time_ns, time_text);
	*refs = archive_writer_take_refs(w);
	return rc;
}

static int remove_checkpoint(struct staging *s, struct draft *d, struct err *e)
{
	int rc = 0;

	if (d->checkpoint && manifest_draft_find(s->session->draft, bytes_str(d->checkpoint)))
		rc = session_remove_archive(s->session, bytes_str(d->checkpoint), e);
	return rc;
}

/* The archive as it is, as its checkpoint or, when `p` says so, under its own name. */
static int commit_archive(struct staging *s, struct put *put, const struct listed *row,
			  const struct publication *p, struct err *e)
{
	struct draft *d = draft_of(s, row->node);
	bool published = p && p->node == row->node;
	char time_text[MANIFEST_TIME_TEXT];
	struct chunk_refs *refs = NULL;
	struct chunk_id id;
	struct bytes name;
	int rc;

	if (!d)
		return err_nomem(e, row->name);
	rc = name_checkpoint(s, row->name, d, e);
	if (rc < 0)
		return rc;
	name = published ? p->name : bytes_str(d->checkpoint);
	rc = store_archive(s, put, row, d, name, &id, &refs, time_text, e);
	d->listed = true;
	if (rc == 0)
		rc = remove_checkpoint(s, d, e);
	return rc < 0 ? rc
		      : session_add_archive(s->session, name, &id, bytes_str(time_text), refs,
					    e);
}

static int commit_archives(struct staging *s, struct put *put, const struct publication *p,
			   struct err *e)
{
	CLEANUP(buf_fini) struct buf rows = BUF_INIT;
	struct listing_out out = { .rows = BUF_INIT };
	const struct listed *list;
	int rc = stage_list(s->stage, stage_root(s->stage), 0, note_archive, &out);

	rows = out.rows;
	if (rc == 0)
		rc = out.rc;
	if (rc < 0)
		return err_set(e, -rc, "staged archives");
	list = (const struct listed *)(const void *)rows.p;
	for (size_t i = 0; rc == 0 && i < rows.len / sizeof(*list); i++)
		rc = commit_archive(s, put, &list[i], p, e);
	return rc;
}

/* Checkpoints of what was removed from the staging directory. */
static int remove_discarded(struct staging *s, struct err *e)
{
	const uint64_t *node;
	struct draft *d;
	size_t cursor = 0;
	int rc = 0;

	while (rc == 0 && table_next(&s->drafts, &cursor, (const void **)&node, (void **)&d))
		if (!d->listed)
			rc = remove_checkpoint(s, d, e);
	return rc;
}

static void drop_draft(struct staging *s, uint64_t node)
{
	struct draft *d = table_get(&s->drafts, &node);

	if (d)
		free(d->checkpoint);
	table_remove(&s->drafts, &node);
}

/* Drafts of archives that are no more: published, or discarded. */
static void forget_drafts(struct staging *s, const struct publication *p)
{
	bool again = true;

	if (p)
		drop_draft(s, p->node);
	while (again) {
		const uint64_t *node;
		struct draft *d;
		size_t cursor = 0;

		again = false;
		while (!again &&
		       table_next(&s->drafts, &cursor, (const void **)&node, (void **)&d))
			again = !d->listed;
		if (again)
			drop_draft(s, *node);
	}
}

static void unlist_drafts(struct staging *s)
{
	const uint64_t *node;
	struct draft *d;
	size_t cursor = 0;

	while (table_next(&s->drafts, &cursor, (const void **)&node, (void **)&d))
		d->listed = false;
}

/* --- contents; the gate is closed --- */

typedef int content_fn(struct stage_content *c, struct err *e);

/* For every file: a loss is that file's affair and stops nothing. */
static int each_file(struct staging *s, content_fn *fn, struct err *e)
{
	struct stage_node n;
	uint64_t cursor = 0;
	int rc = 0;

	while (rc == 0 && stage_next_file(s->stage, &cursor, &n)) {
		if (staged_sync(n.content, NULL) == 0)
			rc = n.st.st_nlink > 0 ? fn(n.content, e) : staged_evict(n.content, e);
		if (rc < 0 && staged_sync(n.content, NULL) < 0)
			rc = 0;
		stage_release(s->stage, n.st.st_ino, 1);
	}
	return rc;
}

/* Everything in the pipeline first, then its ids. */
static int settle_all(struct staging *s, struct err *e)
{
	int rc;

	ingest_hold(s->ingest, true);
	rc = each_file(s, staged_flush, e);
	if (rc == 0)
		rc = each_file(s, staged_settle, e);
	if (rc == 0)
		rc = ingest_detach(s->ingest, e);
	return rc;
}

struct deletion {
	struct repo *repo;
	struct err *err;
};

static int delete_orphan(void *arg, const struct chunk_id *id)
{
	struct deletion *d = arg;
	int rc = repo_delete(d->repo, id, d->err);

	return rc == -ENOENT ? 0 : rc;
}

static int delete_orphans(struct staging *s, struct err *e)
{
	struct deletion d = { s->options.reader->repo, e };

	return ingest_orphans(s->ingest, delete_orphan, &d);
}

static int store_everything(struct staging *s, const struct publication *p, struct err *e)
{
	int rc = settle_all(s, e);

	if (rc == 0)
		rc = commit_archives(s, s->put, p, e);
	if (rc == 0)
		rc = remove_discarded(s, e);
	close_pipeline(s);
	if (rc == 0)
		rc = delete_orphans(s, e);
	return rc == 0 ? session_commit(s->session, e) : rc;
}

/* Under `committing`: all that is staged becomes durable. */
static int commit(struct staging *s, const struct publication *p, struct err *e)
{
	uint64_t changes = close_gate(s);
	struct err why = ERR_INIT;
	int rc;

	unlist_drafts(s);
	rc = store_everything(s, p, e);
	if (rc == 0) {
		ingest_committed(s->ingest);
		s->committed = changes;
		forget_drafts(s, p);
		if (p)
			rc = stage_freeze(s->stage, p->node);
	}
	clock_gettime(CLOCK_MONOTONIC, &s->last_commit);
	if (open_pipeline(s, &why) < 0)
		log_error(logger, "%s", why.msg);
	open_gate(s);
	return rc;
}

/* --- checkpoints and the lock --- */

static uint64_t changes_now(struct staging *s, double *idle)
{
	uint64_t changes;

	mutex_lock(&s->lock);
	changes = s->changes;
	*idle = seconds_since(&s->last_change);
	mutex_unlock(&s->lock);
	return changes;
}

int staging_checkpoint(struct staging *s, struct err *e)
{
	double idle;
	int rc = 0;

	mutex_lock(&s->committing);
	if (s->session && changes_now(s, &idle) != s->committed)
		rc = commit(s, NULL, e);
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

static void keep(struct staging *s)
{
	struct err e = ERR_INIT;
	double idle;
	bool dirty;
	int rc = 0;

	mutex_lock(&s->committing);
	dirty = s->session && changes_now(s, &idle) != s->committed;
	if (dirty && (seconds_since(&s->last_commit) >= s->options.checkpoint_s ||
		      (s->options.idle_s && idle >= s->options.idle_s)))
		rc = commit(s, NULL, &e);
	if (rc == 0 && s->session && s->options.idle_s &&
	    changes_now(s, &idle) == s->committed && idle >= s->options.idle_s)
		rc = give_back(s, &e);
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

int staging_publish(struct staging *s, uint64_t node, struct bytes name, struct err *e)
{
	struct publication p = { .node = node, .name = name };
	int rc = staging_begin_change(s, true, e); /* the lock is ours from here on */

	if (rc < 0)
		return rc;
	staging_end_change(s);
	rc = await_writers(s, node, e);
	if (rc < 0)
		return rc;
	mutex_lock(&s->committing);
	if (!s->session)
		rc = err_set(e, EAGAIN, "the lock was given back");
	else if (manifest_draft_find(s->session->draft, name))
		rc = -EEXIST;
	if (rc == 0)
		rc = commit(s, &p, e);
	mutex_unlock(&s->committing);
	return rc;
}

/* --- files --- */

int staging_new_content(struct staging *s, struct stage_content **out)
{
	*out = staged_new(s->ingest);
	return *out ? 0 : -ENOMEM;
}

void staging_drop_content(struct stage_content *c)
{
	staged_free(c);
}

void staging_complete(struct stage_node *n)
{
	if (n->content)
		n->st.st_blocks = (blkcnt_t)staged_blocks(n->content);
}

static int file_of(struct staging *s, uint64_t node, struct stage_node *out)
{
	int rc = stage_get(s->stage, node, out);

	if (rc == 0 && !S_ISREG(out->st.st_mode))
		rc = S_ISDIR(out->st.st_mode) ? -EISDIR : -EINVAL;
	return rc;
}

static int changeable_file(struct staging *s, uint64_t node, struct stage_node *out)
{
	int rc = file_of(s, node, out);

	return rc == 0 && out->frozen ? -EROFS : rc;
}

/* Its bytes have changed: it is at least, or with STAGE_GROW left out of `how` exactly, this long. */
static int changed(struct staging *s, uint64_t node, uint64_t size, unsigned how)
{
	struct stat st = { .st_size = (off_t)size };
	struct stage_node n;

	clock_gettime(CLOCK_REALTIME, &st.st_mtim);
	return stage_set(s->stage, node, STAGE_SIZE | STAGE_MTIME | STAGE_WRITTEN | how, &st,
			 &n);
}

int staging_write(struct staging *s, uint64_t node, uint64_t off, struct bytes data,
		  bool may_wait, struct err *e)
{
	struct stage_node n;
	int rc = changeable_file(s, node, &n);

	if (rc == 0)
		rc = staged_write(n.content, off, data, may_wait, e);
	return rc == 0 ? changed(s, node, off + data.len, STAGE_GROW) : rc;
}

int staging_truncate(struct staging *s, uint64_t node, uint64_t size, bool open, bool may_wait,
		     struct err *e)
{
	struct stage_node n;
	int rc = changeable_file(s, node, &n);

	if (rc == 0 && n.flags & (FS_IMMUTABLE_FL | FS_APPEND_FL) &&
	    (!open || n.flags & FS_APPEND_FL))
		rc = -EPERM;
	if (rc == 0)
		rc = staged_truncate(n.content, size, may_wait, e);
	return rc == 0 ? changed(s, node, size, 0) : rc;
}

int staging_allocate(struct staging *s, uint64_t node, int mode, uint64_t off, uint64_t len,
		     bool may_wait, struct err *e)
{
	struct stage_node n;
	int rc = changeable_file(s, node, &n);

	if (rc == 0)
		rc = staged_allocate(n.content, mode, off, len, may_wait, e);
	return rc == 0 ? changed(s, node, staged_size(n.content), STAGE_GROW) : rc;
}

int staging_read(struct staging *s, uint64_t node, uint64_t off, size_t len, bool may_wait,
		 struct content_range *out, struct err *e)
{
	struct stage_node n;
	int rc = file_of(s, node, &n);

	return rc == 0 ? staged_read(n.content, off, len, may_wait, out, e) : rc;
}

int staging_seek(struct staging *s, uint64_t node, uint64_t off, int whence, bool may_wait,
		 uint64_t *out)
{
	struct stage_node n;
	int rc = file_of(s, node, &n);

	return rc == 0 ? staged_seek(n.content, off, whence, may_wait, out) : rc;
}

int staging_copy(struct staging *s, uint64_t from, uint64_t from_off, uint64_t to,
		 uint64_t to_off, uint64_t *len, struct err *e)
{
	struct stage_node source, target;
	int rc = file_of(s, from, &source);

	if (rc == 0)
		rc = changeable_file(s, to, &target);
	if (rc == 0)
		rc = staged_copy(source.content, from_off, target.content, to_off, *len, len,
				 e);
	return rc == 0 && *len > 0 ? changed(s, to, to_off + *len, STAGE_GROW) : rc;
}

/* The chunks of an archive's file that bytes [off, off + len) are in; `skip`: how far in they begin. */
static int list_chunks(const struct content *from, uint64_t off, uint64_t len, struct buf *out,
		       struct staged_import *what, struct err *e)
{
	struct tree *tree = from->volume->tree;
	struct tree_chunk row;
	uint32_t index = 0;
	int rc = tree_chunk_at(tree, &from->file, off, &index, e);

	for (uint64_t at = off; rc >= 0 && at < off + len && index < from->file.chunk_count;
	     index++) {
		rc = tree_chunks(tree, &from->file, index, 1, &row, e);
		if (rc < 0)
			return rc;
		if (at == off)
			what->skip = off - (row.end - row.size);
		if (buf_append(out, &(struct item_chunk){ row.id, row.size, row.csize },
			       sizeof(struct item_chunk)) < 0)
			return err_nomem(e, "chunks");
		at = row.end;
	}
	what->chunks = (const struct item_chunk *)(const void *)out->p;
	what->count = out->len / sizeof(struct item_chunk);
	what->len = len;
	what->is_last = index == from->file.chunk_count;
	return rc < 0 ? rc : 0;
}

int staging_import(struct staging *s, const struct content *from, uint64_t from_off,
		   uint64_t to, uint64_t to_off, uint64_t *len, bool may_wait, struct err *e)
{
	CLEANUP(buf_fini) struct buf chunks = BUF_INIT;
	struct staged_import what = { 0 };
	struct stage_node n;
	int rc = changeable_file(s, to, &n);

	if (rc < 0)
		return rc;
	if (from_off >= from->file.size)
		*len = 0;
	else if (*len > from->file.size - from_off)
		*len = from->file.size - from_off;
	if (*len == 0)
		return 0;
	rc = list_chunks(from, from_off, *len, &chunks, &what, e);
	if (rc == 0)
		rc = staged_import(n.content, to_off, &what, may_wait, e);
	return rc == 0 ? changed(s, to, to_off + *len, STAGE_GROW) : rc;
}

int staging_failure(struct staging *s, uint64_t node)
{
	struct stage_node n;

	return stage_get(s->stage, node, &n) == 0 && n.content ? staged_sync(n.content, NULL)
							       : 0;
}

int staging_open_file(struct staging *s, uint64_t node, bool for_writing, bool appending)
{
	struct stage_node n;
	uint32_t *count;
	int rc = stage_get(s->stage, node, &n);

	if (rc < 0 || !for_writing)
		return rc;
	if (n.frozen)
		return -EROFS;
	if (n.flags & FS_IMMUTABLE_FL || (n.flags & FS_APPEND_FL && !appending))
		return -EPERM;
	mutex_lock(&s->lock);
	count = table_put(&s->writers, &node, NULL);
	if (count)
		++*count;
	mutex_unlock(&s->lock);
	return count ? 0 : -ENOMEM;
}

void staging_close_file(struct staging *s, uint64_t node, bool for_writing)
{
	struct stage_node n;
	uint32_t *count;
	bool last = false;

	if (!for_writing)
		return;
	mutex_lock(&s->lock);
	count = table_get(&s->writers, &node);
	if (count && --*count == 0) {
		last = true;
		table_remove(&s->writers, &node);
		cond_broadcast(&s->changed);
	}
	mutex_unlock(&s->lock);
	if (last && stage_get(s->stage, node, &n) == 0 && n.content)
		staged_close(n.content);
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
	struct draft *d;
	size_t cursor = 0;

	stage_free(s->stage);
	ingest_free(s->ingest);
	while (table_next(&s->drafts, &cursor, (const void **)&node, (void **)&d))
		free(d->checkpoint);
	table_fini(&s->drafts);
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
	table_init(&s->writers, sizeof(uint64_t), sizeof(uint32_t));
	table_init(&s->drafts, sizeof(uint64_t), sizeof(struct draft));
	rc = open_parts(s, e);
	if (rc < 0) {
		staging_free(s);
		return rc;
	}
	*out = s;
	return 0;
}

int staging_close(struct staging *s, struct err *e)
{
	struct err why = ERR_INIT;
	int rc, ended;

	if (!s)
		return 0;
	rc = staging_checkpoint(s, e);
	mutex_lock(&s->lock);
	s->closing = true;
	cond_broadcast(&s->changed);
	mutex_unlock(&s->lock);
	if (s->has_keeper)
		thread_join(s->keeper);
	mutex_lock(&s->committing);
	ended = close_session(s, rc < 0 ? &why : e);
	mutex_unlock(&s->committing);
	staging_free(s);
	return rc < 0 ? rc : ended;
}
