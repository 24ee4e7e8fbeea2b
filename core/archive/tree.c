/*
 * tree.c - reading a frozen tree; see tree.h for the contract, tree_image.h for the bytes.
 *
 * A tree stands on an image in memory or on a sealed file.  A fresh one starts in memory and
 * moves to its file once that is written (tree_settle): readers that find no file yet take
 * `memory` for reading, so the image cannot go away under them; afterwards no lock is taken.
 *
 * Everything read is checked against the header's counts before it is used: the file is ours,
 * but it lay in a folder.
 */

#include "core/archive/tree_internal.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct tree {
	atomic_uint refs;
	struct image_header header;

	pthread_rwlock_t memory; /* guards image against tree_settle() */
	uint8_t *image;          /* NULL once settled */
	size_t image_len;
	struct tree_file *_Atomic file; /* NULL while in memory */

	struct bytes *names; /* users and groups */
	uint8_t *names_text;

	bool settling; /* a thread writes the file; joined when the tree is closed */
	pthread_t settler;
};

static int read_image(struct tree *t, uint64_t off, void *out, size_t len, struct err *e)
{
	struct tree_file *f = atomic_load_explicit(&t->file, memory_order_acquire);
	int rc = 0;

	if (f)
		return tree_file_read(f, off, out, len, e);
	pthread_rwlock_rdlock(&t->memory);
	if (!t->image)
		rc = -EAGAIN; /* settled between the two looks */
	else if (off > t->image_len || len > t->image_len - off)
		rc = err_set(e, EBADMSG, "tree: a place outside of the image");
	else
		memcpy(out, t->image + off, len);
	pthread_rwlock_unlock(&t->memory);
	return rc == -EAGAIN ? tree_file_read(atomic_load(&t->file), off, out, len, e) : rc;
}

static int load_names(struct tree *t, uint64_t len, struct err *e)
{
	uint64_t size = len - t->header.names;
	uint8_t *p, *end;

	if (t->header.name_count > NAMES_MAX || size > NAMES_BYTES_MAX)
		return err_set(e, EBADMSG, "tree: too many user names");
	t->names = calloc(t->header.name_count + 1, sizeof(*t->names));
	t->names_text = malloc(size + 1);
	if (!t->names || !t->names_text)
		return err_nomem(e, "tree");
	if (size && read_image(t, t->header.names, t->names_text, size, e) < 0)
		return -EBADMSG;
	p = t->names_text;
	end = p + size;
	for (uint32_t i = 0; i < t->header.name_count; i++) {
		uint32_t n;

		if (end - p < 4 || get_le32(p) > (size_t)(end - p - 4))
			return err_set(e, EBADMSG, "tree: damaged user names");
		n = get_le32(p);
		t->names[i] = (struct bytes){ p + 4, n };
		p += 4 + n;
	}
	return 0;
}

static int open_common(struct tree *t, uint64_t len, struct err *e)
{
	uint8_t header[IMAGE_HEADER_SIZE];
	int rc = read_image(t, 0, header, sizeof(header), e);

	if (rc == 0)
		rc = image_get_header(&t->header, header, len, e);
	if (rc == 0)
		rc = load_names(t, len, e);
	return rc;
}

static struct tree *tree_new(void)
{
	struct tree *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	atomic_init(&t->refs, 1);
	pthread_rwlock_init(&t->memory, NULL);
	return t;
}

int tree_from_image(struct tree **out, uint8_t *image, size_t len, struct err *e)
{
	CLEANUP(tree_closep) struct tree *t = tree_new();
	int rc;

	if (!t) {
		munmap(image, len);
		return err_nomem(e, "tree");
	}
	t->image = image;
	t->image_len = len;
	rc = open_common(t, len, e);
	if (rc < 0)
		return rc;
	*out = TAKE(t);
	return 0;
}

int tree_from_file(struct tree **out, struct tree_file *file, struct err *e)
{
	CLEANUP(tree_closep) struct tree *t = tree_new();
	int rc;

	if (!t) {
		tree_file_close(file);
		return err_nomem(e, "tree");
	}
	atomic_store(&t->file, file);
	rc = open_common(t, tree_file_len(file), e);
	if (rc < 0)
		return rc;
	*out = TAKE(t);
	return 0;
}

struct bytes tree_image(const struct tree *t)
{
	return (struct bytes){ t->image, t->image_len };
}

