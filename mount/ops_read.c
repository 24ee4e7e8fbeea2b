/*
 * ops_read.c - what the kernel asks when somebody looks or reads.
 *
 * Each request is a pair: op_x() puts it into a call, on the stack of the receiving thread;
 * run_x() asks the view and answers.  Everything about names and attributes is answered at once
 * from memory; a read is too if its chunks are in memory, else a worker waits for them.
 *
 * What belongs to an archive never changes, so the kernel may keep it for good (FOREVER).  The
 * root's list changes: names there are believed for NAME_S, and they are never remembered as
 * absent.  An archive that is not open yet has attributes that are not kept at all.
 */

#include "mount/mount_internal.h"

#include "fs/own_xattr.h"

#include <errno.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>

static const double FOREVER = 1e9; /* seconds */
static const double NAME_S = 1.0;

static struct call call_for(fuse_req_t req, call_fn *run, fuse_ino_t node)
{
	return (struct call){
		.req = req, .mount = fuse_req_userdata(req), .run = run, .node = node
	};
}

static double attr_timeout(const struct view_entry *entry)
{
	if (entry->settled)
		return FOREVER;
	return entry->st.st_ino == VIEW_ROOT ? NAME_S : 0;
}

static void fill_param(const struct view_entry *entry, struct fuse_entry_param *out)
{
	*out = (struct fuse_entry_param){
		.ino = entry->st.st_ino,
		.attr = entry->st,
		.attr_timeout = attr_timeout(entry),
		.entry_timeout = entry->name_settled ? FOREVER : NAME_S,
	};
}

/* --- names and attributes --- */

static int look_up(struct call *c, struct view_entry *entry, struct err *e)
{
	int rc;

	/* "." and "..": asked by the NFS server, which knows nodes by number only. */
	if (bytes_is(c->name, "."))
		rc = view_entry(c->mount->view, c->node, entry, e);
	else if (bytes_is(c->name, ".."))
		rc = view_parent(c->mount->view, c->node, entry, e);
	else
		return view_lookup(c->mount->view, c->node, c->name, entry, e);
	return rc == 0 ? 1 : rc;
}

/* The kernel will know this node, and say when it forgets it. */
static void count_lookup(const struct call *c, uint64_t node)
{
	if (is_staged(node))
		(void)stage_hold(staging_stage(c->mount->staging), node, 1);
}

static void uncount_lookup(const struct call *c, uint64_t node)
{
	if (is_staged(node))
		stage_release(staging_stage(c->mount->staging), node, 1);
}

static void run_lookup(struct call *c)
{
	struct fuse_entry_param param = { 0 };
	struct view_entry entry;
	struct err err = ERR_INIT;
	int rc = look_up(c, &entry, &err);

	if (rc < 0) {
		reply_failure(c, rc, &err);
	} else if (rc > 0) {
		if (!S_ISDIR(entry.st.st_mode))
			plus_looked_up(&c->mount->plus);
		fill_param(&entry, &param);
		count_lookup(c, param.ino);
		if (fuse_reply_entry(c->req, &param) < 0)
			uncount_lookup(c, param.ino);
	} else if (entry.name_settled) {
		param.entry_timeout = FOREVER; /* number 0: the kernel remembers its absence */
		fuse_reply_entry(c->req, &param);
	} else {
		fuse_reply_err(c->req, ENOENT);
	}
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct call c = call_for(req, run_lookup, parent);

	c.name = bytes_str(name);
	if (c.name.len > NAME_MAX) /* the kernel lets up to 1024 bytes through */
		fuse_reply_err(req, ENAMETOOLONG);
	else
		run_lookup(&c);
}

static void run_getattr(struct call *c)
{
	struct view_entry entry;
	struct err err = ERR_INIT;
	int rc = view_entry(c->mount->view, c->node, &entry, &err);

	if (rc < 0)
		reply_failure(c, rc, &err);
	else
		fuse_reply_attr(c->req, &entry.st, attr_timeout(&entry));
}

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct call c = call_for(req, run_getattr, ino);

	(void)fi;
	run_getattr(&c);
}

static void run_readlink(struct call *c)
{
	CLEANUP(buf_fini) struct buf target = BUF_INIT;
	struct err err = ERR_INIT;
	int rc = view_link_target(c->mount->view, c->node, &target, &err);

	if (rc == 0 && buf_append_byte(&target, 0) < 0)
		rc = -ENOMEM;
	if (rc < 0)
		reply_failure(c, rc, &err);
	else
		fuse_reply_readlink(c->req, (const char *)target.p);
}

void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct call c = call_for(req, run_readlink, ino);

	run_readlink(&c);
}

