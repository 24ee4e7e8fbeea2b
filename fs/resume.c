/* resume.c - see resume.h. */

#include "fs/resume.h"

#include "core/base/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char part_mark[] = ".borg_part_";

struct folder {         /* one that is to be filled, then to get its attributes */
	uint32_t index; /* in the archive */
	uint64_t node;
};

struct part { /* of an unfinished file */
	uint64_t dir;
	uint32_t index;
	uint64_t number;
	size_t base_len;
	char name[STAGE_NAME_MAX + 1];
};

struct resume {
	struct staging *staging;
	struct stage *stage;
	struct volume *from;
	struct fetch *fetch;
	const struct attr_policy *policy;
	struct buf folders; /* of struct folder, each before those in it */
	struct buf parts;   /* of struct part */
	struct table files; /* index of a hard link's file -> its node */
	struct buf name, text;
};

static void resume_fini(struct resume *r)
{
	buf_fini(&r->folders);
	buf_fini(&r->parts);
	buf_fini(&r->name);
	buf_fini(&r->text);
	table_fini(&r->files);
}

/* --- attributes --- */

static int copy_xattr(struct resume *r, const struct tree_node *n, uint64_t to,
		      struct bytes name, struct err *e)
{
	CLEANUP(buf_fini) struct buf value = BUF_INIT;
	int rc = attr_xattr(r->policy, r->from->tree, n, name, &value, e);

	return rc > 0 ? stage_set_xattr(r->stage, to, name, buf_bytes(&value), 0) : rc;
}

static int set_attributes(struct resume *r, const struct tree_node *n, uint64_t to,
			  struct err *e)
{
	CLEANUP(buf_fini) struct buf names = BUF_INIT;
	struct stage_node out;
	struct stat st;
	int rc = attr_xattr_names(r->from->tree, n, true, &names, e);

	for (size_t at = 0; rc == 0 && at < names.len;) {
		struct bytes name = bytes_str((const char *)names.p + at);

		rc = copy_xattr(r, n, to, name, e);
		at += name.len + 1;
	}
	attr_stat(r->policy, &r->from->owners, n, to, &st);
	if (rc == 0)
		rc = stage_set(r->stage, to,
			       STAGE_MODE | STAGE_UID | STAGE_GID | STAGE_ATIME | STAGE_MTIME |
				       STAGE_CTIME,
			       &st, &out);
	if (rc == 0 && attr_flags(n->bsdflags))
		rc = stage_set_flags(r->stage, to, attr_flags(n->bsdflags));
	return rc;
}

static int add_content(struct resume *r, const struct tree_node *n, uint64_t to, uint64_t off,
		       struct err *e)
{
	struct content from = { .volume = r->from, .file = *n, .fetch = r->fetch };
	uint64_t len = n->size;

	return staging_import(r->staging, &from, 0, to, off, &len, true, e);
}

/* --- nodes --- */

static int make(struct resume *r, uint64_t dir, struct bytes name, const struct tree_node *n,
		uint64_t *out, struct err *e)
{
	static const struct stage_maker who = { .privileged = true };
	struct stage_making what = { .mode = n->mode, .rdev = n->rdev };
	struct stage_node made;
	int rc = 0;

	if (S_ISLNK(n->mode))
		rc = tree_link_target(r->from->tree, n->index, &r->text, e);
	what.target = buf_bytes(&r->text);
	if (rc == 0 && S_ISREG(n->mode))
		rc = staging_new_content(r->staging, dir, &what.content);
	if (rc < 0)
		return rc;
	rc = stage_make(r->stage, dir, name, &who, &what, &made);
	if (rc < 0 && what.content)
		staging_drop_content(what.content);
	*out = made.st.st_ino;
	return rc;
}

static int note_folder(struct resume *r, uint32_t index, uint64_t node)
{
	struct folder f = { index, node };

	return buf_append(&r->folders, &f, sizeof(f));
}

static int add_new(struct resume *r, uint64_t dir, const struct tree_node *n, uint64_t *out,
		   struct err *e)
{
	int rc = make(r, dir, buf_bytes(&r->name), n, out, e);

	if (rc == 0 && S_ISDIR(n->mode))
		return note_folder(r, n->index, *out); /* its attributes come last */
	if (rc == 0 && S_ISREG(n->mode))
		rc = add_content(r, n, *out, 0, e);
	return rc == 0 ? set_attributes(r, n, *out, e) : rc;
}

/* Another name of a file that is there, or the first of several. */
static int add_link(struct resume *r, uint64_t dir, const struct tree_node *n, struct err *e)
{
	struct stage_node out;
	struct tree_node file;
	uint64_t key = n->file, made, *known = table_get(&r->files, &key);
	int rc;

	if (known)
		return stage_link(r->stage, *known, dir, buf_bytes(&r->name), &out);
	rc = tree_node(r->from->tree, n->file, &file, e);
	if (rc == 0)
		rc = add_new(r, dir, &file, &made, e);
	known = rc == 0 ? table_put(&r->files, &key, NULL) : NULL;
	if (known)
		*known = made;
	return rc == 0 && !known ? -ENOMEM : rc;
}

/* --- files that were not finished --- */

