/* stage_rename.c - see stage.h: a name, and all below it, moves to another place, and maybe another archive. */

#include "fs/stage_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct move { /* of one name */
	struct node *dir;
	struct bytes text;
	struct name *name; /* NULL: nothing is there */
};

static bool is_below(const struct node *d, const struct node *top)
{
	for (; d; d = d->of.dir->parent)
		if (d == top)
			return true;
	return false;
}

/* May `what` go to `where`?  Only a directory can be put below itself. */
static bool into_itself(const struct node *what, const struct node *where)
{
	return S_ISDIR(what->mode) && is_below(where, what);
}

static int check_replaced(const struct node *old, const struct node *by)
{
	if (S_ISDIR(by->mode) && !S_ISDIR(old->mode))
		return -ENOTDIR;
	if (!S_ISDIR(by->mode) && S_ISDIR(old->mode))
		return -EISDIR;
	if (S_ISDIR(old->mode) && old->of.dir->names.count > 0)
		return -ENOTEMPTY;
	return 0;
}

static void moved(struct stage *s, struct node *n, struct node *from, struct node *to)
{
	n->ctime = stage_now();
	stage_changed(s, n);
	stage_touch_dir(s, from);
	stage_touch_dir(s, to);
}

/* The nodes of a tree, each directory before what is in it, a file once for each of its names. */
static int list_tree(const struct stage *s, struct node *top, struct buf *out)
{
	int rc = buf_append(out, &top, sizeof(top));

	for (size_t at = 0; rc == 0 && at < out->len; at += sizeof(top)) {
		const struct names *names;
		struct node *d;

		memcpy(&d, out->p + at, sizeof(d));
		names = S_ISDIR(d->mode) ? &d->of.dir->names : NULL;
		for (size_t i = 0; rc == 0 && names && i < names->order_len; i++) {
			if (!names->order[i].name)
				continue;
			d = stage_named(s, names->order[i].name);
			rc = buf_append(out, &d, sizeof(d));
		}
	}
	return rc;
}

static int compare_nodes(const void *a, const void *b)
{
	const struct node *x = *(struct node *const *)a, *y = *(struct node *const *)b;

	return (x > y) - (x < y);
}

/* Hard links may not end up in two archives.  Sorts the list, each node stays once. */
static int check_links(struct buf *list)
{
	struct node **v = (struct node **)(void *)list->p;
	size_t count = list->len / sizeof(*v), kept = 0;

	qsort(v, count, sizeof(*v), compare_nodes);
	for (size_t i = 0, end; i < count; i = end) {
		for (end = i + 1; end < count && v[end] == v[i];)
			end++;
		if (!S_ISDIR(v[i]->mode) && v[i]->nlink != end - i)
			return -EXDEV;
		v[kept++] = v[i];
	}
	list->len = kept * sizeof(*v);
	return 0;
}

/* What is to belong to another archive then: gathered before anything changes. */
static int prepare_move(const struct stage *s, struct node *n, const struct node *dir,
			struct buf *moving)
{
	int rc;

	if (n->archive == stage_archive_in(s, n, dir))
		return 0;
	rc = list_tree(s, n, moving);
	return rc == 0 ? check_links(moving) : rc;
}

static void change_archive(struct stage *s, struct node *n, uint32_t archive)
{
	struct node *old = stage_archive_of(s, n);

	if (old != n)
		old->of.dir->members--;
	n->archive = archive;
	if (stage_archive_of(s, n) != n)
		stage_archive_of(s, n)->of.dir->members++;
}

static void move_all(struct stage *s, const struct buf *moving, uint32_t archive)
{
	struct node *const *v = (struct node *const *)(const void *)moving->p;

	for (size_t i = 0; i < moving->len / sizeof(*v); i++)
		change_archive(s, v[i], archive);
}

