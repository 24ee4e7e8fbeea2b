/* hints.c - see hints.h. */

#include "core/repo/hints.h"

#include "core/base/io.h"
#include "core/codec/mp.h"
#include "core/repo/integrity.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	VERSION = 2,
	VERSION_OF_1_0 = 1, /* "compact" is a list without bytes */
	FEW = 2,
};

static const size_t FILE_MAX = (size_t)1 << 32; /* 100 million superseded objects */

void hints_init(struct hints *h)
{
	*h = (struct hints){ 0 };
	table_init(&h->segments, sizeof(uint64_t), sizeof(struct segment_use));
	table_init(&h->shadow, sizeof(struct chunk_id), sizeof(struct shadow));
}

static void shadow_fini(struct shadow *s)
{
	if (s->cap > FEW)
		free(s->v.many);
}

void hints_fini(struct hints *h)
{
	size_t cursor = 0;
	const void *key;
	void *value;

	while (table_next(&h->shadow, &cursor, &key, &value))
		shadow_fini(value);
	table_fini(&h->shadow);
	table_fini(&h->segments);
}

/* --- segments --- */

struct segment_use *hints_segment(const struct hints *h, uint32_t number)
{
	uint64_t key = number;

	return table_get(&h->segments, &key);
}

static struct segment_use *make_segment(struct hints *h, uint32_t number)
{
	uint64_t key = number;

	return table_put(&h->segments, &key, NULL);
}

int hints_list(struct hints *h, uint32_t number)
{
	return hints_live(h, number, 0);
}

int hints_live(struct hints *h, uint32_t number, int64_t add)
{
	struct segment_use *use = make_segment(h, number);

	if (!use)
		return -ENOMEM;
	use->listed = true;
	use->live += add;
	return 0;
}

int hints_freeable(struct hints *h, uint32_t number, int64_t add)
{
	struct segment_use *use = make_segment(h, number);

	if (!use)
		return -ENOMEM;
	use->sparse = true;
	use->freeable += add;
	return 0;
}

int hints_set_freeable(struct hints *h, uint32_t number, int64_t bytes)
{
	struct segment_use *use = make_segment(h, number);

	if (!use)
		return -ENOMEM;
	use->sparse = true;
	use->freeable = bytes;
	return 0;
}

