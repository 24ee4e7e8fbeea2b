/*
 * test_chunker.c - files are cut where Borg cuts them, however they arrive, and parameters are
 * read as Borg reads them.
 *
 * Method: lists of lengths from docs/format.md; and for sweeps over many lengths of a file the
 * CRC-32 of all the lengths Borg 1.2.4 gave, each file's as u32le, how many first.  Each file is
 * cut whole, and again in pieces whose sizes are drawn anew each time.  Positions the hash
 * search finds are compared with a hash computed from its definition.
 */

#include "tests/support/tap.h"

#include "core/codec/buzhash.h"
#include "core/codec/checksum.h"
#include "core/codec/chunker.h"

#include <openssl/sha.h>

enum { MIB = 1 << 20, CUTS_MAX = 4096 };

/* --- contents --- */

static void lcg(uint8_t *p, size_t len)
{
	uint32_t x = 1;

	for (size_t i = 0; i < len; i++) {
		x = (x * 1103515245u + 12345u) & 0x7fffffff;
		p[i] = (uint8_t)(x >> 16);
	}
}

static void sctr(uint8_t *p, size_t len)
{
	for (size_t i = 0; i * 32 < len; i++) {
		uint8_t number[8], digest[32];

		put_be64(number, i);
		SHA256(number, sizeof(number), digest);
		memcpy(p + i * 32, digest, len - i * 32 < 32 ? len - i * 32 : 32);
	}
}

static void zeros(uint8_t *p, size_t len)
{
	memset(p, 0, len);
}

static void letters(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)('a' + i % 26);
}

static void letter_runs(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)('a' + i / 400);
}

/* lcg with zeros from 1000 to 4000 of each 5000 bytes. */
static void mixed(uint8_t *p, size_t len)
{
	lcg(p, len);
	for (size_t i = 0; i < len; i++)
		if (i % 5000 >= 1000 && i % 5000 < 4000)
			p[i] = 0;
}

/* --- cutting --- */

struct cuts {
	size_t count;
	uint32_t len[CUTS_MAX];
};

static uint64_t random_state = 1;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* How much more arrives: all of it, or a piece of no special size, often tiny. */
static size_t piece(bool whole, size_t left)
{
	size_t n = next_random() % (1 + (1u << (next_random() % 16)));

	return whole || n > left ? left : n;
}

static void cut(const struct chunker *c, const uint8_t *p, size_t len, bool whole,
		struct cuts *out)
{
	struct chunker_scan s = { 0 };
	size_t start = 0, have = 0;

	out->count = 0;
	while (start < len) {
		struct bytes data = { p + start, have - start };
		size_t n = chunker_cut(c, &s, data, have == len);

		if (n == 0) {
			assert_true(have < len);
			assert_true(data.len < chunker_max(c));
			have += piece(whole, len - have);
			continue;
		}
		assert_true(n <= data.len && n <= chunker_max(c));
		assert_true(out->count < CUTS_MAX);
		out->len[out->count++] = (uint32_t)n;
		start += n;
		assert_int_equal(s.at, start);
	}
	assert_int_equal(chunker_cut(c, &s, (struct bytes){ p, 0 }, true), 0);
}

static struct chunker *make(const char *params, uint32_t seed)
{
	struct chunker_params p;
	struct chunker *c = NULL;

	assert_int_equal(chunker_params_parse(params, &p, NULL), 0);
	assert_int_equal(chunker_new(&c, &p, seed, NULL), 0);
	return c;
}

