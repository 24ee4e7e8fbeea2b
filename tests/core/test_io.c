/*
 * test_io.c - reads tell the clean end of a file from a cut one; replacing a file leaves the old
 * or the new one, and no temporary.
 */

#include "tests/support/tap.h"

#include "core/base/io.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct row {
	const char *name;
	size_t len; /* asked of a file of 10 bytes */
	uint64_t off;
	int want;
} rows[] = {
	{ "whole file", 10, 0, 1 }, { "a part", 3, 7, 1 },           { "nothing", 0, 10, 1 },
	{ "at the end", 1, 10, 0 }, { "behind the end", 4, 100, 0 }, { "cut", 4, 7, -EBADMSG },
};

static void read_one(const void *arg)
{
	const struct row *row = arg;
	char got[16];
	int fd = memory_file("0123456789", 10);

	assert_int_equal(read_exact(fd, got, row->len, row->off), row->want);
	if (row->want == 1)
		assert_memory_equal(got, &"0123456789"[row->off], row -> len);
	close(fd);
}

static size_t entries_in(const char *path)
{
	DIR *d = opendir(path);
	size_t count = 0;

	while (readdir(d))
		count++;
	closedir(d);
	return count - 2;
}

static void replace(void **state)
{
	char *dir = test_dir_make(), *deep = path_join(dir, "a/b/c");
	char *path = path_join(deep, "file");
	struct buf got = BUF_INIT;
	struct err e = ERR_INIT;
	struct stat st;

	(void)state;
	assert_int_equal(make_dirs(deep, 0700, &e), 0);
	assert_int_equal(make_dirs(deep, 0700, &e), 0);
	assert_int_equal(file_replace(path, bytes_str("one"), 0600, &e), 0);
	assert_int_equal(file_replace(path, bytes_str("second"), 0600, &e), 0);
	assert_int_equal(file_read(AT_FDCWD, path, 6, &got, &e), 0);
	assert_int_equal(got.len, 6);
	assert_memory_equal(got.p, "second", 6);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(entries_in(deep), 1);
	got.len = 0;
	assert_int_equal(file_read(AT_FDCWD, path, 5, &got, &e), -EFBIG);
	assert_int_equal(file_replace(deep, bytes_str("x"), 0600, &e), -EISDIR);
	assert_non_null(strstr(e.msg, deep));
	assert_int_equal(entries_in(deep), 1);
	assert_int_equal(file_replace_from(dir, path, bytes_str("third"), 0600, &e), 0);
	got.len = 0;
	assert_int_equal(file_read(AT_FDCWD, path, 6, &got, &e), 0);
	assert_memory_equal(got.p, "third", 5);
	assert_int_equal(file_replace_from(dir, deep, bytes_str("x"), 0600, &e), -EISDIR);
	assert_int_equal(file_replace_from("/proc", path, bytes_str("x"), 0600, &e), -ENOENT);
	assert_int_equal(entries_in(dir), 1);
	assert_int_equal(entries_in(deep), 1);
	assert_int_equal(sync_dirs_above(path, &e), 0);
	assert_int_equal(make_dirs(path, 0700, &e), 0); /* a file is there: found at use */
	buf_fini(&got);
	free(path);
	free(deep);
	test_dir_remove(dir);
}

static void joins(void **state)
{
	char *one = path_join("a", "b"), *two = path_join("/", "b");

	(void)state;
	assert_string_equal(one, "a/b");
	assert_string_equal(two, "/b");
	free(one);
	free(two);
}

static void folders(void **state)
{
	static const char *const paths[][2] = {
		{ "/a/b", "/a" }, { "/a", "/" }, { "/", "/" }, { "a/b", "a" }, { "a", "." },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		char *folder = folder_of(paths[i][0]);

		assert_string_equal(folder, paths[i][1]);
		free(folder);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replace),
		cmocka_unit_test(joins),
		cmocka_unit_test(folders),
	};
	int rc = run_table(rows, read_one);

	return rc + cmocka_run_group_tests(tests, NULL, NULL);
}
