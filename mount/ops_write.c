/*
 * ops_write.c - what the kernel asks when somebody changes something.
 *
 * Only what is staged can be changed; what is in an archive answers EROFS.  Each request is a change
 * (change.h): op_x() fills it in, x() does it, and its answer follows.
 */

#include "mount/change.h"

#include "fs/own_xattr.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>

static struct stage *stage_of(const struct change *c)
{
	return staging_stage(c->mount->staging);
}

static bool is_top(const struct change *c, uint64_t node)
{
	return node == stage_root(stage_of(c));
}

/* The change of a name in `dir` that cannot be: 0 where it may. */
static int check_place(const struct change *c, uint64_t dir)
{
	(void)c;
	if (is_staged(dir))
		return 0;
	return dir == VIEW_ROOT ? -EPERM : -EROFS;
}

static bool refused(fuse_req_t req, int rc)
{
	if (rc < 0)
		fuse_reply_err(req, -rc);
	return rc < 0;
}

static bool name_is_long(fuse_req_t req, const char *name)
{
	return refused(req, strlen(name) > NAME_MAX ? -ENAMETOOLONG : 0);
}

/* --- making --- */

/* In the staging directory itself only archives are made, and not of any name. */
static int check_new(const struct change *c, uint64_t dir, struct bytes name, mode_t mode)
{
	int rc = check_place(c, dir);

	if (rc < 0 || !is_top(c, dir))
		return rc;
	return S_ISDIR(mode) ? staging_check_name(c->mount->staging, name) : -EPERM;
}

static int make(struct change *c, struct err *e)
{
	struct stage_making what = { .mode = c->mode, .rdev = c->rdev, .target = c->data };
	int rc = check_new(c, c->node, c->name, c->mode);

	if (rc == 0 && S_ISREG(c->mode))
		rc = staging_new_content(c->mount->staging, c->node, &what.content);
	if (rc < 0)
		return rc;
	rc = stage_make(stage_of(c), c->node, c->name, &c->who, &what, &c->out);
	if (rc < 0 && what.content)
		staging_drop_content(what.content);
	(void)e;
	return rc == 0 ? stage_hold(stage_of(c), c->out.st.st_ino, 1) : rc;
}

static void start_making(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
			 dev_t rdev, const char *target)
{
	struct change c;

	if (name_is_long(req, name))
		return;
	change_begin(&c, req, parent, make, answer_entry);
	c.name = bytes_str(name);
	c.mode = mode;
	c.rdev = rdev;
	c.data = target ? bytes_str(target) : (struct bytes){ 0 };
	change_run(&c);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	start_making(req, parent, name, mode, rdev, NULL);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	start_making(req, parent, name, S_IFDIR | (mode & 07777), 0, NULL);
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	start_making(req, parent, name, S_IFLNK | 0777, 0, target);
}

static int create(struct change *c, struct err *e)
{
	bool writing = (c->fi.flags & O_ACCMODE) != O_RDONLY;
	int rc = make(c, e);

	if (rc < 0)
		return rc;
	rc = staging_open_file(c->mount->staging, c->out.st.st_ino, writing, true);
	if (rc < 0)
		stage_release(stage_of(c), c->out.st.st_ino, 1);
	return rc;
}

static void answer_create(struct change *c)
{
	struct fuse_entry_param param;
	bool writing = (c->fi.flags & O_ACCMODE) != O_RDONLY;

	change_entry(c, &param);
	c->fi.fh = writing;
	c->fi.keep_cache = 1;
	if (fuse_reply_create(c->req, &param, &c->fi) < 0) {
		staging_close_file(c->mount->staging, param.ino, writing);
		stage_release(stage_of(c), param.ino, 1);
	}
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *fi)
{
	struct change c;

	if (name_is_long(req, name))
		return;
	change_begin(&c, req, parent, create, answer_create);
	c.name = bytes_str(name);
	c.mode = S_IFREG | (mode & 07777);
	c.fi = *fi;
	change_run(&c);
}

