/*
 * local.c - the repository interface over segments, as far as it reads.
 *
 * Invariants:
 * 1. Nothing in the repository's folder is created, changed, locked or removed here.
 * 2. A snapshot is swapped whole, under `lock`; who took a reference keeps reading by it.
 * 3. What is delivered has a good checksum and the id that was asked for.
 * 4. A failure at a place is believed only when a fresh descriptor and a fresh snapshot fail there
 *    too;
 *    before an object is called missing or damaged for the index's sake, the index has been
 *    compared with its digest and, where it is bad, rebuilt from the log.
 *
 * Reads of neighbours in one segment are merged: item streams and small files lie in order.
 */

#include "core/repo/local.h"

#include "core/repo/local_internal.h"

#include "core/base/io.h"
#include "core/repo/config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

static const struct place nowhere = { UINT32_MAX, 0 };

static struct snapshot *current_snapshot(struct local *l)
{
	struct snapshot *v;

	mutex_lock(&l->lock);
	v = snapshot_ref(l->snapshot);
	mutex_unlock(&l->lock);
	return v;
}

/* --- following the log --- */

static bool older_than(const struct timespec *t, const struct timespec *now)
{
	int64_t age =
		(int64_t)(now->tv_sec - t->tv_sec) * 1000000000 + (now->tv_nsec - t->tv_nsec);

	return age > SETTLED_NS;
}

/* A change within the same tick as the mark would not show in it. */
static bool settled(const struct files_mark *m)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return older_than(&m->root, &now) && older_than(&m->data, &now) &&
	       older_than(&m->newest, &now);
}

static bool is_written(struct local *l)
{
	bool written;

	rwlock_read(&l->writer_lock);
	written = l->writer != NULL;
	rwlock_unlock(&l->writer_lock);
	return written;
}

/* Where the object is: by the transaction under way, where there is one, else by the snapshot. */
static bool find(struct local *l, const struct snapshot *v, const struct chunk_id *id,
		 struct place *at)
{
	bool found;

	rwlock_read(&l->writer_lock);
	if (l->writer) {
		found = writer_find(l->writer, id, at);
		if (found)
			(void)writer_flush_for(l->writer, *at, NULL); /* else it is not read */
	} else {
		found = snapshot_find(v, id, at);
	}
	rwlock_unlock(&l->writer_lock);
	return found;
}

/* The index found bad stays bad until there is another.  distrust_kept: so is what stands on the
 * log alone.  Returns whether another transaction is shown. */
static int follow_locked(struct local *l, bool distrust_kept, struct err *e)
{
	CLEANUP(snapshot_closep) struct snapshot *before = current_snapshot(l);
	struct snapshot_distrust distrust = {
		.index = l->verdict == INDEX_BAD ? &l->judged : NULL,
		.kept = distrust_kept,
	};
	struct files_mark mark;
	struct snapshot *v;
	bool settled_mark = files_mark(l->home.dirfd, &mark) == 0 && settled(&mark);
	int rc = snapshot_make(&v, &l->home, before, &distrust, e), moved;

	if (rc < 0)
		return err_wrap(e, rc, "%s", l->repo.path);
	moved = snapshot_transaction(v) != snapshot_transaction(before);
	mutex_lock(&l->lock);
	snapshot_close(l->snapshot);
	l->snapshot = v;
	l->mark = mark;
	l->mark_valid = settled_mark;
	mutex_unlock(&l->lock);
	return moved;
}

int local_follow(struct local *l, struct err *e)
{
	int rc;

	if (is_written(l))
		return 0; /* nobody else writes */
	mutex_lock(&l->follow_lock);
	rc = follow_locked(l, false, e);
	mutex_unlock(&l->follow_lock);
	return rc;
}

static int local_refresh(struct repo *r, struct err *e)
{
	struct local *l = local_of(r);
	struct files_mark mark;
	bool same;

	if (files_mark(l->home.dirfd, &mark) == 0) {
		mutex_lock(&l->lock);
		same = l->mark_valid && files_mark_equal(&mark, &l->mark);
		mutex_unlock(&l->lock);
		if (same)
			return 0;
	}
	return local_follow(l, e);
}

