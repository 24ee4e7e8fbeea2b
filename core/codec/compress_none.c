/* compress_none.c - the body is the plaintext. */

#include "core/codec/compress_internal.h"

#include <errno.h>

int decompress_none(struct decompressor *d, struct bytes body, size_t size_hint,
		    size_t size_max, struct buf *out)
{
	(void)d, (void)size_hint;
	if (body.len > size_max)
		return -EBADMSG;
	out->len = 0;
	return buf_append(out, body.p, body.len);
}

int compress_none(struct compressor *c, struct bytes in, struct buf *out)
{
	(void)c;
	return buf_append(out, in.p, in.len) < 0 ? -ENOMEM : 1;
}
