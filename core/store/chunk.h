#ifndef STORE_CHUNK_H
#define STORE_CHUNK_H

/*
 * chunk.h - the memory of plaintext chunks: counted, immutable once finished, recycled.
 *
 * The page faults of fresh megabytes cost about a tenth of decoding them, so a heap keeps a few
 * buffers of released chunks for the next ones.  A chunk may outlive who made it: each holds its
 * heap.
 * Threads: heap functions and references from any; a chunk being filled belongs to one.
 */

#include "core/store/fetch.h"

struct chunk_heap;

struct chunk_heap *chunk_heap_new(size_t spare_max); /* bytes kept for reuse; NULL: no memory */
void chunk_heap_unref(struct chunk_heap *h);         /* does nothing for NULL */

/* The buffers kept for reuse, to the system. */
void chunk_heap_trim(struct chunk_heap *h);

/* An empty chunk with room for `size` bytes and one reference; NULL when out of memory. */
struct chunk *chunk_new(struct chunk_heap *h, size_t size);
/* Where the plaintext goes, until chunk_finish(): from then on the chunk is read-only. */
struct buf *chunk_buf(struct chunk *c);
void chunk_finish(struct chunk *c);
/* Bytes of memory behind a finished chunk. */
size_t chunk_cost(const struct chunk *c);

#endif
