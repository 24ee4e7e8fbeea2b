#ifndef BASE_SLAB_H
#define BASE_SLAB_H

/*
 * slab.h - many objects of one size, each with a number that is never given again.
 *
 * Objects lie side by side, without a header each: 5 bytes of an object are ours.  A number is place
 * and generation: the low 32 bits say where the object is, the next 31 how many were there before it;
 * a place whose generations are used up is not used again.  Objects never move.
 *
 * Threads: one user at a time; readers may share a slab that nobody changes.
 */

#include <stddef.h>
#include <stdint.h>

struct slab {
	size_t size; /* of an object, in bytes; a multiple of 8 */
	struct slab_block **blocks;
	uint32_t *bases; /* for each block: the first generation, when it is made again */
	size_t block_count, hint, used;
};

void slab_init(struct slab *s, size_t size);
void slab_fini(struct slab *s); /* with all objects */

/* A zeroed object, aligned to 8.  NULL: out of memory, or four thousand million are there. */
void *slab_take(struct slab *s, uint64_t *number);
void *slab_get(const struct slab *s, uint64_t number); /* NULL: it is not there any more */

/* The object at a place, the number of one that is there.  Places are below slab_end(). */
void *slab_at(const struct slab *s, uint32_t place); /* NULL: there is none */
uint64_t slab_number(const struct slab *s, uint32_t place);
void slab_give(struct slab *s, uint32_t place);
uint64_t slab_end(const struct slab *s);

/* Bytes of memory. */
size_t slab_bytes(const struct slab *s);

#endif
