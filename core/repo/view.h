#ifndef REPO_VIEW_H
#define REPO_VIEW_H

/*
 * view.h - where every object of one committed transaction is: the newest index, plus what the
 * committed segments after it change.
 *
 * A view is immutable and counted by references; who follows the log makes the next one and
 * swaps.  Making a view reads headers only and nothing behind the last COMMIT.  Where there is no
 * usable index the log itself is replayed, and the result kept in the cache folder, never in the
 * repository.
 *
 * Source: docs/format.md "Committed state", "Accounting".
 * Threads: any number may use a view.
 */

#include "core/repo/index.h"

struct view;

struct view_home {
	int dirfd; /* the repository's folder */
	const char *path;
	uint32_t segments_per_dir;
	const char *cache_dir; /* for a rebuilt index; NULL: kept in memory */
};

/*
 * The view of the repository as it is now.  `before` (may be NULL) is built upon where it still
 * fits.  distrust_index: replay the whole log instead, unless `before` is just that.
 * Errors: -EBADMSG with Repository.CheckNeeded where no transaction is committed; errno.
 */
int view_make(struct view **out, const struct view_home *home, struct view *before,
	      bool distrust_index, struct err *e);
struct view *view_ref(struct view *v);
void view_close(struct view *v); /* drops a reference; does nothing for NULL */
DEFINE_CLEANUP(struct view *, view_close);

bool view_find(const struct view *v, const struct chunk_id *id, struct place *out);
uint64_t view_transaction(const struct view *v);
/* Does it stand on one of the repository's own index files?  Its number, then. */
bool view_index(const struct view *v, uint32_t *number);

/* Is the index that this view stands on undamaged?  1 yes (or made by us), 0 no, -ENOTSUP there
 * is no digest to tell.  Reads it all. */
int view_verify_index(const struct view *v, const struct view_home *home, struct err *e);

/* Every id; a nonzero result of fn stops and is returned. */
typedef int view_each(void *arg, const struct chunk_id *id);
int view_scan(const struct view *v, view_each *fn, void *arg);

#endif
