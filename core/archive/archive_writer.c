/*
 * archive_writer.c - see archive_writer.h.
 *
 * The pipeline numbers its chunks and returns results in that order.  Those of the item stream
 * itself are in between; their numbers are kept apart.  All others belong to the oldest item that
 * still waits for some.
 */

#include "core/archive/archive_writer.h"

#include "core/codec/chunker.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

enum {
	PENDING_MAX = 4096, /* items behind one that waits */
	DRAIN_EVERY = 16,   /* items given between two looks for results */
};

struct pending {
	struct pending *next;
	struct item it;
	struct buf text; /* what the item's spans point into */
	struct item_xattr *xattrs;
	struct item_chunk *chunks;
	size_t have, want, cap; /* chunks with a place in the list, and in all */
	size_t filled;          /* chunks whose result is there, in order */
	bool complete;          /* no more chunks are given */
	bool has_content, dropped;
	void *cookie;
};

struct archive_writer {
	struct put *put;
	const struct key *key;
	struct archive_writer_options options;

	struct pending *first, *last; /* items in order; the last may be open */
	struct pending *open;         /* the item whose chunks are being given, or NULL */
	struct pending *idle;
	size_t pending_count, since_drain;
	uint64_t next_result;

	struct chunker *chunker; /* of the item stream */
	struct chunker_scan scan;
	struct buf stream;        /* from the present chunk's start on */
	uint64_t *stream_numbers; /* of the stream's chunks under way, ascending: a queue */
	size_t stream_first, stream_count, stream_cap;
	struct item_chunk *stored; /* of the stream, in its order */
	size_t stored_count, stored_cap;

	struct archive_totals totals;
	struct archive_stats stats;
};

int archive_writer_new(struct archive_writer **out, struct put *put, const struct key *key,
		       const struct archive_writer_options *options, struct err *e)
{
	CLEANUP(archive_writer_freep) struct archive_writer *w = calloc(1, sizeof(*w));
	int rc;

	if (!w)
		return err_nomem(e, "archive");
	w->put = put;
	w->key = key;
	w->options = *options;
	w->next_result = put_count(put);
	rc = chunker_new(&w->chunker, options->stream ? options->stream : &CHUNKER_ITEMS,
			 (uint32_t)key->chunk_seed, e);
	if (rc < 0)
		return rc;
	*out = TAKE(w);
	return 0;
}

static void free_pending(struct pending *p)
{
	while (p) {
		struct pending *next = p->next;

		buf_fini(&p->text);
		free(p->xattrs);
		free(p->chunks);
		free(p->cookie);
		free(p);
		p = next;
	}
}

void archive_writer_free(struct archive_writer *w)
{
	if (!w)
		return;
	chunk_refs_free(w->options.refs);
	free_pending(w->first);
	free_pending(w->idle);
	chunker_free(w->chunker);
	buf_fini(&w->stream);
	free(w->stream_numbers);
	free(w->stored);
	free(w);
}

/* --- the item stream --- */

static int remember_number(struct archive_writer *w, uint64_t number)
{
	if (w->stream_first > 0 && w->stream_first == w->stream_count)
		w->stream_first = w->stream_count = 0;
	if (w->stream_count == w->stream_cap) {
		size_t cap = w->stream_cap ? 2 * w->stream_cap : 64;
		uint64_t *p = realloc(w->stream_numbers, cap * sizeof(*p));

		if (!p)
			return -ENOMEM;
		w->stream_numbers = p;
		w->stream_cap = cap;
	}
	w->stream_numbers[w->stream_count++] = number;
	return 0;
}

/* Give the stream's complete chunks to the pipeline; at_end: all of it. */
static int cut_stream(struct archive_writer *w, bool at_end, struct err *e)
{
	size_t start = 0, len;

	while ((len = chunker_cut(w->chunker, &w->scan,
				  (struct bytes){ w->stream.p + start, w->stream.len - start },
				  at_end)) > 0) {
		int rc = 0;

		if (remember_number(w, put_count(w->put)) < 0)
			return err_nomem(e, "item stream");
		rc = put_bytes(w->put, (struct bytes){ w->stream.p + start, len }, e);
		if (rc < 0)
			return rc;
		start += len;
	}
	if (start > 0) {
		memmove(w->stream.p, w->stream.p + start, w->stream.len - start);
		w->stream.len -= start;
	}
	if (at_end)
		w->scan = (struct chunker_scan){ 0 };
	return 0;
}

