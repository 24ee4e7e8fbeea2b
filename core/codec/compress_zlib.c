/* compress_zlib.c - a whole zlib stream; its first two bytes are the method id. */

#include "core/codec/compress_internal.h"

#include <errno.h>

int decompress_zlib(struct decompressor *d, struct bytes body, size_t size_hint,
		    size_t size_max, struct buf *out)
{
	size_t room = decompress_first_room(body, size_hint, size_max);

	do {
		size_t n;

		if (buf_reserve(out, room) < 0)
			return -ENOMEM;
		switch (libdeflate_zlib_decompress(d->deflate, body.p, body.len, out->p, room,
						   &n)) {
		case LIBDEFLATE_SUCCESS: out->len = n; return 0;
		case LIBDEFLATE_INSUFFICIENT_SPACE: break;
		case LIBDEFLATE_BAD_DATA:
		case LIBDEFLATE_SHORT_OUTPUT: return -EBADMSG;
		}
	} while ((room = decompress_next_room(room, size_max)) > 0);
	return -EBADMSG;
}

/*
 * zlib itself and not libdeflate: the same bytes as Borg makes.  Level 0 alone differs above 32 KiB:
 * where its blocks end follows from the pieces in which Python gives zlib room.
 */
int compress_zlib(struct compressor *c, struct bytes in, struct buf *out)
{
	z_stream *z = &c->deflate;
	size_t room;
	int rc = z->state ? deflateReset(z) : deflateInit(z, c->how.level);

	if (rc != Z_OK)
		return rc == Z_MEM_ERROR ? -ENOMEM : -EIO;
	room = deflateBound(z, in.len);
	if (buf_reserve(out, out->len + room) < 0)
		return -ENOMEM;
	z->next_in = in.p;
	z->avail_in = (uInt)in.len;
	z->next_out = out->p + out->len;
	z->avail_out = (uInt)room;
	if (deflate(z, Z_FINISH) != Z_STREAM_END)
		return -EIO;
	out->len += room - z->avail_out;
	return 1;
}