static const struct list_row {
	const char *name;
	void (*content)(uint8_t *p, size_t len);
	size_t len;
	const char *params;
	uint32_t seed;
	const char *want;
} lists[] = {
	{ "vector 1, seed 0", lcg, 65536, "10,13,11,1023", 0,
	  "1403 5388 2454 1341 1847 2391 2877 1908 3921 2361 1878 3772 1466 1468 "
	  "2312 2141 8192 2192 1061 1464 2862 8192 1535 1110" },
	{ "vector 2, seed 0x12345678", lcg, 65536, "10,13,11,1023", 0x12345678,
	  "3248 2802 4318 2734 1548 8192 3741 3121 6728 6861 4416 4160 3810 5685 "
	  "1535 2637" },
	{ "vector 3, seed UINT32_MAX", lcg, 65536, "10,13,11,1023", UINT32_MAX,
	  "3142 1150 1835 1820 5350 1501 8192 1046 2663 2808 8192 2055 1870 1101 "
	  "3948 2097 2939 2267 1116 1709 2772 4060 1903" },
	{ "vector 4, seed 0", lcg, 65536, "8,12,10,63", 0,
	  "439 472 447 3218 1649 964 2842 1605 2578 2393 724 1203 3013 2584 508 "
	  "1533 735 401 946 1775 1495 1445 1540 736 997 758 3033 585 1588 417 "
	  "1785 1486 273 565 1677 1008 434 2154 624 488 4096 1579 2814 1317 395 "
	  "705 1019 494" },
	{ "vector 5, seed 0", zeros, 20000, "10,13,11,1023", 0, "8192 8192 3616" },
	{ "vector 5, seed 0x12345678", zeros, 20000, "10,13,11,1023", 0x12345678,
	  "8192 8192 3616" },
	/* The hash of equal bytes is all zeros, or not, depending on an even window. */
	{ "zeros, window 64", zeros, 1000, "8,12,9,64", 3, "256 256 256 232" },
	{ "zeros, window 32", zeros, 10000, "8,12,9,32", 0, "4096 4096 1808" },
	{ "zeros, window 32, seed 1", zeros, 1000, "8,12,9,32", 1, "256 256 256 232" },
	{ "zeros, window 4096", zeros, 8000, "10,14,12,4096", 0, "1024 1024 1024 4928" },
	{ "vector 6, 1100", lcg, 1100, "10,13,11,1023", 0, "1100" },
	{ "vector 6, 2047", lcg, 2047, "10,13,11,1023", 0, "2047" },
	{ "vector 6, 2048", lcg, 2048, "10,13,11,1023", 0, "2048" },
	{ "vector 7, seed 7", letters, 10400, "9,11,10,255", 7,
	  "2048 2048 2048 2048 2048 160" },
	{ "vector 8, seed 0", lcg, 300000, "15,19,17,4095", 0,
	  "51516 58928 59936 40304 60468 28848" },
	{ "vector 9, seed 0", sctr, 12 * MIB, "19,23,21,4095", 0,
	  "1993636 1777108 5298008 980153 816158 1717849" },
	{ "vector 10, seed 0x12345678", sctr, 12 * MIB, "19,23,21,4095", 0x12345678,
	  "790930 1135379 8388608 1986948 281047" },
	{ "vector 11, seed -1035126490", sctr, 12 * MIB, "19,23,21,4095", (uint32_t)-1035126490,
	  "1494103 799065 6763476 1892810 1633458" },
	{ "vector 12, seed 0", sctr, MIB, "15,19,17,4095", 0,
	  "271586 74394 75363 145236 190060 276332 15605" },
	{ "vector 13, seed -1035126490", sctr, MIB, "15,19,17,4095", (uint32_t)-1035126490,
	  "118682 109051 131652 37173 157190 178854 293468 22506" },
	{ "vector 14, seed -1035126490", sctr, 40000, "10,13,11,1023", (uint32_t)-1035126490,
	  "2763 1159 2182 1362 6224 1818 2956 4891 1369 8192 1454 2120 1892 1618" },
	{ "vector 15, fixed,4096", lcg, 10000, "fixed,4096", 0, "4096 4096 1808" },
	{ "vector 15, fixed,4096,512", lcg, 10000, "fixed,4096,512", 0, "512 4096 4096 1296" },
	{ "vector 16, seed 0", lcg, 4097, "fixed,4096,512", 0, "512 3585" },
};