static uint64_t local_transaction(struct repo *r)
{
	struct local *l = local_of(r);
	CLEANUP(snapshot_closep) struct snapshot *v = current_snapshot(l);
	uint64_t transaction;

	rwlock_read(&l->writer_lock);
	transaction = l->writer ? writer_transaction(l->writer) : snapshot_transaction(v);
	rwlock_unlock(&l->writer_lock);
	return transaction;
}

static bool judged(const struct local *l, const struct index_version *version)
{
	return l->verdict != INDEX_UNCHECKED && index_version_equal(version, &l->judged);
}

static int check_index_locked(struct local *l, bool misled, struct err *e)
{
	CLEANUP(snapshot_closep) struct snapshot *v = current_snapshot(l);
	struct index_version version;
	int rc;

	if (misled && snapshot_kept(v)) {
		rc = follow_locked(l, true, e);
		return rc < 0 ? rc : 1;
	}
	if (!snapshot_index(v, &version) || judged(l, &version))
		return 0;
	l->verdict = snapshot_verify_index(v, &l->home, NULL) == 1 ? INDEX_GOOD : INDEX_BAD;
	l->judged = version;
	if (l->verdict == INDEX_GOOD)
		return 0;
	rc = follow_locked(l, false, e);
	return rc < 0 ? rc : 1;
}

/*
 * Once for each index: one that does not have its digest is replaced by the log; where it misled
 * a reader, what was kept of an earlier replay is replaced by a new one.  Whoever comes meanwhile
 * waits.  1 there is another snapshot than the one in doubt; 0 that one stands; -errno.
 */
static int check_index(struct local *l, const struct snapshot *doubted, bool misled,
		       struct err *e)
{
	CLEANUP(snapshot_closep) struct snapshot *v = NULL;
	int rc;

	if (is_written(l))
		return 0; /* it was checked before */
	mutex_lock(&l->follow_lock);
	rc = check_index_locked(l, misled, e);
	mutex_unlock(&l->follow_lock);
	v = current_snapshot(l);
	return rc < 0 ? rc : v != doubted;
}

/* --- reading --- */

static int not_found(const struct local *l, const struct chunk_id *id, struct err *e)
{
	char hex[CHUNK_ID_HEX];

	return err_set_id(e, ENOENT, "Repository.ObjectNotFound",
			  "Object with key %s not found in repository %s.", id_hex(id, hex),
			  l->repo.canonical);
}

/* The entry at the place, verified to be this id's PUT. */
static int read_place(struct local *l, struct place at, const struct chunk_id *id,
		      struct buf *scratch, struct bytes *payload, struct err *e)
{
	CLEANUP(segment_closep) struct segment *s = NULL;
	struct segment_entry entry;
	int rc;

	if (at.off < SEGMENT_FIRST)
		return err_set(e, EBADMSG, "segment %u: impossible offset %u", at.segment,
			       at.off);
	rc = descriptors_get(&l->descriptors, at.segment, &s, e);
	if (rc < 0)
		return rc;
	rc = segment_read(s, at.off, scratch, &entry, e);
	if (rc == 0)
		return err_set(e, EBADMSG, "segment %u: ends before %u", at.segment, at.off);
	if (rc < 0)
		return rc;
	if (entry.tag != SEGMENT_PUT || !id_equal(&entry.id, id))
		return err_set(e, EBADMSG, "segment %u: entry at %u: another object",
			       at.segment, at.off);
	*payload = entry.payload;
	return 0;
}

static int read_by(struct local *l, const struct snapshot *v, const struct chunk_id *id,
		   struct buf *scratch, struct bytes *payload, struct place *at, struct err *e)
{
	*at = nowhere;
	if (!find(l, v, id, at)) {
		*at = nowhere;
		return not_found(l, id, e);
	}
	return read_place(l, *at, id, scratch, payload, e);
}

static bool same_place(struct place a, struct place b)
{
	return a.segment == b.segment && a.off == b.off;
}

/*
 * After a failure at *at: by fresh descriptors and fresh snapshots, until it succeeds or fails
 * once more at the place where it failed before.  While somebody compacts, each new place may be
 * gone before it is read.  *by is the last snapshot, *at the place that it named.
 */
