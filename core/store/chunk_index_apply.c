/*
 * chunk_index_apply.c - staged changes of the chunk index become pages.
 *
 * First every chunk of what is added gets a number (intern).  That may write much, so it may end
 * the transaction and begin another (turn): what is interned and not yet counted has the count 0,
 * which is true, and `loose` in the head says to look for such numbers, should we die.  If
 * another process wrote between two of our transactions, our numbers may be gone: all begins
 * again.
 *
 * The last transaction counts, writes the lists, and gives back the numbers that are at 0.
 */

#include "core/store/chunk_index_internal.h"

#include "core/base/table.h"

#include <errno.h>
#include <stdlib.h>

enum { FACT_ID = 0, FACT_SIZE = 32, FACT_CSIZE = 36, ATTEMPTS = 8 };

static int again(int code, struct err *e)
{
	return err_set(e, code, "chunk index: changed by another process");
}

/* --- transactions --- */

static void end(struct chunk_index *x)
{
	if (x->txn)
		mdb_txn_abort(x->txn);
	x->txn = NULL;
	x->writing = false;
	x->zero_count = 0;
	index_pages_forget(x);
}

static int begin(struct chunk_index *x, struct err *e)
{
	int rc = cache_db_begin(x->db, true, &x->txn, e);

	if (rc < 0)
		return rc;
	x->writing = true;
	x->written = 0;
	index_pages_forget(x);
	return index_meta_read(x, e);
}

/* Let go of the memory that a transaction's pages take. */
static int turn(struct chunk_index *x, struct err *e)
{
	size_t id = mdb_txn_id(x->txn);
	MDB_txn *txn;
	int rc = index_sweep_finish(x, e);

	if (rc == 0)
		rc = index_pages_flush(x, e);
	x->meta.loose = 1;
	if (rc == 0)
		rc = index_meta_write(x, e);
	if (rc < 0)
		return rc;
	txn = x->txn;
	x->txn = NULL;
	rc = cache_db_commit(x->db, txn, e);
	if (rc == 0)
		rc = begin(x, e);
	if (rc == 0 && mdb_txn_id(x->txn) != id + 1)
		rc = again(ERESTART, e);
	return rc;
}

/* --- numbers for the chunks of a set of references --- */

struct reference {
	struct chunk_id id;
	uint32_t size, csize;
	int64_t by;
};

static int set_facts(struct chunk_index *x, uint32_t number, const struct reference *r,
		     struct err *e)
{
	uint8_t *at = NULL;
	int rc = index_facts_at(x, number, &at, e);

	if (rc < 0)
		return rc;
	memcpy(at + FACT_ID, r->id.b, CHUNK_ID_SIZE);
	put_le32(at + FACT_SIZE, r->size);
	put_le32(at + FACT_CSIZE, r->csize);
	x->facts.dirty = true;
	x->meta.unsized += r->csize == 0;
	return 0;
}

/* Of a known chunk one of the two may know the stored size, where the other does not. */
static int agree_on_csize(struct chunk_index *x, uint32_t number, struct reference *r,
			  struct err *e)
{
	uint8_t *facts = NULL, *count = NULL;
	uint32_t known;
	int rc;

	if (r->csize && !x->meta.unsized)
		return 0;
	rc = index_facts_at(x, number, &facts, e);
	if (rc < 0)
		return rc;
	known = get_le32(facts + FACT_CSIZE);
	if (!r->csize)
		r->csize = known;
	if (known || !r->csize)
		return 0;
	put_le32(facts + FACT_CSIZE, r->csize);
	x->facts.dirty = true;
	x->meta.unsized--;
	rc = index_count_at(x, number, &count, e);
	if (rc == 0 && get_le32(count) > 0)
		x->meta.totals.unique_csize += r->csize;
	return rc;
}

static int intern_one(struct chunk_index *x, struct staged *s, struct reference *r,
		      struct err *e)
{
	uint32_t number = 0;
	int rc;

