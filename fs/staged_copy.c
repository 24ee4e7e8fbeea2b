/* staged_copy.c - see ingest.h: ranges of other contents and of archives, by reference where they are stored. */

#include "fs/ingest_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- references in --- */

/* Does x go on where what stands before it came from? */
static bool goes_on(struct stage_content *c, const struct extent *x)
{
	struct extent last;

	if (x->kind != EXTENT_CHUNK || x->off == 0 ||
	    !extents_at(&c->extents, x->off - 1, &last) || last.kind != EXTENT_CHUNK ||
	    extent_end(&last) != x->off)
		return false;
	if (last.from + last.len == last.size)
		return x->from == 0 && last.cut == CUT_SOURCE;
	return last.from + last.len == x->from && id_equal(&last.id, &x->id);
}

/* Pieces of chunks, and holes, that follow each other. */
static int place_all(struct stage_content *c, struct extent *x, size_t count, unsigned how,
		     struct err *e)
{
	uint64_t off, end;
	int rc = content_activate(c, e);

	if (rc < 0 || count == 0)
		return rc;
	off = x[0].off;
	end = extent_end(&x[count - 1]);
	if (off > c->size)
		rc = content_extend(c, off, how, e);
	if (rc == 0 && tail_len(c) > 0 && end > tail_at(c))
		rc = how & GIVE_WAIT ? content_spill_tail(c, e) : -EAGAIN;
	if (rc < 0)
		return rc;
	content_touch(c, off, goes_on(c, &x[0]));
	content_taint(c, off);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		rc = content_place(c, &x[i], e);
		if (rc == 0 && extent_end(&x[i]) > c->size)
			c->size = extent_end(&x[i]);
	}
	if (end < c->size)
		content_unmark_before(c, end, false);
	return rc;
}

/* The extents of an import; how many. */
static size_t import_extents(const struct staged_import *what, uint64_t off, struct extent *out)
{
	uint64_t at = 0, end = what->skip + what->len;
	size_t count = 0;

	for (size_t i = 0; i < what->count && at < end; i++) {
		const struct item_chunk *k = &what->chunks[i];
		uint64_t from = what->skip > at ? what->skip - at : 0,
			 to = min64(k->size, end - at);

		at += k->size;
		if (from >= to)
			continue;
		out[count] = (struct extent){
			.off = off,
			.len = to - from,
			.id = k->id,
			.size = k->size,
			.csize = k->csize,
			.from = (uint32_t)from,
			.kind = EXTENT_CHUNK,
			.cut = what->is_last && i == what->count - 1 ? CUT_NONE : CUT_SOURCE,
		};
		off += out[count++].len;
	}
	return count;
}

int staged_import(struct stage_content *c, uint64_t off, const struct staged_import *what,
		  bool may_wait, struct err *e)
{
	CLEANUP(cleanup_freep) struct extent *x = NULL;
	size_t count;
	int rc = content_check_range(off, what->len, e);

	if (rc < 0 || what->count == 0)
		return rc;
	x = calloc(what->count, sizeof(*x));
	if (!x)
		return err_nomem(e, "copy");
	count = import_extents(what, off, x);
	rc = content_enter(c, may_wait);
	if (rc < 0)
		return rc;
	rc = content_failed(c, e);
	if (rc == 0) {
		rc = place_all(c, x, count, how_of(may_wait), e);
		c->version++;
	}
	content_leave(c);
	return rc;
}

/* --- copying --- */

enum { COPY_EXTENTS = 64 };

/* A part of a copy: either references or bytes. */
struct copying {
	struct extent x[COPY_EXTENTS];
	size_t count;
	uint8_t *bytes;
	size_t len; /* of either */
};

static void drop_references(struct ingest *in, const struct copying *k)
{
	for (size_t i = 0; i < k->count; i++)
		ingest_refer(in, &k->x[i], -1);
}

/* x from `off` on, to stand at dst_off. */
static struct extent moved(struct extent x, uint64_t off, uint64_t len, uint64_t dst_off)
{
	uint64_t skip = off - x.off;