void tree_settle(struct tree *t, struct tree_file *file)
{
	pthread_rwlock_wrlock(&t->memory);
	atomic_store_explicit(&t->file, file, memory_order_release);
	munmap(t->image, t->image_len);
	t->image = NULL;
	pthread_rwlock_unlock(&t->memory);
}

int tree_start_settling(struct tree *t, void *(*run)(void *), void *arg, struct err *e)
{
	int rc = thread_start(&t->settler, run, arg, "tree", e);

	t->settling = rc == 0;
	return rc;
}

void tree_ref(struct tree *t)
{
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
}

void tree_close(struct tree *t)
{
	if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (t->settling)
		thread_join(t->settler);
	tree_file_close(atomic_load(&t->file));
	if (t->image)
		munmap(t->image, t->image_len);
	pthread_rwlock_destroy(&t->memory);
	free(t->names);
	free(t->names_text);
	free(t);
}

void tree_info(const struct tree *t, struct tree_info *out)
{
	*out = (struct tree_info){
		.archive_id = t->header.archive_id,
		.node_count = t->header.node_count,
		.directory_count = t->header.directory_count,
		.chunk_count = t->header.chunk_count,
		.content_bytes = t->header.content_bytes,
		.damaged = t->header.damaged != 0,
	};
}

static int damaged(struct err *e)
{
	return err_set(e, EBADMSG, "tree: damaged node");
}

static int get_node(struct tree *t, uint32_t index, struct image_node *out, struct err *e)
{
	uint8_t record[NODE_SIZE];
	int rc;

	if (index >= t->header.node_count)
		return err_set(e, EINVAL, "tree: no node %u", index);
	rc = read_image(t, t->header.nodes + (uint64_t)index * NODE_SIZE, record, NODE_SIZE, e);
	if (rc < 0)
		return rc;
	image_get_node(out, record);
	if (out->file >= t->header.node_count || out->parent >= t->header.node_count)
		return damaged(e);
	if (S_ISDIR(out->mode)) {
		if (out->child_count > t->header.node_count ||
		    out->first_child > t->header.node_count - out->child_count)
			return damaged(e);
	} else if (out->chunk_first > t->header.chunk_count ||
		   out->chunk_count > t->header.chunk_count - out->chunk_first) {
		return damaged(e);
	}
	return 0;
}

int tree_node(struct tree *t, uint32_t index, struct tree_node *out, struct err *e)
{
	struct image_node n;
	int rc = get_node(t, index, &n, e);
	bool is_dir;

	if (rc < 0)
		return rc;
	is_dir = S_ISDIR(n.mode);
	*out = (struct tree_node){
		.index = index,
		.file = n.file,
		.parent = n.parent,
		.mode = n.mode,
		.uid = n.uid,
		.gid = n.gid,
		.user = n.user < t->header.name_count ? n.user : UINT32_MAX,
		.group = n.group < t->header.name_count ? n.group : UINT32_MAX,
		.nlink = n.nlink,
		.first_child = is_dir ? n.first_child : 0,
		.child_count = is_dir ? n.child_count : 0,
		.bsdflags = n.bsdflags,
		.size = n.size,
		.rdev = S_ISLNK(n.mode) ? 0 : n.rdev,
		.mtime_ns = n.mtime_ns,
		.atime_ns = n.atime_ns,
		.ctime_ns = n.ctime_ns,
		.chunk_count = n.chunk_count,
		.chunk_first = is_dir ? 0 : n.chunk_first,
		.order = n.order,
		.made_up = n.flags & NODE_MADE_UP,
		.damaged = n.flags & NODE_DAMAGED,
		.part = n.flags & NODE_PART,
		.has_xattrs = n.flags & NODE_XATTRS,
		.has_acl_access = n.flags & NODE_ACL_ACCESS,
		.has_acl_default = n.flags & NODE_ACL_DEFAULT,
	};
	return 0;
}

static int get_string(struct tree *t, uint64_t off, uint64_t len, struct buf *out,
		      struct err *e)
{
	if (off > t->header.strings_len || len > t->header.strings_len - off)
		return damaged(e);
	if (buf_resize(out, (size_t)len) < 0)
		return err_nomem(e, "tree");
	return len ? read_image(t, t->header.strings + off, out->p, (size_t)len, e) : 0;
}

