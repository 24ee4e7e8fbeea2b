/*
 * sha256_pair.c - see sha256_pair.h.
 *
 * The compression function is written once, for a constant number of lanes, and inlined for
 * one and for two; each lane's eight working words live in two registers, ABEF and CDGH, as the
 * instructions want them.  Everything above it (padding, unequal lengths) knows only "so many
 * whole blocks from here".
 */

#include "core/crypto/sha256_pair.h"

#include <assert.h>
#include <sodium.h>

const struct sha256_state SHA256_START = { { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
					     0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 } };

/* Whole blocks of one message. */
struct run {
	const uint8_t *p;
	size_t blocks;
};

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#define SHA_TARGET __attribute__((target("sha,sse4.1,ssse3")))

static const uint32_t round_constants[64] __attribute__((aligned(16))) = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2,
};

/* One lane: its working words, and the sixteen message words of the schedule. */
struct lane {
	__m128i abef, cdgh;
	__m128i w[4];
};

bool sha256_pair_usable(void)
{
	enum { SSSE3 = 1 << 9, SSE41 = 1 << 19, SHA = 1 << 29 };
	unsigned a, b, c, d;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & SSSE3) || !(c & SSE41))
		return false;
	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & SHA);
}

SHA_TARGET static inline void lane_load(struct lane *l, const struct sha256_state *s)
{
	__m128i dcba = _mm_loadu_si128((const __m128i *)(const void *)&s->h[0]);
	__m128i hgfe = _mm_loadu_si128((const __m128i *)(const void *)&s->h[4]);
	__m128i cdab = _mm_shuffle_epi32(dcba, 0xb1);
	__m128i efgh = _mm_shuffle_epi32(hgfe, 0x1b);

	l->abef = _mm_alignr_epi8(cdab, efgh, 8);
	l->cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
}

SHA_TARGET static inline void lane_store(const struct lane *l, struct sha256_state *s)
{
	__m128i feba = _mm_shuffle_epi32(l->abef, 0x1b);
	__m128i dchg = _mm_shuffle_epi32(l->cdgh, 0xb1);

	_mm_storeu_si128((__m128i *)(void *)&s->h[0], _mm_blend_epi16(feba, dchg, 0xf0));
	_mm_storeu_si128((__m128i *)(void *)&s->h[4], _mm_alignr_epi8(dchg, feba, 8));
}

SHA_TARGET static inline void lane_message(struct lane *l, const uint8_t *p)
{
	const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);

	for (int i = 0; i < 4; i++)
		l->w[i] = _mm_shuffle_epi8(
			_mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i)),
			big_endian);
}

/* Rounds 4r to 4r + 3; the message words they used become those of 16 rounds later. */
SHA_TARGET static inline __attribute__((always_inline)) void lane_rounds(struct lane *l, int r)
{
	const __m128i *constants = (const __m128i *)(const void *)round_constants;
	__m128i w = l->w[r & 3];
	__m128i wk = _mm_add_epi32(w, _mm_load_si128(constants + r));

	l->cdgh = _mm_sha256rnds2_epu32(l->cdgh, l->abef, wk);
	l->abef = _mm_sha256rnds2_epu32(l->abef, l->cdgh, _mm_shuffle_epi32(wk, 0x0e));
	if (r < 12) {
		__m128i last = l->w[(r + 3) & 3];
		__m128i back7 = _mm_alignr_epi8(last, l->w[(r + 2) & 3], 4);
		__m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w, l->w[(r + 1) & 3]), back7);

		l->w[r & 3] = _mm_sha256msg2_epu32(sum, last);
	}
}

SHA_TARGET static inline __attribute__((always_inline)) void
compress(struct sha256_state *const s[], const uint8_t *const from[], size_t blocks,
	 const int lanes)
{
	struct lane l[2];
	const uint8_t *p[2];

	for (int i = 0; i < lanes; i++) {
		lane_load(&l[i], s[i]);
		p[i] = from[i];
	}
	for (; blocks > 0; blocks--) {
		__m128i abef[2], cdgh[2];

		for (int i = 0; i < lanes; i++) {
			abef[i] = l[i].abef;
			cdgh[i] = l[i].cdgh;
			lane_message(&l[i], p[i]);
			p[i] += SHA256_BLOCK;
		}
#pragma GCC unroll 16
		for (int r = 0; r < 16; r++)
#pragma GCC unroll 2
			for (int i = 0; i < lanes; i++)
				lane_rounds(&l[i], r);
		for (int i = 0; i < lanes; i++) {
			l[i].abef = _mm_add_epi32(l[i].abef, abef[i]);
			l[i].cdgh = _mm_add_epi32(l[i].cdgh, cdgh[i]);
		}
	}
	for (int i = 0; i < lanes; i++)
		lane_store(&l[i], s[i]);
}

SHA_TARGET static void advance_one(struct sha256_state *s, const uint8_t *p, size_t blocks)
{
	compress(&s, &p, blocks, 1);
}

SHA_TARGET static void advance_both(struct sha256_state *a, const uint8_t *pa,
				    struct sha256_state *b, const uint8_t *pb, size_t blocks)
{
	struct sha256_state *const s[2] = { a, b };
	const uint8_t *const p[2] = { pa, pb };

