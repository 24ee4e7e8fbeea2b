/* publish.c - see publish.h. */

#include "fs/publish.h"

#include "core/platform/flags.h"
#include "core/platform/xattr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct child {
	uint64_t node;
	size_t name; /* where it begins in the frame's text */
	size_t name_len;
};

struct frame { /* a directory that the walk is in */
	struct child *children;
	size_t count, cap, next;
	struct buf names;
	size_t path_len; /* of its own path */
	bool failed;
};

struct walk_out {
	struct stage *stage;
	struct collector *collector;
	struct archive_writer *writer;
	const struct publish_options *options;
	struct publish_counts *counts;
	struct frame *frames;
	size_t depth, cap;
	struct buf path;
	struct buf target, value;
	struct xattr_list xattrs;
};

static void frame_fini(struct frame *f)
{
	free(f->children);
	buf_fini(&f->names);
}

static void walk_out_fini(struct walk_out *w)
{
	for (size_t i = 0; i < w->cap; i++)
		frame_fini(&w->frames[i]);
	free(w->frames);
	buf_fini(&w->path);
	buf_fini(&w->target);
	buf_fini(&w->value);
	xattr_list_fini(&w->xattrs);
}

/* --- attributes --- */

static int add_xattr(struct walk_out *w, uint64_t node, struct bytes name)
{
	struct xattr_list *list = &w->xattrs;
	int rc = stage_xattr(w->stage, node, name, &w->value);

	if (rc <= 0)
		return rc;
	if (list->count == list->cap) {
		size_t cap = list->cap ? 2 * list->cap : 8;
		struct xattr_entry *v = reallocarray(list->v, cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		list->v = v;
		list->cap = cap;
	}
	list->v[list->count++] = (struct xattr_entry){ name, { NULL, w->value.len } };
	return buf_append(&list->values, w->value.p, w->value.len);
}

/* All that the node has, ordered by name. */
static int gather_xattrs(struct walk_out *w, uint64_t node)
{
	struct xattr_list *list = &w->xattrs;
	int rc = stage_xattr_names(w->stage, node, &list->names);
	const uint8_t *value;

	list->count = 0;
	list->values.len = 0;
	for (size_t at = 0; rc >= 0 && at < list->names.len;) {
		struct bytes name = bytes_str((const char *)list->names.p + at);

		rc = add_xattr(w, node, name);
		at += name.len + 1;
	}
	value = list->values.p; /* it has stopped moving */
	for (size_t i = 0; i < list->count; i++) {
		list->v[i].value.p = value;
		value += list->v[i].value.len;
	}
	return rc < 0 ? rc : 0;
}

/* --- one item --- */

static int give_content(struct walk_out *w, struct stage_content *content, struct err *e)
{
	CLEANUP(cleanup_freep) struct item_chunk *chunks = NULL;
	uint64_t version;
	size_t count;
	int rc = staged_sync(content, e);

	if (rc < 0)
		return rc;
	rc = staged_chunks(content, &chunks, &count, &version, e);
	if (rc == 0)
		rc = err_set(e, EIO, "not settled");
	for (size_t i = 0; rc > 0 && i < count; i++)
		if (archive_writer_known_chunk(w->writer, &chunks[i], e) < 0)
			rc = -e->code;
	return rc < 0 ? rc : 0;
}

static int fill_item(struct walk_out *w, const struct stage_node *n, struct node *as,
		     struct item *it, struct err *e)
{
	int rc;

	*as = (struct node){ .st = n->st, .bsdflags = flags_bsd(n->flags) };
	*it = (struct item){ .path = buf_bytes(&w->path) };
	collect_attrs(w->collector, as, it);
	rc = gather_xattrs(w, n->st.st_ino);
	if (rc < 0)
		return err_set(e, -rc, "attributes");
	return collect_given(w->collector, &w->xattrs, as, it, e);
}

static int fill_kind(struct walk_out *w, const struct stage_node *n, struct item *it,
		     struct err *e)
{
	int rc = 0;

	if (S_ISLNK(n->st.st_mode)) {
		rc = stage_link_target(w->stage, n->st.st_ino, &w->target);
		it->source = buf_bytes(&w->target);
		it->has |= ITEM_SOURCE;
	} else if (S_ISCHR(n->st.st_mode) || S_ISBLK(n->st.st_mode)) {
		it->rdev = n->st.st_rdev;
		it->has |= ITEM_RDEV;
	}
	return rc < 0 ? err_set(e, -rc, "symbolic link") : 0;
}

static int give_item(struct walk_out *w, const struct stage_node *n, struct err *e)
{
	struct node as;
	struct item it;
	bool is_link, has_content;
	int rc = fill_item(w, n, &as, &it, e);

	if (rc < 0)
		return rc;
	is_link = collect_hardlink(w->collector, &as, &it);
	has_content = S_ISREG(n->st.st_mode) && !is_link;
	if (!is_link)
		rc = fill_kind(w, n, &it, e);
	if (rc == 0 && has_content)
		rc = give_content(w, n->content, e);
	if (rc == 0)
		rc = archive_writer_item(w->writer, &it, has_content, NULL, e);
	if (rc == 0 && !is_link)
		rc = collect_archived(w->collector, &as, it.path, e);
	return rc < 0 ? err_wrap(e, rc, "%.*s", (int)w->path.len, (const char *)w->path.p) : 0;
}

/* --- the walk --- */

static int note_child(void *arg, struct bytes name, const struct stage_node *node,
		      uint64_t cookie)
{
	struct frame *f = arg;
	int rc;

	(void)cookie;
	if (f->count == f->cap) {
		size_t cap = f->cap ? 2 * f->cap : 16;
		struct child *v = reallocarray(f->children, cap, sizeof(*v));

		f->failed |= !v;
		if (!v)
			return -ENOMEM;
		f->children = v;
		f->cap = cap;
	}
	f->children[f->count++] = (struct child){ node->st.st_ino, f->names.len, name.len };
	rc = buf_append(&f->names, name.p, name.len);
	f->failed |= rc < 0;
	return rc;
}

static int enter(struct walk_out *w, uint64_t dir, struct err *e)
{
	struct frame *f;
	int rc;

	if (w->depth == w->cap) {
		size_t cap = w->cap ? 2 * w->cap : 16;
		struct frame *v = reallocarray(w->frames, cap, sizeof(*v));

		if (!v)
			return err_nomem(e, "directory");
		memset(v + w->cap, 0, (cap - w->cap) * sizeof(*v));
		w->frames = v;
		w->cap = cap;
	}
	f = &w->frames[w->depth++];
	f->count = f->next = 0;
	f->names.len = 0;
	f->path_len = w->path.len;
	rc = stage_list(w->stage, dir, 0, note_child, f);
	if (f->failed)
		rc = -ENOMEM;
	return rc < 0 ? err_set(e, -rc, "directory") : 0;
}

static int give_child(struct walk_out *w, struct frame *f, const struct child *c, struct err *e)
{
	struct stage_node n;
	int rc = stage_get(w->stage, c->node, &n);

	w->path.len = f->path_len;
	if (rc == 0 && w->path.len > 0)
		rc = buf_append_byte(&w->path, '/');
	if (rc == 0)
		rc = buf_append(&w->path, f->names.p + c->name, c->name_len);
	if (rc < 0)
		return err_set(e, -rc, "path");
	if (S_ISSOCK(n.st.st_mode)) {
		w->counts->sockets++;
		return 0;
	}
	if (w->options->leave_out_lost && n.content && staged_sync(n.content, NULL) < 0) {
		w->counts->lost++;
		return 0;
	}
	rc = give_item(w, &n, e);
	return rc == 0 && S_ISDIR(n.st.st_mode) ? enter(w, c->node, e) : rc;
}

static int give_top(struct walk_out *w, uint64_t top, struct err *e)
{
	struct stage_node n;
	int rc = stage_get(w->stage, top, &n);

	if (rc == 0)
		rc = buf_append_str(&w->path, ".");
	if (rc < 0)
		return err_set(e, -rc, "archive");
	rc = give_item(w, &n, e);
	w->path.len = 0;
	return rc == 0 ? enter(w, top, e) : rc;
}

int publish_items(struct stage *s, uint64_t top, struct collector *collector,
		  struct archive_writer *w, const struct publish_options *options,
		  struct publish_counts *counts, struct err *e)
{
	CLEANUP(walk_out_fini)
	struct walk_out out = { .stage = s,
				.collector = collector,
				.writer = w,
				.options = options,
				.counts = counts };
	int rc;

	*counts = (struct publish_counts){ 0 };
	rc = give_top(&out, top, e);
	while (rc == 0 && out.depth > 0) {
		struct frame *f = &out.frames[out.depth - 1];

		if (f->next == f->count)
			out.depth--;
		else
			rc = give_child(&out, f, &f->children[f->next++], e);
	}
	return rc;
}
