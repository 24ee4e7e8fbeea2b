/* item_scan.c - see item_scan.h. */

#include "core/archive/item_scan.h"

#include "core/codec/mp.h"

#include <errno.h>

enum {
	VALUE_MAX = 512 << 20, /* bytes of one record */
	/* Looking costs no more than this for a byte fed: hostile data must not make it
	 * quadratic. */
	WORK_FACTOR = 64,
	WORK_MORE = 1 << 20,
	HEAD_MAX = 3 + 2 + 255, /* a map's head and its first key's */
};

void item_scan_init(struct item_scan *s, const struct bytes *item_keys, size_t count)
{
	*s = (struct item_scan){ .item_keys = item_keys, .item_key_count = count };
}

void item_scan_fini(struct item_scan *s)
{
	buf_fini(&s->data);
}

int item_scan_feed(struct item_scan *s, struct bytes piece)
{
	size_t rest = s->data.len - s->at;

	if (s->at > 0 && rest > 0)
		memmove(s->data.p, s->data.p + s->at, rest);
	s->data.len = rest;
	s->at = 0;
	s->work += WORK_FACTOR * (uint64_t)piece.len + WORK_MORE;
	return buf_append(&s->data, piece.p, piece.len);
}

void item_scan_resync(struct item_scan *s)
{
	s->data.len = s->at = s->want = 0;
	s->resync = true;
	s->work = 0;
}

static size_t map_head(struct bytes data)
{
	if (data.len && (data.p[0] & 0xf0) == 0x80)
		return 1;
	return data.len && data.p[0] == 0xde ? 3 : 0;
}

bool item_scan_begins(struct bytes data, const struct bytes *keys, size_t count)
{
	size_t head = map_head(data);
	struct bytes text;
	struct mp key;

	if (head == 0 || data.len <= head ||
	    ((data.p[head] & 0xe0) != 0xa0 && data.p[head] != 0xd9 && data.p[head] != 0xda &&
	     data.p[head] != 0xdb))
		return false;
	key = mp_read((struct bytes){ data.p + head, data.len - head });
	text = mp_str(&key);
	for (size_t i = 0; mp_ok(&key) && i < count; i++)
		if (bytes_equal(keys[i], text))
			return true;
	return false;
}

static bool has_path(struct bytes map)
{
	struct mp m = mp_read(map);

	for (uint32_t left = mp_map(&m); left > 0 && mp_ok(&m); left--) {
		if (bytes_is(mp_str(&m), "path"))
			return mp_ok(&m);
		mp_skip(&m);
	}
	return false;
}

static struct bytes rest_from(const struct item_scan *s, size_t at)
{
	return (struct bytes){ s->data.p + at, s->data.len - at };
}

static void charge(struct item_scan *s, size_t bytes)
{
	s->work -= s->work < bytes ? s->work : bytes;
}

/* Does a record begin here?  1; 0; -EAGAIN: it might, with more behind it. */
static int record_at(struct item_scan *s, size_t at, struct bytes *value)
{
	struct bytes rest = rest_from(s, at);
	struct mp m = mp_read(rest);

	charge(s, 1);
	if (!item_scan_begins(rest, s->item_keys, s->item_key_count))
		return map_head(rest) && rest.len < HEAD_MAX ? -EAGAIN : 0;
	mp_skip(&m);
	charge(s, (size_t)(m.p - rest.p));
	if (!mp_ok(&m))
		return m.truncated ? -EAGAIN : 0;
	*value = (struct bytes){ rest.p, (size_t)(m.p - rest.p) };
	return has_path(*value);
}

/* The first whole record counts; the first that is cut off is where the next piece is looked at
 * from. */
static int find_record(struct item_scan *s, struct bytes *value)
{
	size_t candidate = SIZE_MAX;

	for (size_t i = s->at; i < s->data.len && s->work > 0; i++) {
		int rc = record_at(s, i, value);

		if (rc == 1) {
			s->at = i + value->len;
			s->resync = false;
			return 1;
		}
		if (rc == -EAGAIN && candidate == SIZE_MAX)
			candidate = i;
	}
	if (candidate == SIZE_MAX || s->work == 0 || s->data.len - candidate > VALUE_MAX)
		candidate = s->data.len;
	s->at = candidate;
	return 0;
}

static int next_value(struct item_scan *s, struct bytes *value)
{
	struct bytes rest = rest_from(s, s->at);
	struct mp m = mp_read(rest);

	mp_skip(&m);
	if (mp_ok(&m)) {
		*value = (struct bytes){ rest.p, (size_t)(m.p - rest.p) };
		s->at += value->len;
		s->want = 0;
		return 1;
	}
	if (!m.truncated || rest.len > VALUE_MAX)
		return -EBADMSG;
	s->want = 2 * rest.len - 1; /* so that a long one is not read over and over */
	return 0;
}

int item_scan_next(struct item_scan *s, struct bytes *value)
{
	if (s->resync)
		return find_record(s, value);
	if (s->data.len - s->at <= s->want)
		return 0;
	return next_value(s, value);
}

bool item_scan_rest(struct item_scan *s)
{
	s->want = 0;
	return !s->resync && s->at < s->data.len;
}
