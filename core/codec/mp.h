#ifndef CODEC_MP_H
#define CODEC_MP_H

/*
 * mp.h - MessagePack as Borg uses it: a reading cursor with bounds, canonical writing.
 *
 * The cursor goes bad once and stays bad: every later read yields zero or nothing, and the
 * caller tests mp_ok() once, at the end.  `truncated` tells input that merely ends too early
 * (a stream may have more) from input that is wrong.  Counts are compared with the bytes that
 * remain before anybody allocates for them.  str8, raw and bin are all byte strings.
 *
 * The readers are inline because most values of an item fit one byte of head: reading every
 * value of 100,000 items takes 6 to 7 ms (EPYC, one core), 12 ms through calls, and
 * msgpack-c needs 22 ms to build its objects of them, which somebody must then read.
 * (tests/bench/bench_object)
 *
 * Source: docs/format.md "MessagePack profile".
 * Threads: a cursor has one user.
 */

#include "core/base/bytes.h"

#include <stdbool.h>

enum { MP_DEPTH_MAX = 32 };

enum mp_type { MP_END, MP_NIL, MP_BOOL, MP_INT, MP_STR, MP_ARRAY, MP_MAP, MP_OTHER };

struct mp {
	const uint8_t *p;
	const uint8_t *end;
	bool bad;
	bool truncated; /* bad because the input ended */
};

static inline struct mp mp_read(struct bytes in)
{
	return (struct mp){ .p = in.p, .end = in.p + in.len };
}

static inline bool mp_ok(const struct mp *m)
{
	return !m->bad;
}

/* What a value is, by its first byte. */
extern const uint8_t MP_TYPES[256];

/* The readers' other halves: whatever does not fit one byte of head, and every refusal. */
int64_t mp_int_wide(struct mp *m);
uint64_t mp_uint_wide(struct mp *m);
struct bytes mp_str_wide(struct mp *m);
uint32_t mp_array_wide(struct mp *m);
uint32_t mp_map_wide(struct mp *m);

/* MP_END at the end or when bad. */
static inline enum mp_type mp_peek(const struct mp *m)
{
	return m->p == m->end ? MP_END : (enum mp_type)MP_TYPES[*m->p];
}

/* Consume a nil if that is what comes next. */
static inline bool mp_nil(struct mp *m)
{
	if (m->p == m->end || *m->p != 0xc0)
		return false;
	m->p++;
	return true;
}

bool mp_bool(struct mp *m);

/* Bad where the value does not fit. */
static inline int64_t mp_int(struct mp *m)
{
	if (m->p == m->end || *m->p >= 0x80)
		return mp_int_wide(m);
	return *m->p++;
}

/* Bad where negative. */
static inline uint64_t mp_uint(struct mp *m)
{
	if (m->p == m->end || *m->p >= 0x80)
		return mp_uint_wide(m);
	return *m->p++;
}

static inline struct bytes mp_str(struct mp *m)
{
	struct bytes s = { 0 };

	if (m->p == m->end || (*m->p & 0xe0) != 0xa0)
		return mp_str_wide(m);
	s.len = *m->p & 0x1f;
	if (s.len >= (size_t)(m->end - m->p))
		return mp_str_wide(m);
	s.p = m->p + 1;
	m->p += 1 + s.len;
	return s;
}

/* The number of elements that follow. */
static inline uint32_t mp_array(struct mp *m)
{
	if (m->p == m->end || (*m->p & 0xf0) != 0x90 || (*m->p & 0x0f) >= m->end - m->p)
		return mp_array_wide(m);
	return *m->p++ & 0x0f;
}

/* The number of key-value pairs that follow. */
static inline uint32_t mp_map(struct mp *m)
{
	if (m->p == m->end || (*m->p & 0xf0) != 0x80 || 2 * (*m->p & 0x0f) >= m->end - m->p)
		return mp_map_wide(m);
	return *m->p++ & 0x0f;
}

/* One whole value, nested at most MP_DEPTH_MAX deep. */
void mp_skip(struct mp *m);

/* Writing: minimal widths, raw family only.  0 or -ENOMEM. */
int mp_put_nil(struct buf *b);
int mp_put_bool(struct buf *b, bool v);
int mp_put_int(struct buf *b, int64_t v);
int mp_put_uint(struct buf *b, uint64_t v);
int mp_put_str(struct buf *b, struct bytes s);
int mp_put_array(struct buf *b, uint32_t count);
int mp_put_map(struct buf *b, uint32_t count);

#endif
