/*
 * test_index_writer.c - random changes laid over random indexes, compared with a table in memory;
 * ids that all want the last buckets; and Borg's own reader over the result.
 */

#include "tests/support/tap.h"

#include "core/base/io.h"
#include "core/repo/index_writer.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static uint64_t state_;

static uint64_t next_random(void)
{
	state_ ^= state_ << 13;
	state_ ^= state_ >> 7;
	state_ ^= state_ << 17;
	return state_;
}

static struct chunk_id id_of(uint64_t n, bool crowded)
{
	struct chunk_id id = { { 0 } };

	put_le64(id.b + 8, n);
	put_le32(id.b, crowded ? 1030 + (uint32_t)(n % 3) * 1031
			       : (uint32_t)(n * 2654435761U + 12345));
	return id;
}

static void set(struct table *t, const struct chunk_id *id, struct place at)
{
	*(struct place *)table_put(t, id, NULL) = at;
}

/* What `model` holds, and nothing else, is in the index; load and empties are as Borg wants. */
static void compare(const struct index *x, const struct table *model)
{
	struct index_walk walk = { 0 };
	uint64_t seen = 0;
	struct chunk_id id;
	struct place at;

	assert_int_equal(index_count(x), model->count);
	while (index_next(x, &walk, &id, &at)) {
		const struct place *want = table_get(model, &id);
		struct place found;

		assert_non_null(want);
		assert_int_equal(at.segment, want->segment);
		assert_int_equal(at.off, want->off);
		assert_true(index_find(x, &id, &found));
		assert_int_equal(found.off, want->off);
		seen++;
	}
	assert_int_equal(seen, model->count);
	assert_true(index_count(x) <= (uint64_t)index_buckets(x) * 3 / 4);
}

static struct index *lay_over(const struct index *base, const struct table *changes)
{
	struct index *x = NULL;
	int fd = memory_file("", 0);

	assert_int_equal(index_make(fd, base, changes, NULL), 0);
	assert_int_equal(index_open(&x, fd, "index.1", NULL), 0);
	return x;
}

static void change_some(struct table *changes, struct table *model, size_t count,
			uint64_t universe, bool crowded)
{
	for (size_t i = 0; i < count; i++) {
		struct chunk_id id = id_of(next_random() % universe, crowded);
		struct place at = { (uint32_t)(next_random() % 1000), (uint32_t)next_random() };

		if (next_random() % 3 == 0) {
			table_remove(model, &id);
			set(changes, &id, (struct place){ UINT32_MAX, 0 });
		} else {
			set(model, &id, at);
			set(changes, &id, at);
		}
	}
}

static const struct life {
	const char *name;
	size_t turns, each;
	uint64_t universe;
	bool crowded;
} lives[] = {
	{ "few changes are patched", 60, 20, 700, false },
	{ "crowded ids go around the end", 40, 20, 300, true },
	{ "many make new tables", 8, 5000, 20000, false },
	{ "parts of a large table", 2, 300000, 2000000, false },
	{ "deletions until nothing is left", 30, 40, 60, false },
};

static void live(const void *arg)
{
	const struct life *life = arg;
	struct table model;
	struct index *base = NULL;

	state_ = test_seed() | 1;
	table_init(&model, sizeof(struct chunk_id), sizeof(struct place));
	for (size_t turn = 0; turn < life->turns; turn++) {
		struct table changes;
		struct index *x;

		table_init(&changes, sizeof(struct chunk_id), sizeof(struct place));
		change_some(&changes, &model, life->each, life->universe, life->crowded);
		x = lay_over(base, &changes);
		compare(x, &model);
		index_close(base);
		base = x;
		table_fini(&changes);
	}
	index_close(base);
	table_fini(&model);
}

/* Borg reads the file, checks its digest, and finds every id. */
static void borg_reads_it(void **state)
{
	static const char script[] =
		"import sys, struct\n"
		"from borg.logger import setup_logging\n"
		"from borg.hashindex import NSIndex\n"
		"from borg.crypto.file_integrity import IntegrityCheckedFile\n"
		"setup_logging(level='error')\n"
		"path, count, text = sys.argv[1], int(sys.argv[2]), sys.argv[3]\n"
		"with IntegrityCheckedFile(path, write=False, integrity_data=text) as fd:\n"
		"    x = NSIndex.read(fd)\n"
		"assert len(x) == count\n"
		"for n in range(count):\n"
		"    h = (n * 2654435761 + 12345) & 0xffffffff\n"
		"    k = struct.pack('<IIQQQ', h, 0, n, 0, 0)\n"
		"    assert x[k] == (n, 8), n\n";
	char *dir = test_dir_make(), *path = path_join(dir, "index.7"), *command = NULL;
	struct buf text = BUF_INIT;
	struct table changes;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	(void)state;
	table_init(&changes, sizeof(struct chunk_id), sizeof(struct place));
	for (uint32_t n = 0; n < 3000; n++) {
		struct chunk_id id = id_of(n, false);

		set(&changes, &id, (struct place){ n, 8 });
	}
	assert_int_equal(index_make(fd, NULL, &changes, NULL), 0);
	assert_int_equal(index_digest(fd, "index.7", &text, NULL), 0);
	assert_int_equal(buf_append_byte(&text, 0), 0);
	close(fd);
	assert_true(asprintf(&command, "/usr/bin/python3 -c \"%s\" %s 3000 '%s'", script, path,
			     (char *)text.p) > 0);
	assert_int_equal(system(command), 0);
	free(command);
	buf_fini(&text);
	table_fini(&changes);
	free(path);
	test_dir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(borg_reads_it),
	};
	int rc = run_table(lives, live);

	return rc + cmocka_run_group_tests(tests, NULL, NULL);
}
