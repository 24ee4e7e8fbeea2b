/*
 * item_stream.c - see item_stream.h.
 *
 *   chunks of the stream   |----a----|----b----|---c---|
 *   data                          |.rest|..b...|
 *                                 at          len
 *
 * Chunks are appended to one buffer, only when what is in it holds no whole record; what is left
 * of the chunk before moves to the front first, so each byte is copied about once.  A record that
 * does not end asks for twice as much before it is tried again: a large one costs a constant
 * number of passes.
 *
 * In a damaged stream (robust) records are looked for as Borg's check does: behind a missing
 * chunk, or behind the data in which decoding failed, at each byte where a map begins whose first
 * key is an item's.
 */

#include "core/archive/item_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/store/stream.h"

enum {
	/* A chunk entry takes some 45 bytes: the item of a 24 TB file in chunks of 2 MiB. */
	ITEM_MAX = 512 << 20,
	WINDOW = 16 << 20,   /* plaintext bytes decoded ahead */
	RESYNC_FACTOR = 256, /* work on wrong beginnings, in passes over what was read */
	RESYNC_MORE = 1 << 20,
};

struct item_reader {
	struct reader *reader;
	struct manifest *manifest;
	const struct archive *archive;
	struct stream *stream;
	size_t pushed, pulled; /* chunks of archive->items */
	bool robust;
	bool resync;       /* looking for the next record */
	bool in_gap;       /* the chunk before was lost, which was counted */
	uint64_t work_max; /* bytes that resynchronising may still look at */
	struct buf data;
	size_t at;    /* first byte of data not yet given out */
	size_t want;  /* do not try again with fewer bytes than these, unless the stream ends */
	size_t tried; /* how many there were at the last try */
	struct arena arena;
	size_t damage;
	struct err first;
};

int item_reader_open(struct item_reader **out, struct reader *r, const struct archive *a,
		     const struct item_reader_options *options, struct err *e)
{
	CLEANUP(item_reader_closep) struct item_reader *ir = calloc(1, sizeof(*ir));
	int rc;

	if (!ir)
		return err_nomem(e, "item stream");
	ir->reader = r;
	ir->archive = a;
	ir->robust = options && options->robust;
	ir->manifest = reader_manifest(r);
	rc = stream_open(&ir->stream, r->repo, r->key, 0, WINDOW, e);
	if (rc < 0)
		return rc;
	*out = TAKE(ir);
	return 0;
}

void item_reader_close(struct item_reader *ir)
{
	if (!ir)
		return;
	stream_close(ir->stream);
	reader_manifest_unref(ir->reader, ir->manifest);
	arena_fini(&ir->arena);
	buf_fini(&ir->data);
	free(ir);
}

size_t item_reader_chunks(const struct item_reader *ir)
{
	return ir->pulled;
}

size_t item_reader_damage(const struct item_reader *ir, struct err *first)
{
	if (first && ir->damage)
		*first = ir->first;
	return ir->damage;
}

/* Count a gap and go on, or give up with its reason. */
static int note_damage(struct item_reader *ir, const struct err *why, struct err *e)
{
	if (!ir->robust) {
		if (e)
			*e = *why;
		return -why->code;
	}
	if (ir->damage++ == 0)
		ir->first = *why;
	return 0;
}

static int damaged(struct item_reader *ir, const char *what, struct err *e)
{
	struct err why = ERR_INIT;

	err_set(&why, EBADMSG, "item stream: %s", what);
	return note_damage(ir, &why, e);
}

static void drop_data(struct item_reader *ir)
{
	ir->data.len = 0;
	ir->at = 0;
	ir->want = ir->tried = 0;
}

static void begin_resync(struct item_reader *ir)
{
	drop_data(ir);
	ir->resync = true;
	ir->work_max = 0;
}

static void push_ahead(struct item_reader *ir)
{
	while (ir->pushed < ir->archive->item_chunk_count) {
		struct chunk_want want = { .id = ir->archive->items[ir->pushed] };

		if (!stream_push(ir->stream, &want))
			return;
		ir->pushed++;
	}
}

static int append(struct item_reader *ir, const struct chunk *c, struct err *e)
{
	size_t rest = ir->data.len - ir->at;

	if (ir->at) {
		memmove(ir->data.p, ir->data.p + ir->at, rest);
		ir->data.len = rest;
		ir->at = 0;
	}
	if (buf_append(&ir->data, c->p, c->len) < 0)
		return err_nomem(e, "item stream");
	ir->work_max += RESYNC_FACTOR * (uint64_t)c->len + RESYNC_MORE;
	return 0;
}

