/*
 * archives.c - see archives.h.
 *
 * The root's list of archives is a snapshot that is replaced as a whole when the repository has
 * changed; whoever is reading the old one keeps it.  It is in the order of the archives' numbers,
 * which are never given twice: so a number is a cookie that stays good from list to list.
 *
 * In a view of one archive the root is that archive's topmost directory (or a folder below it),
 * and nothing here ever changes.
 */

#include "fs/archives.h"

#include "core/archive/archive.h"
#include "core/base/thread.h"
#include "fs/listing.h"
#include "fs/own_xattr.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	MADE_NUMBER = 1,
	FOLDER_MODE = S_IFDIR | 0755,
};

struct archives {
	struct view view;
	struct archives_options options;
	struct reader *reader;
	struct shelf *shelf;
	struct inode_numbers *numbers;
	bool single;          /* the root is in one archive: */
	uint32_t root_number; /* ... which, */
	uint32_t root_index;  /* ... and its node there */
	struct mutex lock;
	struct listing *listing; /* guarded by lock; not followed when single */
};

/* --- the list of archives --- */

static struct listing *current_listing(struct archives *a)
{
	struct listing *l;

	mutex_lock(&a->lock);
	l = a->listing;
	atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
	mutex_unlock(&a->lock);
	return l;
}

/* What the manifest now in force lists, each archive announced to the shelf. */
static int list_archives(struct archives *a, struct listing **out, struct err *e)
{
	CLEANUP(listing_unrefp) struct listing *l = NULL;
	int rc = listing_new(&l, a->reader, a->numbers, &a->options.select, e);

	for (size_t i = 0; rc == 0 && i < l->count; i++)
		rc = shelf_add(a->shelf, l->rows[i].number, &l->rows[i].id,
			       bytes_str(l->rows[i].name), e);
	if (rc < 0)
		return rc;
	*out = TAKE(l);
	return 0;
}

/* --- nodes --- */

/* Where a node lives. */
struct place {
	bool root; /* the list of archives */
	uint32_t number, index;
};

static struct place place_of(const struct archives *a, uint64_t node)
{
	if (node != VIEW_ROOT)
		return (struct place){ false, (uint32_t)(node >> 32), (uint32_t)node };
	return (struct place){ !a->single, a->root_number, a->root_index };
}

static uint64_t node_of(const struct archives *a, uint32_t number, uint32_t index)
{
	if (a->single && number == a->root_number && index == a->root_index)
		return VIEW_ROOT;
	return (uint64_t)number << 32 | index;
}

/* An open archive and one node of it, for the length of a question. */
struct seat {
	struct volume *volume;
	uint32_t number;
	struct tree_node node;
};

static void seat_fini(struct seat *s)
{
	volume_unref(s->volume);
}

/* A damaged cache file is not the archive's fault: it is built again, if that can help. */
static int mend(struct archives *a, const struct seat *s, int rc)
{
	if (rc == -EBADMSG && shelf_spoiled(a->shelf, s->number, s->volume))
		return -EINPROGRESS;
	return rc;
}

static int seat_take(struct archives *a, struct place at, struct seat *out, struct err *e)
{
	int rc = shelf_take(a->shelf, at.number, &out->volume, e);

	if (rc < 0)
		return rc;
	out->number = at.number;
	rc = tree_node(out->volume->tree, at.index, &out->node, e);
	return mend(a, out, rc);
}

static void entry_of(const struct archives *a, const struct seat *s,
		     const struct tree_node *node, struct view_entry *out)
{
	attr_stat(a->options.shelf.policy, &s->volume->owners, node,
		  node_of(a, s->number, node->file), &out->st);
	out->settled = true;
	out->name_settled = true;
}

/* The node that stands for the file of entry `index`: another one for most hard links. */
static int file_node(struct tree *t, uint32_t index, struct tree_node *out, struct err *e)
{
	int rc = tree_node(t, index, out, e);

	return rc == 0 && out->file != index ? tree_node(t, out->file, out, e) : rc;
}

static struct timespec time_of(int64_t ns)
{
	return (struct timespec){ .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
}

/* A folder of which nothing more is known than its number and a time. */
static void plain_folder(const struct archives *a, uint64_t node, int64_t time_ns,
			 struct stat *out)
{
	const struct attr_policy *policy = a->options.shelf.policy;

