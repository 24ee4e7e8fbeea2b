/*
 * local_write.c - the repository interface over segments, as far as it writes.
 *
 * repo_lock() takes Borg's exclusive lock and opens a writer on what is committed then; until
 * repo_unlock() readers of this process find objects through it, and nobody else writes.
 */

#include "core/repo/local_internal.h"

#include "core/base/io.h"
#include "core/repo/check.h"
#include "core/repo/nonce_file.h"

#include <errno.h>
#include <stdlib.h>

static int open_writer(struct local *l, struct err *e)
{
	struct writer_home home = {
		.folder = &l->home,
		.descriptors = &l->descriptors,
		.config = &l->repo.config,
		.changes_in_memory = l->changes_in_memory,
	};
	struct writer *w = NULL;
	int rc = writer_open(&w, &home, e);

	if (rc < 0)
		return rc;
	rwlock_write(&l->writer_lock);
	l->writer = w;
	rwlock_unlock(&l->writer_lock);
	return 0;
}

int local_lock(struct repo *r, double wait, struct err *e)
{
	struct local *l = local_of(r);
	CLEANUP(cleanup_freep) char *path = path_join(r->path, "lock");
	struct lock_options options = { .wait = wait };
	int rc;

	if (!path)
		return err_nomem(e, "lock");
	rc = lock_acquire(&l->exclusive, path, LOCK_EXCLUSIVE, &options, e);
	if (rc < 0)
		return rc;
	if (l->config_only)
		return 0;
	rc = local_follow(l, e);
	if (rc >= 0)
		rc = open_writer(l, e);
	if (rc < 0) {
		lock_close(l->exclusive);
		l->exclusive = NULL;
	}
	return rc;
}

int local_unlock(struct repo *r, struct err *e)
{
	struct local *l = local_of(r);
	struct writer *w = l->writer;
	int rc, released;

	if (!l->exclusive)
		return 0;
	/* What is not committed takes space, and would be read by nobody. */
	if (w)
		(void)writer_rollback(w, true, NULL);
	rc = w ? writer_finish(w, e) : 0;
	rwlock_write(&l->writer_lock);
	l->writer = NULL;
	rwlock_unlock(&l->writer_lock);
	writer_close(w);
	released = lock_release(l->exclusive, rc < 0 ? NULL : e);
	lock_close(l->exclusive);
	l->exclusive = NULL;
	if (rc == 0)
		rc = released;
	if (rc == 0 && !l->config_only)
		rc = local_follow(l, e);
	return rc < 0 ? rc : 0;
}

int local_break_lock(struct repo *r, struct err *e)
{
	CLEANUP(cleanup_freep) char *path = path_join(r->path, "lock");

	return path ? lock_break(path, e) : err_nomem(e, r->path);
}

static int not_locked(const struct repo *r, struct err *e)
{
	return err_set(e, ENOLCK, "%s: not locked for writing", r->path);
}

int local_put(struct repo *r, const struct chunk_id *id, struct bytes object, struct err *e)
{
	struct writer *w = local_of(r)->writer;

	return w ? writer_put(w, id, object, e) : not_locked(r, e);
}

int local_delete(struct repo *r, const struct chunk_id *id, struct err *e)
{
	struct writer *w = local_of(r)->writer;

	return w ? writer_delete(w, id, e) : not_locked(r, e);
}

/* Whoever broke our lock may write by now: then nothing is committed. */
int local_commit(struct repo *r, struct err *e)
{
	struct local *l = local_of(r);

	if (!l->writer)
		return not_locked(r, e);
	if (!lock_still_held(l->exclusive))
		return err_set_id(e, ENOLCK, "NotLocked",
				  "Failed to release the lock %s/lock (was not locked).",
				  r->path);
	return writer_commit(l->writer, e);
}

int local_rollback(struct repo *r, bool remove_files, struct err *e)
{
	struct writer *w = local_of(r)->writer;

	return w ? writer_rollback(w, remove_files, e) : not_locked(r, e);
}

int local_compact(struct repo *r, const struct compact_options *options, uint64_t *freed,
		  struct err *e)
{
	struct writer *w = local_of(r)->writer;
	int rc;

	if (!w)
		return not_locked(r, e);
	rc = writer_compact(w, options, freed, e);
	return rc < 0 ? rc : writer_finish(w, e);
}

int local_check(struct repo *r, const struct repo_check_options *options, struct err *e)
{
	struct local *l = local_of(r);
	struct writer_home home = {
		.folder = &l->home,
		.descriptors = &l->descriptors,
		.config = &r->config,
	};
	int rc;

	if (!l->config_only || (options->repair && !l->exclusive))
		return not_locked(r, e);
	rc = local_refuse_attic(l, e);
	return rc < 0 ? rc : check_log(&home, options, l->exclusive != NULL, e);
}

int local_load(struct repo *r, struct err *e)
{
	struct local *l = local_of(r);
	int rc = l->snapshot ? 0 : local_first_snapshot(l, e);

	if (rc == 0 && l->exclusive && !l->writer)
		rc = open_writer(l, e);
	l->config_only = rc < 0;
	return rc;
}

int local_object_size(struct repo *r, const struct chunk_id *id, uint32_t *size, struct err *e)
{
	struct writer *w = local_of(r)->writer;
	struct place at;

	if (!w)
		return not_locked(r, e);
	return writer_find(w, id, &at) ? writer_object_size(w, at, size, e)
				       : err_set(e, ENOENT, "no such object");
}

static const char nonce_owner[] = "Repository";

int local_nonce_get(struct repo *r, uint64_t *next, struct err *e)
{
	CLEANUP(cleanup_freep) char *path = path_join(r->path, "nonce");

	return path ? nonce_file_get(path, nonce_owner, next, e) : err_nomem(e, r->path);
}

int local_nonce_reserve(struct repo *r, uint64_t next, uint64_t start, struct err *e)
{
	CLEANUP(cleanup_freep) char *path = path_join(r->path, "nonce");

	return path ? nonce_file_reserve(path, nonce_owner, next, start, 0666, e)
		    : err_nomem(e, r->path);
}
