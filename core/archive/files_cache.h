#ifndef ARCHIVE_FILES_CACHE_H
#define ARCHIVE_FILES_CACHE_H

/*
 * files_cache.h - what a file's chunks were when it was last read: a disposable cache.
 *
 * A file of which the path is known and whose time, size and inode (as the mode says) are what
 * they were is not read again.  Kept in LMDB in Alcove's cache folder of the repository, sealed:
 * it tells names and contents.
 *
 *  1. Entries as new as the newest file read in a run are not kept: such a file may change again
 *     within the same tick of the clock (and a snapshot may be older than its own clock).
 *  2. An entry that was not met for BORG_FILES_CACHE_TTL runs (20) is dropped, up to half as many
 *     runs later: an entry that is met is not rewritten before that half has passed.
 *  3. Damage is a miss.  A chunk list comes out as it went in, or not at all.
 *  4. It does not say that the chunks exist: a hit counts only where the repository has them all.
 *
 * BORG_FILES_CACHE_SUFFIX gives another cache its own file.
 * Source: docs/format.md "Files cache".
 * Threads: any number may call lookup and remember; open after fork, commit and close alone.
 */

#include "core/archive/item.h"
#include "core/base/cleanup.h"
#include "core/base/err.h"
#include "core/base/secret.h"

#include <stdbool.h>
#include <sys/stat.h>

enum files_time { FILES_CTIME, FILES_MTIME };

struct files_mode {
	bool disabled; /* no file at all */
	bool rechunk;  /* never a hit, but remembers */
	bool size, inode;
	bool compare_time; /* else the time is kept, but not compared */
	enum files_time time;
};

/* The text of --files-cache; the default is "ctime,size,inode".  -EINVAL. */
int files_mode_parse(struct files_mode *out, const char *text, struct err *e);

struct files_cache;

/* `secret` seals (tree_secret()) and is needed during this call only.  An unusable cache is begun
 * anew; errors are those of the cache folder. */
int files_cache_open(struct files_cache **out, const char *cache_dir,
		     const struct secret *secret, const struct files_mode *mode, struct err *e);
void files_cache_close(struct files_cache *c); /* forgets what was not committed */
DEFINE_CLEANUP(struct files_cache *, files_cache_close);

/* Borg's status letters come from these: A, M, U. */
enum files_found { FILES_UNKNOWN, FILES_CHANGED, FILES_UNCHANGED };

struct files_chunks { /* the caller's, used again and again */
	struct item_chunk *p;
	size_t count, cap;
};
void files_chunks_fini(struct files_chunks *chunks); /* also a cleanup */

/* `path` is absolute.  Only regular files are known.  *out is filled for FILES_UNCHANGED. */
enum files_found files_cache_lookup(struct files_cache *c, struct bytes path,
				    const struct stat *st, struct files_chunks *out);
/* The file was read and has these chunks.  Not to be called for a file that changed meanwhile;
 * what is not a regular file is ignored.  A failure, here and of the commit, costs reading the
 * file again, nothing else. */
int files_cache_remember(struct files_cache *c, struct bytes path, const struct stat *st,
			 const struct item_chunk *chunks, size_t count, struct err *e);
/* Make this run durable: after the repository's commit.  The last call but close. */
int files_cache_commit(struct files_cache *c, struct err *e);

#endif