static int chase(struct local *l, const struct chunk_id *id, struct buf *scratch,
		 struct bytes *payload, struct place *at, struct snapshot **by, struct err *e)
{
	unsigned left = CHASE_MAX;
	struct place failed;
	int rc;

	do {
		failed = *at;
		*at = nowhere;
		descriptors_drop(&l->descriptors, failed.segment);
		rc = local_follow(l, e);
		if (rc < 0)
			return rc;
		snapshot_close(*by);
		*by = current_snapshot(l);
		rc = read_by(l, *by, id, scratch, payload, at, e);
	} while (rc < 0 && !same_place(failed, *at) && --left > 0);
	return rc;
}

/* What failed at `at` is tried again as chase() does, and at last by a verified index. */
static int read_again(struct local *l, const struct chunk_id *id, struct place at,
		      struct buf *scratch, struct bytes *payload, struct err *e)
{
	CLEANUP(snapshot_closep) struct snapshot *by = current_snapshot(l);
	unsigned left = INDEXES_MAX;
	int rc, replaced;

	do {
		rc = chase(l, id, scratch, payload, &at, &by, e);
		replaced = rc < 0 ? check_index(l, by, true, e) : 0;
		if (replaced < 0)
			return replaced;
	} while (replaced && --left > 0);
	if (rc == -ENOENT && at.segment != UINT32_MAX) /* the file is gone, the entry is not */
		return err_set(e, EBADMSG, "segment %u is missing", at.segment);
	return rc;
}

/* A transaction that cannot go on has objects in memory, which somebody may want to save. */
static bool is_kept(struct local *l, const struct chunk_id *id, struct buf *scratch,
		    struct bytes *payload)
{
	bool kept;

	rwlock_read(&l->writer_lock);
	kept = l->writer && writer_kept(l->writer, id, scratch, payload);
	rwlock_unlock(&l->writer_lock);
	return kept;
}

static int read_one(struct local *l, const struct chunk_id *id, struct buf *scratch,
		    struct bytes *payload, struct err *e)
{
	CLEANUP(snapshot_closep) struct snapshot *v = current_snapshot(l);
	struct place at;
	int rc = read_by(l, v, id, scratch, payload, &at, e);

	if (rc == 0 || is_kept(l, id, scratch, payload))
		return 0;
	return read_again(l, id, at, scratch, payload, e);
}

static int local_get_fresh(struct repo *r, const struct chunk_id *id, struct buf *out,
			   struct err *e)
{
	struct local *l = local_of(r);
	CLEANUP(buf_fini) struct buf scratch = BUF_INIT;
	CLEANUP(snapshot_closep) struct snapshot *v = current_snapshot(l);
	struct place at = nowhere;
	struct bytes payload;
	int rc;

	if (find(l, v, id, &at))
		descriptors_drop(&l->descriptors, at.segment);
	rc = read_again(l, id, nowhere, &scratch, &payload, e);
	if (rc < 0)
		return rc;
	out->len = 0;
	return buf_append(out, payload.p, payload.len) < 0 ? err_nomem(e, "object") : 0;
}

static void find_run(struct local *l, const struct snapshot *v, const struct chunk_id *ids,
		     size_t count, struct run *run)
{
	run->count = 0;
	while (run->count < count && run->count < RUN_MAX) {
		struct place at, first = run->at[0];

		if (!find(l, v, &ids[run->count], &at))
			at = nowhere;
		if (run->count > 0 &&
		    (at.segment != first.segment || at.off <= run->at[run->count - 1].off ||
		     at.off - first.off > RUN_BYTES))
			return;
		run->at[run->count++] = at;
		if (at.segment == UINT32_MAX)
			return;
	}
}

/* The bytes of the run, as far as one read gets them: window->len may end inside the last. */
static int read_run(struct local *l, const struct run *run, struct segment **s,
		    struct buf *window, struct err *e)
{
	struct place first = run->at[0], last = run->at[run->count - 1];
	size_t len = last.off - first.off + LONE_READ;
	ssize_t n;
	int rc = descriptors_get(&l->descriptors, first.segment, s, e);

