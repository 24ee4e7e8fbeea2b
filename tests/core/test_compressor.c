/*
 * test_compressor.c - what is stored is what stock borg stores.
 *
 * Method: values of -C as borg 1.2.4 and 1.4 parse them; payloads, auto's choices and obfuscated
 * sizes as borg.compress made them (`/usr/bin/python3 -c 'from borg.compress import *; ...
 * CompressionSpec("auto,zstd,3").compressor.compress(data)'`, for the sizes with random.random
 * replaced).  Whole payloads only of inputs so small that every version of a library makes them.
 */

#include "tests/support/tap.h"

#include "core/codec/compress_internal.h"

#include <stdio.h>

static const struct spec {
	const char *name; /* the text */
	int want;
	struct compression how;
} specs[] = {
	{ "none", 0, { COMPRESS_NONE, 0, false, 0 } },
	{ "lz4", 0, { COMPRESS_LZ4, 0, false, 0 } },
	{ "lz4,1", 0, { COMPRESS_LZ4, 0, false, 0 } }, /* what follows is ignored */
	{ "zstd", 0, { COMPRESS_ZSTD, 3, false, 0 } },
	{ "zstd,1", 0, { COMPRESS_ZSTD, 1, false, 0 } },
	{ "zstd,22", 0, { COMPRESS_ZSTD, 22, false, 0 } },
	{ "zstd, 5", 0, { COMPRESS_ZSTD, 5, false, 0 } }, /* Python's int() */
	{ "zstd,+007", 0, { COMPRESS_ZSTD, 7, false, 0 } },
	{ "zlib", 0, { COMPRESS_ZLIB, 6, false, 0 } },
	{ "zlib,0", 0, { COMPRESS_ZLIB, 0, false, 0 } },
	{ "zlib,9", 0, { COMPRESS_ZLIB, 9, false, 0 } },
	{ "lzma", 0, { COMPRESS_LZMA, 6, false, 0 } },
	{ "lzma,0", 0, { COMPRESS_LZMA, 0, false, 0 } },
	{ "lzma,9", 0, { COMPRESS_LZMA, 9, false, 0 } },
	{ "auto,lz4", 0, { COMPRESS_LZ4, 0, true, 0 } },
	{ "auto,none,3", 0, { COMPRESS_NONE, 0, true, 0 } },
	{ "auto,zstd", 0, { COMPRESS_ZSTD, 3, true, 0 } },
	{ "auto,zstd,7", 0, { COMPRESS_ZSTD, 7, true, 0 } },
	{ "auto,auto,lzma", 0, { COMPRESS_LZMA, 6, true, 0 } },
	{ "obfuscate,1,lz4", 0, { COMPRESS_LZ4, 0, false, 1 } },
	{ "obfuscate,6,none", 0, { COMPRESS_NONE, 0, false, 6 } },
	{ "obfuscate,110,auto,zstd,3", 0, { COMPRESS_ZSTD, 3, true, 110 } },
	{ "obfuscate,123,zlib,9", 0, { COMPRESS_ZLIB, 9, false, 123 } },
	{ "obfuscate,250,lzma", 0, { COMPRESS_LZMA, 6, false, 250 } }, /* since 1.4.1 */
	{ "", -EINVAL, { 0 } },
	{ ",", -EINVAL, { 0 } },
	{ "null", -EINVAL, { 0 } },
	{ "ZSTD", -EINVAL, { 0 } },
	{ " lz4", -EINVAL, { 0 } },
	{ "lz4 ", -EINVAL, { 0 } },
	{ "zstd,", -EINVAL, { 0 } },
	{ "zstd,x", -EINVAL, { 0 } },
	{ "zstd,3x", -EINVAL, { 0 } },
	{ "zstd,0", -EINVAL, { 0 } },
	{ "zstd,23", -EINVAL, { 0 } },
	{ "zstd,-1", -EINVAL, { 0 } },
	{ "zstd,4294967299", -EINVAL, { 0 } },
	{ "zstd,99999999999999999999", -EINVAL, { 0 } },
	{ "zstd,3,4", -EINVAL, { 0 } },
	{ "zlib,10", -EINVAL, { 0 } },
	{ "zlib,-1", -EINVAL, { 0 } },
	{ "lzma,10", -EINVAL, { 0 } },
	{ "lzma,6,7", -EINVAL, { 0 } },
	{ "auto", -EINVAL, { 0 } },
	{ "auto,", -EINVAL, { 0 } },
	{ "auto,foo", -EINVAL, { 0 } },
	{ "auto,zstd,99", -EINVAL, { 0 } },
	{ "auto,zstd,3,4", -EINVAL, { 0 } },
	{ "auto,auto,zstd,3", -EINVAL, { 0 } },
	{ "auto,obfuscate,1,lz4", -EINVAL, { 0 } },
	{ "obfuscate", -EINVAL, { 0 } },
	{ "obfuscate,1", -EINVAL, { 0 } },
	{ "obfuscate,x,lz4", -EINVAL, { 0 } },
	{ "obfuscate,0,lz4", -EINVAL, { 0 } },
	{ "obfuscate,7,lz4", -EINVAL, { 0 } },
	{ "obfuscate,109,lz4", -EINVAL, { 0 } },
	{ "obfuscate,124,lz4", -EINVAL, { 0 } },
	{ "obfuscate,251,lz4", -EINVAL, { 0 } },
	{ "obfuscate,1,zstd,99", -EINVAL, { 0 } },
	{ "obfuscate,1,obfuscate,2,lz4", -EINVAL, { 0 } }, /* Borg's readers only */
	{ "a,b,c,d,e,f,g,h,i,j,k,l", -EINVAL, { 0 } },
};

