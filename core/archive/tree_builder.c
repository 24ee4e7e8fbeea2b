/*
 * tree_builder.c - see tree_builder.h.
 *
 * While items come in, a node is an image record under construction (struct image_node) in an
 * array, in archive order; strings, chunks and the order of content go straight into what will
 * be their sections.  Directories are found by a chained hash of their path's components, so
 * that a path costs its length whatever its depth.  The directory of the item before is
 * remembered: items come directory by directory.
 *
 * Finishing groups nodes by parent, sorts each group by name, numbers the groups depth-first,
 * translates references, and moves the nodes to their places within their array.  The array has
 * stood where the image has its nodes from the beginning, so that a million nodes are in memory
 * once: each becomes its record where it stands, and the other sections follow.
 *
 * A node's fields have these meanings until it is finished:
 *   parent   number of the parent's node under construction; GHOST: hidden, its content is
 *            kept for hard links to it
 *   file     the node whose inode it shares, itself for all but hard-link slaves
 *   order    place in the order of content + 1, or 0
 */

#include "core/archive/tree_builder.h"

#include "core/archive/tree_internal.h"
#include "core/base/table.h"
#include "core/platform/acl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
	NODES_MAX = 1 << 30, /* an inode number has 32 bits for them */
	IMAGE_FIRST = 128 * 1024,
};

#define GHOST UINT32_MAX
#define NONE  UINT32_MAX

struct path_key { /* a directory's or a hard-link master's path */
	uint64_t low, high;
};

struct name_key { /* a user's or group's name */
	uint64_t low, high;
};

struct tree_builder {
	struct tree_builder_options options;
	uint8_t *image; /* from mmap(2): the header's place, and then the nodes */
	size_t image_size;
	struct image_node *nodes;
	size_t count;
	struct table directories; /* path_key -> uint32_t node (in a uint64_t) */
	struct table masters;     /* path_key -> the same */
	struct table interned;    /* name_key -> number of the name */
	struct buf strings, chunks, names;
	uint32_t name_count, order_count;
	uint64_t chunk_count;
	size_t refused;
	bool has_slaves;
	uint64_t seed;
	struct buf last_path; /* the directory of the item before ... */
	uint32_t last_dir;    /* ... and its node */
	struct buf last_name[2];
	uint32_t last_number[2];
};