/* Order of the wanted name and a node's; only names longer than the head are in the strings. */
static int compare_name(struct tree *t, struct bytes name, const uint8_t head[NAME_HEAD],
			const struct image_node *n, struct buf *scratch, int *order,
			struct err *e)
{
	int rc;

	*order = memcmp(head, n->head, NAME_HEAD);
	if (*order != 0)
		return 0;
	if (name.len <= NAME_HEAD || n->name_len <= NAME_HEAD) { /* one begins the other */
		*order = (name.len > n->name_len) - (name.len < n->name_len);
		return 0;
	}
	rc = get_string(t, n->name_off, n->name_len, scratch, e);
	if (rc == 0)
		*order = bytes_compare(name, buf_bytes(scratch));
	return rc;
}

int tree_lookup(struct tree *t, uint32_t dir, struct bytes name, uint32_t *index, struct err *e)
{
	CLEANUP(buf_fini) struct buf scratch = BUF_INIT;
	uint8_t head[NAME_HEAD] = { 0 };
	struct image_node n;
	uint32_t low, high;
	int rc = get_node(t, dir, &n, e), order = 0;

	if (rc < 0)
		return rc;
	if (!S_ISDIR(n.mode))
		return err_set(e, ENOTDIR, "tree: not a directory");
	if (name.len)
		memcpy(head, name.p, name.len < NAME_HEAD ? name.len : NAME_HEAD);
	low = n.first_child;
	high = low + n.child_count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		rc = get_node(t, middle, &n, e);
		if (rc == 0)
			rc = compare_name(t, name, head, &n, &scratch, &order, e);
		if (rc < 0)
			return rc;
		if (order == 0) {
			*index = middle;
			return 1;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return 0;
}

static int entry_name(struct tree *t, const struct image_node *n, struct buf *out,
		      struct err *e)
{
	if (n->name_len > NAME_HEAD)
		return get_string(t, n->name_off, n->name_len, out, e);
	out->len = 0;
	return buf_append(out, n->head, n->name_len) < 0 ? err_nomem(e, "tree") : 0;
}

int tree_entry_name(struct tree *t, uint32_t index, struct buf *out, struct err *e)
{
	struct image_node n;
	int rc = get_node(t, index, &n, e);

	return rc < 0 ? rc : entry_name(t, &n, out, e);
}

int tree_link_target(struct tree *t, uint32_t index, struct buf *out, struct err *e)
{
	struct image_node n;
	int rc = get_node(t, index, &n, e);

	if (rc < 0)
		return rc;
	if (!S_ISLNK(n.mode))
		return err_set(e, EINVAL, "tree: not a symbolic link");
	return get_string(t, n.rdev, n.size, out, e);
}

static void reverse(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len / 2; i++) {
		uint8_t byte = p[i];

		p[i] = p[len - 1 - i];
		p[len - 1 - i] = byte;
	}
}

/* Names are met from the last to the first: each is appended backwards, and then all turned, so
 * that a deep path costs its length.  Should parents form a circle, steps and length end at what
 * all directories and names of the tree come to. */
int tree_path(struct tree *t, uint32_t index, struct buf *out, struct err *e)
{
	CLEANUP(buf_fini) struct buf name = BUF_INIT;
	uint64_t len_max =
		t->header.strings_len + (uint64_t)t->header.node_count * (NAME_HEAD + 1);

	out->len = 0;
	for (uint32_t steps = 0; index != TREE_ROOT; steps++) {
		struct image_node n;
		int rc = get_node(t, index, &n, e);

		if (rc == 0)
			rc = entry_name(t, &n, &name, e);
		if (rc < 0)
			return rc;
		if (steps > t->header.directory_count || out->len > len_max)
			return damaged(e);
		if (steps && buf_append_byte(out, '/') < 0)
			return err_nomem(e, "tree");
		reverse(name.p, name.len);
		if (buf_append(out, name.p, name.len) < 0)
			return err_nomem(e, "tree");
		index = n.parent;
	}
	reverse(out->p, out->len);
	return 0;
}

int tree_chunks(struct tree *t, const struct tree_node *file, uint32_t first, uint32_t count,
		struct tree_chunk *out, struct err *e)
{
	uint8_t record[CHUNK_SIZE];

