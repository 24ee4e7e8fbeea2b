/*
 * ops.c - the table of requests, and what is agreed with the kernel when a mount begins.
 *
 * On a read-only mount the kernel refuses by itself what changes something.  Nodes of archives are
 * numbers and not objects: only what is staged is counted and forgotten.
 */

#include "mount/mount_internal.h"

enum {
	READ_MAX = 1 << 20, /* bytes in one request, the most that Linux sends */
	READAHEAD_MAX = 1 << 20,
	BACKGROUND_MAX = 64, /* readahead requests under way */
};

static void want(struct fuse_conn_info *conn, unsigned capabilities)
{
	conn->want |= conn->capable & capabilities;
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct mount *m = userdata;

	conn->max_read = READ_MAX;
	conn->max_readahead = READAHEAD_MAX;
	conn->max_background = BACKGROUND_MAX;
	conn->congestion_threshold = BACKGROUND_MAX * 3 / 4;
	want(conn, FUSE_CAP_ASYNC_READ | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_READDIRPLUS |
			   FUSE_CAP_EXPORT_SUPPORT | FUSE_CAP_IOCTL_DIR |
			   FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_AUTO_INVAL_DATA);
	if (m->posix_acl)
		want(conn, FUSE_CAP_POSIX_ACL);
	/* One copy from chunk memory into the page cache beats moving pages through a pipe. */
	conn->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
				  FUSE_CAP_SPLICE_MOVE | FUSE_CAP_READDIRPLUS_AUTO);
	m->parallel_dirops = conn->want & FUSE_CAP_PARALLEL_DIROPS;
	if (m->staging) {
		want(conn, FUSE_CAP_DONT_MASK); /* where there is a default ACL it is ignored */
		/* The kernel says with a request of its own what to truncate, and which bits go. */
		conn->want &= ~(unsigned)(FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_HANDLE_KILLPRIV);
		return;
	}
	/* Said for the whole connection: so not where files are written. */
	m->no_open = conn->capable & FUSE_CAP_NO_OPEN_SUPPORT;
	m->no_opendir = conn->capable & FUSE_CAP_NO_OPENDIR_SUPPORT;
}

const struct fuse_lowlevel_ops mount_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.getattr = op_getattr,
	.readlink = op_readlink,
	.open = op_open,
	.read = op_read,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.statfs = op_statfs,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.ioctl = op_ioctl,
	.lseek = op_lseek,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.symlink = op_symlink,
	.create = op_create,
	.link = op_link,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.rename = op_rename,
	.setattr = op_setattr,
	.setxattr = op_setxattr,
	.removexattr = op_removexattr,
	.write = op_write,
	.fallocate = op_fallocate,
	.copy_file_range = op_copy_file_range,
	.release = op_release,
	.flush = op_flush,
	.fsync = op_fsync,
	.fsyncdir = op_fsync,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
};
