#ifndef MOUNT_MOUNT_INTERNAL_H
#define MOUNT_MOUNT_INTERNAL_H

/* mount_internal.h - what the parts of a mount share; for mount/ alone. */

#include "mount/mount.h"
#include "mount/plus.h"
#include "mount/reply.h"

#include "core/base/thread.h"
#include "fs/ahead.h"
#include "fs/view.h"
#include "fs/workspace.h"

#include <stdatomic.h>

struct mount {
	struct fuse_session *session;
	struct view *view;
	struct staging *staging; /* NULL: read-only */
	bool manage;             /* archives may be renamed and removed */
	struct pool *workers;    /* for reads that wait for chunks */
	struct pool *writers;    /* for changes that wait for the repository */
	struct ahead *ahead;     /* the receiving thread's own */
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
	unsigned looks_gone;   /* how often it was not where it was mounted; the follower's */
	_Atomic bool cut_off;  /* aborted, or unmounted while in use */
	char *point;
	dev_t device; /* that the kernel gave it */
};

extern const struct fuse_lowlevel_ops mount_ops;

/* point.c: the device number that the kernel gave the mount at `point`, without asking the mount
 * itself.  -ENOENT. */
int mount_device(const char *point, unsigned *major, unsigned *minor);

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
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi);

/* ops_write.c */
void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *fi);
void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name);
void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
	       const char *new_name, unsigned flags);
void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		struct fuse_file_info *fi);
void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
		 size_t size, int flags);
void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);
void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
	      struct fuse_file_info *fi);
void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
		  struct fuse_file_info *fi);
void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
			struct fuse_file_info *fi_out, size_t len, int flags);
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups);
void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void open_staged(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void write_flags(fuse_req_t req, fuse_ino_t ino, uint32_t flags);

#endif