	compress(s, p, blocks, 2);
}

#else

bool sha256_pair_usable(void)
{
	return false;
}

static void advance_one(struct sha256_state *s, const uint8_t *p, size_t blocks)
{
	(void)s, (void)p, (void)blocks;
	assert(!"no SHA instructions on this processor");
}

static void advance_both(struct sha256_state *a, const uint8_t *pa, struct sha256_state *b,
			 const uint8_t *pb, size_t blocks)
{
	(void)b, (void)pb;
	advance_one(a, pa, blocks);
}

#endif

static void advance(struct sha256_message m[2], const struct run run[2])
{
	size_t both = run[0].blocks < run[1].blocks ? run[0].blocks : run[1].blocks;

	if (both > 0)
		advance_both(&m[0].state, run[0].p, &m[1].state, run[1].p, both);
	for (int i = 0; i < 2; i++)
		if (run[i].blocks > both)
			advance_one(&m[i].state, run[i].p + both * SHA256_BLOCK,
				    run[i].blocks - both);
}

/* The last, incomplete block of a message with its padding: one block, or two. */
struct tail {
	uint8_t p[2 * SHA256_BLOCK];
};

static struct run body_of(const struct sha256_message *m)
{
	return (struct run){ m->rest.p, m->rest.len / SHA256_BLOCK };
}

static struct run tail_of(const struct sha256_message *m, struct tail *t)
{
	enum { LENGTH = 8 /* bytes at the end of the padding */ };
	size_t left = m->rest.len % SHA256_BLOCK;
	size_t len = left + 1 + LENGTH > SHA256_BLOCK ? 2 * SHA256_BLOCK : SHA256_BLOCK;

	memset(t->p, 0, len);
	if (left > 0)
		memcpy(t->p, m->rest.p + m->rest.len - left, left);
	t->p[left] = 0x80;
	put_be64(t->p + len - LENGTH, (m->done + m->rest.len) * 8);
	return (struct run){ t->p, len / SHA256_BLOCK };
}

static void put_state(const struct sha256_state *s, uint8_t out[SHA256_SIZE])
{
	for (int i = 0; i < 8; i++)
		put_be32(out + 4 * i, s->h[i]);
}

void sha256_block(struct sha256_state *s, const uint8_t block[SHA256_BLOCK])
{
	advance_one(s, block, 1);
}

void sha256_one(struct sha256_message *m, uint8_t out[SHA256_SIZE])
{
	struct run body = body_of(m), end;
	struct tail tail;

	if (body.blocks > 0)
		advance_one(&m->state, body.p, body.blocks);
	end = tail_of(m, &tail);
	advance_one(&m->state, end.p, end.blocks);
	put_state(&m->state, out);
}

void sha256_pair(struct sha256_message m[2], uint8_t out[2][SHA256_SIZE])
{
	struct tail tails[2];
	const struct run bodies[2] = { body_of(&m[0]), body_of(&m[1]) };
	const struct run ends[2] = { tail_of(&m[0], &tails[0]), tail_of(&m[1], &tails[1]) };

	advance(m, bodies);
	advance(m, ends);
	put_state(&m[0].state, out[0]);
	put_state(&m[1].state, out[1]);
}

/* The padding of a message whose whole blocks are done, and its digest. */
static void finish(struct sha256_message *m, uint8_t out[SHA256_SIZE])
{
	struct tail tail;
	struct run end = tail_of(m, &tail);

	advance_one(&m->state, end.p, end.blocks);
	put_state(&m->state, out);
}

struct turn { /* of one of the two lanes */
	size_t which;
	struct run left;
};

static void advance_turns(struct sha256_message *m, struct turn turns[2])
{
	size_t blocks = turns[0].left.blocks < turns[1].left.blocks ? turns[0].left.blocks
								    : turns[1].left.blocks;

	if (blocks > 0)
		advance_both(&m[turns[0].which].state, turns[0].left.p,
			     &m[turns[1].which].state, turns[1].left.p, blocks);
	for (int i = 0; i < 2; i++) {
		turns[i].left.p += blocks * SHA256_BLOCK;
		turns[i].left.blocks -= blocks;
	}
}

void sha256_many(struct sha256_message *m, size_t count, uint8_t (*out)[SHA256_SIZE])
{
	struct turn turns[2], *ended = turns, *other;

	if (count == 1)
		sha256_one(m, out[0]);
	if (count < 2)
		return;
	for (size_t i = 0; i < 2; i++)
		turns[i] = (struct turn){ i, body_of(&m[i]) };
	for (size_t next = 2;; next++) {
		advance_turns(m, turns);
		ended = turns[0].left.blocks == 0 ? &turns[0] : &turns[1];
		finish(&m[ended->which], out[ended->which]);
		if (next == count)
			break;
		*ended = (struct turn){ next, body_of(&m[next]) };
	}
	other = ended == turns ? &turns[1] : &turns[0];
	if (other->left.blocks > 0)
		advance_one(&m[other->which].state, other->left.p, other->left.blocks);
	finish(&m[other->which], out[other->which]);
}
