/*
 * cache_db_verify.c - are the pages of an LMDB file what LMDB will take them for?
 *
 * LMDB follows numbers and offsets in its pages without a question, so one flipped bit ends the
 * process, at each start again.  This walk over the pages of both trees (of free pages, and of
 * ours) looks at each number first; it reads the file, not the map, so it costs no memory, and
 * what it reads is what comes next anyway.  Contents are not its business: those have checksums
 * or seals.  Overflow pages are not read: only their numbers are followed.
 *
 *   page    0 own number u64, 8 u16, 10 flags u16, 12 lower u16, 14 upper u16, 16 offsets u16[]
 *   node    0 size or page: low u16, 2 high u16, 4 flags (page: highest) u16, 6 key length u16,
 *           8 key, then the value or the number of its overflow page
 *   meta    a page; 16 magic u32, version u32, 32 map size u64, 40 tree of free pages, 88 ours,
 *           136 last page u64, 144 transaction u64
 *   tree    0 page size or 0 u32, 4 flags u16, 6 depth u16, 40 root u64; 48 bytes
 *
 * Source: LMDB 0.9, data version 1, 64 bits, little-endian.  Any other file is let pass.
 */

#include "core/store/cache_db.h"

#include "core/base/io.h"

#include <errno.h>
#include <stdlib.h>

enum {
	PAGE_MIN = 512,
	PAGE_MAX = 65536,
	PAGE_HEAD = 16,
	NODE_HEAD = 8,
	BRANCH = 1,
	LEAF = 2,
	BIG = 1, /* node: the value is on overflow pages */
	MAGIC = 0xbeefc0de,
	DATA_VERSION = 1,
	DEPTH_MAX = 32,
	FREE_TREE = 40,
	OUR_TREE = 88,
	TREE_DEPTH = 6,
	TREE_ROOT = 40,
	META_SIZE = 152,
};
#define NO_PAGE UINT64_MAX

struct walk {
	int fd;
	size_t page_size;
	uint64_t last;  /* page */
	uint8_t *seen;  /* a bit for each page: no page has two owners */
	uint8_t *pages; /* of the path that is being walked */
	bool free_tree;
};

/* n pages from `first` on are somebody's from now on; false where they cannot be. */
static bool claim(struct walk *w, uint64_t first, uint64_t n)
{
	if (first < 2 || first > w->last || n > w->last - first + 1)
		return false;
	for (uint64_t i = first; i < first + n; i++) {
		if (w->seen[i / 8] & 1 << i % 8)
			return false;
		w->seen[i / 8] |= (uint8_t)(1 << i % 8);
	}
	return true;
}

/* A list of free pages: how many, and their numbers. */
static bool free_pages(struct walk *w, struct bytes list)
{
	uint64_t n = list.len >= 8 ? get_le64(list.p) : UINT64_MAX;

	if (list.len % 8 != 0 || n > list.len / 8 - 1)
		return false;
	for (uint64_t i = 1; i <= n; i++)
		if (!claim(w, get_le64(list.p + 8 * i), 1))
			return false;
	return true;
}

static bool big_free_pages(struct walk *w, uint64_t page, size_t size)
{
	uint8_t *list = malloc(size ? size : 1);
	bool good = list &&
		    read_exact(w->fd, list, size, page * w->page_size + PAGE_HEAD) == 1 &&
		    free_pages(w, (struct bytes){ list, size });

	free(list);
	return good;
}

static bool leaf_node(struct walk *w, struct bytes node)
{
	size_t size = get_le32(node.p), key = get_le16(node.p + 6);
	uint16_t flags = get_le16(node.p + 4);
	uint64_t page;

	if (key == 0 || key > node.len - NODE_HEAD || (flags & ~BIG) ||
	    (w->free_tree && key != 8))
		return false;
	node.p += NODE_HEAD + key;
	node.len -= NODE_HEAD + key;
	if (!(flags & BIG))
		return size <= node.len &&
		       (!w->free_tree || free_pages(w, (struct bytes){ node.p, size }));
	if (node.len < 8)
		return false;
	page = get_le64(node.p);
	return claim(w, page, (PAGE_HEAD + size + w->page_size - 1) / w->page_size) &&
	       (!w->free_tree || big_free_pages(w, page, size));
}

