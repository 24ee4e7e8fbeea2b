/* slab.c - see slab.h. */

#include "core/base/slab.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* AddressSanitizer knows what is not there, as it does of malloc's. */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, size)   ((void)(p), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(p, size) ((void)(p), (void)(size))
#endif

enum { BLOCK = 64 }; /* objects of a block: as many as `used` has bits */

#define GENERATION_MAX UINT32_C(0x7ffffffe)

struct slab_block {
	uint64_t used; /* bit i: object i is there, or its generations are used up */
	uint32_t generations[BLOCK];
	uint64_t objects[];
};

void slab_init(struct slab *s, size_t size)
{
	assert(size > 0 && size % 8 == 0);
	*s = (struct slab){ .size = size };
}

void slab_fini(struct slab *s)
{
	for (size_t i = 0; i < s->block_count; i++)
		free(s->blocks[i]);
	free(s->blocks);
	free(s->bases);
	slab_init(s, s->size);
}

static void *object(const struct slab *s, struct slab_block *b, unsigned i)
{
	return (uint8_t *)b->objects + i * s->size;
}

static int grow(struct slab *s)
{
	size_t count = s->block_count + s->block_count / 2 + 4;
	struct slab_block **blocks;
	uint32_t *bases;

	if (count > (UINT64_C(1) << 32) / BLOCK)
		return -1;
	blocks = reallocarray(s->blocks, count, sizeof(*blocks));
	if (!blocks)
		return -1;
	s->blocks = blocks;
	bases = reallocarray(s->bases, count, sizeof(*bases));
	if (!bases)
		return -1;
	s->bases = bases;
	memset(blocks + s->block_count, 0, (count - s->block_count) * sizeof(*blocks));
	memset(bases + s->block_count, 0, (count - s->block_count) * sizeof(*bases));
	s->hint = s->block_count;
	s->block_count = count;
	return 0;
}

static struct slab_block *new_block(const struct slab *s, uint32_t base)
{
	struct slab_block *b = malloc(sizeof(*b) + BLOCK * s->size);

	if (!b)
		return NULL;
	b->used = 0;
	for (unsigned i = 0; i < BLOCK; i++)
		b->generations[i] = base;
	ASAN_POISON_MEMORY_REGION(b->objects, BLOCK * s->size);
	return b;
}

/* A block with room, from the hint on; block_count: there is none. */
static size_t find_block(struct slab *s)
{
	size_t i = s->hint;

	while (i < s->block_count && s->blocks[i] && s->blocks[i]->used == UINT64_MAX)
		i++;
	return s->hint = i;
}

void *slab_take(struct slab *s, uint64_t *number)
{
	struct slab_block *b;
	size_t i = find_block(s);
	unsigned bit;
	void *p;

	/* From the start again where it is worth it: half of all places are free. */
	if (i == s->block_count && s->used <= s->block_count * BLOCK / 2) {
		s->hint = 0;
		i = find_block(s);
	}
	if (i == s->block_count && grow(s) < 0)
		return NULL;
	if (!s->blocks[i] && !(s->blocks[i] = new_block(s, s->bases[i])))
		return NULL;
	b = s->blocks[i];
	bit = (unsigned)__builtin_ctzll(~b->used);
	b->used |= UINT64_C(1) << bit;
	s->used++;
	*number = (uint64_t)b->generations[bit] << 32 | (i * BLOCK + bit);
	p = object(s, b, bit);
	ASAN_UNPOISON_MEMORY_REGION(p, s->size);
	return memset(p, 0, s->size);
}

void *slab_at(const struct slab *s, uint32_t place)
{
	struct slab_block *b = place / BLOCK < s->block_count ? s->blocks[place / BLOCK] : NULL;
	unsigned i = place % BLOCK;

	if (!b || !(b->used >> i & 1) || b->generations[i] > GENERATION_MAX)
		return NULL;
	return object(s, b, i);
}

uint64_t slab_number(const struct slab *s, uint32_t place)
{
	const struct slab_block *b = s->blocks[place / BLOCK];

	return (uint64_t)b->generations[place % BLOCK] << 32 | place;
}

void *slab_get(const struct slab *s, uint64_t number)
{
	void *p = slab_at(s, (uint32_t)number);

	return p && slab_number(s, (uint32_t)number) == number ? p : NULL;
}

/* Nothing is in it: what is made in its place goes on behind all generations that were there. */
static void drop_block(struct slab *s, size_t i)
{
	uint32_t base = 0;

	for (unsigned k = 0; k < BLOCK; k++)
		if (s->blocks[i]->generations[k] > base)
			base = s->blocks[i]->generations[k];
	s->bases[i] = base;
	free(s->blocks[i]);
	s->blocks[i] = NULL;
}

void slab_give(struct slab *s, uint32_t place)
{
	size_t i = place / BLOCK;
	struct slab_block *b = s->blocks[i];
	unsigned bit = place % BLOCK;

	assert(slab_at(s, place));
	s->used--;
	ASAN_POISON_MEMORY_REGION(object(s, b, bit), s->size);
	if (b->generations[bit]++ == GENERATION_MAX)
		return; /* nobody comes here again */
	b->used &= ~(UINT64_C(1) << bit);
	if (b->used == 0 && i != s->hint)
		drop_block(s, i);
}

uint64_t slab_end(const struct slab *s)
{
	return (uint64_t)s->block_count * BLOCK;
}

size_t slab_bytes(const struct slab *s)
{
	size_t bytes = s->block_count * (sizeof(*s->blocks) + sizeof(*s->bases));

	for (size_t i = 0; i < s->block_count; i++)
		if (s->blocks[i])
			bytes += sizeof(struct slab_block) + BLOCK * s->size;
	return bytes;
}
