/*
 * chunk_index_list.c - the archives of the chunk index, and the list of chunks of each.
 *
 * A list is a sequence of runs of consecutive numbers with one count.  Each begins with a varint
 * of gap * 2 + more, the gap being what lies between it and the run before; `more` means that
 * length - 1 and count - 1 follow; else both are 1.  No run crosses from one piece to the next.
 */

#include "core/store/chunk_index_internal.h"

#include <errno.h>
#include <stdlib.h>

enum {
	ARCHIVE_KEY = 1 + CHUNK_ID_SIZE,
	PIECE_KEY = 9,
	RECORD = 8 + 7 * 8,
	RUN_MAX = 30, /* bytes of a run */
};

int deltas_push(struct deltas *d, uint32_t number, int64_t by)
{
	if (d->count == d->cap) {
		size_t cap = d->cap ? 2 * d->cap : 256;
		struct delta *p = reallocarray(d->p, cap, sizeof(*p));

		if (!p)
			return -ENOMEM;
		d->p = p;
		d->cap = cap;
	}
	if (by > INT32_MAX)
		by = INT32_MAX;
	if (by < -INT32_MAX)
		by = -INT32_MAX;
	d->p[d->count++] = (struct delta){ number, (int32_t)by };
	return 0;
}

void deltas_fini(struct deltas *d)
{
	free(d->p);
	*d = (struct deltas){ 0 };
}

/* --- records --- */

static struct bytes archive_key(uint8_t key[ARCHIVE_KEY], const struct chunk_id *archive)
{
	key[0] = 'A';
	memcpy(key + 1, archive->b, CHUNK_ID_SIZE);
	return (struct bytes){ key, ARCHIVE_KEY };
}

int index_archive_get(struct chunk_index *x, const struct chunk_id *archive,
		      struct archive_record *out, struct err *e)
{
	uint8_t key[ARCHIVE_KEY];
	struct bytes value;
	int rc = cache_db_get(x->db, x->txn, archive_key(key, archive), &value, e);

	if (rc <= 0)
		return rc;
	if (value.len != RECORD)
		return index_damaged(x, "impossible archive", e);
	*out = (struct archive_record){
		.serial = get_le32(value.p),
		.pieces = get_le32(value.p + 4),
		.totals = { .size = get_le64(value.p + 8),
			    .csize = get_le64(value.p + 16),
			    .chunks = get_le64(value.p + 24),
			    .unique_chunks = get_le64(value.p + 32) },
		.content = { .size = get_le64(value.p + 40),
			     .csize = get_le64(value.p + 48),
			     .nfiles = get_le64(value.p + 56) },
	};
	return 1;
}

static int put_record(struct chunk_index *x, const struct chunk_id *archive,
		      const struct archive_record *r, struct err *e)
{
	uint8_t key[ARCHIVE_KEY], value[RECORD] = { 0 };

	put_le32(value, r->serial);
	put_le32(value + 4, r->pieces);
	put_le64(value + 8, r->totals.size);
	put_le64(value + 16, r->totals.csize);
	put_le64(value + 24, r->totals.chunks);
	put_le64(value + 32, r->totals.unique_chunks);
	put_le64(value + 40, r->content.size);
	put_le64(value + 48, r->content.csize);
	put_le64(value + 56, r->content.nfiles);
	return index_put(x, archive_key(key, archive), (struct bytes){ value, sizeof(value) },
			 e);
}

int index_archive_each(struct chunk_index *x,
		       int (*fn)(void *arg, const struct chunk_id *archive), void *arg,
		       struct err *e)
{
	uint8_t first[1] = { 'A' };
	MDB_val key = { sizeof(first), first }, value;
	MDB_cursor *cursor;
	struct bytes record;
	struct chunk_id id;
	uint32_t count = 0;
	int stop = 0, rc = mdb_cursor_open(x->txn, x->db->dbi, &cursor);

