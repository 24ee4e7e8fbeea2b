#ifndef STORE_CHUNK_INDEX_H
#define STORE_CHUNK_INDEX_H

/*
 * chunk_index.h - how often the archives refer to each chunk, and its sizes: a disposable cache.
 *
 * What the archives say is true; this only remembers it, in LMDB in Alcove's cache folder of the
 * repository, with the list of chunks of every archive in it.  So what another program added
 * costs reading that archive once, and what it deleted costs no reading at all.
 *
 *  1. It never says that a chunk exists: the repository's index of the running transaction does.
 *  2. Its counts are the sum over exactly the archives it holds; archives are immutable and named
 *     by content, so that is never half true.  It names the manifest whose archives these are.
 *  3. It is committed after the repository.  A crash leaves it behind, which the next
 *     chunk_index_sync() makes good, never ahead.
 *  4. Everything read is checked.  Damage is -EBADMSG, and the file is gone: the next opening
 *     or synchronisation begins an empty one.
 *
 * A session: chunk_index_sync() to the manifest it found; then for what it changes
 *
 *     chunk_index_add, chunk_index_replace, chunk_index_remove    staged, in any order
 *     chunk_index_apply        chunks whose last reference went: delete them from the repository
 *     ... manifest and COMMIT of the repository ...
 *     chunk_index_commit       or chunk_index_abort, where the repository was not committed
 *
 * From apply to commit or abort LMDB's write lock is held: other processes that want to
 * synchronise wait, and the three calls must come from one thread.
 * Where only archives were added, any failure here may be ignored after chunk_index_abort().
 *
 * Source: docs/format.md "Refcount semantics".
 * Threads: one at a time (the caller's lock).  Opened once in a process, after it forked.
 */

#include "core/base/cleanup.h"
#include "core/base/err.h"
#include "core/base/id.h"

#include <stdbool.h>

struct chunk_index;

/* The cache is opened or, where there is none or it is unusable, begun. */
int chunk_index_open(struct chunk_index **out, const char *cache_dir, struct err *e);
void chunk_index_close(struct chunk_index *x); /* aborts; does nothing for NULL */
DEFINE_CLEANUP(struct chunk_index *, chunk_index_close);

/* --- references of one archive --- */

/* A multiset of any size in little memory: it goes to an unnamed file in the cache folder. */
struct chunk_refs;

int chunk_refs_new(struct chunk_refs **out, const char *cache_dir, struct err *e);
void chunk_refs_free(struct chunk_refs *refs);
DEFINE_CLEANUP(struct chunk_refs *, chunk_refs_free);

/*
 * One reference: for each occurrence in an item's list of chunks (part items too), for each chunk
 * of the item stream, and for the archive object itself.  csize is the stored object's length;
 * 0 where unknown, and then what another reference to the chunk says counts.
 */
int chunk_refs_add(struct chunk_refs *refs, const struct chunk_id *id, uint32_t size,
		   uint32_t csize, struct err *e);
/* One reference less; for chunk_index_replace() only. */
int chunk_refs_drop(struct chunk_refs *refs, const struct chunk_id *id, uint32_t size,
		    uint32_t csize, struct err *e);

/* What an archive says of its files, part files not counted: kept for those who sum it up. */
struct chunk_content {
	uint64_t size, csize, nfiles;
};

/* To be told for each new archive; one that takes another's place has what that had, otherwise. */
void chunk_refs_content(struct chunk_refs *refs, const struct chunk_content *content);

/* --- synchronisation --- */

/* Is it true for this manifest (its id hash)?  Then it is as good as synchronised. */
bool chunk_index_is_at(struct chunk_index *x, const struct chunk_id *manifest_hash);

/* Adds every reference of the archive to refs; called without a transaction being open. */
typedef int chunk_index_read(void *arg, const struct chunk_id *archive, struct chunk_refs *refs,
			     struct err *e);