static void parse_one(const void *arg)
{
	const struct spec *spec = arg;
	struct compression how;
	struct err e = ERR_INIT;
	char want[128];

	assert_int_equal(compression_parse(spec->name, &how, &e), spec->want);
	if (spec->want < 0) {
		snprintf(want, sizeof(want), "invalid CompressionSpec value: '%s'", spec->name);
		assert_string_equal(e.msg, want);
		return;
	}
	assert_int_equal(how.method, spec->how.method);
	assert_int_equal(how.level, spec->how.level);
	assert_int_equal(how.is_auto, spec->how.is_auto);
	assert_int_equal(how.obfuscate, spec->how.obfuscate);
}

/* What is written is what can be read. */
static void formatted(void **state)
{
	static const char *const texts[][2] = {
		{ "none", "none" },
		{ "lz4", "lz4" },
		{ "zstd", "zstd,3" },
		{ "zstd,22", "zstd,22" },
		{ "zlib,0", "zlib,0" },
		{ "lzma", "lzma,6" },
		{ "auto,lzma,9", "auto,lzma,9" },
		{ "obfuscate,110,auto,zstd,3", "obfuscate,110,auto,zstd,3" },
	};
	struct compression how[8];
	char text[COMPRESSION_TEXT];

	(void)state;
	for (size_t i = 0; i < 8; i++) {
		assert_int_equal(compression_parse(texts[i][0], &how[i], NULL), 0);
		assert_string_equal(compression_format(&how[i], text), texts[i][1]);
	}
	for (size_t i = 0; i < 8; i++)
		for (size_t k = 0; k < 8; k++)
			assert_int_equal(compression_equal(&how[i], &how[k]), i == k);
}

static void parse_long(void **state)
{
	char *text = malloc(10001);
	struct compression how;

	(void)state;
	assert_non_null(text);
	memset(text, ',', 10000);
	text[10000] = '\0';
	assert_int_equal(compression_parse(text, &how, NULL), -EINVAL);
	memset(text, '1', 10000);
	memcpy(text, "zstd,", 5);
	assert_int_equal(compression_parse(text, &how, NULL), -EINVAL);
	free(text);
}

static struct compressor *compressor_of(const char *spec)
{
	struct compression how;
	struct compressor *c = NULL;

	assert_int_equal(compression_parse(spec, &how, NULL), 0);
	assert_int_equal(compressor_new(&c, &how, NULL), 0);
	return c;
}

