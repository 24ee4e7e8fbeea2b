#ifndef FS_VIEW_H
#define FS_VIEW_H

/*
 * view.h - what a mount shows: a tree of numbered nodes, whatever it is made of.
 *
 * The mount asks every question here.  archives.h is the view of a repository: a folder per
 * archive, one archive, or one tree made of several.  An implementation embeds struct view as its
 * first member and fills the table.
 *
 * A node is named by its inode number, which never changes its meaning while the view lives.
 * Archives are loaded when first entered, so any question may come back with -EINPROGRESS: the
 * answer would need an archive that is not in memory.  The caller then leaves a function with
 * view_await() and asks again from there; so a thread that must not wait never does.
 *
 * Threads: everything from any thread; view_refresh() one at a time; view_free() alone.
 */

#include "core/base/bytes.h"
#include "core/base/cleanup.h"
#include "core/base/err.h"
#include "core/repo/repo.h"
#include "fs/content.h"

#include <stdbool.h>
#include <sys/stat.h>

enum { VIEW_ROOT = 1 }; /* the number of the topmost directory */

struct view;

struct view_entry {
	struct stat st;    /* st_ino names the node */
	bool settled;      /* these attributes hold as long as the view lives */
	bool name_settled; /* and so does what the name means: for view_lookup(), absent too */
	uint64_t entry; /* of view_lookup() and view_list(): this name, in an archive; else 0 */
};

/* One name of a directory, with a NUL behind it.  `cookie` (never 0) resumes the list behind it.
 * Nonzero stops. */
typedef int view_list_fn(void *arg, struct bytes name, const struct view_entry *entry,
			 uint64_t cookie);
/* Called once, from a thread that may wait. */
typedef void view_ready_fn(void *arg);
/* `name` in `dir` no longer means what it meant; an empty name: the list of
 * dir has changed, or an attribute of this node. */
typedef void view_changed_fn(void *arg, uint64_t dir, struct bytes name);

struct view_ops {
	int (*lookup)(struct view *v, uint64_t dir, struct bytes name, struct view_entry *out,
		      struct err *e);
	int (*parent)(struct view *v, uint64_t dir, struct view_entry *out, struct err *e);
	int (*entry)(struct view *v, uint64_t node, struct view_entry *out, struct err *e);
	int (*list)(struct view *v, uint64_t dir, uint64_t after, view_list_fn *fn, void *arg,
		    struct err *e);
	int (*link_target)(struct view *v, uint64_t node, struct buf *out, struct err *e);
	int (*xattr)(struct view *v, uint64_t node, struct bytes name, struct buf *out,
		     struct err *e);
	int (*xattr_names)(struct view *v, uint64_t node, bool privileged, struct buf *out,
			   struct err *e);
	int (*flags)(struct view *v, uint64_t node, uint32_t *out, struct err *e);
	int (*content)(struct view *v, uint64_t node, struct content *out, struct err *e);
	int (*space)(struct view *v, struct repo_space *out, struct err *e);
	bool (*await)(struct view *v, uint64_t node, view_ready_fn *fn, void *arg);
	int (*refresh)(struct view *v, view_changed_fn *fn, void *arg, struct err *e);
	void (*close)(struct view *v);
};

struct view {
	const struct view_ops *ops;
};

/*
 * Errors of all questions about a node: -ESTALE no such node (any more), -EINPROGRESS see above,
 * -EIO and -EBADMSG with the reason.
 */

/* 1 found, 0 no such name (out->name_settled is set all the same).  -ENOTDIR. */
int view_lookup(struct view *v, uint64_t dir, struct bytes name, struct view_entry *out,
		struct err *e);
/* The directory above a directory; the root is its own. */
int view_parent(struct view *v, uint64_t dir, struct view_entry *out, struct err *e);
int view_entry(struct view *v, uint64_t node, struct view_entry *out, struct err *e);
/* The names behind cookie `after` (0: from the start), "." and ".." not among them. */
int view_list(struct view *v, uint64_t dir, uint64_t after, view_list_fn *fn, void *arg,
	      struct err *e);
/* Replaces out's content.  -EINVAL not a symbolic link. */
int view_link_target(struct view *v, uint64_t node, struct buf *out, struct err *e);
/* One extended attribute, POSIX ACLs in the kernel's binary form: 1 with out replaced, 0 none. */
int view_xattr(struct view *v, uint64_t node, struct bytes name, struct buf *out,
	       struct err *e);
/* Their names, each with a NUL behind it; those of "trusted." only for the privileged. */
int view_xattr_names(struct view *v, uint64_t node, bool privileged, struct buf *out,
		     struct err *e);
/* The flags of lsattr(1), as FS_IOC_GETFLAGS has them. */
int view_flags(struct view *v, uint64_t node, uint32_t *out, struct err *e);
/* A file for reading; content_fini() releases it.  -EIO a damaged file, -EISDIR, -EINVAL. */
int view_content(struct view *v, uint64_t node, struct content *out, struct err *e);
/* Waits for the disk. */
int view_space(struct view *v, struct repo_space *out, struct err *e);

/*
 * After -EINPROGRESS about `node`: begins to load what is missing, unless somebody has, and
 * calls fn(arg) when it is there or has failed.  False where there is nothing to wait for (any
 * more): fn will not be called, ask again.
 */
bool view_await(struct view *v, uint64_t node, view_ready_fn *fn, void *arg);

/* Follow the repository: 1 something changed (told by fn, after the change can be seen), 0, or
 * -errno, and the view stays as it was. */
int view_refresh(struct view *v, view_changed_fn *fn, void *arg, struct err *e);

void view_free(struct view *v); /* calls what still waits; does nothing for NULL */
DEFINE_CLEANUP(struct view *, view_free);

#endif