	*out = (struct stat){
		.st_ino = node,
		.st_mode = FOLDER_MODE & ~policy->umask,
		.st_nlink = 2,
		.st_uid = policy->force_uid ? policy->uid : a->options.uid,
		.st_gid = policy->force_gid ? policy->gid : a->options.gid,
		.st_blksize = 4096,
		.st_mtim = time_of(time_ns),
		.st_atim = time_of(time_ns),
		.st_ctim = time_of(time_ns),
	};
}

static void root_entry(struct archives *a, struct view_entry *out)
{
	CLEANUP(listing_unrefp) struct listing *l = current_listing(a);

	plain_folder(a, VIEW_ROOT, l->changed_ns, &out->st);
	out->st.st_nlink += l->count;
	out->name_settled = true;
}

/* An archive's own folder, without loading it.  Looks in the cache folder only if `probe`. */
static void folder_entry(struct archives *a, const struct row *row, bool probe,
			 struct view_entry *out)
{
	out->settled = probe && shelf_root(a->shelf, row->number, &out->st);
	if (!out->settled)
		plain_folder(a, (uint64_t)row->number << 32, row->time_ns, &out->st);
	out->name_settled = false;
}

static int entry(struct view *v, uint64_t node, struct view_entry *out, struct err *e)
{
	struct archives *a = (struct archives *)v;
	struct place at = place_of(a, node);
	CLEANUP(seat_fini) struct seat seat = { 0 };
	int rc;

	if (at.root) {
		root_entry(a, out);
		return 0;
	}
	if (!a->single && at.index == TREE_ROOT) {
		CLEANUP(listing_unrefp) struct listing *l = current_listing(a);
		const struct row *row = listing_find_number(l, at.number);

		if (row) {
			folder_entry(a, row, true, out);
			return 0;
		}
	}
	rc = seat_take(a, at, &seat, e);
	if (rc == 0)
		entry_of(a, &seat, &seat.node, out);
	return rc;
}

static int root_lookup(struct archives *a, struct bytes name, struct view_entry *out)
{
	CLEANUP(listing_unrefp) struct listing *l = current_listing(a);
	const struct row *row = listing_find_name(l, name);

	if (!row)
		return 0;
	folder_entry(a, row, true, out);
	return 1;
}

static int require_dir(const struct seat *s, struct err *e)
{
	return S_ISDIR(s->node.mode) ? 0 : err_set(e, ENOTDIR, "not a directory");
}

static int lookup(struct view *v, uint64_t dir, struct bytes name, struct view_entry *out,
		  struct err *e)
{
	struct archives *a = (struct archives *)v;
	struct place at = place_of(a, dir);
	CLEANUP(seat_fini) struct seat seat = { 0 };
	struct tree_node child;
	uint32_t index;
	int rc;

	if (at.root)
		return root_lookup(a, name, out);
	rc = seat_take(a, at, &seat, e);
	if (rc == 0)
		rc = require_dir(&seat, e);
	if (rc < 0)
		return rc;
	out->name_settled = true;
	rc = tree_lookup(seat.volume->tree, at.index, name, &index, e);
	if (rc <= 0)
		return mend(a, &seat, rc);
	rc = file_node(seat.volume->tree, index, &child, e);
	if (rc < 0)
		return mend(a, &seat, rc);
	entry_of(a, &seat, &child, out);
	out->entry = (uint64_t)at.number << 32 | index;
	return 1;
}

static int parent(struct view *v, uint64_t dir, struct view_entry *out, struct err *e)
{
	struct archives *a = (struct archives *)v;
	struct place at = place_of(a, dir);
	CLEANUP(seat_fini) struct seat seat = { 0 };
	int rc;

	if (dir == VIEW_ROOT || at.index == TREE_ROOT)
		return entry(v, VIEW_ROOT, out, e);
	rc = seat_take(a, at, &seat, e);
	if (rc == 0)
		rc = require_dir(&seat, e);
	return rc < 0 ? rc : entry(v, node_of(a, at.number, seat.node.parent), out, e);
}

static int list_root(struct archives *a, uint64_t after, view_list_fn *fn, void *arg)
{
	CLEANUP(listing_unrefp) struct listing *l = current_listing(a);

	for (size_t i = 0; i < l->count; i++) {
		const struct row *row = &l->rows[i];
		struct view_entry out = { 0 };

		if (row->number <= after)
			continue;
		folder_entry(a, row, false, &out);
		if (fn(arg, bytes_str(row->name), &out, row->number) != 0)
			break;
	}
	return 0;
}

static int list_tree(struct archives *a, const struct seat *s, uint64_t after, view_list_fn *fn,
		     void *arg, struct err *e)
{
	CLEANUP(buf_fini) struct buf name = BUF_INIT;
	struct tree *t = s->volume->tree;
	struct tree_node child;

	for (uint64_t i = after; i < s->node.child_count; i++) {
		uint32_t index = s->node.first_child + (uint32_t)i;
		struct view_entry out = { 0 };
		int rc = file_node(t, index, &child, e);

		if (rc == 0)
			rc = tree_entry_name(t, index, &name, e);
		if (rc == 0 && buf_append_byte(&name, 0) < 0)
			rc = err_nomem(e, "list");
		if (rc < 0)
			return rc;
		entry_of(a, s, &child, &out);
		out.entry = (uint64_t)s->number << 32 | index;
		if (fn(arg, (struct bytes){ name.p, name.len - 1 }, &out, i + 1) != 0)
			break;
	}
	return 0;
}

static int list(struct view *v, uint64_t dir, uint64_t after, view_list_fn *fn, void *arg,
		struct err *e)
{
	struct archives *a = (struct archives *)v;
	struct place at = place_of(a, dir);
	CLEANUP(seat_fini) struct seat seat = { 0 };
	int rc;

