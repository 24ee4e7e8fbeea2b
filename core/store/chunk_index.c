/*
 * chunk_index.c - see chunk_index.h for the contract, chunk_index_internal.h for the file.
 *
 * The states of a struct chunk_index:
 *
 *   idle      nothing staged, no transaction      add, replace, remove -> staged
 *   staged    changes in memory                   apply -> applied; abort -> idle
 *   applied   the write transaction is open       commit, abort -> idle
 */

#include "core/store/chunk_index_internal.h"

#include "core/base/table.h"

#include <errno.h>
#include <stdlib.h>

enum {
	VERSION = 2,
	/* So much is read before it is made durable. */
	BATCH_ARCHIVES = 64,
	BATCH_REFS = 1 << 18, /* held in memory, some 60 bytes each */
	SYNC_ATTEMPTS = 4,
	WINDOWS_MAX = 768, /* 48 MB: questions go anywhere */
};

/* --- references --- */

int chunk_refs_new(struct chunk_refs **out, const char *cache_dir, struct err *e)
{
	CLEANUP(chunk_refs_freep) struct chunk_refs *refs = calloc(1, sizeof(*refs));
	int rc;

	if (!refs)
		return err_nomem(e, "chunk references");
	rc = sorter_new(&refs->sorter, cache_dir, CHUNK_ID_SIZE, REFS_MEMORY, e);
	if (rc < 0)
		return rc;
	*out = TAKE(refs);
	return 0;
}

void chunk_refs_free(struct chunk_refs *refs)
{
	if (refs)
		sorter_free(refs->sorter);
	free(refs);
}

static int put_ref(struct chunk_refs *refs, const struct chunk_id *id, uint32_t size,
		   uint32_t csize, int32_t by, struct err *e)
{
	uint8_t *value = NULL;
	int rc = sorter_add(refs->sorter, id->b, REFS_VALUE, &value, e);

	if (rc < 0)
		return rc;
	put_le32(value, size);
	put_le32(value + 4, csize);
	put_le32(value + 8, (uint32_t)by);
	refs->count++;
	return 0;
}

int chunk_refs_add(struct chunk_refs *refs, const struct chunk_id *id, uint32_t size,
		   uint32_t csize, struct err *e)
{
	return put_ref(refs, id, size, csize, 1, e);
}

int chunk_refs_drop(struct chunk_refs *refs, const struct chunk_id *id, uint32_t size,
		    uint32_t csize, struct err *e)
{
	return put_ref(refs, id, size, csize, -1, e);
}

void chunk_refs_content(struct chunk_refs *refs, const struct chunk_content *content)
{
	refs->has_content = true;
	refs->content = *content;
}

/* --- questions: each in a transaction of its own, or in the one that is open --- */

static int question_begin(struct chunk_index *x, struct err *e)
{
	int rc;

	cache_db_enter(x->db);
	x->sweep.pos = 0;
	if (x->writing || x->looking)
		return 0;
	rc = cache_db_begin(x->db, false, &x->txn, e);
	if (rc < 0)
		return rc;
	if (x->pages_of == mdb_txn_id(x->txn))
		return 0; /* nobody wrote since the last question */
	index_pages_forget(x);
	rc = index_meta_read(x, e);
	if (rc == 0)
		x->pages_of = mdb_txn_id(x->txn);
	return rc;
}

static void question_end(struct chunk_index *x)
{
	if (!x->writing && !x->looking && x->txn) {
		mdb_txn_abort(x->txn);
		x->txn = NULL;
	}
	cache_db_leave(x->db);
}

static int count_of(struct chunk_index *x, const struct chunk_id *id, struct chunk_count *out,
		    struct err *e)
{
	uint8_t *count = NULL, *facts = NULL;
	uint32_t number = 0;
	int rc = index_sweep_find(x, id, &number, e);

	if (rc <= 0)
		return rc;
	rc = index_count_at(x, number, &count, e);
	if (rc == 0)
		rc = index_facts_at(x, number, &facts, e);
	if (rc < 0)
		return rc;
	if (get_le32(count) == NUMBER_FREE || memcmp(facts, id->b, CHUNK_ID_SIZE) != 0)
		return index_damaged(x, "a number of another chunk", e);
	*out = (struct chunk_count){ get_le32(count), get_le32(facts + CHUNK_ID_SIZE),
				     get_le32(facts + CHUNK_ID_SIZE + 4) };
	return out->refs > 0;
}

