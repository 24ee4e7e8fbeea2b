/* staging_commit.c - see staging_internal.h: drafts, checkpoints, what is stored and what is deleted. */

#include "fs/staging_internal.h"

#include "core/archive/keep.h"
#include "core/base/log.h"
#include "fs/outline.h"
#include "fs/publish.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char logger[] = "borg.fuse";

/* --- what a commit consists of; under `committing`, the gate closed --- */

struct listing_out {
	struct buf rows; /* of struct listed */
	int rc;
};

static int note_archive(void *arg, struct bytes name, const struct stage_node *node,
			uint64_t cookie)
{
	struct listing_out *out = arg;
	struct listed row = { .node = node->st.st_ino };

	(void)cookie;
	memcpy(row.name, name.p, name.len);
	out->rc = buf_append(&out->rows, &row, sizeof(row));
	return out->rc;
}

struct draft *staging_draft(struct staging *s, uint64_t node)
{
	bool created;
	struct draft *d = table_put(&s->drafts, &node, &created);

	if (d && created)
		d->started_ns = staging_now_ns();
	return d;
}

static void facts_of(struct staging *s, uint64_t archive, const struct draft *d,
		     struct bytes name, struct archive_facts *out)
{
	*out = (struct archive_facts){
		.name = name,
		.hostname = bytes_str(s->hostname),
		.username = bytes_str(s->username),
		.cmdline = s->options.cmdline,
		.cmdline_count = s->options.cmdline_count,
		.time_ns = d->started_ns,
		.time_end_ns = staging_now_ns(),
		.chunker_params = *staging_chunker(s, archive),
	};
}

static void tell_counts(const char *name, struct draft *d, const struct item_counts *counts)
{
	if (counts->sockets > 0 && !d->told_sockets)
		log_warning(logger, "%s: %u socket%s will not be archived", name,
			    counts->sockets, counts->sockets > 1 ? "s" : "");
	d->told_sockets |= counts->sockets > 0;
	if (counts->lost > 0 && !d->told_lost)
		log_error(logger,
			  "%s: %u file%s whose content is lost %s not in its checkpoint", name,
			  counts->lost, counts->lost > 1 ? "s" : "",
			  counts->lost > 1 ? "are" : "is");
	d->told_lost = counts->lost > 0;
}

/* An archive object under way. */
struct storing {
	struct staging *staging;
	const struct listed *row;
	struct draft *draft;
	struct bytes name;
	struct archive_writer *writer;
	struct collector *collector;
	struct item_out out;
	struct chunk_id id; /* once it is saved */
	char time_text[MANIFEST_TIME_TEXT];
};

static void storing_fini(struct storing *st)
{
	item_out_fini(&st->out);
	collector_free(st->collector);
	archive_writer_free(st->writer);
}

/* refs are the writer's from now on, or gone. */
static int begin_storing(struct storing *st, struct chunk_refs *refs,
			 const struct chunker_params *stream, struct err *e)
{
	struct staging *s = st->staging;
	struct archive_writer_options options = { .refs = refs, .stream = stream };
	int rc = archive_writer_new(&st->writer, s->put, s->options.reader->key, &options, e);

	if (rc < 0) {
		chunk_refs_free(refs);
		return rc;
	}
	rc = collector_new(&st->collector, &(struct collect_options){ 0 }, e);
	st->out.stage = s->stage;
	st->out.collector = st->collector;
	st->out.writer = st->writer;
	return rc;
}

static int save(struct storing *st, struct err *e)
{
	CLEANUP(cleanup_freep) char *comment = staging_comment(st->staging, st->row->node);
	struct archive_facts facts;

	if (!comment)
		return err_nomem(e, st->row->name);
	facts_of(st->staging, st->row->node, st->draft, st->name, &facts);
	facts.comment = bytes_str(comment);
	manifest_format_time(facts.time_ns, st->time_text);
	return archive_writer_save(st->writer, &facts, &st->id, e);
}

static int new_refs(struct staging *s, struct chunk_refs **out, struct err *e)
{
	*out = session_refs(s->session);
	return *out ? 0 : err_set(e, EIO, "the chunk index cannot be kept");
}

static int remove_checkpoint(struct staging *s, struct draft *d, struct err *e)
{
	int rc = 0;

	if (d->checkpoint && manifest_draft_find(s->session->draft, bytes_str(d->checkpoint)))
		rc = session_remove_archive(s->session, bytes_str(d->checkpoint), e);
	return rc;
}

