/* stage_change.c - see stage.h: making nodes and names, and removing them. */

#include "fs/stage_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LINKS_MAX = 65000 };

/* --- making --- */

static int fill_node(struct node *n, const struct stage_making *what)
{
	if (S_ISREG(n->mode)) {
		n->of.content = what->content;
	} else if (S_ISLNK(n->mode)) {
		n->of.target = strndup((const char *)what->target.p, what->target.len);
		n->size = what->target.len;
		if (!n->of.target)
			return -ENOMEM;
	} else if (S_ISCHR(n->mode) || S_ISBLK(n->mode)) {
		n->of.rdev = what->rdev;
	}
	return 0;
}

/* Owner and mode; a directory with set-group-ID hands its group down, and to directories the bit. */
static int give_owner(struct stage *s, const struct node *dir, struct node *n,
		      const struct stage_maker *who, mode_t mode)
{
	n->uid = who->uid;
	n->gid = who->gid;
	mode &= 07777;
	if (dir->mode & S_ISGID) {
		n->gid = dir->gid;
		if (S_ISDIR(n->mode))
			mode |= S_ISGID;
	}
	if (S_ISLNK(n->mode)) {
		n->mode |= 0777;
		return 0;
	}
	return stage_inherit(s, dir, n, mode, who->umask);
}

static int make_locked(struct stage *s, uint64_t dir, struct bytes text,
		       const struct stage_maker *who, const struct stage_making *what,
		       struct stage_node *out)
{
	CLEANUP(cleanup_freep) struct name *name = NULL;
	struct node *d, *n = NULL;
	int rc = stage_find_live_dir(s, dir, &d);

	if (rc == 0)
		rc = stage_check_name(text);
	if (rc == 0 && stage_find_name(s, d, text))
		rc = -EEXIST;
	if (rc == 0)
		rc = stage_reserve_name(d);
	if (rc == 0 && !(name = stage_make_name(s, text)))
		rc = -ENOMEM;
	if (rc == 0)
		rc = stage_new_node(s, d, what->mode, &n);
	if (rc == 0)
		rc = fill_node(n, what);
	if (rc == 0)
		rc = give_owner(s, d, n, who, what->mode);
	if (rc < 0) {
		if (n)
			(void)stage_free_node(s, n); /* its content stays the caller's */
		return rc;
	}
	n->nlink = S_ISDIR(n->mode) ? 2 : 1;
	stage_add_name(s, d, TAKE(name), n);
	stage_touch_dir(s, d);
	stage_describe(s, n, out);
	return 0;
}

int stage_make(struct stage *s, uint64_t dir, struct bytes name, const struct stage_maker *who,
	       const struct stage_making *what, struct stage_node *out)
{
	int rc;

	mutex_lock(&s->lock);
	rc = make_locked(s, dir, name, who, what, out);
	mutex_unlock(&s->lock);
	return rc;
}

static int link_locked(struct stage *s, uint64_t node, uint64_t dir, struct bytes text,
		       struct stage_node *out)
{
	struct node *n = stage_find(s, node), *d;
	struct name *name;
	int rc = stage_find_live_dir(s, dir, &d);

	if (!n)
		return -ESTALE;
	if (rc == 0)
		rc = stage_check_name(text);
	if (rc < 0)
		return rc;
	if (S_ISDIR(n->mode))
		return -EPERM;
	if (n->nlink == 0)
		return -ENOENT;
	if (stage_find_name(s, d, text))
		return -EEXIST;
	if (n->archive != d->archive)
		return -EXDEV;
	rc = stage_check_change(s, n);
	if (rc < 0)
		return rc;
	if (n->nlink >= LINKS_MAX)
		return -EMLINK;
	rc = stage_reserve_name(d);
	name = rc == 0 ? stage_make_name(s, text) : NULL;
	if (!name)
		return rc < 0 ? rc : -ENOMEM;
	n->nlink++;
	n->ctime = stage_now();
	stage_changed(s, n);
	stage_add_name(s, d, name, n);
	stage_touch_dir(s, d);
	stage_describe(s, n, out);
	return 0;
}

int stage_link(struct stage *s, uint64_t node, uint64_t dir, struct bytes name,
	       struct stage_node *out)
{
	int rc;

	mutex_lock(&s->lock);
	rc = link_locked(s, node, dir, name, out);
	mutex_unlock(&s->lock);
	return rc;
}

/* --- removing --- */

/* The node has lost a name: a directory its only one. */
static struct stage_content *lose_name(struct stage *s, struct node *n)
{
	stage_changed(s, n);
	n->nlink = S_ISDIR(n->mode) ? 0 : n->nlink - 1;
	n->ctime = stage_now();
	s->nameless += S_ISREG(n->mode) && n->nlink == 0 && n->holds > 0;
	return stage_drop_unused(s, n);
}

struct stage_content *stage_remove_name(struct stage *s, struct node *dir, struct name *name)
{
	struct node *n = stage_named(s, name);

	stage_take_name(s, dir, name);
	free(name);
	stage_touch_dir(s, dir);
	return lose_name(s, n);
}

int stage_unlink(struct stage *s, uint64_t dir, struct bytes name)
{
	struct stage_content *content = NULL;
	struct name *found;
	struct node *d;
	int rc;

	mutex_lock(&s->lock);
	rc = stage_find_removable(s, dir, name, &d, &found);
	if (rc == 0 && S_ISDIR(stage_named(s, found)->mode))
		rc = -EISDIR;
	if (rc == 0)
		content = stage_remove_name(s, d, found);
	mutex_unlock(&s->lock);
	stage_dispose(s, content);
	return rc;
}

int stage_rmdir(struct stage *s, uint64_t dir, struct bytes name)
{
	struct name *found;
	struct node *d;
	int rc;

	mutex_lock(&s->lock);
	rc = stage_find_removable(s, dir, name, &d, &found);
	if (rc == 0 && !S_ISDIR(stage_named(s, found)->mode))
		rc = -ENOTDIR;
	if (rc == 0 && stage_named(s, found)->of.dir->names.count > 0)
		rc = -ENOTEMPTY;
	if (rc == 0)
		(void)stage_remove_name(s, d, found);
	mutex_unlock(&s->lock);
	return rc;
}
