#ifndef ARCHIVE_SESSION_H
#define ARCHIVE_SESSION_H

/*
 * session.h - a repository open for change: from lock to unlock, every step in its order, or
 * nothing (design decision 17).
 *
 *   begin   lock, newest manifest, features, security check, counters
 *   put     the write pipeline
 *   commit  chunks without an owner deleted, manifest, COMMIT; then the chunk index, then what
 *           this machine remembers
 *   end     index and hints completed, unlock
 *
 * A session may commit several times.  Nothing of what was done since the last commit is visible
 * to anybody before the next one, and session_end() drops it.
 *
 * Threads: one user; readers of the same struct reader go on in theirs.
 */

#include "core/archive/archive_writer.h"
#include "core/archive/manifest_draft.h"
#include "core/archive/reader.h"

struct session {
	struct reader *reader; /* borrowed; its manifest is that of the last commit */
	struct manifest_draft *draft;
	struct nonces *nonces;
	struct session_private *priv;
};

struct session_options {
	const struct prompt *prompt;
	double lock_wait; /* seconds; < 0: for ever */
	enum manifest_operation operation;
	bool rescue; /* after a failed commit what was stored can be read until session_drop() */
	void (*sync_progress)(void *arg,
			      struct bytes archive); /* reading another's archive; NULL */
	void *progress_arg;
};

/* The first manifest of a new repository, which is locked, and whose key is where it is kept. */
int session_initialize(struct repo *repo, const struct key *key, struct err *e);

/* The reader outlives the session.  Errors: as repo_lock(), security_check(),
 * manifest_check_features(). */
int session_begin(struct session **out, struct reader *r, const struct session_options *options,
		  struct err *e);
/* Its pipeline has failed with rc: nothing will be committed any more, and room that is wanted is
 * given back at the end. */
void session_failed(struct session *s, int rc);
/* Unlocks, whatever else fails.  Frees s. */
int session_end(struct session *s, struct err *e);
void session_drop(struct session *s); /* the same without a word: after another error */
DEFINE_CLEANUP(struct session *, session_drop);

/* A pipeline into this session's transaction, to be closed before it is committed. */
int session_put(struct session *s, const struct compression *how, size_t slab_bytes,
		struct put **out, struct err *e);

/*
 * What the archives refer to, brought up to date with the manifest: archives of others are read.
 * Needed by whoever removes something or wants totals.  Borrowed.
 */
int session_chunks(struct session *s, struct chunk_index **out, struct err *e);
/* An empty set for a new archive's references, or NULL where no index is kept. */
struct chunk_refs *session_refs(struct session *s);

/* Staged for the next commit.  refs are the session's from now on; may be NULL: then the archive is
 * read when somebody needs the counts, and nothing can be removed by the same commit (-EINVAL): what
 * only the new archive needs would go, too. */
int session_add_archive(struct session *s, struct bytes name, const struct chunk_id *id,
			struct bytes time_text, struct chunk_refs *refs, struct err *e);
/* The same for one that takes another's place and holds all that it held, a finished archive its
 * checkpoint's: refs are what it refers to beyond that. */
int session_replace_archive(struct session *s, struct bytes old_name, struct bytes name,
			    const struct chunk_id *id, struct bytes time_text,
			    struct chunk_refs *refs, struct err *e);
/* The archive of this name goes; what nobody else needs goes with the commit.
 * Error: Archive.DoesNotExist -ENOENT. */
int session_remove_archive(struct session *s, struct bytes name, struct err *e);
/* The same without a look at what it holds, which cannot be read: what only it needs stays, as
 * objects without an owner, until `check --repair`. */
int session_forget_archive(struct session *s, struct bytes name, struct err *e);
/* Another name for an archive.  Errors: Archive.DoesNotExist, Archive.AlreadyExists. */
int session_rename_archive(struct session *s, struct bytes name, struct bytes new_name,
			   struct err *e);

/* Objects to be deleted that were not there: of archives removed and committed so far. */
size_t session_missing(const struct session *s);

/* After an error nothing of it is visible; the session is only good for session_drop(). */
int session_commit(struct session *s, struct err *e);

#endif
