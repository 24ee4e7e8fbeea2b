/* view.c - see view.h: the calls, each checked once for all implementations. */

#include "fs/view.h"

#include <assert.h>

int view_lookup(struct view *v, uint64_t dir, struct bytes name, struct view_entry *out,
		struct err *e)
{
	*out = (struct view_entry){ 0 };
	return v->ops->lookup(v, dir, name, out, e);
}

int view_parent(struct view *v, uint64_t dir, struct view_entry *out, struct err *e)
{
	*out = (struct view_entry){ 0 };
	return v->ops->parent(v, dir, out, e);
}

int view_entry(struct view *v, uint64_t node, struct view_entry *out, struct err *e)
{
	*out = (struct view_entry){ 0 };
	return v->ops->entry(v, node, out, e);
}

int view_list(struct view *v, uint64_t dir, uint64_t after, view_list_fn *fn, void *arg,
	      struct err *e)
{
	return v->ops->list(v, dir, after, fn, arg, e);
}

int view_link_target(struct view *v, uint64_t node, struct buf *out, struct err *e)
{
	return v->ops->link_target(v, node, out, e);
}

int view_xattr(struct view *v, uint64_t node, struct bytes name, struct buf *out, struct err *e)
{
	return v->ops->xattr(v, node, name, out, e);
}

int view_xattr_names(struct view *v, uint64_t node, bool privileged, struct buf *out,
		     struct err *e)
{
	out->len = 0;
	return v->ops->xattr_names(v, node, privileged, out, e);
}

int view_flags(struct view *v, uint64_t node, uint32_t *out, struct err *e)
{
	return v->ops->flags(v, node, out, e);
}

int view_content(struct view *v, uint64_t node, struct content *out, struct err *e)
{
	*out = (struct content){ 0 };
	return v->ops->content(v, node, out, e);
}

int view_space(struct view *v, struct repo_space *out, struct err *e)
{
	return v->ops->space(v, out, e);
}

bool view_await(struct view *v, uint64_t node, view_ready_fn *fn, void *arg)
{
	assert(fn);
	return v->ops->await(v, node, fn, arg);
}

int view_refresh(struct view *v, view_changed_fn *fn, void *arg, struct err *e)
{
	return v->ops->refresh(v, fn, arg, e);
}

void view_free(struct view *v)
{
	if (v)
		v->ops->close(v);
}