static int link_staged(struct change *c, struct err *e)
{
	int rc = check_place(c, c->other);

	(void)e;
	if (rc == 0 && is_top(c, c->other))
		rc = -EPERM;
	if (rc == 0)
		rc = stage_link(stage_of(c), c->node, c->other, c->name, &c->out);
	return rc == 0 ? stage_hold(stage_of(c), c->out.st.st_ino, 1) : rc;
}

/* A node of an archive: a new one with the same chunks. */
static int link_archived(struct change *c, struct err *e)
{
	int rc = check_place(c, c->other);

	if (rc == 0 && is_top(c, c->other))
		rc = -EPERM;
	if (rc == 0)
		rc = workspace_link(c->mount->view, c->node, c->other, c->name, c->may_wait,
				    &c->out, e);
	return rc == 0 ? stage_hold(stage_of(c), c->out.st.st_ino, 1) : rc;
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name)
{
	struct change c;

	if (name_is_long(req, new_name))
		return;
	change_begin(&c, req, ino, is_staged(ino) ? link_staged : link_archived, answer_entry);
	c.other = new_parent;
	c.name = bytes_str(new_name);
	change_run(&c);
}

/* --- removing and renaming --- */

static int unlink_name(struct change *c, struct err *e)
{
	(void)e;
	return stage_unlink(stage_of(c), c->node, c->name);
}

/* The list of archives has changed, by us: `name` (empty: none) is one now. */
static void follow(struct change *c, struct bytes name)
{
	(void)workspace_follow(c->mount->view,
			       NULL); /* else the next look at the repository does */
	if (name.len > 0)
		workspace_published(c->mount->view, name);
}

/* -o manage: an archive goes with its directory, whatever is in it. */
static int remove_archive(struct change *c, struct err *e)
{
	uint32_t archive;
	int rc;

	workspace_begin_removal(c->mount->view, c->name, &archive);
	rc = staging_remove_archive(c->mount->staging, c->name, e);
	workspace_end_removal(c->mount->view, archive, rc == 0);
	if (rc < 0)
		return rc;
	follow(c, (struct bytes){ 0 });
	return 0;
}

static int rename_archive(struct change *c, struct err *e)
{
	int rc = staging_check_name(c->mount->staging, c->new_name);

	if (rc == 0)
		rc = staging_rename_archive(c->mount->staging, c->name, c->new_name, e);
	if (rc < 0)
		return rc;
	follow(c, c->new_name);
	return 0;
}

static int remove_dir(struct change *c, struct err *e)
{
	(void)e;
	return stage_rmdir(stage_of(c), c->node, c->name);
}

/* -o manage: what is in an archive goes with it, or not at all. */
static int hide_name(struct change *c, struct err *e)
{
	return workspace_hide(c->mount->view, c->node, c->name, false, e);
}

static int hide_dir(struct change *c, struct err *e)
{
	return workspace_hide(c->mount->view, c->node, c->name, true, e);
}

static bool is_hiding(fuse_req_t req, uint64_t parent)
{
	const struct mount *m = fuse_req_userdata(req);

	return m->manage && parent != VIEW_ROOT && !is_staged(parent);
}

static void start_removing(fuse_req_t req, fuse_ino_t parent, const char *name,
			   change_apply *apply)
{
	struct change c;

	if (name_is_long(req, name))
		return;
	change_begin(&c, req, parent, apply, answer_done);
	c.name = bytes_str(name);
	if (!refused(req, check_place(&c, parent)))
		change_run(&c);
}

/* Nothing staged is changed. */
static void start_managing(fuse_req_t req, fuse_ino_t parent, const char *name,
			   change_apply *apply)
{
	struct change c;

	if (name_is_long(req, name))
		return;
	change_begin(&c, req, parent, apply, answer_done);
	c.name = bytes_str(name);
	c.free_of_gate = true;
	change_run(&c);
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	if (is_hiding(req, parent))
		start_managing(req, parent, name, hide_name);
	else
		start_removing(req, parent, name, unlink_name);
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct mount *m = fuse_req_userdata(req);

	if (is_hiding(req, parent))
		start_managing(req, parent, name, hide_dir);
	else if (parent == VIEW_ROOT && m->manage)
		start_managing(req, parent, name, remove_archive);
	else
		start_removing(req, parent, name, remove_dir);
}

