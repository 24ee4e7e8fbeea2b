/*
 * check_objects.c - every object of a repository, decoded on all cores in the order in which they
 * lie on disk: to verify them, or to find the archives among them.
 */

#include "core/archive/check_internal.h"

#include "core/archive/item_scan.h"
#include "core/base/sorter.h"
#include "core/platform/dirs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	SORT_MEMORY = 32 << 20, /* bytes */
	UNDER_WAY = 4096,       /* objects asked for and not seen yet */
	PLACE = 8,              /* bytes of a sort key */
	PROGRESS_EVERY = 64,    /* objects */
	EXPANSION = 4,          /* what compressed content may well expand to ... */
	CHUNK_USUAL = 8 << 20,  /* ... and the longest chunk, unless somebody wants others */
};

/* What is done with each object: its plaintext, or (rc < 0) why there is none. */
typedef int object_fn(void *arg, const struct chunk_id *id, int rc, struct chunk *plain,
		      const struct err *why, struct err *e);

struct walk {
	struct check *c;
	struct sorter *order;
	bool has_next, has_want;
	uint64_t next_place;
	struct chunk_id next;
	struct chunk_want want;         /* what is asked for next */
	struct chunk_id ids[UNDER_WAY]; /* of those asked for, around */
	size_t asked, seen;
};

/* --- in which order --- */

static int add_all(struct walk *w, struct err *e)
{
	size_t cursor = 0;
	const void *id;
	void *state;

	while (table_next(&w->c->objects, &cursor, &id, &state)) {
		uint8_t key[PLACE], *value;
		int rc;

		put_be64(key, repo_place(w->c->repo, id));
		rc = sorter_add(w->order, key, CHUNK_ID_SIZE, &value, e);
		if (rc < 0)
			return rc;
		memcpy(value, id, CHUNK_ID_SIZE);
	}
	return 0;
}

static int sort_objects(struct walk *w, struct err *e)
{
	CLEANUP(cleanup_freep) char *dir = NULL;
	int rc;

	if (dirs_cache(&repo_config(w->c->repo)->id, &dir, NULL) < 0)
		dir = strdup("/var/tmp");
	if (!dir)
		return err_nomem(e, "objects");
	rc = sorter_new(&w->order, dir, PLACE, SORT_MEMORY, e);
	if (rc == 0)
		rc = add_all(w, e);
	return rc < 0 ? rc : sorter_rewind(w->order, e);
}

static int read_next(struct walk *w, struct err *e)
{
	const uint8_t *key;
	struct bytes value;
	int rc = sorter_next(w->order, &key, &value, e);

	w->has_next = rc == 1;
	if (rc <= 0)
		return rc;
	w->next_place = get_be64(key);
	memcpy(w->next.b, value.p, CHUNK_ID_SIZE);
	return 0;
}

/* The plaintext's size, for which it is better to guess too much: decompression begins again where
 * the room is too small. */
static uint32_t guess_size(uint64_t stored)
{
	if (stored >= OBJECT_DATA_MAX)
		return 0;
	if (stored * EXPANSION < CHUNK_USUAL)
		return (uint32_t)stored * EXPANSION;
	return (uint32_t)(stored < CHUNK_USUAL ? CHUNK_USUAL : stored);
}

/* What lies between two in one segment is at least the first's stored size. */
static int next_want(struct walk *w, struct err *e)
{
	uint64_t place = w->next_place;
	int rc;

	w->has_want = w->has_next;
	w->want = (struct chunk_want){ .id = w->next };
	rc = w->has_next ? read_next(w, e) : 0;
	if (w->has_next && place >> 32 == w->next_place >> 32)
		w->want.size = guess_size(w->next_place - place);
	return rc;
}

static int ask_ahead(struct walk *w, struct err *e)
{
	int rc = 0;

	while (rc == 0 && w->has_want && w->asked - w->seen < UNDER_WAY &&
	       stream_push(w->c->stream, &w->want)) {
		w->ids[w->asked++ % UNDER_WAY] = w->want.id;
		rc = next_want(w, e);
	}
	return rc;
}

static int see_one(struct walk *w, object_fn *fn, void *arg, struct err *e)
{
	CLEANUP(chunk_unrefp) struct chunk *plain = NULL;
	const struct chunk_id *id = &w->ids[w->seen++ % UNDER_WAY];
	struct err why = ERR_INIT;
	int rc = stream_pull(w->c->stream, &plain, &why);

	if (rc == -ENOMEM)
		return err_nomem(e, "objects");
	return fn(arg, id, rc, plain, &why, e);
}