static void assert_list(const struct cuts *got, const char *want)
{
	for (size_t i = 0; i < got->count; i++) {
		char *end;

		assert_int_equal(got->len[i], strtoul(want, &end, 10));
		want = end;
	}
	assert_string_equal(want, "");
}

static void cut_as_listed(const void *row)
{
	const struct list_row *r = row;
	uint8_t *p = malloc(r->len);
	struct chunker *c = make(r->params, r->seed);
	struct cuts *got = malloc(sizeof(*got));

	r->content(p, r->len);
	cut(c, p, r->len, true, got);
	assert_list(got, r->want);
	for (int i = 0; i < 3; i++) {
		cut(c, p, r->len, false, got);
		assert_list(got, r->want);
	}
	free(got);
	chunker_free(c);
	free(p);
}

static const struct sweep_row {
	const char *name;
	void (*content)(uint8_t *p, size_t len);
	size_t from, to, step; /* lengths of the file */
	const char *params;
	uint32_t seed;
	size_t count; /* chunks in all */
	uint32_t crc;
} sweeps[] = {
	{ "odd window", lcg, 0, 3000, 1, "6,9,7,31", 5, 28104, 0x869e2a9a },
	{ "even window", lcg, 0, 3000, 1, "6,9,7,32", 5, 21457, 0x1c4af8b2 },
	{ "window of 1", lcg, 0, 3000, 1, "6,9,7,1", 5, 32917, 0xe79a89af },
	{ "window of 2", lcg, 0, 3000, 1, "6,9,6,2", 9, 39855, 0x8b96d010 },
	{ "widest window", lcg, 0, 3000, 1, "6,9,6,447", 9, 10314, 0xf0f52e82 },
	{ "mask = max", lcg, 0, 3000, 1, "6,8,8,63", UINT32_MAX, 23471, 0xf5de72b9 },
	{ "mask = min", lcg, 0, 30000, 101, "8,12,8,100", 77, 9021, 0x666092d5 },
	{ "KiB", lcg, 0, 65536, 257, "10,13,11,1023", 3, 3329, 0x1193fad3 },
	{ "long chunks", lcg, 100000, 300001, 50000, "10,16,14,4095", 3, 42, 0x3e701121 },
	{ "even, long", lcg, 100000, 300001, 50000, "10,16,13,4096", 4, 122, 0x475b8c98 },
	{ "holes", mixed, 100000, 300001, 50000, "10,16,12,511", 4, 109, 0x575a336b },
	{ "holes, small", mixed, 100000, 300001, 50000, "8,12,9,64", 0, 2895, 0xd9b40724 },
	{ "runs of letters", letter_runs, 0, 10400, 13, "9,11,9,255", 7, 2719, 0xb39818ae },
	{ "fixed", lcg, 0, 1000, 1, "fixed,64", 0, 8304, 0xd5b0b633 },
	{ "fixed, header", lcg, 0, 1000, 1, "fixed,64,10", 0, 9143, 0xb20ee3ee },
	{ "fixed, long header", lcg, 0, 1000, 1, "fixed,64,200", 0, 9007, 0x34a3e484 },
	{ "fixed, header a block", lcg, 0, 1000, 1, "fixed,64,64", 0, 8304, 0xd5b0b633 },
};

static void cut_as_borg_does(const void *row)
{
	const struct sweep_row *r = row;
	uint8_t *p = malloc(r->to);
	struct chunker *c = make(r->params, r->seed);
	struct cuts *got = malloc(sizeof(*got));

	r->content(p, r->to);
	for (int whole = 0; whole <= 1; whole++) {
		size_t count = 0;
		uint32_t crc = 0;

		for (size_t len = r->from; len < r->to; len += r->step) {
			uint8_t number[4];

			cut(c, p, len, whole, got);
			put_le32(number, (uint32_t)got->count);
			crc = crc32_of(crc, number, 4);
			for (size_t i = 0; i < got->count; i++) {
				put_le32(number, got->len[i]);
				crc = crc32_of(crc, number, 4);
			}
			count += got->count;
		}
		assert_int_equal(count, r->count);
		assert_int_equal(crc, r->crc);
	}
	free(got);
	chunker_free(c);
	free(p);
}

