/*
 * create.c - see create.h: what the walk finds, and what is not content.
 *
 * A folder's item comes before its entries, its status after them.
 */

#include "core/archive/create_internal.h"

#include "core/base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* --- telling --- */

int create_file_failed(struct create *c, const char *path, const char *op, int code,
		       const char *name)
{
	char why[2 * PATH_MAX];

	snprintf(why, sizeof(why), "%s%s[Errno %d] %s: '%s'", op, *op ? ": " : "", code,
		 strerror(code), name);
	c->options.warn(c->options.arg, path, why);
	return CREATE_FILE_FAILED;
}

static void tell(struct create *c, char letter, const char *path)
{
	if (letter && c->options.status)
		c->options.status(c->options.arg, letter, path);
}

static int failed_by_race(struct create *c, const char *path, const char *what)
{
	char why[96];

	snprintf(why, sizeof(why), "file %s changed (race condition), skipping file", what);
	c->options.warn(c->options.arg, path, why);
	return CREATE_FILE_FAILED;
}

/* --- one object --- */

/* An object on its way into the archive. */
struct object {
	int dirfd;        /* of the folder it is in ... */
	const char *name; /* ... and its name there, without "/" */
	const char *path; /* as it is told and matched */
	struct node node;
	bool plain; /* it has no extended attributes, and no ACL */
	struct item it;
};

static struct object object_found(const struct walk_found *f)
{
	return (struct object){ .dirfd = f->dirfd,
				.name = f->name,
				.path = f->path,
				.node = f->node,
				.plain = f->plain };
}

static struct bytes stored_path(const struct object *o)
{
	return collect_stored_path(bytes_str(o->path));
}

/* name NULL: fd is the object itself. */
static int add_extended(struct create *c, struct object *o, int fd, const char *name,
			struct err *e)
{
	struct err why = ERR_INIT;
	int refused = 0, rc = 0;

	if (!o->plain)
		rc = collect_extended(c->collector, fd, name, &o->node, &o->it, &refused, &why);
	if (rc == -ENOMEM)
		return err_nomem(e, "attributes");
	if (rc < 0)
		return create_file_failed(c, o->path, "extended stat (xattrs)", -rc, o->path);
	if (refused)
		(void)create_file_failed(c, o->path, "extended stat (xattrs)", refused,
					 o->path);
	return 0;
}

static int finish(struct create *c, struct object *o, bool has_content, void *cookie,
		  struct err *e)
{
	int rc = archive_writer_item(c->writer, &o->it, has_content, cookie, e);

	if (rc == 0 && !(o->it.has & ITEM_SOURCE && !S_ISLNK(o->it.mode)))
		rc = collect_archived(c->collector, &o->node, o->it.path, e);
	return rc;
}

/* The attributes that stat(2) knows, and where it is stored. */
static void begin_item(struct create *c, struct object *o)
{
	o->it = (struct item){ .path = stored_path(o) };
	collect_attrs(c->collector, &o->node, &o->it);
}

/* What has no content: everything else is in the item. */
static int add_plain(struct create *c, struct object *o, struct err *e)
{
	int rc;

	begin_item(c, o);
	(void)collect_hardlink(c->collector, &o->node, &o->it);
	if (S_ISCHR(o->node.st.st_mode) || S_ISBLK(o->node.st.st_mode)) {
		o->it.rdev = o->node.st.st_rdev;
		o->it.has |= ITEM_RDEV;
	}
	rc = add_extended(c, o, o->dirfd, o->name, e);
	return rc == 0 ? finish(c, o, false, NULL, e) : rc;
}

static int add_symlink(struct create *c, struct object *o, struct err *e)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(o->dirfd, o->name, target, sizeof(target));
	int rc;

	if (n < 0)
		return create_file_failed(c, o->path, "readlink", errno, o->name);
	begin_item(c, o);
	o->it.source = (struct bytes){ (const uint8_t *)target, (size_t)n };
	o->it.has |= ITEM_SOURCE;
	rc = add_extended(c, o, o->dirfd, o->name, e);
	return rc == 0 ? finish(c, o, false, NULL, e) : rc;
}