static int see_all(struct walk *w, enum archive_check_step step, object_fn *fn, void *arg,
		   struct err *e)
{
	size_t total = w->c->objects.count;
	int rc = read_next(w, e);

	if (rc == 0)
		rc = next_want(w, e);
	while (rc == 0 && (w->has_want || w->seen < w->asked)) {
		rc = ask_ahead(w, e);
		if (rc == 0)
			rc = see_one(w, fn, arg, e);
		if (w->seen % PROGRESS_EVERY == 0 && w->seen < total)
			check_progress(w->c, step, w->seen, total);
	}
	check_progress(w->c, step, total, total);
	return rc;
}

static int walk_objects(struct check *c, enum archive_check_step step, object_fn *fn, void *arg,
			struct err *e)
{
	struct walk *w = calloc(1, sizeof(*w));
	int rc;

	if (!w)
		return err_nomem(e, "objects");
	w->c = c;
	rc = sort_objects(w, e);
	if (rc == 0)
		rc = see_all(w, step, fn, arg, e);
	sorter_free(w->order);
	free(w);
	return rc;
}

/* --- verifying --- */

struct verification {
	struct check *c;
	size_t seen, errors;
	struct chunk_id *defects;
	size_t count, cap;
};

/* The sentence without the chunk's name in front, where it says only that. */
static const char *bare(const struct err *why, const struct chunk_id *id)
{
	char hex[CHUNK_ID_HEX], prefix[16 + CHUNK_ID_HEX];
	int len = snprintf(prefix, sizeof(prefix), "chunk %s: ", id_hex(id, hex));

	return strncmp(why->msg, prefix, (size_t)len) == 0 ? why->msg + len : why->msg;
}

enum verdict { OBJECT_GOOD, OBJECT_NOT_DELIVERED, OBJECT_FORGED };

/* Once more from the disk, step by step. */
static enum verdict look_again(struct check *c, const struct chunk_id *id, struct err *why)
{
	CLEANUP(buf_fini) struct buf object = BUF_INIT;
	CLEANUP(buf_fini) struct buf plain = BUF_INIT;

	if (repo_get(c->repo, id, REPO_GET_FRESH, &object, why) < 0)
		return OBJECT_NOT_DELIVERED;
	if (object_unseal(c->unsealer, id, buf_bytes(&object), 0, &plain, why) < 0)
		return OBJECT_FORGED;
	return OBJECT_GOOD;
}

static int add_defect(struct verification *v, const struct chunk_id *id, struct err *e)
{
	if (v->count == v->cap) {
		size_t cap = v->cap ? 2 * v->cap : 64;
		struct chunk_id *p = realloc(v->defects, cap * sizeof(*p));

		if (!p)
			return err_nomem(e, "chunks");
		v->defects = p;
		v->cap = cap;
	}
	v->defects[v->count++] = *id;
	return 0;
}

static int verify_one(void *arg, const struct chunk_id *id, int rc, struct chunk *plain,
		      const struct err *why, struct err *e)
{
	struct verification *v = arg;
	struct err again = *why;
	enum verdict verdict;
	char hex[CHUNK_ID_HEX];

	(void)plain;
	v->seen++;
	if (rc == 0)
		return 0;
	v->errors++;
	verdict = look_again(v->c, id, &again);
	if (verdict == OBJECT_NOT_DELIVERED)
		report(v->c, "chunk %s: %s", id_hex(id, hex), bare(&again, id));
	else
		report(v->c, "chunk %s, integrity error: %s", id_hex(id, hex),
		       bare(&again, id));
	return again.code == ENOENT ? 0 : add_defect(v, id, e);
}

static int delete_defects(struct verification *v, struct err *e)
{
	log_warning(CHECK_LOGGER, "Found defect chunks. They will be deleted now, so affected "
				  "files can get repaired now and maybe healed later.");
	for (size_t i = 0; i < v->count; i++) {
		const struct chunk_id *id = &v->defects[i];
		struct err why = ERR_INIT;
		char hex[CHUNK_ID_HEX];
		int rc;

		id_hex(id, hex);
		if (look_again(v->c, id, &why) == OBJECT_GOOD) {
			log_warning(CHECK_LOGGER,
				    "chunk %s not deleted, did not consistently fail.", hex);
			continue;
		}
		rc = repo_delete(v->c->repo, id, e);
		if (rc < 0)
			return rc;
		table_remove(&v->c->objects, id);
		log_debug(CHECK_LOGGER, "chunk %s deleted.", hex);
	}
	return 0;
}

static int settle_defects(struct verification *v, struct err *e)
{
	if (v->count == 0)
		return 0;
	if (v->c->options->repair)
		return delete_defects(v, e);
	log_warning(CHECK_LOGGER, "Found defect chunks. With --repair, they would get deleted, "
				  "so affected files could get repaired then and maybe healed "
				  "later.");
	return 0;
}

