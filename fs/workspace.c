/*
 * workspace.c - see workspace.h.
 *
 * Whoever publishes makes the view below follow at once, but nothing may be told from inside a request:
 * what is to be told waits for the next view_refresh(), which has a thread of its own.
 */

#include "fs/workspace.h"

#include "core/base/log.h"
#include "core/base/thread.h"
#include "fs/own_xattr.h"
#include "fs/removal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Behind all archives: their numbers have 32 bits. */
#define STAGING_COOKIE (UINT64_C(1) << 40)

struct workspace {
	struct view view;
	struct view *below;
	struct staging *staging;
	char *name;
	struct removal *removal; /* NULL: nothing can be removed in an archive */
	struct mutex following;  /* one at a time; guards what follows */
	struct buf untold; /* names in the root, each with a NUL; empty: the list itself */
	bool changed;
};

static struct workspace *of(struct view *v)
{
	return (struct workspace *)v;
}

static void entry_of(struct stage_node *n, struct view_entry *out)
{
	staging_complete(n);
	out->st = n->st;
	out->settled = true;
	out->name_settled = true;
}

static int answer(int rc, struct stage_node *n, struct view_entry *out, struct err *e)
{
	if (rc < 0)
		return err_set(e, -rc, "staging: %s", strerror(-rc));
	entry_of(n, out);
	return rc;
}

static struct stage *stage_of(struct workspace *w)
{
	return staging_stage(w->staging);
}

/* --- the root --- */

static int staging_entry(struct workspace *w, struct view_entry *out, struct err *e)
{
	struct stage_node n;
	int rc = answer(stage_get(stage_of(w), stage_root(stage_of(w)), &n), &n, out, e);

	out->name_settled = false;
	return rc;
}

static int root_lookup(struct workspace *w, struct bytes name, struct view_entry *out,
		       struct err *e)
{
	int rc = view_lookup(w->below, VIEW_ROOT, name, out, e);

	if (rc != 0 || !bytes_is(name, w->name))
		return rc;
	rc = staging_entry(w, out, e);
	return rc < 0 ? rc : 1;
}

struct root_list {
	view_list_fn *fn;
	void *arg;
	bool stopped;
};

static int pass_on(void *arg, struct bytes name, const struct view_entry *entry,
		   uint64_t cookie)
{
	struct root_list *l = arg;
	int rc;

	rc = l->fn(l->arg, name, entry, cookie);
	l->stopped |= rc != 0;
	return rc;
}

static int list_root(struct workspace *w, uint64_t after, view_list_fn *fn, void *arg,
		     struct err *e)
{
	struct root_list l = { .fn = fn, .arg = arg };
	struct view_entry entry;
	int rc = 0;

	if (after < STAGING_COOKIE)
		rc = view_list(w->below, VIEW_ROOT, after, pass_on, &l, e);
	if (rc < 0 || l.stopped || after >= STAGING_COOKIE ||
	    view_lookup(w->below, VIEW_ROOT, bytes_str(w->name), &entry, e) != 0)
		return rc;
	rc = staging_entry(w, &entry, e);
	if (rc == 0)
		fn(arg, bytes_str(w->name), &entry, STAGING_COOKIE);
	return rc;
}

/* --- inside an archive --- */

static bool hides(struct workspace *w)
{
	return w->removal && removal_pending(w->removal);
}

static int archive_lookup(struct workspace *w, uint64_t dir, struct bytes name,
			  struct view_entry *out, struct err *e)
{
	int rc = view_lookup(w->below, dir, name, out, e);

	if (rc <= 0 || !hides(w) || !removal_hides(w->removal, out->entry))
		return rc;
	*out = (struct view_entry){ 0 }; /* for now: the kernel shall not remember it */
	return 0;
}

struct shown_list {
	struct workspace *workspace;
	view_list_fn *fn;
	void *arg;
};

static int pass_shown(void *arg, struct bytes name, const struct view_entry *entry,
		      uint64_t cookie)
{
	const struct shown_list *l = arg;

	return removal_hides(l->workspace->removal, entry->entry)
		       ? 0
		       : l->fn(l->arg, name, entry, cookie);
}

static int list_archive(struct workspace *w, uint64_t dir, uint64_t after, view_list_fn *fn,
			void *arg, struct err *e)
{
	struct shown_list l = { .workspace = w, .fn = fn, .arg = arg };

	return hides(w) ? view_list(w->below, dir, after, pass_shown, &l, e)
			: view_list(w->below, dir, after, fn, arg, e);
}

/* --- questions --- */

