#ifndef FS_CHILDREN_H
#define FS_CHILDREN_H

/*
 * children.h - the names in a directory of the staged tree, copied: the stage may be asked about them.
 *
 * Threads: one user.
 */

#include "core/base/err.h"
#include "fs/stage.h"

struct child {
	uint64_t node;
	size_t name; /* where it begins in children.names */
	uint32_t name_len;
	bool is_dir;
};

struct children {
	struct child *v;
	size_t count, cap;
	struct buf names;
	bool failed;
};

void children_fini(struct children *c);
/* Replace them by the names with cookies in (after, last]. */
int children_list(struct children *c, struct stage *s, uint64_t dir, uint64_t after,
		  uint64_t last, struct err *e);
int children_list_dirs(struct children *c, struct stage *s, uint64_t dir, struct err *e);
/* "/NAME" behind a path, or "NAME" where it is empty. */
int children_append_name(const struct children *c, const struct child *which, struct buf *path);

#endif