	if (at.root)
		return list_root(a, after, fn, arg);
	rc = seat_take(a, at, &seat, e);
	if (rc == 0)
		rc = require_dir(&seat, e);
	if (rc == 0)
		rc = list_tree(a, &seat, after, fn, arg, e);
	return mend(a, &seat, rc);
}

static int link_target(struct view *v, uint64_t node, struct buf *out, struct err *e)
{
	struct archives *a = (struct archives *)v;
	struct place at = place_of(a, node);
	CLEANUP(seat_fini) struct seat seat = { 0 };
	int rc;

	if (at.root)
		return err_set(e, EINVAL, "not a symbolic link");
	rc = seat_take(a, at, &seat, e);
	if (rc == 0 && !S_ISLNK(seat.node.mode))
		return err_set(e, EINVAL, "not a symbolic link");
	if (rc == 0)
		rc = tree_link_target(seat.volume->tree, at.index, out, e);
	return mend(a, &seat, rc);
}

/* --- extended attributes, flags --- */

static int xattr(struct view *v, uint64_t node, struct bytes name, struct buf *out,
		 struct err *e)
{
	struct archives *a = (struct archives *)v;
	struct place at = place_of(a, node);
	CLEANUP(seat_fini) struct seat seat = { 0 };
	int rc;

	if (at.root)
		return 0;
	rc = seat_take(a, at, &seat, e);
	if (rc < 0)
		return rc;
	if (own_xattr_is(name))
		rc = own_xattr(a->reader, seat.volume, &seat.node, name, out, e);
	else
		rc = attr_xattr(a->options.shelf.policy, seat.volume->tree, &seat.node, name,
				out, e);
	return mend(a, &seat, rc);
}

static int xattr_names(struct view *v, uint64_t node, bool privileged, struct buf *out,
		       struct err *e)
{
	struct archives *a = (struct archives *)v;
	struct place at = place_of(a, node);
	CLEANUP(seat_fini) struct seat seat = { 0 };
	int rc;

