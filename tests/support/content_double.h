#ifndef TESTS_CONTENT_DOUBLE_H
#define TESTS_CONTENT_DOUBLE_H

/*
 * content_double.h - files and chunks made of tables, in place of tree.c and fetch.c.
 *
 * Chunk n has chunk_sizes[n] bytes, each (uint8_t)(n * 31 + its offset).  Node n of the tree is
 * nodes[n]; a file has the chunks chunk_first ... of that same numbering.  The functions defined
 * here take the place of the real ones in the test that includes this file, once.
 */

#include "core/archive/tree.h"
#include "core/store/fetch.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNKS = 4096, NODES = 4096 };
enum fate { ON_DISK, IN_MEMORY, MISSING, DAMAGED, SHORT };

static struct tree_node nodes[NODES];
static uint32_t node_count;
static uint32_t chunk_sizes[CHUNKS];
static enum fate fates[CHUNKS];
static unsigned loads[CHUNKS];  /* calls of fetch_chunk() that loaded */
static unsigned hinted[CHUNKS]; /* by fetch_ahead() */
static int chunks_held;         /* references not given back */

struct tree {
	int unused;
};
static struct tree the_tree;

static uint32_t number_of(const struct chunk_id *id)
{
	return get_le32(id->b);
}

static struct chunk *chunk_made(uint32_t n)
{
	size_t len = fates[n] == SHORT ? chunk_sizes[n] - 1 : chunk_sizes[n];
	uint8_t *p = malloc(len + 1);
	struct chunk *c = malloc(sizeof(*c));

	if (!p || !c)
		abort();
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(n * 31 + i);
	c->p = p;
	c->len = len;
	chunks_held++;
	return c;
}

void chunk_unref(struct chunk *c)
{
	if (!c)
		return;
	free((void *)(uintptr_t)c->p);
	free(c);
	chunks_held--;
}

struct chunk *fetch_cached(struct fetch *f, const struct chunk_id *id)
{
	(void)f;
	return fates[number_of(id)] == IN_MEMORY ? chunk_made(number_of(id)) : NULL;
}

int fetch_chunk(struct fetch *f, const struct chunk_want *want, struct chunk **out,
		struct err *e)
{
	uint32_t n = number_of(&want->id);

	(void)f;
	loads[n]++;
	if (fates[n] == MISSING)
		return err_set(e, ENOENT, "chunk %u is missing", n);
	if (fates[n] == DAMAGED)
		return err_set(e, EBADMSG, "chunk %u is damaged", n);
	*out = chunk_made(n);
	return 0;
}

void fetch_ahead(struct fetch *f, const struct chunk_want *wants, size_t count)
{
	(void)f;
	for (size_t i = 0; i < count; i++)
		hinted[number_of(&wants[i].id)]++;
}

void tree_close(struct tree *t)
{
	(void)t;
}

void tree_ref(struct tree *t)
{
	(void)t;
}

int tree_node(struct tree *t, uint32_t index, struct tree_node *out, struct err *e)
{
	(void)t;
	if (index >= node_count)
		return err_set(e, EBADMSG, "no node %u", index);
	*out = nodes[index];
	return 0;
}

int tree_path(struct tree *t, uint32_t index, struct buf *out, struct err *e)
{
	(void)t, (void)index, (void)e;
	out->len = 0;
	return buf_append_str(out, "the/path");
}

int tree_chunks(struct tree *t, const struct tree_node *file, uint32_t first, uint32_t count,
		struct tree_chunk *out, struct err *e)
{
	uint64_t end = 0;

	(void)t;
	if (first > file->chunk_count || count > file->chunk_count - first)
		return err_set(e, EBADMSG, "no such chunk");
	for (uint32_t i = 0; i < first + count; i++) {
		uint32_t n = (uint32_t)file->chunk_first + i;

		end += chunk_sizes[n];
		if (i < first)
			continue;
		out[i - first] = (struct tree_chunk){ .end = end, .size = chunk_sizes[n] };
		put_le32(out[i - first].id.b, n);
	}
	return 0;
}

int tree_chunk_at(struct tree *t, const struct tree_node *file, uint64_t off, uint32_t *index,
		  struct err *e)
{
	uint64_t end = 0;

	(void)t, (void)e;
	for (*index = 0; *index < file->chunk_count; ++*index) {
		end += chunk_sizes[file->chunk_first + *index];
		if (off < end)
			break;
	}
	return 0;
}

size_t tree_name_count(const struct tree *t)
{
	(void)t;
	return 0;
}

struct bytes tree_name(const struct tree *t, size_t number)
{
	(void)t, (void)number;
	return (struct bytes){ 0 };
}

int tree_xattrs(struct tree *t, uint32_t index, tree_xattr_fn *fn, void *arg, struct err *e)
{
	(void)t, (void)index, (void)fn, (void)arg, (void)e;
	return 0;
}

int tree_acl(struct tree *t, uint32_t index, bool is_default, struct buf *out, struct err *e)
{
	(void)t, (void)index, (void)is_default, (void)out, (void)e;
	return 0;
}

/* An open volume over the one tree. */
#include "fs/volume.h"

static struct volume *volume_made(void)
{
	static const struct attr_policy policy = { .numeric_ids = true };
	struct volume *v = NULL;

	if (volume_new(&v, &the_tree, "arch", &policy, NULL) < 0)
		abort();
	return v;
}

#endif
