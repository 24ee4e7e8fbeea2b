/* chunk_index_pages.c - numbers, counts, facts and leaves of the chunk index, page by page. */

#include "core/store/chunk_index_internal.h"

#include <assert.h>
#include <errno.h>

enum {
	BLOCK_KEY = 5,
	LEAF_KEY = 1 + CHUNK_ID_SIZE,
	LEAF_HEAD = 2 * CHUNK_ID_SIZE,
	LEAF_ENTRY = CHUNK_ID_SIZE + 4,
	COUNTS_SIZE = 4 + 4 * COUNTS_PER,
	FACT = CHUNK_ID_SIZE + 8,
	FACTS_SIZE = FACT * FACTS_PER,
	META_SIZE = CHUNK_ID_SIZE + 16 + 7 * 8,
};

static_assert(LEAF_HEAD + LEAF_ENTRY * (int)LEAF_MAX <= (int)INDEX_PAGE, "a leaf is one page");
static_assert(COUNTS_SIZE <= (int)INDEX_PAGE && FACTS_SIZE <= (int)INDEX_PAGE, "so are these");
static_assert(COUNTS_PER % FACTS_PER == 0, "pages of facts come with their page of counts");

int index_damaged(struct chunk_index *x, const char *what, struct err *e)
{
	cache_db_spoil(x->db);
	return err_set(e, EBADMSG, "%s: %s, cache removed", x->db->path, what);
}

int index_put(struct chunk_index *x, struct bytes key, struct bytes value, struct err *e)
{
	x->written += CACHE_DB_PAGE;
	return cache_db_put(x->db, x->txn, key, value, e);
}

/* --- the head --- */

static void put_totals(uint8_t *p, const struct chunk_totals *t)
{
	put_le64(p, t->size);
	put_le64(p + 8, t->csize);
	put_le64(p + 16, t->unique_size);
	put_le64(p + 24, t->unique_csize);
	put_le64(p + 32, t->chunks);
	put_le64(p + 40, t->unique_chunks);
}

static void get_totals(const uint8_t *p, struct chunk_totals *t)
{
	*t = (struct chunk_totals){ get_le64(p),      get_le64(p + 8),  get_le64(p + 16),
				    get_le64(p + 24), get_le64(p + 32), get_le64(p + 40) };
}

/* A file without a head is empty: it gets the one leaf that spans all ids. */
static int make_empty(struct chunk_index *x, struct err *e)
{
	uint8_t key[LEAF_KEY] = { 'I' }, leaf[LEAF_HEAD] = { 0 };

	memset(leaf + CHUNK_ID_SIZE, 0xff, CHUNK_ID_SIZE);
	x->meta = (struct index_meta){ 0 };
	return index_put(x, (struct bytes){ key, sizeof(key) },
			 (struct bytes){ leaf, sizeof(leaf) }, e);
}

int index_meta_read(struct chunk_index *x, struct err *e)
{
	struct bytes value;
	int rc = cache_db_get(x->db, x->txn, bytes_str("M"), &value, e);

	if (rc < 0)
		return rc;
	if (rc == 0 && !cache_db_is_new(x->db, x->txn))
		return index_damaged(x, "the head is missing", e);
	if (rc == 0 && x->writing)
		return make_empty(x, e);
	x->meta = (struct index_meta){ 0 };
	if (rc == 0)
		return 0;
	if (value.len != META_SIZE)
		return index_damaged(x, "impossible head", e);
	memcpy(x->meta.manifest.b, value.p, CHUNK_ID_SIZE);
	x->meta.blocks = get_le32(value.p + 32);
	x->meta.next_serial = get_le32(value.p + 36);
	x->meta.loose = get_le32(value.p + 40);
	x->meta.archives = get_le32(value.p + 44);
	x->meta.unsized = get_le64(value.p + 48);
	get_totals(value.p + 56, &x->meta.totals);
	return 0;
}

int index_meta_write(struct chunk_index *x, struct err *e)
{
	uint8_t value[META_SIZE] = { 0 };

	memcpy(value, x->meta.manifest.b, CHUNK_ID_SIZE);
	put_le32(value + 32, x->meta.blocks);
	put_le32(value + 36, x->meta.next_serial);
	put_le32(value + 40, x->meta.loose);
	put_le32(value + 44, x->meta.archives);
	put_le64(value + 48, x->meta.unsized);
	put_totals(value + 56, &x->meta.totals);
	return index_put(x, bytes_str("M"), (struct bytes){ value, sizeof(value) }, e);
}

/* --- pages by number --- */

