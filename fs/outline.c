/* outline.c - see outline.h: what has changed, and what is to be written because of it. */

#include "fs/outline_internal.h"

#include "fs/children.h"

#include <errno.h>
#include <stdlib.h>
#include <xxhash.h>

/* --- life --- */

void outline_free(struct outline *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < o->section_count; i++)
		if (!o->sections[i].passed)
			stage_drop_mark(o->stage, o->sections[i].mark);
	free(o->sections);
	free(o->units);
	free(o->chunks);
	free(o);
}

const struct chunk_id *outline_archive(const struct outline *o)
{
	return &o->archive;
}

struct item_counts outline_counts(const struct outline *o)
{
	struct item_counts sum = { 0 };

	for (size_t i = 0; i < o->section_count; i++) {
		sum.sockets += o->sections[i].counts.sockets;
		sum.lost += o->sections[i].counts.lost;
	}
	return sum;
}

void outline_plan_free(struct outline_plan *p)
{
	if (!p)
		return;
	outline_free(p->next);
	buf_fini(&p->dirs);
	buf_fini(&p->steps);
	buf_fini(&p->names);
	if (p->has_where)
		table_fini(&p->where);
	free(p->place);
	free(p->kept);
	free(p);
}

/* --- the units of one directory --- */

static int add_step(struct outline_plan *p, const struct step *step)
{
	return buf_append(&p->steps, step, sizeof(*step));
}

static int fill_where(struct outline_plan *p)
{
	const struct outline *old = p->old;

	table_init(&p->where, sizeof(uint64_t), sizeof(uint64_t));
	p->has_where = true;
	for (size_t i = 0; i < old->unit_count; i++) {
		uint64_t *at = old->units[i].head
				       ? table_put(&p->where, &old->units[i].dir, NULL)
				       : NULL;

		if (at)
			*at = i;
		else if (old->units[i].head)
			return -ENOMEM;
	}
	return 0;
}

/* The directory's first unit in the old outline, where it is there. */
static int find_old(struct outline_plan *p, uint64_t number, size_t *out)
{
	const struct outline *old = p->old;
	const uint64_t *at;
	int rc = 0;

	if (!old)
		return 0;
	if (p->cursor < old->unit_count && old->units[p->cursor].dir == number) {
		*out = p->cursor;
		return 0;
	}
	if (!p->has_where)
		rc = fill_where(p);
	at = rc == 0 ? table_get(&p->where, &number) : NULL;
	if (at)
		*out = (size_t)*at;
	return rc;
}

/* Names behind all that were there before: the last unit takes some, new ones the others. */
static int add_new_units(struct outline_plan *p, struct step *last)
{
	uint64_t dir = last->unit.dir, end, count;
	int rc = 0;

	while (rc == 0) {
		uint64_t room =
			UNIT_NAMES > last->unit.count ? UNIT_NAMES - last->unit.count : 0;

		rc = stage_skip_files(p->stage, dir, last->unit.last, room, &end, &count);
		if (rc == 0 && count > 0) {
			last->unit.last = end;
			last->unit.count += (uint32_t)count;
			last->same = false;
		}
		if (rc == 0)
			rc = add_step(p, last);
		if (rc < 0)
			break;
		rc = stage_skip_files(p->stage, dir, last->unit.last, 1, &end, &count);
		if (rc < 0 || count == 0)
			break;
		*last = (struct step){ .unit = { .dir = dir,
						 .path = last->unit.path,
						 .after = last->unit.last,
						 .last = last->unit.last },
				       .dir = last->dir,
				       .was = NOT_THERE };
	}
	return rc;
}

/* The unit as it is now. */
static int look_at_old(struct outline_plan *p, const struct planned_dir *dir, size_t index,
		       bool names_same, struct step *out)
{
	const struct unit *was = &p->old->units[index];
	uint64_t count = was->count;
	int rc = names_same ? 0
			    : stage_count_files(p->stage, dir->number, was->after, was->last,
						&count);

	*out = (struct step){ .unit = *was, .was = index };
	out->same = was->path == dir->hash && count == was->count;
	out->unit.path = dir->hash;
	out->unit.count = (uint32_t)count;
	return rc;
}

