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
 * Threads: a struct decompressor or compressor keeps each library's context and has one user at
 * a time.
 */

#include "core/base/bytes.h"
#include "core/base/cleanup.h"
#include "core/base/err.h"

#include <stdbool.h>

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

enum compress_method {
	COMPRESS_NONE,
	COMPRESS_LZ4,
	COMPRESS_LZMA,
	COMPRESS_ZSTD,
	COMPRESS_ZLIB,
};

/* What the user asked for: "zstd,3", "auto,lzma,9", "obfuscate,110,auto,zstd,3". */
struct compression {
	enum compress_method method;
	int level;    /* of zstd 1..22, of zlib and lzma 0..9; 0 for the others */
	bool is_auto; /* lz4 first, and the method only where lz4 shortens and it does better */
	int obfuscate; /* 0, or how the size is hidden: 1..6, 110..123 or 250 */
};

/* Borg's default where nobody chose. */
extern const struct compression COMPRESSION_DEFAULT;

/* The value of -C.  Errors: -EINVAL "invalid CompressionSpec value: 'x'". */
int compression_parse(const char *text, struct compression *out, struct err *e);

bool compression_equal(const struct compression *a, const struct compression *b);
/* As compression_parse() takes it. */
enum { COMPRESSION_TEXT = 48 };
const char *compression_format(const struct compression *how,
			       char out[static COMPRESSION_TEXT]);

struct compressor;

int compressor_new(struct compressor **out, const struct compression *how, struct err *e);
void compressor_free(struct compressor *c); /* does nothing for NULL */
DEFINE_CLEANUP(struct compressor *, compressor_free);

/*
 * Append the compressed form of `in`, which must not lie in out: the bytes Borg would store, with
 * what does not get shorter stored as it is (zlib excepted).  Not called `compress`, for zlib
 * exports that name.
 * Errors: -ENOMEM; -EFBIG more than an object can hold.  Then out is as it was.
 */
int compress_append(struct compressor *c, struct bytes in, struct buf *out, struct err *e);

#endif