/* All of it, under its own name, in place of its checkpoint. */
static int publish_archive(struct storing *st, struct err *e)
{
	struct staging *s = st->staging;
	struct chunk_refs *refs;
	int rc = new_refs(s, &refs, e);

	if (rc == 0)
		rc = begin_storing(st, refs, NULL, e);
	if (rc == 0)
		rc = publish_items(&st->out, st->row->node, e);
	if (rc == 0)
		rc = save(st, e);
	if (rc == 0)
		rc = remove_checkpoint(s, st->draft, e);
	if (rc < 0)
		return rc;
	tell_counts(st->row->name, st->draft, &st->out.counts);
	return session_add_archive(s->session, st->name, &st->id, bytes_str(st->time_text),
				   archive_writer_take_refs(st->writer), e);
}

/* The outline of the checkpoint, if that is what the manifest has. */
static struct outline *usable_outline(const struct staging *s, const struct draft *d)
{
	const struct manifest_entry *entry =
		d->outline && d->checkpoint
			? manifest_draft_find(s->session->draft, bytes_str(d->checkpoint))
			: NULL;

	return entry && id_equal(&entry->id, outline_archive(d->outline)) ? d->outline : NULL;
}

/* What is to be written, with the references that change; without an outline, all. */
static int plan(struct storing *st, struct outline_plan **out, struct chunk_refs **refs,
		struct err *e)
{
	struct staging *s = st->staging;
	struct draft *d = st->draft;
	struct outline *old = usable_outline(s, d);
	int rc = 0;

	for (;;) {
		if (!old)
			outline_free(TAKE(d->outline));
		rc = new_refs(s, refs, e);
		if (rc == 0)
			rc = outline_plan_new(out, s->stage, st->row->node, old, e);
		if (rc < 0 || !old)
			return rc;
		rc = outline_drop(*out, s->options.reader, *refs, e);
		if (rc == 0 || rc == -ENOMEM)
			return rc;
		log_debug(logger, "%s: written as a whole: %s", st->row->name, e ? e->msg : "");
		outline_plan_free(TAKE(*out));
		chunk_refs_free(TAKE(*refs));
		old = NULL;
	}
}

/* In the manifest, for the one that the outline is of or, without one, as another. */
static int enter_checkpoint(struct storing *st, bool replaces, struct err *e)
{
	struct staging *s = st->staging;
	struct chunk_refs *refs = archive_writer_take_refs(st->writer);
	struct bytes old = bytes_str(st->draft->checkpoint ? st->draft->checkpoint : "");
	int rc;

	if (replaces)
		return session_replace_archive(s->session, old, st->name, &st->id,
					       bytes_str(st->time_text), refs, e);
	rc = remove_checkpoint(s, st->draft, e);
	if (rc < 0) {
		chunk_refs_free(refs);
		return rc;
	}
	return session_add_archive(s->session, st->name, &st->id, bytes_str(st->time_text),
				   refs, e);
}

/* What has changed since the last one. */
static int checkpoint_archive(struct storing *st, struct err *e)
{
	CLEANUP(outline_plan_freep) struct outline_plan *p = NULL;
	struct draft *d = st->draft;
	struct outline *next = NULL;
	struct chunk_refs *refs = NULL;
	struct item_counts counts;
	int rc = plan(st, &p, &refs, e);

	if (rc < 0) {
		chunk_refs_free(refs);
		return rc;
	}
	st->out.draft = true;
	rc = begin_storing(st, refs, &OUTLINE_CHUNKER, e);
	if (rc == 0)
		rc = outline_write(p, &st->out, e);
	if (rc == 0)
		rc = save(st, e);
	if (rc == 0)
		rc = outline_complete(p, st->writer, &st->id, &next, e);
	if (rc == 0)
		rc = enter_checkpoint(st, d->outline != NULL, e);
	outline_free(d->outline);
	d->outline = next;
	if (rc < 0)
		return rc;
	counts = outline_counts(next);
	tell_counts(st->row->name, d, &counts);
	return 0;
}

/* Of an archive that was renamed it is another one. */
static int choose_checkpoint(struct staging *s, const char *name, const struct draft *d,
			     char **out, struct err *e)
{
	struct bytes stem = bytes_str(d->checkpoint ? d->checkpoint : "");

	if (!d->checkpoint || !bytes_is(keep_stem(stem), name))
		return manifest_draft_checkpoint(s->session->draft, name, out, e);
	*out = strdup(d->checkpoint);
	return *out ? 0 : err_nomem(e, name);
}

static int commit_checkpoint(struct storing *st, uint64_t changes, struct err *e)
{
	struct staging *s = st->staging;
	struct draft *d = st->draft;
	CLEANUP(cleanup_freep) char *name = NULL;
	int rc = choose_checkpoint(s, st->row->name, d, &name, e);

	if (rc < 0)
		return rc;
	st->name = bytes_str(name);
	if (manifest_draft_find(s->session->draft, st->name) &&
	    staging_touched(s, st->row->node).change <= d->committed)
		return 0; /* as it was */
	rc = checkpoint_archive(st, e);
	if (rc < 0)
		return rc;
	free(d->checkpoint);
	d->checkpoint = TAKE(name);
	d->committed = changes;
	return 0;
}

