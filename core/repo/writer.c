/* writer.c - see writer.h, and writer_internal.h for states and invariants. */

#include "core/repo/writer_internal.h"

#include "core/base/io.h"
#include "core/base/size_text.h"
#include "core/repo/segment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS_PER_FIND = 32 };

int writer_new(struct writer **out, const struct writer_home *home, struct err *e)
{
	struct writer *w = calloc(1, sizeof(*w));

	if (!w)
		return err_nomem(e, "repository");
	w->home = *home;
	mutex_init(&w->append_lock);
	mutex_init(&w->find_lock);
	table_init(&w->changes, sizeof(struct chunk_id), sizeof(struct place));
	hints_init(&w->hints);
	w->transaction = NO_TRANSACTION;
	*out = w;
	return 0;
}

int writer_open(struct writer **out, const struct writer_home *home, struct err *e)
{
	CLEANUP(writer_closep) struct writer *w = NULL;
	int rc = writer_new(&w, home, e);

	if (rc == 0)
		rc = writer_load(w, e);
	if (rc < 0)
		return rc;
	*out = TAKE(w);
	return 0;
}

void writer_close(struct writer *w)
{
	if (!w)
		return;
	writer_unload(w);
	table_fini(&w->changes);
	hints_fini(&w->hints);
	mutex_fini(&w->append_lock);
	mutex_fini(&w->find_lock);
	free(w);
}

uint64_t writer_transaction(const struct writer *w)
{
	return w->transaction;
}

uint64_t writer_count(struct writer *w)
{
	return w->count;
}

/* --- finding --- */

bool writer_lookup(const struct writer *w, const struct chunk_id *id, struct place *at)
{
	const struct place *changed = table_get(&w->changes, id);

	if (changed) {
		*at = *changed;
		return changed->segment != UINT32_MAX;
	}
	return w->index && index_find(w->index, id, at);
}

/* A look-up in a large index costs a system call.  When as much was spent on them as reading it
 * all would have cost, as many again are likely. */
static void note_find_locked(struct writer *w)
{
	if (w->index && ++w->finds == index_buckets(w->index) / BUCKETS_PER_FIND &&
	    !index_in_memory(w->index))
		index_hold(w->index);
}

int writer_find(struct writer *w, const struct chunk_id *id, struct place *at)
{
	int found;

	mutex_lock(&w->find_lock);
	note_find_locked(w);
	found = writer_lookup(w, id, at);
	mutex_unlock(&w->find_lock);
	return found;
}

int writer_flush_for(struct writer *w, struct place at, struct err *e)
{
	int rc;

	if (at.segment < atomic_load_explicit(&w->open_segment, memory_order_acquire))
		return 0;
	mutex_lock(&w->append_lock);
	rc = w->log ? segment_writer_flush_for(w->log, at, e) : 0;
	mutex_unlock(&w->append_lock);
	return rc;
}

int writer_kept(struct writer *w, const struct chunk_id *id, struct buf *scratch,
		struct bytes *out)
{
	struct place at;
	int kept = 0;

	if (!writer_find(w, id, &at))
		return 0;
	mutex_lock(&w->append_lock);
	if (w->log)
		kept = segment_writer_kept(w->log, at, id, scratch, out);
	mutex_unlock(&w->append_lock);
	return kept;
}

int writer_scan(struct writer *w, snapshot_each *fn, void *arg)
{
	struct index_walk walk = { 0 };
	struct chunk_id id;
	size_t cursor = 0;
	struct place at;
	const void *key;
	void *value;
	int rc = 0;

	while (rc == 0 && table_next(&w->changes, &cursor, &key, &value))
		if (((const struct place *)value)->segment != UINT32_MAX)
			rc = fn(arg, key);
	while (rc == 0 && w->index && index_next(w->index, &walk, &id, &at))
		if (!table_get(&w->changes, &id))
			rc = fn(arg, &id);
	return rc;
}