/* The byte times times, or the eight letters "abcdefgh". */
static const struct payload {
	const char *name; /* the value of -C */
	const char *repeated;
	size_t times;
	const char *hex;
} payloads[] = {
	{ "none", "", 0, "0000" },
	{ "none", "abcdefgh", 1, "00006162636465666768" },
	{ "lz4", "", 0, "0000" },
	{ "lz4", "a", 1, "000061" },
	{ "lz4", "a", 5, "00006161616161" },
	{ "lz4", "a", 13, "010013610100506161616161" },
	{ "lz4", "abcdefgh", 1, "00006162636465666768" },
	{ "lz4", "abcdefgh", 32, "01008f61626364656667680800e0506465666768" },
	{ "zlib,6", "", 0, "789c030000000001" },
	{ "zlib,6", "a", 1, "789c4b040000620062" },
	{ "zlib,6", "a", 13, "789c4b4c440200228804ee" },
	{ "zlib,6", "abcdefgh", 32, "789c4b4c4a4e494d4bcf481ca1340070ee6481" },
	{ "zlib,1", "abcdefgh", 32, "78014b4c4a4e494d4bcf481ca1340070ee6481" },
	{ "zlib,9", "abcdefgh", 32, "78da4b4c4a4e494d4bcf481ca1340070ee6481" },
	{ "zlib,0", "abcdefgh", 1, "7801010800f7ff61626364656667680e000325" },
	{ "zstd", "", 0, "0000" },
	{ "zstd", "a", 14, "00006161616161616161616161616161" },
	{ "zstd", "a", 20, "030028b52ffd201445000010616101001ec002" },
	{ "zstd,3", "abcdefgh", 32, "030028b52ffd6000007d00004061626364656667680100f551850b" },
	{ "lzma", "", 0, "0000" },
	{ "lzma", "a", 20, "00006161616161616161616161616161616161616161" },
	{ "lzma,6", "abcdefgh", 32,
	  "0200fd377a585a000000ff12d9410200210116000000742fe5a3e000ff000e5d00309888983ecbe26f3b"
	  "3e3b78a8000000000001228002000000f908de92a8000afc020000000000595a" },
	{ "auto,zstd,3", "", 0, "0000" },
	{ "auto,zstd,3", "a", 5, "00006161616161" },
	{ "auto,lzma,6", "abcdefgh", 32, "01008f61626364656667680800e0506465666768" },
	{ "auto,zlib,6", "abcdefgh", 32, "789c4b4c4a4e494d4bcf481ca1340070ee6481" },
	{ "auto,none", "abcdefgh", 32, "01008f61626364656667680800e0506465666768" },
	{ "obfuscate,250,lz4", "", 0, "040000000002 0000" },
	{ "obfuscate,250,lz4", "abcdefgh", 32,
	  "040000000014 01008f61626364656667680800e0506465666768" },
	{ "obfuscate,250,zstd,3", "abcdefgh", 32,
	  "04000000001b 030028b52ffd6000007d00004061626364656667680100f551850b 00" },
};

/* Appended to what is there, and the same again with used contexts. */
static void payload_one(const void *arg)
{
	const struct payload *row = arg;
	struct compressor *c = compressor_of(row->name);
	struct buf in = BUF_INIT, out = BUF_INIT;
	size_t len;
	uint8_t *want = unhex(row->hex, &len);

	for (size_t i = 0; i < row->times; i++)
		assert_int_equal(buf_append_str(&in, row->repeated), 0);
	for (int again = 0; again < 3; again++) {
		out.len = 0;
		assert_int_equal(buf_append_str(&out, "head"), 0);
		assert_int_equal(compress_append(c, buf_bytes(&in), &out, NULL), 0);
		assert_int_equal(out.len, 4 + len);
		assert_memory_equal(out.p, "head", 4);
		assert_memory_equal(out.p + 4, want, len);
	}
	free(want);
	buf_fini(&in);
	buf_fini(&out);
	compressor_free(c);
}

/* Noise of so many bits a byte; zeros in the last `zeros` bytes. */
static void noise(struct buf *b, size_t len, uint8_t mask, size_t zeros, uint64_t seed)
{
	assert_int_equal(buf_resize(b, len), 0);
	for (size_t i = 0; i < len; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		b->p[i] = i < len - zeros ? (uint8_t)(seed >> 56) & mask : 0;
	}
}

enum { CHOICE_LEN = 20000, NONE = 0, LZ4 = 1, LZMA = 2, ZSTD = 3, ZLIB = 0x78 };

