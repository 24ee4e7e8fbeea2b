/*
 * test_compress.c - each method's bytes become the plaintext; whatever lies costs no memory.
 *
 * Method: payloads as stock borg stored them (docs/format.md "Golden values"), and variants made
 * with the methods' own tools (xz, zstd).  Each good row is read with right, wrong and no size
 * hints, with exactly enough room and one byte too little, and cut at every byte.
 */

#include "tests/support/tap.h"

#include "core/codec/compress.h"

#include <lz4.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

enum { PLENTY = 1 << 20 };

/* "abcdefgh", this many times. */
#define TEXT(times) 8 * (times)

static const struct row {
	const char *name;
	const char *hex;
	int want;
	size_t len;    /* of the plaintext */
	bool open_end; /* cut short it may still be valid: only the chunk's id tells */
} rows[] = {
	{ "none", "0000 6162636465666768", 0, TEXT(1), true },
	{ "none, empty", "0000", 0, 0, false },
	{ "lz4", "01008f61626364656667680800e0506465666768", 0, TEXT(32), true },
	{ "lz4, longer than its plaintext", "0100 80 6162636465666768", 0, TEXT(1), false },
	{ "lz4, empty", "0100 00", 0, 0, false },
	{ "lz4 without a body", "0100", -EBADMSG, 0, false },
	{ "lz4, match before the beginning", "0100 8f6162636465666768 0900 e0506465666768",
	  -EBADMSG, 0, false },
	{ "zlib, level 6", "789c4b4c4a4e494d4bcf481ca1340070ee6481", 0, TEXT(32), false },
	{ "zlib, level 1", "78014b4c4a4e494d4bcf481ca1340070ee6481", 0, TEXT(32), false },
	{ "zlib, level 9", "78da4b4c4a4e494d4bcf481ca1340070ee6481", 0, TEXT(32), false },
	{ "zlib, level 0", "7801010800f7ff61626364656667680e000325", 0, TEXT(1), false },
	{ "zlib, empty", "789c030000000001", 0, 0, false },
	{ "zlib, wrong checksum", "789c4b4c4a4e494d4bcf481ca1340070ee6482", -EBADMSG, 0,
	  false },
	{ "zlib, head does not divide by 31", "789d4b4c4a4e494d4bcf481ca1340070ee6481",
	  -EBADMSG, 0, false },
	{ "lzma",
	  "0200fd377a585a000000ff12d9410200210116000000742fe5a3e000ff000e5d00309888983ecbe26f3b"
	  "3e3b78a8000000000001228002000000f908de92a8000afc020000000000595a",
	  0, TEXT(32), false },
	{ "lzma with CRC64",
	  "0200fd377a585a000004e6d6b4460200210116000000742fe5a3e000ff000e5d00309888983ecbe26f3b"
	  "3e3b78a800000000532b30b2f0ccdf1600012a8002000000948a8d7eb1c467fb020000000004595a",
	  0, TEXT(32), false },
	{ "lzma with SHA-256",
	  "0200fd377a585a00000ae1fb0ca10200210116000000742fe5a3e000ff000e5d00309888983ecbe26f3b"
	  "3e3b78a800000000385c89790ad8b420da0f973413ab6b245ab2f8c1bbc31df97411f5b38f5fdeec0001"
	  "428002000000a3072a9ab6e9df1c02000000000a595a",
	  0, TEXT(32), false },
	{ "lzma, wrong CRC64",
	  "0200fd377a585a000004e6d6b4460200210116000000742fe5a3e000ff000e5d00309888983ecbe26f3b"
	  "3e3b78a800000000532b30b2f0ccdf1700012a8002000000948a8d7eb1c467fb020000000004595a",
	  -EBADMSG, 0, false },
	{ "lzma with a dictionary of 4 GiB",
	  "0200fd377a585a000000ff12d9410200210128000000e6a011b3e000ff000e5d00309888983ecbe26f3b"
	  "3e3b78a8000000000001228002000000f908de92a8000afc020000000000595a",
	  -EBADMSG, 0, false },
	{ "lzma, bytes behind the end",
	  "0200fd377a585a000000ff12d9410200210116000000742fe5a3e000ff000e5d00309888983ecbe26f3b"
	  "3e3b78a8000000000001228002000000f908de92a8000afc020000000000595a00",
	  -EBADMSG, 0, false },
	{ "zstd", "030028b52ffd6000007d00004061626364656667680100f551850b", 0, TEXT(32),
	  false },
	{ "zstd with a checksum",
	  "030028b52ffd6400007d00004061626364656667680100f551850bd630077f", 0, TEXT(32),
	  false },
	{ "zstd, wrong checksum",
	  "030028b52ffd6400007d00004061626364656667680100f551850bd630077e", -EBADMSG, 0,
	  false },
	{ "zstd without content size",
	  "030028b52ffd04587d00004061626364656667680100f551850bd630077f", -EBADMSG, 0, false },
	{ "zstd, content size too small",
	  "030028b52ffd20ff7d00004061626364656667680100f551850b", -EBADMSG, 0, false },
	{ "zstd, content size too large",
	  "030028b52ffd6001007d00004061626364656667680100f551850b", -EBADMSG, 0, false },
	{ "zstd, content size of 2^62",
	  "030028b52ffde000000000000000407d00004061626364656667680100f551850b", -EBADMSG, 0,
	  false },
	{ "zstd, empty", "030028b52ffd2000010000", 0, 0, false },
	{ "obfuscated lz4", "040000000014 01008f61626364656667680800e0506465666768 0000000000",
	  0, TEXT(32), true },
	{ "obfuscated lz4, nothing added",
	  "040000000014 01008f61626364656667680800e0506465666768", 0, TEXT(32), false },
	{ "obfuscated zlib", "040000000008 789c030000000001 00", 0, 0, true },
	{ "obfuscated none, trailer of any bytes", "04000000000a 0000 6162636465666768 ff01", 0,
	  TEXT(1), true },
	{ "obfuscated twice", "040000000010 04000000000a 0000 6162636465666768", -EBADMSG, 0,
	  false },
	{ "obfuscated, length beyond the end", "04000000000b 0000 6162636465666768", -EBADMSG,
	  0, false },
	{ "obfuscated, length of 4 GiB", "0400ffffffff 0000 6162636465666768", -EBADMSG, 0,
	  false },
	{ "obfuscated, inner without method", "040000000001 00", -EBADMSG, 0, false },
	{ "obfuscated, nothing inside", "040000000000", -EBADMSG, 0, false },
	{ "nothing", "", -EBADMSG, 0, false },
	{ "half a method", "00", -EBADMSG, 0, false },
	{ "unknown method", "0500 6162636465666768", -EBADMSG, 0, false },
	{ "unknown second byte", "0001 6162636465666768", -EBADMSG, 0, false },
	{ "reserved method", "ffff 6162636465666768", -EBADMSG, 0, false },
};