/* The archive as it is, as its checkpoint or, when `o` says so, under its own name. */
static int commit_archive(struct staging *s, const struct listed *row, uint64_t changes,
			  const struct order *o, struct err *e)
{
	CLEANUP(storing_fini)
	struct storing st = { .staging = s, .row = row, .draft = staging_draft(s, row->node) };

	if (!st.draft)
		return err_nomem(e, row->name);
	st.draft->listed = true;
	if (!o || o->node != row->node)
		return commit_checkpoint(&st, changes, e);
	st.name = o->name;
	return publish_archive(&st, e);
}

int staging_list(struct staging *s, struct buf *out, struct err *e)
{
	struct listing_out list = { .rows = BUF_INIT };
	int rc = stage_list(s->stage, stage_root(s->stage), 0, note_archive, &list);

	*out = list.rows;
	if (rc == 0)
		rc = list.rc;
	return rc < 0 ? err_set(e, -rc, "staged archives") : 0;
}

static int commit_archives(struct staging *s, uint64_t changes, const struct order *o,
			   struct err *e)
{
	CLEANUP(buf_fini) struct buf rows = BUF_INIT;
	int rc = staging_list(s, &rows, e);
	const struct listed *list = (const struct listed *)(const void *)rows.p;

	for (size_t i = 0; rc == 0 && i < rows.len / sizeof(*list); i++)
		rc = commit_archive(s, &list[i], changes, o, e);
	return rc;
}

/* Checkpoints of what was removed from the staging directory. */
static int remove_discarded(struct staging *s, struct err *e)
{
	const uint64_t *node;
	struct draft *d;
	size_t cursor = 0;
	int rc = 0;

	while (rc == 0 && table_next(&s->drafts, &cursor, (const void **)&node, (void **)&d))
		if (!d->listed)
			rc = remove_checkpoint(s, d, e);
	return rc;
}

void staging_drop_draft(struct staging *s, uint64_t node)
{
	struct draft *d = table_get(&s->drafts, &node);

	if (d) {
		free(d->checkpoint);
		outline_free(d->outline);
	}
	table_remove(&s->drafts, &node);
	staging_forget_touched(s, node);
}

/* Drafts of archives that are no more: published, or discarded. */
static void forget_drafts(struct staging *s, const struct order *o)
{
	bool again = true;

	if (o && o->node)
		staging_drop_draft(s, o->node);
	while (again) {
		const uint64_t *node;
		struct draft *d;
		size_t cursor = 0;

		again = false;
		while (!again &&
		       table_next(&s->drafts, &cursor, (const void **)&node, (void **)&d))
			again = !d->listed;
		if (again)
			staging_drop_draft(s, *node);
	}
}

static void unlist_drafts(struct staging *s)
{
	const uint64_t *node;
	struct draft *d;
	size_t cursor = 0;

	while (table_next(&s->drafts, &cursor, (const void **)&node, (void **)&d))
		d->listed = false;
}

void staging_forget_outlines(struct staging *s)
{
	const uint64_t *node;
	struct draft *d;
	size_t cursor = 0;

	while (table_next(&s->drafts, &cursor, (const void **)&node, (void **)&d))
		outline_free(TAKE(d->outline));
}

/* --- contents; the gate is closed --- */

typedef int content_fn(struct stage_content *c, bool draft, struct err *e);

/* What is done with each file, for a commit that publishes `archive` (0: none). */
struct settling {
	struct staging *staging;
	content_fn *fn;
	uint64_t archive;
	struct err *err;
};

/* Its item tells another list from now on, maybe. */
static int settle_named(const struct settling *g, const struct stage_node *n)
{
	struct stage *stage = g->staging->stage;
	uint64_t archive = 0;
	bool draft = !g->archive || stage_archive(stage, n->st.st_ino, &archive) < 0 ||
		     archive != g->archive;

	stage_mark_stale(stage, n->st.st_ino);
	return g->fn(n->content, draft, g->err);
}

/* A loss is that file's affair and stops nothing. */
static int one_file(const struct settling *g, const struct stage_node *n)
{
	int rc = 0;

	if (staged_sync(n->content, NULL) == 0)
		rc = n->st.st_nlink > 0 ? settle_named(g, n) : staged_evict(n->content, g->err);
	return rc < 0 && staged_sync(n->content, NULL) < 0 ? 0 : rc;
}