/* --- the hash --- */

static uint32_t rotate(uint32_t v, size_t by)
{
	return by % 32 ? v << (by % 32) | v >> (32 - by % 32) : v;
}

/* From the definition; two entries of the table are read back from one-byte windows. */
static uint32_t hash_by_definition(const struct buzhash *one, const uint8_t *p, size_t window)
{
	uint32_t h = 0;

	for (size_t i = 0; i < window; i++)
		h ^= rotate(buzhash_of(one, p + i), window - 1 - i);
	return h;
}

static void hashes_of_the_format(void **state)
{
	static const uint8_t alphabet[] = "abcdefghijklmnopq";
	struct buzhash b;
	uint8_t many[4095];
	uint32_t h;

	(void)state;
	memset(many, 'a', sizeof(many));
	buzhash_init(&b, 0, 16, UINT32_MAX);
	h = buzhash_of(&b, alphabet);
	assert_int_equal(h, 0xe239c8c9);
	assert_int_equal(buzhash_find(&b, alphabet, 0, 1, &h), 1);
	assert_int_equal(h, 0xde7166e6);
	buzhash_init(&b, 1, 16, UINT32_MAX);
	assert_int_equal(buzhash_of(&b, alphabet), 0xe2393736);
	buzhash_init(&b, 0, 4095, UINT32_MAX);
	assert_int_equal(buzhash_of(&b, many), 0xd62ed924);
}

/* Every way of searching, from every kind of start, stops where the definition says. */
static void every_search_stops_where_the_definition_says(void **state)
{
	enum { LEN = 6000, TRIES = 400 };
	static buzhash_finder *const ways[] = { buzhash_find, buzhash_find_portable,
						buzhash_find_vector };
	static const unsigned windows[] = { 1, 2, 31, 32, 33, 63, 64, 100, 1023 };
	uint8_t *p = malloc(LEN);
	uint32_t *hashes = malloc(LEN * sizeof(*hashes));
	struct buzhash one;

	(void)state;
	mixed(p, LEN);
	buzhash_init(&one, 0xabcdef01, 1, 0);
	for (size_t w = 0; w < sizeof(windows) / sizeof(windows[0]); w++) {
		unsigned window = windows[w];
		size_t count = LEN - window;

		for (size_t i = 0; i <= count; i++)
			hashes[i] = hash_by_definition(&one, p + i, window);
		for (size_t t = 0; t < 3 * TRIES; t++) {
			size_t end = next_random() % (count + 1),
			       from = next_random() % (end + 1);
			size_t want = from, width = next_random() % 12;
			uint32_t h = hashes[from], mask = (1u << width) - 1;
			struct buzhash b;

			buzhash_init(&b, 0xabcdef01, window, mask);
			while (want < end && (hashes[want] & mask))
				want++;
			if (ways[t % 3] == buzhash_find_vector && !buzhash_vector_usable())
				continue;
			assert_int_equal(ways[t % 3](&b, p, from, end, &h), want);
			assert_int_equal(h, hashes[want]);
		}
	}
	free(hashes);
	free(p);
}

/* --- parameters --- */

