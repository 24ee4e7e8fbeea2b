/* references.c - see references.h. */

#include "core/archive/references.h"

#include "core/archive/item_stream.h"
#include "core/base/io.h"
#include "core/base/log.h"

#include <errno.h>
#include <stdlib.h>

enum { ATTEMPTS = 4 /* others may take the index elsewhere between our two steps */ };

static const char logger[] = "borg.cache";

/* --- metadata: stored sizes come from the objects --- */

struct stored {
	uint32_t *csize;
	struct err *e;
};

static int note_stored(void *arg, size_t index, int rc, struct bytes object,
		       const struct err *why)
{
	struct stored *s = arg;

	if (rc < 0 && s->e)
		*s->e = *why;
	s->csize[index] = (uint32_t)object.len;
	return rc;
}

static int add_object(struct reader *r, const struct archive *a, struct chunk_refs *refs,
		      struct err *e)
{
	uint32_t csize = 0;
	struct stored stored = { &csize, e };
	int rc = repo_get_many(r->repo, &a->id, 1, note_stored, &stored, e);

	return rc < 0 ? rc : chunk_refs_add(refs, &a->id, (uint32_t)a->packed_size, csize, e);
}

static int add_stream_chunk(struct reader *r, const struct chunk_id *id, uint32_t csize,
			    struct chunk_refs *refs, struct err *e)
{
	struct chunk_want want = { .id = *id };
	struct chunk *chunk = NULL;
	int rc = fetch_chunk(r->fetch, &want, &chunk, e);

	if (rc == 0)
		rc = chunk_refs_add(refs, id, (uint32_t)chunk->len, csize, e);
	chunk_unref(chunk);
	return rc;
}

static int add_stream(struct reader *r, const struct archive *a, struct chunk_refs *refs,
		      struct err *e)
{
	CLEANUP(cleanup_freep)
	uint32_t *csize = calloc(a->item_chunk_count + 1, sizeof(*csize));
	struct stored stored = { csize, e };
	int rc;

	if (!csize)
		return err_nomem(e, "references");
	if (a->item_chunk_count == 0)
		return 0;
	rc = repo_get_many(r->repo, a->items, a->item_chunk_count, note_stored, &stored, e);
	for (size_t i = 0; rc == 0 && i < a->item_chunk_count; i++)
		rc = add_stream_chunk(r, &a->items[i], csize[i], refs, e);
	return rc;
}

/* --- items --- */

static int add_item(struct chunk_refs *refs, const struct item *it,
		    struct chunk_content *content, struct err *e)
{
	bool counts = (it->has & ITEM_CHUNKS) && !(it->has & ITEM_PART);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < it->chunk_count; i++) {
		const struct item_chunk *c = &it->chunks[i];

		rc = chunk_refs_add(refs, &c->id, c->size, c->csize, e);
		content->csize += counts ? c->csize : 0;
	}
	content->size += counts ? it->size : 0;
	content->nfiles += counts;
	return rc;
}

static int add_items(struct reader *r, const struct archive *a, struct chunk_refs *refs,
		     struct chunk_content *content, struct err *e)
{
	static const struct item_reader_options options = { .robust = false };
	CLEANUP(item_reader_closep) struct item_reader *items = NULL;
	struct item it;
	int rc = item_reader_open(&items, r, a, &options, e);

	while (rc >= 0 && (rc = item_reader_next(items, &it, e)) == 1)
		rc = add_item(refs, &it, content, e);
	return rc;
}

int references_read(struct reader *r, const struct archive *a, struct chunk_refs *refs,
		    struct err *e)
{
	struct chunk_content content = { 0 };
	int rc = add_object(r, a, refs, e);

	if (rc == 0)
		rc = add_items(r, a, refs, &content, e);
	if (rc == 0)
		rc = add_stream(r, a, refs, e);
	if (a->has_totals)
		content = (struct chunk_content){ a->size, a->csize, a->nfiles };
	chunk_refs_content(refs, &content);
	return rc;
}

/* --- all of a manifest --- */