void hints_forget_segment(struct hints *h, uint32_t number)
{
	uint64_t key = number;

	table_remove(&h->segments, &key);
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* The numbers of all listed, or of all sparse, segments. */
static int numbers_of(const struct hints *h, bool sparse, uint32_t **out, size_t *count)
{
	uint32_t *v = calloc(h->segments.count + 1, sizeof(*v));
	size_t cursor = 0, n = 0;
	const void *key;
	void *value;

	if (!v)
		return -ENOMEM;
	while (table_next(&h->segments, &cursor, &key, &value)) {
		const struct segment_use *use = value;

		if (sparse ? use->sparse : use->listed)
			v[n++] = (uint32_t) * (const uint64_t *)key;
	}
	qsort(v, n, sizeof(*v), compare);
	*out = v;
	*count = n;
	return 0;
}

int hints_sparse(const struct hints *h, uint32_t **out, size_t *count)
{
	return numbers_of(h, true, out, count);
}

/* --- shadows --- */

static const uint32_t *shadow_list(const struct shadow *s)
{
	return s->cap > FEW ? s->v.many : s->v.few;
}

static int shadow_push(struct shadow *s, uint32_t segment)
{
	uint32_t cap = s->cap > FEW ? s->cap : FEW;

	if (s->count == cap) {
		uint32_t *more = malloc(2 * (size_t)cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		memcpy(more, shadow_list(s), s->count * sizeof(*more));
		shadow_fini(s);
		s->v.many = more;
		s->cap = 2 * cap;
	}
	(s->cap > FEW ? s->v.many : s->v.few)[s->count++] = segment;
	return 0;
}

int hints_shadow_add(struct hints *h, const struct chunk_id *id, uint32_t segment)
{
	struct shadow *s = table_put(&h->shadow, id, NULL);

	return s ? shadow_push(s, segment) : -ENOMEM;
}

void hints_shadow_drop(struct hints *h, const struct chunk_id *id, uint32_t segment)
{
	struct shadow *s = table_get(&h->shadow, id);
	uint32_t *v;

	if (!s)
		return;
	v = s->cap > FEW ? s->v.many : s->v.few;
	for (uint32_t i = 0; i < s->count; i++) {
		if (v[i] != segment)
			continue;
		memmove(v + i, v + i + 1, (s->count - i - 1) * sizeof(*v));
		s->count--;
		return;
	}
}

const struct shadow *hints_shadow(const struct hints *h, const struct chunk_id *id)
{
	return table_get(&h->shadow, id);
}

bool shadow_has_below(const struct shadow *s, uint32_t segment)
{
	const uint32_t *v = shadow_list(s);

	for (uint32_t i = 0; i < s->count; i++)
		if (v[i] < segment)
			return true;
	return false;
}

void hints_shadow_forget(struct hints *h, const struct chunk_id *id)
{
	struct shadow *s = table_get(&h->shadow, id);

	if (!s)
		return;
	shadow_fini(s);
	table_remove(&h->shadow, id);
}

/* --- the file --- */

static uint32_t get_number(struct mp *m)
{
	uint64_t v = mp_uint(m);

	if (v > UINT32_MAX)
		m->bad = true;
	return (uint32_t)v;
}

static int read_segments(struct hints *h, struct mp *m)
{
	for (uint32_t left = mp_map(m); left > 0 && mp_ok(m); left--) {
		uint32_t number = get_number(m);
		int64_t live = mp_int(m);

		if (mp_ok(m) && hints_live(h, number, live) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int read_compact(struct hints *h, struct mp *m)
{
	for (uint32_t left = mp_map(m); left > 0 && mp_ok(m); left--) {
		uint32_t number = get_number(m);
		int64_t bytes = mp_int(m);

		if (mp_ok(m) && hints_set_freeable(h, number, bytes) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int read_shadow_list(struct hints *h, struct mp *m, uint32_t transaction)
{
	struct bytes key = mp_str(m);
	uint32_t left = mp_array(m);
	struct shadow *s;
	struct chunk_id id;

	if (key.len != CHUNK_ID_SIZE)
		m->bad = true;
	if (!mp_ok(m))
		return 0;
	memcpy(id.b, key.p, CHUNK_ID_SIZE);
	s = table_put(&h->shadow, &id, NULL);
	if (!s)
		return -ENOMEM;
	for (; left > 0 && mp_ok(m); left--) {
		uint32_t segment = get_number(m);

		if (mp_ok(m) && segment <= transaction && shadow_push(s, segment) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int read_shadow(struct hints *h, struct mp *m, uint32_t transaction)
{
	int rc = 0;

	for (uint32_t left = mp_map(m); rc == 0 && left > 0 && mp_ok(m); left--)
		rc = read_shadow_list(h, m, transaction);
	return rc;
}

static int read_pair(struct hints *h, struct mp *m, uint32_t transaction)
{
	struct bytes key = mp_str(m);

	if (bytes_is(key, "segments"))
		return read_segments(h, m);
	if (bytes_is(key, "compact"))
		return read_compact(h, m);
	if (bytes_is(key, "shadow_index"))
		return read_shadow(h, m, transaction);
	if (bytes_is(key, "storage_quota_use"))
		h->quota_use = mp_int(m);
	else
		mp_skip(m);
	return 0;
}

/* The version first, since it says what the rest looks like. */
static int64_t version_of(struct bytes file)
{
	struct mp m = mp_read(file);

	for (uint32_t left = mp_map(&m); left > 0 && mp_ok(&m); left--) {
		if (bytes_is(mp_str(&m), "version"))
			return mp_int(&m);
		mp_skip(&m);
	}
	return 0;
}

static bool digest_holds(int dirfd, const char *name, uint32_t transaction, struct bytes file)
{
	CLEANUP(integrity_freep) struct integrity *s = integrity_new(name);
	CLEANUP(buf_fini) struct buf text = BUF_INIT;

	if (!integrity_read(dirfd, transaction, "hints", &text))
		return true; /* nothing to compare with, as Borg has it */
	if (!s)
		return false;
	integrity_update(s, file.p, file.len);
	return integrity_matches(s, buf_bytes(&text)) != 0;
}

int hints_read(struct hints *h, int dirfd, uint32_t transaction, struct err *e)
{
	CLEANUP(buf_fini) struct buf file = BUF_INIT;
	char name[24];
	int64_t version;
	struct mp m;
	int rc;

	snprintf(name, sizeof(name), "hints.%" PRIu32, transaction);
	rc = file_read(dirfd, name, FILE_MAX, &file, e);
	if (rc == -ENOMEM)
		return rc;
	if (rc < 0 || !digest_holds(dirfd, name, transaction, buf_bytes(&file)))
		return 0;
	version = version_of(buf_bytes(&file));
	if (version > VERSION)
		return err_set(e, ENOTSUP, "%s: version %" PRId64 " is not known", name,
			       version);
	if (version != VERSION)
		return 0;
	m = mp_read(buf_bytes(&file));
	rc = 0;
	for (uint32_t left = mp_map(&m); rc == 0 && left > 0 && mp_ok(&m); left--)
		rc = read_pair(h, &m, transaction);
	if (rc < 0)
		return err_nomem(e, name);
	if (mp_ok(&m))
		return 1;
	hints_fini(h);
	hints_init(h);
	return 0;
}

static int pack_numbers(const struct hints *h, bool sparse, struct buf *out)
{
	CLEANUP(cleanup_freep) uint32_t *v = NULL;
	size_t count;
	int rc = numbers_of(h, sparse, &v, &count);

	if (rc == 0)
		rc = mp_put_map(out, (uint32_t)count);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		const struct segment_use *use = hints_segment(h, v[i]);

		rc = mp_put_uint(out, v[i]);
		if (rc == 0)
			rc = mp_put_int(out, sparse ? use->freeable : use->live);
	}
	return rc;
}

static int pack_shadow(const struct hints *h, struct buf *out)
{
	size_t cursor = 0;
	const void *key;
	void *value;
	int rc = mp_put_map(out, (uint32_t)h->shadow.count);

	while (rc == 0 && table_next(&h->shadow, &cursor, &key, &value)) {
		const struct shadow *s = value;
		const uint32_t *v = shadow_list(s);

		rc = mp_put_str(out, (struct bytes){ key, CHUNK_ID_SIZE });
		if (rc == 0)
			rc = mp_put_array(out, s->count);
		for (uint32_t i = 0; rc == 0 && i < s->count; i++)
			rc = mp_put_uint(out, v[i]);
	}
	return rc;
}

int hints_pack(const struct hints *h, struct buf *out)
{
	if (mp_put_map(out, 5) < 0 || mp_put_str(out, bytes_str("version")) < 0 ||
	    mp_put_uint(out, VERSION) < 0 || mp_put_str(out, bytes_str("segments")) < 0 ||
	    pack_numbers(h, false, out) < 0 || mp_put_str(out, bytes_str("compact")) < 0 ||
	    pack_numbers(h, true, out) < 0 ||
	    mp_put_str(out, bytes_str("storage_quota_use")) < 0 ||
	    mp_put_int(out, h->quota_use) < 0 || mp_put_str(out, bytes_str("shadow_index")) < 0)
		return -ENOMEM;
	return pack_shadow(h, out);
}

int hints_digest(struct bytes packed, uint32_t transaction, struct buf *text)
{
	CLEANUP(integrity_freep) struct integrity *s = NULL;
	char name[24];

	snprintf(name, sizeof(name), "hints.%" PRIu32, transaction);
	s = integrity_new(name);
	if (!s)
		return -ENOMEM;
	integrity_update(s, packed.p, packed.len);
	return integrity_finish(s, text);
}
