/* arena.c - see arena.h.  Blocks double up to 1 MiB; larger pieces get their own block. */

#include "core/base/arena.h"

#include <stdalign.h>
#include <stdlib.h>

enum { ALIGN = 16, BLOCK_MIN = 4096, BLOCK_MAX = 1024 * 1024 };

struct arena_block {
	struct arena_block *next;
	size_t size;
	alignas(ALIGN) uint8_t data[];
};

static struct arena_block *block_new(struct arena *a, size_t size)
{
	struct arena_block *block;

	if (size > SIZE_MAX - sizeof(*block))
		return NULL;
	block = malloc(sizeof(*block) + size);
	if (!block)
		return NULL;
	block->size = size;
	a->total += sizeof(*block) + size;
	return block;
}

void *arena_alloc(struct arena *a, size_t size)
{
	struct arena_block *block = a->head;
	size_t want;

	if (size > SIZE_MAX - ALIGN)
		return NULL;
	size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (block && size <= block->size - a->used) {
		a->used += size;
		return block->data + a->used - size;
	}
	want = block ? 2 * block->size : BLOCK_MIN;
	if (want > BLOCK_MAX)
		want = BLOCK_MAX;
	if (size > want / 4 && block) { /* its own block, behind the one still being filled */
		block = block_new(a, size);
		if (!block)
			return NULL;
		block->next = a->head->next;
		a->head->next = block;
		return block->data;
	}
	block = block_new(a, size > want ? size : want);
	if (!block)
		return NULL;
	block->next = a->head;
	a->head = block;
	a->used = size;
	return block->data;
}

void *arena_zalloc(struct arena *a, size_t count, size_t size)
{
	void *p;

	if (size && count > SIZE_MAX / size)
		return NULL;
	p = arena_alloc(a, count * size);
	if (p)
		memset(p, 0, count * size);
	return p;
}

char *arena_dup(struct arena *a, struct bytes b)
{
	char *s = b.len < SIZE_MAX ? arena_alloc(a, b.len + 1) : NULL;

	if (!s)
		return NULL;
	if (b.len)
		memcpy(s, b.p, b.len);
	s[b.len] = '\0';
	return s;
}

static void free_list(struct arena_block *block)
{
	while (block) {
		struct arena_block *next = block->next;

		free(block);
		block = next;
	}
}

void arena_reset(struct arena *a)
{
	struct arena_block *kept = a->head;

	if (!kept || kept->size > BLOCK_MAX) {
		arena_fini(a);
		return;
	}
	a->used = 0;
	free_list(kept->next);
	kept->next = NULL;
	a->total = sizeof(*kept) + kept->size;
}

void arena_fini(struct arena *a)
{
	free_list(a->head);
	*a = (struct arena)ARENA_INIT;
}
