/*
 * buzhash_vector.c - the search of buzhash.h for 64 positions at once, with AVX-512 VBMI.
 *
 * Let H(i) be the hash at position i of the search and X(i) = ror(H(i), i).  Sliding is then
 * X(i+1) = X(i) ^ D(i) with
 *
 *   D(i) = ror(ror(T[entering], 1) ^ rol(T[leaving], W-1), i)
 *
 * which does not depend on X: the X of a block are running XORs of its D, and a cut is where X(i)
 * has zeros under ror(mask, i).  As i only counts modulo 32, H = X where a block of 64 starts.
 *
 * The tables have 256 entries, which is four registers of bytes: a byte permutation looks up 64
 * bytes in half of one of the four planes of a table.
 *
 * Order: the four planes become four registers of 32-bit words by interleaving, which leaves
 * word 4L+t of register j the byte 16L+4j+t.  The bytes are shuffled before, so that it is the
 * one of position 4(4L+t)+j: position 4m+j is word m of register j, and a running XOR is three
 * steps across registers and one scan over the words of their sum.
 */

#include "core/codec/buzhash.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define VECTOR_TARGET __attribute__((target("avx512f,avx512bw,avx512vbmi")))

enum { BLOCK = 64 /* positions */, XOR3 = 0x96, XOR_AND = 0x28 /* (a ^ b) & c */ };

/* One plane of both tables, in quarters. */
struct plane {
	__m512i in[4], out[4];
};

/* The words of positions 4m, 4m+1, 4m+2, 4m+3. */
struct words {
	__m512i v[4];
};

int buzhash_vector_usable(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512vbmi");
}

VECTOR_TARGET static void load_planes(const struct buzhash *b, struct plane planes[4])
{
	for (int k = 0; k < 4; k++)
		for (int quarter = 0; quarter < 4; quarter++) {
			planes[k].in[quarter] =
				_mm512_load_si512(b->entering_planes[k] + 64 * quarter);
			planes[k].out[quarter] =
				_mm512_load_si512(b->leaving_planes[k] + 64 * quarter);
		}
}

/* The four words that hold v rotated right by each position's number. */
VECTOR_TARGET static struct words rotated(uint32_t v)
{
	uint32_t w[4][16];
	struct words out;

	for (unsigned i = 0; i < BLOCK; i++)
		w[i % 4][i / 4] = v >> (i & 31) | v << (-i & 31);
	for (int j = 0; j < 4; j++)
		out.v[j] = _mm512_loadu_si512(w[j]);
	return out;
}

VECTOR_TARGET static struct words positions(void)
{
	uint32_t w[4][16];
	struct words out;

	for (unsigned i = 0; i < BLOCK; i++)
		w[i % 4][i / 4] = i & 31;
	for (int j = 0; j < 4; j++)
		out.v[j] = _mm512_loadu_si512(w[j]);
	return out;
}

VECTOR_TARGET static inline __m512i look_up(const struct plane *t, __m512i in,
					    __mmask64 in_high, __m512i out, __mmask64 out_high)
{
	__m512i a = _mm512_maskz_permutex2var_epi8(~in_high, t->in[0], in, t->in[1]);
	__m512i b = _mm512_maskz_permutex2var_epi8(in_high, t->in[2], in, t->in[3]);
	__m512i c = _mm512_maskz_permutex2var_epi8(~out_high, t->out[0], out, t->out[1]);
	__m512i d = _mm512_maskz_permutex2var_epi8(out_high, t->out[2], out, t->out[3]);

	return _mm512_xor_si512(_mm512_ternarylogic_epi32(a, b, c, XOR3), d);
}

