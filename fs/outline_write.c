/* outline_write.c - see outline.h: what is read back of the old sections, and the new ones. */

#include "fs/outline_internal.h"

#include "core/base/log.h"
#include "fs/children.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Smaller than Borg's: of a section that changed in one item, most chunks are those that were there. */
const struct chunker_params OUTLINE_CHUNKER = { .algorithm = CHUNKER_BUZHASH,
						.min_exp = 12,
						.max_exp = 17,
						.mask_bits = 14,
						.window = 511 };

/* --- what goes --- */

static int read_section(const struct outline *o, const struct section *s, struct reader *r,
			struct buf *out, struct err *e)
{
	int rc = 0;

	out->len = 0;
	for (size_t i = 0; rc == 0 && i < s->chunk_count; i++) {
		const struct item_chunk *c = &o->chunks[s->chunk + i];
		CLEANUP(chunk_unrefp) struct chunk *chunk = NULL;

		rc = fetch_chunk(r->fetch, &(struct chunk_want){ .id = c->id, .size = c->size },
				 &chunk, e);
		if (rc == 0 && buf_append(out, chunk->p, chunk->len) < 0)
			rc = err_nomem(e, "checkpoint");
	}
	return rc;
}

static int drop_chunks(struct chunk_refs *refs, const struct item_chunk *chunks, size_t count,
		       struct err *e)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = chunk_refs_drop(refs, &chunks[i].id, chunks[i].size, chunks[i].csize, e);
	return rc;
}

static int drop_items(struct bytes stream, struct chunk_refs *refs, struct err *e)
{
	CLEANUP(arena_fini) struct arena arena = ARENA_INIT;
	struct mp m = mp_read(stream);
	int rc = 0;

	while (rc == 0 && m.p < m.end) {
		struct item it;

		arena_reset(&arena);
		rc = item_parse(&m, &arena, &it, e);
		if (rc == 0)
			rc = err_set(e, EIO, "a section of the checkpoint ends too early");
		if (rc > 0)
			rc = drop_chunks(refs, it.chunks, it.chunk_count, e);
	}
	return rc;
}

int outline_drop(const struct outline_plan *p, struct reader *r, struct chunk_refs *refs,
		 struct err *e)
{
	CLEANUP(buf_fini) struct buf stream = BUF_INIT;
	const struct outline *old = p->old;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < old->section_count; i++) {
		const struct section *s = &old->sections[i];

		if (p->kept[i])
			continue;
		rc = read_section(old, s, r, &stream, e);
		if (rc == 0)
			rc = drop_items(buf_bytes(&stream), refs, e);
		if (rc == 0)
			rc = drop_chunks(refs, old->chunks + s->chunk, s->chunk_count, e);
	}
	return rc;
}

/* --- what comes --- */

struct writing {
	struct outline_plan *plan;
	struct item_out *out;
	struct section *section; /* that is being written, in plan->next */
	struct children children;
	size_t dir_path; /* length of the directory's in out->path */
};

static int dir_path(const struct outline_plan *p, size_t index, struct buf *path)
{
	const struct planned_dir *dirs = plan_dirs(p);
	size_t len = 0;

	for (size_t i = index; dirs[i].parent != i; i = dirs[i].parent)
		len += dirs[i].name_len + 1;
	path->len = 0;
	if (len == 0)
		return 0;
	if (buf_reserve(path, len) < 0)
		return -ENOMEM;
	path->len = --len; /* no slash in front */
	for (size_t i = index; dirs[i].parent != i; i = dirs[i].parent) {
		len -= dirs[i].name_len;
		memcpy(path->p + len, p->names.p + dirs[i].name, dirs[i].name_len);
		if (len > 0)
			path->p[--len] = '/';
	}
	return 0;
}

static int give_node(struct writing *w, uint64_t number, struct err *e)
{
	struct stage_node n;
	int rc = stage_get(w->plan->stage, number, &n);

	if (rc < 0)
		return err_set(e, -rc, "checkpoint: %s", strerror(-rc));
	stage_mark(w->plan->stage, number, w->section->mark);
	w->section->links |= n.st.st_nlink > 1 && !S_ISDIR(n.st.st_mode);
	return item_out_give(w->out, &n, e);
}

static int give_head(struct writing *w, const struct step *step, struct err *e)
{
	struct buf *path = &w->out->path;
	size_t len = path->len;
	int rc = len == 0 && buf_append_str(path, ".") < 0 ? err_nomem(e, "checkpoint") : 0;

	if (rc == 0)
		rc = give_node(w, step->unit.dir, e);
	path->len = len;
	return rc;
}

static int give_names(struct writing *w, const struct unit *unit, struct err *e)
{
	struct buf *path = &w->out->path;
	struct children *c = &w->children;
	size_t len = path->len;
	int rc = children_list(c, w->plan->stage, unit->dir, unit->after, unit->last, e);

	for (size_t i = 0; rc == 0 && i < c->count; i++) {
		if (c->v[i].is_dir)
			continue;
		path->len = len;
		if (children_append_name(c, &c->v[i], path) < 0)
			rc = err_nomem(e, "checkpoint");
		else
			rc = give_node(w, c->v[i].node, e);
	}
	return rc;
}