static void check_text(const struct buf *out, size_t len)
{
	assert_int_equal(out->len, len);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(out->p[i], "abcdefgh"[i % 8]);
}

/* In memory of exactly this size, so that the sanitizer sees any byte beyond it. */
static int decompress_exactly(const uint8_t *p, size_t len, size_t hint, size_t max,
			      struct buf *out, struct err *e)
{
	struct decompressor *d = decompressor_new();
	uint8_t *copy = malloc(len ? len : 1);
	int rc;

	assert_non_null(d);
	assert_non_null(copy);
	if (len > 0)
		memcpy(copy, p, len);
	rc = decompress(d, (struct bytes){ copy, len }, hint, max, out, e);
	free(copy);
	decompressor_free(d);
	return rc;
}

static void good(const struct row *row, const uint8_t *p, size_t len)
{
	const size_t hints[] = { 0, 1, row->len, row->len + 1, 100, PLENTY, SIZE_MAX };
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;

	for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++) {
		assert_int_equal(decompress_exactly(p, len, hints[i], PLENTY, &out, &e), 0);
		check_text(&out, row->len);
		assert_true(out.cap <= 2 * PLENTY);
		assert_int_equal(decompress_exactly(p, len, hints[i], row->len, &out, &e), 0);
		check_text(&out, row->len);
		if (row->len > 0)
			assert_int_equal(
				decompress_exactly(p, len, hints[i], row->len - 1, &out, &e),
				-EBADMSG);
	}
	for (size_t cut = 0; cut < len && !row->open_end; cut++)
		assert_int_equal(decompress_exactly(p, cut, row->len, PLENTY, &out, &e),
				 -EBADMSG);
	for (size_t cut = 0; cut < len && row->open_end; cut++)
		decompress_exactly(p, cut, row->len, PLENTY, &out, &e);
	buf_fini(&out);
}

