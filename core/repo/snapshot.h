#ifndef REPO_SNAPSHOT_H
#define REPO_SNAPSHOT_H

/*
 * snapshot.h - where every object of one committed transaction is: the newest index, plus what the
 * committed segments after it change.
 *
 * A snapshot is immutable and counted by references; who follows the log makes the next one and
 * swaps.  Making a snapshot reads headers only and nothing behind the last COMMIT.  Where there is no
 * usable index the log itself is replayed, and the result kept in the cache folder, never in the
 * repository.
 *
 * Source: docs/format.md "Committed state", "Accounting".
 * Threads: any number may use a snapshot.
 */

#include "core/repo/index.h"

struct snapshot;

struct snapshot_home {
	int dirfd; /* the repository's folder */
	const char *path;
	uint32_t segments_per_dir;
	const char *cache_dir; /* for a rebuilt index; NULL: kept in memory */
};

/* What has been found wrong. */
struct snapshot_distrust {
	const struct index_version *index; /* this index of the repository's; NULL: none */
	bool kept; /* what is in the cache folder, and `before` where it is of the log alone */
};

/*
 * The snapshot of the repository as it is now.  `before` (may be NULL) is built upon where it still
 * fits.
 * Errors: -EBADMSG with Repository.CheckNeeded where there is an index and nothing is committed;
 * errno.
 */
int snapshot_make(struct snapshot **out, const struct snapshot_home *home,
		  struct snapshot *before, const struct snapshot_distrust *distrust,
		  struct err *e);
struct snapshot *snapshot_ref(struct snapshot *v);
void snapshot_close(struct snapshot *v); /* drops a reference; does nothing for NULL */
DEFINE_CLEANUP(struct snapshot *, snapshot_close);

bool snapshot_find(const struct snapshot *v, const struct chunk_id *id, struct place *out);
/* Nothing was ever committed: a repository whose making was cut short, or is under way. */
#define SNAPSHOT_NO_TRANSACTION UINT32_MAX
uint64_t snapshot_transaction(const struct snapshot *v);
/* Does it stand on one of the repository's own index files?  Which, then. */
bool snapshot_index(const struct snapshot *v, struct index_version *version);
/* Does it stand on an index of the cache folder's that was there already? */
bool snapshot_kept(const struct snapshot *v);

/* Is the index that this snapshot stands on undamaged?  1 yes (or made by us), 0 no, -ENOTSUP there
 * is no digest to tell.  Reads it all. */
int snapshot_verify_index(const struct snapshot *v, const struct snapshot_home *home,
			  struct err *e);

/* Every id; a nonzero result of fn stops and is returned. */
typedef int snapshot_each(void *arg, const struct chunk_id *id);
int snapshot_scan(const struct snapshot *v, snapshot_each *fn, void *arg);

#endif