static int all_files(const struct settling *g, bool nameless)
{
	struct stage *stage = g->staging->stage;
	struct stage_node n;
	uint64_t cursor = 0;
	int rc = 0;

	while (rc == 0 && stage_next_file(stage, nameless, &cursor, &n)) {
		rc = one_file(g, &n);
		stage_release(stage, n.st.st_ino, 1);
	}
	return rc;
}

/* Those that have changed since the last commit; the gate is closed, so the table is at rest. */
static int dirty_files(const struct settling *g)
{
	struct stage *stage = g->staging->stage;
	const uint64_t *node;
	struct stage_node n;
	void *nothing;
	size_t cursor = 0;
	int rc = 0;

	while (rc == 0 &&
	       table_next(&g->staging->dirty, &cursor, (const void **)&node, &nothing)) {
		if (stage_hold(stage, *node, 1) < 0)
			continue; /* it is no more */
		if (stage_get(stage, *node, &n) == 0)
			rc = one_file(g, &n);
		stage_release(stage, *node, 1);
	}
	return rc;
}

static int each_file(struct staging *s, content_fn *fn, const struct order *o, struct err *e)
{
	struct settling g = { s, fn, o ? o->node : 0, e };
	int rc = 0;

	if (s->all_dirty)
		return all_files(&g, false);
	if (stage_has_nameless(s->stage))
		rc = all_files(&g, true);
	return rc < 0 ? rc : dirty_files(&g);
}

/* Files whose lists are drafts: they have to be settled before they are published. */
static int list_drafts(struct staging *s, struct table *out)
{
	const uint64_t *node;
	struct stage_node n;
	void *nothing;
	size_t cursor = 0;
	int rc = 0;

	while (rc == 0 && table_next(&s->dirty, &cursor, (const void **)&node, &nothing)) {
		if (stage_hold(s->stage, *node, 1) < 0)
			continue;
		if (stage_get(s->stage, *node, &n) == 0 && n.st.st_nlink > 0 &&
		    staged_is_draft(n.content) && !table_put(out, node, NULL))
			rc = -ENOMEM;
		stage_release(s->stage, *node, 1);
	}
	return rc;
}

static void all_clean(struct staging *s)
{
	struct table drafts;
	int rc;

	table_init(&drafts, sizeof(uint64_t), 0);
	rc = s->all_dirty ? -ENOMEM : list_drafts(s, &drafts);
	mutex_lock(&s->lock);
	table_fini(&s->dirty);
	s->dirty = drafts;
	s->all_dirty = rc < 0;
	mutex_unlock(&s->lock);
}

/* Everything into the pipeline first, then its ids. */
static int settle_all(struct staging *s, const struct order *o, struct err *e)
{
	int rc;

	ingest_hold(s->ingest, true);
	rc = each_file(s, staged_flush, o, e);
	if (rc == 0)
		rc = each_file(s, staged_settle, o, e);
	if (rc == 0)
		rc = ingest_detach(s->ingest, e);
	return rc;
}

struct deletion {
	struct repo *repo;
	struct err *err;
};

static int delete_orphan(void *arg, const struct chunk_id *id)
{
	struct deletion *d = arg;
	int rc = repo_delete(d->repo, id, d->err);

	return rc == -ENOENT ? 0 : rc;
}

static int delete_orphans(struct staging *s, struct err *e)
{
	struct deletion d = { s->options.reader->repo, e };

	return ingest_orphans(s->ingest, delete_orphan, &d);
}

static int change_archive(struct staging *s, const struct order *o, struct err *e)
{
	return o->name.len > 0 ? session_rename_archive(s->session, o->archive, o->name, e)
			       : session_remove_archive(s->session, o->archive, e);
}

static int store_everything(struct staging *s, uint64_t changes, const struct order *o,
			    struct err *e)
{
	struct chunk_index *index;
	int rc = session_chunks(s->session, &index, e); /* what others made is counted, too */

	if (rc == 0)
		rc = settle_all(s, o, e);
	if (rc == 0)
		rc = commit_archives(s, changes, o, e);
	if (rc == 0)
		rc = remove_discarded(s, e);
	staging_close_pipeline(s);
	if (rc == 0 && o && !o->node)
		rc = change_archive(s, o, e);
	if (rc == 0)
		rc = delete_orphans(s, e);
	return rc == 0 ? session_commit(s->session, e) : rc;
}

int staging_commit(struct staging *s, uint64_t changes, const struct order *o, struct err *e)
{
	int rc;

	unlist_drafts(s);
	rc = store_everything(s, changes, o, e);
	if (rc < 0) {
		staging_forget_outlines(s);
		return rc;
	}
	ingest_committed(s->ingest);
	all_clean(s);
	s->committed = changes;
	forget_drafts(s, o);
	return 0;
}