static bool read_part_name(struct bytes name, struct part *out)
{
	char *mark, *last = NULL, *end;

	if (name.len > STAGE_NAME_MAX)
		return false;
	memcpy(out->name, name.p, name.len);
	out->name[name.len] = 0;
	for (mark = out->name; (mark = strstr(mark, part_mark)); mark++)
		last = mark;
	if (!last || last == out->name)
		return false;
	out->number = strtoull(last + sizeof(part_mark) - 1, &end, 10);
	out->base_len = (size_t)(last - out->name);
	return *end == 0 && out->number > 0;
}

static int compare_parts(const void *a, const void *b)
{
	const struct part *x = a, *y = b;
	int order = (x->dir > y->dir) - (x->dir < y->dir);

	if (order == 0 && x->base_len != y->base_len)
		order = x->base_len > y->base_len ? 1 : -1;
	if (order == 0)
		order = memcmp(x->name, y->name, x->base_len);
	return order ? order : (x->number > y->number) - (x->number < y->number);
}

static bool same_file(const struct part *x, const struct part *y)
{
	return x->dir == y->dir && x->base_len == y->base_len &&
	       memcmp(x->name, y->name, x->base_len) == 0;
}

/* The parts [0, count) of one file, in their order; nothing where the file itself is there. */
static int join_parts(struct resume *r, const struct part *parts, size_t count, struct err *e)
{
	struct bytes name = { (const uint8_t *)parts->name, parts->base_len };
	struct stage_node there;
	struct tree_node n;
	uint64_t node, at = 0;
	int rc = stage_lookup(r->stage, parts->dir, name, &there);

	if (rc != -ENOENT)
		return rc;
	rc = tree_node(r->from->tree, parts->index, &n, e);
	if (rc == 0)
		rc = make(r, parts->dir, name, &n, &node, e);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		rc = tree_node(r->from->tree, parts[i].index, &n, e);
		if (rc == 0)
			rc = add_content(r, &n, node, at, e);
		at += n.size;
	}
	return rc == 0 ? set_attributes(r, &n, node, e) : rc;
}

static int join_all(struct resume *r, struct err *e)
{
	struct part *parts = (struct part *)(void *)r->parts.p;
	size_t count = r->parts.len / sizeof(*parts), end;
	int rc = 0;

	if (count > 0)
		qsort(parts, count, sizeof(*parts), compare_parts);
	for (size_t i = 0; rc == 0 && i < count; i = end) {
		for (end = i + 1; end < count && same_file(&parts[end], &parts[i]);)
			end++;
		rc = join_parts(r, &parts[i], end - i, e);
	}
	return rc;
}

/* --- the tree --- */

static int add_child(struct resume *r, uint64_t dir, uint32_t index, struct err *e)
{
	struct part part = { .dir = dir, .index = index };
	struct tree_node n;
	uint64_t made;
	int rc = tree_node(r->from->tree, index, &n, e);

	if (rc == 0)
		rc = tree_entry_name(r->from->tree, index, &r->name, e);
	if (rc < 0)
		return rc;
	if (n.part && read_part_name(buf_bytes(&r->name), &part))
		return buf_append(&r->parts, &part, sizeof(part));
	if (n.nlink > 1 && !S_ISDIR(n.mode))
		return add_link(r, dir, &n, e);
	return add_new(r, dir, &n, &made, e);
}

static struct folder folder_at(const struct resume *r, size_t i)
{
	struct folder f;

	memcpy(&f, r->folders.p + i * sizeof(f), sizeof(f));
	return f;
}

static int fill_folders(struct resume *r, struct err *e)
{
	struct tree_node n;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < r->folders.len / sizeof(struct folder); i++) {
		struct folder f = folder_at(r, i);

		rc = tree_node(r->from->tree, f.index, &n, e);
		for (uint32_t k = 0; rc == 0 && k < n.child_count; k++)
			rc = add_child(r, f.node, n.first_child + k, e);
	}
	return rc;
}

/* Last, since filling a folder changes its times, and what it hands down. */
static int finish_folders(struct resume *r, struct err *e)
{
	struct tree_node n;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < r->folders.len / sizeof(struct folder); i++) {
		struct folder f = folder_at(r, i);

		rc = tree_node(r->from->tree, f.index, &n, e);
		if (rc == 0)
			rc = set_attributes(r, &n, f.node, e);
	}
	return rc;
}

int resume_tree(struct staging *s, uint64_t top, struct volume *from, struct fetch *fetch,
		const struct attr_policy *policy, struct err *e)
{
	CLEANUP(resume_fini)
	struct resume r = {
		.staging = s,
		.stage = staging_stage(s),
		.from = from,
		.fetch = fetch,
		.policy = policy,
	};
	int rc;

	table_init(&r.files, sizeof(uint64_t), sizeof(uint64_t));
	rc = note_folder(&r, TREE_ROOT, top);
	if (rc == 0)
		rc = fill_folders(&r, e);
	if (rc == 0)
		rc = join_all(&r, e);
	if (rc == 0)
		rc = finish_folders(&r, e);
	if (rc < 0 && !e->msg[0])
		return err_set(e, -rc, "%s: %s", from->name, strerror(-rc));
	return rc;
}