int chunk_index_get(struct chunk_index *x, const struct chunk_id *id, struct chunk_count *out,
		    struct err *e)
{
	int rc = question_begin(x, e);

	if (rc == 0)
		rc = count_of(x, id, out, e);
	question_end(x);
	return rc;
}

int chunk_index_totals(struct chunk_index *x, struct chunk_totals *out, struct err *e)
{
	int rc = question_begin(x, e);

	*out = x->meta.totals;
	question_end(x);
	return rc;
}

/* What nobody else has of the list. */
static int add_unique(struct chunk_index *x, const struct deltas *list,
		      struct chunk_totals *out, struct err *e)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct delta *d = &list->p[i];
		uint8_t *at = NULL;
		int rc = index_count_at(x, d->number, &at, e);

		if (rc < 0)
			return rc;
		if (get_le32(at) != (uint32_t)d->by)
			continue;
		rc = index_facts_at(x, d->number, &at, e);
		if (rc < 0)
			return rc;
		out->unique_chunks++;
		out->unique_size += get_le32(at + CHUNK_ID_SIZE);
		out->unique_csize += get_le32(at + CHUNK_ID_SIZE + 4);
	}
	return 0;
}

int chunk_index_archive_totals(struct chunk_index *x, const struct chunk_id *archive,
			       struct chunk_totals *out, struct err *e)
{
	struct archive_record record;
	struct deltas list = { 0 };
	int rc = question_begin(x, e);

	if (rc == 0)
		rc = index_archive_get(x, archive, &record, e);
	if (rc == 1) {
		*out = record.totals;
		out->unique_chunks = 0;
		rc = index_list_read(x, &record, &list, e);
		if (rc == 0)
			rc = add_unique(x, &list, out, e);
		if (rc == 0)
			rc = 1;
	}
	question_end(x);
	deltas_fini(&list);
	return rc;
}

int chunk_index_archive_content(struct chunk_index *x, const struct chunk_id *archive,
				struct chunk_content *out, struct err *e)
{
	struct archive_record record;
	int rc = question_begin(x, e);

	if (rc == 0)
		rc = index_archive_get(x, archive, &record, e);
	if (rc == 1)
		*out = record.content;
	question_end(x);
	return rc;
}

int chunk_index_look(struct chunk_index *x, const struct chunk_id *manifest_hash, struct err *e)
{
	int rc = question_begin(x, e);

	if (rc == 0)
		rc = id_equal(&x->meta.manifest, manifest_hash);
	x->looking = rc == 1;
	question_end(x);
	return rc;
}

void chunk_index_look_end(struct chunk_index *x)
{
	if (!x->looking)
		return;
	x->looking = false;
	mdb_txn_abort(x->txn);
	x->txn = NULL;
}

bool chunk_index_is_at(struct chunk_index *x, const struct chunk_id *manifest_hash)
{
	bool is = question_begin(x, NULL) == 0 && id_equal(&x->meta.manifest, manifest_hash);

	question_end(x);
	if (is)
		x->at = *manifest_hash;
	return is;
}

/* --- opening --- */

/* A new file gets its head. */
static int begin_file(struct chunk_index *x, struct err *e)
{
	struct bytes head;
	MDB_txn *txn;
	int rc = cache_db_begin(x->db, true, &x->txn, e);

	if (rc < 0)
		return rc;
	x->writing = true;
	rc = cache_db_get(x->db, x->txn, bytes_str("M"), &head, e);
	if (rc == 0) {
		rc = index_meta_read(x, e);
		if (rc == 0)
			rc = index_meta_write(x, e);
		if (rc == 0) {
			txn = TAKE(x->txn);
			rc = cache_db_commit(x->db, txn, e);
		}
	}
	index_staged_clear(x);
	return rc < 0 ? rc : 0;
}

static int open_file(struct chunk_index *x, struct err *e)
{
	int rc;

	x->db = NULL;
	rc = cache_db_open(&x->db, x->dir, "chunks", VERSION, e);
	if (rc < 0)
		return rc;
	x->db->windows_max = WINDOWS_MAX;
	cache_db_enter(x->db);
	rc = begin_file(x, e);
	cache_db_leave(x->db);
	return rc;
}

