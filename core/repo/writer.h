#ifndef REPO_WRITER_H
#define REPO_WRITER_H

/*
 * writer.h - a local repository open for change: PUT, DELETE, COMMIT, compaction.
 *
 * Whoever opens a writer holds the repository's exclusive lock until it is closed.  It stands on
 * the last committed transaction; what is put or deleted is seen by writer_find() at once, by
 * everybody else after writer_commit(), and after a crash either all or nothing of it is there.
 *
 * A commit leaves index, hints and integrity for later; writer_finish() completes them, and must
 * have succeeded before the lock is given back (design decision 5).  After writer_commit() alone
 * the repository is as after a crash of Borg: right, and slow to open.
 *
 * Source: docs/format.md "Writing", "Accounting", "Compaction".
 * Threads: writer_find() from any thread at any time; the others from any, one after the other.
 */

#include "core/repo/descriptors.h"
#include "core/repo/repo.h"
#include "core/repo/snapshot.h"

struct writer;

struct writer_home { /* all of it outlives the writer */
	const struct snapshot_home *folder;
	struct descriptors *descriptors;
	const struct repo_config *config;
	size_t changes_in_memory; /* as repo_options has it */
};

/*
 * Replays what was committed after the newest index, or the whole log where index or hints are
 * damaged or missing.  Errors: Repository.CheckNeeded -EBADMSG no transaction to stand on, or the
 * log is damaged where it has to be replayed; errno.
 */
int writer_open(struct writer **out, const struct writer_home *home, struct err *e);
/* What is not committed is dropped.  Does nothing for NULL. */
void writer_close(struct writer *w);
DEFINE_CLEANUP(struct writer *, writer_close);

/* Where the object is: 1, or 0. */
int writer_find(struct writer *w, const struct chunk_id *id, struct place *at);
/* Make the entry at this place readable from its file. */
int writer_flush_for(struct writer *w, struct place at, struct err *e);
/* The object where writing has failed and it is still in memory: see segment_writer_kept(). */
int writer_kept(struct writer *w, const struct chunk_id *id, struct buf *scratch,
		struct bytes *out);
/* Every id; a nonzero result of fn stops and is returned.  Nothing is put or deleted meanwhile. */
int writer_scan(struct writer *w, snapshot_each *fn, void *arg);
uint64_t writer_count(struct writer *w); /* objects */
/* Bytes of the stored object at a place. */
int writer_object_size(struct writer *w, struct place at, uint32_t *size, struct err *e);

/* Errors: Repository.StorageQuotaExceeded -EDQUOT, after which no commit succeeds; errno. */
int writer_put(struct writer *w, const struct chunk_id *id, struct bytes object, struct err *e);
/* Errors: Repository.ObjectNotFound -ENOENT; errno. */
int writer_delete(struct writer *w, const struct chunk_id *id, struct err *e);

/* Errors: Repository.InsufficientFreeSpaceError -ENOSPC; errno.  After an error: roll back. */
int writer_commit(struct writer *w, struct err *e);
/* Back to the last commit.  remove_files: at once, not when the next transaction begins. */
int writer_rollback(struct writer *w, bool remove_files, struct err *e);
int writer_finish(struct writer *w, struct err *e);

uint64_t writer_transaction(const struct writer *w); /* UINT32_MAX: none yet */

/* See repo_compact(). */
int writer_compact(struct writer *w, const struct compact_options *options, uint64_t *freed,
		   struct err *e);

#endif