static const struct params_row {
	const char *name;
	struct chunker_params want;
	const char *says; /* NULL: accepted */
} params[] = {
#define BUZHASH(min, max, mask, window)                                                        \
	{                                                                                      \
		CHUNKER_BUZHASH, min, max, mask, window, 0, 0                                  \
	}
#define FIXED(block, header)                                                                   \
	{                                                                                      \
		CHUNKER_FIXED, 0, 0, 0, 0, block, header                                       \
	}
#define NO    FIXED(0, 0)
#define VALUE "invalid ChunkerParams value: "
	{ "default", BUZHASH(19, 23, 21, 4095), NULL },
	{ " Default ", BUZHASH(19, 23, 21, 4095), NULL },
	{ "19,23,21,4095", BUZHASH(19, 23, 21, 4095), NULL },
	{ "buzhash,19,23,21,4095", BUZHASH(19, 23, 21, 4095), NULL },
	{ "BUZHASH, 10 ,23,16,+4095", BUZHASH(10, 23, 16, 4095), NULL },
	{ "10,23,16,64", BUZHASH(10, 23, 16, 64), NULL },
	{ "fixed,64", FIXED(64, 0), NULL },
	{ "fixed,4194304,512", FIXED(4194304, 512), NULL },
	{ "FIXED,1_000", FIXED(1000, 0), NULL },
	{ "fixed,20971479,20971479", FIXED(20971479, 20971479), NULL },
	{ "", NO, VALUE "''" },
	{ "1__0,23,16,64", NO, VALUE "'1__0,23,16,64'" },
	{ "_10,23,16,64", NO, VALUE "'_10,23,16,64'" },
	{ "10_,23,16,64", NO, VALUE "'10_,23,16,64'" },
	{ "default,1", NO, VALUE "'default,1'" },
	{ "fixed", NO, VALUE "'fixed'" },
	{ "fixed,", NO, VALUE "'fixed,'" },
	{ "fixed,x", NO, VALUE "'fixed,x'" },
	{ "fixed ,64", NO, VALUE "'fixed ,64'" },
	{ "fixed,1,2,3", NO, VALUE "'fixed,1,2,3'" },
	{ "buzhash,19,23,21", NO, VALUE "'buzhash,19,23,21'" },
	{ "19,23,21", NO, VALUE "'19,23,21'" },
	{ "1,2,3,4,5", NO, VALUE "'1,2,3,4,5'" },
	{ "buzhash,1,2,3,4,5,6,7,8", NO, VALUE "'buzhash,1,2,3,4,5,6,7,8'" },
	{ "a,b,c,d", NO, VALUE "'a,b,c,d'" },
	{ "fixed,63", NO, VALUE "'fixed,63' (block_size must not be less than 64 Bytes)" },
	{ "fixed,20971480", NO,
	  VALUE "'fixed,20971480' (block_size and header_size must not exceed MAX_DATA_SIZE "
		"[20971479])" },
	{ "fixed,64,20971480", NO,
	  VALUE "'fixed,64,20971480' (block_size and header_size must not exceed MAX_DATA_SIZE "
		"[20971479])" },
	{ "fixed,64,-1", NO, VALUE "'fixed,64,-1' (header_size must not be negative)" },
	{ "19,23,24,4095", NO,
	  VALUE "'19,23,24,4095' (required: chunk_min <= chunk_mask <= chunk_max)" },
	{ "19,23,18,4095", NO,
	  VALUE "'19,23,18,4095' (required: chunk_min <= chunk_mask <= chunk_max)" },
	{ "99999999999999999999,23,21,4095", NO,
	  VALUE "'99999999999999999999,23,21,4095' (required: chunk_min <= chunk_mask <= "
		"chunk_max)" },
	{ "-6,23,21,4095", NO,
	  VALUE "'-6,23,21,4095' (min. chunk size exponent must not be less than 6 (2^6 = 64B "
		"min. chunk size))" },
	{ "5,23,21,4095", NO,
	  VALUE "'5,23,21,4095' (min. chunk size exponent must not be less than 6 (2^6 = 64B "
		"min. chunk size))" },
	{ "19,24,21,4095", NO,
	  VALUE "'19,24,21,4095' (max. chunk size exponent must not be more than 23 (2^23 = "
		"8MiB max. chunk size))" },
	{ "19,23,21,0", NO, VALUE "'19,23,21,0' (window size must be at least 1 byte)" },
	{ "19,23,21,-5", NO, VALUE "'19,23,21,-5' (window size must be at least 1 byte)" },
	{ "10,10,10,1", NO, VALUE "'10,10,10,1' (too small max_size)" },
	{ "10,11,10,1024", NO, VALUE "'10,11,10,1024' (too small max_size)" },
	{ "10,11,10,1023", BUZHASH(10, 11, 10, 1023), NULL },
};