/* --- regular files --- */

/* What the files cache is to remember when the item's chunks are stored. */
struct remembered {
	struct stat st;
	size_t len;
	char path[];
};

/* The object's path as the files cache has it: absolute.  Lent until the next call; empty where
 * memory is short. */
static struct bytes absolute_path(struct create *c, const struct object *o)
{
	struct buf *b = &c->absolute;
	int rc = 0;

	b->len = 0;
	if (o->path[0] != '/')
		rc = buf_append_str(b, c->cwd) < 0 ? -ENOMEM : buf_append_byte(b, '/');
	if (rc < 0 || buf_append_str(b, o->path) < 0)
		b->len = 0;
	return buf_bytes(b);
}

/* The file has been read as it is: where it is remembered.  NULL: it is not. */
static struct remembered *remember(struct create *c, const struct object *o)
{
	bool wanted = c->cache && S_ISREG(o->node.st.st_mode);
	struct bytes path = wanted ? absolute_path(c, o) : (struct bytes){ 0 };
	struct remembered *r = path.len ? malloc(sizeof(*r) + path.len) : NULL;

	if (!r)
		return NULL;
	r->st = o->node.st;
	r->len = path.len;
	memcpy(r->path, path.p, path.len);
	return r;
}

int create_item_done(void *files_cache, void *cookie, const struct item *it,
		     const struct item_chunk *chunks, size_t count, struct err *e)
{
	struct remembered *r = cookie;
	int rc = 0;

	(void)it;
	if (r && files_cache)
		rc = files_cache_remember(files_cache,
					  (struct bytes){ (const uint8_t *)r->path, r->len },
					  &r->st, chunks, count, e);
	return rc;
}

/* Are all chunks still there?  Then they are the item's. */
static int take_known(struct create *c, struct err *e)
{
	for (size_t i = 0; i < c->known.count; i++) {
		int rc = repo_has(c->repo, &c->known.p[i].id, e);

		if (rc <= 0)
			return rc;
	}
	for (size_t i = 0; i < c->known.count; i++) {
		int rc = archive_writer_known_chunk(c->writer, &c->known.p[i], e);

		if (rc < 0)
			return rc;
	}
	return 1;
}

/* By the files cache: 1 unchanged, and its chunks are given; 0 it has to be read; -errno. */
static int look_up(struct create *c, const struct object *o, char *letter, struct err *e)
{
	struct bytes path = absolute_path(c, o);
	enum files_found found = FILES_UNKNOWN;
	int rc = 0;

	if (path.len)
		found = files_cache_lookup(c->cache, path, &o->node.st, &c->known);
	if (found == FILES_UNCHANGED)
		rc = take_known(c, e);
	*letter = rc == 1 ? 'U' : found == FILES_UNKNOWN ? 'A' : 'M';
	return rc;
}

static bool changed_since(const struct create *c, const struct node *before,
			  const struct node *now)
{
	const struct timespec *a = &before->st.st_ctim, *b = &now->st.st_ctim;

	if (c->options.changed == CHANGED_NEVER)
		return false;
	if (c->options.changed == CHANGED_BY_MTIME) {
		a = &before->st.st_mtim;
		b = &now->st.st_mtim;
	}
	return a->tv_sec != b->tv_sec || a->tv_nsec != b->tv_nsec;
}

static bool is_special(uint32_t mode)
{
	return S_ISBLK(mode) || S_ISCHR(mode) || S_ISFIFO(mode);
}

/* Read the open file.  *changed: it did while it was read. */
static int read_content(struct create *c, struct object *o, int fd, bool *changed,
			struct err *e)
{
	struct node now;
	int rc = create_read(c, fd, o->path, o->name, &o->node, &o->it, e);

	*changed = false;
	if (rc != 0 || is_special(o->node.st.st_mode))
		return rc;
	rc = node_stat(fd, NULL, &now);
	if (rc < 0) {
		int dropped = archive_writer_drop_chunks(c->writer, e);

		return dropped < 0 ? dropped
				   : create_file_failed(c, o->path, "fstat2", -rc, o->name);
	}
	*changed = changed_since(c, &o->node, &now);
	return 0;
}