static void run_row(const void *arg)
{
	const struct row *row = arg;
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;
	size_t len;
	uint8_t *p = unhex(row->hex, &len);

	assert_int_equal(decompress_exactly(p, len, 0, PLENTY, &out, &e), row->want);
	if (row->want == 0) {
		good(row, p, len);
	} else {
		assert_int_equal(e.code, EBADMSG);
		assert_true(strlen(e.msg) > 0);
		assert_true(out.cap <= 2 * PLENTY);
	}
	buf_fini(&out);
	free(p);
}

/* Zeros, many more than allowed, by each library; and the same at the limit. */
enum { BOMB = 8 << 20, LIMIT = 1 << 20 };

static size_t bomb_lz4(const uint8_t *zeros, uint8_t *out, size_t room)
{
	return (size_t)LZ4_compress_default((const char *)zeros, (char *)out, BOMB, (int)room);
}

static size_t bomb_lzma(const uint8_t *zeros, uint8_t *out, size_t room)
{
	size_t n = 0;

	assert_int_equal(
		lzma_easy_buffer_encode(6, LZMA_CHECK_NONE, NULL, zeros, BOMB, out, &n, room),
		LZMA_OK);
	return n;
}

static size_t bomb_zstd(const uint8_t *zeros, uint8_t *out, size_t room)
{
	return ZSTD_compress(out, room, zeros, BOMB, 3);
}

static size_t bomb_zlib(const uint8_t *zeros, uint8_t *out, size_t room)
{
	uLongf n = room;

	assert_int_equal(compress2(out, &n, zeros, BOMB, 6), Z_OK);
	return n;
}

static const struct bomb {
	const char *name;
	uint8_t id[2];
	size_t id_len;
	size_t (*make)(const uint8_t *zeros, uint8_t *out, size_t room);
} bombs[] = {
	{ "bomb of lz4", { 0x01, 0x00 }, 2, bomb_lz4 },
	{ "bomb of lzma", { 0x02, 0x00 }, 2, bomb_lzma },
	{ "bomb of zstd", { 0x03, 0x00 }, 2, bomb_zstd },
	{ "bomb of zlib", { 0 }, 0, bomb_zlib },
};

static void run_bomb(const void *arg)
{
	const struct bomb *bomb = arg;
	uint8_t *zeros = calloc(1, BOMB), *body = malloc(LIMIT);
	struct buf out = BUF_INIT;
	size_t len;

	assert_non_null(zeros);
	assert_non_null(body);
	memcpy(body, bomb->id, sizeof(bomb->id));
	len = bomb->id_len + bomb->make(zeros, body + bomb->id_len, LIMIT - bomb->id_len);
	assert_int_equal(decompress_exactly(body, len, 0, LIMIT, &out, NULL), -EBADMSG);
	assert_int_equal(decompress_exactly(body, len, BOMB, BOMB - 1, &out, NULL), -EBADMSG);
	buf_fini(&out);
	assert_int_equal(decompress_exactly(body, len, SIZE_MAX, LIMIT, &out, NULL), -EBADMSG);
	assert_true(out.cap <= 2 * LIMIT);
	assert_int_equal(decompress_exactly(body, len, 0, BOMB, &out, NULL), 0);
	assert_int_equal(out.len, BOMB);
	assert_memory_equal(out.p, zeros, BOMB);
	buf_fini(&out);
	free(zeros);
	free(body);
}

int main(void)
{
	int failed = run_table(rows, run_row);

	failed += run_table(bombs, run_bomb);
	return failed;
}
