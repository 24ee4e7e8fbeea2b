/*
 * test_extents.c - the map of a file against a plain array that says, byte by byte, what is there.
 */

#include "tests/support/tap.h"

#include "fs/extents.h"

static uint64_t random_state;

static uint64_t below(uint64_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % n;
}

enum { ROOM = 4000, CHUNKS = 5, CHUNK_SIZE = 300 };

/* What is at a byte: kind, which thing, and where in it. */
struct byte {
	uint8_t kind, which;
	uint64_t at;
};

struct model {
	struct byte bytes[ROOM];
	uint64_t len;
	long watched; /* extents told of */
};

static void count_change(void *arg, const struct extent *x, int by)
{
	struct model *m = arg;

	assert_true(x->len > 0);
	m->watched += by;
}

static struct extent chunk_piece(unsigned which, uint64_t off, uint32_t from, uint64_t len)
{
	struct extent x = {
		.off = off, .len = len, .size = CHUNK_SIZE, .from = from, .kind = EXTENT_CHUNK
	};

	memset(&x.id, (int)which, sizeof(x.id));
	return x;
}

static struct extent random_extent(uint64_t off)
{
	struct extent x = { .off = off, .len = 1 + below(200), .kind = (uint8_t)below(4) };

	switch ((enum extent_kind)x.kind) {
	case EXTENT_HOLE: break;
	case EXTENT_SPILL: x.pos = 10000 + off; break; /* so neighbours often join */
	case EXTENT_CHUNK:
	case EXTENT_FLIGHT:
		x.from = (uint32_t)below(CHUNK_SIZE);
		if (off >= 100 && below(2))
			x.from = (uint32_t)((off - 100) % CHUNK_SIZE);
		if (x.len > CHUNK_SIZE - x.from)
			x.len = CHUNK_SIZE - x.from;
		if (x.kind == EXTENT_CHUNK)
			return chunk_piece(1 + (unsigned)below(CHUNKS), off, x.from, x.len);
		x.flight = (struct flight *)(uintptr_t)(8 + 8 * below(2));
		x.size = CHUNK_SIZE;
		break;
	}
	return x;
}

static struct byte byte_of(const struct extent *x, uint64_t i)
{
	struct byte b = { .kind = x->kind };

	switch ((enum extent_kind)x->kind) {
	case EXTENT_HOLE: break;
	case EXTENT_SPILL: b.at = x->pos + i; break;
	case EXTENT_CHUNK:
		b.which = x->id.b[0];
		b.at = x->from + i;
		break;
	case EXTENT_FLIGHT:
		b.which = (uint8_t)(uintptr_t)x->flight;
		b.at = x->from + i;
		break;
	}
	return b;
}

/* Would the extents before and behind `off` be one? */
static bool joins(const struct model *m, uint64_t off)
{
	struct byte a = m->bytes[off - 1], b = m->bytes[off];

	return a.kind == b.kind && a.which == b.which &&
	       (a.kind == EXTENT_HOLE || a.at + 1 == b.at);
}

struct walk {
	struct model *m;
	uint64_t at;
	size_t count;
};

static int check_extent(void *arg, struct extent *x)
{
	struct walk *w = arg;

	assert_int_equal(x->off, w->at);
	if (x->off > 0)
		assert_false(joins(w->m, x->off));
	for (uint64_t i = 0; i < x->len; i++) {
		struct byte got = byte_of(x, i), want = w->m->bytes[x->off + i];

		assert_int_equal(got.kind, want.kind);
		assert_int_equal(got.which, want.which);
		assert_int_equal(got.at, want.at);
	}
	w->at = extent_end(x);
	w->count++;
	return 0;
}