	if (r->by == 0)
		return 0;
	rc = index_sweep_find(x, &r->id, &number, e);
	if (rc == 1) {
		rc = agree_on_csize(x, number, r, e);
	} else if (rc == 0) {
		if (r->by < 0)
			return err_set(e, EINVAL, "chunk index: drops an unknown chunk");
		rc = index_number_take(x, &number, e);
		if (rc == 0)
			rc = set_facts(x, number, r, e);
		if (rc == 0)
			rc = index_sweep_insert(x, &r->id, number, e);
	}
	if (rc < 0)
		return rc;
	s->size += r->by * (int64_t)r->size;
	s->csize += r->by * (int64_t)r->csize;
	s->chunks += r->by;
	if (deltas_push(&s->deltas, number, r->by) < 0)
		return err_nomem(e, "chunk index");
	return x->written > TURN_BYTES ? turn(x, e) : 0;
}

/* The next chunk with all its references: 1, 0.  *more: key and value hold the one after. */
static int next_reference(struct sorter *sorter, const uint8_t **key, struct bytes *value,
			  int *more, struct reference *out, struct err *e)
{
	if (*more <= 0)
		return *more;
	*out = (struct reference){ .size = get_le32(value->p) };
	memcpy(out->id.b, *key, CHUNK_ID_SIZE);
	do {
		if (get_le32(value->p + 4))
			out->csize = get_le32(value->p + 4);
		out->by += (int32_t)get_le32(value->p + 8);
		*more = sorter_next(sorter, key, value, e);
	} while (*more == 1 && memcmp(*key, out->id.b, CHUNK_ID_SIZE) == 0);
	return *more < 0 ? *more : 1;
}

static int compare_deltas(const void *a, const void *b)
{
	const struct delta *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

static int intern(struct chunk_index *x, struct staged *s, struct err *e)
{
	struct sorter *sorter = s->refs->sorter;
	struct reference r;
	const uint8_t *key = NULL;
	struct bytes value = { 0 };
	int more, rc = sorter_rewind(sorter, e);

	if (rc < 0)
		return rc;
	s->deltas.count = 0;
	s->size = s->csize = s->chunks = 0;
	more = sorter_next(sorter, &key, &value, e);
	while ((rc = next_reference(sorter, &key, &value, &more, &r, e)) == 1) {
		rc = intern_one(x, s, &r, e);
		if (rc < 0)
			return rc;
	}
	if (rc == 0)
		rc = index_sweep_finish(x, e);
	if (rc == 0 && s->deltas.count)
		qsort(s->deltas.p, s->deltas.count, sizeof(s->deltas.p[0]), compare_deltas);
	return rc;
}

/* --- counting --- */

static int note_zero(struct chunk_index *x, uint32_t number, bool silent)
{
	if (x->zero_count == x->zero_cap) {
		size_t cap = x->zero_cap ? 2 * x->zero_cap : 256;
		uint64_t *p = reallocarray(x->zeros, cap, sizeof(*p));

		if (!p)
			return -ENOMEM;
		x->zeros = p;
		x->zero_cap = cap;
	}
	x->zeros[x->zero_count++] = (uint64_t)number << 1 | silent;
	return 0;
}

/* A chunk comes into use (sign 1) or goes out of it (-1). */
static int count_unique(struct chunk_index *x, uint32_t number, int sign, struct err *e)
{
	struct chunk_totals *t = &x->meta.totals;
	uint64_t by = (uint64_t)(int64_t)sign;
	uint8_t *at = NULL;
	int rc = index_facts_at(x, number, &at, e);

	if (rc < 0)
		return rc;
	t->unique_chunks += by;
	t->unique_size += by * get_le32(at + FACT_SIZE);
	t->unique_csize += by * get_le32(at + FACT_CSIZE);
	return 0;
}

static int count_one(struct chunk_index *x, uint32_t number, int64_t by, struct err *e)
{
	uint8_t *at = NULL;
	int64_t was, is;
	int rc = index_count_at(x, number, &at, e);

	if (rc < 0)
		return rc;
	was = get_le32(at);
	if (was == NUMBER_FREE)
		return index_damaged(x, "counts a chunk that it does not have", e);
	is = was == COUNT_MAX ? was : was + by;
	if (is < 0)
		return index_damaged(x, "a count below zero", e);
	if (is > COUNT_MAX)
		is = COUNT_MAX;
	put_le32(at, (uint32_t)is);
	x->counts.dirty = true;
	if (was == 0 && is > 0)
		rc = count_unique(x, number, 1, e);
	if (was > 0 && is == 0)
		rc = count_unique(x, number, -1, e);
	if (rc == 0 && is == 0 && note_zero(x, number, false) < 0)
		rc = err_nomem(e, "chunk index");
	return rc;
}

static int count_all(struct chunk_index *x, const struct deltas *d, int sign, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; i < d->count && rc == 0; i++)
		rc = count_one(x, d->p[i].number, (int64_t)sign * d->p[i].by, e);
	return rc;
}

