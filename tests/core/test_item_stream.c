/*
 * test_item_stream.c - a damaged item stream costs what its gaps held, and nothing else.
 *
 * Method: the stream of a golden archive, its list of chunks rearranged: with a chunk that is
 * nowhere, or with a file's content in place of items.
 */

#include "tests/support/golden.h"
#include "tests/support/tap.h"

#include "core/archive/item_stream.h"

enum { ITEMS = 65, CHUNKS_MAX = 64 };

static bool yes(void *arg, const char *msgid, const char *text, const char *false_text,
		const char *env_name)
{
	(void)arg, (void)msgid, (void)text, (void)false_text, (void)env_name;
	return true;
}

static const struct prompt prompt = { .confirm = yes };

struct fixture {
	struct golden *golden;
	struct reader *reader;
	struct archive *real;
	struct chunk_id content; /* a chunk of a file */
};

static struct chunk_id find_content(struct fixture *f)
{
	struct item_reader_options options = { .robust = false };
	struct item_reader *ir = NULL;
	struct chunk_id id = MANIFEST_ID;
	struct item it;

	assert_int_equal(item_reader_open(&ir, f->reader, f->real, &options, NULL), 0);
	while (item_reader_next(ir, &it, NULL) == 1)
		if (it.chunk_count == 1 && bytes_is(it.path, "hello.txt"))
			id = it.chunks[0].id;
	item_reader_close(ir);
	assert_false(id_equal(&id, &MANIFEST_ID));
	return id;
}

static int set_up(void **state)
{
	static struct fixture f;
	struct reader_options options = { .prompt = &prompt };
	struct location where = { .proto = LOCATION_FILE };
	struct manifest *m;
	struct err e = ERR_INIT;

	f.golden = golden_open("enc-repokey");
	where.path = f.golden->repo;
	if (reader_open(&f.reader, &where, &options, &e) < 0)
		return -1;
	m = reader_manifest(f.reader);
	if (archive_load(&f.real, f.reader, &manifest_find(m, bytes_str("a1"))->id, &e) < 0)
		return -1;
	reader_manifest_unref(f.reader, m);
	f.content = find_content(&f);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	archive_free(f->real);
	reader_close(f->reader);
	golden_close(f->golden);
	return 0;
}

static const struct row {
	const char *name;
	const char *chunks; /* I: all of the real ones, M: missing, C: a file's content */
	size_t items;
	size_t damage_min, damage_max;
	int strict; /* what a reader that is not robust ends with */
} rows[] = {
	{ "whole", "I", ITEMS, 0, 0, 0 },
	{ "empty", "", 0, 0, 0, 0 },
	{ "twice", "II", 2 * ITEMS, 0, 0, 0 },
	{ "missing at the start", "MI", ITEMS, 1, 1, -ENOENT },
	{ "missing at the end", "IM", ITEMS, 1, 1, -ENOENT },
	{ "missing in the middle", "IMI", 2 * ITEMS, 1, 1, -ENOENT },
	{ "two gaps", "IMIMI", 3 * ITEMS, 2, 2, -ENOENT },
	{ "neighbours are one gap", "IMMMI", 2 * ITEMS, 1, 1, -ENOENT },
	{ "nothing but a gap", "MM", 0, 1, 1, -ENOENT },
	{ "content instead of items", "CI", ITEMS, 1, 64, -EBADMSG },
	{ "content behind a gap", "MCI", ITEMS, 1, 1, -ENOENT },
};

static void arrange(const struct fixture *f, const char *chunks, struct archive *a,
		    struct chunk_id ids[CHUNKS_MAX])
{
	struct chunk_id missing;
	size_t n = 0;

	memset(missing.b, 0x5a, sizeof(missing.b));
	*a = *f->real;
	for (; *chunks; chunks++) {
		if (*chunks != 'I') {
			ids[n++] = *chunks == 'M' ? missing : f->content;
			continue;
		}
		assert_true(n + f->real->item_chunk_count <= CHUNKS_MAX);
		for (size_t i = 0; i < f->real->item_chunk_count; i++)
			ids[n++] = f->real->items[i];
	}
	a->items = ids;
	a->item_chunk_count = n;
}

static int read_all(const struct fixture *f, const struct archive *a, bool robust, bool batches,
		    size_t *items, size_t *damage)
{
	struct item_reader_options options = { .robust = robust };
	struct item_reader *ir = NULL;
	struct err e = ERR_INIT, first = ERR_INIT;
	struct bytes records;
	struct item it;
	size_t count;
	int rc;

	*items = 0;
	assert_int_equal(item_reader_open(&ir, f->reader, a, &options, &e), 0);
	if (batches)
		while ((rc = item_reader_next_batch(ir, &records, &count, &e)) == 1)
			*items += count;
	else
		while ((rc = item_reader_next(ir, &it, &e)) == 1)
			++*items;
	*damage = item_reader_damage(ir, &first);
	assert_true((*damage > 0) == (first.msg[0] != '\0'));
	item_reader_close(ir);
	return rc;
}

static void damaged_streams(void **state)
{
	const struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct chunk_id ids[CHUNKS_MAX];
		struct archive a;
		size_t items, damage;

		arrange(f, rows[i].chunks, &a, ids);
		for (int batches = 0; batches < 2; batches++) {
			assert_int_equal(read_all(f, &a, true, batches, &items, &damage), 0);
			if (items != rows[i].items || damage < rows[i].damage_min ||
			    damage > rows[i].damage_max)
				fail_msg("%s: %zu items, %zu gaps", rows[i].name, items,
					 damage);
			assert_int_equal(read_all(f, &a, false, batches, &items, &damage),
					 rows[i].strict);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(damaged_streams, set_up, tear_down),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
