#ifndef FS_STAGE_INTERNAL_H
#define FS_STAGE_INTERNAL_H

/*
 * stage_internal.h - what the parts of the staged tree share: stage.c, stage_names.c, stage_change.c,
 * stage_rename.c, stage_attr.c, stage_mark.c.
 *
 * Threads: all functions here under the stage's lock, but stage_dispose(), which is called without it.
 */

#include "core/base/slab.h"
#include "core/base/table.h"
#include "core/base/thread.h"
#include "fs/stage.h"

struct name {          /* of a node in a directory; on the heap */
	uint32_t node; /* its slot */
	uint32_t hash;
	uint8_t len;
	uint8_t text[];
};

/* A directory's names: found by hash, listed by cookie. */
struct names {
	uint32_t
		*slots; /* open addressing, `cap` (a power of two) of them: places, from 1 on */
	size_t cap, used; /* used: with those that are gone */
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
	uint64_t holds, size;
	int64_t atime, mtime, ctime; /* ns since 1970 */
	uint32_t slot;               /* its own */
	uint32_t mode, uid, gid, nlink, flags;
	uint32_t
		archive; /* slot of the directory of the root that it belongs to, or is; the root: its own */
	uint32_t mark; /* see stage_mark(); 0: none */
	struct xattr *xattrs;
	union {
		struct directory *dir;
		struct stage_content *content;
		char *target;
		dev_t rdev;
	} of;
};

struct stage {
	struct stage_options options;
	struct mutex lock; /* guards all that follows, with every node */
	struct slab nodes; /* struct node; a number without STAGE_BIT */
	struct node *root;
	uint64_t bytes;     /* beside the nodes */
	uint64_t nameless;  /* files without a name that somebody holds */
	struct table stale; /* marks that a change has taken from a node -> nothing */
	bool all_stale;     /* ... and others, for which there was no memory */
	uint64_t last_mark, link_changes;
	uint64_t seed;
};

/* --- stage.c: nodes --- */

struct node *stage_find(const struct stage *s, uint64_t number);
int64_t stage_now(void); /* ns since 1970 */
int64_t stage_to_ns(const struct timespec *t);
void stage_describe(const struct stage *s, const struct node *n, struct stage_node *out);
/* In which directory it will be; NULL for the root.  -ENOMEM, -ENOSPC. */
int stage_new_node(struct stage *s, const struct node *dir, mode_t kind, struct node **out);
/* The node is no more; its content, if any, is the caller's to dispose of. */
struct stage_content *stage_free_node(struct stage *s, struct node *n);
/* The same where it has no name and nobody holds it; else NULL. */
struct stage_content *stage_drop_unused(struct stage *s, struct node *n);
void stage_dispose(const struct stage *s, struct stage_content *content); /* may be NULL */

static inline uint64_t stage_number(const struct stage *s, const struct node *n)
{
	return STAGE_BIT | slab_number(&s->nodes, n->slot);
}

/* What a name stands for. */
static inline struct node *stage_named(const struct stage *s, const struct name *name)
{
	return slab_at(&s->nodes, name->node);
}

/* The archive it belongs to, or is; of what is no archive in the root: the root. */
struct node *stage_archive_of(const struct stage *s, const struct node *n);
/* The slot of what n belongs to once it is in dir. */
uint32_t stage_archive_in(const struct stage *s, const struct node *n, const struct node *dir);

/* What every call begins with.  -ESTALE, -ENOTDIR. */
int stage_find_dir(const struct stage *s, uint64_t number, struct node **out);
/* One in which something may be made.  Also -EROFS, -ENOENT, -EPERM. */
int stage_find_live_dir(const struct stage *s, uint64_t number, struct node **out);
int stage_find_entry(const struct stage *s, uint64_t dir, struct bytes text,
		     struct node **dir_out, struct name **out);
/* The same for one that is to lose its place. */
int stage_find_removable(const struct stage *s, uint64_t dir, struct bytes text,
			 struct node **dir_out, struct name **out);
int stage_check_frozen(const struct stage *s, const struct node *n); /* -EROFS */
/* May the node itself be changed?  -EROFS frozen, -EPERM immutable or append-only. */
int stage_check_change(const struct stage *s, const struct node *n);
void stage_touch_dir(struct stage *s, struct node *dir);
/* Something that its item tells is another now. */
void stage_changed(struct stage *s, struct node *n);

/* --- stage_names.c: the names in a directory --- */

int stage_check_name(struct bytes name); /* -ENAMETOOLONG, -EINVAL */
struct name *stage_find_name(const struct stage *s, const struct node *dir, struct bytes text);
/* The first place behind a cookie. */
size_t stage_place_behind(const struct names *names, uint64_t cookie);
/* Room for one more, so that adding it cannot fail. */
int stage_reserve_name(struct node *dir);
struct name *stage_make_name(const struct stage *s, struct bytes text);
/* About: with its place and slot. */
size_t stage_name_bytes(const struct name *name);
void stage_add_name(struct stage *s, struct node *dir, struct name *name, struct node *n);
/* Out of the directory; the name is the caller's. */
void stage_take_name(struct stage *s, struct node *dir, struct name *name);

/* --- stage_change.c --- */

/* The name goes, and with it maybe the node: its content, or NULL. */
struct stage_content *stage_remove_name(struct stage *s, struct node *dir, struct name *name);

/* --- stage_attr.c --- */

void stage_free_xattrs(struct stage *s, struct node *n);
/* A new node below `dir` gets what its default ACL says, or the mode without the umask.  -ENOMEM. */
int stage_inherit(struct stage *s, const struct node *dir, struct node *n, mode_t mode,
		  mode_t umask);

#endif
