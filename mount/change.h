#ifndef MOUNT_CHANGE_H
#define MOUNT_CHANGE_H

/*
 * change.h - one request that changes something staged, and its one answer.
 *
 * It is tried on the receiving thread, between staging_begin_change() and staging_end_change(); where
 * that would have to wait (for the repository's lock, for a checkpoint, for room in the pipeline) it
 * moves to the heap, with its names and data, and goes on on a thread of the writers' pool.
 *
 * Threads: a change is in one hand at a time.
 */

#include "mount/mount_internal.h"

#include "fs/workspace.h"

struct change;
/* Do it: 0 or -errno; -EAGAIN where it would have to wait and may not. */
typedef int change_apply(struct change *c, struct err *e);
typedef void change_answer(struct change *c);

struct change {
	fuse_req_t req;
	struct mount *mount;
	change_apply *apply;
	change_answer *answer; /* after apply's 0 */
	bool may_wait;
	bool free_of_gate; /* no change: it only waits */
	uint64_t node, other;
	struct bytes name, new_name, data; /* each with a NUL behind it where it is moved */
	struct stage_maker who;
	mode_t mode;
	dev_t rdev;
	struct stat attr;
	unsigned set, flags;
	uint64_t off, other_off, size;
	struct stage_node out; /* what apply made or changed */
	struct fuse_file_info fi;
};

void change_begin(struct change *c, fuse_req_t req, uint64_t node, change_apply *apply,
		  change_answer *answer);
void change_run(struct change *c);

/* What the kernel is told of c->out. */
void change_entry(struct change *c, struct fuse_entry_param *out);

/* Answers. */
void answer_done(struct change *c);
void answer_entry(struct change *c); /* the kernel holds c->out from now on */
void answer_attr(struct change *c);

#endif
