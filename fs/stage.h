#ifndef FS_STAGE_H
#define FS_STAGE_H

/*
 * stage.h - the tree below new/: names, attributes and links of an ordinary POSIX file system, in memory.
 *
 * One stage holds all archives in the making: its root is new/ itself, and each directory in the root
 * is one of them.  What a file contains is its user's (struct stage_content); everything else that
 * stat(2), readdir(3) and the xattr calls tell is here.  Permissions to do something are the caller's
 * affair (the kernel checks them); what follows from doing it is ours: owners and modes of new
 * nodes, set-group-ID and default ACLs handed down, times, link counts, what chmod does to an ACL.
 *
 * A node is named by a number that is never given again while the stage lives.  It is kept as long as
 * it has a name, or somebody holds it.
 *
 * Each directory of the root can be frozen: it leaves the root, and from then on everything in it answers
 * as it was and refuses every change (-EROFS), until nobody holds anything of it; then it is gone.
 * No file has names in two of them (-EXDEV).
 *
 * Flags of chattr(1) are kept, and immutable and append-only refuse what ext4 refuses (-EPERM).
 *
 * Source: POSIX.1-2017; acl(5); ext4, where POSIX leaves it open.
 * Threads: all functions from any; a struct stage_node is a copy.
 */

#include "core/base/bytes.h"
#include "core/base/cleanup.h"

#include <stdbool.h>
#include <sys/stat.h>

struct stage;
struct stage_content; /* the user's */

enum {
	STAGE_NAME_MAX = 255,
	STAGE_XATTR_NAME_MAX = 255,
	STAGE_XATTR_MAX = 65536, /* bytes of a value, as the kernel has it */
};
#define STAGE_BIT (UINT64_C(1) << 63) /* in every number but the root's, too */

struct stage_node {
	struct stat st; /* st_ino is the number */
	uint32_t flags; /* of chattr(1) */
	bool frozen;
	struct stage_content *content; /* of a regular file; may be NULL */
};

struct stage_options {
	uid_t uid; /* of the root directory */
	gid_t gid;
	bool acls; /* system.posix_acl_* are ACLs; else attributes like others */
	/* A regular file is no more: its content is to be freed.  Called without a lock. */
	void (*dispose)(void *arg, struct stage_content *content);
	void *arg;
};

/* -ENOMEM. */
int stage_new(struct stage **out, const struct stage_options *options);
void stage_free(struct stage *s); /* does nothing for NULL */
DEFINE_CLEANUP(struct stage *, stage_free);
uint64_t stage_root(const struct stage *s);

/* --- looking ---  Errors of all: -ESTALE no such node; -ENOTDIR; -ENOENT; -ENAMETOOLONG. */

int stage_get(struct stage *s, uint64_t node, struct stage_node *out);
int stage_lookup(struct stage *s, uint64_t dir, struct bytes name, struct stage_node *out);
/* The directory above a directory; the root is its own. */
int stage_parent(struct stage *s, uint64_t dir, struct stage_node *out);
/* The directory in the root that a node is in, or is: the archive it belongs to.  -ENOENT for the root. */
int stage_archive(struct stage *s, uint64_t node, uint64_t *out);

/* One name; `cookie` (never 0) resumes behind it.  Nonzero stops.  Nothing of the stage may be called. */
typedef int stage_list_fn(void *arg, struct bytes name, const struct stage_node *node,
			  uint64_t cookie);
/* Names in the order in which they came, behind `after` (0: from the start).  Whatever changes between
 * two calls, a name that stays comes once. */
int stage_list(struct stage *s, uint64_t dir, uint64_t after, stage_list_fn *fn, void *arg);
/* Replaces out's content.  -EINVAL not a symbolic link. */
int stage_link_target(struct stage *s, uint64_t node, struct buf *out);

/* The next regular file that is not frozen (nameless: and has no name), in no order: 1, and it is held
 * once for the caller; 0 behind the last.  *cursor is 0 at first.  One that is made meanwhile may be
 * left out. */
int stage_next_file(struct stage *s, bool nameless, uint64_t *cursor, struct stage_node *out);

/* Is there a regular file without a name, that somebody holds? */
bool stage_has_nameless(struct stage *s);

/* Holding: a node that is held stays when its last name goes. */
int stage_hold(struct stage *s, uint64_t node, uint64_t times);
void stage_release(struct stage *s, uint64_t node, uint64_t times);

/* --- names --- */

struct stage_maker { /* who makes something */
	uid_t uid;
	gid_t gid;
	mode_t umask; /* not applied where the directory has a default ACL */
	bool privileged;
};

/*
 * A new node: kind and permissions from mode; rdev for devices; target for symbolic links; content for
 * regular files, which is the stage's from then on.  -EEXIST, -EINVAL a name that no file can have,
 * -ENOSPC, -ENOMEM.  In all of them content stays the caller's.
 */