	if (rc < 0)
		return rc;
	if (buf_resize(window, len) < 0)
		return err_nomem(e, "segment");
	n = read_at(segment_fd(*s), window->p, len, first.off);
	if (n < 0)
		return err_set(e, (int)-n, "segment %u: %s", first.segment, strerror((int)-n));
	window->len = (size_t)n;
	return 0;
}

/* The object at run->at[i], from the window where it holds all of it. */
static int from_window(const struct run *run, size_t i, const struct chunk_id *id,
		       const struct segment *s, const struct buf *window, struct bytes *payload)
{
	size_t off = run->at[i].off - run->at[0].off;
	struct segment_entry entry;

	if (off >= window->len)
		return -EAGAIN;
	if (segment_entry(s, run->at[i].off,
			  (struct bytes){ window->p + off, window->len - off }, &entry,
			  NULL) < 0 ||
	    entry.tag != SEGMENT_PUT || !id_equal(&entry.id, id))
		return -EAGAIN;
	*payload = entry.payload;
	return 0;
}

static void buffers_free(struct get_buffers *b)
{
	if (!b)
		return;
	buf_fini(&b->window);
	buf_fini(&b->scratch);
	free(b);
}

static size_t buffers_bytes(const struct get_buffers *b)
{
	return b->window.cap + b->scratch.cap;
}

/* An idle set, else a new one; NULL when out of memory. */
static struct get_buffers *take_buffers(struct local *l)
{
	struct get_buffers *b = NULL;

	mutex_lock(&l->lock);
	if (l->idle_count > 0) {
		b = l->idle[--l->idle_count];
		l->idle_bytes -= buffers_bytes(b);
	}
	mutex_unlock(&l->lock);
	return b ? b : calloc(1, sizeof(*b));
}

static void give_buffers(struct local *l, struct get_buffers *b)
{
	mutex_lock(&l->lock);
	if (l->idle_count < BUFFERS_IDLE && l->idle_bytes + buffers_bytes(b) <= BUFFERS_BYTES) {
		l->idle[l->idle_count++] = b;
		l->idle_bytes += buffers_bytes(b);
		b = NULL;
	}
	mutex_unlock(&l->lock);
	buffers_free(b);
}

static int deliver_run(struct local *l, const struct chunk_id *ids, size_t base,
		       struct get_buffers *b, repo_deliver *deliver, void *arg)
{
	CLEANUP(segment_closep) struct segment *s = NULL;
	struct run *run = &b->run;
	bool have = run->at[0].segment != UINT32_MAX && run->at[0].off >= SEGMENT_FIRST &&
		    read_run(l, run, &s, &b->window, NULL) == 0;