static struct bytes block_key(uint8_t key[BLOCK_KEY], char kind, uint32_t block)
{
	key[0] = (uint8_t)kind;
	put_be32(key + 1, block);
	return (struct bytes){ key, BLOCK_KEY };
}

static int page_flush(struct chunk_index *x, struct page *p, char kind, size_t size,
		      struct err *e)
{
	uint8_t key[BLOCK_KEY];

	if (!p->loaded || !p->dirty)
		return 0;
	p->dirty = false;
	return index_put(x, block_key(key, kind, p->block), (struct bytes){ p->data, size }, e);
}

static int page_load(struct chunk_index *x, struct page *p, char kind, size_t size,
		     uint32_t block, struct err *e)
{
	uint8_t key[BLOCK_KEY];
	struct bytes value = { 0 };
	int rc;

	if (p->loaded && p->block == block)
		return 0;
	rc = page_flush(x, p, kind, size, e);
	if (rc < 0)
		return rc;
	p->loaded = false;
	rc = cache_db_get(x->db, x->txn, block_key(key, kind, block), &value, e);
	if (rc < 0)
		return rc;
	if (rc == 0 || value.len != size)
		return index_damaged(x, "a page is missing", e);
	memcpy(p->data, value.p, size);
	p->loaded = true;
	p->dirty = false;
	p->block = block;
	return 0;
}

int index_count_at(struct chunk_index *x, uint32_t number, uint8_t **at, struct err *e)
{
	int rc = page_load(x, &x->counts, 'C', COUNTS_SIZE, number / COUNTS_PER, e);

	*at = x->counts.data + 4 + 4 * (number % COUNTS_PER);
	return rc;
}

int index_facts_at(struct chunk_index *x, uint32_t number, uint8_t **at, struct err *e)
{
	int rc = page_load(x, &x->facts, 'F', FACTS_SIZE, number / FACTS_PER, e);

	*at = x->facts.data + (size_t)FACT * (number % FACTS_PER);
	return rc;
}

int index_pages_flush(struct chunk_index *x, struct err *e)
{
	int rc = page_flush(x, &x->counts, 'C', COUNTS_SIZE, e);

	return rc < 0 ? rc : page_flush(x, &x->facts, 'F', FACTS_SIZE, e);
}

void index_pages_forget(struct chunk_index *x)
{
	x->counts.loaded = x->facts.loaded = x->sweep.loaded = false;
	x->pages_of = 0;
	x->filling = false;
}

/* --- numbers --- */

static int mark_block(struct chunk_index *x, uint32_t block, bool has_free, struct err *e)
{
	uint8_t key[BLOCK_KEY];
	struct bytes k = block_key(key, 'S', block);

	return has_free ? index_put(x, k, (struct bytes){ 0 }, e)
			: cache_db_delete(x->db, x->txn, k, e);
}

static int new_block(struct chunk_index *x, struct err *e)
{
	static const uint8_t blank[FACTS_SIZE];
	uint32_t block = x->meta.blocks;
	uint8_t key[BLOCK_KEY];
	int rc = page_flush(x, &x->counts, 'C', COUNTS_SIZE, e);

	if (rc < 0)
		return rc;
	if (block >= UINT32_MAX / COUNTS_PER - 1)
		return err_set(e, EFBIG, "%s: too many chunks", x->db->path);
	x->meta.blocks++;
	x->counts = (struct page){ .loaded = true, .dirty = true, .block = block };
	put_le32(x->counts.data, COUNTS_PER);
	memset(x->counts.data + 4, 0xff, 4 * COUNTS_PER);
	for (uint32_t i = 0; i < COUNTS_PER / FACTS_PER && rc == 0; i++)
		rc = index_put(x, block_key(key, 'F', block * (COUNTS_PER / FACTS_PER) + i),
			       (struct bytes){ blank, sizeof(blank) }, e);
	x->filling = true;
	x->fill_block = block;
	x->fill_slot = 0;
	return rc < 0 ? rc : mark_block(x, block, true, e);
}

/* The first block that has a free number, else a new one. */
static int find_block(struct chunk_index *x, struct err *e)
{
	uint8_t first[BLOCK_KEY];
	struct bytes from = block_key(first, 'S', 0);
	MDB_val key = { from.len, first }, value;
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(x->txn, x->db->dbi, &cursor);

	if (rc)
		return cache_db_fail(x->db, rc, e);
	rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	mdb_cursor_close(cursor);
	if (rc && rc != MDB_NOTFOUND)
		return cache_db_fail(x->db, rc, e);
	if (rc || key.mv_size != BLOCK_KEY || *(uint8_t *)key.mv_data != 'S')
		return new_block(x, e);
	x->filling = true;
	x->fill_block = get_be32((uint8_t *)key.mv_data + 1);
	x->fill_slot = 0;
	return 0;
}