/*
 * Bring it to exactly these archives: `read` is called for each that it does not know, those not
 * listed are forgotten.  What was read is kept even when a later archive fails.
 * What is staged stays so.  Errors: read's own; those of the cache folder.
 */
int chunk_index_sync(struct chunk_index *x, const struct chunk_id *manifest_hash,
		     const struct chunk_id *archives, size_t count, chunk_index_read *read,
		     void *arg, struct err *e);

/* --- questions; between apply and commit they see what was applied --- */

/*
 * Several questions about one state, whatever other processes do meanwhile: 1 where that is this
 * manifest's, until chunk_index_look_end(); 0 where it is another's.  Nothing may be staged.
 */
int chunk_index_look(struct chunk_index *x, const struct chunk_id *manifest_hash,
		     struct err *e);
void chunk_index_look_end(struct chunk_index *x);

struct chunk_count {
	uint32_t refs;  /* sticks at its maximum, like Borg's */
	uint32_t size;  /* plaintext */
	uint32_t csize; /* stored object; 0 where unknown */
};

/* 1 with *out filled; 0: no archive refers to it.  Many are asked for fastest in ascending order. */
int chunk_index_get(struct chunk_index *x, const struct chunk_id *id, struct chunk_count *out,
		    struct err *e);

struct chunk_totals {
	uint64_t size, csize;               /* over all references: original, compressed */
	uint64_t unique_size, unique_csize; /* see below: deduplicated */
	uint64_t chunks, unique_chunks;
};

/* Over all archives; unique: each chunk once. */
int chunk_index_totals(struct chunk_index *x, struct chunk_totals *out, struct err *e);
/* Of one archive; unique: the chunks that no other archive refers to.  0: not known, 1. */
int chunk_index_archive_totals(struct chunk_index *x, const struct chunk_id *archive,
			       struct chunk_totals *out, struct err *e);
int chunk_index_archive_content(struct chunk_index *x, const struct chunk_id *archive,
				struct chunk_content *out, struct err *e); /* 1; 0: not known */

/* --- changes by the session's own transaction --- */

/* A new archive.  refs are the index's from now on, also when this fails. */
int chunk_index_add(struct chunk_index *x, const struct chunk_id *archive,
		    struct chunk_refs *refs, struct err *e);
/*
 * An archive that takes the place of a known one, and has its references except for what refs
 * adds and drops: a checkpoint after another, a renamed archive.  Costs what changed.
 * refs are the index's from now on.
 */
int chunk_index_replace(struct chunk_index *x, const struct chunk_id *old_archive,
			const struct chunk_id *new_archive, struct chunk_refs *refs,
			struct err *e);
int chunk_index_remove(struct chunk_index *x, const struct chunk_id *archive, struct err *e);

/* A chunk whose last reference went.  Must not call the index. */
typedef int chunk_index_orphan(void *arg, const struct chunk_id *id,
			       const struct chunk_count *sizes, struct err *e);
/*
 * Do what is staged, in ascending order of ids tell what has no reference any more (orphan may
 * be NULL where nothing is removed), and keep the transaction open for chunk_index_commit().
 *   -ESTALE  another process took it to another manifest: synchronise and apply again; what is
 *            staged is so still.
 * Errors, after each of which only chunk_index_abort() is left:
 *   -EBADMSG damaged: synchronise, and stage again;
 *   -ENOENT  an archive to be removed or replaced is not known;
 *   -EEXIST  one that is to take another's place is;
 *   orphan's own.
 */
int chunk_index_apply(struct chunk_index *x, chunk_index_orphan *orphan, void *arg,
		      struct err *e);
/* Make it durable as the truth for this manifest.  Without apply before it, an apply where
 * nothing is removed is made here. */
int chunk_index_commit(struct chunk_index *x, const struct chunk_id *manifest_hash,
		       struct err *e);
/* Forget what was staged or applied. */
void chunk_index_abort(struct chunk_index *x);

#endif
