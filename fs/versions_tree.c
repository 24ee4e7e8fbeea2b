/*
 * versions_tree.c - see versions_tree.h.
 *
 * Items are filtered here and not by the tree's builder: a version's number is taken only by
 * what is shown.
 */

#include "fs/versions_tree.h"

#include "core/archive/item_stream.h"
#include "core/archive/tree_builder.h"
#include "core/base/arena.h"
#include "core/base/log.h"
#include "core/base/table.h"
#include "fs/versions.h"

#include <errno.h>
#include <sodium.h>
#include <sys/stat.h>

static const char logger[] = "borg.fuse";

struct path_hash {
	uint8_t b[16];
};

/* A hard-link master that is not shown: what links to it need. */
struct hidden {
	uint32_t has;
	struct item_chunk *chunks;
	size_t chunk_count;
	uint64_t chunks_size;
	struct bytes shown; /* path of the first link shown; empty: none yet */
};

struct merge {
	const struct tree_options *options;
	struct versions *names;
	struct tree_builder *builder;
	struct table hidden; /* struct path_hash -> struct hidden *, of one archive */
	struct arena arena;  /* of one archive */
	bool damaged;
};

static void merge_fini(struct merge *m)
{
	versions_free(m->names);
	tree_builder_free(m->builder);
	table_fini(&m->hidden);
	arena_fini(&m->arena);
}

static struct path_hash hash_of(struct bytes path)
{
	struct path_hash h;

	crypto_generichash(h.b, sizeof(h.b), path.p, path.len, NULL, 0);
	return h;
}

static struct bytes keep(struct arena *a, struct bytes b)
{
	return (struct bytes){ (uint8_t *)arena_dup(a, b), b.len };
}

static int hide_master(struct merge *m, const struct item *it)
{
	struct path_hash key = hash_of(it->path);
	struct hidden **at = table_put(&m->hidden, &key, NULL);
	struct hidden *h = arena_zalloc(&m->arena, 1, sizeof(*h));

	if (!at || !h)
		return -ENOMEM;
	*at = h;
	h->has = it->has & (ITEM_CHUNKS | ITEM_CHUNKS_HEALTHY);
	h->chunks_size = it->chunks_size;
	h->chunk_count = it->chunk_count;
	if (it->chunk_count == 0)
		return 0;
	h->chunks = arena_zalloc(&m->arena, it->chunk_count, sizeof(*h->chunks));
	if (!h->chunks)
		return -ENOMEM;
	memcpy(h->chunks, it->chunks, it->chunk_count * sizeof(*h->chunks));
	return 0;
}

/* Where the link's master is hidden, let the first link stand for it; `it` has its path in the
 * view already. */
static int redirect_link(struct merge *m, struct item *it)
{
	struct path_hash key = hash_of(it->source);
	struct hidden *const *at = table_get(&m->hidden, &key);
	struct hidden *h = at ? *at : NULL;

	if (!h) {
		it->source = tree_strip(it->source, m->options->strip_components);
		return 0;
	}
	if (h->shown.len) {
		it->source = h->shown;
		return 0;
	}
	h->shown = keep(&m->arena, it->path);
	it->has = (it->has & ~(uint32_t)ITEM_SOURCE) | h->has;
	it->source = (struct bytes){ 0 };
	it->hardlink_master = true;
	it->chunks = h->chunks;
	it->chunk_count = h->chunk_count;
	it->chunks_size = it->size = h->chunks_size;
	return h->shown.p ? 0 : -ENOMEM;
}

static bool is_master(const struct item *it)
{
	return !S_ISDIR(it->mode) && !S_ISLNK(it->mode) && it->hardlink_master &&
	       !item_is_hardlink_slave(it);
}