static bool walk_page(struct walk *w, uint64_t number, unsigned depth);

static bool branch_node(struct walk *w, struct bytes node, unsigned depth)
{
	uint64_t page = (uint64_t)get_le16(node.p + 4) << 32 | get_le32(node.p);

	return get_le16(node.p + 6) <= node.len - NODE_HEAD && walk_page(w, page, depth - 1);
}

static bool check_nodes(struct walk *w, const uint8_t *p, unsigned depth)
{
	size_t lower = get_le16(p + 12), upper = get_le16(p + 14);

	if (lower <= PAGE_HEAD || lower % 2 || lower > upper || upper > w->page_size)
		return false;
	for (size_t at = PAGE_HEAD; at < lower; at += 2) {
		size_t off = get_le16(p + at);
		struct bytes node = { p + off, w->page_size - off };

		if (off < upper || off % 2 || off > w->page_size - NODE_HEAD)
			return false;
		if (!(depth == 1 ? leaf_node(w, node) : branch_node(w, node, depth)))
			return false;
	}
	return true;
}

static bool walk_page(struct walk *w, uint64_t number, unsigned depth)
{
	uint8_t *p = w->pages + depth * w->page_size;

	return claim(w, number, 1) &&
	       read_exact(w->fd, p, w->page_size, number * w->page_size) == 1 &&
	       get_le64(p) == number && get_le16(p + 10) == (depth == 1 ? LEAF : BRANCH) &&
	       check_nodes(w, p, depth);
}

static bool walk_tree(struct walk *w, const uint8_t *tree)
{
	uint64_t root = get_le64(tree + TREE_ROOT);
	unsigned depth = get_le16(tree + TREE_DEPTH);

	if (root == NO_PAGE)
		return depth == 0;
	return depth > 0 && depth <= DEPTH_MAX && walk_page(w, root, depth);
}

/* The meta page of the transaction that txn reads; 1, 0: not one that we know. */
static int find_meta(int fd, uint64_t txn_id, uint8_t meta[META_SIZE])
{
	size_t page_size = 0;

	for (int i = 0; i < 2; i++) {
		if (read_exact(fd, meta, META_SIZE, (uint64_t)i * page_size) != 1 ||
		    get_le32(meta + 16) != MAGIC || get_le32(meta + 20) != DATA_VERSION ||
		    sizeof(size_t) != 8)
			return 0;
		page_size = get_le32(meta + FREE_TREE);
		if (page_size < PAGE_MIN || page_size > PAGE_MAX)
			return 0;
		if (get_le64(meta + 144) == txn_id)
			return 1;
	}
	return 0;
}

int cache_db_verify(MDB_env *env, MDB_txn *txn)
{
	struct walk w = { 0 };
	uint8_t meta[META_SIZE];
	bool good;
	int rc = mdb_env_get_fd(env, &w.fd);

	if (rc || !find_meta(w.fd, mdb_txn_id(txn), meta))
		return rc;
	w.page_size = get_le32(meta + FREE_TREE);
	w.last = get_le64(meta + 136);
	/* A wild number is no reason to ask for wild memory. */
	if (w.last > get_le64(meta + 32) / w.page_size)
		return MDB_CORRUPTED;
	w.seen = calloc(w.last / 8 + 1, 1);
	w.pages = malloc((DEPTH_MAX + 1) * w.page_size);
	good = w.seen && w.pages && walk_tree(&w, meta + OUR_TREE);
	w.free_tree = true;
	good = good && walk_tree(&w, meta + FREE_TREE);
	rc = !w.seen || !w.pages ? ENOMEM : good ? 0 : MDB_CORRUPTED;
	free(w.seen);
	free(w.pages);
	return rc;
}
