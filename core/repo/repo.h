#ifndef REPO_REPO_H
#define REPO_REPO_H

/*
 * repo.h - keeps opaque objects by id; one interface, several homes.
 *
 * Until repo_lock() a repository is never locked and never written to: it shows the state of a
 * committed transaction and follows the log as others commit (design decision 4).  What a
 * place holds is believed only when entry checksum and id agree; any failure makes the
 * repository look at fresh files and a fresh snapshot once before it is called damage.
 *
 * Threads: repo_get_many() and repo_get() from any thread at once; repo_refresh() from any
 * thread, one at a time.
 */

#include "core/base/cleanup.h"
#include "core/base/err.h"
#include "core/base/id.h"
#include "core/repo/location.h"
#include "core/repo/nonce_file.h"

struct repo;

struct repo_options {
	const char
		*cache_dir; /* folder for a rebuilt index, created on demand; NULL: memory only.
				* It is the cache top folder; the repository's id is appended. */
	bool config_only; /* No object is needed: only the configuration is read, and repo_lock()
			   * does no more than lock. */
	size_t changes_in_memory; /* objects that a transaction changes before it keeps them in
				   * an unnamed file in the repository; 0: a default */
};

/* What the repository's own configuration says. */
struct repo_config {
	struct chunk_id id;
	bool append_only;
	uint32_t segments_per_dir;
	uint64_t max_segment_size;
	uint64_t storage_quota;
	uint64_t additional_free_space;
	char *key; /* text of the key blob, or NULL */
};

/*
 * Errors (Borg's texts and classes): Repository.DoesNotExist -ENOENT,
 * Repository.InvalidRepository -EINVAL, Repository.InvalidRepositoryConfig -EINVAL,
 * Repository.AtticRepository -ENOTSUP, Repository.CheckNeeded -EBADMSG, ...
 * ssh locations: -ENOTSUP until remote repositories are built.
 */
int repo_open(struct repo **out, const struct location *where,
	      const struct repo_options *options, struct err *e);
void repo_close(struct repo *r); /* does nothing for NULL */
DEFINE_CLEANUP(struct repo *, repo_close);

const struct repo_config *repo_config(const struct repo *r);
const char *repo_path(const struct repo *r); /* absolute real path */
const char *
repo_canonical(const struct repo *r); /* canonical location, for the security database */

/*
 * Look whether others have committed; 1 the snapshot moved on, 0 nothing new, -errno.  Costs a few
 * system calls where nothing changed.
 */
int repo_refresh(struct repo *r, struct err *e);
uint64_t repo_transaction(struct repo *r); /* id of the transaction now shown */

/* One object of get_many: rc 0 and the stored bytes (lent for the call, and the callee's to
 * overwrite: unsealing decrypts in place), or -errno and the
 * reason: -ENOENT (Repository.ObjectNotFound), -EBADMSG damaged.  A nonzero result stops. */
typedef int repo_deliver(void *arg, size_t index, int rc, struct bytes object,
			 const struct err *why);

/* Calls deliver once per id, in order. Returns deliver's first nonzero result, 0, or -errno. */
int repo_get_many(struct repo *r, const struct chunk_id *ids, size_t count,
		  repo_deliver *deliver, void *arg, struct err *e);

enum repo_get_flags {
	REPO_GET_FRESH =
		1, /* drop descriptors, follow the log first: the bytes were not authentic */
};
/* One object, appended to nothing: out's content is replaced. */
int repo_get(struct repo *r, const struct chunk_id *id, unsigned flags, struct buf *out,
	     struct err *e);

/* Does the index have it?  1, 0 or -errno.  Reads no segment. */
int repo_has(struct repo *r, const struct chunk_id *id, struct err *e);
/* Every id of the shown transaction, in index order; a nonzero result of fn stops. */
typedef int repo_each(void *arg, const struct chunk_id *id);
int repo_scan(struct repo *r, repo_each *fn, void *arg, struct err *e);
/* Place of an object in the log, a key for reading many in disk order: segment << 32 | offset;
 * UINT64_MAX where unknown. */
uint64_t repo_place(struct repo *r, const struct chunk_id *id);

struct repo_space {
	uint64_t block_size, blocks, free, available; /* of the file system below it */
};
int repo_space(struct repo *r, struct repo_space *out, struct err *e);

/* --- writing --- */

/*
 * Take Borg's exclusive lock, waiting for others `wait` seconds (< 0: for ever), and see the newest
 * transaction, completing what a crash has left.  Threads: one has it, and it alone calls the
 * functions that follow; reading goes on in all of them.
 * Errors: LockTimeout -EBUSY; Repository.CheckNeeded -EBADMSG; errno.
 */
int repo_lock(struct repo *r, double wait, struct err *e);
/* Complete index and hints for the last commit, drop what is not committed, give the lock back,
 * whatever fails.  0 also where it was not locked. */
int repo_unlock(struct repo *r, struct err *e);

/* Remove all locks of it, whoever has them. */
int repo_break_lock(struct repo *r, struct err *e);