static void read_parameters(const void *row)
{
	const struct params_row *r = row;
	struct chunker_params p = NO;
	struct chunker *c = NULL;
	struct err e = ERR_INIT;

	if (r->says) {
		assert_int_equal(chunker_params_parse(r->name, &p, &e), -EINVAL);
		assert_string_equal(e.msg, r->says);
		return;
	}
	assert_int_equal(chunker_params_parse(r->name, &p, &e), 0);
	assert_memory_equal(&p, &r->want, sizeof(p));
	assert_int_equal(chunker_new(&c, &p, 0, &e), 0);
	chunker_free(c);
}

/* What is written is what can be read. */
static void parameters_are_written(void **state)
{
	static const char *const texts[][2] = {
		{ "default", "buzhash,19,23,21,4095" },
		{ "10,23,16,4095", "buzhash,10,23,16,4095" },
		{ "buzhash,6,23,7,255", "buzhash,6,23,7,255" },
		{ " fixed,4194304", "fixed,4194304" },
		{ "fixed,4096,512", "fixed,4096,512" },
		{ "fixed,4096,0", "fixed,4096" },
		{ "fixed,20971479,20971479", "fixed,20971479,20971479" },
	};
	struct chunker_params p[7];
	char text[CHUNKER_PARAMS_TEXT];

	(void)state;
	for (size_t i = 0; i < 7; i++) {
		assert_int_equal(chunker_params_parse(texts[i][0], &p[i], NULL), 0);
		assert_string_equal(chunker_params_format(&p[i], text), texts[i][1]);
	}
	for (size_t i = 0; i < 7; i++)
		for (size_t k = 0; k < 7; k++)
			assert_int_equal(chunker_params_equal(&p[i], &p[k]), i == k);
}

/* Parameters from elsewhere than a command line are checked too. */
static void impossible_parameters_are_refused(void **state)
{
	struct chunker_params p = BUZHASH(19, 40, 21, 4095);
	struct chunker *c = NULL;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(chunker_new(&c, &p, 0, &e), -EINVAL);
	assert_null(c);
	p = (struct chunker_params)BUZHASH(19, 23, 21, UINT32_MAX);
	assert_int_equal(chunker_new(&c, &p, 0, &e), -EINVAL);
	assert_string_equal(e.msg, "too small max_size");
	p = (struct chunker_params)FIXED(0, 0);
	assert_int_equal(chunker_new(&c, &p, 0, &e), -EINVAL);
	assert_null(c);
}

/* Ranges of a sparse file: each ends with its own short block, one scan for all. */
static void each_range_ends_with_its_own_block(void **state)
{
	struct chunker *c = make("fixed,64,100", 0);
	struct chunker_scan s = { 0 };
	uint8_t p[200] = { 0 };

	(void)state;
	assert_int_equal(chunker_cut(c, &s, (struct bytes){ p, 200 }, false), 64);
	assert_int_equal(chunker_cut(c, &s, (struct bytes){ p, 136 }, false), 36);
	assert_int_equal(chunker_cut(c, &s, (struct bytes){ p, 50 }, true), 50);
	assert_int_equal(chunker_cut(c, &s, (struct bytes){ p, 100 }, true), 64);
	assert_int_equal(chunker_cut(c, &s, (struct bytes){ p, 36 }, true), 36);
	assert_int_equal(s.at, 250);
	chunker_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes_of_the_format),
		cmocka_unit_test(every_search_stops_where_the_definition_says),
		cmocka_unit_test(parameters_are_written),
		cmocka_unit_test(impossible_parameters_are_refused),
		cmocka_unit_test(each_range_ends_with_its_own_block)
	};
	int failed;

	random_state = test_seed() | 1;
	failed = run_table(lists, cut_as_listed);
	failed += run_table(sweeps, cut_as_borg_does);
	failed += run_table(params, read_parameters);
	return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
