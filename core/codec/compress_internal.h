#ifndef CODEC_COMPRESS_INTERNAL_H
#define CODEC_COMPRESS_INTERNAL_H

/*
 * compress_internal.h - what compress.c asks of each method's file.
 *
 * A method replaces out's content by the plaintext of `body` (without the method id), writing
 * and allocating at most size_max bytes.  0, -EBADMSG (damaged or too large) or -ENOMEM; the
 * caller makes the sentence.
 */

#include "core/codec/compress.h"

#include <libdeflate.h>
#include <zstd.h>

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

#endif
