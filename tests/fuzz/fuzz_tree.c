/*
 * fuzz_tree.c - a tree's image as its cache file would give it back, without the seal around it.
 *
 * The length in the header is made to fit, or hardly any input would come further.
 */

#include "core/archive/tree_internal.h"

#include <sys/mman.h>

enum { NODES_MAX = 256, CHUNKS_MAX = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int take(void *arg, struct bytes name, struct bytes value)
{
	size_t *sum = arg;

	for (size_t i = 0; i < name.len; i++)
		*sum += name.p[i];
	for (size_t i = 0; i < value.len; i++)
		*sum += value.p[i];
	return 0;
}

static void ask(struct tree *t, uint32_t index)
{
	CLEANUP(buf_fini) struct buf text = BUF_INIT;
	struct tree_chunk chunks[CHUNKS_MAX];
	struct tree_node n;
	uint32_t found;
	size_t sum = 0;

	if (tree_node(t, index, &n, NULL) < 0)
		return;
	tree_name(t, n.user);
	tree_path(t, index, &text, NULL);
	tree_link_target(t, index, &text, NULL);
	tree_acl(t, index, false, &text, NULL);
	tree_acl(t, index, true, &text, NULL);
	tree_xattrs(t, index, take, &sum, NULL);
	tree_chunk_at(t, &n, n.size / 2, &found, NULL);
	tree_chunks(t, &n, 0, n.chunk_count < CHUNKS_MAX ? n.chunk_count : CHUNKS_MAX, chunks,
		    NULL);
	tree_by_order(t, n.order, &found, NULL);
	if (tree_entry_name(t, index, &text, NULL) == 0)
		tree_lookup(t, n.parent, buf_bytes(&text), &found, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tree *t = NULL;
	struct tree_info info;
	uint8_t *image;

	if (size < IMAGE_HEADER_SIZE)
		return 0;
	image = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (image == MAP_FAILED)
		return 0;
	memcpy(image, data, size);
	put_le64(image + IMAGE_TOTAL_AT, size);
	if (tree_from_image(&t, image, size, NULL) < 0)
		return 0;
	tree_info(t, &info);
	for (uint32_t i = 0; i < info.node_count && i < NODES_MAX; i++)
		ask(t, i);
	tree_close(t);
	return 0;
}
