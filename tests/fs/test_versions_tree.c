/*
 * test_versions_tree.c - archives merged into the tree of versions.
 *
 * Method: archives of the golden repositories; each row says which, how they are filtered, and
 * what must be where.  a1 holds everything, a2 some of it, unchanged; the names are those that
 * Borg's mount shows (tests/e2e/versions.bats compares the two).
 */

#include "tests/support/golden.h"
#include "tests/support/tap.h"

#include "fs/versions_tree.h"

#include <sys/stat.h>

enum { ARCHIVES_MAX = 4, ENTRIES_MAX = 8 };

static const struct row {
	const char *name;
	const char *repository;
	const char *archives[ARCHIVES_MAX]; /* the oldest first */
	const char *path, *exclude;
	unsigned strip;
	bool parts;
	struct entry {
		const char *path;
		mode_t kind; /* 0: is not there */
		uint64_t size;
		uint32_t nlink; /* of what is no directory */
	} entries[ENTRIES_MAX];
} rows[] = {
	{ .name = "no archive",
	  .repository = "enc-repokey",
	  .entries = { { "", S_IFDIR, 0, 0 }, { "hello.txt", 0, 0, 0 } } },
	{ .name = "files have a number before their extension",
	  .repository = "enc-repokey",
	  .archives = { "a1" },
	  .entries = { { "hello.txt", S_IFDIR, 0, 0 },
		       { "hello.txt/hello.00001.txt", S_IFREG, 12, 1 },
		       { "hello.txt/hello.txt", 0, 0, 0 },
		       { "setuid/setuid.00001", S_IFREG, 10, 1 },
		       { "empty/empty.00001", S_IFREG, 0, 1 },
		       { "dir/sub/inner/inner.00001", S_IFREG, 11, 1 } } },
	{ .name = "others have none",
	  .repository = "enc-repokey",
	  .archives = { "a1" },
	  .entries = { { "fifo/fifo", S_IFIFO, 0, 1 },
		       { "chr_null/chr_null", S_IFCHR, 0, 1 },
		       { "blk_big/blk_big", S_IFBLK, 0, 1 },
		       { "sym_dir/sym_dir", S_IFLNK, 3, 1 },
		       { "emptydir", S_IFDIR, 0, 0 },
		       { "emptydir/emptydir", 0, 0, 0 } } },
	{ .name = "hard links of every kind",
	  .repository = "enc-repokey",
	  .archives = { "a1" },
	  .entries = { { "hl_a/hl_a.00001", S_IFREG, 20, 3 },
		       { "hl_b/hl_b.00001", S_IFREG, 20, 3 },
		       { "dir/hl_c/hl_c.00001", S_IFREG, 20, 3 },
		       { "hle_2/hle_2.00001", S_IFREG, 0, 2 },
		       { "hlchr_2/hlchr_2", S_IFCHR, 0, 2 },
		       { "hlfifo_1/hlfifo_1", S_IFIFO, 0, 2 } } },
	{ .name = "what did not change keeps its number",
	  .repository = "enc-repokey",
	  .archives = { "a1", "a2" },
	  .entries = { { "hello.txt/hello.00001.txt", S_IFREG, 12, 1 },
		       { "hello.txt/hello.00002.txt", 0, 0, 0 },
		       { "dir/hl_c/hl_c.00001", S_IFREG, 20, 1 }, /* alone in a2 */
		       { "hl_a/hl_a.00001", S_IFREG, 20, 2 },
		       { "hl_b/hl_b.00001", S_IFREG, 20, 2 } } },
	{ .name = "the same archive again and again",
	  .repository = "comp-zstd_3",
	  .archives = { "a1", "a1", "a1" },
	  .entries = { { "hello.txt/hello.00001.txt", S_IFREG, 12, 1 },
		       { "hello.txt/hello.00002.txt", 0, 0, 0 },
		       { "hl_a/hl_a.00001", S_IFREG, 20, 3 },
		       { "hlfifo_2/hlfifo_2", S_IFIFO, 0, 2 } } },
	{ .name = "other chunks of the same bytes are another version",
	  .repository = "misc-fixed",
	  .archives = { "f4096", "default" },
	  .entries = { { "sparse/sparse.00001", S_IFREG, 200000, 1 },
		       { "sparse/sparse.00002", S_IFREG, 200000, 1 },
		       { "sparse/sparse.00003", 0, 0, 0 },
		       { "hello.txt/hello.00001.txt", S_IFREG, 12, 1 } } },
	{ .name = "only what is asked for; a link whose master is not",
	  .repository = "enc-repokey",
	  .archives = { "a1" },
	  .path = "dir",
	  .entries = { { "hello.txt", 0, 0, 0 },
		       { "hl_a", 0, 0, 0 },
		       { "dir/hl_c/hl_c.00001", S_IFREG, 20, 1 },
		       { "dir/sub/inner/inner.00001", S_IFREG, 11, 1 } } },
	{ .name = "two links left of three",
	  .repository = "enc-repokey",
	  .archives = { "a1" },
	  .exclude = "hl_a",
	  .entries = { { "hl_a", 0, 0, 0 },
		       { "hl_b/hl_b.00001", S_IFREG, 20, 2 },
		       { "dir/hl_c/hl_c.00001", S_IFREG, 20, 2 } } },
	{ .name = "the other two left of three",
	  .repository = "enc-repokey",
	  .archives = { "a1" },
	  .exclude = "dir",
	  .entries = { { "dir", 0, 0, 0 },
		       { "hl_a/hl_a.00001", S_IFREG, 20, 2 },
		       { "hl_b/hl_b.00001", S_IFREG, 20, 2 } } },
	{ .name = "leading components stripped",
	  .repository = "enc-repokey",
	  .archives = { "a1", "a2" },
	  .strip = 1,
	  .entries = { { "dir", 0, 0, 0 },
		       { "hello.txt", 0, 0, 0 },
		       { "sub/inner/inner.00001", S_IFREG, 11, 1 },
		       { "hl_c/hl_c.00001", S_IFREG, 20, 1 } } },
	{ .name = "part files are hidden",
	  .repository = "misc-checkpoint",
	  .archives = { "parts" },
	  .entries = { { "stdin.borg_part_1", 0, 0, 0 }, { "stdin", S_IFDIR, 0, 0 } } },
	{ .name = "part files asked for",
	  .repository = "misc-checkpoint",
	  .archives = { "parts" },
	  .parts = true,
	  .entries = { { "stdin.borg_part_1", S_IFDIR, 0, 0 }, { "stdin", S_IFDIR, 0, 0 } } },
};

