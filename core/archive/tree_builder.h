#ifndef ARCHIVE_TREE_BUILDER_H
#define ARCHIVE_TREE_BUILDER_H

/*
 * tree_builder.h - items in, one after the other; a tree out.
 *
 * The rules are those of tree_build.h.  Items may come from anywhere: an archive's stream, or
 * several (the versions view).  Nothing of an item is needed after its call.
 * Threads: one user.
 */

#include "core/archive/item.h"
#include "core/archive/match.h"
#include "core/archive/tree.h"

struct tree_builder;

struct tree_builder_options {
	struct chunk_id archive_id; /* kept in the image */
	int64_t made_up_ns;         /* the times of directories that no item names */
	uint32_t made_up_uid, made_up_gid;
	struct matcher *matcher; /* NULL: everything */
	unsigned strip_components;
	bool consider_part_files;
};

int tree_builder_new(struct tree_builder **out, const struct tree_builder_options *options,
		     struct err *e);
void tree_builder_free(struct tree_builder *b);
DEFINE_CLEANUP(struct tree_builder *, tree_builder_free);

/* 1 taken, 0 left out (and counted, where its path was refused); -errno. */
int tree_builder_add(struct tree_builder *b, const struct item *it, struct err *e);
/* How many items had a path that no directory can hold. */
size_t tree_builder_refused(const struct tree_builder *b);

/* A path without its first components, empty where it has no more. */
struct bytes tree_strip(struct bytes path, unsigned components);

/* Sort, link, lay out.  The builder is of no use afterwards. */
int tree_builder_finish(struct tree_builder *b, bool damaged, struct tree **out, struct err *e);

#endif