/* The item of an open file whose content is given, or which is another's hard link. */
static int finish_file(struct create *c, struct object *o, int fd, bool has_content,
		       struct remembered *r, struct err *e)
{
	CLEANUP(cleanup_freep) struct remembered *owned = r;
	int rc = fd >= 0 ? add_extended(c, o, fd, NULL, e)
			 : add_extended(c, o, o->dirfd, o->name, e);

	if (rc == CREATE_FILE_FAILED) {
		rc = archive_writer_drop_chunks(c->writer, e);
		return rc < 0 ? rc : CREATE_FILE_FAILED;
	}
	return rc < 0 ? rc : finish(c, o, has_content, TAKE(owned), e);
}

/* The open file is what was looked at by name: its attributes now. */
static int check_open(struct create *c, struct object *o, int fd)
{
	struct node now;
	int rc = node_stat(fd, NULL, &now);

	if (rc < 0)
		return create_file_failed(c, o->path, "fstat", -rc, o->name);
	if ((now.st.st_mode & S_IFMT) != (o->node.st.st_mode & S_IFMT))
		return failed_by_race(c, o->path, "type");
	if (now.st.st_ino != o->node.st.st_ino)
		return failed_by_race(c, o->path, "inode");
	o->node = now;
	return 0;
}

/* A file that has to be read: `letter` is told before. */
static int add_read_file(struct create *c, struct object *o, unsigned flags, char letter,
			 struct err *e)
{
	CLEANUP(cleanup_closep) int fd = node_open(o->dirfd, o->name, flags);
	bool changed = false;
	int rc;

	if (fd < 0)
		return create_file_failed(c, o->path, "open", -fd, o->name);
	rc = check_open(c, o, fd);
	if (rc == 0) {
		o->plain = false; /* as it is now, not as it was when it was found */
		begin_item(c, o);
		(void)collect_hardlink(c->collector, &o->node, &o->it);
		tell(c, letter, o->path);
		rc = read_content(c, o, fd, &changed, e);
	}
	if (rc != 0)
		return rc;
	if (is_special(o->node.st.st_mode))
		o->it.mode = S_IFREG | (o->it.mode & 07777);
	rc = finish_file(c, o, fd, true, changed ? NULL : remember(c, o), e);
	if (rc == 0 && changed) {
		c->options.warn(c->options.arg, o->path, "file changed while we backed it up");
		tell(c, 'C', o->path);
	}
	return rc;
}

static int add_file(struct create *c, struct object *o, unsigned flags, struct err *e)
{
	char letter = 'A';
	int rc = 0;

	begin_item(c, o);
	if (collect_hardlink(c->collector, &o->node, &o->it)) {
		rc = finish_file(c, o, -1, false, NULL, e);
		if (rc == 0)
			tell(c, 'h', o->path);
		return rc;
	}
	if (c->cache && S_ISREG(o->node.st.st_mode))
		rc = look_up(c, o, &letter, e);
	if (rc < 0)
		return rc;
	if (rc == 0)
		return add_read_file(c, o, flags, letter, e);
	tell(c, letter, o->path);
	return finish_file(c, o, -1, true, NULL, e); /* what is remembered of it is right */
}

/* With --read-special a link to a device or FIFO is read, too. */
static int add_special_or_link(struct create *c, struct object *o, struct err *e)
{
	struct stat st;

	if (fstatat(o->dirfd, o->name, &st, 0) < 0 || !is_special(st.st_mode))
		return add_symlink(c, o, e);
	o->node = (struct node){ .st = st };
	return add_file(c, o, NODE_FOLLOW | NODE_WAIT, e);
}

static char plain_letter(uint32_t mode)
{
	return S_ISCHR(mode) ? 'c' : S_ISBLK(mode) ? 'b' : 'f';
}