/* A directory that becomes an archive in the making, or another one: by what it is called. */
static int check_renamed_top(const struct change *c)
{
	struct stage_node n;
	int rc;

	if (!is_top(c, c->other))
		return 0;
	rc = stage_lookup(stage_of(c), c->node, c->name, &n);
	if (rc == 0 && !S_ISDIR(n.st.st_mode))
		rc = -EPERM;
	return rc == 0 ? staging_check_name(c->mount->staging, c->new_name) : rc;
}

static int rename_staged(struct change *c, struct err *e)
{
	int rc = check_renamed_top(c);

	(void)e;
	return rc == 0 ? stage_rename(stage_of(c), c->node, c->name, c->other, c->new_name,
				      c->flags)
		       : rc;
}

static int publish(struct change *c, struct err *e)
{
	struct staging *staging = c->mount->staging;
	struct stage_node n;
	int rc = stage_lookup(stage_of(c), c->node, c->name, &n);

	if (rc == 0 && !S_ISDIR(n.st.st_mode))
		rc = -EPERM;
	if (rc == 0)
		rc = staging_check_name(staging, c->new_name);
	if (rc == 0)
		rc = staging_publish(staging, n.st.st_ino, c->new_name, e);
	if (rc < 0)
		return rc;
	follow(c, c->new_name);
	return 0;
}

static bool is_in_archive(uint64_t dir)
{
	return dir != VIEW_ROOT && !is_staged(dir);
}

/* How a rename is to be understood: the function, or NULL with *rc. */
static change_apply *rename_kind(const struct change *c, int *rc)
{
	*rc = 0;
	if (is_staged(c->node) && is_staged(c->other))
		return rename_staged;
	if (is_in_archive(c->node) || is_in_archive(c->other))
		*rc = -EROFS;
	else if (c->flags & RENAME_EXCHANGE)
		*rc = -EINVAL;
	else if (is_top(c, c->node) && c->other == VIEW_ROOT)
		return publish;
	else if (c->node == VIEW_ROOT && c->other == VIEW_ROOT && c->mount->manage)
		return rename_archive;
	else
		*rc = -EPERM;
	return NULL;
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
	       const char *new_name, unsigned flags)
{
	struct change c;
	int rc;

	if (name_is_long(req, name) || name_is_long(req, new_name))
		return;
	change_begin(&c, req, parent, NULL, answer_done);
	c.other = new_parent;
	c.name = bytes_str(name);
	c.new_name = bytes_str(new_name);
	c.flags = flags;
	c.apply = rename_kind(&c, &rc);
	c.free_of_gate = c.apply != rename_staged; /* the others close the gate themselves */
	if (!refused(req, rc))
		change_run(&c);
}

/* --- attributes --- */

static const struct {
	int fuse;
	unsigned stage;
} settings[] = {
	{ FUSE_SET_ATTR_MODE, STAGE_MODE },       { FUSE_SET_ATTR_UID, STAGE_UID },
	{ FUSE_SET_ATTR_GID, STAGE_GID },         { FUSE_SET_ATTR_ATIME, STAGE_ATIME },
	{ FUSE_SET_ATTR_ATIME_NOW, STAGE_ATIME }, { FUSE_SET_ATTR_MTIME, STAGE_MTIME },
	{ FUSE_SET_ATTR_MTIME_NOW, STAGE_MTIME },
};

static int set_attr(struct change *c, struct err *e)
{
	int rc = 0;

	if (c->flags & FUSE_SET_ATTR_SIZE)
		rc = staging_truncate(c->mount->staging, c->node, (uint64_t)c->attr.st_size,
				      c->fi.fh, c->may_wait, e);
	if (rc == 0 && c->set)
		rc = stage_set(stage_of(c), c->node, c->set, &c->attr, &c->out);
	return rc == 0 ? stage_get(stage_of(c), c->node, &c->out) : rc;
}

