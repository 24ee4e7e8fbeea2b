/* staged_item.c - see staged_item.h. */

#include "fs/staged_item.h"

#include "core/platform/flags.h"

#include <errno.h>
#include <stdlib.h>

void item_out_fini(struct item_out *w)
{
	buf_fini(&w->path);
	buf_fini(&w->target);
	buf_fini(&w->value);
	xattr_list_fini(&w->xattrs);
}

/* --- attributes --- */

static int add_xattr(struct item_out *w, uint64_t node, struct bytes name)
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
static int gather_xattrs(struct item_out *w, uint64_t node)
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

static int give_content(struct item_out *w, struct stage_content *content, struct err *e)
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

static int fill_item(struct item_out *w, const struct stage_node *n, struct node *as,
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

static int fill_kind(struct item_out *w, const struct stage_node *n, struct item *it,
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

static int give(struct item_out *w, const struct stage_node *n, struct err *e)
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

/* --- which of them --- */

int item_out_give(struct item_out *w, const struct stage_node *n, struct err *e)
{
	if (S_ISSOCK(n->st.st_mode)) {
		w->counts.sockets++;
		return 0;
	}
	if (w->draft && n->content && staged_sync(n->content, NULL) < 0) {
		w->counts.lost++;
		return 0;
	}
	return give(w, n, e);
}
