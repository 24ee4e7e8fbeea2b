/* publish.c - see publish.h. */

#include "fs/publish.h"

#include "fs/children.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct frame { /* a directory that the walk is in */
	struct children children;
	size_t next;
	size_t path_len; /* of its own path */
};

struct walk_out {
	struct item_out *out;
	struct frame *frames;
	size_t depth, cap;
};

static void walk_out_fini(struct walk_out *w)
{
	for (size_t i = 0; i < w->cap; i++)
		children_fini(&w->frames[i].children);
	free(w->frames);
}

/* --- the walk --- */

static int enter(struct walk_out *w, uint64_t dir, struct err *e)
{
	struct frame *f;

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
	f->next = 0;
	f->path_len = w->out->path.len;
	return children_list(&f->children, w->out->stage, dir, 0, UINT64_MAX, e);
}

static int give_child(struct walk_out *w, struct frame *f, const struct child *c, struct err *e)
{
	struct buf *path = &w->out->path;
	struct stage_node n;
	int rc = stage_get(w->out->stage, c->node, &n);

	path->len = f->path_len;
	if (rc == 0)
		rc = children_append_name(&f->children, c, path);
	if (rc < 0)
		return err_set(e, -rc, "path");
	rc = item_out_give(w->out, &n, e);
	return rc == 0 && S_ISDIR(n.st.st_mode) ? enter(w, c->node, e) : rc;
}

static int give_top(struct walk_out *w, uint64_t top, struct err *e)
{
	struct stage_node n;
	int rc = stage_get(w->out->stage, top, &n);

	w->out->path.len = 0;
	if (rc == 0)
		rc = buf_append_str(&w->out->path, ".");
	if (rc < 0)
		return err_set(e, -rc, "archive");
	rc = item_out_give(w->out, &n, e);
	w->out->path.len = 0;
	return rc == 0 ? enter(w, top, e) : rc;
}

int publish_items(struct item_out *out, uint64_t top, struct err *e)
{
	CLEANUP(walk_out_fini) struct walk_out w = { .out = out };
	int rc = give_top(&w, top, e);

	while (rc == 0 && w.depth > 0) {
		struct frame *f = &w.frames[w.depth - 1];

		if (f->next == f->children.count)
			w.depth--;
		else
			rc = give_child(&w, f, &f->children.v[f->next++], e);
	}
	return rc;
}