void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		struct fuse_file_info *fi)
{
	struct change c;

	if (refused(req, is_staged(ino) ? 0 : -EROFS))
		return;
	change_begin(&c, req, ino, set_attr, answer_attr);
	c.attr = *attr;
	c.flags = (unsigned)to_set;
	c.fi.fh = fi && fi->fh;
	if (to_set & FUSE_SET_ATTR_ATIME_NOW)
		clock_gettime(CLOCK_REALTIME, &c.attr.st_atim);
	if (to_set & FUSE_SET_ATTR_MTIME_NOW)
		clock_gettime(CLOCK_REALTIME, &c.attr.st_mtim);
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		if (to_set & settings[i].fuse)
			c.set |= settings[i].stage;
	change_run(&c);
}

static int set_xattr(struct change *c, struct err *e)
{
	(void)e;
	if (own_xattr_is(c->name))
		return staging_set_own_xattr(c->mount->staging, c->node, c->name, c->data);
	return stage_set_xattr(stage_of(c), c->node, c->name, c->data, (int)c->flags);
}

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
		 size_t size, int flags)
{
	struct change c;

	if (refused(req, is_staged(ino) ? 0 : -EROFS))
		return;
	change_begin(&c, req, ino, set_xattr, answer_done);
	c.name = bytes_str(name);
	c.data = (struct bytes){ (const uint8_t *)value, size };
	c.flags = (unsigned)flags;
	change_run(&c);
}

static int remove_xattr(struct change *c, struct err *e)
{
	(void)e;
	if (own_xattr_is(c->name))
		return staging_remove_own_xattr(c->mount->staging, c->node, c->name);
	return stage_remove_xattr(stage_of(c), c->node, c->name);
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct change c;

	if (refused(req, is_staged(ino) ? 0 : -EROFS))
		return;
	change_begin(&c, req, ino, remove_xattr, answer_done);
	c.name = bytes_str(name);
	change_run(&c);
}

/* --- flags of chattr(1) --- */

enum { FLAGS_KEPT = FS_NODUMP_FL | FS_IMMUTABLE_FL | FS_APPEND_FL };

static int set_flags(struct change *c, struct err *e)
{
	struct stage_node n;
	int rc = stage_get(stage_of(c), c->node, &n);

	(void)e;
	if (rc == 0 && c->flags & ~(unsigned)FLAGS_KEPT)
		rc = -EOPNOTSUPP;
	if (rc == 0 && (n.flags ^ c->flags) & (FS_IMMUTABLE_FL | FS_APPEND_FL) &&
	    !c->who.privileged)
		rc = -EPERM;
	if (rc == 0 && !c->who.privileged && c->who.uid != n.st.st_uid)
		rc = -EPERM;
	return rc == 0 ? stage_set_flags(stage_of(c), c->node, c->flags) : rc;
}

static void answer_ioctl(struct change *c)
{
	fuse_reply_ioctl(c->req, 0, NULL, 0);
}

void write_flags(fuse_req_t req, fuse_ino_t ino, uint32_t flags)
{
	struct change c;

	if (refused(req, is_staged(ino) ? 0 : -EROFS))
		return;
	change_begin(&c, req, ino, set_flags, answer_ioctl);
	c.flags = flags;
	change_run(&c);
}

/* --- content --- */

static int write_data(struct change *c, struct err *e)
{
	return staging_write(c->mount->staging, c->node, c->off, c->data, c->may_wait, e);
}

static void answer_write(struct change *c)
{
	fuse_reply_write(c->req, c->data.len);
}

void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
	      struct fuse_file_info *fi)
{
	struct change c;

