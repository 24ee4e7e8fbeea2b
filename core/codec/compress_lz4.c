/*
 * compress_lz4.c - a raw LZ4 block; its plaintext size is stored nowhere.
 *
 * LZ4 cannot expand by more than 255 to 1, which bounds what a small body may ask for.
 */

#include "core/codec/compress_internal.h"

#include <errno.h>
#include <limits.h>
#include <lz4.h>

enum { EXPANSION_MAX = 255 };

int decompress_lz4(struct decompressor *d, struct bytes body, size_t size_hint, size_t size_max,
		   struct buf *out)
{
	size_t room;

	(void)d;
	if (body.len == 0 || body.len > LZ4_MAX_INPUT_SIZE)
		return -EBADMSG;
	if (size_max / EXPANSION_MAX > body.len)
		size_max = body.len * EXPANSION_MAX + EXPANSION_MAX;
	if (size_max > INT_MAX)
		size_max = INT_MAX;
	room = decompress_first_room(body, size_hint, size_max);
	do {
		int n;

		if (buf_reserve(out, room) < 0)
			return -ENOMEM;
		n = LZ4_decompress_safe((const char *)body.p, (char *)out->p, (int)body.len,
					(int)room);
		if (n >= 0) {
			out->len = (size_t)n;
			return 0;
		}
	} while ((room = decompress_next_room(room, size_max)) > 0);
	return -EBADMSG;
}

/* With all the room it may need: LZ4 gives up on less a few bytes before it would be full. */
int compress_lz4(struct compressor *c, struct bytes in, struct buf *out)
{
	int room = LZ4_compressBound((int)in.len), n;

	(void)c;
	if (buf_reserve(out, out->len + (size_t)room) < 0)
		return -ENOMEM;
	n = LZ4_compress_default((const char *)in.p, (char *)out->p + out->len, (int)in.len,
				 room);
	if (n <= 0)
		return -EIO;
	out->len += (size_t)n;
	return 1;
}
