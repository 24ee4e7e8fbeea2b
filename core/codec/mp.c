/*
 * mp.c - see mp.h.
 *
 * Every reader checks the bytes that remain before it touches them; a count is compared with
 * the bytes that remain too, since each element takes at least one.
 */

#include "core/codec/mp.h"

#include <errno.h>

static void fail(struct mp *m, bool truncated)
{
	m->truncated = truncated && !m->bad ? true : m->truncated;
	m->bad = true;
	m->p = m->end;
}

static size_t left(const struct mp *m)
{
	return (size_t)(m->end - m->p);
}

/* clang-format off */
#define TWICE(...) __VA_ARGS__, __VA_ARGS__
#define TIMES_16(x) TWICE(TWICE(TWICE(TWICE(x))))

const uint8_t MP_TYPES[256] = {
	/* 00 */ TWICE(TWICE(TWICE(TIMES_16(MP_INT)))),
	/* 80 */ TIMES_16(MP_MAP),
	/* 90 */ TIMES_16(MP_ARRAY),
	/* a0 */ TWICE(TIMES_16(MP_STR)),
	/* c0 */ MP_NIL, MP_OTHER, MP_BOOL, MP_BOOL,
	/* c4 */ MP_STR, MP_STR, MP_STR, MP_OTHER, MP_OTHER, MP_OTHER, MP_OTHER, MP_OTHER,
	/* cc */ MP_INT, MP_INT, MP_INT, MP_INT, MP_INT, MP_INT, MP_INT, MP_INT,
	/* d4 */ MP_OTHER, MP_OTHER, MP_OTHER, MP_OTHER, MP_OTHER, MP_STR, MP_STR, MP_STR,
	/* dc */ MP_ARRAY, MP_ARRAY, MP_MAP, MP_MAP,
	/* e0 */ TWICE(TIMES_16(MP_INT)),
};
/* clang-format on */

bool mp_bool(struct mp *m)
{
	if (mp_peek(m) != MP_BOOL) {
		fail(m, left(m) == 0);
		return false;
	}
	return *m->p++ == 0xc3;
}

/* A big-endian integer of 1, 2, 4 or 8 bytes behind the head byte. */
static bool be_behind_head(struct mp *m, size_t size, uint64_t *out)
{
	const uint8_t *p = m->p + 1;

	if (left(m) < 1 + size) {
		fail(m, true);
		return false;
	}
	switch (size) {
	case 1: *out = *p; break;
	case 2: *out = get_be16(p); break;
	case 4: *out = get_be32(p); break;
	default: *out = get_be64(p); break;
	}
	m->p += 1 + size;
	return true;
}

/* *negative tells how to read the 64 bits. */
static bool integer(struct mp *m, uint64_t *out, bool *negative)
{
	uint8_t head;
	size_t size;

	*out = 0;
	*negative = false;
	if (left(m) == 0) {
		fail(m, true);
		return false;
	}
	head = *m->p;
	if (head < 0x80 || head >= 0xe0) {
		m->p++;
		*out = head < 0x80 ? head : (uint64_t)(int64_t)(int8_t)head;
		*negative = head >= 0xe0;
		return true;
	}
	if (head < 0xcc || head > 0xd3) {
		fail(m, false);
		return false;
	}
	size = (size_t)1 << (head & 3);
	if (!be_behind_head(m, size, out))
		return false;
	if (head >= 0xd0 && (*out >> (8 * size - 1)) & 1) {
		*negative = true;
		if (size < 8)
			*out |= UINT64_MAX << (8 * size);
	}
	return true;
}

int64_t mp_int_wide(struct mp *m)
{
	uint64_t v;
	bool negative;

	if (!integer(m, &v, &negative))
		return 0;
	if (!negative && v > INT64_MAX) {
		fail(m, false);
		return 0;
	}
	return (int64_t)v;
}

uint64_t mp_uint_wide(struct mp *m)
{
	uint64_t v;
	bool negative;

	if (!integer(m, &v, &negative))
		return 0;
	if (negative) {
		fail(m, false);
		return 0;
	}
	return v;
}

struct bytes mp_str_wide(struct mp *m)
{
	struct bytes none = { 0 }, s;
	uint64_t len;
	uint8_t head;

	if (left(m) == 0) {
		fail(m, true);
		return none;
	}
	head = *m->p;
	if (head >= 0xa0 && head < 0xc0) {
		len = head & 31;
		m->p++;
	} else if ((head >= 0xc4 && head <= 0xc6) || (head >= 0xd9 && head <= 0xdb)) {
		size_t size = (size_t)1 << (head < 0xd0 ? head - 0xc4 : head - 0xd9);

		if (!be_behind_head(m, size, &len))
			return none;
	} else {
		fail(m, false);
		return none;
	}
	if (len > left(m)) {
		fail(m, true);
		return none;
	}
	s = (struct bytes){ m->p, (size_t)len };
	m->p += len;
	return s;
}