static void count_content(struct archive_writer *w, const struct item *it,
			  const struct item_chunk *chunks, size_t count)
{
	uint64_t size = 0, csize = 0;
	bool part = it->has & ITEM_PART;

	for (size_t i = 0; i < count; i++) {
		size += chunks[i].size;
		csize += chunks[i].csize;
	}
	*(part ? &w->totals.size_parts : &w->totals.size) += size;
	*(part ? &w->totals.csize_parts : &w->totals.csize) += csize;
	*(part ? &w->totals.nfiles_parts : &w->totals.nfiles) += S_ISREG(it->mode);
	if (part)
		return; /* the whole file counts them again */
	w->stats.size += size;
	w->stats.csize += csize;
	w->stats.nfiles += S_ISREG(it->mode);
}

static int add_refs(struct archive_writer *w, const struct item_chunk *chunks, size_t count,
		    struct err *e)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && w->options.refs && i < count; i++)
		rc = chunk_refs_add(w->options.refs, &chunks[i].id, chunks[i].size,
				    chunks[i].csize, e);
	return rc;
}

static int write_item(struct archive_writer *w, struct pending *p, struct err *e)
{
	struct item *it = &p->it;
	int rc;

	it->has &= ~(uint32_t)(ITEM_CHUNKS | ITEM_SIZE);
	if (p->has_content) {
		it->has |= ITEM_CHUNKS | ITEM_SIZE;
		it->chunks = p->chunks;
		it->chunk_count = p->have;
		it->size = 0;
		for (size_t i = 0; i < p->have; i++)
			it->size += p->chunks[i].size;
		count_content(w, it, p->chunks, p->have);
	}
	if (item_put(&w->stream, it) < 0)
		return err_nomem(e, "item");
	rc = add_refs(w, p->chunks, p->have, e);
	if (rc == 0)
		rc = cut_stream(w, false, e);
	if (rc == 0 && w->options.done && !(it->has & ITEM_PART))
		rc = w->options.done(w->options.arg, p->cookie, it, p->chunks, p->have, e);
	return rc;
}

/* --- items that wait --- */

static struct pending *take_pending(struct archive_writer *w)
{
	struct pending *p = w->idle;

	if (p)
		w->idle = p->next;
	else
		p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->next = NULL;
	p->have = p->want = p->filled = 0;
	p->complete = p->has_content = p->dropped = false;
	if (w->last)
		w->last->next = p;
	else
		w->first = p;
	w->last = p;
	w->pending_count++;
	return p;
}

static void give_pending(struct archive_writer *w)
{
	struct pending *p = w->first;

	w->first = p->next;
	if (!w->first)
		w->last = NULL;
	w->pending_count--;
	if (p->cap > 1024) { /* one long file's list is not kept */
		free(p->chunks);
		p->chunks = NULL;
		p->cap = 0;
	}
	free(p->xattrs);
	p->xattrs = NULL;
	free(p->cookie);
	p->cookie = NULL;
	p->next = w->idle;
	w->idle = p;
}

/* Items at the head whose chunks are all stored. */
static int write_ready(struct archive_writer *w, struct err *e)
{
	while (w->first && w->first->complete && w->first->filled == w->first->want) {
		int rc = w->first->dropped ? 0 : write_item(w, w->first, e);

		if (rc < 0)
			return rc;
		give_pending(w);
	}
	return 0;
}

static int note_stored(struct archive_writer *w, const struct item_chunk *chunk, struct err *e)
{
	if (w->stored_count == w->stored_cap) {
		size_t cap = w->stored_cap ? 2 * w->stored_cap : 64;
		struct item_chunk *p = reallocarray(w->stored, cap, sizeof(*p));

		if (!p)
			return err_nomem(e, "archive");
		w->stored = p;
		w->stored_cap = cap;
	}
	w->stored[w->stored_count++] = *chunk;
	w->stats.size += chunk->size;
	w->stats.csize += chunk->csize;
	return 0;
}