static bool costs_only_itself(int rc)
{
	return rc == -ENOENT || rc == -EBADMSG || rc == -EIO;
}

/* One more chunk: 1; or the end: 0.  A lost one makes a gap. */
static int read_chunk(struct item_reader *ir, struct err *e)
{
	while (ir->pulled < ir->archive->item_chunk_count) {
		CLEANUP(chunk_unrefp) struct chunk *c = NULL;
		struct err why = ERR_INIT;
		int rc;

		push_ahead(ir);
		rc = stream_pull(ir->stream, &c, &why);
		ir->pulled++;
		if (rc < 0) {
			err_wrap(&why, rc, "item stream: chunk %zu of %zu", ir->pulled,
				 ir->archive->item_chunk_count);
			if (!costs_only_itself(rc) || !ir->robust) {
				if (e)
					*e = why;
				return rc;
			}
			if (!ir->in_gap)
				note_damage(ir, &why, e);
			ir->in_gap = true;
			begin_resync(ir);
			continue;
		}
		ir->in_gap = false;
		rc = append(ir, c, e);
		return rc < 0 ? rc : 1;
	}
	return 0;
}

/* --- resynchronisation --- */

/* Does a map begin at p whose first key is an item's? */
static bool looks_like_item(const struct manifest *m, const uint8_t *p, size_t len)
{
	size_t head;
	struct mp key;
	struct bytes text;

	if (len && (p[0] & 0xf0) == 0x80)
		head = 1;
	else if (len && p[0] == 0xde)
		head = 3;
	else
		return false;
	/* Borg compares with keys as it packs them: fixstr, or str8 for the longer ones. */
	if (len <= head ||
	    ((p[head] & 0xe0) != 0xa0 && p[head] != 0xd9 && p[head] != 0xda && p[head] != 0xdb))
		return false;
	key = mp_read((struct bytes){ p + head, len - head });
	text = mp_str(&key);
	if (!mp_ok(&key))
		return false;
	for (size_t i = 0; i < m->item_key_count; i++)
		if (bytes_equal(m->item_keys[i], text))
			return true;
	return false;
}

/* Might a map begin at the last few bytes, of which too little is there to tell? */
static bool may_become_item(const uint8_t *p, size_t len)
{
	enum { HEAD_MAX = 3 + 2 + 255 };

	return len < HEAD_MAX && ((p[0] & 0xf0) == 0x80 || p[0] == 0xde);
}

/* Hostile data must not make this quadratic. */
static void charge(struct item_reader *ir, size_t bytes)
{
	ir->work_max -= ir->work_max < bytes ? ir->work_max : bytes;
}

enum found { FOUND_NONE, FOUND_MAYBE, FOUND_ITEM };

static enum found try_item(struct item_reader *ir, size_t at)
{
	const uint8_t *p = ir->data.p + at;
	size_t len = ir->data.len - at;
	struct mp m;
	struct item item;
	int rc;

	if (!looks_like_item(ir->manifest, p, len))
		return may_become_item(p, len) ? FOUND_MAYBE : FOUND_NONE;
	m = mp_read((struct bytes){ p, len });
	arena_reset(&ir->arena);
	rc = item_parse(&m, &ir->arena, &item, NULL);
	if (rc == 1)
		return FOUND_ITEM;
	charge(ir, len);
	return rc == 0 ? FOUND_MAYBE : FOUND_NONE;
}

/*
 * Find the next record.  1: data begins with it; 0: the stream ended; -errno.  A record that the
 * data cuts off is kept as a candidate, but the first whole one wins, as in Borg's check.
 */
static int find_record(struct item_reader *ir, struct err *e)
{
	for (;;) {
		size_t candidate = SIZE_MAX;
		int rc;

		for (size_t i = ir->at; i < ir->data.len && ir->work_max; i++) {
			enum found found = try_item(ir, i);

			charge(ir, 1);
			if (found == FOUND_ITEM) {
				ir->at = i;
				ir->resync = false;
				return 1;
			}
			if (found == FOUND_MAYBE && candidate == SIZE_MAX)
				candidate = i;
		}
		if (candidate == SIZE_MAX || ir->work_max == 0 ||
		    ir->data.len - candidate > ITEM_MAX)
			candidate = ir->data.len;
		ir->at = candidate;
		rc = read_chunk(ir, e);
		if (rc <= 0)
			return rc;
	}
}

