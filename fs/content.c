/*
 * content.c - see content.h.
 *
 * The tree stores for each chunk the offset behind it, so the first chunk of a range is found by
 * binary search and the others follow.  What a chunk holds is believed only where its length is
 * the one that the item states: else all bytes behind it would move.
 */

#include "fs/content.h"

#include <errno.h>
#include <stdlib.h>

enum {
	BATCH = 16,            /* chunk records taken from the tree at once */
	ZEROS_SIZE = 64 << 10, /* one piece of the zeros that stand for a lost chunk */
};

static const uint8_t zeros[ZEROS_SIZE];

void content_fini(struct content *c)
{
	volume_unref(c->volume);
	c->volume = NULL;
}

void content_range_init(struct content_range *r)
{
	r->pieces = r->pieces_inline;
	r->chunks = r->chunks_inline;
	r->own = NULL;
	r->count = r->chunk_count = r->len = 0;
	r->cap = CONTENT_PIECES_INLINE;
}

void content_range_fini(struct content_range *r)
{
	for (size_t i = 0; i < r->chunk_count; i++)
		chunk_unref(r->chunks[i]);
	free(r->own);
	if (r->pieces != r->pieces_inline)
		free(r->pieces);
	if (r->chunks != r->chunks_inline)
		free(r->chunks);
	content_range_init(r);
}

static int range_grow(struct content_range *r)
{
	size_t cap = r->cap * 4;
	struct iovec *pieces = calloc(cap, sizeof(pieces[0]));
	struct chunk **chunks = calloc(cap, sizeof(chunks[0]));

	if (!pieces || !chunks) {
		free(pieces);
		free(chunks);
		return -ENOMEM;
	}
	memcpy(pieces, r->pieces, r->cap * sizeof(pieces[0]));
	memcpy(chunks, r->chunks, r->cap * sizeof(chunks[0]));
	if (r->pieces != r->pieces_inline)
		free(r->pieces);
	if (r->chunks != r->chunks_inline)
		free(r->chunks);
	r->pieces = pieces;
	r->chunks = chunks;
	r->cap = cap;
	return 0;
}

int content_range_add(struct content_range *r, struct chunk *chunk, const uint8_t *p,
		      size_t len)
{
	if (r->count == r->cap && range_grow(r) < 0) {
		chunk_unref(chunk);
		return -ENOMEM;
	}
	if (chunk)
		r->chunks[r->chunk_count++] = chunk;
	r->pieces[r->count++] = (struct iovec){ (void *)(uintptr_t)p, len };
	r->len += len;
	return 0;
}

int content_range_add_zeros(struct content_range *r, size_t len)
{
	while (len > 0) {
		size_t n = len < ZEROS_SIZE ? len : ZEROS_SIZE;

		if (content_range_add(r, NULL, zeros, n) < 0)
			return -ENOMEM;
		len -= n;
	}
	return 0;
}

/* The reason with archive and path in front, as -EIO. */
static int refuse(const struct content *c, struct err *e)
{
	CLEANUP(buf_fini) struct buf path = BUF_INIT;

	if (tree_path(c->volume->tree, c->file.index, &path, NULL) < 0)
		path.len = 0;
	err_wrap(e, -EIO, "%s: %.*s", c->volume->name, (int)path.len,
		 path.p ? (const char *)path.p : "");
	if (e)
		e->code = EIO;
	return -EIO;
}

/* The chunk with a reference: 1; 0 not in memory; -errno.  *out is NULL where zeros stand in. */
static int take_chunk(const struct content *c, const struct tree_chunk *tc, bool wait,
		      struct chunk **out, struct err *e)
{
	struct chunk_want want = { .id = tc->id, .size = tc->size };
	int rc;

	*out = fetch_cached(c->fetch, &tc->id);
	if (!*out && !wait)
		return 0;
	rc = *out ? 0 : fetch_chunk(c->fetch, &want, out, e);
	if (rc == 0 && (*out)->len != tc->size) {
		rc = err_set(e, EBADMSG, "chunk has %zu bytes, the archive says %u",
			     (*out)->len, tc->size);
		chunk_unref(TAKE(*out));
	}
	if (rc == 0)
		return 1;
	*out = NULL;
	if (c->zeros && (rc == -ENOENT || rc == -EBADMSG))
		return 1;
	return rc == -ENOMEM ? rc : refuse(c, e);
}

/* Add what of chunk tc lies in [off, end): 1; 0 not in memory; -errno. */
static int add_chunk(const struct content *c, const struct tree_chunk *tc, uint64_t off,
		     uint64_t end, bool wait, struct content_range *out, struct err *e)
{
	uint64_t start = tc->end - tc->size;
	size_t skip = off > start ? (size_t)(off - start) : 0;
	size_t len = (size_t)((end < tc->end ? end : tc->end) - start) - skip;
	struct chunk *chunk = NULL;
	int rc = take_chunk(c, tc, wait, &chunk, e);

	if (rc <= 0)
		return rc;
	rc = chunk ? content_range_add(out, chunk, chunk->p + skip, len)
		   : content_range_add_zeros(out, len);
	return rc < 0 ? err_nomem(e, "read") : 1;
}

/* Add all chunks of [off, end) from number `index` on. */
static int add_chunks(const struct content *c, uint32_t index, uint64_t off, uint64_t end,
		      bool wait, struct content_range *out, struct err *e)
{
	struct tree_chunk batch[BATCH];
	uint64_t at = off;

	while (at < end) {
		uint32_t left = c->file.chunk_count - index;
		uint32_t n = left < BATCH ? left : BATCH;
		int rc;

		if (n == 0)
			return err_set(e, EBADMSG, "content ends before its size");
		rc = tree_chunks(c->volume->tree, &c->file, index, n, batch, e);
		for (uint32_t i = 0; rc >= 0 && i < n && at < end; i++) {
			rc = add_chunk(c, &batch[i], at, end, wait, out, e);
			if (rc == 0)
				return 0;
			at = batch[i].end;
		}
		if (rc < 0)
			return rc;
		index += n;
	}
	return 1;
}

static int read_range(const struct content *c, uint64_t off, size_t len, bool wait,
		      struct content_range *out, struct err *e)
{
	uint64_t end;
	uint32_t index = 0;
	int rc;

	content_range_init(out);
	if (off >= c->file.size)
		return 1;
	end = len < c->file.size - off ? off + len : c->file.size;
	rc = tree_chunk_at(c->volume->tree, &c->file, off, &index, e);
	if (rc >= 0)
		rc = add_chunks(c, index, off, end, wait, out, e);
	if (rc <= 0)
		content_range_fini(out);
	return rc == -EBADMSG ? refuse(c, e) : rc;
}

int content_cached(const struct content *c, uint64_t off, size_t len, struct content_range *out,
		   struct err *e)
{
	return read_range(c, off, len, false, out, e);
}

int content_read(const struct content *c, uint64_t off, size_t len, struct content_range *out,
		 struct err *e)
{
	return read_range(c, off, len, true, out, e);
}
