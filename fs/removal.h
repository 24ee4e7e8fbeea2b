#ifndef FS_REMOVAL_H
#define FS_REMOVAL_H

/*
 * removal.h - names that were removed inside archives, and are hidden until it shows why.
 *
 * `rm -r ARCHIVE` removes all that is in it before it removes the archive.  The first can only be
 * pretended: the names are hidden here, nothing else happens.  Then either the archive goes as a
 * whole, or, when nothing was removed from it for a while, all of it shows again.
 *
 * A name is known by its entry (view.h), so other names of the same file stay; the upper 32 bits
 * of entries and nodes are the archive's number.
 *
 * Threads: everything from any thread; removal_free() alone.
 */

#include "core/base/cleanup.h"
#include "core/base/table.h"

#include <stdbool.h>
#include <stdint.h>

struct removal;

/* What is removed of one archive. */
struct removed {
	struct removed *next;
	uint32_t archive;
	struct table nodes; /* entry -> node, 64 bits each */
	struct table dirs;  /* node of a directory that lacks names -> how many */
	int64_t last_ms;    /* when the last one was removed */
	unsigned going;     /* removals of the whole archive under way */
};

struct removal *removal_new(unsigned idle_s); /* NULL when out of memory */
void removal_free(struct removal *r);         /* does nothing for NULL */
DEFINE_CLEANUP(struct removal *, removal_free);

/* Is anything hidden?  One atomic load. */
bool removal_pending(const struct removal *r);
bool removal_hides(struct removal *r, uint64_t entry);
/* Hide `entry`, a name of `node` in `dir`.  now_ms: of a monotonic clock.  -ENOENT it is hidden; -ENOMEM. */
int removal_add(struct removal *r, uint64_t dir, uint64_t entry, uint64_t node, int64_t now_ms);

/* The archive itself is about to go: nothing of it lapses until removal_end() says whether it went. */
void removal_begin(struct removal *r, uint32_t archive);
void removal_end(struct removal *r, uint32_t archive, bool gone, int64_t now_ms);

/* One archive of which nothing was removed for the idle time, or any where `all`: it is no longer hidden,
 * and the caller's to free.  NULL: none. */
struct removed *removal_lapse(struct removal *r, int64_t now_ms, bool all);
void removed_free(struct removed *d); /* does nothing for NULL */
DEFINE_CLEANUP(struct removed *, removed_free);

#endif