static int lookup(struct view *v, uint64_t dir, struct bytes name, struct view_entry *out,
		  struct err *e)
{
	struct workspace *w = of(v);
	struct stage_node n;
	int rc;

	if (dir == VIEW_ROOT)
		return root_lookup(w, name, out, e);
	if (!is_staged(dir))
		return archive_lookup(w, dir, name, out, e);
	rc = stage_lookup(stage_of(w), dir, name, &n);
	out->name_settled = true;
	if (rc == -ENOENT)
		return 0;
	rc = answer(rc, &n, out, e);
	return rc < 0 ? rc : 1;
}

static int entry(struct view *v, uint64_t node, struct view_entry *out, struct err *e)
{
	struct workspace *w = of(v);
	struct stage_node n;
	int rc;

	if (is_staged(node))
		return answer(stage_get(stage_of(w), node, &n), &n, out, e);
	rc = view_entry(w->below, node, out, e);
	out->st.st_nlink += rc == 0 && node == VIEW_ROOT;
	return rc;
}

static int parent(struct view *v, uint64_t dir, struct view_entry *out, struct err *e)
{
	struct workspace *w = of(v);
	struct stage_node n;
	int rc;

	if (!is_staged(dir))
		return view_parent(w->below, dir, out, e);
	if (dir == stage_root(stage_of(w)))
		return entry(v, VIEW_ROOT, out, e);
	rc = stage_parent(stage_of(w), dir, &n);
	return rc == -ENOENT ? entry(v, VIEW_ROOT, out, e) : answer(rc, &n, out, e);
}

struct stage_page {
	view_list_fn *fn;
	void *arg;
	struct buf name; /* with a NUL behind it */
	int rc;
};

static int pass_child(void *arg, struct bytes name, const struct stage_node *node,
		      uint64_t cookie)
{
	struct stage_page *p = arg;
	struct stage_node n = *node;
	struct view_entry out;

	p->name.len = 0;
	p->rc = buf_append(&p->name, name.p, name.len);
	if (p->rc == 0)
		p->rc = buf_append_byte(&p->name, 0);
	if (p->rc < 0)
		return 1;
	entry_of(&n, &out);
	return p->fn(p->arg, (struct bytes){ p->name.p, name.len }, &out, cookie);
}

static int list(struct view *v, uint64_t dir, uint64_t after, view_list_fn *fn, void *arg,
		struct err *e)
{
	struct workspace *w = of(v);
	struct stage_page page = { .fn = fn, .arg = arg };
	int rc;

	if (dir == VIEW_ROOT)
		return list_root(w, after, fn, arg, e);
	if (!is_staged(dir))
		return list_archive(w, dir, after, fn, arg, e);
	rc = stage_list(stage_of(w), dir, after, pass_child, &page);
	buf_fini(&page.name);
	if (rc == 0)
		rc = page.rc;
	return rc < 0 ? err_set(e, -rc, "staging: %s", strerror(-rc)) : 0;
}

static int link_target(struct view *v, uint64_t node, struct buf *out, struct err *e)
{
	struct workspace *w = of(v);
	int rc;

	if (!is_staged(node))
		return view_link_target(w->below, node, out, e);
	rc = stage_link_target(stage_of(w), node, out);
	return rc < 0 ? err_set(e, -rc, "staging: %s", strerror(-rc)) : 0;
}

static int xattr(struct view *v, uint64_t node, struct bytes name, struct buf *out,
		 struct err *e)
{
	struct workspace *w = of(v);
	int rc;

	if (!is_staged(node))
		return view_xattr(w->below, node, name, out, e);
	rc = own_xattr_is(name) ? staging_own_xattr(w->staging, node, name, out, e)
				: stage_xattr(stage_of(w), node, name, out);
	return rc < 0 ? err_set(e, -rc, "staging: %s", strerror(-rc)) : rc;
}

/* Attributes that only root is told of. */
static void drop_trusted(struct buf *names)
{
	static const char prefix[] = "trusted.";
	size_t kept = 0, len;

	for (size_t at = 0; at < names->len; at += len) {
		len = strlen((const char *)names->p + at) + 1;
		if (strncmp((const char *)names->p + at, prefix, sizeof(prefix) - 1) == 0)
			continue;
		memmove(names->p + kept, names->p + at, len);
		kept += len;
	}
	names->len = kept;
}

static int xattr_names(struct view *v, uint64_t node, bool privileged, struct buf *out,
		       struct err *e)
{
	struct workspace *w = of(v);
	int rc;