int index_number_take(struct chunk_index *x, uint32_t *out, struct err *e)
{
	uint8_t *at = NULL;
	uint32_t left;
	int rc = x->filling ? 0 : find_block(x, e);

	if (rc == 0)
		rc = index_count_at(x, x->fill_block * COUNTS_PER, &at, e);
	if (rc < 0)
		return rc;
	while (x->fill_slot < COUNTS_PER && get_le32(at + 4 * x->fill_slot) != NUMBER_FREE)
		x->fill_slot++;
	left = get_le32(x->counts.data);
	if (x->fill_slot == COUNTS_PER || left == 0)
		return index_damaged(x, "no free number where there is one", e);
	put_le32(at + 4 * x->fill_slot, 0);
	put_le32(x->counts.data, left - 1);
	x->counts.dirty = true;
	*out = x->fill_block * COUNTS_PER + x->fill_slot++;
	if (left > 1)
		return 0;
	x->filling = false;
	return mark_block(x, x->fill_block, false, e);
}

int index_number_give(struct chunk_index *x, uint32_t number, struct err *e)
{
	uint8_t *at = NULL;
	uint32_t left;
	int rc = index_count_at(x, number, &at, e);

	if (rc < 0)
		return rc;
	put_le32(at, NUMBER_FREE);
	left = get_le32(x->counts.data);
	put_le32(x->counts.data, left + 1);
	x->counts.dirty = true;
	return left ? 0 : mark_block(x, number / COUNTS_PER, true, e);
}

/* --- leaves --- */

static bool in_leaf(const struct sweep *s, const struct chunk_id *id)
{
	static const struct chunk_id most = { {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	} };

	return id_compare(id, &s->low) >= 0 &&
	       (id_compare(id, &s->high) < 0 || id_equal(&s->high, &most));
}

/* The leaf whose key is the greatest that is not above id. */
static int seek_leaf(struct chunk_index *x, const struct chunk_id *id, MDB_val *key,
		     MDB_val *value, struct err *e)
{
	uint8_t wanted[LEAF_KEY] = { 'I' };
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(x->txn, x->db->dbi, &cursor);

	if (rc)
		return cache_db_fail(x->db, rc, e);
	memcpy(wanted + 1, id->b, CHUNK_ID_SIZE);
	*key = (MDB_val){ sizeof(wanted), wanted };
	rc = mdb_cursor_get(cursor, key, value, MDB_SET_RANGE);
	if (rc == MDB_NOTFOUND)
		rc = mdb_cursor_get(cursor, key, value, MDB_LAST);
	else if (rc == 0 &&
		 (key->mv_size != LEAF_KEY || memcmp(key->mv_data, wanted, LEAF_KEY) != 0))
		rc = mdb_cursor_get(cursor, key, value, MDB_PREV);
	mdb_cursor_close(cursor);
	if (rc && rc != MDB_NOTFOUND)
		return cache_db_fail(x->db, rc, e);
	if (rc || key->mv_size != LEAF_KEY || *(uint8_t *)key->mv_data != 'I')
		return index_damaged(x, "a leaf is missing", e);
	return 0;
}

static int load_leaf(struct chunk_index *x, const struct chunk_id *id, struct err *e)
{
	struct sweep *s = &x->sweep;
	struct bytes leaf;
	MDB_val key, value;
	int rc = seek_leaf(x, id, &key, &value, e);

	if (rc == 0)
		rc = cache_db_check(x->db, (struct bytes){ key.mv_data, key.mv_size }, &value,
				    &leaf, e);
	if (rc < 0)
		return rc;
	if (leaf.len < LEAF_HEAD || (leaf.len - LEAF_HEAD) % LEAF_ENTRY != 0 ||
	    (leaf.len - LEAF_HEAD) / LEAF_ENTRY > LEAF_MAX ||
	    memcmp(leaf.p, (uint8_t *)key.mv_data + 1, CHUNK_ID_SIZE) != 0)
		return index_damaged(x, "impossible leaf", e);
	memcpy(s->low.b, leaf.p, CHUNK_ID_SIZE);
	memcpy(s->high.b, leaf.p + CHUNK_ID_SIZE, CHUNK_ID_SIZE);
	if (!in_leaf(s, id))
		return index_damaged(x, "a leaf is missing", e);
	s->in_count = (leaf.len - LEAF_HEAD) / LEAF_ENTRY;
	for (size_t i = 0; i < s->in_count; i++) {
		const uint8_t *p = leaf.p + LEAF_HEAD + i * LEAF_ENTRY;

		memcpy(s->in[i].id.b, p, CHUNK_ID_SIZE);
		s->in[i].number = get_le32(p + CHUNK_ID_SIZE);
	}
	s->pos = s->copied = s->out_count = 0;
	s->loaded = true;
	s->changed = false;
	return 0;
}