int chunk_index_open(struct chunk_index **out, const char *cache_dir, struct err *e)
{
	CLEANUP(chunk_index_closep) struct chunk_index *x = calloc(1, sizeof(*x));
	int rc;

	if (!x)
		return err_nomem(e, "chunk index");
	x->dir = strdup(cache_dir);
	if (!x->dir)
		return err_nomem(e, "chunk index");
	rc = open_file(x, e);
	if (rc == -EBADMSG) { /* that file is gone now */
		cache_db_close(x->db);
		rc = open_file(x, e);
	}
	if (rc < 0)
		return rc;
	*out = TAKE(x);
	return 0;
}

void chunk_index_close(struct chunk_index *x)
{
	if (!x)
		return;
	chunk_index_look_end(x);
	index_staged_clear(x);
	cache_db_close(x->db);
	free(x->staged);
	free(x->zeros);
	free(x->dir);
	free(x);
}

/* --- changes --- */

static int stage(struct chunk_index *x, struct staged s, struct err *e)
{
	struct staged *p = reallocarray(x->staged, x->staged_count + 1, sizeof(*p));

	if (!p) {
		chunk_refs_free(s.refs);
		return err_nomem(e, "chunk index");
	}
	x->staged = p;
	p[x->staged_count++] = s;
	return 0;
}

int chunk_index_add(struct chunk_index *x, const struct chunk_id *archive,
		    struct chunk_refs *refs, struct err *e)
{
	return stage(
		x, (struct staged){ .kind = STAGED_ADD, .archive = *archive, .refs = refs }, e);
}

int chunk_index_replace(struct chunk_index *x, const struct chunk_id *old_archive,
			const struct chunk_id *new_archive, struct chunk_refs *refs,
			struct err *e)
{
	return stage(x,
		     (struct staged){ .kind = STAGED_REPLACE,
				      .archive = *new_archive,
				      .old = *old_archive,
				      .refs = refs },
		     e);
}

int chunk_index_remove(struct chunk_index *x, const struct chunk_id *archive, struct err *e)
{
	return stage(x, (struct staged){ .kind = STAGED_REMOVE, .archive = *archive }, e);
}

int chunk_index_apply(struct chunk_index *x, chunk_index_orphan *orphan, void *arg,
		      struct err *e)
{
	int rc = index_apply(x, true, NULL, orphan, arg, e);

	if (rc < 0 && rc != -ESTALE)
		index_staged_clear(x);
	return rc;
}

/* The open transaction becomes the truth for this manifest. */
static int commit(struct chunk_index *x, const struct chunk_id *manifest_hash, struct err *e)
{
	MDB_txn *txn;
	int rc;

	cache_db_enter(x->db);
	x->meta.manifest = *manifest_hash;
	rc = index_meta_write(x, e);
	if (rc == 0) {
		txn = TAKE(x->txn);
		rc = cache_db_commit(x->db, txn, e);
	}
	index_staged_clear(x);
	cache_db_leave(x->db);
	if (rc == 0)
		x->at = *manifest_hash;
	return rc;
}

int chunk_index_commit(struct chunk_index *x, const struct chunk_id *manifest_hash,
		       struct err *e)
{
	int rc = x->writing ? 0 : chunk_index_apply(x, NULL, NULL, e);

	return rc < 0 ? rc : commit(x, manifest_hash, e);
}

void chunk_index_abort(struct chunk_index *x)
{
	index_staged_clear(x);
}

/* --- synchronisation --- */

static int list_of(struct table *out, const struct chunk_id *archives, size_t count,
		   struct err *e)
{
	table_init(out, CHUNK_ID_SIZE, 1);
	for (size_t i = 0; i < count; i++)
		if (!table_put(out, archives[i].b, NULL))
			return err_nomem(e, "chunk index");
	return 0;
}

static int forget_known(void *arg, const struct chunk_id *archive)
{
	table_remove(arg, archive->b);
	return 0;
}

