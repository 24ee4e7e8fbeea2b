#ifndef FS_STAGING_H
#define FS_STAGING_H

/*
 * staging.h - the archives in the making: their tree (stage.h), their content (ingest.h), and the
 * repository, which is locked while something is written.
 *
 *   CLOSED   nothing is written: no lock is held
 *   OPEN     from the first change on: chunks go into the repository as they come
 *   closed for a moment   while a commit is under way: no change passes the gate, so what is
 *            committed is one state of all staged trees, and every object in the log has an owner
 *
 * Every commit carries a checkpoint of each staged archive, NAME.checkpoint, in place of the one
 * before (design decision 7).  After some idle time there is a last one and the lock goes back.
 *
 * Threads: all functions from any; those that may wait say so.
 */

#include "core/archive/session.h"
#include "fs/content.h"
#include "fs/ingest.h"
#include "fs/stage.h"

struct staging;

struct staging_options {
	struct reader *reader; /* borrowed, with everything here */
	const struct prompt *prompt;
	struct compression compression;
	struct chunker_params chunker;
	double lock_wait; /* seconds; < 0: for ever */
	unsigned idle_s;  /* without a change the lock goes back; 0: it is kept */
	unsigned
		checkpoint_s; /* while there are changes; 0: not before an idle time, or asked for */
	uid_t uid;            /* of the staging directory */
	gid_t gid;
	bool acls;                   /* system.posix_acl_* are ACLs */
	const char *spill_dir;       /* NULL: the default */
	const struct bytes *cmdline; /* of the archives */
	size_t cmdline_count;
};

int staging_open(struct staging **out, const struct staging_options *options, struct err *e);
/*
 * The mount has ended.  Where `publish`, every staged archive becomes an archive under its name that is not
 * empty, was written to since staging_open(), and of which no file is open for writing and nothing was
 * refused for want of space or by a failing disk.  Of all others there is a last checkpoint.  tell (may
 * be NULL) gets a sentence for each.  The lock goes back; s is free.
 */
typedef void staging_tell(void *arg, bool published, const char *text);
int staging_close(struct staging *s, bool publish, staging_tell *tell, void *arg,
		  struct err *e);

/*
 * Checkpoints of this host and user are staged again, where nobody holds the repository's lock, and
 * so is the archive take_over (may be NULL), whoever made it; where somebody does, later.  Policy and
 * take_over live as long as s.  What cannot be read stays an archive, with a line in the log.
 * -ENOENT take_over is none.
 */
struct attr_policy;
int staging_resume(struct staging *s, const struct attr_policy *policy, const char *take_over,
		   struct err *e);

struct stage *staging_stage(struct staging *s);

/*
 * Around every change of the tree or of a content; what is between the two may not wait for another.
 * -EAGAIN: it would have to wait and !may_wait.  -EBUSY the lock is another's (LockTimeout).  Errors of
 * session_begin().
 */
int staging_begin_change(struct staging *s, bool may_wait, struct err *e);
/* nodes: what was changed, or a directory it is in; 0 for none.  rc: how it went. */
void staging_end_change(struct staging *s, const uint64_t nodes[2], int rc);

/* --- files; between the two calls above where they change something --- */

/* The node with st_blocks as its content has it. */
void staging_complete(struct stage_node *n);
/* Of a file that is to be made in this directory; dropped where that failed. */
int staging_new_content(struct staging *s, uint64_t dir, struct stage_content **out);
void staging_drop_content(struct stage_content *c);

/* See ingest.h; sizes and times of the nodes follow. */
int staging_read(struct staging *s, uint64_t node, uint64_t off, size_t len, bool may_wait,
		 struct content_range *out, struct err *e);
int staging_seek(struct staging *s, uint64_t node, uint64_t off, int whence, bool may_wait,
		 uint64_t *out);
int staging_write(struct staging *s, uint64_t node, uint64_t off, struct bytes data,
		  bool may_wait, struct err *e);
/* open: by a descriptor that was opened for writing. */
int staging_truncate(struct staging *s, uint64_t node, uint64_t size, bool open, bool may_wait,
		     struct err *e);
int staging_allocate(struct staging *s, uint64_t node, int mode, uint64_t off, uint64_t len,
		     bool may_wait, struct err *e);
/* Of two staged files; *len becomes what was copied.  Waits. */
int staging_copy(struct staging *s, uint64_t from, uint64_t from_off, uint64_t to,
		 uint64_t to_off, uint64_t *len, struct err *e);
/* Out of an archive, by reference: *len becomes what was taken. */
int staging_import(struct staging *s, const struct content *from, uint64_t from_off,
		   uint64_t to, uint64_t to_off, uint64_t *len, bool may_wait, struct err *e);
/* What was accepted for a file and then lost: -errno or 0. */
int staging_failure(struct staging *s, uint64_t node);

/* Who has it open for writing is counted.  -EPERM its flags forbid it. */
int staging_open_file(struct staging *s, uint64_t node, bool for_writing, bool appending);
void staging_close_file(struct staging *s, uint64_t node, bool for_writing);

/* --- archives --- */

/* What the staged tells of itself, see own_xattr.h: 1 with out replaced, 0 none. */
int staging_own_xattr(struct staging *s, uint64_t node, struct bytes name, struct buf *out,
		      struct err *e);
/* Comment, compression and chunker_params of an archive in the making.  Between staging_begin_change() and
 * staging_end_change().  -EINVAL another attribute, a value that it cannot have, or node is none; -EROFS it
 * is published; -ENOSPC see struct staged_ways. */
int staging_set_own_xattr(struct staging *s, uint64_t node, struct bytes name,
			  struct bytes value);
/* As if it had not been set. */
int staging_remove_own_xattr(struct staging *s, uint64_t node, struct bytes name);

/* May an archive in the making have this name?  -EEXIST there is one, -EINVAL Borg cannot have it. */
int staging_check_name(struct staging *s, struct bytes name);

/* Everything staged is durable as a checkpoint.  Waits; calls that come together share one. */
int staging_checkpoint(struct staging *s, struct err *e);

/*
 * The staged archive `node` becomes archive `name`, and is frozen.  When this returns all of it is
 * durable.  Waits up to a second for writers to close their files.
 * -EBUSY one is still open for writing; -EEXIST; -EIO something of its content is lost.
 */
int staging_publish(struct staging *s, uint64_t node, struct bytes name, struct err *e);

/* An archive of the repository gets another name, or goes.  Durable when this returns.  -ENOENT, -EEXIST. */
int staging_rename_archive(struct staging *s, struct bytes archive, struct bytes name,
			   struct err *e);
int staging_remove_archive(struct staging *s, struct bytes archive, struct err *e);

#endif