static int add_stream_chunk(struct archive_writer *w, const struct put_result *r, struct err *e)
{
	struct item_chunk chunk = { r->id, r->size, r->csize };
	int rc;

	w->stream_first++;
	rc = note_stored(w, &chunk, e);
	return rc < 0 ? rc : add_refs(w, &chunk, 1, e);
}

/* The oldest item that waits for a chunk; places that known chunks have are skipped. */
static void fill(struct archive_writer *w, const struct put_result *r)
{
	struct pending *p = w->first;

	while (p->filled == p->want && p->next)
		p = p->next;
	while (p->chunks[p->filled].size != UINT32_MAX)
		p->filled++;
	p->chunks[p->filled++] = (struct item_chunk){ r->id, r->size, r->csize };
	while (p->filled < p->want && p->chunks[p->filled].size != UINT32_MAX)
		p->filled++;
}

static int take_result(struct archive_writer *w, struct err *e)
{
	struct put_result r;
	uint64_t number = w->next_result++;

	put_result(w->put, number, &r);
	put_forget(w->put, number + 1);
	if (r.is_new)
		w->stats.new_csize += r.csize;
	if (w->stream_first < w->stream_count && w->stream_numbers[w->stream_first] == number)
		return add_stream_chunk(w, &r, e);
	fill(w, &r);
	return 0;
}

static int drain(struct archive_writer *w, struct err *e)
{
	uint64_t done = put_done(w->put);
	int rc = 0;

	while (rc == 0 && w->next_result < done)
		rc = take_result(w, e);
	w->since_drain = 0;
	return rc < 0 ? rc : write_ready(w, e);
}

static int drain_if_due(struct archive_writer *w, struct err *e)
{
	int rc = 0;

	if (w->pending_count > PENDING_MAX && put_count(w->put) > w->next_result)
		rc = put_wait(w->put, put_count(w->put) - 1, e);
	else if (++w->since_drain < DRAIN_EVERY)
		return write_ready(w, e);
	return rc < 0 ? rc : drain(w, e);
}

/* --- what the caller gives --- */

static int open_item(struct archive_writer *w, struct err *e)
{
	if (!w->open)
		w->open = take_pending(w);
	return w->open ? 0 : err_nomem(e, "item");
}

static struct item_chunk *add_place(struct archive_writer *w)
{
	struct pending *p = w->open;

	if (p->have == p->cap) {
		size_t cap = p->cap ? 2 * p->cap : 4;
		struct item_chunk *chunks = realloc(p->chunks, cap * sizeof(*chunks));

		if (!chunks)
			return NULL;
		p->chunks = chunks;
		p->cap = cap;
	}
	p->want++;
	return &p->chunks[p->have++];
}

/* A place in the list, empty until the pipeline is done with the chunk. */
static int reserve_place(struct archive_writer *w, struct err *e)
{
	struct item_chunk *place;
	int rc = open_item(w, e);

	if (rc < 0)
		return rc;
	place = add_place(w);
	if (!place)
		return err_nomem(e, "item");
	place->size = UINT32_MAX;
	return 0;
}

int archive_writer_chunk(struct archive_writer *w, struct put_slab *s, struct bytes data,
			 struct err *e)
{
	int rc = reserve_place(w, e);

	if (rc == 0)
		rc = put_chunk(w->put, s, data, e);
	return rc < 0 ? rc : drain_if_due(w, e);
}

int archive_writer_copied_chunk(struct archive_writer *w, struct bytes data, struct err *e)
{
	int rc = reserve_place(w, e);

	if (rc == 0)
		rc = put_bytes(w->put, data, e);
	return rc < 0 ? rc : drain_if_due(w, e);
}

int archive_writer_known_chunk(struct archive_writer *w, const struct item_chunk *chunk,
			       struct err *e)
{
	struct item_chunk *place;
	struct pending *p;
	int rc = open_item(w, e);

