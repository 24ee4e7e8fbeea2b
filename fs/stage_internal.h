#ifndef FS_STAGE_INTERNAL_H
#define FS_STAGE_INTERNAL_H

/* stage_internal.h - between stage.c, which has nodes and names, and stage_attr.c, which has attributes. */

#include "core/base/thread.h"
#include "fs/stage.h"

struct name { /* of a node in a directory; on the heap */
	struct node *node;
	uint64_t cookie;
	uint32_t hash;
	uint16_t len;
	uint8_t text[];
};

/* A directory's names: found by hash, listed by cookie. */
struct names {
	struct name **slots; /* open addressing, `cap` (a power of two) of them */
	size_t cap, used;    /* used: with those that are gone */
	struct place {
		uint64_t cookie;
		struct name *name; /* NULL: gone */
	} * order;
	size_t order_len, order_cap, count;
	uint64_t last_cookie;
};

struct xattr {
	struct xattr *next; /* in the order of their names */
	uint32_t value_len;
	uint16_t name_len;
	uint8_t bytes[]; /* name, value */
};

struct directory {
	struct node *parent; /* NULL: removed, or the root */
	struct names names;
	/* Of one that is, or was, in the root: */
	uint64_t members; /* nodes that belong to it, itself not among them */
	uint64_t held;    /* once it is frozen: it and members that somebody holds */
	bool frozen;
};

struct node {
	uint64_t number, holds;
	struct timespec atime, mtime, ctime;
	uint64_t size;
	uint32_t mode, uid, gid, nlink, flags;
	uint32_t
		archive; /* slot of the directory of the root that it belongs to, or is; the root: its own */
	dev_t rdev;
	struct xattr *xattrs;
	union {
		struct directory *dir;
		struct stage_content *content;
		char *target;
	} of;
};

struct stage {
	struct stage_options options;
	struct mutex lock;   /* guards all that follows, with every node */
	struct node **nodes; /* by the low 32 bits of the number */
	uint32_t *generations;
	size_t node_cap, node_count;
	uint32_t free_slot; /* where to look for one */
	struct node *root;
	uint64_t bytes;
	uint64_t seed;
};

/* --- stage.c; under the lock --- */

struct node *stage_find(const struct stage *s, uint64_t number);
/* May the node itself be changed?  -EROFS frozen, -EPERM immutable or append-only. */
int stage_check_change(const struct stage *s, const struct node *n);
void stage_describe(const struct stage *s, const struct node *n, struct stage_node *out);
struct timespec stage_now(void);

/* --- stage_attr.c; under the lock --- */

void stage_free_xattrs(struct stage *s, struct node *n);
/* A new node below `dir` gets what its default ACL says, or the mode without the umask.  -ENOMEM. */
int stage_inherit(struct stage *s, const struct node *dir, struct node *n, mode_t mode,
		  mode_t umask);

#endif
