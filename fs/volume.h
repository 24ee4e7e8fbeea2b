#ifndef FS_VOLUME_H
#define FS_VOLUME_H

/*
 * volume.h - one archive that is open: its tree, its name for messages, its owners.
 *
 * Shared and immutable, counted by references.  Threads: any.
 */

#include "fs/attr.h"

struct volume {
	struct tree *tree;
	struct attr_owners owners;
	char *name; /* of the archive, for messages */
	_Atomic unsigned refs;
};

/* The tree is the volume's from now on, also when this fails. */
int volume_new(struct volume **out, struct tree *tree, const char *name,
	       const struct attr_policy *policy, struct err *e);
struct volume *volume_ref(struct volume *v);
void volume_unref(struct volume *v); /* does nothing for NULL */
DEFINE_CLEANUP(struct volume *, volume_unref);

#endif
