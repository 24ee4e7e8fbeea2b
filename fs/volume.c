/* volume.c - see volume.h. */

#include "fs/volume.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

int volume_new(struct volume **out, struct tree *tree, const char *name,
	       const struct attr_policy *policy, struct err *e)
{
	CLEANUP(volume_unrefp) struct volume *v = calloc(1, sizeof(*v));
	int rc;

	if (!v) {
		tree_close(tree);
		return err_nomem(e, name);
	}
	atomic_init(&v->refs, 1);
	v->tree = tree;
	v->name = strdup(name);
	if (!v->name)
		return err_nomem(e, name);
	rc = attr_owners_init(&v->owners, tree, policy, e);
	if (rc < 0)
		return rc;
	*out = TAKE(v);
	return 0;
}

struct volume *volume_ref(struct volume *v)
{
	atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
	return v;
}

void volume_unref(struct volume *v)
{
	if (!v || atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) != 1)
		return;
	attr_owners_fini(&v->owners);
	tree_close(v->tree);
	free(v->name);
	free(v);
}
