#ifndef FS_WORKSPACE_H
#define FS_WORKSPACE_H

/*
 * workspace.h - the view of a repository with the staging directory in it.
 *
 * A node with STAGE_BIT is the staging's; all others are those of the view below.  Where an archive
 * has the staging directory's name, the archive is shown.
 *
 * Threads: as view.h; workspace_follow() from any, too.
 */

#include "fs/staging.h"
#include "fs/view.h"

struct workspace_options {
	const char *name; /* of the staging directory */
	unsigned
		removal_s; /* names in archives can be removed, and show again after so long; 0: not */
};

/* `below` is the workspace's from now on, also when this fails; the staging outlives it. */
int workspace_open(struct view **out, struct view *below, struct staging *staging,
		   const struct workspace_options *options, struct err *e);

/* The view below sees what was just committed.  Changes are told by the next view_refresh(). */
int workspace_follow(struct view *v, struct err *e);
/* An archive was published as `name` in the root: the kernel's idea of it is to be renewed. */
void workspace_published(struct view *v, struct bytes name);

/* See view_content(), waiting for the archive to be opened. */
int workspace_content(struct view *v, uint64_t node, struct content *out, struct err *e);
/*
 * A new name in a staged directory for a node of an archive: a staged node with the same attributes
 * and chunks, of its own.  -EAGAIN: it would have to wait (for the archive) and !may_wait.  -EPERM a
 * directory; errors of stage_make().
 */
int workspace_link(struct view *v, uint64_t node, uint64_t dir, struct bytes name,
		   bool may_wait, struct stage_node *out, struct err *e);

/*
 * A name inside an archive is hidden, a directory where `dir` says so and only an empty one; the archive
 * stays as it is (removal.h).  Waits.  -EROFS not here; -ENOENT, -ENOTDIR, -EISDIR, -ENOTEMPTY.
 */
int workspace_hide(struct view *v, uint64_t parent, struct bytes name, bool dir, struct err *e);
/* May a list that was given out change?  One atomic load. */
bool workspace_hides(struct view *v);
/* Around the removal of an archive: *archive is what the second call wants. */
void workspace_begin_removal(struct view *v, struct bytes name, uint32_t *archive);
void workspace_end_removal(struct view *v, uint32_t archive, bool gone);

static inline bool is_staged(uint64_t node)
{
	return node & STAGE_BIT;
}

#endif