	x.len = min64(x.len - skip, len);
	x.off = dst_off;
	if (x.kind == EXTENT_CHUNK)
		x.from += (uint32_t)skip;
	if (x.cut == CUT_OWN)
		x.cut = CUT_SOURCE;
	return x;
}

/* What of [off, off + len) can go by reference, which is held until drop_references(). */
static void take_references(struct stage_content *src, uint64_t off, uint64_t len,
			    uint64_t dst_off, struct copying *k)
{
	struct extent x;

	while (k->count < COPY_EXTENTS && k->len < len &&
	       extents_at(&src->extents, off + k->len, &x) &&
	       (x.kind == EXTENT_CHUNK || x.kind == EXTENT_HOLE)) {
		x = moved(x, off + k->len, len - k->len, dst_off + k->len);
		ingest_refer(src->in, &x, 1);
		k->len += x.len;
		k->x[k->count++] = x;
	}
}

/* How far bytes have to be copied. */
static size_t bytes_to_copy(struct stage_content *src, uint64_t off, uint64_t len)
{
	size_t n = 0;
	struct extent x;

	if (len > PIECE)
		len = PIECE;
	while (n < len && extents_at(&src->extents, off + n, &x) && x.kind != EXTENT_CHUNK &&
	       x.kind != EXTENT_HOLE)
		n += (size_t)min64(extent_end(&x) - (off + n), len - n);
	return off + n >= tail_at(src) ? (size_t)len : n;
}

static int take_bytes(struct stage_content *src, uint64_t off, uint64_t len, struct copying *k,
		      struct err *e)
{
	k->len = bytes_to_copy(src, off, len);
	if (!k->bytes)
		k->bytes = malloc(PIECE);
	if (!k->bytes)
		return err_nomem(e, "copy");
	return content_copy_out(src, off, k->bytes, k->len, e);
}

static int copy_from(struct stage_content *src, uint64_t off, uint64_t len, uint64_t dst_off,
		     struct copying *k, struct err *e)
{
	int rc = content_enter(src, true);

	if (rc < 0)
		return rc;
	k->count = k->len = 0;
	rc = content_failed(src, e);
	if (rc == 0 && off < src->size) {
		len = min64(len, src->size - off);
		/* Whose id is only to come is worth waiting for; else its bytes will do. */
		(void)ingest_land(src, NULL);
		take_references(src, off, len, dst_off, k);
		if (k->count == 0)
			rc = take_bytes(src, off, len, k, e);
	}
	content_leave(src);
	return rc;
}

static int copy_to(struct stage_content *dst, uint64_t off, struct copying *k, struct err *e)
{
	int rc = content_enter(dst, true);

	if (rc < 0)
		return rc;
	rc = content_failed(dst, e);
	if (rc == 0) {
		rc = k->count > 0 ? place_all(dst, k->x, k->count, GIVE_WAIT, e)
				  : content_write(dst, off, (struct bytes){ k->bytes, k->len },
						  GIVE_WAIT, e);
		dst->version++;
	}
	content_leave(dst);
	return rc;
}

int staged_copy(struct stage_content *src, uint64_t src_off, struct stage_content *dst,
		uint64_t dst_off, uint64_t len, uint64_t *copied, struct err *e)
{
	struct copying k = { .count = 0 };
	int rc = content_check_range(dst_off, len, e);

	*copied = 0;
	if (rc == 0 && src == dst && src_off < dst_off + len && dst_off < src_off + len)
		return err_set(e, EINVAL, "copy: the ranges overlap");
	/* Within one file, what is copied may move the end. */
	len = min64(len, src_off < src->size ? src->size - src_off : 0);
	while (rc == 0 && *copied < len) {
		rc = copy_from(src, src_off + *copied, len - *copied, dst_off + *copied, &k, e);
		if (rc == 0 && k.len == 0)
			break;
		if (rc == 0)
			rc = copy_to(dst, dst_off + *copied, &k, e);
		drop_references(src->in, &k);
		if (rc == 0)
			*copied += k.len;
	}
	free(k.bytes);
	return rc;
}