	if (at.root)
		return 0;
	rc = seat_take(a, at, &seat, e);
	if (rc == 0)
		rc = attr_xattr_names(seat.volume->tree, &seat.node, privileged, out, e);
	return mend(a, &seat, rc);
}

static int flags(struct view *v, uint64_t node, uint32_t *out, struct err *e)
{
	struct archives *a = (struct archives *)v;
	struct place at = place_of(a, node);
	CLEANUP(seat_fini) struct seat seat = { 0 };
	int rc;

	*out = 0;
	if (at.root)
		return 0;
	rc = seat_take(a, at, &seat, e);
	if (rc == 0)
		*out = attr_flags(seat.node.bsdflags);
	return rc;
}

/* --- content --- */

static int refuse_damaged(const struct seat *s, struct err *e)
{
	CLEANUP(buf_fini) struct buf path = BUF_INIT;

	if (tree_path(s->volume->tree, s->node.index, &path, NULL) < 0)
		path.len = 0;
	return err_set(e, EIO,
		       "%s: %.*s: File has damaged (all-zero) chunks. Try running borg check "
		       "--repair. Mount with allow_damaged_files to read damaged files.",
		       s->volume->name, (int)path.len, path.p ? (const char *)path.p : "");
}

static int content(struct view *v, uint64_t node, struct content *out, struct err *e)
{
	struct archives *a = (struct archives *)v;
	struct place at = place_of(a, node);
	CLEANUP(seat_fini) struct seat seat = { 0 };
	int rc;

	if (at.root)
		return err_set(e, EISDIR, "is a directory");
	rc = seat_take(a, at, &seat, e);
	if (rc < 0)
		return rc;
	if (!S_ISREG(seat.node.mode))
		return err_set(e, S_ISDIR(seat.node.mode) ? EISDIR : EINVAL,
			       "not a regular file");
	if (seat.node.damaged && !a->options.allow_damaged_files)
		return refuse_damaged(&seat, e);
	out->volume = TAKE(seat.volume);
	out->file = seat.node;
	out->fetch = a->reader->fetch;
	out->zeros = a->options.allow_damaged_files;
	return 0;
}

static int space(struct view *v, struct repo_space *out, struct err *e)
{
	struct archives *a = (struct archives *)v;

	return repo_space(a->reader->repo, out, e);
}

static bool await(struct view *v, uint64_t node, view_ready_fn *fn, void *arg)
{
	struct archives *a = (struct archives *)v;

	return shelf_await(a->shelf, place_of(a, node).number, fn, arg);
}

/* --- following the repository --- */

/* Tell of each name in `from` that `to` does not have for the same archive. */
static void tell_gone(struct archives *a, const struct listing *from, const struct listing *to,
		      view_changed_fn *fn, void *arg)
{
	for (size_t i = 0; i < from->count; i++) {
		const struct row *row = &from->rows[i];
		struct bytes name = bytes_str(row->name);
		const struct row *now = listing_find_name(to, name);

		if (!listing_find_number(to, row->number))
			shelf_retire(a->shelf, row->number);
		if (!now || now->number != row->number)
			fn(arg, VIEW_ROOT, name);
	}
}

static int relist(struct archives *a, view_changed_fn *fn, void *arg, struct err *e)
{
	CLEANUP(listing_unrefp) struct listing *old = NULL;
	struct listing *new = NULL;
	bool same;
	int rc = list_archives(a, &new, e);

	if (rc < 0)
		return rc;
	old = current_listing(a);
	same = listing_equal(old, new);
	if (same)
		new->changed_ns = old->changed_ns;
	mutex_lock(&a->lock);
	listing_unref(a->listing); /* `old` holds one more: nothing is freed under the lock */
	a->listing = new;
	mutex_unlock(&a->lock);
	if (same)
		return 0;
	/* Only this function replaces the list, so `new` stays good without a reference. */
	tell_gone(a, old, new, fn, arg);
	fn(arg, VIEW_ROOT, (struct bytes){ 0 });
	return 1;
}

/* Whoever commits in this process has the reader's manifest renewed already: so it is the list that
 * is asked which one it is of, and one that cannot be made now is made the next time. */
static bool is_stale(struct archives *a)
{
	struct manifest *m = reader_manifest(a->reader);
	bool stale = !id_equal(&a->listing->manifest, &m->hash);

	reader_manifest_unref(a->reader, m);
	return stale;
}

static int refresh(struct view *v, view_changed_fn *fn, void *arg, struct err *e)
{
	struct archives *a = (struct archives *)v;
	int rc = reader_refresh(a->reader, e);

	fetch_rest(a->reader->fetch);
	if (rc < 0 || a->single)
		return rc < 0 ? rc : 0;
	return is_stale(a) ? relist(a, fn, arg, e) : 0;
}

/* --- opening and closing --- */

static void archives_close(struct view *v)
{
	struct archives *a = (struct archives *)v;

	shelf_close(a->shelf);
	listing_unref(a->listing);
	inode_numbers_close(a->numbers);
	mutex_fini(&a->lock);
	free(a);
}

static const struct view_ops archives_ops = {
	.lookup = lookup,
	.parent = parent,
	.entry = entry,
	.list = list,
	.link_target = link_target,
	.xattr = xattr,
	.xattr_names = xattr_names,
	.flags = flags,
	.content = content,
	.space = space,
	.await = await,
	.refresh = refresh,
	.close = archives_close,
};

/* Make the archive of this id the root. */
static int root_archive(struct archives *a, const struct chunk_id *id, struct bytes name,
			struct err *e)
{
	int rc = inode_numbers_get(a->numbers, id, &a->root_number, e);

