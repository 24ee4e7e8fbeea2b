#ifndef CODEC_COMPRESS_H
#define CODEC_COMPRESS_H

/*
 * compress.h - the compressed form of a chunk: method id, then the method's body.
 *
 *   00 00 none   01 00 lz4 block   02 00 lzma (xz)   03 00 zstd frame with content size
 *   04 00 obfuscate: u32be length, an inner payload, trailing bytes   x8 yy zlib, no id
 *
 * Decompressors are told the room they have: nothing beyond size_max is ever written or
 * allocated, whatever the body claims.
 *
 * Source: docs/format.md "Compression".
 * Threads: a struct decompressor keeps each library's context and has one user at a time.
 */

#include "core/base/bytes.h"
#include "core/base/cleanup.h"
#include "core/base/err.h"

struct decompressor;

struct decompressor *decompressor_new(void); /* NULL when out of memory */
void decompressor_free(struct decompressor *d);
DEFINE_CLEANUP(struct decompressor *, decompressor_free);

/*
 * Replace out's content by the plaintext of `in`.  size_hint is the plaintext's expected
 * size (0: unknown); a wrong hint costs time, never correctness.
 * Errors: -EBADMSG damaged, unknown method, or larger than size_max; -ENOMEM.
 */
int decompress(struct decompressor *d, struct bytes in, size_t size_hint, size_t size_max,
	       struct buf *out, struct err *e);

#endif