static bool is_unit_of(const struct outline *old, size_t index, uint64_t dir)
{
	return index < old->unit_count && old->units[index].dir == dir;
}

static int add_old_dir(struct outline_plan *p, size_t dir_index, size_t first,
		       const struct stage_names *names)
{
	const struct planned_dir dir = plan_dirs(p)[dir_index];
	const struct stage_names *was = &p->old->units[first].names;
	bool same = was->last_cookie == names->last_cookie && was->count == names->count;
	struct step step;
	int rc = 0;

	for (size_t i = first; rc == 0 && is_unit_of(p->old, i, dir.number); i++) {
		bool is_last = !is_unit_of(p->old, i + 1, dir.number);

		p->cursor = i + 1;
		rc = look_at_old(p, &dir, i, same, &step);
		step.dir = dir_index;
		if (step.unit.head)
			step.unit.names = *names;
		if (rc == 0 && is_last && !same)
			rc = add_new_units(p, &step);
		else if (rc == 0 && (step.unit.head || step.unit.count > 0))
			rc = add_step(p, &step);
	}
	return rc;
}

static int add_dir(struct outline_plan *p, size_t dir_index)
{
	const struct planned_dir dir = plan_dirs(p)[dir_index];
	struct step step = { .unit = { .dir = dir.number, .path = dir.hash, .head = true },
			     .dir = dir_index,
			     .was = NOT_THERE };
	size_t first = NOT_THERE;
	int rc = stage_names(p->stage, dir.number, &step.unit.names);

	if (rc == 0)
		rc = find_old(p, dir.number, &first);
	if (rc < 0)
		return rc;
	return first == NOT_THERE ? add_new_units(p, &step)
				  : add_old_dir(p, dir_index, first, &step.unit.names);
}

/* --- the walk --- */

static int push_children(struct outline_plan *p, size_t parent, struct children *c,
			 struct buf *stack, struct err *e)
{
	const struct planned_dir above = plan_dirs(p)[parent];
	int rc = children_list_dirs(c, p->stage, above.number, e);

	if (rc < 0)
		return rc;
	for (size_t i = c->count; rc == 0 && i-- > 0;) { /* the first comes off first */
		const struct child *child = &c->v[i];
		const uint8_t *name = c->names.p + child->name;
		struct planned_dir d = { .parent = parent,
					 .number = child->node,
					 .name = p->names.len,
					 .name_len = child->name_len };

		d.hash = XXH3_64bits_withSeed(name, child->name_len, above.hash);
		rc = buf_append(&p->names, name, child->name_len);
		if (rc == 0)
			rc = buf_append(stack, &d, sizeof(d));
	}
	return rc < 0 ? err_nomem(e, "checkpoint") : 0;
}

static int walk(struct outline_plan *p, uint64_t top, struct err *e)
{
	CLEANUP(buf_fini) struct buf stack = BUF_INIT;
	CLEANUP(children_fini) struct children children = { 0 };
	struct planned_dir d = { .number = top };
	int rc = buf_append(&stack, &d, sizeof(d));

	while (rc == 0 && stack.len > 0) {
		size_t index = p->dirs.len / sizeof(d);

		stack.len -= sizeof(d);
		memcpy(&d, stack.p + stack.len, sizeof(d));
		rc = buf_append(&p->dirs, &d, sizeof(d));
		if (rc == 0)
			rc = add_dir(p, index);
		if (rc == 0)
			rc = push_children(p, index, &children, &stack, e);
	}
	return rc < 0 ? err_set(e, -rc, "checkpoint: %s", strerror(-rc)) : 0;
}

/* --- which sections are kept --- */

static int find_places(struct outline_plan *p)
{
	size_t count = p->old->unit_count;

	p->place = calloc(count + 1, sizeof(*p->place));
	p->kept = calloc(p->old->section_count + 1, sizeof(*p->kept));
	if (!p->place || !p->kept)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		p->place[i] = NOT_THERE;
	for (size_t i = 0; i < plan_step_count(p); i++)
		if (plan_steps(p)[i].was != NOT_THERE)
			p->place[plan_steps(p)[i].was] = i;
	return 0;
}