static bool yes(void *arg, const char *msgid, const char *text, const char *false_text,
		const char *env_name)
{
	(void)arg, (void)msgid, (void)text, (void)false_text, (void)env_name;
	return true;
}

static const struct prompt prompt = { .confirm = yes };

static struct reader *open_reader(const struct golden *g)
{
	struct reader_options options = { .prompt = &prompt };
	struct location where = { .proto = LOCATION_FILE, .path = g->repo };
	struct reader *r = NULL;
	struct err e = ERR_INIT;

	if (reader_open(&r, &where, &options, &e) < 0)
		fail_msg("%s", e.msg);
	return r;
}

static bool find(struct tree *t, const char *path, struct tree_node *out)
{
	char *copy = strdup(path), *rest = copy, *name;
	uint32_t index = TREE_ROOT;
	bool found = true;

	while (found && *path && (name = strsep(&rest, "/")))
		found = tree_lookup(t, index, bytes_str(name), &index, NULL) == 1;
	free(copy);
	return found && tree_node(t, index, out, NULL) == 0;
}

static void check_entry(struct tree *t, const struct entry *entry)
{
	struct tree_node n;

	if (!entry->kind) {
		assert_false(find(t, entry->path, &n));
		return;
	}
	if (!find(t, entry->path, &n))
		fail_msg("%s is not there", entry->path);
	assert_int_equal(n.mode & S_IFMT, entry->kind);
	if (S_ISDIR(n.mode))
		return;
	assert_int_equal(n.size, entry->size);
	assert_int_equal(n.nlink, entry->nlink);
}

static void show(const void *arg)
{
	const struct row *row = arg;
	struct golden *g = golden_open(row->repository);
	struct reader *r = open_reader(g);
	struct manifest *m = reader_manifest(r);
	const struct manifest_entry *archives[ARCHIVES_MAX];
	struct tree_options options = { .strip_components = row->strip,
					.consider_part_files = row->parts };
	struct tree *t = NULL;
	struct err e = ERR_INIT;
	size_t count = 0;

	assert_int_equal(matcher_new(&options.matcher, NULL), 0);
	if (row->path) {
		char *path = strdup(row->path);

		assert_int_equal(matcher_include_paths(options.matcher, &path, 1, NULL), 0);
		free(path);
	}
	if (row->exclude)
		assert_int_equal(matcher_exclude(options.matcher, row->exclude, NULL), 0);
	for (; count < ARCHIVES_MAX && row->archives[count]; count++) {
		archives[count] = manifest_find(m, bytes_str(row->archives[count]));
		assert_non_null(archives[count]);
	}
	if (versions_tree(&t, r, archives, count, &options, &e) < 0)
		fail_msg("%s", e.msg);
	for (size_t i = 0; i < ENTRIES_MAX && row->entries[i].path; i++)
		check_entry(t, &row->entries[i]);
	tree_close(t);
	reader_manifest_unref(r, m);
	reader_close(r);
	golden_close(g);
	matcher_free(options.matcher);
}

/* As the shelf asks: of the archives that are selected. */
static void made_of_the_selected(void **state)
{
	struct golden *g = golden_open("misc-fixed");
	struct versions_source source = { .reader = open_reader(g),
					  .select = { .glob = "f*" } };
	struct tree *t = NULL;
	struct tree_node n;

	(void)state;
	assert_int_equal(versions_make(&source, NULL, &t, NULL), 0);
	assert_true(find(t, "hello.txt/hello.00001.txt", &n));
	assert_true(find(t, "sparse/sparse.00002", &n));
	assert_false(find(t, "sparse/sparse.00003", &n));
	tree_close(t);
	source.select.glob = "nothing";
	assert_int_equal(versions_make(&source, NULL, &t, NULL), 0);
	assert_true(find(t, "", &n));
	assert_int_equal(n.child_count, 0);
	tree_close(t);
	reader_close(source.reader);
	golden_close(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(made_of_the_selected) };
	int failed = run_table(rows, show);

	return failed | cmocka_run_group_tests(tests, NULL, NULL);
}