int writer_entry_size(struct writer *w, struct place at, uint32_t *size, struct err *e)
{
	CLEANUP(segment_closep) struct segment *s = NULL;
	uint8_t head[SEGMENT_KEYED_HEAD];
	struct segment_entry entry;
	ssize_t n;
	int rc = w->log ? segment_writer_flush_for(w->log, at, e) : 0;

	if (rc == 0)
		rc = descriptors_get(w->home.descriptors, at.segment, &s, e);
	if (rc < 0)
		return rc;
	n = read_at(segment_fd(s), head, sizeof(head), at.off);
	if (n < 0)
		return err_set(e, (int)-n, "segment %u: %s", at.segment, strerror((int)-n));
	rc = segment_head(s, at.off, (struct bytes){ head, (size_t)n }, &entry, e);
	if (rc < 0)
		return rc;
	*size = entry.size;
	return 0;
}

int writer_object_size(struct writer *w, struct place at, uint32_t *size, struct err *e)
{
	uint32_t whole = 0;
	int rc;

	mutex_lock(&w->append_lock);
	rc = writer_entry_size(w, at, &whole, e);
	mutex_unlock(&w->append_lock);
	*size = whole < SEGMENT_KEYED_HEAD ? 0 : whole - SEGMENT_KEYED_HEAD;
	return rc;
}

/* --- changing --- */

int writer_change(struct writer *w, const struct chunk_id *id, struct place at, struct err *e)
{
	int rc;

	mutex_lock(&w->find_lock);
	rc = writer_set(w, id, at, e);
	mutex_unlock(&w->find_lock);
	return rc;
}

/* The first entry of a transaction: what an aborted one left is removed before numbers are used
 * again. */
int writer_begin(struct writer *w, struct err *e)
{
	struct segment_writer_home home = {
		.dirfd = w->home.folder->dirfd,
		.path = w->home.folder->path,
		.segments_per_dir = w->home.folder->segments_per_dir,
		.max_segment_size = w->home.config->max_segment_size,
	};
	int rc;

	if (w->active)
		return 0;
	rc = writer_remove_uncommitted(w, e);
	if (rc == 0 && !w->log)
		rc = segment_writer_new(&w->log, &home, w->transaction + 1, e);
	if (rc == 0)
		w->active = true;
	return rc;
}

/* Count a superseded PUT, and write the DELETE in front of whatever follows. */
static int supersede(struct writer *w, const struct chunk_id *id, struct place before,
		     struct err *e)
{
	struct place at;
	uint32_t size;
	int rc = writer_entry_size(w, before, &size, e);

	if (rc < 0)
		return rc;
	if (hints_shadow_add(&w->hints, id, before.segment) < 0 ||
	    hints_live(&w->hints, before.segment, -1) < 0 ||
	    hints_freeable(&w->hints, before.segment, size) < 0)
		return err_nomem(e, "hints");
	rc = segment_writer_delete(w->log, id, &at, e);
	if (rc < 0)
		return rc;
	if (hints_freeable(&w->hints, at.segment, SEGMENT_KEYED_HEAD) < 0 ||
	    hints_list(&w->hints, at.segment) < 0)
		return err_nomem(e, "hints");
	return 0;
}

static int quota_exceeded(const struct writer *w, struct err *e)
{
	char quota[SIZE_TEXT], use[SIZE_TEXT];

	return err_set_id(e, EDQUOT, "Repository.StorageQuotaExceeded",
			  "The storage quota (%s) has been exceeded (%s). Try deleting some "
			  "archives.",
			  size_text(w->home.config->storage_quota, false, quota),
			  size_text((uint64_t)w->hints.quota_use, false, use));
}

static int put_locked(struct writer *w, const struct chunk_id *id, struct bytes object,
		      struct err *e)
{
	struct place before, at;
	int rc = writer_begin(w, e);

