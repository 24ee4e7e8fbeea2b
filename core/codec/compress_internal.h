#ifndef CODEC_COMPRESS_INTERNAL_H
#define CODEC_COMPRESS_INTERNAL_H

/*
 * compress_internal.h - what compress.c and compressor.c ask of each method's file.
 *
 * Reading, a method replaces out's content by the plaintext of `body` (without the method id),
 * writing and allocating at most size_max bytes.  0, -EBADMSG (damaged or too large) or -ENOMEM;
 * the caller makes the sentence.
 *
 * Writing, it appends the body to out.  1 appended; 0 it saw that the body would not be shorter
 * than the input, and out's length is undefined; -ENOMEM or -EIO.
 */

#include "core/codec/compress.h"

#include <libdeflate.h>
#include <lzma.h>
#define ZLIB_CONST /* its input is const */
#include <zlib.h>
#include <zstd.h>

enum { COMPRESS_ID = 2 /* bytes of a method id */ };

struct decompressor {
	ZSTD_DCtx *zstd;
	struct libdeflate_decompressor *deflate;
};

typedef int decompress_method(struct decompressor *d, struct bytes body, size_t size_hint,
			      size_t size_max, struct buf *out);

decompress_method decompress_none, decompress_lz4, decompress_lzma, decompress_zstd,
	decompress_zlib;

/* For methods that do not store the size of the plaintext: the first size to try, then each
 * next one; 0 when size_max was tried already. */
size_t decompress_first_room(struct bytes body, size_t size_hint, size_t size_max);
size_t decompress_next_room(size_t room, size_t size_max);

struct compressor {
	struct compression how;
	ZSTD_CCtx *zstd;
	z_stream deflate; /* state NULL until it is first used */
	lzma_stream lzma;
	struct buf second; /* of auto: what the method made, beside lz4's */
};

typedef int compress_body(struct compressor *c, struct bytes in, struct buf *out);

compress_body compress_none, compress_lz4, compress_lzma, compress_zstd, compress_zlib;

/*
 * The bytes that obfuscation `spec` adds to a payload of n; `uniform` is a random number in
 * [0, 1).  What is stored stays below the size of an object.
 */
size_t obfuscation(int spec, size_t n, double uniform);

#endif