/* Are its units, and nothing else, where it was? */
static bool is_same(const struct outline_plan *p, const struct section *s)
{
	size_t at = p->place[s->unit];

	for (size_t i = 0; i < s->unit_count; i++)
		if (at == NOT_THERE || p->place[s->unit + i] != at + i ||
		    !plan_steps(p)[at + i].same)
			return false;
	return !stage_is_stale(p->stage, s->mark);
}

static bool has_few_items(const struct outline_plan *p, const struct section *s)
{
	size_t items = 0;

	for (size_t i = 0; i < s->unit_count && items <= SECTION_FEW; i++)
		items += p->old->units[s->unit + i].count + p->old->units[s->unit + i].head;
	return items <= SECTION_FEW;
}

/* The section of the old outline that a step belongs to, if it is kept. */
static bool is_step_kept(const struct outline_plan *p, const bool *kept_unit, size_t step)
{
	size_t was = plan_steps(p)[step].was;

	return was != NOT_THERE && kept_unit[was];
}

/* Small ones do not stay small beside what is written. */
static int take_small_ones(struct outline_plan *p)
{
	CLEANUP(cleanup_freep) bool *kept_unit = calloc(p->old->unit_count + 1, sizeof(bool));

	if (!kept_unit)
		return -ENOMEM;
	for (size_t i = 0; i < p->old->section_count; i++)
		for (size_t k = 0; k < p->old->sections[i].unit_count; k++)
			kept_unit[p->old->sections[i].unit + k] = p->kept[i];
	for (size_t i = 0; i < p->old->section_count; i++) {
		const struct section *s = &p->old->sections[i];
		size_t first = p->place[s->unit], behind = first + s->unit_count;

		if (!p->kept[i] || !has_few_items(p, s))
			continue;
		p->kept[i] =
			(first == 0 || is_step_kept(p, kept_unit, first - 1)) &&
			(behind == plan_step_count(p) || is_step_kept(p, kept_unit, behind));
	}
	return 0;
}

/* Who is first of a file's names has its content: of all of them, and in the order in which they were, or
 * of none. */
static void keep_links_together(struct outline_plan *p)
{
	bool changed = p->old->link_changes != stage_link_changes(p->stage);
	size_t behind = 0;

	for (size_t i = 0; i < p->old->section_count && !changed; i++) {
		const struct section *s = &p->old->sections[i];

		if (!s->links)
			continue;
		changed = !p->kept[i] || p->place[s->unit] < behind;
		behind = p->place[s->unit];
	}
	for (size_t i = 0; i < p->old->section_count; i++)
		if (changed && p->old->sections[i].links)
			p->kept[i] = false;
}

static int choose_kept(struct outline_plan *p)
{
	int rc = find_places(p);

	for (size_t i = 0; rc == 0 && i < p->old->section_count; i++)
		p->kept[i] = is_same(p, &p->old->sections[i]);
	if (rc == 0)
		rc = take_small_ones(p);
	if (rc == 0)
		keep_links_together(p);
	return rc;
}

struct section *outline_kept_at(const struct outline_plan *p, size_t step)
{
	size_t was = plan_steps(p)[step].was, low = 0, high;

	if (was == NOT_THERE)
		return NULL;
	high = p->old->section_count;
	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		*(p->old->sections[mid].unit <= was ? &low : &high) = mid;
	}
	return p->old->sections[low].unit == was && p->kept[low] ? &p->old->sections[low]
								 : NULL;
}

int outline_plan_new(struct outline_plan **out, struct stage *s, uint64_t top,
		     struct outline *old, struct err *e)
{
	CLEANUP(outline_plan_freep) struct outline_plan *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return err_nomem(e, "checkpoint");
	p->stage = s;
	p->old = old;
	rc = walk(p, top, e);
	if (rc == 0 && old && choose_kept(p) < 0)
		rc = err_nomem(e, "checkpoint");
	if (rc < 0)
		return rc;
	*out = TAKE(p);
	return 0;
}
