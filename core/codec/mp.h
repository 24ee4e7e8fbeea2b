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

enum mp_type mp_peek(const struct mp *m); /* MP_END at the end or when bad */
bool mp_nil(struct mp *m);                /* consume a nil if that is what comes next */
bool mp_bool(struct mp *m);
int64_t mp_int(struct mp *m);   /* bad where the value does not fit */
uint64_t mp_uint(struct mp *m); /* bad where negative */
struct bytes mp_str(struct mp *m);
uint32_t mp_array(struct mp *m); /* the number of elements that follow */
uint32_t mp_map(struct mp *m);   /* the number of key-value pairs that follow */
void mp_skip(struct mp *m);      /* one whole value, nested at most MP_DEPTH_MAX deep */

/* Writing: minimal widths, raw family only.  0 or -ENOMEM. */
int mp_put_nil(struct buf *b);
int mp_put_bool(struct buf *b, bool v);
int mp_put_int(struct buf *b, int64_t v);
int mp_put_uint(struct buf *b, uint64_t v);
int mp_put_str(struct buf *b, struct bytes s);
int mp_put_array(struct buf *b, uint32_t count);
int mp_put_map(struct buf *b, uint32_t count);

#endif
