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
