/* tree_image.c - encoder and decoder of the layout in tree_image.h, side by side. */

#include "core/archive/tree_image.h"

#include <errno.h>
#include <sys/stat.h>

static const char magic[8] = "ALCVTREE";

void image_put_header(uint8_t out[IMAGE_HEADER_SIZE], const struct image_header *h)
{
	memset(out, 0, IMAGE_HEADER_SIZE);
	memcpy(out, magic, sizeof(magic));
	put_le32(out + 8, TREE_IMAGE_VERSION);
	put_le32(out + 12, h->damaged);
	memcpy(out + 16, h->archive_id.b, CHUNK_ID_SIZE);
	put_le32(out + 48, h->node_count);
	put_le32(out + 52, h->directory_count);
	put_le32(out + 56, h->order_count);
	put_le32(out + 60, h->name_count);
	put_le64(out + 64, h->chunk_count);
	put_le64(out + 72, h->content_bytes);
	put_le64(out + 80, h->nodes);
	put_le64(out + 88, h->chunks);
	put_le64(out + 96, h->order);
	put_le64(out + 104, h->strings);
	put_le64(out + 112, h->strings_len);
	put_le64(out + 120, h->names);
	put_le64(out + IMAGE_TOTAL_AT, h->total);
}

/* count records of `size` bytes at off end within len. */
static bool fits(uint64_t off, uint64_t count, uint64_t size, uint64_t len)
{
	return off <= len && count <= (len - off) / size;
}

int image_get_header(struct image_header *out, const uint8_t in[IMAGE_HEADER_SIZE],
		     uint64_t len, struct err *e)
{
	if (memcmp(in, magic, sizeof(magic)) != 0 || get_le32(in + 8) != TREE_IMAGE_VERSION)
		return err_set(e, EBADMSG, "tree: not an image of this version");
	*out = (struct image_header){
		.damaged = get_le32(in + 12),
		.node_count = get_le32(in + 48),
		.directory_count = get_le32(in + 52),
		.order_count = get_le32(in + 56),
		.name_count = get_le32(in + 60),
		.chunk_count = get_le64(in + 64),
		.content_bytes = get_le64(in + 72),
		.nodes = get_le64(in + 80),
		.chunks = get_le64(in + 88),
		.order = get_le64(in + 96),
		.strings = get_le64(in + 104),
		.strings_len = get_le64(in + 112),
		.names = get_le64(in + 120),
		.total = get_le64(in + IMAGE_TOTAL_AT),
	};
	memcpy(out->archive_id.b, in + 16, CHUNK_ID_SIZE);
	if (out->total != len || out->node_count == 0 ||
	    out->directory_count > out->node_count ||
	    !fits(out->nodes, out->node_count, NODE_SIZE, len) ||
	    !fits(out->chunks, out->chunk_count, CHUNK_SIZE, len) ||
	    !fits(out->order, out->order_count, 4, len) ||
	    !fits(out->strings, out->strings_len, 1, len) ||
	    !fits(out->names, out->name_count, 4, len))
		return err_set(e, EBADMSG, "tree: impossible sections");
	return 0;
}

void image_put_node(uint8_t out[NODE_SIZE], const struct image_node *n)
{
	memcpy(out, n->head, NAME_HEAD);
	put_le64(out + 8, n->name_off);
	put_le16(out + 16, n->name_len);
	put_le16(out + 18, n->flags);
	put_le32(out + 20, n->mode);
	put_le32(out + 24, n->parent);
	put_le32(out + 28, n->file);
	put_le32(out + 32, n->uid);
	put_le32(out + 36, n->gid);
	put_le32(out + 40, n->user);
	put_le32(out + 44, n->group);
	put_le32(out + 48, n->nlink);
	put_le32(out + 52, n->bsdflags);
	put_le64(out + 56, n->size);
	if (S_ISDIR(n->mode)) {
		put_le32(out + 64, n->first_child);
		put_le32(out + 68, n->child_count);
	} else {
		put_le64(out + 64, n->chunk_first);
	}
	put_le32(out + 72, n->chunk_count);
	put_le32(out + 76, n->order);
	put_le64(out + 80, (uint64_t)n->mtime_ns);
	put_le64(out + 88, (uint64_t)n->atime_ns);
	put_le64(out + 96, (uint64_t)n->ctime_ns);
	put_le64(out + 104, n->rdev);
	put_le64(out + 112, n->extra_off);
	put_le32(out + 120, n->extra_len);
	put_le32(out + 124, 0);
}

void image_get_node(struct image_node *out, const uint8_t in[NODE_SIZE])
{
	*out = (struct image_node){
		.name_off = get_le64(in + 8),
		.name_len = get_le16(in + 16),
		.flags = get_le16(in + 18),
		.mode = get_le32(in + 20),
		.parent = get_le32(in + 24),
		.file = get_le32(in + 28),
		.uid = get_le32(in + 32),
		.gid = get_le32(in + 36),
		.user = get_le32(in + 40),
		.group = get_le32(in + 44),
		.nlink = get_le32(in + 48),
		.bsdflags = get_le32(in + 52),
		.size = get_le64(in + 56),
		.chunk_count = get_le32(in + 72),
		.order = get_le32(in + 76),
		.mtime_ns = (int64_t)get_le64(in + 80),
		.atime_ns = (int64_t)get_le64(in + 88),
		.ctime_ns = (int64_t)get_le64(in + 96),
		.rdev = get_le64(in + 104),
		.extra_off = get_le64(in + 112),
		.extra_len = get_le32(in + 120),
	};
	memcpy(out->head, in, NAME_HEAD);
	if (S_ISDIR(out->mode)) {
		out->first_child = get_le32(in + 64);
		out->child_count = get_le32(in + 68);
		out->chunk_count = 0;
	} else {
		out->chunk_first = get_le64(in + 64);
	}
}

void image_put_chunk(uint8_t out[CHUNK_SIZE], const struct tree_chunk *c)
{
	memcpy(out, c->id.b, CHUNK_ID_SIZE);
	put_le64(out + 32, c->end);
	put_le32(out + 40, c->size);
	put_le32(out + 44, c->csize);
}

void image_get_chunk(struct tree_chunk *out, const uint8_t in[CHUNK_SIZE])
{
	memcpy(out->id.b, in, CHUNK_ID_SIZE);
	out->end = get_le64(in + 32);
	out->size = get_le32(in + 40);
	out->csize = get_le32(in + 44);
}
