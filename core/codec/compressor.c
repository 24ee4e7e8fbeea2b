/*
 * compressor.c - writing: the method asked for, or lz4 where auto finds that it does as well.
 *
 * Every form carries its method id, and what a method does not shorten is stored as it is; zlib,
 * which has no id, alone never falls back.
 */

#include "core/codec/compress_internal.h"

#include <errno.h>
#include <math.h>
#include <openssl/rand.h>
#include <stdlib.h>

enum {
	DATA_MAX = 20971479,    /* Borg's MAX_DATA_SIZE */
	OBFUSCATED_ROOM = 1024, /* left free below it for what comes around */
	OBFUSCATE_HEAD = 2 + 4, /* id, length of the inner payload */
	PADME = 250,            /* obfuscation by rounding, without randomness */
	FRACTION_BITS = 53,     /* of a double */
};

const struct compression COMPRESSION_DEFAULT = { .method = COMPRESS_LZ4 };

static const struct method {
	uint8_t id[COMPRESS_ID];
	bool has_id;
	compress_body *compress;
} methods[] = {
	[COMPRESS_NONE] = { { 0x00, 0x00 }, true, compress_none },
	[COMPRESS_LZ4] = { { 0x01, 0x00 }, true, compress_lz4 },
	[COMPRESS_LZMA] = { { 0x02, 0x00 }, true, compress_lzma },
	[COMPRESS_ZSTD] = { { 0x03, 0x00 }, true, compress_zstd },
	[COMPRESS_ZLIB] = { { 0 }, false, compress_zlib },
};

int compressor_new(struct compressor **out, const struct compression *how, struct err *e)
{
	CLEANUP(compressor_freep) struct compressor *c = calloc(1, sizeof(*c));

	if (!c)
		return err_nomem(e, "compressor");
	c->how = *how;
	c->lzma = (lzma_stream)LZMA_STREAM_INIT;
	if (how->method == COMPRESS_ZSTD) {
		c->zstd = ZSTD_createCCtx();
		if (!c->zstd)
			return err_nomem(e, "compressor");
	}
	*out = TAKE(c);
	return 0;
}

void compressor_free(struct compressor *c)
{
	if (!c)
		return;
	ZSTD_freeCCtx(c->zstd);
	if (c->deflate.state)
		deflateEnd(&c->deflate);
	lzma_end(&c->lzma);
	buf_fini(&c->second);
	free(c);
}

/* Append the form of one method; 0 or -errno. */
static int append_as(struct compressor *c, enum compress_method number, struct bytes in,
		     struct buf *out)
{
	const struct method *method = &methods[number], *none = &methods[COMPRESS_NONE];
	size_t start = out->len;
	int rc;

	if (!method->has_id) {
		rc = method->compress(c, in, out);
		return rc < 0 ? rc : 0;
	}
	if (buf_append(out, method->id, COMPRESS_ID) < 0)
		return -ENOMEM;
	rc = method->compress(c, in, out);
	if (rc < 0)
		return rc;
	if (method == none || (rc > 0 && out->len - start - COMPRESS_ID < in.len))
		return 0;
	out->len = start;
	return append_as(c, COMPRESS_NONE, in, out);
}

/* lz4 shows what there is to gain; only then is the method tried, and must win by 1 %. */
static int append_auto(struct compressor *c, struct bytes in, struct buf *out)
{
	size_t start = out->len, lz4;
	int rc = append_as(c, COMPRESS_LZ4, in, out);

	if (rc < 0 || c->how.method == COMPRESS_LZ4 || c->how.method == COMPRESS_NONE)
		return rc;
	lz4 = out->len - start;
	if ((double)lz4 / (double)(in.len + COMPRESS_ID) >= 0.97)
		return 0;
	c->second.len = 0;
	rc = append_as(c, c->how.method, in, &c->second);
	if (rc < 0 || (double)c->second.len / (double)lz4 >= 0.99)
		return rc;
	out->len = start;
	return buf_append(out, c->second.p, c->second.len);
}

/* Round up so that the size leaks at most its magnitude and a few leading bits. */
static size_t padme(size_t n)
{
	unsigned exponent, bits;
	size_t mask;

	if (n < 2)
		return 0;
	exponent = 63 - (unsigned)__builtin_clzll(n);
	bits = 32 - (unsigned)__builtin_clz(exponent);
	mask = ((size_t)1 << (exponent - bits)) - 1;
	return ((n + mask) & ~mask) - n;
}

static double power_of_ten(int n)
{
	return n > 0 ? 10 * power_of_ten(n - 1) : 1;
}

size_t obfuscation(int spec, size_t n, double uniform)
{
	size_t max = n < DATA_MAX - OBFUSCATED_ROOM ? DATA_MAX - OBFUSCATED_ROOM - n : 0;
	double add;

	if (spec == PADME)
		add = (double)padme(n);
	else if (spec <= 6)
		add = (double)n *
		      (0.001 * power_of_ten(spec) / (uniform > 0.0001 ? uniform : 0.0001));
	else
		add = ldexp(uniform, spec - 100);
	return add < (double)max ? (size_t)add : max;
}

/* A number in [0, 1) with all the bits a double has; negative where there is no randomness. */
static double random_fraction(void)
{
	uint64_t bits;

	if (RAND_bytes((uint8_t *)&bits, sizeof(bits)) != 1)
		return -1;
	return ldexp((double)(bits >> (64 - FRACTION_BITS)), -FRACTION_BITS);
}

static int append_plainly(struct compressor *c, struct bytes in, struct buf *out)
{
	return c->how.is_auto ? append_auto(c, in, out) : append_as(c, c->how.method, in, out);
}

/* The inner payload behind a head that says where it ends, and zeros. */
static int append_obfuscated(struct compressor *c, struct bytes in, struct buf *out)
{
	static const uint8_t head[OBFUSCATE_HEAD] = { 0x04, 0x00 };
	size_t start = out->len, n, add;
	double uniform = random_fraction();
	int rc;

	if (uniform < 0)
		return -EIO;
	if (buf_append(out, head, sizeof(head)) < 0)
		return -ENOMEM;
	rc = append_plainly(c, in, out);
	if (rc < 0)
		return rc;
	n = out->len - start - OBFUSCATE_HEAD;
	put_be32(out->p + start + COMPRESS_ID, (uint32_t)n);
	add = obfuscation(c->how.obfuscate, n, uniform);
	if (buf_resize(out, out->len + add) < 0)
		return -ENOMEM;
	memset(out->p + out->len - add, 0, add);
	return 0;
}

int compress_append(struct compressor *c, struct bytes in, struct buf *out, struct err *e)
{
	size_t start = out->len;
	int rc;

	if (in.len > DATA_MAX)
		return err_set(e, EFBIG, "a chunk of %zu bytes cannot be stored", in.len);
	rc = c->how.obfuscate ? append_obfuscated(c, in, out) : append_plainly(c, in, out);
	if (rc == 0)
		return 0;
	out->len = start;
	return rc == -ENOMEM ? err_nomem(e, "compression")
			     : err_set(e, -rc, "compression failed");
}