	if (rc < 0)
		return rc;
	p = w->open;
	place = add_place(w);
	if (!place)
		return err_nomem(e, "item");
	*place = *chunk;
	if (p->filled == p->want - 1)
		p->filled++;
	return 0;
}

int archive_writer_drop_chunks(struct archive_writer *w, struct err *e)
{
	if (!w->open)
		return 0;
	w->open->dropped = w->open->complete = true;
	w->open = NULL;
	return drain_if_due(w, e);
}

static size_t text_size(const struct item *it)
{
	size_t n = it->path.len + it->user.len + it->group.len + it->source.len +
		   it->acl_access.len + it->acl_default.len + it->acl_nfs4.len +
		   it->acl_extended.len;

	for (size_t i = 0; i < it->xattr_count; i++)
		n += it->xattrs[i].name.len + it->xattrs[i].value.len;
	return n;
}

/* The span's bytes, in the buffer, which has room for them. */
static struct bytes copy_span(struct buf *b, struct bytes span)
{
	struct bytes copy = { b->p + b->len, span.len };

	if (span.len)
		memcpy(b->p + b->len, span.p, span.len);
	b->len += span.len;
	return copy;
}

static int copy_item(struct pending *p, const struct item *it)
{
	struct buf *b = &p->text;

	b->len = 0;
	if (buf_reserve(b, text_size(it) + 1) < 0)
		return -ENOMEM;
	p->it = *it;
	p->it.path = copy_span(b, it->path);
	p->it.user = copy_span(b, it->user);
	p->it.group = copy_span(b, it->group);
	p->it.source = copy_span(b, it->source);
	p->it.acl_access = copy_span(b, it->acl_access);
	p->it.acl_default = copy_span(b, it->acl_default);
	p->it.acl_nfs4 = copy_span(b, it->acl_nfs4);
	p->it.acl_extended = copy_span(b, it->acl_extended);
	p->it.chunks = NULL;
	p->it.chunk_count = 0;
	if (it->xattr_count == 0)
		return 0;
	p->xattrs = calloc(it->xattr_count, sizeof(*p->xattrs));
	if (!p->xattrs)
		return -ENOMEM;
	for (size_t i = 0; i < it->xattr_count; i++) {
		p->xattrs[i].name = copy_span(b, it->xattrs[i].name);
		p->xattrs[i].value = copy_span(b, it->xattrs[i].value);
	}
	p->it.xattrs = p->xattrs;
	return 0;
}

int archive_writer_item(struct archive_writer *w, const struct item *it, bool has_content,
			void *cookie, struct err *e)
{
	struct pending *p;
	int rc = open_item(w, e);

	if (rc < 0) {
		free(cookie);
		return rc;
	}
	p = w->open;
	p->cookie = cookie;
	if (copy_item(p, it) < 0)
		return err_nomem(e, "item");
	p->has_content = has_content;
	p->complete = true;
	w->open = NULL;
	return drain_if_due(w, e);
}

