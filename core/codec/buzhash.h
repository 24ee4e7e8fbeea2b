#ifndef CODEC_BUZHASH_H
#define CODEC_BUZHASH_H

/*
 * buzhash.h - a hash over a window of bytes that slides by one byte at the price of two look-ups.
 *
 * With T the seeded table, W the window's bytes and rol() a rotation of 32 bits, the hash of
 * w[0] .. w[W-1] is the XOR of all rol(T[w[i]], W-1-i).  Sliding: H' = rol(H, 1) ^
 * rol(T[leaving], W) ^ T[entering].
 *
 * Source: docs/format.md "Chunkers".  Threads: a buzhash does not change and is shared.
 */

#include <stddef.h>
#include <stdint.h>

/* One of several ways to do the same; see buzhash_find(). */
struct buzhash;
typedef size_t buzhash_finder(const struct buzhash *b, const uint8_t *data, size_t from,
			      size_t end, uint32_t *hash);

struct buzhash {
	uint32_t entering[256];
	uint32_t leaving[256]; /* entering, rotated by the window */
	/* Byte k of each entry for the vector unit, XORed after a rotation that makes them
	 * agree: entering by -1, leaving by W-1. */
	_Alignas(64) uint8_t entering_planes[4][256];
	_Alignas(64) uint8_t leaving_planes[4][256];
	unsigned window; /* bytes, at least 1 */
	uint32_t mask;   /* a cut is where hash & mask is 0 */
	buzhash_finder *find;
};

void buzhash_init(struct buzhash *b, uint32_t seed, unsigned window, uint32_t mask);

/* The hash of the window that starts at p. */
uint32_t buzhash_of(const struct buzhash *b, const uint8_t *p);

/*
 * The first position p, from <= p < end, where the hash over data[p .. p+W) has only zeros under
 * the mask; `end` where there is none.  *hash is that of `from` before and of the result
 * after, which takes the bytes up to data[end + W).
 */
size_t buzhash_find(const struct buzhash *b, const uint8_t *data, size_t from, size_t end,
		    uint32_t *hash);

/* The ways: with C alone, and with 512-bit byte permutations where the machine has them. */
buzhash_finder buzhash_find_portable;
buzhash_finder buzhash_find_vector;
int buzhash_vector_usable(void);

#endif