/* --- folders --- */

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	const struct mount *m = fuse_req_userdata(req);

	if (m->no_opendir) {
		fuse_reply_err(req, ENOSYS); /* from now on the kernel opens by itself */
		return;
	}
	fi->keep_cache =
		ino != VIEW_ROOT && !is_staged(ino) && !(m->manage && workspace_hides(m->view));
	fi->cache_readdir = fi->keep_cache;
	fuse_reply_open(req, fi);
}

/* Positions in a folder: 1 behind ".", 2 behind "..", then the view's cookies, moved by 2. */
enum { BEHIND_DOT = 1, BEHIND_DOTS = 2 };

struct page { /* one reply to readdir in the making */
	struct call *call;
	bool plus;  /* the kernel's way to ask, */
	bool files; /* ... and if files come with attributes then, or folders only */
	char *p;
	size_t used, size;
	uint64_t file_count;
	bool full;
	struct buf looked_up; /* staged nodes that the kernel knows through it */
};

static int add_entry(struct page *page, const char *name, const struct fuse_entry_param *param,
		     uint64_t next)
{
	size_t room = page->size - page->used, need;
	char *at = page->p + page->used;

	if (page->plus)
		need = fuse_add_direntry_plus(page->call->req, at, room, name, param,
					      (off_t)next);
	else
		need = fuse_add_direntry(page->call->req, at, room, name, &param->attr,
					 (off_t)next);
	page->full = need > room;
	if (!page->full)
		page->used += need;
	return page->full;
}

static int add_child(void *arg, struct bytes name, const struct view_entry *entry,
		     uint64_t cookie)
{
	struct page *page = arg;
	struct fuse_entry_param param;

	fill_param(entry, &param);
	if (!S_ISDIR(entry->st.st_mode)) {
		page->file_count++;
		if (!page->files)
			param.ino = 0; /* a name, a number and a kind */
	}
	if (add_entry(page, (const char *)name.p, &param, cookie + BEHIND_DOTS) != 0)
		return 1;
	return page->plus && is_staged(param.ino)
		       ? buf_append(&page->looked_up, &param.ino, sizeof(param.ino))
		       : 0;
}

static void count_lookups(const struct page *page)
{
	for (size_t at = 0; at < page->looked_up.len; at += sizeof(uint64_t)) {
		uint64_t node;

		memcpy(&node, page->looked_up.p + at, sizeof(node));
		count_lookup(page->call, node);
	}
}

/* "." and ".." carry a number and a kind only: no node 0 is looked up. */
static int add_dots(struct page *page, struct err *e)
{
	struct call *c = page->call;
	struct view_entry entry;
	struct fuse_entry_param param = { 0 };
	int rc = 0;

	if (c->off < BEHIND_DOT) {
		rc = view_entry(c->mount->view, c->node, &entry, e);
		param.attr = entry.st;
		if (rc == 0)
			add_entry(page, ".", &param, BEHIND_DOT);
	}
	if (rc == 0 && c->off < BEHIND_DOTS) {
		rc = view_parent(c->mount->view, c->node, &entry, e);
		param.attr = entry.st;
		if (rc == 0)
			add_entry(page, "..", &param, BEHIND_DOTS);
	}
	return rc;
}

static void list_page(struct call *c, bool plus)
{
	CLEANUP(cleanup_freep) char *p = malloc(c->size);
	struct page page = { .call = c, .plus = plus, .p = p, .size = c->size };
	uint64_t after = c->off > BEHIND_DOTS ? c->off - BEHIND_DOTS : 0;
	struct err err = ERR_INIT;
	int rc = p ? add_dots(&page, &err) : -ENOMEM;

	page.files = plus && plus_wanted(&c->mount->plus, c->off == 0);
	if (rc == 0 && !page.full)
		rc = view_list(c->mount->view, c->node, after, add_child, &page, &err);
	if (rc < 0) {
		reply_failure(c, rc, &err);
	} else {
		if (plus)
			plus_listed(&c->mount->plus, page.files, page.file_count);
		count_lookups(&page);
		fuse_reply_buf(c->req, p, page.used);
	}
	buf_fini(&page.looked_up);
}

static void run_readdir(struct call *c)
{
	list_page(c, false);
}

static void run_readdirplus(struct call *c)
{
	list_page(c, true);
}

static void start_list(fuse_req_t req, call_fn *run, fuse_ino_t ino, size_t size, off_t off)
{
	struct call c = call_for(req, run, ino);

	c.size = size;
	c.off = (uint64_t)off;
	run(&c);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		struct fuse_file_info *fi)
{
	(void)fi;
	start_list(req, run_readdir, ino, size, off);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	(void)fi;
	start_list(req, run_readdirplus, ino, size, off);
}

