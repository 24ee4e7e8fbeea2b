#ifndef FS_STAGED_ITEM_H
#define FS_STAGED_ITEM_H

/*
 * staged_item.h - a node of the staged tree as an item of an archive.
 *
 * Every content is settled.
 * Threads: one user; nobody changes the tree or its contents meanwhile.
 */

#include "core/archive/archive_writer.h"
#include "core/archive/collect.h"
#include "fs/ingest.h"
#include "fs/stage.h"

struct item_counts {
	uint32_t sockets; /* what no archive can hold */
	uint32_t lost;    /* files left out */
};

struct item_out { /* set by the user: */
	struct stage *stage;
	struct collector *collector;
	struct archive_writer *writer;
	bool draft;      /* files whose content is lost are left out; else one is an error */
	struct buf path; /* of the next item */

	struct item_counts counts;
	struct buf target, value; /* its own */
	struct xattr_list xattrs;
};

void item_out_fini(struct item_out *w);

/* The node's item at w->path, where an archive can have one.  The item before with the same node is what
 * this one links to.  -EIO, -ENOSPC, -EDQUOT: what a file holds is lost. */
int item_out_give(struct item_out *w, const struct stage_node *n, struct err *e);

#endif