static int give_unit(struct writing *w, const struct step *step, struct err *e)
{
	int rc = dir_path(w->plan, step->dir, &w->out->path);

	if (rc < 0)
		return err_nomem(e, "checkpoint");
	if (step->unit.head)
		rc = give_head(w, step, e);
	if (rc == 0 && step->unit.count > 0)
		rc = give_names(w, &step->unit, e);
	return rc;
}

static struct section *new_section(struct outline *o)
{
	struct section *s;

	if (o->section_count == o->section_cap) {
		size_t cap = o->section_cap ? 2 * o->section_cap : 16;
		struct section *v = reallocarray(o->sections, cap, sizeof(*v));

		if (!v)
			return NULL;
		o->sections = v;
		o->section_cap = cap;
	}
	s = &o->sections[o->section_count++];
	*s = (struct section){ .unit = o->unit_count };
	return s;
}

static struct archive_totals grown(const struct archive_totals *from,
				   const struct archive_totals *to)
{
	return (struct archive_totals){
		.size = to->size - from->size,
		.csize = to->csize - from->csize,
		.nfiles = to->nfiles - from->nfiles,
	};
}

/* From step *at on, up to what is kept or the section is long enough; *at moves behind it. */
static int write_section(struct writing *w, size_t *at, struct err *e)
{
	struct outline *o = w->plan->next;
	struct section *s = new_section(o);
	struct archive_totals before = archive_writer_totals(w->out->writer), after;
	struct item_counts counts = w->out->counts;
	size_t items = 0, end;
	int rc = 0;

	if (!s)
		return err_nomem(e, "checkpoint");
	w->section = s;
	s->mark = stage_new_mark(w->plan->stage);
	if (!s->mark)
		return err_set(e, EOVERFLOW, "checkpoint: too many of them");
	do {
		const struct step *step = &plan_steps(w->plan)[*at];

		rc = give_unit(w, step, e);
		o->units[o->unit_count++] = step->unit;
		s->unit_count++;
		items += step->unit.count + step->unit.head;
		++*at;
	} while (rc == 0 && items < SECTION_ITEMS && *at < plan_step_count(w->plan) &&
		 !(w->plan->old && outline_kept_at(w->plan, *at)));
	if (rc == 0)
		rc = archive_writer_cut(w->out->writer, &end, e);
	if (rc < 0)
		return rc;
	s->chunk = o->chunk_count;
	s->chunk_count = end - s->chunk;
	o->chunk_count = end;
	after = archive_writer_totals(w->out->writer);
	s->totals = grown(&before, &after);
	s->counts.sockets = w->out->counts.sockets - counts.sockets;
	s->counts.lost = w->out->counts.lost - counts.lost;
	return 0;
}

static int keep_section(struct writing *w, struct section *was, size_t *at, struct err *e)
{
	struct outline *o = w->plan->next;
	struct section *s = new_section(o);

	if (!s)
		return err_nomem(e, "checkpoint");
	*s = *was;
	was->passed = true;
	s->unit = o->unit_count;
	s->chunk = o->chunk_count;
	o->chunk_count += s->chunk_count;
	for (size_t i = 0; i < s->unit_count; i++)
		o->units[o->unit_count++] = plan_steps(w->plan)[(*at)++].unit;
	return archive_writer_keep(w->out->writer, w->plan->old->chunks + was->chunk,
				   was->chunk_count, &was->totals, e);
}

static int begin_outline(struct outline_plan *p, struct err *e)
{
	p->next = calloc(1, sizeof(*p->next));
	if (!p->next)
		return err_nomem(e, "checkpoint");
	p->next->stage = p->stage;
	p->next->link_changes = stage_link_changes(p->stage);
	p->next->units = calloc(plan_step_count(p) + 1, sizeof(*p->next->units));
	return p->next->units ? 0 : err_nomem(e, "checkpoint");
}

int outline_write(struct outline_plan *p, struct item_out *out, struct err *e)
{
	struct writing w = { .plan = p, .out = out };
	int rc = begin_outline(p, e);

	for (size_t at = 0; rc == 0 && at < plan_step_count(p);) {
		struct section *was = p->old ? outline_kept_at(p, at) : NULL;

		rc = was ? keep_section(&w, was, &at, e) : write_section(&w, &at, e);
	}
	children_fini(&w.children);
	return rc;
}

int outline_complete(struct outline_plan *p, const struct archive_writer *w,
		     const struct chunk_id *archive, struct outline **out, struct err *e)
{
	struct outline *o = p->next;
	size_t count;
	const struct item_chunk *stream = archive_writer_stream(w, &count);

	if (count != o->chunk_count)
		return err_set(e, EIO, "checkpoint: %zu chunks instead of %zu", count,
			       o->chunk_count);
	o->chunks = calloc(count + 1, sizeof(*o->chunks));
	if (!o->chunks)
		return err_nomem(e, "checkpoint");
	if (count > 0)
		memcpy(o->chunks, stream, count * sizeof(*stream));
	o->archive = *archive;
	*out = TAKE(p->next);
	return 0;
}
