#ifndef MOUNT_MOUNT_INTERNAL_H
#define MOUNT_MOUNT_INTERNAL_H

/* mount_internal.h - what the parts of a mount share; for mount/ alone. */

#include "mount/mount.h"
#include "mount/plus.h"
#include "mount/reply.h"

#include "core/base/thread.h"
#include "fs/ahead.h"
#include "fs/view.h"

#include <stdatomic.h>

struct mount {
	struct fuse_session *session;
	struct view *view;
	struct pool *workers; /* for reads that wait for chunks */
	struct ahead *ahead;  /* the receiving thread's own */
	struct plus plus;
	struct reply_log *log;
	bool posix_acl;       /* the kernel enforces permissions, ACLs among them */
	bool no_open;         /* the kernel can do without open and release, */
	bool no_opendir;      /* ... for folders too */
	bool parallel_dirops; /* the kernel may ask for several names of a folder at a time */
	_Atomic bool begun;   /* INIT has been answered */
	bool mounted;         /* at this mount point: */
	bool foreground;
	pthread_t receiver;
	_Atomic bool stop;     /* the loop shall end */
	_Atomic bool received; /* the loop has ended */
	_Atomic int signal;    /* that ended it, or 0 */
};

extern const struct fuse_lowlevel_ops mount_ops;

/* ops_read.c */
void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readlink(fuse_req_t req, fuse_ino_t ino);
void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg,
	      struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_size,
	      size_t out_size);
void op_statfs(fuse_req_t req, fuse_ino_t ino);

#endif