	if (rc)
		return cache_db_fail(x->db, rc, e);
	rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	while (rc == 0 && stop == 0) {
		const uint8_t *p = key.mv_data;

		if (key.mv_size != ARCHIVE_KEY || p[0] != 'A')
			break;
		stop = cache_db_check(x->db, (struct bytes){ p, ARCHIVE_KEY }, &value, &record,
				      e);
		memcpy(id.b, p + 1, CHUNK_ID_SIZE);
		if (stop == 0)
			stop = fn(arg, &id);
		count++;
		rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	if (rc && rc != MDB_NOTFOUND)
		return cache_db_fail(x->db, rc, e);
	if (stop == 0 && count != x->meta.archives)
		return index_damaged(x, "an archive is missing", e);
	return stop;
}

/* --- lists --- */

static struct bytes piece_key(uint8_t key[PIECE_KEY], uint32_t serial, uint32_t piece)
{
	key[0] = 'L';
	put_be32(key + 1, serial);
	put_be32(key + 5, piece);
	return (struct bytes){ key, PIECE_KEY };
}

static size_t put_varint(uint8_t *p, uint64_t v)
{
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		p[n++] = (uint8_t)(v | 0x80);
	p[n++] = (uint8_t)v;
	return n;
}

/* How many from the i-th on are a run. */
static size_t run_at(const struct deltas *list, size_t i)
{
	const struct delta *first = &list->p[i];
	size_t n = 1;

	while (i + n < list->count && list->p[i + n].number == first->number + n &&
	       list->p[i + n].by == first->by)
		n++;
	return n;
}

static size_t put_run(uint8_t *p, uint64_t gap, uint64_t length, uint64_t count)
{
	bool more = length > 1 || count > 1;
	size_t n = put_varint(p, gap << 1 | more);

	if (!more)
		return n;
	n += put_varint(p + n, length - 1);
	return n + put_varint(p + n, count - 1);
}

static int write_list(struct chunk_index *x, const struct deltas *list,
		      struct archive_record *r, struct err *e)
{
	uint8_t piece[PIECE_MAX], key[PIECE_KEY];
	uint64_t next = 0;
	size_t len = 0;
	int rc = 0;

	r->pieces = 0;
	for (size_t i = 0; i < list->count && rc == 0;) {
		size_t n = run_at(list, i);

		len += put_run(piece + len, list->p[i].number - next, n,
			       (uint64_t)list->p[i].by);
		next = (uint64_t)list->p[i].number + n;
		i += n;
		if (len <= PIECE_MAX - RUN_MAX && i < list->count)
			continue;
		rc = index_put(x, piece_key(key, r->serial, r->pieces++),
			       (struct bytes){ piece, len }, e);
		len = 0;
	}
	return rc;
}

int index_archive_put(struct chunk_index *x, const struct chunk_id *archive,
		      const struct deltas *list, struct archive_record *record, struct err *e)
{
	int rc;

	x->meta.archives++;
	record->serial = x->meta.next_serial++;
	record->totals.unique_chunks = list->count;
	rc = write_list(x, list, record, e);
	return rc < 0 ? rc : put_record(x, archive, record, e);
}

int index_archive_delete(struct chunk_index *x, const struct chunk_id *archive,
			 const struct archive_record *record, struct err *e)
{
	uint8_t key[ARCHIVE_KEY];
	int rc = cache_db_delete(x->db, x->txn, archive_key(key, archive), e);

	x->meta.archives--;
	for (uint32_t i = 0; i < record->pieces && rc == 0; i++) {
		uint8_t piece[PIECE_KEY];

		rc = cache_db_delete(x->db, x->txn, piece_key(piece, record->serial, i), e);
	}
	return rc;
}

/* A cursor that goes bad and stays bad. */
struct varints {
	struct bytes in;
	bool bad;
};

static uint64_t get_varint(struct varints *v)
{
	uint64_t value = 0;

	for (unsigned shift = 0; v->in.len && shift < 63; shift += 7) {
		uint8_t byte = *v->in.p;

		v->in.p++;
		v->in.len--;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return value;
	}
	v->bad = true;
	return 0;
}

/* The runs of a piece; *next is the number after the last one.  0, -EBADMSG, -ENOMEM. */
static int read_piece(struct bytes piece, uint64_t limit, uint64_t most, uint64_t *next,
		      struct deltas *out)
{
	struct varints v = { .in = piece };

	while (v.in.len && !v.bad) {
		uint64_t gap = get_varint(&v), length = 1, count = 1;

		if (gap & 1) {
			length += get_varint(&v);
			count += get_varint(&v);
		}
		gap >>= 1;
		if (v.bad || gap > limit - *next || length > limit - *next - gap ||
		    length > most - out->count || count > INT32_MAX)
			return -EBADMSG;
		*next += gap;
		for (; length; length--)
			if (deltas_push(out, (uint32_t)(*next)++, (int64_t)count) < 0)
				return -ENOMEM;
	}
	return v.bad ? -EBADMSG : 0;
}

int index_list_read(struct chunk_index *x, const struct archive_record *record,
		    struct deltas *out, struct err *e)
{
	uint64_t next = 0, limit = (uint64_t)x->meta.blocks * COUNTS_PER;
	uint8_t key[PIECE_KEY];
	struct bytes piece;
	int rc = 0;

	out->count = 0;
	for (uint32_t i = 0; i < record->pieces; i++) {
		rc = cache_db_get(x->db, x->txn, piece_key(key, record->serial, i), &piece, e);
		if (rc < 0)
			return rc;
		if (rc == 0)
			return index_damaged(x, "part of a list is missing", e);
		rc = read_piece(piece, limit, record->totals.unique_chunks, &next, out);
		if (rc == -ENOMEM)
			return err_nomem(e, "chunk index");
		if (rc < 0)
			return index_damaged(x, "impossible list", e);
	}
	if (out->count != record->totals.unique_chunks)
		return index_damaged(x, "a list of another length", e);
	return 0;
}