/* --- content --- */

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	const struct mount *m = fuse_req_userdata(req);

	if (is_staged(ino)) {
		open_staged(req, ino, fi);
		return;
	}
	if (m->no_open) {
		fuse_reply_err(req, ENOSYS); /* from now on the kernel opens by itself */
		return;
	}
	if ((fi->flags & O_ACCMODE) != O_RDONLY) {
		fuse_reply_err(req, EROFS);
		return;
	}
	fi->keep_cache = 1;
	fi->noflush = 1;
	fuse_reply_open(req, fi);
}

enum { PIECES_MAX = 512 }; /* in one writev(2), which takes 1024 */

/* The range as one piece, for what has more than a reply can hold. */
static void reply_flat(struct call *c, const struct content_range *range)
{
	CLEANUP(cleanup_freep) uint8_t *p = malloc(range->len);
	size_t used = 0;

	if (!p) {
		fuse_reply_err(c->req, ENOMEM);
		return;
	}
	for (size_t i = 0; i < range->count; i++) {
		memcpy(p + used, range->pieces[i].iov_base, range->pieces[i].iov_len);
		used += range->pieces[i].iov_len;
	}
	fuse_reply_buf(c->req, (const char *)p, used);
}

static void reply_range(struct call *c, struct content_range *range)
{
	if (range->count > PIECES_MAX)
		reply_flat(c, range);
	else
		fuse_reply_iov(c->req, range->pieces, (int)range->count);
	content_range_fini(range);
}

static void run_read_staged(struct call *c)
{
	struct content_range range;
	struct err err = ERR_INIT;
	int rc = staging_read(c->mount->staging, c->node, c->off, c->size, c->deferred, &range,
			      &err);

	if (rc == -EAGAIN && !c->deferred)
		call_defer(c);
	else if (rc < 0)
		reply_failure(c, rc, &err);
	else
		reply_range(c, &range);
}

static void run_read(struct call *c)
{
	CLEANUP(content_fini) struct content content = { 0 };
	struct content_range range;
	struct err err = ERR_INIT;
	int rc = view_content(c->mount->view, c->node, &content, &err);

	if (rc == 0 && c->deferred)
		rc = content_read(&content, c->off, c->size, &range, &err);
	else if (rc == 0)
		rc = content_cached(&content, c->off, c->size, &range, &err);
	if (rc < 0) {
		reply_failure(c, rc, &err);
		return;
	}
	if (rc > 0)
		reply_range(c, &range);
	else
		call_defer(c);
	if (!c->deferred)
		ahead_read(c->mount->ahead, c->node, &content, c->off, c->size);
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct call c = call_for(req, is_staged(ino) ? run_read_staged : run_read, ino);

	(void)fi;
	c.size = size;
	c.off = (uint64_t)off;
	c.run(&c);
}

static void run_lseek(struct call *c)
{
	struct view_entry entry;
	struct err err = ERR_INIT;
	uint64_t found = c->off;
	int rc;

	if (is_staged(c->node)) {
		rc = staging_seek(c->mount->staging, c->node, c->off, (int)c->cmd, c->deferred,
				  &found);
	} else {
		rc = view_entry(c->mount->view, c->node, &entry, &err);
		if (rc == 0 && c->off >= (uint64_t)entry.st.st_size)
			rc = -ENXIO;
		if (rc == 0 && c->cmd == SEEK_HOLE)
			found = (uint64_t)entry.st.st_size; /* an archive knows of no holes */
	}
	if (rc == -EAGAIN && !c->deferred)
		call_defer(c);
	else if (rc == -ENXIO)
		fuse_reply_err(c->req, ENXIO);
	else if (rc < 0)
		reply_failure(c, rc, &err);
	else
		fuse_reply_lseek(c->req, (off_t)found);
}

void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	struct call c = call_for(req, run_lseek, ino);

	(void)fi;
	c.off = (uint64_t)off;
	c.cmd = (unsigned)whence;
	if (!c.mount->staging)
		fuse_reply_err(req, ENOSYS); /* the kernel knows as much, from now on */
	else if (off < 0)
		fuse_reply_err(req, ENXIO);
	else
		run_lseek(&c);
}

/* --- extended attributes, flags, the file system --- */

static void reply_value(struct call *c, const struct buf *value)
{
	if (c->size == 0)
		fuse_reply_xattr(c->req, value->len);
	else if (value->len > c->size)
		fuse_reply_err(c->req, ERANGE);
	else
		fuse_reply_buf(c->req, (const char *)value->p, value->len);
}

/*
 * An attribute that is not there.  ls(1) asks for the security context of every file that it
 * lists, and the kernel remembers no answer; told that there are none here it asks once.
 */
static int absence_of(struct bytes name)
{
	return bytes_is(name, "security.selinux") ? EOPNOTSUPP : ENODATA;
}

