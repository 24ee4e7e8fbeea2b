#ifndef ARCHIVE_CHECK_H
#define ARCHIVE_CHECK_H

/*
 * check.h - the archives of a repository checked and repaired.
 *
 * Are manifest, archive objects, item streams and all chunks of files there, and is there nothing
 * else?  In repair what is lost is replaced: a manifest by what is found of the archives, a
 * file's chunk by zeros, of which the item keeps note, so that it is whole again when the chunk
 * comes back.  What is found goes to the log of messages in Borg's words.
 *
 * Source: docs/format.md "Check of archives", "Missing file chunks".
 * Memory: an entry for each object.  Threads: its own decode and verify.
 */

#include "core/archive/select.h"
#include "core/repo/repo.h"
#include "core/store/prompt.h"

enum archive_check_step {
	CHECK_VERIFY_DATA,
	CHECK_REBUILD_MANIFEST,
	CHECK_ARCHIVES,
};

struct archive_check_options {
	bool repair;
	bool verify_data;             /* authenticate, decrypt and name every object */
	struct bytes archive;         /* only this one; p NULL: as `select` says */
	struct select_options select; /* a filter leaves orphans alone */
	const struct prompt *prompt;  /* for the key */
	void (*progress)(void *arg, enum archive_check_step step, size_t done,
			 size_t total); /* may be NULL; done == total: the step is over */
	void *progress_arg;
};

/*
 * The repository is locked; a repair is committed.
 * 0: no problem is left; 1: there are problems; -errno: it could not be checked.
 */
int archive_check(struct repo *repo, const struct archive_check_options *options,
		  struct err *e);

#endif
