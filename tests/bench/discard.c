/*
 * discard.c - a mount that takes every write and keeps nothing: what FUSE alone costs a writer.
 *
 *   discard MOUNTPOINT    in the foreground, until unmounted
 *
 * One directory, in which each name is one and the same file.  Requests are as large, and as many
 * at a time, as those of `alcove mount -o rw` (mount/ops.c), and there is no writeback cache either.
 */

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROOT = 1, FILE_NODE = 2, REQUEST_MAX = 1 << 20, BACKGROUND_MAX = 64 };

static off_t size;

static struct stat attributes(fuse_ino_t node)
{
	return (struct stat){
		.st_ino = node,
		.st_mode = node == ROOT ? S_IFDIR | 0755 : S_IFREG | 0644,
		.st_nlink = node == ROOT ? 2 : 1,
		.st_uid = getuid(),
		.st_gid = getgid(),
		.st_size = node == ROOT ? 0 : size,
	};
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	conn->max_write = REQUEST_MAX;
	conn->max_background = BACKGROUND_MAX;
	conn->congestion_threshold = BACKGROUND_MAX * 3 / 4;
	conn->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
				  FUSE_CAP_SPLICE_MOVE | FUSE_CAP_ATOMIC_O_TRUNC |
				  FUSE_CAP_WRITEBACK_CACHE);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	(void)parent, (void)name;
	fuse_reply_err(req, ENOENT);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st = attributes(ino);

	(void)fi;
	fuse_reply_attr(req, &st, 1e9);
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		      struct fuse_file_info *fi)
{
	struct fuse_entry_param param = { .ino = FILE_NODE,
					  .attr_timeout = 1e9,
					  .entry_timeout = 1e9 };

	(void)parent, (void)name, (void)mode;
	size = 0;
	param.attr = attributes(FILE_NODE);
	fi->keep_cache = 1;
	fuse_reply_create(req, &param, fi);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t len, off_t off,
		     struct fuse_file_info *fi)
{
	(void)ino, (void)data, (void)fi;
	if (off + (off_t)len > size)
		size = off + (off_t)len;
	fuse_reply_write(req, len);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t len)
{
	(void)ino, (void)name, (void)len;
	fuse_reply_err(req, ENODATA);
}

static const struct fuse_lowlevel_ops ops = {
	.init = op_init,
	.lookup = op_lookup,
	.getattr = op_getattr,
	.create = op_create,
	.write = op_write,
	.getxattr = op_getxattr, /* security.capability is asked for at each write(2) */
};

int main(int argc, char **argv)
{
	char options[] = "-ofsname=discard,default_permissions";
	char *list[] = { argv[0], options, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(2, list);
	struct fuse_session *session;
	int rc = 1;

	if (argc != 2)
		return 2;
	session = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	if (!session)
		return 1;
	if (fuse_session_mount(session, argv[1]) == 0) {
		rc = fuse_session_loop(session) < 0;
		fuse_session_unmount(session);
	}
	fuse_session_destroy(session);
	return rc;
}
