#ifndef ARCHIVE_TREE_IMAGE_H
#define ARCHIVE_TREE_IMAGE_H

/*
 * tree_image.h - the bytes of a tree: one position-independent image.
 *
 *      0  header                 HEADER_SIZE bytes
 *         nodes                  node_count x NODE_SIZE, the root first; a directory's children
 *                                stand together, sorted by name
 *         chunks                 chunk_count x CHUNK_SIZE, file by file
 *         order                  order_count x u32: nodes with content, in archive order
 *         strings                names, link targets, extras
 *         names                  name_count x (u32 length, bytes): users and groups
 *
 * Integers are little-endian.  Node, bytes:
 *      0  first 8 bytes of the name, zero-padded      64  directory: first child u32, count u32
 *      8  name: offset in strings u64 (long ones)        else: first chunk u64
 *     16  name length u16, flags u16, mode u32        72  chunk count u32, order u32
 *     24  parent u32, file u32                        80  mtime, atime, ctime i64
 *     32  uid u32, gid u32, user u32, group u32      104  rdev u64; symlink: target's offset
 *     48  nlink u32, bsdflags u32                    112  extras: offset in strings u64
 *     56  size u64                                   120  extras length u32, u32 unused
 * Chunk: id[32], end u64, size u32, csize u32.
 * Extras: ACL access (u32 length or NONE, bytes), ACL default (the same), xattr count u32, each
 *     (u32 length, name, u32 length, value).
 *
 * The image is our own and may change with TREE_IMAGE_VERSION; where it comes from a file it is
 * hostile all the same.
 */

#include "core/archive/tree.h"

#include <assert.h>

enum {
	TREE_IMAGE_VERSION = 1,
	IMAGE_HEADER_SIZE = 256,
	IMAGE_TOTAL_AT = 128, /* in the header: the whole image's length, u64 */
	NODE_SIZE = 128,
	CHUNK_SIZE = 48,
	NAME_HEAD = 8,              /* a name no longer than this is in the node alone */
	NAMES_MAX = 65536,          /* user and group names ... */
	NAMES_BYTES_MAX = 16 << 20, /* ... which every open tree keeps in memory */
};

#define EXTRA_NONE UINT32_MAX

enum node_flags {
	NODE_MADE_UP = 1,
	NODE_DAMAGED = 2,
	NODE_XATTRS = 4,
	NODE_ACL_ACCESS = 8,
	NODE_ACL_DEFAULT = 16,
	NODE_PART = 32, /* what arrived of a file that was not finished */
};

struct image_header {
	struct chunk_id archive_id;
	uint32_t node_count, directory_count, order_count, name_count, damaged;
	uint64_t chunk_count, content_bytes;
	uint64_t nodes, chunks, order, strings, strings_len, names,
		total; /* offsets, lengths */
};

/* A node as the image has it.  It takes as much memory as its record, so that an array of nodes
 * becomes the image's where it stands. */
struct image_node {
	uint8_t head[NAME_HEAD];
	uint64_t name_off;
	uint16_t name_len;
	uint16_t flags;
	uint32_t mode, parent, file, uid, gid, user, group, nlink, bsdflags;
	uint64_t size;
	union {
		struct {
			uint32_t first_child, child_count; /* directories */
		};
		uint64_t chunk_first; /* others */
	};
	uint32_t chunk_count, order;
	int64_t mtime_ns, atime_ns, ctime_ns;
	uint64_t rdev; /* or the link target's place */
	uint64_t extra_off;
	uint32_t extra_len;
};
static_assert(sizeof(struct image_node) == NODE_SIZE, "a node fits its record's place");

void image_put_header(uint8_t out[IMAGE_HEADER_SIZE], const struct image_header *h);
/* Checks every section against the image's length: 0 or -EBADMSG. */
int image_get_header(struct image_header *out, const uint8_t in[IMAGE_HEADER_SIZE],
		     uint64_t len, struct err *e);
void image_put_node(uint8_t out[NODE_SIZE], const struct image_node *n);
void image_get_node(struct image_node *out, const uint8_t in[NODE_SIZE]);
void image_put_chunk(uint8_t out[CHUNK_SIZE], const struct tree_chunk *c);
void image_get_chunk(struct tree_chunk *out, const uint8_t in[CHUNK_SIZE]);

#endif