static void count_totals(struct chunk_totals *t, int64_t size, int64_t csize, int64_t chunks)
{
	t->size += (uint64_t)size;
	t->csize += (uint64_t)csize;
	t->chunks += (uint64_t)chunks;
}

/* --- archives --- */

static int add_archive(struct chunk_index *x, struct staged *s, struct err *e)
{
	struct archive_record r;
	int rc = index_archive_get(x, &s->archive, &r, e);

	if (rc < 0)
		return rc;
	if (rc == 0) {
		r = (struct archive_record){ .content = s->refs->content };
		count_totals(&r.totals, s->size, s->csize, s->chunks);
		rc = count_all(x, &s->deltas, 1, e);
		if (rc == 0)
			rc = index_archive_put(x, &s->archive, &s->deltas, &r, e);
		if (rc == 0)
			count_totals(&x->meta.totals, s->size, s->csize, s->chunks);
		return rc;
	}
	/* Someone else read it meanwhile; what was interned for it has its counts already,
	 * or goes. */
	for (size_t i = 0; i < s->deltas.count; i++)
		if (note_zero(x, s->deltas.p[i].number, true) < 0)
			return err_nomem(e, "chunk index");
	return 0;
}

static int must_know(struct chunk_index *x, const struct chunk_id *archive,
		     struct archive_record *r, struct err *e)
{
	char hex[CHUNK_ID_HEX];
	int rc = index_archive_get(x, archive, r, e);

	if (rc == 0)
		return err_set(e, ENOENT, "chunk index: no archive %s", id_hex(archive, hex));
	return rc < 0 ? rc : 0;
}

static int remove_archive(struct chunk_index *x, const struct chunk_id *archive, struct err *e)
{
	struct deltas list = { 0 };
	struct archive_record r;
	int rc = must_know(x, archive, &r, e);

	if (rc == 0)
		rc = index_list_read(x, &r, &list, e);
	if (rc == 0)
		rc = count_all(x, &list, -1, e);
	if (rc == 0)
		rc = index_archive_delete(x, archive, &r, e);
	if (rc == 0)
		count_totals(&x->meta.totals, -(int64_t)r.totals.size, -(int64_t)r.totals.csize,
			     -(int64_t)r.totals.chunks);
	deltas_fini(&list);
	return rc;
}

/* out = base + by, both ascending, without what is at 0 then. */
static int merge(const struct deltas *base, const struct deltas *by, struct deltas *out,
		 struct err *e)
{
	size_t i = 0, j = 0;

	while (i < base->count || j < by->count) {
		bool left = j == by->count ||
			    (i < base->count && base->p[i].number <= by->p[j].number);
		bool right = i == base->count ||
			     (j < by->count && by->p[j].number <= base->p[i].number);
		uint32_t number = left ? base->p[i].number : by->p[j].number;
		int64_t count = 0;

		if (left)
			count += base->p[i++].by;
		if (right)
			count += by->p[j++].by;
		if (count < 0)
			return err_set(e, EINVAL, "chunk index: drops what is not there");
		if (count && deltas_push(out, number, count) < 0)
			return err_nomem(e, "chunk index");
	}
	return 0;
}

