/* usage.c - see usage.h. */

#include "core/archive/usage.h"

#include "core/archive/item_stream.h"
#include "core/base/cleanup.h"
#include "core/store/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { WINDOW = 16 << 20 /* bytes of item stream decoded ahead */ };

void usage_init(struct usage *u)
{
	table_init(&u->chunks, CHUNK_ID_SIZE, sizeof(struct usage_chunk));
}

void usage_fini(struct usage *u)
{
	table_fini(&u->chunks);
}

static int add(struct usage *u, const struct chunk_id *id, size_t size, size_t csize)
{
	struct usage_chunk *chunk = table_put(&u->chunks, id->b, NULL);

	if (!chunk)
		return -ENOMEM;
	chunk->refs++;
	chunk->size = (uint32_t)size;
	if (csize)
		chunk->csize = (uint32_t)csize;
	return 0;
}

/* --- metadata: sizes come from the objects themselves --- */

struct metadata {
	struct usage *usage;
	const struct chunk_id *ids;
	struct err *e;
};

static int note_stored_size(void *arg, size_t index, int rc, struct bytes object,
			    const struct err *why)
{
	struct metadata *m = arg;
	struct usage_chunk *chunk;

	if (rc < 0) {
		if (m->e)
			*m->e = *why;
		return rc;
	}
	chunk = table_get(&m->usage->chunks, m->ids[index].b);
	if (chunk)
		chunk->csize = (uint32_t)object.len;
	return 0;
}

static int add_pulled(struct usage *u, struct stream *s, const struct chunk_id *id,
		      struct err *e)
{
	CLEANUP(chunk_unrefp) struct chunk *chunk = NULL;
	int rc = stream_pull(s, &chunk, e);

	if (rc < 0)
		return rc;
	return add(u, id, chunk->len, 0) < 0 ? err_nomem(e, "chunk usage") : 0;
}

static int add_stream_chunks(struct usage *u, struct reader *r, const struct archive *a,
			     struct err *e)
{
	CLEANUP(stream_closep) struct stream *s = NULL;
	size_t pushed = 0;
	int rc = stream_open(&s, r->repo, r->key, 0, WINDOW, e);

	if (rc < 0)
		return rc;
	for (size_t pulled = 0; pulled < a->item_chunk_count; pulled++) {
		for (; pushed < a->item_chunk_count; pushed++) {
			struct chunk_want want = { .id = a->items[pushed] };

			if (!stream_push(s, &want))
				break;
		}
		rc = add_pulled(u, s, &a->items[pulled], e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int add_metadata(struct usage *u, struct reader *r, const struct archive *a,
			struct err *e)
{
	struct metadata own = { u, &a->id, e }, items = { u, a->items, e };
	int rc = add(u, &a->id, a->packed_size, 0) < 0 ? err_nomem(e, "chunk usage") : 0;

	if (rc == 0)
		rc = add_stream_chunks(u, r, a, e);
	if (rc == 0)
		rc = repo_get_many(r->repo, &a->id, 1, note_stored_size, &own, e);
	if (rc == 0 && a->item_chunk_count)
		rc = repo_get_many(r->repo, a->items, a->item_chunk_count, note_stored_size,
				   &items, e);
	return rc;
}

/* --- items --- */

static int add_item(struct usage *u, const struct item *it, struct usage_content *content)
{
	bool counts = (it->has & ITEM_CHUNKS) && !(it->has & ITEM_PART);

	for (size_t i = 0; i < it->chunk_count; i++) {
		const struct item_chunk *c = &it->chunks[i];

		if (u && add(u, &c->id, c->size, c->csize) < 0)
			return -ENOMEM;
		if (counts)
			content->csize += c->csize;
	}
	if (counts) {
		content->nfiles++;
		content->size += it->size;
	}
	return 0;
}

/* Counts into u where it is not NULL. */
static int walk_items(struct usage *u, struct reader *r, const struct archive *a,
		      struct usage_content *content, const struct usage_watch *watch,
		      struct err *e)
{
	static const struct item_reader_options options = { .robust = false };
	CLEANUP(item_reader_closep) struct item_reader *items = NULL;
	struct item it;
	size_t told = 0;
	int rc = item_reader_open(&items, r, a, &options, e);

	while (rc >= 0 && (rc = item_reader_next(items, &it, e)) > 0) {
		if (add_item(u, &it, content) < 0)
			return err_nomem(e, "chunk usage");
		for (; watch && told < item_reader_chunks(items); told++)
			watch->chunk(watch->arg, told);
	}
	return rc;
}

int usage_add(struct usage *u, struct reader *r, const struct archive *a,
	      struct usage_content *content, const struct usage_watch *watch, struct err *e)
{
	struct usage_content counted = { 0 };
	int rc = add_metadata(u, r, a, e);

	if (rc == 0)
		rc = walk_items(u, r, a, &counted, watch, e);
	if (content)
		*content = counted;
	return rc;
}

int usage_of_archive(struct reader *r, const struct archive *a, struct usage_content *out,
		     struct err *e)
{
	*out = (struct usage_content){ a->size, a->csize, a->nfiles };
	if (a->has_totals)
		return 0;
	*out = (struct usage_content){ 0 };
	return walk_items(NULL, r, a, out, NULL, e);
}

/* --- results --- */

int usage_complete(struct usage *u, struct repo *repo, struct err *e)
{
	CLEANUP(cleanup_freep) struct chunk_id *ids = NULL;
	struct metadata unknown = { u, NULL, e };
	size_t cursor = 0, count = 0;
	const void *key;
	void *value;

	while (table_next(&u->chunks, &cursor, &key, &value))
		count += ((struct usage_chunk *)value)->csize == 0;
	if (!count)
		return 0;
	ids = calloc(count, sizeof(*ids));
	if (!ids)
		return err_nomem(e, "chunk usage");
	count = cursor = 0;
	while (table_next(&u->chunks, &cursor, &key, &value))
		if (((struct usage_chunk *)value)->csize == 0)
			memcpy(ids[count++].b, key, CHUNK_ID_SIZE);
	unknown.ids = ids;
	return repo_get_many(repo, ids, count, note_stored_size, &unknown, e);
}

const struct usage_chunk *usage_get(const struct usage *u, const struct chunk_id *id)
{
	return table_get(&u->chunks, id->b);
}

static void count(const struct usage_chunk *c, struct usage_totals *out)
{
	out->unique_chunks++;
	out->unique_size += c->size;
	out->unique_csize += c->csize;
	out->chunks += c->refs;
	out->size += c->refs * c->size;
	out->csize += c->refs * c->csize;
}

void usage_totals(const struct usage *u, struct usage_totals *out)
{
	size_t cursor = 0;
	const void *key;
	void *value;

	*out = (struct usage_totals){ 0 };
	while (table_next(&u->chunks, &cursor, &key, &value))
		count(value, out);
}

void usage_only_in(const struct usage *part, const struct usage *all, struct usage_totals *out)
{
	size_t cursor = 0;
	const void *key;
	void *value;

	*out = (struct usage_totals){ 0 };
	while (table_next(&part->chunks, &cursor, &key, &value)) {
		const struct usage_chunk *mine = value, *total = table_get(&all->chunks, key);

		if (total && total->refs == mine->refs)
			count(total, out);
	}
}
