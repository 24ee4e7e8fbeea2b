/* compress_zstd.c - one zstd frame that carries the size of its content. */

#include "core/codec/compress_internal.h"

#include <errno.h>
#include <zstd_errors.h>

int decompress_zstd(struct decompressor *d, struct bytes body, size_t size_hint,
		    size_t size_max, struct buf *out)
{
	unsigned long long size = ZSTD_getFrameContentSize(body.p, body.len);
	size_t n;

	(void)size_hint;
	if (size == ZSTD_CONTENTSIZE_UNKNOWN || size == ZSTD_CONTENTSIZE_ERROR ||
	    size > size_max)
		return -EBADMSG;
	if (buf_reserve(out, (size_t)size) < 0)
		return -ENOMEM;
	n = ZSTD_decompressDCtx(d->zstd, out->p, (size_t)size, body.p, body.len);
	if (ZSTD_isError(n) || n != size)
		return -EBADMSG;
	out->len = n;
	return 0;
}

/* With all the room it may need: zstd takes other decisions where there is less. */
int compress_zstd(struct compressor *c, struct bytes in, struct buf *out)
{
	size_t room = ZSTD_compressBound(in.len), n;

	if (buf_reserve(out, out->len + room) < 0)
		return -ENOMEM;
	n = ZSTD_compressCCtx(c->zstd, out->p + out->len, room, in.p, in.len, c->how.level);
	if (ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation)
		return -ENOMEM;
	if (ZSTD_isError(n))
		return -EIO;
	out->len += n;
	return 1;
}