static int replace_archive(struct chunk_index *x, struct staged *s, struct err *e)
{
	struct deltas list = { 0 }, merged = { 0 };
	struct archive_record r;
	int rc = index_archive_get(x, &s->archive, &r, e);

	if (rc == 1 && !id_equal(&s->archive, &s->old))
		rc = err_set(e, EEXIST, "chunk index: the new archive is known");
	if (rc >= 0)
		rc = must_know(x, &s->old, &r, e);
	if (rc == 0)
		rc = index_list_read(x, &r, &list, e);
	if (rc == 0)
		rc = merge(&list, &s->deltas, &merged, e);
	if (rc == 0)
		rc = count_all(x, &s->deltas, 1, e);
	if (rc == 0)
		rc = index_archive_delete(x, &s->old, &r, e);
	count_totals(&r.totals, s->size, s->csize, s->chunks);
	if (s->refs->has_content)
		r.content = s->refs->content;
	if (rc == 0)
		rc = index_archive_put(x, &s->archive, &merged, &r, e);
	if (rc == 0)
		count_totals(&x->meta.totals, s->size, s->csize, s->chunks);
	deltas_fini(&list);
	deltas_fini(&merged);
	return rc;
}

/* --- what is not in the set to be kept --- */

struct keeping {
	const struct table *keep;
	struct chunk_id *gone;
	size_t gone_count;
	size_t kept;
};

static int sort_out(void *arg, const struct chunk_id *archive)
{
	struct keeping *k = arg;
	struct chunk_id *p;

	if (table_get(k->keep, archive->b)) {
		k->kept++;
		return 0;
	}
	p = reallocarray(k->gone, k->gone_count + 1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	k->gone = p;
	p[k->gone_count++] = *archive;
	return 0;
}

static int keep_only(struct chunk_index *x, const struct table *keep, struct err *e)
{
	struct keeping k = { .keep = keep };
	int rc = index_archive_each(x, sort_out, &k, e);

	if (rc == -ENOMEM)
		err_nomem(e, "chunk index");
	for (size_t i = 0; i < k.gone_count && rc == 0; i++)
		rc = remove_archive(x, &k.gone[i], e);
	if (rc == 0 && k.kept != keep->count)
		rc = again(EAGAIN, e);
	free(k.gone);
	return rc;
}

/* --- numbers at 0 --- */

/* All that an aborted apply may have left. */
static int collect_loose(struct chunk_index *x, struct err *e)
{
	for (uint32_t block = 0; block < x->meta.blocks; block++) {
		uint8_t *at = NULL;
		int rc = index_count_at(x, block * COUNTS_PER, &at, e);

		if (rc < 0)
			return rc;
		for (uint32_t i = 0; i < COUNTS_PER; i++)
			if (get_le32(at + 4 * i) == 0 &&
			    note_zero(x, block * COUNTS_PER + i, true) < 0)
				return err_nomem(e, "chunk index");
	}
	return 0;
}

static int compare_zeros(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

enum { ORPHAN = 13 }; /* size, csize, number, silent */

/* Give the number back; the chunk is left to be taken out of the leaves. */
static int release(struct chunk_index *x, uint64_t zero, struct sorter *orphans, struct err *e)
{
	uint32_t number = (uint32_t)(zero >> 1);
	uint8_t *at = NULL, *facts = NULL, *value = NULL;
	int rc = index_count_at(x, number, &at, e);

	if (rc < 0 || get_le32(at) != 0)
		return rc; /* counted again, or given back already */
	rc = index_facts_at(x, number, &facts, e);
	if (rc == 0)
		rc = sorter_add(orphans, facts + FACT_ID, ORPHAN, &value, e);
	if (rc < 0)
		return rc;
	memcpy(value, facts + FACT_SIZE, 8);
	put_le32(value + 8, number);
	value[12] = zero & 1;
	x->meta.unsized -= get_le32(facts + FACT_CSIZE) == 0;
	return index_number_give(x, number, e);
}

static int drop_orphan(struct chunk_index *x, const uint8_t *key, const uint8_t *value,
		       chunk_index_orphan *orphan, void *arg, struct err *e)
{
	struct chunk_count sizes = { 0, get_le32(value), get_le32(value + 4) };
	struct chunk_id id;
	uint32_t number = 0;
	int rc;

	memcpy(id.b, key, CHUNK_ID_SIZE);
	rc = index_sweep_find(x, &id, &number, e);
	if (rc < 0)
		return rc;
	if (rc == 0 || number != get_le32(value + 8))
		return index_damaged(x, "a chunk with two numbers", e);
	rc = index_sweep_delete(x, e);
	if (rc < 0 || value[12] || !orphan)
		return rc;
	return orphan(arg, &id, &sizes, e);
}

static int release_zeros(struct chunk_index *x, chunk_index_orphan *orphan, void *arg,
			 struct err *e)
{
	CLEANUP(sorter_freep) struct sorter *orphans = NULL;
	const uint8_t *key;
	struct bytes value;
	int rc;

	if (!x->zero_count)
		return 0;
	rc = sorter_new(&orphans, x->dir, CHUNK_ID_SIZE, REFS_MEMORY, e);
	/* Where one is there twice, the one that is told comes first. */
	qsort(x->zeros, x->zero_count, sizeof(x->zeros[0]), compare_zeros);
	for (size_t i = 0; i < x->zero_count && rc == 0; i++)
		rc = release(x, x->zeros[i], orphans, e);
	if (rc == 0)
		rc = sorter_rewind(orphans, e);
	while (rc >= 0 && (rc = sorter_next(orphans, &key, &value, e)) == 1)
		rc = drop_orphan(x, key, value.p, orphan, arg, e);
	x->zero_count = 0;
	return rc < 0 ? rc : index_sweep_finish(x, e);
}

/* --- all of it --- */

static int intern_all(struct chunk_index *x, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; i < x->staged_count && rc == 0; i++)
		if (x->staged[i].refs)
			rc = intern(x, &x->staged[i], e);
	x->filling = false; /* the counts page is needed for others now */
	return rc;
}

static int change_all(struct chunk_index *x, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; i < x->staged_count && rc == 0; i++) {
		struct staged *s = &x->staged[i];

		switch (s->kind) {
		case STAGED_ADD: rc = add_archive(x, s, e); break;
		case STAGED_REPLACE: rc = replace_archive(x, s, e); break;
		case STAGED_REMOVE: rc = remove_archive(x, &s->archive, e); break;
		}
	}
	return rc;
}