struct stage_making {
	mode_t mode;
	dev_t rdev;
	struct bytes target;
	struct stage_content *content;
};
int stage_make(struct stage *s, uint64_t dir, struct bytes name, const struct stage_maker *who,
	       const struct stage_making *what, struct stage_node *out);
/* -EPERM a directory, -EMLINK. */
int stage_link(struct stage *s, uint64_t node, uint64_t dir, struct bytes name,
	       struct stage_node *out);
int stage_unlink(struct stage *s, uint64_t dir, struct bytes name); /* -EISDIR */
int stage_rmdir(struct stage *s, uint64_t dir, struct bytes name);  /* -ENOTEMPTY */
/* flags: RENAME_NOREPLACE, RENAME_EXCHANGE, or 0.  -EINVAL into itself, -EEXIST, -ENOTEMPTY, -EISDIR,
 * -ENOTDIR as rename(2). */
int stage_rename(struct stage *s, uint64_t from_dir, struct bytes from, uint64_t to_dir,
		 struct bytes to, unsigned flags);

/* --- attributes --- */

enum stage_set {
	STAGE_MODE = 1 << 0,
	STAGE_UID = 1 << 1,
	STAGE_GID = 1 << 2,
	STAGE_SIZE = 1 << 3,
	STAGE_ATIME = 1 << 4,
	STAGE_MTIME = 1 << 5,
	STAGE_CTIME = 1 << 6,
	STAGE_KILL_SUID = 1 << 7, /* a write by somebody without privilege: set-user-ID goes */
	STAGE_GROW = 1 << 8,      /* with STAGE_SIZE: unless it is larger already */
	STAGE_WRITTEN = 1 << 9,   /* by a write to an open file: flags were asked then */
};
/* Set what `set` names, from *st; ctime becomes now unless it is named. */
int stage_set(struct stage *s, uint64_t node, unsigned set, const struct stat *st,
	      struct stage_node *out);
int stage_set_flags(struct stage *s, uint64_t node, uint32_t flags);

/* 1 with out replaced, 0 none. */
int stage_xattr(struct stage *s, uint64_t node, struct bytes name, struct buf *out);
/* Names, each with a NUL behind it, in the order of their names. */
int stage_xattr_names(struct stage *s, uint64_t node, struct buf *out);
/* flags as for setxattr(2): -EEXIST, -ENODATA; -ERANGE the name, -E2BIG the value; -EINVAL no ACL. */
int stage_set_xattr(struct stage *s, uint64_t node, struct bytes name, struct bytes value,
		    int flags);
/* -ENODATA; not of an ACL, which every node has in its mode. */
int stage_remove_xattr(struct stage *s, uint64_t node, struct bytes name);

/*
 * --- marks: what has changed since somebody wrote it down (outline.h) ---
 *
 * Each node may have one mark, never 0.  Whatever changes what an item tells of the node, its names
 * in particular, takes the mark from it, and the mark is stale from then on.
 */
uint32_t stage_new_mark(struct stage *s); /* 0: all have been used */
void stage_mark(struct stage *s, uint64_t node, uint32_t mark);
bool stage_is_stale(struct stage *s, uint32_t mark);
void stage_drop_mark(struct stage *s,
		     uint32_t mark); /* it is on no node that matters any more */
/* The content of a node is another list of chunks. */
void stage_mark_stale(struct stage *s, uint64_t node);
/* Goes up with each change of a file that has, or had, several names. */
uint64_t stage_link_changes(struct stage *s);

/* The names in a directory: both differ from what they were, or no name has come or gone. */
struct stage_names {
	uint64_t last_cookie, count;
};
int stage_names(struct stage *s, uint64_t dir, struct stage_names *out);
/* How many names with cookies in (after, last] are no directories. */
int stage_count_files(struct stage *s, uint64_t dir, uint64_t after, uint64_t last,
		      uint64_t *count);
/* The cookie of the max-th name behind `after` that is no directory, or of the last one; *count: which it
 * is, 0 where there is none. */
int stage_skip_files(struct stage *s, uint64_t dir, uint64_t after, uint64_t max,
		     uint64_t *last, uint64_t *count);
/* As stage_list(), only directories, and without a look at others where there is none. */
int stage_list_dirs(struct stage *s, uint64_t dir, stage_list_fn *fn, void *arg);

/* Freeze a directory of the root.  -ENOENT it is none. */
int stage_freeze(struct stage *s, uint64_t dir);

struct stage_usage {
	uint64_t nodes, bytes; /* bytes of memory, about */
};
void stage_usage(struct stage *s, struct stage_usage *out);

#endif