	(void)fi;
	if (refused(req, is_staged(ino) ? 0 : -EROFS))
		return;
	change_begin(&c, req, ino, write_data, answer_write);
	c.data = (struct bytes){ (const uint8_t *)buf, size };
	c.off = (uint64_t)off;
	change_run(&c);
}

static int allocate(struct change *c, struct err *e)
{
	return staging_allocate(c->mount->staging, c->node, (int)c->flags, c->off, c->size,
				c->may_wait, e);
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
		  struct fuse_file_info *fi)
{
	struct change c;

	(void)fi;
	if (refused(req, is_staged(ino) ? 0 : -EROFS))
		return;
	change_begin(&c, req, ino, allocate, answer_done);
	c.flags = (unsigned)mode;
	c.off = (uint64_t)off;
	c.size = (uint64_t)len;
	change_run(&c);
}

static int copy_range(struct change *c, struct err *e)
{
	CLEANUP(content_fini) struct content from = { 0 };
	int rc;

	if (!c->may_wait)
		return -EAGAIN; /* bytes that are not stored yet are copied */
	if (!is_staged(c->node)) {
		rc = workspace_content(c->mount->view, c->node, &from, e);
		return rc == 0 ? staging_import(c->mount->staging, &from, c->off, c->other,
						c->other_off, &c->size, true, e)
			       : rc;
	}
	return staging_copy(c->mount->staging, c->node, c->off, c->other, c->other_off,
			    &c->size, e);
}

static void answer_copy(struct change *c)
{
	fuse_reply_write(c->req, c->size);
}

void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
			struct fuse_file_info *fi_out, size_t len, int flags)
{
	struct change c;

	(void)fi_in, (void)fi_out;
	if (refused(req, flags ? -EINVAL : is_staged(ino_out) ? 0 : -EROFS))
		return;
	change_begin(&c, req, ino_in, copy_range, answer_copy);
	c.other = ino_out;
	c.off = (uint64_t)off_in;
	c.other_off = (uint64_t)off_out;
	c.size = len;
	change_run(&c);
}

/* --- open files --- */

void open_staged(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	const struct mount *m = fuse_req_userdata(req);
	bool writing = (fi->flags & O_ACCMODE) != O_RDONLY;
	int rc = staging_open_file(m->staging, ino, writing, fi->flags & O_APPEND);

	if (refused(req, rc))
		return;
	fi->fh = writing;
	fi->keep_cache = 1; /* nobody else writes to it */
	if (fuse_reply_open(req, fi) < 0)
		staging_close_file(m->staging, ino, writing);
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	const struct mount *m = fuse_req_userdata(req);

	if (is_staged(ino))
		staging_close_file(m->staging, ino, fi->fh);
	fuse_reply_err(req, 0);
}

/* What was accepted and then could not be stored: close(2) says so. */
void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	const struct mount *m = fuse_req_userdata(req);
	int rc = is_staged(ino) && fi->fh ? staging_failure(m->staging, ino) : 0;

	fuse_reply_err(req, m->staging ? -rc : ENOSYS); /* ENOSYS: it is never asked again */
}

static int sync_all(struct change *c, struct err *e)
{
	int rc = staging_checkpoint(c->mount->staging, e);

	return rc == 0 ? staging_failure(c->mount->staging, c->node) : rc;
}

void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct change c;

	(void)datasync, (void)fi;
	if (!is_staged(ino)) {
		fuse_reply_err(req, 0);
		return;
	}
	change_begin(&c, req, ino, sync_all, answer_done);
	c.free_of_gate = true;
	change_run(&c);
}

/* --- nodes that the kernel no longer knows --- */

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups)
{
	const struct mount *m = fuse_req_userdata(req);

	if (is_staged(ino))
		stage_release(staging_stage(m->staging), ino, lookups);
	fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	const struct mount *m = fuse_req_userdata(req);

	for (size_t i = 0; i < count; i++)
		if (is_staged(forgets[i].ino))
			stage_release(staging_stage(m->staging), forgets[i].ino,
				      forgets[i].nlookup);
	fuse_reply_none(req);
}