/* ror(T[entering], 1) ^ rol(T[leaving], W-1) of 64 positions. */
VECTOR_TARGET static inline struct words steps(const struct plane t[4], __m512i in, __m512i out)
{
	__mmask64 in_high = _mm512_movepi8_mask(in), out_high = _mm512_movepi8_mask(out);
	__m512i p0 = look_up(&t[0], in, in_high, out, out_high);
	__m512i p1 = look_up(&t[1], in, in_high, out, out_high);
	__m512i p2 = look_up(&t[2], in, in_high, out, out_high);
	__m512i p3 = look_up(&t[3], in, in_high, out, out_high);
	__m512i low0 = _mm512_unpacklo_epi8(p0, p1), low1 = _mm512_unpackhi_epi8(p0, p1);
	__m512i high0 = _mm512_unpacklo_epi8(p2, p3), high1 = _mm512_unpackhi_epi8(p2, p3);

	return (struct words){
		{ _mm512_unpacklo_epi16(low0, high0), _mm512_unpackhi_epi16(low0, high0),
		  _mm512_unpacklo_epi16(low1, high1), _mm512_unpackhi_epi16(low1, high1) }
	};
}

/* Word m becomes the XOR of words 0 to m. */
VECTOR_TARGET static inline __m512i scan(__m512i v)
{
	const __m512i zero = _mm512_setzero_si512();

	v = _mm512_xor_si512(v, _mm512_alignr_epi32(v, zero, 15));
	v = _mm512_xor_si512(v, _mm512_alignr_epi32(v, zero, 14));
	v = _mm512_xor_si512(v, _mm512_alignr_epi32(v, zero, 12));
	return _mm512_xor_si512(v, _mm512_alignr_epi32(v, zero, 8));
}

VECTOR_TARGET static inline __m512i load(const uint8_t *p)
{
	const __m512i order = _mm512_broadcast_i32x4(
		_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));

	return _mm512_shuffle_epi8(_mm512_loadu_si512(p), order);
}

VECTOR_TARGET size_t buzhash_find_vector(const struct buzhash *b, const uint8_t *data,
					 size_t from, size_t end, uint32_t *hash)
{
	const __m512i last = _mm512_set1_epi32(15);
	const uint8_t *ahead = data + b->window;
	struct words by = positions(), mask = rotated(b->mask);
	__m512i x = _mm512_set1_epi32((int)*hash); /* at the start of the block, in each word */
	struct plane planes[4];
	size_t p = from;

	load_planes(b, planes);
	for (; end - p >= BLOCK; p += BLOCK) {
		struct words d = steps(planes, load(ahead + p), load(data + p));
		__m512i d0 = _mm512_rorv_epi32(d.v[0], by.v[0]);
		__m512i d1 = _mm512_xor_si512(d0, _mm512_rorv_epi32(d.v[1], by.v[1]));
		__m512i d2 = _mm512_xor_si512(d1, _mm512_rorv_epi32(d.v[2], by.v[2]));
		__m512i sum = scan(_mm512_xor_si512(d2, _mm512_rorv_epi32(d.v[3], by.v[3])));
		__m512i x0 = _mm512_xor_si512(
			x, _mm512_alignr_epi32(sum, _mm512_setzero_si512(), 15));
		__m512i z0 = _mm512_and_si512(x0, mask.v[0]);
		__m512i z1 = _mm512_ternarylogic_epi32(x0, d0, mask.v[1], XOR_AND);
		__m512i z2 = _mm512_ternarylogic_epi32(x0, d1, mask.v[2], XOR_AND);
		__m512i z3 = _mm512_ternarylogic_epi32(x0, d2, mask.v[3], XOR_AND);
		__m512i least =
			_mm512_min_epu32(_mm512_min_epu32(z0, z1), _mm512_min_epu32(z2, z3));

		if (_mm512_testn_epi32_mask(least, least))
			break;
		x = _mm512_xor_si512(x, _mm512_permutexvar_epi32(last, sum));
	}
	/* The block with the cut, or what is left over, byte by byte. */
	*hash = (uint32_t)_mm_cvtsi128_si32(_mm512_castsi512_si128(x));
	return buzhash_find_portable(b, data, p, end, hash);
}

#else

int buzhash_vector_usable(void)
{
	return 0;
}

size_t buzhash_find_vector(const struct buzhash *b, const uint8_t *data, size_t from,
			   size_t end, uint32_t *hash)
{
	return buzhash_find_portable(b, data, from, end, hash);
}

#endif