	if (rc == 0 && writer_lookup(w, id, &before))
		rc = supersede(w, id, before, e);
	if (rc == 0)
		rc = segment_writer_put(w->log, id, object, &at, e);
	if (rc == 0 && hints_live(&w->hints, at.segment, 1) < 0)
		rc = err_nomem(e, "hints");
	if (rc == 0)
		rc = writer_change(w, id, at, e);
	if (rc < 0)
		return rc;
	w->hints.quota_use += (int64_t)object.len + SEGMENT_KEYED_HEAD;
	rc = writer_fold(w, e);
	if (rc < 0)
		return rc;
	w->over_quota = w->home.config->storage_quota &&
			w->hints.quota_use > (int64_t)w->home.config->storage_quota;
	return w->over_quota ? quota_exceeded(w, e) : 0;
}

int writer_put(struct writer *w, const struct chunk_id *id, struct bytes object, struct err *e)
{
	int rc;

	mutex_lock(&w->append_lock);
	rc = put_locked(w, id, object, e);
	if (w->log)
		atomic_store_explicit(&w->open_segment, segment_writer_number(w->log),
				      memory_order_release);
	mutex_unlock(&w->append_lock);
	return rc;
}

static int delete_locked(struct writer *w, const struct chunk_id *id, struct err *e)
{
	char hex[CHUNK_ID_HEX];
	struct place before;
	int rc = writer_begin(w, e);

	if (rc < 0)
		return rc;
	if (!writer_lookup(w, id, &before))
		return err_set_id(e, ENOENT, "Repository.ObjectNotFound",
				  "Object with key %s not found in repository %s.",
				  id_hex(id, hex), w->home.folder->path);
	rc = supersede(w, id, before, e);
	return rc < 0 ? rc : writer_change(w, id, (struct place){ UINT32_MAX, 0 }, e);
}

int writer_delete(struct writer *w, const struct chunk_id *id, struct err *e)
{
	int rc;

	mutex_lock(&w->append_lock);
	rc = delete_locked(w, id, e);
	mutex_unlock(&w->append_lock);
	return rc;
}

/* --- committing --- */

int writer_write_commit(struct writer *w, bool intermediate, struct err *e)
{
	uint32_t number;
	int rc = segment_writer_commit(w->log, intermediate, &number, e);

	if (rc < 0)
		return rc;
	w->transaction = number;
	w->stale = true;
	if (hints_list(&w->hints, number) < 0 ||
	    hints_freeable(&w->hints, number, SEGMENT_HEAD) < 0)
		return err_nomem(e, "hints");
	return 0;
}

static int commit_locked(struct writer *w, struct err *e)
{
	int rc = w->over_quota ? quota_exceeded(w, e) : 0;

	if (rc == 0)
		rc = writer_begin(w, e);
	if (rc == 0)
		rc = writer_check_space(w, e);
	if (rc == 0)
		rc = writer_write_commit(w, false, e);
	if (rc == 0)
		w->active = false;
	return rc;
}

int writer_commit(struct writer *w, struct err *e)
{
	int rc;

	mutex_lock(&w->append_lock);
	rc = commit_locked(w, e);
	mutex_unlock(&w->append_lock);
	return rc;
}

static int rollback_locked(struct writer *w, bool remove_files, struct err *e)
{
	int rc = 0;

	if (!w->active)
		return 0;
	segment_writer_free(w->log);
	w->log = NULL;
	if (remove_files)
		rc = writer_remove_uncommitted(w, e);
	if (rc < 0)
		return rc;
	mutex_lock(&w->find_lock);
	writer_unload(w);
	rc = writer_load(w, e);
	mutex_unlock(&w->find_lock);
	return rc;
}

int writer_rollback(struct writer *w, bool remove_files, struct err *e)
{
	int rc;

	mutex_lock(&w->append_lock);
	rc = rollback_locked(w, remove_files, e);
	mutex_unlock(&w->append_lock);
	return rc;
}

int writer_finish(struct writer *w, struct err *e)
{
	int rc;

	mutex_lock(&w->append_lock);
	rc = w->stale && !w->active ? writer_write_index(w, e) : 0;
	mutex_unlock(&w->append_lock);
	return rc;
}