/* Anything but a folder. */
static int add_any(struct create *c, struct object *o, struct err *e)
{
	uint32_t mode = o->node.st.st_mode;
	int rc;

	if (c->options.dry_run) {
		tell(c, '-', o->path);
		return 0;
	}
	if (S_ISREG(mode))
		return add_file(c, o, 0, e);
	if (S_ISSOCK(mode)) {
		if (c->options.note)
			c->options.note(c->options.arg, o->path, "a socket, left out");
		return 0;
	}
	if (S_ISLNK(mode) && !c->options.read_special) {
		rc = add_symlink(c, o, e);
		if (rc == 0)
			tell(c, 's', o->path);
		return rc;
	}
	if (S_ISLNK(mode))
		return add_special_or_link(c, o, e);
	if (!is_special(mode)) {
		c->options.warn(c->options.arg, o->path, "Unknown file type");
		return 0;
	}
	if (c->options.read_special)
		return add_file(c, o, NODE_WAIT, e);
	rc = add_plain(c, o, e);
	if (rc == 0)
		tell(c, o->it.has & ITEM_SOURCE ? 'h' : plain_letter(mode), o->path);
	return rc;
}

/* --- folders --- */

static int add_folder(struct create *c, struct object *o, int fd, struct err *e)
{
	int rc;

	if (c->options.dry_run)
		return 0;
	begin_item(c, o);
	rc = add_extended(c, o, fd, NULL, e);
	return rc == 0 ? finish(c, o, false, NULL, e) : rc;
}

/* A folder without its entries. */
static int add_lone_folder(struct create *c, struct object *o, struct err *e)
{
	CLEANUP(cleanup_closep) int fd = -1;
	int rc;

	if (c->options.dry_run) {
		tell(c, '-', o->path);
		return 0;
	}
	fd = node_open(o->dirfd, o->name, NODE_DIRECTORY);
	if (fd < 0)
		return create_file_failed(c, o->path, "dir_open", -fd, o->name);
	rc = check_open(c, o, fd);
	if (rc == 0)
		rc = add_folder(c, o, fd, e);
	if (rc == 0)
		tell(c, 'd', o->path);
	return rc;
}

/* --- the walk --- */

static bool skipped(void *arg, const struct stat *st)
{
	const struct create *c = arg;
	struct skipped key = { st->st_dev, st->st_ino };

	return table_get(&c->skip, &key) != NULL;
}

static int skip_node(struct create *c, const struct stat *st, struct err *e)
{
	struct skipped key = { st->st_dev, st->st_ino };

	return table_put(&c->skip, &key, NULL) ? 0 : err_nomem(e, "folders done");
}

static int enter_folder(struct create *c, const struct walk_found *f, char letter,
			struct err *e)
{
	struct inside *in;

	if (c->depth == c->inside_cap) {
		size_t cap = c->inside_cap ? 2 * c->inside_cap : 64;

		in = realloc(c->inside, cap * sizeof(*in));
		if (!in)
			return err_nomem(e, "folders");
		c->inside = in;
		c->inside_cap = cap;
	}
	in = &c->inside[c->depth];
	*in = (struct inside){ strdup(f->path), letter };
	if (!in->path)
		return err_nomem(e, "path");
	c->depth++;
	return 0;
}

static void leave_folder(struct create *c)
{
	struct inside *in = &c->inside[--c->depth];

	tell(c, in->letter, in->path);
	free(in->path);
}

/* Its entries follow; where it cannot be archived itself, they are not wanted. */
static int take_folder(struct create *c, const struct walk_found *f, struct err *e)
{
	struct object o = object_found(f);
	char letter = f->tagged ? 'x' : c->options.dry_run ? '-' : 'd';
	int rc = f->included ? add_folder(c, &o, f->fd, e) : 0;

	c->unwanted = rc == CREATE_FILE_FAILED;
	return rc == 0 ? enter_folder(c, f, f->included ? letter : 0, e) : rc;
}

static void take_left(struct create *c, const struct walk_found *f)
{
	if (!f->listed)
		c->inside[c->depth - 1].letter = f->included && !c->stopped ? 'E' : 0;
	leave_folder(c);
}

static int tell_failed(struct create *c, const struct walk_found *f)
{
	return f->code ? create_file_failed(c, f->path, f->what, f->code, f->name)
		       : failed_by_race(c, f->path, f->what);
}