	for (size_t i = 0; i < run->count; i++) {
		struct err why = ERR_INIT;
		struct bytes payload = { 0 };
		int rc = have ? from_window(run, i, &ids[i], s, &b->window, &payload) : -EAGAIN;

		if (rc < 0)
			rc = read_one(l, &ids[i], &b->scratch, &payload, &why);
		rc = deliver(arg, base + i, rc, payload, &why);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int local_get_many(struct repo *r, const struct chunk_id *ids, size_t count,
			  repo_deliver *deliver, void *arg, struct err *e)
{
	struct local *l = local_of(r);
	struct get_buffers *b = take_buffers(l);
	int rc = 0;

	if (!b)
		return err_nomem(e, "objects");
	for (size_t done = 0; rc == 0 && done < count; done += b->run.count) {
		struct snapshot *v = current_snapshot(l);

		find_run(l, v, ids + done, count - done, &b->run);
		snapshot_close(v);
		rc = deliver_run(l, ids + done, done, b, deliver, arg);
	}
	give_buffers(l, b);
	return rc;
}

static int local_has(struct repo *r, const struct chunk_id *id, struct err *e)
{
	CLEANUP(snapshot_closep) struct snapshot *v = current_snapshot(local_of(r));
	struct place at;

	(void)e;
	return find(local_of(r), v, id, &at);
}

static int local_scan(struct repo *r, repo_each *fn, void *arg, struct err *e)
{
	struct local *l = local_of(r);
	CLEANUP(snapshot_closep) struct snapshot *v = NULL;
	unsigned left = INDEXES_MAX;
	int rc;

	if (is_written(l))
		return writer_scan(l->writer, fn, arg);
	do {
		snapshot_close(v);
		v = current_snapshot(l);
		rc = check_index(l, v, false, e);
		if (rc < 0)
			return rc;
	} while (rc > 0 && --left > 0);
	return snapshot_scan(v, fn, arg);
}

static uint64_t local_place(struct repo *r, const struct chunk_id *id)
{
	CLEANUP(snapshot_closep) struct snapshot *v = current_snapshot(local_of(r));
	struct place at;

	return find(local_of(r), v, id, &at) ? (uint64_t)at.segment << 32 | at.off : UINT64_MAX;
}

static int local_space(struct repo *r, struct repo_space *out, struct err *e)
{
	struct statvfs st;

	if (fstatvfs(local_of(r)->home.dirfd, &st) < 0)
		return err_set(e, errno, "%s: %s", r->path, strerror(errno));
	*out = (struct repo_space){ st.f_frsize, st.f_blocks, st.f_bfree, st.f_bavail };
	return 0;
}

static void local_close(struct repo *r)
{
	struct local *l = local_of(r);

	writer_close(l->writer);
	lock_close(l->exclusive);
	descriptors_fini(&l->descriptors);
	while (l->idle_count > 0)
		buffers_free(l->idle[--l->idle_count]);
	snapshot_close(l->snapshot);
	config_fini(&r->config);
	if (l->home.dirfd >= 0)
		close(l->home.dirfd);
	rwlock_fini(&l->writer_lock);
	mutex_fini(&l->lock);
	mutex_fini(&l->follow_lock);
	free(l->cache_dir);
	free(r->path);
	free(r->canonical);
	free(l);
}

static int local_save_key(struct repo *r, const char *text, struct err *e)
{
	CLEANUP(cleanup_freep) char *path = path_join(r->path, "config");

	return path ? config_change(path, "key", text, e) : err_nomem(e, r->path);
}

static const struct repo_ops local_ops = {
	.get_many = local_get_many,
	.get_fresh = local_get_fresh,
	.refresh = local_refresh,
	.transaction = local_transaction,
	.has = local_has,
	.scan = local_scan,
	.place = local_place,
	.space = local_space,
	.lock = local_lock,
	.unlock = local_unlock,
	.break_lock = local_break_lock,
	.put = local_put,
	.remove = local_delete,
	.commit = local_commit,
	.rollback = local_rollback,
	.compact = local_compact,
	.check = local_check,
	.load = local_load,
	.object_size = local_object_size,
	.nonce_get = local_nonce_get,
	.nonce_reserve = local_nonce_reserve,
	.save_key = local_save_key,
	.close = local_close,
};

/* --- opening --- */

static int does_not_exist(const char *path, int code, struct err *e)
{
	if (code == EACCES || code == EPERM)
		return err_set_id(e, code, "Repository.PathPermissionDenied",
				  "Permission denied to %s.", path);
	return err_set_id(e, ENOENT, "Repository.DoesNotExist", "Repository %s does not exist.",
			  path);
}

static int read_config(struct local *l, struct err *e)
{
	CLEANUP(buf_fini) struct buf text = BUF_INIT;
	struct err inner = ERR_INIT;
	struct stat st;
	int rc;

	rc = file_read(l->home.dirfd, "config", CONFIG_FILE_MAX, &text, &inner);
	if (rc == -EACCES || rc == -EPERM)
		return does_not_exist(l->repo.path, -rc, e);
	if (rc < 0 || fstatat(l->home.dirfd, "data", &st, 0) < 0 || !S_ISDIR(st.st_mode))
		return err_set_id(e, EINVAL, "Repository.InvalidRepository",
				  "%s is not a valid repository. Check repo config.",
				  l->repo.path);
	rc = config_parse(&l->repo.config, buf_bytes(&text), &inner);
	if (rc < 0)
		return err_set_id(
			e, rc == -EBADMSG ? EINVAL : -rc, "Repository.InvalidRepositoryConfig",
			"%s does not have a valid configuration. Check repo config [%s].",
			l->repo.path, inner.msg);
	return 0;
}

static int setup_cache_dir(struct local *l, const struct repo_options *options, struct err *e)
{
	char hex[CHUNK_ID_HEX];

	if (!options || !options->cache_dir)
		return 0;
	l->cache_dir = path_join(options->cache_dir, id_hex(&l->repo.config.id, hex));
	if (!l->cache_dir)
		return err_nomem(e, "cache folder");
	l->home.cache_dir = l->cache_dir;
	return 0;
}

static int open_folder(struct local *l, const struct location *where, struct err *e)
{
	CLEANUP(cleanup_freep) char *absolute = location_canonical(where);

	if (!absolute)
		return err_nomem(e, "location");
	l->home.dirfd = open(absolute, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (l->home.dirfd < 0 && errno == ENOTDIR)
		return err_set_id(e, EINVAL, "Repository.InvalidRepository",
				  "%s is not a valid repository. Check repo config.", absolute);
	if (l->home.dirfd < 0)
		return does_not_exist(absolute, errno, e);
	l->repo.path = realpath(absolute, NULL);
	l->repo.canonical = l->repo.path ? strdup(l->repo.path) : NULL;
	if (!l->repo.canonical)
		return err_nomem(e, "location");
	return 0;
}

int local_refuse_attic(struct local *l, struct err *e)
{
	struct segment_list list;
	struct segment *s = NULL;
	int rc = files_segments(l->home.dirfd, l->home.segments_per_dir, 0, &list, e), fd;
	uint32_t newest = rc == 0 && list.count ? list.numbers[list.count - 1] : 0;

	if (rc < 0)
		return rc;
	segment_list_fini(&list);
	fd = files_open_segment(l->home.dirfd, l->home.segments_per_dir, newest);
	if (fd < 0)
		return 0; /* nothing there is for the snapshot to say */
	rc = segment_open(&s, fd, newest, NULL);
	segment_close(s);
	if (rc == -ENOTSUP)
		return err_set_id(e, ENOTSUP, "Repository.AtticRepository",
				  "Attic repository detected. Please run \"borg upgrade %s\".",
				  l->repo.path);
	return 0;
}

int local_first_snapshot(struct local *l, struct err *e)
{
	int rc = snapshot_make(&l->snapshot, &l->home, NULL, &(struct snapshot_distrust){ 0 },
			       e);

	/* Only where opening fails is it worth listing everything to tell an attic one. */
	if (rc < 0 && local_refuse_attic(l, e) == -ENOTSUP)
		return -ENOTSUP;
	return rc;
}

int local_open(struct repo **out, const struct location *where,
	       const struct repo_options *options, struct err *e)
{
	CLEANUP(repo_closep) struct repo *r = NULL;
	struct local *l = calloc(1, sizeof(*l));
	int rc;

	if (!l)
		return err_nomem(e, "repository");
	r = &l->repo;
	r->ops = &local_ops;
	l->home.dirfd = -1;
	rwlock_init(&l->writer_lock);
	mutex_init(&l->lock);
	mutex_init(&l->follow_lock);
	descriptors_init(&l->descriptors);
	rc = open_folder(l, where, e);
	if (rc == 0)
		rc = read_config(l, e);
	if (rc == 0)
		rc = setup_cache_dir(l, options, e);
	if (rc < 0)
		return rc;
	l->home.path = r->path;
	l->home.segments_per_dir = r->config.segments_per_dir;
	l->descriptors.dirfd = l->home.dirfd;
	l->descriptors.segments_per_dir = l->home.segments_per_dir;
	l->config_only = options && options->config_only;
	l->changes_in_memory = options ? options->changes_in_memory : 0;
	/* An attic repository is refused whatever is wanted of it; without a reason it is none. */
	rc = l->config_only ? local_refuse_attic(l, NULL) : local_first_snapshot(l, e);
	if (l->config_only)
		rc = rc == -ENOTSUP ? local_refuse_attic(l, e) : 0;
	if (rc < 0)
		return rc;
	*out = TAKE(r);
	return 0;
}