	if (!is_staged(node))
		return view_xattr_names(w->below, node, privileged, out, e);
	rc = stage_xattr_names(stage_of(w), node, out);
	if (rc < 0)
		return err_set(e, -rc, "staging: %s", strerror(-rc));
	if (!privileged)
		drop_trusted(out);
	return 0;
}

static int flags(struct view *v, uint64_t node, uint32_t *out, struct err *e)
{
	struct workspace *w = of(v);
	struct stage_node n;
	int rc;

	if (!is_staged(node))
		return view_flags(w->below, node, out, e);
	rc = stage_get(stage_of(w), node, &n);
	*out = n.flags;
	return rc < 0 ? err_set(e, -rc, "staging: %s", strerror(-rc)) : 0;
}

static int content(struct view *v, uint64_t node, struct content *out, struct err *e)
{
	return is_staged(node) ? err_set(e, EINVAL, "a staged file has no frozen content")
			       : view_content(of(v)->below, node, out, e);
}

static int space(struct view *v, struct repo_space *out, struct err *e)
{
	return view_space(of(v)->below, out, e);
}

static bool await(struct view *v, uint64_t node, view_ready_fn *fn, void *arg)
{
	return !is_staged(node) && view_await(of(v)->below, node, fn, arg);
}

/* --- out of an archive --- */

struct wait {
	struct mutex lock;
	struct cond ready;
	bool over;
};

static void is_ready(void *arg)
{
	struct wait *w = arg;

	mutex_lock(&w->lock);
	w->over = true;
	cond_signal(&w->ready);
	mutex_unlock(&w->lock);
}

/* Until the archive of this node is open, or cannot be. */
static void await_archive(struct view *below, uint64_t node)
{
	struct wait w = { .over = false };

	mutex_init(&w.lock);
	cond_init(&w.ready);
	if (view_await(below, node, is_ready, &w)) {
		mutex_lock(&w.lock);
		while (!w.over)
			cond_wait(&w.ready, &w.lock);
		mutex_unlock(&w.lock);
	}
	cond_fini(&w.ready);
	mutex_fini(&w.lock);
}

int workspace_content(struct view *v, uint64_t node, struct content *out, struct err *e)
{
	struct view *below = of(v)->below;
	int rc;

	while ((rc = view_content(below, node, out, e)) == -EINPROGRESS)
		await_archive(below, node);
	return rc;
}

static int archived_entry(struct view *below, uint64_t node, bool may_wait,
			  struct view_entry *out, struct err *e)
{
	int rc;

	/* Link targets and attributes are asked for later: then the archive is open. */
	while ((rc = view_entry(below, node, out, e)) == -EINPROGRESS && may_wait)
		await_archive(below, node);
	return rc == -EINPROGRESS ? -EAGAIN : rc;
}

/* What the directory's default ACL has given goes; what the node has comes. */
static int copy_xattrs(struct workspace *w, uint64_t node, uint64_t to, struct err *e)
{
	CLEANUP(buf_fini) struct buf names = BUF_INIT;
	CLEANUP(buf_fini) struct buf value = BUF_INIT;
	int rc;

	(void)stage_remove_xattr(stage_of(w), to, bytes_str("system.posix_acl_access"));
	rc = view_xattr_names(w->below, node, true, &names, e);
	for (size_t at = 0; rc == 0 && at < names.len;) {
		struct bytes name = bytes_str((const char *)names.p + at);

		rc = view_xattr(w->below, node, name, &value, e);
		if (rc > 0)
			rc = stage_set_xattr(stage_of(w), to, name, buf_bytes(&value), 0);
		at += name.len + 1;
	}
	return rc;
}

static int copy_attributes(struct workspace *w, uint64_t node, const struct stat *st,
			   uint64_t to, struct stage_node *out, struct err *e)
{
	uint32_t bits = 0;
	int rc = copy_xattrs(w, node, to, e);

	if (rc == 0)
		rc = stage_set(stage_of(w), to,
			       STAGE_MODE | STAGE_UID | STAGE_GID | STAGE_ATIME | STAGE_MTIME,
			       st, out);
	if (rc == 0)
		rc = view_flags(w->below, node, &bits, e);
	if (rc == 0 && bits)
		rc = stage_set_flags(stage_of(w), to, bits);
	return rc == 0 ? stage_get(stage_of(w), to, out) : rc;
}

static int copy_content(struct workspace *w, uint64_t node, uint64_t to, bool may_wait,
			struct err *e)
{
	CLEANUP(content_fini) struct content from = { 0 };
	uint64_t len = UINT64_MAX;
	int rc = view_content(w->below, node, &from, e);

