#ifndef FS_VERSIONS_H
#define FS_VERSIONS_H

/*
 * versions.h - the names of `-o versions`: every archive in one tree, every distinct content of
 * a file under a name of its own.
 *
 *   docs/plan.txt in three archives, changed once, is
 *   docs/plan.txt/plan.00001.txt, docs/plan.txt/plan.00002.txt
 *
 * Everything but a directory becomes a directory of its name.  Inside, a regular file (or a
 * hard link to one) has the number of its version before its last extension: the number grows
 * when the content differs from that of the archive before.  Symlinks, devices and fifos keep
 * their plain name; the newest archive's stands.  As Borg's mount shows it: command-line
 * specification, 17.2 and 17.3.
 *
 * Threads: one user.
 */

#include "core/archive/item.h"
#include "core/base/cleanup.h"

struct versions;

struct versions *versions_new(void); /* NULL when out of memory */
void versions_free(struct versions *v);
DEFINE_CLEANUP(struct versions *, versions_free);

/* The items that follow are another, newer archive's. */
void versions_next_archive(struct versions *v);

/*
 * What the view shows of an item: the same item with another path (and source, where it is a
 * hard link), which live until the next call.  1 shown; 0 left out: a hard link whose target is
 * not in the archive; -ENOMEM.
 */
int versions_map(struct versions *v, const struct item *in, struct item *out, struct err *e);

#endif