static int attempt(struct chunk_index *x, bool check_manifest, const struct table *keep,
		   chunk_index_orphan *orphan, void *arg, struct err *e)
{
	int rc = begin(x, e);

	if (rc == 0 && check_manifest && !id_equal(&x->meta.manifest, &x->at))
		rc = again(ESTALE, e);
	if (rc == 0 && x->meta.loose)
		rc = collect_loose(x, e);
	if (rc == 0)
		rc = intern_all(x, e);
	if (rc == 0)
		rc = change_all(x, e);
	if (rc == 0 && keep)
		rc = keep_only(x, keep, e);
	if (rc == 0)
		rc = release_zeros(x, orphan, arg, e);
	if (rc == 0)
		rc = index_pages_flush(x, e);
	x->meta.loose = 0;
	if (rc == 0)
		rc = index_meta_write(x, e);
	return rc;
}

int index_apply(struct chunk_index *x, bool check_manifest, const struct table *keep,
		chunk_index_orphan *orphan, void *arg, struct err *e)
{
	int rc = -ERESTART;

	cache_db_enter(x->db);
	for (int i = 0; i < ATTEMPTS && rc == -ERESTART; i++) {
		rc = attempt(x, check_manifest, keep, orphan, arg, e);
		if (rc < 0)
			end(x);
	}
	cache_db_leave(x->db);
	return rc;
}

void index_staged_clear(struct chunk_index *x)
{
	end(x);
	for (size_t i = 0; i < x->staged_count; i++) {
		chunk_refs_free(x->staged[i].refs);
		deltas_fini(&x->staged[i].deltas);
	}
	x->staged_count = 0;
}