	if (first > file->chunk_count || count > file->chunk_count - first)
		return err_set(e, EINVAL, "tree: no such chunk");
	for (uint32_t i = 0; i < count; i++) {
		uint64_t at = file->chunk_first + first + i;
		int rc = read_image(t, t->header.chunks + at * CHUNK_SIZE, record, CHUNK_SIZE,
				    e);

		if (rc < 0)
			return rc;
		image_get_chunk(&out[i], record);
		if (out[i].size > out[i].end)
			return damaged(e);
	}
	return 0;
}

int tree_chunk_at(struct tree *t, const struct tree_node *file, uint64_t off, uint32_t *index,
		  struct err *e)
{
	uint32_t low = 0, high = file->chunk_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		struct tree_chunk c;
		int rc = tree_chunks(t, file, middle, 1, &c, e);

		if (rc < 0)
			return rc;
		if (off < c.end)
			high = middle;
		else
			low = middle + 1;
	}
	*index = low;
	return 0;
}

int tree_by_order(struct tree *t, uint32_t order, uint32_t *index, struct err *e)
{
	uint8_t record[4];
	int rc;

	if (order >= t->header.order_count)
		return 0;
	rc = read_image(t, t->header.order + (uint64_t)order * 4, record, sizeof(record), e);
	if (rc < 0)
		return rc;
	*index = get_le32(record);
	return *index < t->header.node_count ? 1 : damaged(e);
}

/* --- extras: ACLs and extended attributes --- */

struct extras {
	const uint8_t *p, *end;
	bool bad;
};

static uint32_t extra_u32(struct extras *x)
{
	uint32_t v;

	if (x->bad || x->end - x->p < 4) {
		x->bad = true;
		return 0;
	}
	v = get_le32(x->p);
	x->p += 4;
	return v;
}

static struct bytes extra_bytes(struct extras *x, uint32_t len)
{
	struct bytes b = { x->p, len };

	if (x->bad || len > (size_t)(x->end - x->p)) {
		x->bad = true;
		return (struct bytes){ 0 };
	}
	x->p += len;
	return b;
}

/* A text that may be absent; false where it is. */
static bool extra_text(struct extras *x, struct bytes *out)
{
	uint32_t len = extra_u32(x);

	*out = (struct bytes){ 0 };
	if (len == EXTRA_NONE)
		return false;
	*out = extra_bytes(x, len);
	return !x->bad;
}

static int get_extras(struct tree *t, uint32_t index, struct buf *text, struct extras *x,
		      struct err *e)
{
	struct image_node n;
	int rc = get_node(t, index, &n, e);

	if (rc == 0)
		rc = get_string(t, n.extra_off, n.extra_len, text, e);
	if (rc < 0)
		return rc;
	if (text->len == 0)
		return 0;
	*x = (struct extras){ .p = text->p, .end = text->p + text->len };
	return 1;
}

int tree_xattrs(struct tree *t, uint32_t index, tree_xattr_fn *fn, void *arg, struct err *e)
{
	CLEANUP(buf_fini) struct buf text = BUF_INIT;
	struct extras x;
	struct bytes acl;
	int rc = get_extras(t, index, &text, &x, e);

	if (rc <= 0)
		return rc;
	extra_text(&x, &acl);
	extra_text(&x, &acl);
	rc = 0;
	for (uint32_t count = extra_u32(&x); count > 0 && rc == 0; count--) {
		struct bytes name = extra_bytes(&x, extra_u32(&x));
		struct bytes value = extra_bytes(&x, extra_u32(&x));

		if (x.bad)
			break;
		rc = fn(arg, name, value);
	}
	return x.bad ? damaged(e) : rc;
}

int tree_acl(struct tree *t, uint32_t index, bool is_default, struct buf *out, struct err *e)
{
	CLEANUP(buf_fini) struct buf text = BUF_INIT;
	struct extras x;
	struct bytes acl;
	bool found;
	int rc = get_extras(t, index, &text, &x, e);

	if (rc <= 0)
		return rc;
	found = extra_text(&x, &acl);
	if (is_default)
		found = extra_text(&x, &acl);
	if (x.bad)
		return damaged(e);
	out->len = 0;
	if (found && buf_append(out, acl.p, acl.len) < 0)
		return err_nomem(e, "tree");
	return found;
}

size_t tree_name_count(const struct tree *t)
{
	return t->header.name_count;
}

struct bytes tree_name(const struct tree *t, size_t number)
{
	return number < t->header.name_count ? t->names[number] : (struct bytes){ 0 };
}
