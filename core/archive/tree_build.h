#ifndef ARCHIVE_TREE_BUILD_H
#define ARCHIVE_TREE_BUILD_H

/*
 * tree_build.h - item stream, decoded on all cores -> tree; hard links, missing parents.
 *
 * tree_open() takes the tree from the cache folder where it is known, else builds it from the
 * archive and leaves it sealed in the folder for the next visit, in any process.
 *
 *  - Parents that no item names are made up: 0755, the time of the archive.
 *  - Item "." gives the root its attributes; else the root is made up.
 *  - Later items of a path that was there replace the earlier (as extraction would).
 *  - A hard-link slave whose master is not in the tree: the first such slave stands for the file
 *    (without content unless the master's chunks were seen in the archive).
 *  - Names that no directory can hold ("." "..", empty, with NUL) and paths that climb are left
 *    out, counted and said.  Part files are left out unless asked for.
 */

#include "core/archive/archive.h"
#include "core/archive/match.h"
#include "core/archive/tree.h"

#include <stdbool.h>

struct tree_options {
	struct matcher
		*matcher; /* NULL: everything.  A filtered tree is not kept in the cache. */
	unsigned strip_components;
	bool consider_part_files;
	uint32_t made_up_uid, made_up_gid;
	const _Atomic bool *stop; /* true: give up with -ECANCELED; NULL: never */
};

/* Shall whoever builds with these options give up? */
bool tree_stopped(const struct tree_options *o);

int tree_open(struct tree **out, struct reader *r, const struct archive *a,
	      const struct tree_options *options, struct err *e);

/* Only from the cache: 1 opened; 0 not known (nothing is decoded), or known to be incomplete;
 * -errno. */
int tree_open_known(struct tree **out, struct reader *r, const struct chunk_id *archive_id,
		    struct err *e);

/* Drop tree files of archives that are not in the manifest any more, and those used longest ago
 * where all together take more than bytes_max; the last one used stays.  tree_open() does so
 * after each file it writes. */
int tree_cache_trim(struct reader *r, uint64_t bytes_max, struct err *e);

#endif