/* Take those that it knows out of the table. */
static int unknown_of(struct chunk_index *x, struct table *archives, struct err *e)
{
	int rc = question_begin(x, e);

	if (rc == 0)
		rc = index_archive_each(x, forget_known, archives, e);
	question_end(x);
	return rc;
}

static int read_one(struct chunk_index *x, const struct chunk_id *archive,
		    chunk_index_read *read, void *arg, uint64_t *refs_read, struct err *e)
{
	CLEANUP(chunk_refs_freep) struct chunk_refs *refs = NULL;
	int rc = chunk_refs_new(&refs, x->dir, e);

	if (rc == 0)
		rc = read(arg, archive, refs, e);
	if (rc < 0)
		return rc;
	*refs_read += refs->count;
	return chunk_index_add(x, archive, TAKE(refs), e);
}

/* What was read is right, whatever comes: keep it.  No manifest has just these archives. */
static int keep_what_was_read(struct chunk_index *x, struct err *e)
{
	static const struct chunk_id none = { { 0 } };
	int rc;

	if (!x->staged_count)
		return 0;
	rc = index_apply(x, false, NULL, NULL, NULL, e);
	return rc < 0 ? rc : commit(x, &none, e);
}

static int read_unknown(struct chunk_index *x, const struct chunk_id *archives, size_t count,
			struct table *unknown, chunk_index_read *read, void *arg, struct err *e)
{
	uint64_t refs = 0;
	int rc = 0;

	for (size_t i = 0; i < count && rc >= 0; i++) {
		if (!table_remove(unknown, archives[i].b))
			continue;
		rc = read_one(x, &archives[i], read, arg, &refs, e);
		if (rc == 0 && x->staged_count < BATCH_ARCHIVES && refs < BATCH_REFS)
			continue;
		if (rc == 0)
			rc = keep_what_was_read(x, e);
		else
			keep_what_was_read(x, NULL);
		refs = 0;
	}
	return rc;
}

static int sync_once(struct chunk_index *x, const struct chunk_id *manifest_hash,
		     const struct chunk_id *archives, size_t count, chunk_index_read *read,
		     void *arg, struct err *e)
{
	CLEANUP(table_fini) struct table keep = { 0 };
	CLEANUP(table_fini) struct table unknown = { 0 };
	int rc = list_of(&keep, archives, count, e);

	if (rc == 0)
		rc = list_of(&unknown, archives, count, e);
	if (rc == 0)
		rc = unknown_of(x, &unknown, e);
	if (rc == 0)
		rc = read_unknown(x, archives, count, &unknown, read, arg, e);
	if (rc == 0)
		rc = index_apply(x, false, &keep, NULL, NULL, e);
	if (rc == 0)
		rc = commit(x, manifest_hash, e);
	index_staged_clear(x);
	return rc;
}

/* The damaged file is gone; go on with a new one: -EAGAIN. */
static int reopen(struct chunk_index *x, struct err *e)
{
	struct cache_db *damaged = x->db;
	int rc = open_file(x, e);

	if (rc < 0) {
		cache_db_close(x->db);
		x->db = damaged;
		return rc;
	}
	cache_db_close(damaged);
	return -EAGAIN;
}

static int sync_clear(struct chunk_index *x, const struct chunk_id *manifest_hash,
		      const struct chunk_id *archives, size_t count, chunk_index_read *read,
		      void *arg, struct err *e)
{
	int rc = -EAGAIN;

	for (int i = 0; i < SYNC_ATTEMPTS && rc == -EAGAIN; i++) {
		if (!x->db->spoiled && chunk_index_is_at(x, manifest_hash))
			return 0;
		if (!x->db->spoiled)
			rc = sync_once(x, manifest_hash, archives, count, read, arg, e);
		if (x->db->spoiled)
			rc = reopen(x, e);
	}
	return rc;
}

int chunk_index_sync(struct chunk_index *x, const struct chunk_id *manifest_hash,
		     const struct chunk_id *archives, size_t count, chunk_index_read *read,
		     void *arg, struct err *e)
{
	struct staged *staged = TAKE(x->staged);
	size_t staged_count = x->staged_count;
	int rc;

	x->staged_count = 0;
	rc = sync_clear(x, manifest_hash, archives, count, read, arg, e);
	free(x->staged);
	x->staged = staged;
	x->staged_count = staged_count;
	return rc;
}