	return rc == 0 ? staging_import(w->staging, &from, 0, to, 0, &len, may_wait, e) : rc;
}

static int make_like(struct workspace *w, uint64_t node, const struct stat *st, uint64_t dir,
		     struct bytes name, struct stage_node *out, struct err *e)
{
	CLEANUP(buf_fini) struct buf target = BUF_INIT;
	struct stage_maker who = { .uid = st->st_uid, .gid = st->st_gid, .privileged = true };
	struct stage_making what = { .mode = st->st_mode, .rdev = st->st_rdev };
	int rc = 0;

	if (S_ISLNK(st->st_mode))
		rc = view_link_target(w->below, node, &target, e);
	what.target = buf_bytes(&target);
	if (rc == 0 && S_ISREG(st->st_mode))
		rc = staging_new_content(w->staging, dir, &what.content);
	if (rc < 0)
		return rc;
	rc = stage_make(stage_of(w), dir, name, &who, &what, out);
	if (rc < 0)
		staging_drop_content(what.content);
	return rc;
}

int workspace_link(struct view *v, uint64_t node, uint64_t dir, struct bytes name,
		   bool may_wait, struct stage_node *out, struct err *e)
{
	struct workspace *w = of(v);
	struct view_entry entry;
	int rc = archived_entry(w->below, node, may_wait, &entry, e);

	if (rc == 0 && S_ISDIR(entry.st.st_mode))
		rc = -EPERM;
	if (rc == 0)
		rc = make_like(w, node, &entry.st, dir, name, out, e);
	if (rc < 0)
		return rc;
	if (S_ISREG(entry.st.st_mode))
		rc = copy_content(w, node, out->st.st_ino, may_wait, e);
	if (rc == 0)
		rc = copy_attributes(w, node, &entry.st, out->st.st_ino, out, e);
	if (rc < 0)
		(void)stage_unlink(stage_of(w), dir, name);
	return rc;
}

/* --- removing what is in an archive --- */

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

bool workspace_hides(struct view *v)
{
	return hides(of(v));
}

static int found_one(void *arg, struct bytes name, const struct view_entry *entry,
		     uint64_t cookie)
{
	(void)name, (void)entry, (void)cookie;
	*(bool *)arg = true;
	return 1;
}

static int check_empty(struct workspace *w, uint64_t dir, struct err *e)
{
	bool found = false;
	int rc;

	while ((rc = list_archive(w, dir, 0, found_one, &found, e)) == -EINPROGRESS)
		await_archive(w->below, dir);
	return rc == 0 && found ? -ENOTEMPTY : rc;
}

int workspace_hide(struct view *v, uint64_t parent, struct bytes name, bool dir, struct err *e)
{
	struct workspace *w = of(v);
	struct view_entry entry;
	int rc;

	if (!w->removal)
		return -EROFS;
	while ((rc = archive_lookup(w, parent, name, &entry, e)) == -EINPROGRESS)
		await_archive(w->below, parent);
	if (rc <= 0)
		return rc == 0 ? -ENOENT : rc;
	if (dir != S_ISDIR(entry.st.st_mode))
		return dir ? -ENOTDIR : -EISDIR;
	rc = dir ? check_empty(w, entry.st.st_ino, e) : 0;
	return rc == 0 ? removal_add(w->removal, parent, entry.entry, entry.st.st_ino, now_ms())
		       : rc;
}

void workspace_begin_removal(struct view *v, struct bytes name, uint32_t *archive)
{
	struct workspace *w = of(v);
	struct err err = ERR_INIT;
	struct view_entry entry;

	*archive = 0;
	if (!w->removal || view_lookup(w->below, VIEW_ROOT, name, &entry, &err) <= 0)
		return;
	*archive = (uint32_t)(entry.st.st_ino >> 32);
	removal_begin(w->removal, *archive);
}

void workspace_end_removal(struct view *v, uint32_t archive, bool gone)
{
	struct workspace *w = of(v);

	if (w->removal)
		removal_end(w->removal, archive, gone, now_ms());
}

struct name_search {
	uint32_t archive;
	struct buf name;
};

static int find_name(void *arg, struct bytes name, const struct view_entry *entry,
		     uint64_t cookie)
{
	struct name_search *s = arg;

	(void)cookie;
	if (entry->st.st_ino >> 32 != s->archive)
		return 0;
	if (buf_append(&s->name, name.p, name.len) < 0)
		s->name.len = 0;
	return 1;
}