static int resize_image(struct tree_builder *b, size_t size)
{
	void *p = b->image ? mremap(b->image, b->image_size, size, MREMAP_MAYMOVE)
			   : mmap(NULL, size, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -ENOMEM;
	b->image = p;
	b->image_size = size;
	b->nodes = (void *)(b->image + IMAGE_HEADER_SIZE);
	return 0;
}

int tree_builder_new(struct tree_builder **out, const struct tree_builder_options *options,
		     struct err *e)
{
	CLEANUP(tree_builder_freep) struct tree_builder *b = calloc(1, sizeof(*b));

	if (!b)
		return err_nomem(e, "tree");
	b->options = *options;
	table_init(&b->directories, sizeof(struct path_key), sizeof(uint64_t));
	table_init(&b->masters, sizeof(struct path_key), sizeof(uint64_t));
	table_init(&b->interned, sizeof(struct name_key), sizeof(uint64_t));
	if (getrandom(&b->seed, sizeof(b->seed), 0) != sizeof(b->seed))
		return err_set(e, EIO, "tree: no random numbers");
	if (resize_image(b, IMAGE_FIRST) < 0)
		return err_nomem(e, "tree");
	b->nodes[TREE_ROOT] = (struct image_node){
		.flags = NODE_MADE_UP,
		.mode = S_IFDIR | 0755,
		.uid = options->made_up_uid,
		.gid = options->made_up_gid,
		.user = NONE,
		.group = NONE,
		.mtime_ns = options->made_up_ns,
		.atime_ns = options->made_up_ns,
		.ctime_ns = options->made_up_ns,
	};
	b->count = 1;
	b->last_number[0] = b->last_number[1] = NONE;
	*out = TAKE(b);
	return 0;
}

void tree_builder_free(struct tree_builder *b)
{
	if (!b)
		return;
	if (b->image)
		munmap(b->image, b->image_size);
	table_fini(&b->directories);
	table_fini(&b->masters);
	table_fini(&b->interned);
	buf_fini(&b->strings);
	buf_fini(&b->chunks);
	buf_fini(&b->names);
	buf_fini(&b->last_path);
	buf_fini(&b->last_name[0]);
	buf_fini(&b->last_name[1]);
	free(b);
}

size_t tree_builder_refused(const struct tree_builder *b)
{
	return b->refused;
}

static int new_node(struct tree_builder *b, uint32_t *out)
{
	size_t end = IMAGE_HEADER_SIZE + (b->count + 1) * NODE_SIZE;

	if (b->count >= NODES_MAX)
		return -EFBIG;
	if (end > b->image_size && resize_image(b, 2 * b->image_size) < 0)
		return -ENOMEM;
	*out = (uint32_t)b->count++;
	memset(&b->nodes[*out], 0, sizeof(b->nodes[*out]));
	b->nodes[*out].file = *out;
	return 0;
}

/* --- paths --- */

/* The next component of a path, empty ones and "." passed over; false at the end. */
static bool next_component(struct bytes *rest, struct bytes *out)
{
	for (;;) {
		const uint8_t *slash;

		while (rest->len && rest->p[0] == '/')
			rest->p++, rest->len--;
		if (rest->len == 0)
			return false;
		slash = memchr(rest->p, '/', rest->len);
		*out = (struct bytes){ rest->p, slash ? (size_t)(slash - rest->p) : rest->len };
		rest->p += out->len;
		rest->len -= out->len;
		if (!bytes_is(*out, "."))
			return true;
	}
}

/* Can a tree have it?  Relative, no "..", no NUL, no component too long for the record. */
static bool acceptable(struct bytes path)
{
	struct bytes rest = path, c;

	if (path.len && (path.p[0] == '/' || memchr(path.p, '\0', path.len)))
		return false;
	while (next_component(&rest, &c))
		if (bytes_is(c, "..") || c.len > TREE_NAME_MAX)
			return false;
	return true;
}

struct bytes tree_strip(struct bytes path, unsigned components)
{
	struct bytes c;

	while (components-- > 0 && next_component(&path, &c))
		;
	while (path.len && path.p[0] == '/')
		path.p++, path.len--;
	return path;
}

/* Hash of a path whose parent's hash is known. */
static struct path_key chain(const struct tree_builder *b, struct path_key parent,
			     struct bytes component)
{
	XXH128_hash_t h =
		XXH3_128bits_withSeed(component.p, component.len, b->seed ^ parent.low);

	return (struct path_key){ h.low64, h.high64 ^ (parent.high * 0x9e3779b97f4a7c15u + 1) };
}

static struct path_key hash_path(const struct tree_builder *b, struct bytes path)
{
	struct path_key key = { 0, 0 };
	struct bytes c;

	while (next_component(&path, &c))
		key = chain(b, key, c);
	return key;
}

static int set_name(struct tree_builder *b, struct image_node *n, struct bytes name)
{
	memset(n->head, 0, NAME_HEAD);
	memcpy(n->head, name.p, name.len < NAME_HEAD ? name.len : NAME_HEAD);
	n->name_len = (uint16_t)name.len;
	n->name_off = b->strings.len;
	return name.len > NAME_HEAD ? buf_append(&b->strings, name.p, name.len) : 0;
}

static struct bytes name_of(const struct tree_builder *b, const struct image_node *n)
{
	if (n->name_len <= NAME_HEAD)
		return (struct bytes){ n->head, n->name_len };
	return (struct bytes){ b->strings.p + n->name_off, n->name_len };
}

static int make_up(struct tree_builder *b, uint32_t parent, struct bytes name, uint32_t *out)
{
	int rc = new_node(b, out);
	struct image_node *n;

	if (rc < 0)
		return rc;
	n = &b->nodes[*out];
	*n = b->nodes[TREE_ROOT]; /* what is made up looks like a made-up root ... */
	n->parent = parent;
	n->file = *out;
	n->flags = NODE_MADE_UP;
	n->mode = S_IFDIR | 0755;
	n->uid = b->options.made_up_uid;
	n->gid = b->options.made_up_gid;
	n->user = n->group = NONE;
	n->mtime_ns = n->atime_ns = n->ctime_ns = b->options.made_up_ns;
	n->extra_len = 0;
	n->bsdflags = 0;
	return set_name(b, n, name);
}

/* The node of a directory, made up with its parents where it is not there. */
static int find_directory(struct tree_builder *b, struct bytes path, uint32_t *out)
{
	struct path_key key = { 0, 0 };
	struct bytes rest = path, c;

	if (b->last_path.len == path.len && path.len &&
	    memcmp(b->last_path.p, path.p, path.len) == 0) {
		*out = b->last_dir;
		return 0;
	}
	*out = TREE_ROOT;
	while (next_component(&rest, &c)) {
		uint64_t *at;
		uint32_t made;
		bool created;
		int rc;

		key = chain(b, key, c);
		at = table_put(&b->directories, &key, &created);
		if (!at)
			return -ENOMEM;
		if (created) {
			rc = make_up(b, *out, c, &made);
			if (rc < 0)
				return rc;
			*at = made;
		}
		*out = (uint32_t)*at;
	}
	b->last_path.len = 0;
	b->last_dir = *out;
	return buf_append(&b->last_path, path.p, path.len);
}

/* "a/b/c" -> "a/b" and "c"; trailing slashes and dots go. */
static void split(struct bytes path, struct bytes *parent, struct bytes *name)
{
	struct bytes rest = path, c;

	*name = (struct bytes){ 0 };
	while (next_component(&rest, &c))
		*name = c;
	*parent = (struct bytes){ path.p, name->len ? (size_t)(name->p - path.p) : 0 };
	while (parent->len && parent->p[parent->len - 1] == '/')
		parent->len--;
}

/* --- what an item says --- */

static int intern(struct tree_builder *b, unsigned which, struct bytes name, uint32_t *out)
{
	XXH128_hash_t h;
	struct name_key key;
	uint64_t *at;
	uint8_t len[4];
	bool created;

	if (b->last_number[which] != NONE &&
	    bytes_equal(buf_bytes(&b->last_name[which]), name)) {
		*out = b->last_number[which];
		return 0;
	}
	h = XXH3_128bits_withSeed(name.p, name.len, b->seed);
	key = (struct name_key){ h.low64, h.high64 };
	at = table_put(&b->interned, &key, &created);
	if (!at)
		return -ENOMEM;
	if (created) {
		if (b->name_count == NAMES_MAX ||
		    name.len + sizeof(len) > NAMES_BYTES_MAX - b->names.len) {
			table_remove(&b->interned, &key);
			*out = NONE; /* the number stands for it */
			return 0;
		}
		put_le32(len, (uint32_t)name.len);
		if (buf_append(&b->names, len, sizeof(len)) < 0 ||
		    buf_append(&b->names, name.p, name.len) < 0)
			return -ENOMEM;
		*at = b->name_count++;
	}
	*out = b->last_number[which] = (uint32_t)*at;
	b->last_name[which].len = 0;
	return buf_append(&b->last_name[which], name.p, name.len);
}

static int put_u32(struct buf *b, uint32_t v)
{
	uint8_t bytes[4];

	put_le32(bytes, v);
	return buf_append(b, bytes, sizeof(bytes));
}

static int put_text(struct buf *b, bool there, struct bytes text)
{
	if (!there)
		return put_u32(b, EXTRA_NONE);
	return put_u32(b, (uint32_t)text.len) < 0 ? -ENOMEM : buf_append(b, text.p, text.len);
}

/* ACLs and xattrs; one item holds far less than 4 GiB of them, for a record's own size bounds
 * them. */
static int set_extras(struct tree_builder *b, struct image_node *n, const struct item *it)
{
	bool access = (it->has & ITEM_ACL_ACCESS) && !acl_is_minimal(it->acl_access);
	bool inherit = (it->has & ITEM_ACL_DEFAULT) && it->acl_default.len;
	size_t start = b->strings.len;
	int rc;

	n->extra_len = 0;
	if (!access && !inherit && it->xattr_count == 0)
		return 0;
	rc = put_text(&b->strings, access, it->acl_access);
	if (rc == 0)
		rc = put_text(&b->strings, inherit, it->acl_default);
	if (rc == 0)
		rc = put_u32(&b->strings, (uint32_t)it->xattr_count);
	for (size_t i = 0; rc == 0 && i < it->xattr_count; i++) {
		rc = put_text(&b->strings, true, it->xattrs[i].name);
		if (rc == 0)
			rc = put_text(&b->strings, true, it->xattrs[i].value);
	}
	n->extra_off = start;
	n->extra_len = (uint32_t)(b->strings.len - start);
	n->flags = (uint16_t)(n->flags | (access ? NODE_ACL_ACCESS : 0) |
			      (inherit ? NODE_ACL_DEFAULT : 0) |
			      (it->xattr_count ? NODE_XATTRS : 0));
	return rc;
}

static int set_chunks(struct tree_builder *b, struct image_node *n, const struct item *it)
{
	size_t at = b->chunks.len;
	uint64_t end = 0;

	if (it->chunk_count > UINT32_MAX)
		return -EFBIG;
	n->chunk_first = b->chunk_count;
	n->chunk_count = (uint32_t)it->chunk_count;
	n->size = it->chunks_size;
	if (it->has & ITEM_CHUNKS_HEALTHY)
		n->flags |= NODE_DAMAGED;
	if (it->chunk_count == 0)
		return 0;
	n->order = ++b->order_count;
	if (buf_resize(&b->chunks, at + it->chunk_count * CHUNK_SIZE) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < it->chunk_count; i++, at += CHUNK_SIZE) {
		const struct item_chunk *c = &it->chunks[i];

		end += c->size;
		image_put_chunk(b->chunks.p + at,
				&(struct tree_chunk){ c->id, end, c->size, c->csize });
	}
	b->chunk_count += it->chunk_count;
	return 0;
}

static int set_target(struct tree_builder *b, struct image_node *n, const struct item *it)
{
	n->rdev = b->strings.len;
	n->size = it->source.len;
	return buf_append(&b->strings, it->source.p, it->source.len);
}

static int set_attributes(struct tree_builder *b, uint32_t index, const struct item *it)
{
	struct image_node *n = &b->nodes[index];
	int rc = 0;

	n->flags = it->has & ITEM_PART ? NODE_PART : 0;
	n->mode = it->mode;
	n->uid = it->uid;
	n->gid = it->gid;
	n->user = n->group = NONE;
	n->mtime_ns = it->mtime_ns;
	n->atime_ns = it->atime_ns;
	n->ctime_ns = it->ctime_ns;
	n->bsdflags = it->has & ITEM_BSDFLAGS ? (uint32_t)it->bsdflags : 0;
	if (it->has & ITEM_USER)
		rc = intern(b, 0, it->user, &n->user);
	if (rc == 0 && (it->has & ITEM_GROUP))
		rc = intern(b, 1, it->group, &n->group);
	if (rc == 0)
		rc = set_extras(b, n, it);
	if (rc < 0)
		return rc;
	if (S_ISLNK(it->mode))
		return set_target(b, n, it);
	if (S_ISREG(it->mode))
		return set_chunks(b, n, it);
	if (S_ISCHR(it->mode) || S_ISBLK(it->mode))
		n->rdev = it->rdev;
	return 0;
}

/* --- adding --- */

static bool is_master(const struct item *it)
{
	return !S_ISDIR(it->mode) && !S_ISLNK(it->mode) && it->hardlink_master &&
	       !item_is_hardlink_slave(it);
}

static int remember_master(struct tree_builder *b, struct path_key key, uint32_t node)
{
	uint64_t *at = table_put(&b->masters, &key, NULL);

	if (!at)
		return -ENOMEM;
	*at = node;
	return 0;
}

/* A slave shares its master's node; without one it stands for the file, and those after it
 * share its own. */
static int link_slave(struct tree_builder *b, uint32_t node, const struct item *it)
{
	struct path_key key = hash_path(b, it->source);
	const uint64_t *master = table_get(&b->masters, &key);

	if (!master)
		return remember_master(b, key, node);
	b->nodes[node].file = (uint32_t)*master;
	b->has_slaves = true;
	return 0;
}

/* A master that is not shown itself: its content is for the slaves that are. */
static int add_ghost(struct tree_builder *b, const struct item *it)
{
	uint32_t node;
	int rc = new_node(b, &node);

	if (rc < 0)
		return rc;
	b->nodes[node].parent = GHOST;
	rc = set_attributes(b, node, it);
	return rc < 0 ? rc : remember_master(b, hash_path(b, it->path), node);
}

static int add_directory(struct tree_builder *b, struct bytes path, const struct item *it)
{
	uint32_t node;
	int rc = find_directory(b, path, &node);

	return rc < 0 ? rc : set_attributes(b, node, it);
}

static int add_other(struct tree_builder *b, struct bytes path, const struct item *it)
{
	struct bytes parent_path, name;
	uint32_t parent, node;
	int rc;

	split(path, &parent_path, &name);
	rc = find_directory(b, parent_path, &parent);
	if (rc == 0)
		rc = new_node(b, &node);
	if (rc < 0)
		return rc;
	b->nodes[node].parent = parent;
	rc = set_name(b, &b->nodes[node], name);
	if (rc == 0)
		rc = set_attributes(b, node, it);
	if (rc < 0)
		return rc;
	if (item_is_hardlink_slave(it))
		return link_slave(b, node, it);
	return is_master(it) ? remember_master(b, hash_path(b, it->path), node) : 0;
}

static int add(struct tree_builder *b, const struct item *it)
{
	struct bytes path;
	int rc;

	if ((it->has & ITEM_PART) && !b->options.consider_part_files)
		return 0;
	if (b->options.matcher && !matcher_match(b->options.matcher, it->path).included) {
		rc = is_master(it) ? add_ghost(b, it) : 0;
		return rc;
	}
	if (!acceptable(it->path)) {
		b->refused++;
		return 0;
	}
	path = tree_strip(it->path, b->options.strip_components);
	if (S_ISDIR(it->mode)) {
		struct bytes rest = path, c;

		if (b->options.strip_components && !next_component(&rest, &c))
			return 0;
		rc = add_directory(b, path, it);
	} else {
		struct bytes rest = path, c;

		if (!next_component(&rest, &c)) { /* a file cannot be the root */
			if (b->options.strip_components == 0)
				b->refused++;
			return 0;
		}
		rc = add_other(b, path, it);
	}
	return rc < 0 ? rc : 1;
}

int tree_builder_add(struct tree_builder *b, const struct item *it, struct err *e)
{
	int rc = add(b, it);

	if (rc == -EFBIG)
		return err_set(e, EFBIG, "tree: too many files");
	return rc < 0 ? err_nomem(e, "tree") : rc;
}

/* --- finishing --- */

struct child {         /* of one directory, while its group is sorted */
	uint64_t head; /* the name's first bytes, big-endian */
	uint32_t node;
};

struct layout {
	struct child *children; /* grouped by parent */
	uint32_t *first;        /* of each node: its group's start; count + 1 entries */
	uint32_t *final;        /* of each node: its place in the image; NONE: dropped */
	uint32_t *sorted;       /* the reverse: nodes in image order */
	uint32_t placed;
	uint32_t *group_len; /* of each node: children left after duplicates went */
};

static void layout_fini(struct layout *l)
{
	free(l->children);
	free(l->first);
	free(l->final);
	free(l->sorted);
	free(l->group_len);
}

static int layout_init(struct layout *l, size_t count)
{
	*l = (struct layout){
		.children = malloc(count * sizeof(*l->children)),
		.first = calloc(count + 1, sizeof(*l->first)),
		.final = malloc(count * sizeof(*l->final)),
		.sorted = malloc(count * sizeof(*l->sorted)),
		.group_len = calloc(count, sizeof(*l->group_len)),
	};
	if (!l->children || !l->first || !l->final || !l->sorted || !l->group_len)
		return -ENOMEM;
	memset(l->final, 0xff, count * sizeof(*l->final));
	return 0;
}

/* Counting sort by parent; within a group the archive's order stays. */
static void group_by_parent(const struct tree_builder *b, struct layout *l)
{
	uint32_t at = 0;

	for (size_t i = 1; i < b->count; i++)
		if (b->nodes[i].parent != GHOST)
			l->first[b->nodes[i].parent]++;
	for (size_t i = 0; i <= b->count; i++) {
		uint32_t n = l->first[i];

		l->first[i] = at;
		at += n;
	}
	for (size_t i = 1; i < b->count; i++) {
		const struct image_node *n = &b->nodes[i];
		uint32_t to;

		if (n->parent == GHOST)
			continue;
		to = l->first[n->parent] + l->group_len[n->parent]++;
		l->children[to] = (struct child){ get_be64(n->head), (uint32_t)i };
	}
}

static int compare_children(const void *x, const void *y, void *arg)
{
	const struct child *a = x, *c = y;
	const struct tree_builder *b = arg;
	int order = (a->head > c->head) - (a->head < c->head);

	if (order == 0)
		order = bytes_compare(name_of(b, &b->nodes[a->node]),
				      name_of(b, &b->nodes[c->node]));
	return order ? order : (a->node > c->node) - (a->node < c->node);
}

static bool same_name(const struct tree_builder *b, const struct child *x,
		      const struct child *y)
{
	return x->head == y->head &&
	       bytes_equal(name_of(b, &b->nodes[x->node]), name_of(b, &b->nodes[y->node]));
}

/* Of two entries of one name the later stands, but nothing takes the place of a directory that
 * has something in it. */
static bool gives_way(const struct tree_builder *b, const struct layout *l,
		      const struct child *earlier)
{
	return !S_ISDIR(b->nodes[earlier->node].mode) || l->group_len[earlier->node] == 0;
}

static void sort_group(const struct tree_builder *b, struct layout *l, uint32_t dir)
{
	struct child *group = l->children + l->first[dir];
	uint32_t n = l->group_len[dir], kept = 0;

	qsort_r(group, n, sizeof(*group), compare_children, (void *)(uintptr_t)b);
	for (uint32_t i = 0; i < n; i++) {
		if (kept == 0 || !same_name(b, &group[kept - 1], &group[i]))
			group[kept++] = group[i];
		else if (gives_way(b, l, &group[kept - 1]))
			group[kept - 1] = group[i];
	}
	l->group_len[dir] = kept;
}

static void place_group(struct layout *l, uint32_t dir)
{
	const struct child *group = l->children + l->first[dir];

	for (uint32_t i = 0; i < l->group_len[dir]; i++) {
		l->final[group[i].node] = l->placed;
		l->sorted[l->placed++] = group[i].node;
	}
}

/* Directories depth-first, each with its children together; an explicit stack, since depth is
 * the archive's choice. */
static int number(const struct tree_builder *b, struct layout *l)
{
	uint32_t *stack = malloc(b->count * sizeof(*stack));
	size_t depth = 0;

	if (!stack)
		return -ENOMEM;
	l->final[TREE_ROOT] = l->placed++;
	l->sorted[0] = TREE_ROOT;
	stack[depth++] = TREE_ROOT;
	while (depth > 0) {
		uint32_t dir = stack[--depth];
		const struct child *group = l->children + l->first[dir];

		sort_group(b, l, dir);
		place_group(l, dir);
		for (uint32_t i = l->group_len[dir]; i > 0; i--)
			if (S_ISDIR(b->nodes[group[i - 1].node].mode))
				stack[depth++] = group[i - 1].node;
	}
	free(stack);
	return 0;
}

/* Each set of hard links is stood for by its first visible member, which has the content. */
static int settle_links(struct tree_builder *b, const struct layout *l)
{
	uint32_t *standing, *names;

	if (!b->has_slaves)
		return 0;
	standing = malloc(b->count * sizeof(*standing));
	names = calloc(b->count, sizeof(*names));
	if (!standing || !names) {
		free(standing);
		free(names);
		return -ENOMEM;
	}
	memset(standing, 0xff, b->count * sizeof(*standing));
	for (uint32_t i = 0; i < l->placed; i++) {
		uint32_t node = l->sorted[i], master = b->nodes[node].file;

		if (S_ISDIR(b->nodes[node].mode))
			continue;
		if (standing[master] == NONE)
			standing[master] = node;
		names[master]++;
	}
	for (uint32_t i = 0; i < l->placed; i++) {
		uint32_t node = l->sorted[i], master = b->nodes[node].file;
		struct image_node *n = &b->nodes[node];
		const struct image_node *m = &b->nodes[master];

		if (S_ISDIR(n->mode))
			continue;
		if (master != node) { /* all of the inode but the entry's own name and place */
			struct image_node merged = *m;

			memcpy(merged.head, n->head, NAME_HEAD);
			merged.name_off = n->name_off;
			merged.name_len = n->name_len;
			merged.parent = n->parent;
			*n = merged;
		}
		n->nlink = names[master];
		n->rdev = m->rdev;
	}
	/* `file` last: the loop above needs the masters' own numbers. */
	for (uint32_t i = 0; i < l->placed; i++) {
		struct image_node *n = &b->nodes[l->sorted[i]];

		if (!S_ISDIR(n->mode) && standing[n->file] != NONE)
			n->file = standing[n->file];
	}
	free(standing);
	free(names);
	return 0;
}

static void count_links(struct tree_builder *b, const struct layout *l)
{
	for (uint32_t i = 0; i < l->placed; i++) {
		struct image_node *n = &b->nodes[l->sorted[i]];

		if (S_ISDIR(n->mode))
			n->nlink +=
				2; /* "." and its entry; subdirectories were added or will be */
		else if (n->nlink == 0)
			n->nlink = 1;
		if (S_ISDIR(n->mode) && l->sorted[i] != TREE_ROOT)
			b->nodes[n->parent].nlink++;
	}
}

/* --- the image --- */

static uint64_t align(uint64_t v)
{
	return (v + NODE_SIZE - 1) & ~(uint64_t)(NODE_SIZE - 1);
}

static struct image_header plan(const struct tree_builder *b, uint32_t placed, bool damaged)
{
	struct image_header h = {
		.archive_id = b->options.archive_id,
		.node_count = placed,
		.order_count = b->order_count,
		.name_count = b->name_count,
		.damaged = damaged,
		.chunk_count = b->chunk_count,
		.nodes = IMAGE_HEADER_SIZE,
		.strings_len = b->strings.len,
	};

	h.chunks = align(h.nodes + (uint64_t)h.node_count * NODE_SIZE);
	h.order = align(h.chunks + b->chunks.len);
	h.strings = align(h.order + (uint64_t)h.order_count * 4);
	h.names = align(h.strings + h.strings_len);
	h.total = h.names + b->names.len;
	return h;
}

/* From numbers under construction to places in the image. */
static void translate(struct tree_builder *b, const struct layout *l)
{
	for (uint32_t i = 0; i < b->count; i++) {
		struct image_node *n = &b->nodes[i];

		if (l->final[i] == NONE)
			continue;
		n->parent = i == TREE_ROOT ? TREE_ROOT : l->final[n->parent];
		n->file = l->final[n->file];
		if (S_ISDIR(n->mode)) {
			n->child_count = l->group_len[i];
			n->first_child =
				n->child_count ? l->final[l->children[l->first[i]].node] : 0;
		}
	}
}

/* Each node to its place, in place: along each cycle of sorted[], which is used up.  What was
 * dropped gets the places behind. */
static void permute(struct tree_builder *b, struct layout *l)
{
	uint32_t place = l->placed;

	for (uint32_t i = 0; i < b->count; i++)
		if (l->final[i] == NONE)
			l->sorted[place++] = i;
	for (uint32_t i = 0; i < b->count; i++) {
		struct image_node first = b->nodes[i];
		uint32_t to = i;

		while (l->sorted[to] != i) {
			uint32_t from = l->sorted[to];

			b->nodes[to] = b->nodes[from];
			l->sorted[to] = to;
			to = from;
		}
		b->nodes[to] = first;
		l->sorted[to] = to;
	}
}

/* Nodes become records. */
static void write_nodes(struct tree_builder *b, struct image_header *h)
{
	uint8_t *order = b->image + h->order;

	for (uint32_t i = 0; i < h->node_count; i++) {
		struct image_node n = b->nodes[i];

		if (S_ISDIR(n.mode))
			h->directory_count++;
		else if (n.file == i && S_ISREG(n.mode))
			h->content_bytes += n.size;
		if (n.order > 0) {
			n.order--;
			put_le32(order + 4 * (size_t)n.order, n.file);
		} else {
			n.order = NONE;
		}
		image_put_node(b->image + h->nodes + (uint64_t)i * NODE_SIZE, &n);
	}
}

/* The section is in the image then, and no more anywhere else. */
static void move_section(uint8_t *image, uint64_t off, struct buf *b)
{
	if (b->len)
		memcpy(image + off, b->p, b->len);
	buf_fini(b);
}

static int write_image(struct tree_builder *b, uint32_t placed, bool damaged, struct tree **out,
		       struct err *e)
{
	struct image_header h = plan(b, placed, damaged);
	uint8_t *image;

	if (resize_image(b, h.total) < 0)
		return err_nomem(e, "tree");
	/* Behind the nodes stood those that were dropped.  Content of items that were replaced has
	 * no node: its place in the order names the root. */
	memset(b->image + h.order, 0, h.strings - h.order);
	write_nodes(b, &h);
	move_section(b->image, h.chunks, &b->chunks);
	move_section(b->image, h.strings, &b->strings);
	move_section(b->image, h.names, &b->names);
	image_put_header(b->image, &h);
	image = TAKE(b->image);
	return tree_from_image(out, image, h.total, e);
}

int tree_builder_finish(struct tree_builder *b, bool damaged, struct tree **out, struct err *e)
{
	CLEANUP(layout_fini) struct layout l = { 0 };
	uint32_t placed;

	if (layout_init(&l, b->count) < 0)
		return err_nomem(e, "tree");
	group_by_parent(b, &l);
	if (number(b, &l) < 0 || settle_links(b, &l) < 0)
		return err_nomem(e, "tree");
	count_links(b, &l);
	translate(b, &l);
	permute(b, &l);
	placed = l.placed;
	layout_fini(&l);
	l = (struct layout){ 0 };
	return write_image(b, placed, damaged, out, e);
}