/*
 * Objects put and deleted are seen by this process at once, and by others after repo_commit(), which
 * returns when all of it is durable.  A put of a known id replaces the object.
 * Errors: -ENOENT (Repository.ObjectNotFound) nothing to delete; -EDQUOT
 * (Repository.StorageQuotaExceeded); -ENOSPC; -EIO.  After one of the last three only
 * repo_rollback() helps.
 */
int repo_put(struct repo *r, const struct chunk_id *id, struct bytes object, struct err *e);
int repo_delete(struct repo *r, const struct chunk_id *id, struct err *e);
int repo_commit(struct repo *r, struct err *e);
/* Back to the last commit; remove_files: give the space back at once. */
int repo_rollback(struct repo *r, bool remove_files, struct err *e);
/* Bytes of a stored object, without reading it: an item's csize. */
int repo_object_size(struct repo *r, const struct chunk_id *id, uint32_t *size, struct err *e);

/*
 * Rewrite the segments of which more than `threshold` (0 to 1) can be freed, committing on the
 * way; silently nothing in append-only mode.  cleanup_commits: segments that are a lone COMMIT
 * count as sparse.
 */
struct compact_options {
	double threshold;
	bool cleanup_commits;
	void (*progress)(void *arg, size_t done, size_t total); /* may be NULL */
	void *progress_arg;
};
int repo_compact(struct repo *r, const struct compact_options *options, uint64_t *freed,
		 struct err *e);

/*
 * Check all of the log: every entry's checksum, and that index and hints say what the log says.
 * What is found goes to the log of messages in Borg's words.
 *
 * The repository was opened for its configuration alone, and is locked; where it is not, nothing is
 * written, and what somebody else writes meanwhile may look like damage.  repo_load() makes its
 * objects accessible afterwards.  Memory: an entry of the index for each object.
 * 0: no problem is left; 1: there are problems; -errno: it could not be checked.
 */
struct repo_check_options {
	bool repair;           /* save what can be saved, forget the rest; a new index */
	uint32_t max_duration; /* seconds, then go on another time; 0: all at once.  Checksums
				* only; not with repair */
	void (*progress)(void *arg, size_t done, size_t total); /* may be NULL */
	void *progress_arg;
};
int repo_check(struct repo *r, const struct repo_check_options *options, struct err *e);
/* A repository opened for its configuration alone is as one that was not, locked if it was.  Errors:
 * those of repo_open() and repo_lock(). */
int repo_load(struct repo *r, struct err *e);

/*
 * The repository's record of the counters its clients have reserved: nonce_file.h.  *next is
 * NONCE_NONE where nothing was reserved yet; who reserves holds the exclusive lock.
 */
int repo_nonce_get(struct repo *r, uint64_t *next, struct err *e);
int repo_nonce_reserve(struct repo *r, uint64_t next, uint64_t start, struct err *e);

/*
 * Keep the key blob in the repository's configuration, in place of the one that was there and is
 * overwritten; "" for none.  text has no newline at its end.  repo_config() has the new one
 * afterwards: nobody else may be reading it meanwhile.  The caller holds the exclusive lock.
 */
int repo_save_key(struct repo *r, const char *text, struct err *e);

/* --- for implementations: local.c, remote.c, tests/support/repo_memory.c --- */

struct repo_ops {
	int (*get_many)(struct repo *r, const struct chunk_id *ids, size_t count,
			repo_deliver *deliver, void *arg, struct err *e);
	int (*get_fresh)(struct repo *r, const struct chunk_id *id, struct buf *out,
			 struct err *e);
	int (*refresh)(struct repo *r, struct err *e);
	uint64_t (*transaction)(struct repo *r);
	int (*has)(struct repo *r, const struct chunk_id *id, struct err *e);
	int (*scan)(struct repo *r, repo_each *fn, void *arg, struct err *e);
	uint64_t (*place)(struct repo *r, const struct chunk_id *id);
	int (*space)(struct repo *r, struct repo_space *out, struct err *e);
	int (*lock)(struct repo *r, double wait, struct err *e);
	int (*unlock)(struct repo *r, struct err *e);
	int (*break_lock)(struct repo *r, struct err *e);
	int (*put)(struct repo *r, const struct chunk_id *id, struct bytes object,
		   struct err *e);
	int (*remove)(struct repo *r, const struct chunk_id *id, struct err *e);
	int (*commit)(struct repo *r, struct err *e);
	int (*rollback)(struct repo *r, bool remove_files, struct err *e);
	int (*compact)(struct repo *r, const struct compact_options *options, uint64_t *freed,
		       struct err *e);
	int (*check)(struct repo *r, const struct repo_check_options *options, struct err *e);
	int (*load)(struct repo *r, struct err *e);
	int (*object_size)(struct repo *r, const struct chunk_id *id, uint32_t *size,
			   struct err *e);
	int (*nonce_get)(struct repo *r, uint64_t *next, struct err *e);
	int (*nonce_reserve)(struct repo *r, uint64_t next, uint64_t start, struct err *e);
	int (*save_key)(struct repo *r, const char *text, struct err *e);
	void (*close)(struct repo *r);
};

struct repo {
	const struct repo_ops *ops;
	struct repo_config config;
	char *path;
	char *canonical;
};

#endif
