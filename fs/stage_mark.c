/* stage_mark.c - see stage.h: what has changed since it was written down, and where. */

#include "fs/stage_internal.h"

#include <errno.h>

void stage_changed(struct stage *s, struct node *n)
{
	uint64_t mark = n->mark;

	s->link_changes += !S_ISDIR(n->mode) && n->nlink > 1;
	if (!mark)
		return;
	n->mark = 0;
	if (!table_put(&s->stale, &mark, NULL))
		s->all_stale = true;
}

uint32_t stage_new_mark(struct stage *s)
{
	uint32_t mark;

	mutex_lock(&s->lock);
	mark = s->last_mark < UINT32_MAX ? (uint32_t)++s->last_mark : 0;
	mutex_unlock(&s->lock);
	return mark;
}

void stage_mark(struct stage *s, uint64_t node, uint32_t mark)
{
	struct node *n;

	mutex_lock(&s->lock);
	n = stage_find(s, node);
	if (n)
		n->mark = mark;
	mutex_unlock(&s->lock);
}

bool stage_is_stale(struct stage *s, uint32_t mark)
{
	uint64_t key = mark;
	bool stale;

	mutex_lock(&s->lock);
	stale = s->all_stale || table_get(&s->stale, &key);
	mutex_unlock(&s->lock);
	return stale;
}

void stage_drop_mark(struct stage *s, uint32_t mark)
{
	uint64_t key = mark;

	mutex_lock(&s->lock);
	table_remove(&s->stale, &key);
	mutex_unlock(&s->lock);
}

void stage_mark_stale(struct stage *s, uint64_t node)
{
	struct node *n;

	mutex_lock(&s->lock);
	n = stage_find(s, node);
	if (n)
		stage_changed(s, n);
	mutex_unlock(&s->lock);
}

uint64_t stage_link_changes(struct stage *s)
{
	uint64_t changes;

	mutex_lock(&s->lock);
	changes = s->link_changes;
	mutex_unlock(&s->lock);
	return changes;
}

int stage_names(struct stage *s, uint64_t dir, struct stage_names *out)
{
	struct node *d;
	int rc;

	mutex_lock(&s->lock);
	rc = stage_find_dir(s, dir, &d);
	if (rc == 0)
		*out = (struct stage_names){ d->of.dir->names.last_cookie,
					     d->of.dir->names.count };
	mutex_unlock(&s->lock);
	return rc;
}

static bool is_file_name(const struct stage *s, const struct place *p)
{
	return p->name && !S_ISDIR(stage_named(s, p->name)->mode);
}

int stage_count_files(struct stage *s, uint64_t dir, uint64_t after, uint64_t last,
		      uint64_t *count)
{
	struct node *d;
	int rc;

	*count = 0;
	mutex_lock(&s->lock);
	rc = stage_find_dir(s, dir, &d);
	if (rc == 0) {
		const struct names *names = &d->of.dir->names;

		for (size_t i = stage_place_behind(names, after);
		     i < names->order_len && names->order[i].cookie <= last; i++)
			*count += is_file_name(s, &names->order[i]);
	}
	mutex_unlock(&s->lock);
	return rc;
}

int stage_skip_files(struct stage *s, uint64_t dir, uint64_t after, uint64_t max,
		     uint64_t *last, uint64_t *count)
{
	struct node *d;
	int rc;

	*count = 0;
	*last = after;
	mutex_lock(&s->lock);
	rc = stage_find_dir(s, dir, &d);
	if (rc == 0) {
		const struct names *names = &d->of.dir->names;

		for (size_t i = stage_place_behind(names, after);
		     i < names->order_len && *count < max; i++)
			if (is_file_name(s, &names->order[i])) {
				*last = names->order[i].cookie;
				++*count;
			}
	}
	mutex_unlock(&s->lock);
	return rc;
}

int stage_list_dirs(struct stage *s, uint64_t dir, stage_list_fn *fn, void *arg)
{
	struct stage_node node;
	struct node *d;
	uint32_t left;
	int rc, stop = 0;

	mutex_lock(&s->lock);
	rc = stage_find_dir(s, dir, &d);
	left = rc == 0 ? d->nlink - 2 : 0;
	for (size_t i = 0; left > 0 && stop == 0 && i < d->of.dir->names.order_len; i++) {
		const struct place *at = &d->of.dir->names.order[i];

		if (!at->name || is_file_name(s, at))
			continue;
		left--;
		stage_describe(s, stage_named(s, at->name), &node);
		stop = fn(arg, (struct bytes){ at->name->text, at->name->len }, &node,
			  at->cookie);
	}
	mutex_unlock(&s->lock);
	return rc;
}