static void run_getxattr(struct call *c)
{
	CLEANUP(buf_fini) struct buf value = BUF_INIT;
	struct err err = ERR_INIT;
	int rc;

	if (own_xattr_waits(c->name) && !c->deferred) {
		call_defer(c);
		return;
	}
	rc = view_xattr(c->mount->view, c->node, c->name, &value, &err);

	if (rc < 0)
		reply_failure(c, rc, &err);
	else if (rc == 0)
		fuse_reply_err(c->req, absence_of(c->name));
	else
		reply_value(c, &value);
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct call c = call_for(req, run_getxattr, ino);

	c.name = bytes_str(name);
	c.size = size;
	run_getxattr(&c);
}

static void run_listxattr(struct call *c)
{
	CLEANUP(buf_fini) struct buf names = BUF_INIT;
	struct err err = ERR_INIT;
	int rc = view_xattr_names(c->mount->view, c->node, c->privileged, &names, &err);

	if (rc < 0)
		reply_failure(c, rc, &err);
	else
		reply_value(c, &names);
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct call c = call_for(req, run_listxattr, ino);

	c.size = size;
	c.privileged = fuse_req_ctx(req)->uid == 0;
	run_listxattr(&c);
}

/* FS_IOC_FSGETXATTR's names for the flags that FS_IOC_GETFLAGS has. */
static uint32_t xflags_of(uint32_t flags)
{
	uint32_t x = 0;

	if (flags & FS_NODUMP_FL)
		x |= FS_XFLAG_NODUMP;
	if (flags & FS_IMMUTABLE_FL)
		x |= FS_XFLAG_IMMUTABLE;
	if (flags & FS_APPEND_FL)
		x |= FS_XFLAG_APPEND;
	return x;
}

static void run_ioctl(struct call *c)
{
	struct fsxattr fsx = { 0 };
	struct err err = ERR_INIT;
	uint32_t flags;
	int rc = view_flags(c->mount->view, c->node, &flags, &err);

	fsx.fsx_xflags = xflags_of(flags);
	if (rc < 0)
		reply_failure(c, rc, &err);
	else if (c->cmd == FS_IOC_FSGETXATTR)
		fuse_reply_ioctl(c->req, 0, &fsx, sizeof(fsx));
	else
		fuse_reply_ioctl(c->req, 0, &flags, sizeof(flags));
}

/* The flags that chattr(1) wants the node to have, in either of its two ways. */
static bool wanted_flags(unsigned cmd, const void *in, size_t in_size, uint32_t *out)
{
	struct fsxattr fsx;

	if ((cmd == FS_IOC_SETFLAGS || cmd == FS_IOC32_SETFLAGS) && in_size >= sizeof(*out)) {
		memcpy(out, in, sizeof(*out));
		return true;
	}
	if (cmd != FS_IOC_FSSETXATTR || in_size < sizeof(fsx))
		return false;
	memcpy(&fsx, in, sizeof(fsx));
	*out = (fsx.fsx_xflags & FS_XFLAG_NODUMP ? FS_NODUMP_FL : 0) |
	       (fsx.fsx_xflags & FS_XFLAG_IMMUTABLE ? FS_IMMUTABLE_FL : 0) |
	       (fsx.fsx_xflags & FS_XFLAG_APPEND ? FS_APPEND_FL : 0);
	return true;
}

void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg,
	      struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_size,
	      size_t out_size)
{
	struct call c = call_for(req, run_ioctl, ino);
	uint32_t wanted;
	size_t need = cmd == FS_IOC_FSGETXATTR ? sizeof(struct fsxattr) : sizeof(uint32_t);

	(void)arg, (void)fi, (void)flags;
	c.cmd = cmd;
	if (wanted_flags(cmd, in, in_size, &wanted)) {
		write_flags(req, ino, wanted);
		return;
	}
	if ((cmd == FS_IOC_GETFLAGS || cmd == FS_IOC32_GETFLAGS || cmd == FS_IOC_FSGETXATTR) &&
	    out_size >= need)
		run_ioctl(&c);
	else
		fuse_reply_err(req, ENOTTY);
}

static void run_statfs(struct call *c)
{
	struct repo_space space = { 0 };
	struct err err = ERR_INIT;
	int rc = view_space(c->mount->view, &space, &err);
	struct statvfs st = {
		.f_bsize = space.block_size,
		.f_frsize = space.block_size,
		.f_blocks = space.blocks,
		.f_bfree = space.free,
		.f_bavail = space.available,
		.f_namemax = NAME_MAX,
	};

	if (rc < 0)
		reply_failure(c, rc, &err);
	else
		fuse_reply_statfs(c->req, &st);
}

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct call c = call_for(req, run_statfs, ino);

	call_defer(&c); /* it asks a disk, or a server */
}
