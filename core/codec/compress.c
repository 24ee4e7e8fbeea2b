/*
 * compress.c - reading: picks the method by the first bytes; see compress.h.
 *
 * obfuscate wraps another payload and may do so once: Borg writes no deeper nesting, and a
 * bound is needed.
 */

#include "core/codec/compress_internal.h"

#include <errno.h>
#include <stdlib.h>

enum { ID = COMPRESS_ID, OBFUSCATE_HEAD = 4 }; /* bytes */

static const struct method {
	const char *name;
	uint8_t id[ID];
	decompress_method *decompress;
} methods[] = {
	{ "none", { 0x00, 0x00 }, decompress_none },
	{ "lz4", { 0x01, 0x00 }, decompress_lz4 },
	{ "lzma", { 0x02, 0x00 }, decompress_lzma },
	{ "zstd", { 0x03, 0x00 }, decompress_zstd },
};

static const uint8_t obfuscate_id[ID] = { 0x04, 0x00 };

static const struct method zlib_method = { "zlib", { 0 }, decompress_zlib };

struct decompressor *decompressor_new(void)
{
	struct decompressor *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->zstd = ZSTD_createDCtx();
	d->deflate = libdeflate_alloc_decompressor();
	if (!d->zstd || !d->deflate) {
		decompressor_free(d);
		return NULL;
	}
	return d;
}

void decompressor_free(struct decompressor *d)
{
	if (!d)
		return;
	ZSTD_freeDCtx(d->zstd);
	libdeflate_free_decompressor(d->deflate);
	free(d);
}

size_t decompress_first_room(struct bytes body, size_t size_hint, size_t size_max)
{
	size_t room = size_hint ? size_hint : 4 * body.len + 1024;

	return room < size_max ? room : size_max;
}

size_t decompress_next_room(size_t room, size_t size_max)
{
	if (room >= size_max)
		return 0;
	return size_max - room > room + 1024 ? 2 * room + 1024 : size_max;
}

static const struct method *method_of(struct bytes in)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (memcmp(in.p, methods[i].id, ID) == 0)
			return &methods[i];
	if ((in.p[0] & 0x0f) == 8 && get_be16(in.p) % 31 == 0)
		return &zlib_method;
	return NULL;
}

/* The payload that an obfuscated one wraps. */
static int unwrap(struct bytes *in, struct err *e)
{
	struct bytes body = { in->p + ID, in->len - ID };
	uint32_t len;

	if (body.len < OBFUSCATE_HEAD)
		return err_set(e, EBADMSG, "obfuscated data: too short");
	len = get_be32(body.p);
	if (len > body.len - OBFUSCATE_HEAD)
		return err_set(e, EBADMSG, "obfuscated data: impossible length");
	*in = (struct bytes){ body.p + OBFUSCATE_HEAD, len };
	return 0;
}

int decompress(struct decompressor *d, struct bytes in, size_t size_hint, size_t size_max,
	       struct buf *out, struct err *e)
{
	const struct method *method;
	int rc;

	if (in.len >= ID && memcmp(in.p, obfuscate_id, ID) == 0) {
		rc = unwrap(&in, e);
		if (rc < 0)
			return rc;
	}
	method = in.len >= ID ? method_of(in) : NULL;
	if (!method)
		return err_set(e, EBADMSG, "unknown compression method");
	if (method != &zlib_method)
		in = (struct bytes){ in.p + ID, in.len - ID };
	rc = method->decompress(d, in, size_hint, size_max, out);
	if (rc == -ENOMEM)
		return err_nomem(e, "decompression");
	if (rc < 0)
		return err_set(e, EBADMSG, "damaged %s data, or more than %zu bytes of it",
			       method->name, size_max);
	return 0;
}