static int add_item(struct merge *m, struct item *it, struct err *e)
{
	const struct tree_options *o = m->options;
	struct bytes path = tree_strip(it->path, o->strip_components);
	struct item named;
	int rc = 0;

	if ((it->has & ITEM_PART) && !o->consider_part_files)
		return 0;
	if ((o->matcher && !matcher_match(o->matcher, it->path).included) ||
	    (o->strip_components && path.len == 0)) {
		rc = is_master(it) ? hide_master(m, it) : 0;
		return rc < 0 ? err_nomem(e, "versions view") : 0;
	}
	it->path = path;
	if (item_is_hardlink_slave(it))
		rc = redirect_link(m, it);
	if (rc < 0)
		return err_nomem(e, "versions view");
	rc = versions_map(m->names, it, &named, e);
	return rc == 1 ? tree_builder_add(m->builder, &named, e) : rc;
}

static void report_damage(struct merge *m, const struct item_reader *ir, struct bytes name)
{
	struct err first = ERR_INIT;
	size_t gaps = item_reader_damage(ir, &first);

	if (gaps == 0)
		return;
	m->damaged = true;
	log_warning(logger,
		    "archive %.*s: the listing is incomplete, items are damaged in %zu places "
		    "(%s)",
		    (int)name.len, (const char *)name.p, gaps, first.msg);
}

static int add_archive(struct merge *m, struct reader *r, const struct manifest_entry *entry,
		       struct err *e)
{
	CLEANUP(archive_freep) struct archive *a = NULL;
	CLEANUP(item_reader_closep) struct item_reader *ir = NULL;
	struct item_reader_options options = { .robust = true };
	struct item it;
	int rc = archive_load(&a, r, &entry->id, e);

	versions_next_archive(m->names);
	table_fini(&m->hidden);
	table_init(&m->hidden, sizeof(struct path_hash), sizeof(struct hidden *));
	arena_reset(&m->arena);
	if (rc == 0)
		rc = item_reader_open(&ir, r, a, &options, e);
	if (rc < 0)
		return rc;
	while ((rc = item_reader_next(ir, &it, e)) == 1) {
		rc = tree_stopped(m->options) ? -ECANCELED : add_item(m, &it, e);
		if (rc < 0)
			return rc;
	}
	if (rc == 0)
		report_damage(m, ir, entry->name);
	return rc;
}

static int merge_init(struct merge *m, const struct tree_options *options, int64_t newest_ns,
		      struct err *e)
{
	struct tree_builder_options bo = {
		.made_up_ns = newest_ns,
		.made_up_uid = options->made_up_uid,
		.made_up_gid = options->made_up_gid,
		.consider_part_files = true, /* filtered already */
	};

	m->options = options;
	table_init(&m->hidden, sizeof(struct path_hash), sizeof(struct hidden *));
	m->names = versions_new();
	return m->names ? tree_builder_new(&m->builder, &bo, e) : err_nomem(e, "versions view");
}

int versions_tree(struct tree **out, struct reader *r,
		  const struct manifest_entry *const *archives, size_t count,
		  const struct tree_options *options, struct err *e)
{
	CLEANUP(merge_fini) struct merge m = { .arena = ARENA_INIT };
	int rc = merge_init(&m, options, count ? archives[count - 1]->time_ns : 0, e);
	size_t refused;

	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = add_archive(&m, r, archives[i], e);
	if (rc < 0)
		return rc;
	refused = tree_builder_refused(m.builder);
	if (refused > 0)
		log_warning(logger, "%zu items are left out, no directory can hold their paths",
			    refused);
	return tree_builder_finish(m.builder, m.damaged, out, e);
}

int versions_make(void *source, const _Atomic bool *stop, struct tree **out, struct err *e)
{
	const struct versions_source *s = source;
	struct tree_options options = s->tree;
	CLEANUP(selection_fini) struct selection chosen = { 0 };
	struct manifest *m = reader_manifest(s->reader);
	int rc = select_archives(&chosen, m, &s->select, e);

	options.stop = stop;
	if (rc == 0)
		rc = versions_tree(out, s->reader, chosen.entries, chosen.count, &options, e);
	reader_manifest_unref(s->reader, m);
	return rc;
}
