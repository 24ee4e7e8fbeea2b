#ifndef FS_ATTR_H
#define FS_ATTR_H

/*
 * attr.h - a tree's node as stat(2), getxattr(2) and lsattr(1) show it.
 *
 * A policy says whose the files are and what of their modes is seen; it is set once and then
 * shared.  User and group names of a tree are looked up once, when it is opened.
 *
 * Threads: any; nothing here is changed after it was made.
 */

#include "core/archive/tree.h"
#include "core/platform/owner.h"

#include <sys/stat.h>

struct attr_policy {
	bool numeric_ids; /* numbers as stored, names ignored */
	bool force_uid, force_gid;
	uint32_t uid, gid; /* of everything, where forced */
	mode_t umask;      /* cleared from all modes */
	struct owner_cache *owners;
};

struct attr_owners { /* numbers here of the names in one tree, UINT32_MAX where unknown */
	uint32_t *uids, *gids;
	size_t count;
};

int attr_owners_init(struct attr_owners *o, const struct tree *t,
		     const struct attr_policy *policy, struct err *e);
void attr_owners_fini(struct attr_owners *o);

void attr_stat(const struct attr_policy *policy, const struct attr_owners *owners,
	       const struct tree_node *node, uint64_t ino, struct stat *out);

/* See view_xattr() and view_xattr_names(). */
int attr_xattr(const struct attr_policy *policy, struct tree *t, const struct tree_node *node,
	       struct bytes name, struct buf *out, struct err *e);
int attr_xattr_names(struct tree *t, const struct tree_node *node, bool privileged,
		     struct buf *out, struct err *e);

/* bsdflags as FS_IOC_GETFLAGS has them: nodump, immutable, append-only, compressed. */
uint32_t attr_flags(uint32_t bsdflags);

#endif