/* The first byte of what borg stores. */
static const struct choice {
	const char *name;
	const char *spec;
	uint8_t mask;
	size_t zeros;
	uint8_t want;
} choices[] = {
	{ "lz4 gains nothing", "auto,zstd,3", 0xff, 0, NONE },
	{ "lz4 gains nothing, though zstd would", "auto,zstd,3", 0x7f, 0, NONE },
	{ "lz4 gains nothing, though zlib would", "auto,zlib,6", 0x7f, 0, NONE },
	{ "lz4 gains 2 %, though zstd would more", "auto,zstd,3", 0x7f, 500, LZ4 },
	{ "lz4 gains 2 %, though lzma would more", "auto,lzma,6", 0x7f, 500, LZ4 },
	{ "lz4 gains 5 %, zstd more", "auto,zstd,3", 0x7f, 1000, ZSTD },
	{ "lz4 gains 5 %, zlib more", "auto,zlib,6", 0x7f, 1000, ZLIB },
	{ "lz4 gains 5 %, lzma more", "auto,lzma,6", 0x7f, 1000, LZMA },
	{ "lz4 gains half, zstd hardly more", "auto,zstd,3", 0xff, 10000, LZ4 },
	{ "lz4 gains half, zlib hardly more", "auto,zlib,6", 0xff, 10000, LZ4 },
	{ "lz4 gains half, none nothing", "auto,none", 0xff, 10000, LZ4 },
	{ "lz4 gains half, and is the method", "auto,lz4", 0xff, 10000, LZ4 },
	{ "zstd itself gains nothing", "zstd,19", 0xff, 0, NONE },
	{ "lzma itself gains nothing", "lzma,0", 0xff, 0, NONE },
	{ "zlib itself gains nothing", "zlib,9", 0xff, 0, ZLIB },
};

static void choice_one(const void *arg)
{
	const struct choice *row = arg;
	struct compressor *c = compressor_of(row->spec);
	struct buf in = BUF_INIT, out = BUF_INIT;

	noise(&in, CHOICE_LEN, row->mask, row->zeros, 1);
	for (int again = 0; again < 2; again++) {
		out.len = 0;
		assert_int_equal(compress_append(c, buf_bytes(&in), &out, NULL), 0);
		assert_int_equal(out.p[0], row->want);
		if (row->want == NONE)
			assert_int_equal(out.len, CHOICE_LEN + COMPRESS_ID);
	}
	buf_fini(&in);
	buf_fini(&out);
	compressor_free(c);
}

/* Payloads of n bytes, made longer by borg where random.random() gave `uniform`. */
static const struct addition {
	const char *name;
	int spec;
	double uniform;
	size_t n, want;
} additions[] = {
	{ "1: the least, of the smallest", 1, 0.999999, 2, 0 },
	{ "1: the least", 1, 0.999999, 1002, 10 },
	{ "1: the middle", 1, 0.5, 1002, 20 },
	{ "1: the most", 1, 0.0001, 1002, 100200 },
	{ "1: bounded below", 1, 0.00005, 1002, 100200 },
	{ "1: nothing drawn", 1, 0, 1002, 100200 },
	{ "1: the most that fits", 1, 0, 1048578, 20970455 - 1048578 },
	{ "3: the middle", 3, 0.5, 12, 24 },
	{ "3: of a large one", 3, 0.5, 1048578, 2097156 },
	{ "6: the middle", 6, 0.5, 1002, 2004000 },
	{ "6: the most that fits", 6, 0.999999, 1048578, 20970455 - 1048578 },
	{ "110: none", 110, 0, 12, 0 },
	{ "110: the middle", 110, 0.5, 12, 512 },
	{ "110: the most", 110, 0.999999, 1002, 1023 },
	{ "123: few", 123, 0.00005, 3, 419 },
	{ "123: the middle", 123, 0.5, 1048578, 4194304 },
	{ "123: the most", 123, 0.999999, 12, 8388599 },
	{ "no room left", 123, 0.5, 20970455, 0 },
	{ "less than no room left, where borg fails", 3, 0.5, 20971479, 0 },
	{ "250: nothing", 250, 0.5, 0, 0 },
	{ "250: one", 250, 0.5, 1, 0 },
	{ "250: two", 250, 0.5, 2, 0 },
	{ "250: three", 250, 0.5, 3, 0 },
	{ "250: nine", 250, 0.5, 9, 1 },
	{ "250: a thousand", 250, 0.5, 1000, 24 },
	{ "250: a million", 250, 0.5, 1000000, 15808 },
};