/* No line for an archive that is not listed any more: another program has deleted it. */
static void say_lapsed(struct workspace *w, const struct removed *d)
{
	struct name_search s = { .archive = d->archive };
	struct err err = ERR_INIT;

	if (view_list(w->below, VIEW_ROOT, 0, find_name, &s, &err) == 0 && s.name.len > 0)
		log_warning("borg.fuse",
			    "%.*s: an archive can only be removed as a whole: nothing was "
			    "deleted, and what was removed in it shows again",
			    (int)s.name.len, (const char *)s.name.p);
	buf_fini(&s.name);
}

static void tell_nodes(const struct table *t, bool keys, view_changed_fn *fn, void *arg)
{
	const void *key;
	void *value;
	size_t cursor = 0;
	uint64_t node;

	while (table_next(t, &cursor, &key, &value)) {
		memcpy(&node, keys ? key : value, sizeof(node));
		fn(arg, node, (struct bytes){ 0 });
	}
}

/* The kernel believes lists, and numbers of links, that it has seen shrink. */
static void show_again(struct workspace *w, bool all, view_changed_fn *fn, void *arg)
{
	struct removed *d;

	while (w->removal && (d = removal_lapse(w->removal, now_ms(), all))) {
		say_lapsed(w, d);
		if (fn) {
			tell_nodes(&d->nodes, false, fn, arg);
			tell_nodes(&d->dirs, true, fn, arg);
		}
		removed_free(d);
	}
}

/* --- following --- */

static void keep_for_later(void *arg, uint64_t dir, struct bytes name)
{
	struct workspace *w = arg;

	if (dir != VIEW_ROOT)
		return; /* what is in an archive never changes */
	if (name.len == 0)
		w->changed = true;
	else if (buf_append(&w->untold, name.p, name.len) < 0 ||
		 buf_append_byte(&w->untold, 0) < 0)
		w->untold.len = 0; /* the kernel asks again after a second all the same */
}

int workspace_follow(struct view *v, struct err *e)
{
	struct workspace *w = of(v);
	int rc;

	mutex_lock(&w->following);
	rc = view_refresh(w->below, keep_for_later, w, e);
	mutex_unlock(&w->following);
	return rc;
}

void workspace_published(struct view *v, struct bytes name)
{
	struct workspace *w = of(v);

	mutex_lock(&w->following);
	keep_for_later(w, VIEW_ROOT, name);
	w->changed = true;
	mutex_unlock(&w->following);
}

static int refresh(struct view *v, view_changed_fn *fn, void *arg, struct err *e)
{
	struct workspace *w = of(v);
	CLEANUP(buf_fini) struct buf names = BUF_INIT;
	bool changed;
	int rc;

	mutex_lock(&w->following);
	rc = view_refresh(w->below, keep_for_later, w, e);
	names = w->untold;
	w->untold = (struct buf)BUF_INIT;
	changed = w->changed;
	w->changed = false;
	mutex_unlock(&w->following);
	for (size_t at = 0; at < names.len;) {
		struct bytes name = bytes_str((const char *)names.p + at);

		fn(arg, VIEW_ROOT, name);
		at += name.len + 1;
	}
	if (changed)
		fn(arg, VIEW_ROOT, (struct bytes){ 0 });
	show_again(w, false, fn, arg);
	return rc < 0 ? rc : changed;
}

/* --- life --- */

static void close_workspace(struct view *v)
{
	struct workspace *w = of(v);

	show_again(w, true, NULL, NULL);
	removal_free(w->removal);
	view_free(w->below);
	mutex_fini(&w->following);
	buf_fini(&w->untold);
	free(w->name);
	free(w);
}

static const struct view_ops workspace_ops = {
	.lookup = lookup,
	.parent = parent,
	.entry = entry,
	.list = list,
	.link_target = link_target,
	.xattr = xattr,
	.xattr_names = xattr_names,
	.flags = flags,
	.content = content,
	.space = space,
	.await = await,
	.refresh = refresh,
	.close = close_workspace,
};

int workspace_open(struct view **out, struct view *below, struct staging *staging,
		   const struct workspace_options *options, struct err *e)
{
	struct workspace *w = calloc(1, sizeof(*w));

	if (!w || !(w->name = strdup(options->name))) {
		free(w);
		view_free(below);
		return err_nomem(e, "view");
	}
	if (options->removal_s > 0 && !(w->removal = removal_new(options->removal_s))) {
		free(w->name);
		free(w);
		view_free(below);
		return err_nomem(e, "view");
	}
	w->view.ops = &workspace_ops;
	w->below = below;
	w->staging = staging;
	mutex_init(&w->following);
	*out = &w->view;
	return 0;
}