int archive_writer_flush(struct archive_writer *w, struct err *e)
{
	/* Twice: writing the last items gives the stream's last chunks. */
	for (int turn = 0; turn < 2; turn++) {
		int rc = put_count(w->put) > w->next_result
				 ? put_wait(w->put, put_count(w->put) - 1, e)
				 : 0;

		if (rc == 0)
			rc = drain(w, e);
		if (rc == 0 && turn == 0)
			rc = cut_stream(w, true, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int archive_writer_stored_chunk(struct archive_writer *w, struct bytes data,
				struct item_chunk *out, struct err *e)
{
	struct put_result r;
	uint64_t number = put_count(w->put);
	int rc = put_bytes(w->put, data, e);

	if (rc == 0)
		rc = put_wait(w->put, number, e);
	while (rc == 0 && w->next_result < number)
		rc = take_result(w, e);
	if (rc < 0)
		return rc;
	w->next_result = number + 1;
	put_result(w->put, number, &r);
	put_forget(w->put, number + 1);
	w->stats.new_csize += r.is_new ? r.csize : 0;
	*out = (struct item_chunk){ r.id, r.size, r.csize };
	return 0;
}

/* The archive object goes through the pipeline like any chunk; an equal one is not stored twice. */
static int store_object(struct archive_writer *w, struct bytes plain, struct chunk_id *id,
			struct err *e)
{
	struct item_chunk chunk;
	int rc = archive_writer_stored_chunk(w, plain, &chunk, e);

	if (rc < 0)
		return rc;
	w->stats.size += chunk.size;
	w->stats.csize += chunk.csize;
	*id = chunk.id;
	return add_refs(w, &chunk, 1, e);
}

/* --- ranges that are kept --- */

int archive_writer_cut(struct archive_writer *w, size_t *count, struct err *e)
{
	int rc = drain(w, e);

	assert(rc < 0 || !w->first);
	if (rc == 0)
		rc = cut_stream(w, true, e);
	*count = w->stored_count + (w->stream_count - w->stream_first);
	return rc;
}

static void add_totals(struct archive_totals *sum, const struct archive_totals *t)
{
	sum->size += t->size;
	sum->csize += t->csize;
	sum->nfiles += t->nfiles;
	sum->size_parts += t->size_parts;
	sum->csize_parts += t->csize_parts;
	sum->nfiles_parts += t->nfiles_parts;
}

int archive_writer_keep(struct archive_writer *w, const struct item_chunk *chunks, size_t count,
			const struct archive_totals *totals, struct err *e)
{
	int rc = 0;

	assert(w->stream.len == 0);
	if (w->stream_first < w->stream_count) {
		rc = put_wait(w->put, w->stream_numbers[w->stream_count - 1], e);
		if (rc == 0)
			rc = drain(w, e);
	}
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = note_stored(w, &chunks[i], e);
	add_totals(&w->totals, totals);
	return rc;
}

const struct item_chunk *archive_writer_stream(const struct archive_writer *w, size_t *count)
{
	*count = w->stored_count;
	return w->stored;
}

struct archive_totals archive_writer_totals(const struct archive_writer *w)
{
	return w->totals;
}

/* --- the end --- */

static int list_stored(const struct archive_writer *w, struct chunk_id **out, struct err *e)
{
	*out = calloc(w->stored_count + 1, sizeof(**out));
	if (!*out)
		return err_nomem(e, "archive");
	for (size_t i = 0; i < w->stored_count; i++)
		(*out)[i] = w->stored[i].id;
	return 0;
}

int archive_writer_save(struct archive_writer *w, struct archive_facts *facts,
			struct chunk_id *id, struct err *e)
{
	CLEANUP(buf_fini) struct buf plain = BUF_INIT;
	CLEANUP(cleanup_freep) struct chunk_id *items = NULL;
	int rc = archive_writer_flush(w, e);

	if (rc == 0)
		rc = list_stored(w, &items, e);
	if (rc < 0)
		return rc;
	facts->items = items;
	facts->item_count = w->stored_count;
	facts->totals = w->totals;
	if (w->options.refs)
		chunk_refs_content(w->options.refs,
				   &(struct chunk_content){ w->totals.size, w->totals.csize,
							    w->totals.nfiles });
	rc = archive_pack(facts, w->key, &plain, e);
	facts->items = NULL;
	return rc < 0 ? rc : store_object(w, buf_bytes(&plain), id, e);
}

int archive_writer_part(struct archive_writer *w, const struct item *part, size_t *from,
			struct err *e)
{
	struct pending p = { .it = *part, .has_content = true };
	int rc = archive_writer_flush(w, e);

	if (rc < 0 || !w->open || *from >= w->open->have)
		return rc;
	p.chunks = w->open->chunks + *from;
	p.have = w->open->have - *from;
	*from = w->open->have;
	return write_item(w, &p, e);
}

struct chunk_refs *archive_writer_take_refs(struct archive_writer *w)
{
	return TAKE(w->options.refs);
}

void archive_writer_new_refs(struct archive_writer *w, struct chunk_refs *refs)
{
	chunk_refs_free(w->options.refs);
	w->options.refs = refs;
}

void archive_writer_stats(const struct archive_writer *w, struct archive_stats *out)
{
	*out = w->stats;
}
