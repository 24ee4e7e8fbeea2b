#ifndef ARCHIVE_TREE_H
#define ARCHIVE_TREE_H

/*
 * tree.h - one archive's files as a frozen, sorted tree.
 *
 * A tree is an image: a header, fixed-size node records in which the children of a directory
 * stand together sorted by name, names, chunk lists, attributes.  It is position-independent,
 * so it is used from memory while fresh and from a file in the cache folder afterwards, sealed
 * in blocks of 64 KiB, each decrypted on first touch into a cache bounded in bytes for all
 * trees together (design decisions 9, 10).  A node is named by its index; the root is node 0.
 * Hard links are several entries (nodes) of one file: `file` is the node that stands for all.
 *
 * After build nothing changes, so a tree needs no lock of the caller: any number of threads.
 * Every function that reads may fail where the cache file is damaged: -EBADMSG, and the file
 * is already removed so that the next opening builds it again.
 */

#include "core/base/cleanup.h"
#include "core/base/err.h"
#include "core/base/id.h"
#include "core/archive/item.h"

enum { TREE_ROOT = 0, TREE_NAME_MAX = 65535 };

struct tree;

struct tree_node {
	uint32_t index; /* of this entry */
	uint32_t file;  /* the entry that stands for the inode; == index but for hard links */
	uint32_t parent;
	uint32_t mode;
	uint32_t uid, gid;
	uint32_t user, group; /* numbers of names, see tree_name(); UINT32_MAX: none */
	uint32_t nlink;
	uint32_t first_child, child_count; /* directories: nodes first_child ... */
	uint32_t bsdflags;
	uint64_t size;
	uint64_t rdev;
	int64_t mtime_ns, atime_ns, ctime_ns;
	uint32_t chunk_count;
	uint64_t chunk_first; /* place in the chunk table */
	uint32_t order;       /* place in the archive's order of content, see tree_by_order() */
	bool made_up;         /* a parent directory that no item names */
	bool damaged;         /* some of its chunks were replaced by zeros (chunks_healthy) */
	bool part;            /* of a file that was not finished */
	bool has_xattrs, has_acl_access, has_acl_default;
};

/* One chunk of a file; `end` is the file offset behind it, so that an offset is found by
 * binary search. */
struct tree_chunk {
	struct chunk_id id;
	uint64_t end;
	uint32_t size;
	uint32_t csize;
};

struct tree_info {
	struct chunk_id archive_id;
	uint32_t node_count;
	uint32_t directory_count;
	uint64_t chunk_count;
	uint64_t content_bytes;
	bool damaged; /* items were lost: the listing is incomplete */
};

void tree_ref(struct tree *t);
void tree_close(struct tree *t); /* drops a reference; does nothing for NULL */
DEFINE_CLEANUP(struct tree *, tree_close);

void tree_info(const struct tree *t, struct tree_info *out);
int tree_node(struct tree *t, uint32_t index, struct tree_node *out, struct err *e);
/* 1 with the child's index, 0 no such name. */
int tree_lookup(struct tree *t, uint32_t dir, struct bytes name, uint32_t *index,
		struct err *e);
/* The entry's name in its directory, appended to nothing: out's content is replaced. */
int tree_entry_name(struct tree *t, uint32_t index, struct buf *out, struct err *e);
int tree_link_target(struct tree *t, uint32_t index, struct buf *out, struct err *e);
/* The archive path, "" for the root. */
int tree_path(struct tree *t, uint32_t index, struct buf *out, struct err *e);

/* Chunks [first, first + count) of the file, into out. */
int tree_chunks(struct tree *t, const struct tree_node *file, uint32_t first, uint32_t count,
		struct tree_chunk *out, struct err *e);
/* The number of the chunk that holds byte `off`; chunk_count where off is at or behind the end. */
int tree_chunk_at(struct tree *t, const struct tree_node *file, uint64_t off, uint32_t *index,
		  struct err *e);
/* The node whose content is `order`-th in the archive; 1, or 0 behind the last. */
int tree_by_order(struct tree *t, uint32_t order, uint32_t *index, struct err *e);

/* Extended attributes: calls fn for each until nonzero.  Names and values live for the call. */
typedef int tree_xattr_fn(void *arg, struct bytes name, struct bytes value);
int tree_xattrs(struct tree *t, uint32_t index, tree_xattr_fn *fn, void *arg, struct err *e);
/* ACL texts as stored (docs/format.md "ACL text"); 1 found, 0 none. */
int tree_acl(struct tree *t, uint32_t index, bool is_default, struct buf *out, struct err *e);

/* User and group names, numbered 0 ... count - 1; few, kept in memory. */
size_t tree_name_count(const struct tree *t);
struct bytes tree_name(const struct tree *t, size_t number);

#endif