/* 0; CREATE_FILE_FAILED, told; -errno of the run. */
static int take_found(struct create *c, const struct walk_found *f, struct err *e)
{
	struct object o;

	switch (f->kind) {
	case WALK_OBJECT: o = object_found(f); return add_any(c, &o, e);
	case WALK_FOLDER: return take_folder(c, f, e);
	case WALK_LEFT: take_left(c, f); return 0;
	case WALK_EXCLUDED: tell(c, 'x', f->path); return 0;
	case WALK_SKIPPED: return 0;
	case WALK_FAILED: return tell_failed(c, f);
	}
	return 0;
}

/* Of a folder that is not in the archive: 1, nothing of it counts. */
static bool is_unwanted(struct create *c, const struct walk_found *f)
{
	if (!c->unwanted)
		return false;
	c->unwanted += f->kind == WALK_FOLDER;
	c->unwanted -= f->kind == WALK_LEFT;
	return true;
}

/* What fails with one file has been told, and ends here. */
static int take_next(struct create *c, const struct walk_found *f, struct err *e)
{
	int rc = 0;

	if (is_unwanted(c, f))
		return 0;
	if (f->first && c->options.step && !c->options.dry_run)
		rc = c->options.step(c->options.arg, f->path, false, e);
	if (rc != 0) {
		c->stopped |= rc > 0;
		return rc < 0 ? rc : 0;
	}
	rc = take_found(c, f, e);
	if (rc != CREATE_FILE_FAILED)
		return rc;
	/* A folder's entries: it is told when it is left. */
	if (f->included && !(f->kind == WALK_FAILED && !f->first))
		tell(c, c->stopped ? 0 : 'E', f->path);
	return 0;
}

/* An object and what is below it. */
static int walk_all(struct create *c, const struct object *o, struct err *e)
{
	const struct walk_found *found;
	int rc = walk_begin(c->walk, o->dirfd, o->name, o->path, &o->node.st, e);

	c->unwanted = 0;
	while (rc == 0 && !c->stopped && (rc = walk_next(c->walk, &found, e)) == 1)
		rc = take_next(c, found, e);
	walk_end(c->walk);
	while (c->depth > 0) { /* the user has had enough, or the run failed */
		if (rc < 0)
			c->inside[c->depth - 1].letter = 0;
		leave_folder(c);
	}
	return rc;
}

/* The folder a root is in, and its name there; "/" is "." in itself. */
static int open_parent(struct create *c, const char *path, char **name)
{
	const char *slash = strrchr(path, '/');
	CLEANUP(cleanup_freep)
	char *parent = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	int fd;

	*name = strdup(slash ? (slash[1] ? slash + 1 : ".") : path);
	if (!parent || !*name)
		return -ENOMEM;
	fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		(void)create_file_failed(c, path, "open_root", errno, parent);
	return fd < 0 ? -1 : fd;
}

/* Paths are told, matched and stored without "./", "//" and "..": as Python's normpath has it. */
static int add_root(struct create *c, const char *given, bool recurse, struct err *e)
{
	CLEANUP(buf_fini) struct buf normal = BUF_INIT;
	CLEANUP(cleanup_freep) char *name = NULL;
	CLEANUP(cleanup_closep) int parent = -1;
	struct object o = { 0 };
	const char *root;
	int rc;

	if (path_normal(given, &normal) < 0 || buf_append_byte(&normal, 0) < 0)
		return err_nomem(e, "path");
	root = (const char *)normal.p;
	parent = open_parent(c, root, &name);
	if (parent == -ENOMEM)
		return err_nomem(e, "path");
	if (parent < 0)
		return 0;
	o = (struct object){ .dirfd = parent, .name = name, .path = root };
	rc = node_stat(parent, name, &o.node);
	if (rc < 0) {
		(void)create_file_failed(c, root, recurse ? "" : "stat", -rc,
					 recurse ? name : root);
		if (!recurse)
			tell(c, 'E', root);
		return 0;
	}
	if (recurse) {
		rc = walk_all(c, &o, e);
		return rc == 0 ? skip_node(c, &o.node.st, e) : rc;
	}
	rc = S_ISDIR(o.node.st.st_mode) ? add_lone_folder(c, &o, e) : add_any(c, &o, e);
	if (rc == CREATE_FILE_FAILED) {
		tell(c, 'E', root);
		rc = 0;
	}
	return rc;
}