static void check(struct extents *t, struct model *m)
{
	struct walk w = { .m = m };
	uint64_t off = below(ROOM);
	struct extent x;

	assert_int_equal(extents_each(t, 0, UINT64_MAX, check_extent, &w), 0);
	assert_int_equal(w.at, m->len);
	assert_int_equal(w.count, t->count);
	assert_int_equal(m->watched, t->count);
	assert_int_equal(extents_end(t), m->len);
	assert_int_equal(extents_at(t, off, &x), off < m->len);
	if (off < m->len)
		assert_true(x.off <= off && off < extent_end(&x));
}

static void replace(struct extents *t, struct model *m, const struct extents_watch *w,
		    const struct extent *x)
{
	struct extents_room room;

	assert_int_equal(extents_reserve(t, &room), 0);
	extents_replace(t, x, &room, w);
	extents_room_fini(&room);
	for (uint64_t i = 0; i < x->len; i++)
		m->bytes[x->off + i] = byte_of(x, i);
	if (extent_end(x) > m->len)
		m->len = extent_end(x);
}

static void any_changes(void **state)
{
	size_t steps = test_count(20000, 1000000);
	struct extents t = { .count = 0 };
	struct model *m = calloc(1, sizeof(*m));
	struct extents_watch w = { count_change, m };

	(void)state;
	random_state = test_seed() | 1;
	for (size_t i = 0; i < steps; i++) {
		if (below(20) == 0) {
			uint64_t end = below(m->len + 1);

			if (below(10) == 0)
				end = 0;
			extents_truncate(&t, end, &w);
			m->len = end < m->len ? end : m->len;
		} else {
			struct extent x = random_extent(below(m->len + 1));

			if (extent_end(&x) <= ROOM)
				replace(&t, m, &w, &x);
		}
		check(&t, m);
	}
	extents_fini(&t, &w);
	assert_int_equal(m->watched, 0);
	assert_int_equal(t.count, 0);
	free(m);
}

static int stop_at_second(void *arg, struct extent *x)
{
	(void)x;
	return ++*(int *)arg == 2 ? 42 : 0;
}

/* A range walks over what it touches, and no more; the walk ends where it is told to. */
static void a_range(void **state)
{
	struct extents t = { .count = 0 };
	struct model *m = calloc(1, sizeof(*m));
	struct extents_watch w = { count_change, m };
	int seen = 0;

	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		struct extent x = chunk_piece(i + 1, i * CHUNK_SIZE, 0, CHUNK_SIZE);

		replace(&t, m, &w, &x);
	}
	assert_int_equal(t.count, 10);
	assert_int_equal(extents_each(&t, CHUNK_SIZE, 5 * CHUNK_SIZE, stop_at_second, &seen),
			 42);
	assert_int_equal(seen, 2);
	seen = 10;
	assert_int_equal(
		extents_each(&t, CHUNK_SIZE - 1, 3 * CHUNK_SIZE, stop_at_second, &seen), 0);
	assert_int_equal(seen, 13);
	extents_fini(&t, &w);
	free(m);
}

/* Copied in ranges of any sizes, in any order, a list of chunks is that list again. */
static void pieces_become_whole(void **state)
{
	struct extents t = { .count = 0 };
	struct model *m = calloc(1, sizeof(*m));
	struct extents_watch w = { count_change, m };
	struct extent x;

	(void)state;
	random_state = test_seed() | 1;
	for (unsigned i = 0; i < CHUNKS; i++) {
		for (uint32_t from = 0, len; from < CHUNK_SIZE; from += len) {
			len = 1 + (uint32_t)below(CHUNK_SIZE - from);
			x = chunk_piece(i + 1, i * CHUNK_SIZE + from, from, len);
			replace(&t, m, &w, &x);
		}
	}
	assert_int_equal(t.count, CHUNKS);
	for (unsigned i = 0; i < CHUNKS; i++) {
		assert_int_equal(extents_at(&t, i * CHUNK_SIZE, &x), 1);
		assert_true(extent_is_whole(&x));
		assert_int_equal(x.id.b[0], i + 1);
	}
	extents_fini(&t, &w);
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_changes),
		cmocka_unit_test(a_range),
		cmocka_unit_test(pieces_become_whole),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