int check_verify_data(struct check *c, struct err *e)
{
	struct verification v = { .c = c };
	int rc;

	log_info(CHECK_LOGGER, "Starting cryptographic data integrity verification...");
	rc = walk_objects(c, CHECK_VERIFY_DATA, verify_one, &v, e);
	if (rc == 0)
		rc = settle_defects(&v, e);
	free(v.defects);
	if (rc == 0)
		log_message(v.errors ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, CHECK_LOGGER, NULL,
			    "Finished cryptographic data integrity verification, verified %zu "
			    "chunks with %zu integrity errors.",
			    v.seen, v.errors);
	return rc;
}

/* --- a lost manifest --- */

static bool contains(const struct chunk *plain, const char *what)
{
	return memmem(plain->p, plain->len, what, strlen(what)) != NULL;
}

/* Before anything is taken apart: most objects are content. */
static bool may_be_archive(const struct chunk *plain)
{
	static const char *const names[] = {
		"version",
		"name",
		"items",
		"cmdline",
		"hostname",
		"username",
		"time",
		"time_end",
		"comment",
		"chunker_params",
		"recreate_cmdline",
		"recreate_source_id",
		"recreate_args",
		"recreate_partial_chunks",
		"size",
		"csize",
		"nfiles",
		"size_parts",
		"csize_parts",
		"nfiles_parts",
	};
	enum { COUNT = sizeof(names) / sizeof(names[0]) };
	struct bytes keys[COUNT];

	for (size_t i = 0; i < COUNT; i++)
		keys[i] = bytes_str(names[i]);
	return item_scan_begins((struct bytes){ plain->p, plain->len }, keys, COUNT) &&
	       contains(plain, "cmdline") && contains(plain, "\xa7version\x01");
}

/* A name that no other archive has yet; on the heap, NULL when out of memory. */
static char *free_name(const struct check *c, struct bytes name)
{
	char *out = bytes_dup(name);

	for (unsigned i = 1; out && manifest_draft_find(c->draft, bytes_str(out)); i++) {
		free(out);
		if (asprintf(&out, "%.*s.%u", (int)name.len, (const char *)name.p, i) < 0)
			return NULL;
	}
	return out;
}

static int add_archive(struct check *c, const struct archive *a, struct err *e)
{
	CLEANUP(cleanup_freep) char *name = free_name(c, a->name);

	if (!name)
		return err_nomem(e, "manifest");
	log_info(CHECK_LOGGER, "Found archive %.*s", (int)a->name.len, (const char *)a->name.p);
	if (a->tam != TAM_VALID && c->key->tam_required)
		log_warning(CHECK_LOGGER,
			    "Archive %.*s is not authenticated: made by Borg before 1.0.9, or "
			    "by somebody else.",
			    (int)a->name.len, (const char *)a->name.p);
	if (!bytes_is(a->name, name))
		log_warning(CHECK_LOGGER, "Duplicate archive name %.*s, storing as %s",
			    (int)a->name.len, (const char *)a->name.p, name);
	return manifest_draft_set(c->draft, bytes_str(name), &a->id, a->time_text, e);
}

static int look_for_archive(void *arg, const struct chunk_id *id, int rc, struct chunk *plain,
			    const struct err *why, struct err *e)
{
	CLEANUP(archive_freep) struct archive *a = NULL;
	struct err tam = ERR_INIT;
	struct check *c = arg;

	if (rc < 0) {
		report(c, "Skipping corrupted chunk: %s", why->msg);
		return 0;
	}
	if (!may_be_archive(plain) || archive_parse(&a, id, plain, NULL) < 0)
		return 0;
	if (archive_check_tam(a, c->key, &tam) < 0) {
		report(c, "Archive TAM authentication issue for archive %.*s: %s",
		       (int)a->name.len, (const char *)a->name.p, tam.msg);
		report(c, "This archive will *not* be added to the rebuilt manifest! It will "
			  "be deleted.");
		return 0;
	}
	return add_archive(c, a, e);
}

int check_rebuild_manifest(struct check *c, struct err *e)
{
	int rc = manifest_empty(&c->manifest, e);

	log_info(CHECK_LOGGER, "Rebuilding missing manifest, this might take some time...");
	if (rc == 0)
		rc = manifest_draft_new(&c->draft, NULL, e);
	if (rc == 0)
		rc = walk_objects(c, CHECK_REBUILD_MANIFEST, look_for_archive, c, e);
	if (rc == 0)
		log_info(CHECK_LOGGER, "Manifest rebuild complete.");
	return rc;
}