int create_root(struct create *c, const char *path, struct err *e)
{
	return c->stopped ? 0 : add_root(c, path, true, e);
}

int create_one(struct create *c, const char *path, struct err *e)
{
	return c->stopped ? 0 : add_root(c, path, false, e);
}

int create_skip(struct create *c, const char *path, struct err *e)
{
	struct stat st;

	return stat(path, &st) < 0 ? 0 : skip_node(c, &st, e);
}

/* --- streams --- */

int create_stream(struct create *c, int fd, const struct create_stream *as, struct err *e)
{
	int64_t now = (int64_t)time(NULL) * 1000000000;
	struct item it = {
		.has = ITEM_USER | ITEM_GROUP | ITEM_ATIME | ITEM_CTIME | ITEM_HARDLINK_MASTER,
		.path = bytes_str(as->name),
		.mode = (as->mode & 07777) | S_IFREG,
		.uid = as->uid,
		.gid = as->gid,
		.user = bytes_str(as->user),
		.group = bytes_str(as->group),
		.mtime_ns = now,
		.atime_ns = now,
		.ctime_ns = now,
	};
	int rc;

	tell(c, 'i', as->name);
	rc = create_read(c, fd, as->name, as->name, NULL, &it, e);
	return rc == 0 ? archive_writer_item(c->writer, &it, true, NULL, e) : rc;
}

/* --- items of others --- */

int create_item(struct create *c, const char *path, const struct item *it,
		const struct create_content *content, struct err *e)
{
	int rc = c->options.step(c->options.arg, path, false, e);

	if (rc == 0 && content)
		rc = create_read_content(c, content, path, it, e);
	return rc == 0 ? archive_writer_item(c->writer, it, content != NULL, NULL, e) : rc;
}

/* --- life --- */

static struct walk_options walk_options_of(const struct create_options *options,
					   struct create *c)
{
	return (struct walk_options){
		.matcher = options->matcher,
		.one_file_system = options->one_file_system,
		.exclude_nodump = options->exclude_nodump,
		.exclude_caches = options->exclude_caches,
		.keep_exclude_tags = options->keep_exclude_tags,
		.exclude_if_present = options->exclude_if_present,
		.exclude_if_present_count = options->exclude_if_present_count,
		.attributes = !options->dry_run &&
			      !(options->collect.noacls && options->collect.noxattrs),
		.skip = skipped,
		.arg = c,
	};
}

int create_new(struct create **out, struct archive_writer *writer, struct put *put,
	       struct repo *repo, const struct key *key, struct files_cache *cache,
	       const struct create_options *options, struct err *e)
{
	CLEANUP(create_freep) struct create *c = calloc(1, sizeof(*c));
	struct walk_options walk = walk_options_of(options, c);
	int rc;

	if (!c)
		return err_nomem(e, "archive");
	c->options = *options;
	c->writer = writer;
	c->put = put;
	c->repo = repo;
	c->cache = cache;
	table_init(&c->skip, sizeof(struct skipped), sizeof(uint64_t));
	c->cwd = getcwd(NULL, 0);
	if (!c->cwd)
		return err_set(e, errno, "current folder: %s", strerror(errno));
	rc = walk_new(&c->walk, &walk, e);
	if (rc == 0)
		rc = collector_new(&c->collector, &options->collect, e);
	if (rc == 0)
		rc = chunker_new(&c->chunker, &options->chunker,
				 key ? (uint32_t)key->chunk_seed : 0, e);
	if (rc < 0)
		return rc;
	*out = TAKE(c);
	return 0;
}

void create_free(struct create *c)
{
	if (!c)
		return;
	if (c->slab)
		put_slab_release(c->put, c->slab);
	walk_free(c->walk);
	free(c->inside);
	collector_free(c->collector);
	chunker_free(c->chunker);
	table_fini(&c->skip);
	files_chunks_fini(&c->known);
	buf_fini(&c->zeros);
	free(c->cwd);
	buf_fini(&c->absolute);
	free(c);
}