static void addition_one(const void *arg)
{
	const struct addition *row = arg;

	assert_int_equal(obfuscation(row->spec, row->n, row->uniform), row->want);
}

/* The same payload inside, zeros behind, another size each time. */
static void obfuscated(void **state)
{
	struct compressor *c = compressor_of("obfuscate,123,zstd,3");
	struct compressor *plain = compressor_of("zstd,3");
	struct buf in = BUF_INIT, out = BUF_INIT, want = BUF_INIT;
	size_t sizes[4];

	(void)state;
	noise(&in, 5000, 0x0f, 0, 2);
	assert_int_equal(compress_append(plain, buf_bytes(&in), &want, NULL), 0);
	for (size_t i = 0; i < 4; i++) {
		out.len = 0;
		assert_int_equal(compress_append(c, buf_bytes(&in), &out, NULL), 0);
		sizes[i] = out.len;
		assert_memory_equal(out.p, "\x04\x00", 2);
		assert_int_equal(get_be32(out.p + 2), want.len);
		assert_memory_equal(out.p + 6, want.p, want.len);
		for (size_t at = 6 + want.len; at < out.len; at++)
			assert_int_equal(out.p[at], 0);
		assert_true(out.len < 6 + want.len + (8 << 20));
	}
	assert_true(sizes[0] != sizes[1] || sizes[1] != sizes[2] || sizes[2] != sizes[3]);
	buf_fini(&in);
	buf_fini(&out);
	buf_fini(&want);
	compressor_free(c);
	compressor_free(plain);
}

static const struct trip {
	const char *name;
} trips[] = {
	{ "none" },
	{ "lz4" },
	{ "zstd,1" },
	{ "zstd,19" },
	{ "zlib,0" },
	{ "zlib,1" },
	{ "zlib,9" },
	{ "lzma,0" },
	{ "lzma,6" },
	{ "auto,zstd,3" },
	{ "auto,lzma,1" },
	{ "obfuscate,1,lz4" },
	{ "auto,zlib,6" },
	{ "obfuscate,110,lz4" },
	{ "obfuscate,250,auto,zlib" },
};

/* Noise and half noise of lengths around the libraries' own limits, all by one compressor. */
static void trip_one(const void *arg)
{
	static const size_t lens[] = { 0, 1, 11, 12, 13, 64, 255, 4096, 65535, 65536, 300001 };
	const struct trip *row = arg;
	struct compressor *c = compressor_of(row->name);
	struct decompressor *d = decompressor_new();
	struct buf in = BUF_INIT, out = BUF_INIT, back = BUF_INIT;

	assert_non_null(d);
	for (size_t i = 0; i < 2 * sizeof(lens) / sizeof(lens[0]); i++) {
		size_t len = lens[i / 2];

		noise(&in, len, 0xff, i % 2 ? len / 2 : 0, i);
		out.len = 0;
		assert_int_equal(compress_append(c, buf_bytes(&in), &out, NULL), 0);
		if (row->name[0] != 'o' && !strstr(row->name, "zlib"))
			assert_true(out.len <= len + COMPRESS_ID);
		assert_int_equal(decompress(d, buf_bytes(&out), in.len, 1 << 20, &back, NULL),
				 0);
		assert_int_equal(back.len, len);
		assert_memory_equal(len ? back.p : in.p, in.p, len);
	}
	buf_fini(&in);
	buf_fini(&out);
	buf_fini(&back);
	decompressor_free(d);
	compressor_free(c);
}

/* More than any object holds is refused unread. */
static void too_large(void **state)
{
	struct compressor *c = compressor_of("lz4");
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(buf_append_str(&out, "head"), 0);
	assert_int_equal(compress_append(c, (struct bytes){ out.p, 20971480 }, &out, &e),
			 -EFBIG);
	assert_int_equal(out.len, 4);
	assert_true(strlen(e.msg) > 0);
	buf_fini(&out);
	compressor_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formatted),
		cmocka_unit_test(parse_long),
		cmocka_unit_test(obfuscated),
		cmocka_unit_test(too_large),
	};
	int failed;

	cmocka_set_message_output(CM_OUTPUT_TAP);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	failed += run_table(specs, parse_one);
	failed += run_table(payloads, payload_one);
	failed += run_table(choices, choice_one);
	failed += run_table(additions, addition_one);
	failed += run_table(trips, trip_one);
	return failed;
}