/* Each takes the other's place: the names stay, what they stand for changes. */
static int exchange(struct stage *s, const struct move *a, const struct move *b)
{
	CLEANUP(buf_fini) struct buf to_b = BUF_INIT;
	CLEANUP(buf_fini) struct buf to_a = BUF_INIT;
	struct node *x = stage_named(s, a->name), *y = stage_named(s, b->name);
	int rc = stage_check_change(s, b->dir);

	if (rc == 0)
		rc = stage_check_change(s, y);
	if (rc == 0 && (into_itself(x, b->dir) || into_itself(y, a->dir)))
		rc = -EINVAL;
	if (rc == 0)
		rc = prepare_move(s, x, b->dir, &to_b);
	if (rc == 0)
		rc = prepare_move(s, y, a->dir, &to_a);
	if (rc < 0)
		return rc;
	move_all(s, &to_b, stage_archive_in(s, x, b->dir));
	move_all(s, &to_a, stage_archive_in(s, y, a->dir));
	if (S_ISDIR(x->mode)) {
		a->dir->nlink--;
		b->dir->nlink++;
		x->of.dir->parent = b->dir;
	}
	if (S_ISDIR(y->mode)) {
		b->dir->nlink--;
		a->dir->nlink++;
		y->of.dir->parent = a->dir;
	}
	a->name->node = y->slot;
	b->name->node = x->slot;
	moved(s, x, a->dir, b->dir);
	y->ctime = x->ctime;
	stage_changed(s, y);
	return 0;
}

static int replace(struct stage *s, const struct move *from, const struct move *to,
		   struct stage_content **content)
{
	CLEANUP(buf_fini) struct buf moving = BUF_INIT;
	struct node *n = stage_named(s, from->name);
	struct name *name;
	int rc = into_itself(n, to->dir) ? -EINVAL : 0;

	if (rc == 0 && to->name && to->name->node == n->slot)
		return 0; /* two names of one file: both stay */
	if (rc == 0 && to->name)
		rc = check_replaced(stage_named(s, to->name), n);
	if (rc == 0 && to->name)
		rc = stage_check_change(s, stage_named(s, to->name));
	if (rc == 0 && to->name)
		rc = stage_check_change(s, to->dir);
	if (rc == 0)
		rc = prepare_move(s, n, to->dir, &moving);
	if (rc == 0)
		rc = stage_reserve_name(to->dir);
	name = rc == 0 ? stage_make_name(s, to->text) : NULL;
	if (!name)
		return rc < 0 ? rc : -ENOMEM;
	if (to->name)
		*content = stage_remove_name(s, to->dir, to->name);
	stage_take_name(s, from->dir, from->name);
	free(from->name);
	stage_add_name(s, to->dir, name, n);
	move_all(s, &moving, stage_archive_in(s, n, to->dir));
	moved(s, n, from->dir, to->dir);
	return 0;
}

static int rename_locked(struct stage *s, struct move *from, struct move *to, uint64_t from_dir,
			 uint64_t to_dir, unsigned flags, struct stage_content **content)
{
	int rc = stage_find_removable(s, from_dir, from->text, &from->dir, &from->name);

	if (rc == 0)
		rc = stage_find_live_dir(s, to_dir, &to->dir);
	if (rc == 0)
		rc = stage_check_name(to->text);
	if (rc < 0)
		return rc;
	to->name = stage_find_name(s, to->dir, to->text);
	if (flags & RENAME_EXCHANGE)
		return to->name ? exchange(s, from, to) : -ENOENT;
	if (flags & RENAME_NOREPLACE && to->name)
		return -EEXIST;
	return replace(s, from, to, content);
}

int stage_rename(struct stage *s, uint64_t from_dir, struct bytes from, uint64_t to_dir,
		 struct bytes to, unsigned flags)
{
	struct move a = { .text = from }, b = { .text = to };
	struct stage_content *content = NULL;
	int rc;

	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE) ||
	    flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	mutex_lock(&s->lock);
	rc = rename_locked(s, &a, &b, from_dir, to_dir, flags, &content);
	mutex_unlock(&s->lock);
	stage_dispose(s, content);
	return rc;
}