	if (rc < 0)
		return rc;
	a->single = true;
	a->root_index = TREE_ROOT;
	return shelf_add(a->shelf, a->root_number, id, name, e);
}

/* One that nobody could enter must be refused now: nobody sees what the mount says later. */
static int check_archive(struct archives *a, const struct manifest_entry *entry, struct err *e)
{
	CLEANUP(archive_freep) struct archive *archive = NULL;
	struct stat known;
	int rc;

	if (shelf_root(a->shelf, a->root_number, &known))
		return 0;
	rc = archive_load(&archive, a->reader, &entry->id, e);
	return rc < 0 ? err_wrap(e, rc, "archive %.*s", (int)entry->name.len,
				 (const char *)entry->name.p)
		      : 0;
}

static int root_named(struct archives *a, const char *name, struct err *e)
{
	struct manifest *m = reader_manifest(a->reader);
	const struct manifest_entry *found = manifest_find(m, bytes_str(name));
	int rc = found ? root_archive(a, &found->id, found->name, e)
		       : err_set_id(e, ENOENT, "Archive.DoesNotExist",
				    "Archive %s does not exist", name);

	if (rc == 0)
		rc = check_archive(a, found, e);
	reader_manifest_unref(a->reader, m);
	return rc;
}

/* One tree made of several archives; its number is nobody else's, since there is nobody else. */
static int root_made(struct archives *a, struct err *e)
{
	a->single = true;
	a->root_number = MADE_NUMBER;
	return shelf_add(a->shelf, MADE_NUMBER, &MANIFEST_ID, bytes_str("versions"), e);
}

/* The first component of *path, which moves on behind it; empty at the end. */
static struct bytes next_component(const char **path)
{
	struct bytes part;

	while (**path == '/')
		(*path)++;
	part = (struct bytes){ (const uint8_t *)*path, strcspn(*path, "/") };
	*path += part.len;
	return part;
}

/* Move the root of a single archive down along path. */
static int descend(struct archives *a, const char *path, struct err *e)
{
	CLEANUP(volume_unrefp) struct volume *volume = NULL;
	struct bytes part = next_component(&path);
	struct tree_node node;
	int rc;

	if (part.len == 0)
		return 0;
	rc = shelf_take_wait(a->shelf, a->root_number, &volume, e);
	for (; rc == 0 && part.len > 0; part = next_component(&path)) {
		rc = tree_lookup(volume->tree, a->root_index, part, &a->root_index, e);
		if (rc == 0)
			return err_set(e, ENOENT, "subdir %s: no such folder in %s",
				       a->options.subdir, volume->name);
		if (rc > 0)
			rc = tree_node(volume->tree, a->root_index, &node, e);
		if (rc == 0 && !S_ISDIR(node.mode))
			return err_set(e, ENOTDIR, "subdir %s: not a folder in %s",
				       a->options.subdir, volume->name);
	}
	return rc;
}

/* What subdir means: with a folder per archive, its first component is an archive. */
static int enter_subdir(struct archives *a, struct err *e)
{
	const char *path = a->options.subdir;
	struct bytes first;
	const struct row *row;
	int rc;

	if (!a->single) {
		first = next_component(&path);
		if (first.len == 0)
			return 0;
		row = listing_find_name(a->listing, first);
		if (!row)
			return err_set_id(e, ENOENT, "Archive.DoesNotExist",
					  "Archive %.*s does not exist", (int)first.len,
					  (const char *)first.p);
		rc = root_archive(a, &row->id, bytes_str(row->name), e);
		if (rc < 0)
			return rc;
	}
	return descend(a, path, e);
}

static int choose_root(struct archives *a, struct err *e)
{
	int rc;

	if (a->options.shelf.make)
		rc = root_made(a, e);
	else if (a->options.archive)
		rc = root_named(a, a->options.archive, e);
	else
		rc = list_archives(a, &a->listing, e);
	if (rc == 0 && a->options.subdir)
		rc = enter_subdir(a, e);
	return rc;
}

int archives_open(struct view **out, const struct archives_options *options, struct err *e)
{
	CLEANUP(view_freep) struct view *view = NULL;
	struct archives *a = calloc(1, sizeof(*a));
	int rc;

	if (!a)
		return err_nomem(e, "archives");
	a->view.ops = &archives_ops;
	view = &a->view;
	a->options = *options;
	a->reader = options->shelf.reader;
	mutex_init(&a->lock);
	rc = shelf_open(&a->shelf, &options->shelf, e);
	if (rc == 0)
		rc = inode_numbers_open(&a->numbers, a->reader->cache_dir, e);
	if (rc == 0)
		rc = choose_root(a, e);
	if (rc < 0)
		return rc;
	*out = TAKE(view);
	return 0;
}