int references_temporary(char **out, struct err *e)
{
	CLEANUP(cleanup_freep) char *dir = strdup("/var/tmp/alcove.XXXXXX");

	if (!dir)
		return err_nomem(e, "chunk index");
	if (!mkdtemp(dir))
		return err_set(e, errno, "no folder for the chunk index: %s", strerror(errno));
	*out = TAKE(dir);
	return 0;
}

int references_sync(struct chunk_index *x, const struct manifest *m, chunk_index_read *read,
		    void *arg, struct err *e)
{
	CLEANUP(cleanup_freep) struct chunk_id *ids = calloc(m->count + 1, sizeof(*ids));

	if (!ids)
		return err_nomem(e, "chunk index");
	for (size_t i = 0; i < m->count; i++)
		ids[i] = m->entries[i].id;
	return chunk_index_sync(x, &m->hash, ids, m->count, read, arg, e);
}

struct references {
	struct reader *reader;
	const struct manifest *manifest; /* lent while it is being opened */
	struct chunk_index *index;
	char *temporary; /* its folder, where it is not the cache's; or NULL */
	bool unreadable; /* an archive is, so no other index would help */
};

static int read_archive(void *arg, const struct chunk_id *id, struct chunk_refs *out,
			struct err *e)
{
	struct references *refs = arg;
	const struct manifest *m = refs->manifest;
	CLEANUP(archive_freep) struct archive *a = NULL;
	int rc = archive_load(&a, refs->reader, id, e);

	if (rc == 0)
		rc = references_read(refs->reader, a, out, e);
	if (rc == 0)
		return 0;
	refs->unreadable = true;
	for (size_t i = 0; i < m->count; i++)
		if (id_equal(&m->entries[i].id, id))
			return err_wrap(e, rc, "archive %.*s", (int)m->entries[i].name.len,
					(const char *)m->entries[i].name.p);
	return rc;
}

/* -EAGAIN: others are quicker. */
static int bring_to(struct references *refs, struct err *e)
{
	const struct manifest *m = refs->manifest;

	for (int i = 0; i < ATTEMPTS; i++) {
		int rc = chunk_index_look(refs->index, &m->hash, e);

		if (rc)
			return rc < 0 ? rc : 0;
		rc = references_sync(refs->index, m, read_archive, refs, e);
		if (rc < 0)
			return rc;
	}
	return chunk_index_look(refs->index, &m->hash, e) == 1
		       ? 0
		       : err_set(e, EAGAIN, "chunk index: others are changing it");
}

static int open_in(struct references *refs, const char *dir, struct err *e)
{
	int rc = 0;

	/* A damaged index is gone after it was found out. */
	for (int turn = 0; turn < 2; turn++) {
		chunk_index_close(refs->index);
		refs->index = NULL;
		rc = chunk_index_open(&refs->index, dir, e);
		if (rc == 0)
			rc = bring_to(refs, e);
		if (rc != -EBADMSG || refs->unreadable)
			break;
	}
	return rc;
}

int references_open(struct references **out, struct reader *r, const struct manifest *m,
		    struct err *e)
{
	CLEANUP(references_closep) struct references *refs = calloc(1, sizeof(*refs));
	struct err why = ERR_INIT;
	int rc = -ENOENT;

	if (!refs)
		return err_nomem(e, "chunk index");
	refs->reader = r;
	refs->manifest = m;
	if (r->cache_dir)
		rc = open_in(refs, r->cache_dir, &why);
	if (rc < 0 && refs->unreadable) {
		if (e)
			*e = why;
		return rc;
	}
	if (rc < 0) {
		log_debug(logger, "chunk index for this run only: %s", why.msg);
		rc = references_temporary(&refs->temporary, e);
		if (rc == 0)
			rc = open_in(refs, refs->temporary, e);
	}
	if (rc < 0)
		return rc;
	*out = TAKE(refs);
	return 0;
}

void references_close(struct references *refs)
{
	if (!refs)
		return;
	chunk_index_close(refs->index);
	if (refs->temporary)
		(void)remove_tree(refs->temporary, NULL);
	free(refs->temporary);
	free(refs);
}

struct chunk_index *references_index(struct references *refs)
{
	return refs->index;
}
