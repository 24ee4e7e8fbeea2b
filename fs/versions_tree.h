#ifndef FS_VERSIONS_TREE_H
#define FS_VERSIONS_TREE_H

/*
 * versions_tree.h - the tree of `-o versions`: the items of every archive under the names that
 * versions.h gives them.
 *
 * Patterns see the paths of the archive; leading components are stripped before names are
 * given, so that the history of a file is that of its place in the view.  A hard link whose
 * master is left out becomes a file of its own with the master's content, and further links to
 * that master are links to it.
 *
 * The tree stays in memory: it is made for one mount.
 */

#include "core/archive/reader.h"
#include "core/archive/select.h"
#include "core/archive/tree_build.h"

/* Archives in the order given, the oldest first: where names meet, the later stands. */
int versions_tree(struct tree **out, struct reader *r,
		  const struct manifest_entry *const *archives, size_t count,
		  const struct tree_options *options, struct err *e);

/* The same for the archives that are selected at the time of the call: a shelf_make whose
 * argument is a struct versions_source. */
struct versions_source {
	struct reader *reader;
	struct select_options select;
	struct tree_options tree;
};
int versions_make(void *source, const _Atomic bool *stop, struct tree **out, struct err *e);

#endif