/* The first `count` of out become the leaf from low up to `high`. */
static int emit(struct chunk_index *x, size_t count, struct chunk_id high, struct err *e)
{
	struct sweep *s = &x->sweep;
	uint8_t key[LEAF_KEY] = { 'I' }, leaf[INDEX_PAGE];
	int rc;

	memcpy(key + 1, s->low.b, CHUNK_ID_SIZE);
	memcpy(leaf, s->low.b, CHUNK_ID_SIZE);
	memcpy(leaf + CHUNK_ID_SIZE, high.b, CHUNK_ID_SIZE);
	for (size_t i = 0; i < count; i++) {
		uint8_t *p = leaf + LEAF_HEAD + i * LEAF_ENTRY;

		memcpy(p, s->out[i].id.b, CHUNK_ID_SIZE);
		put_le32(p + CHUNK_ID_SIZE, s->out[i].number);
	}
	rc = index_put(x, (struct bytes){ key, sizeof(key) },
		       (struct bytes){ leaf, LEAF_HEAD + count * LEAF_ENTRY }, e);
	s->out_count -= count;
	memmove(s->out, s->out + count, s->out_count * sizeof(s->out[0]));
	s->low = high;
	return rc;
}

/* Entries up to pos go to out. */
static void copy_up(struct sweep *s)
{
	size_t n = s->pos - s->copied;

	memcpy(s->out + s->out_count, s->in + s->copied, n * sizeof(s->in[0]));
	s->out_count += n;
	s->copied = s->pos;
}

int index_sweep_finish(struct chunk_index *x, struct err *e)
{
	struct sweep *s = &x->sweep;
	int rc = 0;

	if (!s->loaded)
		return 0;
	s->loaded = false;
	if (!s->changed)
		return 0;
	s->pos = s->in_count;
	copy_up(s);
	while (s->out_count > LEAF_MAX && rc == 0) {
		size_t n = s->out_count < 2 * LEAF_MAX ? s->out_count / 2 : LEAF_MAX;

		rc = emit(x, n, s->out[n].id, e);
	}
	return rc < 0 ? rc : emit(x, s->out_count, s->high, e);
}

int index_sweep_find(struct chunk_index *x, const struct chunk_id *id, uint32_t *number,
		     struct err *e)
{
	struct sweep *s = &x->sweep;
	size_t low, high;
	int rc = 0;

	if (!s->loaded || !in_leaf(s, id)) {
		rc = index_sweep_finish(x, e);
		if (rc == 0)
			rc = load_leaf(x, id, e);
		if (rc < 0)
			return rc;
	}
	low = s->pos;
	high = s->in_count;
	/* Mostly it is the next one. */
	if (low < high && id_compare(&s->in[low].id, id) >= 0)
		high = low;
	while (low < high) {
		size_t middle = (low + high) / 2;

		if (id_compare(&s->in[middle].id, id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	s->pos = low;
	if (low == s->in_count || !id_equal(&s->in[low].id, id))
		return 0;
	*number = s->in[low].number;
	return 1;
}

int index_sweep_insert(struct chunk_index *x, const struct chunk_id *id, uint32_t number,
		       struct err *e)
{
	struct sweep *s = &x->sweep;
	int rc = 0;

	copy_up(s);
	s->out[s->out_count++] = (struct leaf_entry){ *id, number };
	s->changed = true;
	while (s->out_count >= 2 * LEAF_MAX && rc == 0)
		rc = emit(x, LEAF_MAX, s->out[LEAF_MAX].id, e);
	return rc;
}

int index_sweep_delete(struct chunk_index *x, struct err *e)
{
	struct sweep *s = &x->sweep;
	int rc = 0;

	copy_up(s);
	s->copied = ++s->pos;
	s->changed = true;
	while (s->out_count >= 2 * LEAF_MAX && rc == 0)
		rc = emit(x, LEAF_MAX, s->out[LEAF_MAX].id, e);
	return rc;
}
