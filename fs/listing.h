#ifndef FS_LISTING_H
#define FS_LISTING_H

/*
 * listing.h - the archives that the root of a mount shows, each under the name of its folder.
 *
 * Names that no folder can have are escaped as archives.h says.  A listing is made whole from a
 * manifest and never changes; it is counted by references.
 * Threads: any number may look into one.
 */

#include "core/archive/inode_numbers.h"
#include "core/archive/reader.h"
#include "core/archive/select.h"

struct row {        /* one archive */
	char *name; /* of its folder */
	uint32_t number;
	struct chunk_id id;
	int64_t time_ns;
	bool escaped;
};

struct listing {
	_Atomic unsigned refs;
	struct row *rows; /* by number */
	struct row **by_name;
	size_t count;
	struct chunk_id manifest; /* its hash */
	int64_t changed_ns;       /* when this list came to be: the root's mtime */
};

/* The list that the manifest now in force gives. */
int listing_new(struct listing **out, struct reader *reader, struct inode_numbers *numbers,
		const struct select_options *select, struct err *e);
void listing_unref(struct listing *l); /* does nothing for NULL */
DEFINE_CLEANUP(struct listing *, listing_unref);

struct row *listing_find_name(const struct listing *l, struct bytes name);       /* or NULL */
const struct row *listing_find_number(const struct listing *l, uint32_t number); /* or NULL */
/* The same archives under the same names? */
bool listing_equal(const struct listing *x, const struct listing *y);

#endif
