/*
 * compress_lzma.c - an .xz container with any integrity check.
 *
 * Level 9 has a dictionary of 64 MiB and needs some 65 MiB to decode: what asks for much more
 * was not made by Borg.
 */

#include "core/codec/compress_internal.h"

#include <errno.h>
#include <lzma.h>

enum { MEMORY_MAX = 128 << 20 /* bytes, the decoder's own */ };

int decompress_lzma(struct decompressor *d, struct bytes body, size_t size_hint,
		    size_t size_max, struct buf *out)
{
	size_t room = decompress_first_room(body, size_hint, size_max);

	(void)d;
	do {
		uint64_t memory = MEMORY_MAX;
		size_t in = 0, n = 0;

		if (buf_reserve(out, room) < 0)
			return -ENOMEM;
		switch ((int)lzma_stream_buffer_decode(&memory, 0, NULL, body.p, &in, body.len,
						       out->p, &n, room)) {
		case LZMA_OK:
			if (in != body.len)
				return -EBADMSG;
			out->len = n;
			return 0;
		case LZMA_BUF_ERROR: break; /* room too small, or the stream cut short */
		case LZMA_MEM_ERROR: return -ENOMEM;
		default: return -EBADMSG;
		}
	} while ((room = decompress_next_room(room, size_max)) > 0);
	return -EBADMSG;
}

/*
 * The streaming encoder, as Borg's: the one for buffers writes sizes into the block's head.  The
 * room is what the body may have at most to be worth it, so running out of it is an answer.
 */
int compress_lzma(struct compressor *c, struct bytes in, struct buf *out)
{
	lzma_ret rc = lzma_easy_encoder(&c->lzma, (uint32_t)c->how.level, LZMA_CHECK_NONE);

	if (rc == LZMA_MEM_ERROR || buf_reserve(out, out->len + in.len) < 0)
		return -ENOMEM;
	if (rc != LZMA_OK)
		return -EIO;
	c->lzma.next_in = in.p;
	c->lzma.avail_in = in.len;
	c->lzma.next_out = out->p + out->len;
	c->lzma.avail_out = in.len;
	do
		rc = lzma_code(&c->lzma, LZMA_FINISH);
	while (rc == LZMA_OK && c->lzma.avail_out > 0);
	if (rc == LZMA_MEM_ERROR)
		return -ENOMEM;
	if (rc != LZMA_OK && rc != LZMA_STREAM_END && rc != LZMA_BUF_ERROR)
		return -EIO;
	out->len += in.len - c->lzma.avail_out;
	return rc == LZMA_STREAM_END;
}
