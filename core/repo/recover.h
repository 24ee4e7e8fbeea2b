#ifndef REPO_RECOVER_H
#define REPO_RECOVER_H

/*
 * recover.h - the log replayed: what one segment changes, which segments are committed, and an
 * index rebuilt from the log, kept in the cache folder.
 *
 * The kept file is an index like Borg's with XXH64 of its bytes in a file beside it; it is
 * named by transaction, and thrown away when anything about it is wrong.
 * Source: docs/format.md "Committed state".  Threads: no state.
 */

#include "core/base/table.h"
#include "core/repo/snapshot.h"

/* 1: the magic is right, the last entry is COMMIT, and heads lead from the first entry to it.  0:
 * not so.  -ENOENT: the segment is gone; -errno: it cannot be opened, which says nothing. */
int recover_is_committed(const struct snapshot_home *home, uint32_t number, struct err *e);

/*
 * Lay the segment's PUTs and DELETEs over the table (chunk_id -> struct place, segment
 * UINT32_MAX for deleted).  What follows a damaged entry is lost: nothing after it can be
 * found.  -ENOENT: the segment is gone; -ENOMEM; errno.
 */
int recover_replay(const struct snapshot_home *home, uint32_t number, struct table *changes,
		   struct err *e);

/* Keep the index of this transaction, and that of no other. */
int recover_save(const struct snapshot_home *home, uint32_t transaction,
		 const struct table *changes);
/* 1 opened, 0 none (or thrown away). */
int recover_open_cached(const struct snapshot_home *home, uint32_t transaction,
			struct index **out);

#endif