/* --- records --- */

/*
 * Make sure that something untried is in data.  1; 0 at the end; -errno.
 */
static int fill(struct item_reader *ir, struct err *e)
{
	for (;;) {
		int rc;

		if (ir->resync)
			return find_record(ir, e);
		if (ir->data.len - ir->at > ir->want)
			return 1;
		rc = read_chunk(ir, e);
		if (rc < 0)
			return rc;
		/* At the end what has come since the last try is all there will be: less than
		 * was waited for, and maybe enough. */
		if (rc == 0)
			return ir->data.len - ir->at > ir->tried;
	}
}

/* The stream ended: is a part of a record left? */
static int finish(struct item_reader *ir, struct err *e)
{
	size_t rest = ir->data.len - ir->at;

	if (rest == 0 || ir->resync)
		return 0;
	drop_data(ir);
	return damaged(ir, "it ends inside an item", e);
}

/* The record does not end in what is here. */
static int need_more(struct item_reader *ir, struct err *e)
{
	size_t here = ir->data.len - ir->at;

	if (here > ITEM_MAX) {
		int rc = damaged(ir, "an item larger than 512 MiB", e);

		begin_resync(ir);
		return rc;
	}
	ir->tried = here;
	ir->want = 2 * here - 1;
	return 0;
}

/* No value ends here: what follows in this data cannot be told from content. */
static int lose_data(struct item_reader *ir, struct err *e)
{
	int rc = damaged(ir, "not a valid record", e);

	begin_resync(ir);
	return rc;
}

/* A whole value that is no item: it alone is lost. */
static int lose_value(struct item_reader *ir, const struct err *why, struct err *e)
{
	struct mp m = mp_read((struct bytes){ ir->data.p + ir->at, ir->data.len - ir->at });
	struct err wrapped = *why;

	mp_skip(&m);
	if (!mp_ok(&m))
		return m.truncated ? need_more(ir, e) : lose_data(ir, e);
	err_wrap(&wrapped, -wrapped.code, "item stream");
	ir->at = (size_t)(m.p - ir->data.p);
	ir->want = ir->tried = 0;
	return note_damage(ir, &wrapped, e);
}

int item_reader_next(struct item_reader *ir, struct item *out, struct err *e)
{
	for (;;) {
		struct err why = ERR_INIT;
		struct mp m;
		int rc = fill(ir, e);

		if (rc < 0)
			return rc;
		if (rc == 0)
			return finish(ir, e);
		m = mp_read((struct bytes){ ir->data.p + ir->at, ir->data.len - ir->at });
		arena_reset(&ir->arena);
		rc = item_parse(&m, &ir->arena, out, &why);
		if (rc == 1) {
			ir->at = (size_t)(m.p - ir->data.p);
			ir->want = ir->tried = 0;
			return 1;
		}
		if (rc == -ENOMEM) {
			if (e)
				*e = why;
			return rc;
		}
		rc = rc == 0 ? need_more(ir, e) : lose_value(ir, &why, e);
		if (rc < 0)
			return rc;
	}
}

/* As many whole maps as data begins with. */
static struct bytes whole_maps(struct item_reader *ir, size_t *count, struct mp *m)
{
	const uint8_t *begin = ir->data.p + ir->at, *end = begin;

	*m = mp_read((struct bytes){ begin, ir->data.len - ir->at });
	*count = 0;
	while (mp_peek(m) == MP_MAP) {
		mp_skip(m);
		if (!mp_ok(m))
			break;
		end = m->p;
		++*count;
	}
	return (struct bytes){ begin, (size_t)(end - begin) };
}

int item_reader_next_batch(struct item_reader *ir, struct bytes *records, size_t *count,
			   struct err *e)
{
	for (;;) {
		struct err why = ERR_INIT;
		struct mp m;
		int rc = fill(ir, e);

		if (rc < 0)
			return rc;
		if (rc == 0)
			return finish(ir, e);
		*records = whole_maps(ir, count, &m);
		if (*count) {
			ir->at += records->len;
			ir->want = ir->tried = 0;
			return 1;
		}
		err_set(&why, EBADMSG, "item: not a valid record");
		rc = lose_value(ir, &why, e);
		if (rc < 0)
			return rc;
	}
}