/* Head bytes: fix | count, then wide16 and wide32. */
static uint32_t count(struct mp *m, uint8_t fix, uint8_t wide16, size_t element_min)
{
	uint64_t n;
	uint8_t head;

	if (left(m) == 0) {
		fail(m, true);
		return 0;
	}
	head = *m->p;
	if ((head & 0xf0) == fix) {
		n = head & 15;
		m->p++;
	} else if (head == wide16 || head == wide16 + 1) {
		if (!be_behind_head(m, head == wide16 ? 2 : 4, &n))
			return 0;
	} else {
		fail(m, false);
		return 0;
	}
	if (n * element_min > left(m)) {
		fail(m, true);
		return 0;
	}
	return (uint32_t)n;
}

uint32_t mp_array_wide(struct mp *m)
{
	return count(m, 0x90, 0xdc, 1);
}

uint32_t mp_map_wide(struct mp *m)
{
	return count(m, 0x80, 0xde, 2);
}

/* Floats, ext types and the reserved byte: no Borg data has them, skipping knows their size. */
static void skip_other(struct mp *m)
{
	uint64_t len;
	uint8_t head = *m->p;
	size_t size;

	if (head == 0xca || head == 0xcb) {
		size = head == 0xca ? 5 : 9;
	} else if (head >= 0xd4 && head <= 0xd8) {
		size = 2 + ((size_t)1 << (head - 0xd4));
	} else if (head >= 0xc7 && head <= 0xc9) {
		if (!be_behind_head(m, (size_t)1 << (head - 0xc7), &len))
			return;
		size = 1 + (size_t)len;
	} else {
		fail(m, false);
		return;
	}
	if (size > left(m))
		fail(m, true);
	else
		m->p += size;
}

void mp_skip(struct mp *m)
{
	uint64_t pending[MP_DEPTH_MAX]; /* values still to come, for each level */
	size_t depth = 0;

	pending[0] = 1;
	while (!m->bad) {
		uint64_t children = 0;

		if (pending[depth] == 0) {
			if (depth-- == 0)
				return;
			continue;
		}
		pending[depth]--;
		switch (mp_peek(m)) {
		case MP_END: fail(m, true); return;
		case MP_NIL:
		case MP_BOOL: m->p++; break;
		case MP_INT: {
			uint64_t v;
			bool negative;

			integer(m, &v, &negative);
			break;
		}
		case MP_STR: mp_str(m); break;
		case MP_ARRAY: children = mp_array(m); break;
		case MP_MAP: children = 2 * (uint64_t)mp_map(m); break;
		case MP_OTHER: skip_other(m); break;
		}
		if (children == 0)
			continue;
		if (depth + 1 == MP_DEPTH_MAX) {
			fail(m, false);
			return;
		}
		pending[++depth] = children;
	}
}

static int put_head(struct buf *b, uint8_t head, uint64_t v, size_t size)
{
	uint8_t bytes[9] = { head };

	for (size_t i = 0; i < size; i++)
		bytes[1 + i] = (uint8_t)(v >> (8 * (size - 1 - i)));
	return buf_append(b, bytes, 1 + size);
}

int mp_put_nil(struct buf *b)
{
	return buf_append_byte(b, 0xc0);
}

int mp_put_bool(struct buf *b, bool v)
{
	return buf_append_byte(b, v ? 0xc3 : 0xc2);
}

int mp_put_uint(struct buf *b, uint64_t v)
{
	if (v < 0x80)
		return buf_append_byte(b, (uint8_t)v);
	if (v <= UINT8_MAX)
		return put_head(b, 0xcc, v, 1);
	if (v <= UINT16_MAX)
		return put_head(b, 0xcd, v, 2);
	if (v <= UINT32_MAX)
		return put_head(b, 0xce, v, 4);
	return put_head(b, 0xcf, v, 8);
}

int mp_put_int(struct buf *b, int64_t v)
{
	if (v >= 0)
		return mp_put_uint(b, (uint64_t)v);
	if (v >= -32)
		return buf_append_byte(b, (uint8_t)v);
	if (v >= INT8_MIN)
		return put_head(b, 0xd0, (uint64_t)v, 1);
	if (v >= INT16_MIN)
		return put_head(b, 0xd1, (uint64_t)v, 2);
	if (v >= INT32_MIN)
		return put_head(b, 0xd2, (uint64_t)v, 4);
	return put_head(b, 0xd3, (uint64_t)v, 8);
}

int mp_put_str(struct buf *b, struct bytes s)
{
	int rc;

	if (s.len > UINT32_MAX)
		return -ENOMEM;
	if (s.len < 32)
		rc = buf_append_byte(b, (uint8_t)(0xa0 | s.len));
	else if (s.len <= UINT16_MAX)
		rc = put_head(b, 0xda, s.len, 2);
	else
		rc = put_head(b, 0xdb, s.len, 4);
	return rc < 0 ? rc : buf_append(b, s.p, s.len);
}

static int put_count(struct buf *b, uint8_t fix, uint8_t wide16, uint32_t n)
{
	if (n < 16)
		return buf_append_byte(b, (uint8_t)(fix | n));
	if (n <= UINT16_MAX)
		return put_head(b, wide16, n, 2);
	return put_head(b, (uint8_t)(wide16 + 1), n, 4);
}

int mp_put_array(struct buf *b, uint32_t n)
{
	return put_count(b, 0x90, 0xdc, n);
}

int mp_put_map(struct buf *b, uint32_t n)
{
	return put_count(b, 0x80, 0xde, n);
}
