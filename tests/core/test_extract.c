/*
 * test_extract.c - files are made where they belong, and nowhere else.
 *
 * Method: a target folder with traps beside and in it - a symlink to the outside, a folder with
 * content, an old file - and one call per row; then the traps are looked at.
 */

#include "tests/support/tap.h"

#include "core/archive/extract_internal.h"
#include "core/base/cleanup.h"
#include "core/base/io.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char warned[512];

static void on_warning(void *arg, const char *msgid, const char *text)
{
	(void)arg;
	snprintf(warned, sizeof(warned), "%s|%s", msgid ? msgid : "", text);
}

static const struct row {
	const char *name, *path;
	int want;          /* of files_make_file() */
	const char *warns; /* part of the warning */
} rows[] = {
	{ "plain", "new", 0, "" },
	{ "in folders that are made", "a/b/c", 0, "" },
	{ "replaces a file", "old", 0, "" },
	{ "replaces a symlink, not its target", "escape", 0, "" },
	{ "replaces an empty folder", "empty", 0, "" },
	{ "a folder with content stays", "full", 1, "BackupOSError|full: open: [Errno 21]" },
	{ "through a symlink", "escape/x", 1, "BackupSymlinkParentError|" },
	{ "through a file", "old/x", 1, "BackupSymlinkParentError|" },
	{ "up", "../outside/x", 1, "BackupPathTraversalError|" },
	{ "up, inside", "a/../../outside/x", 1, "BackupPathTraversalError|" },
	{ "absolute", "/tmp/x", 1, "BackupPathTraversalError|" },
	{ "ends in ..", "a/..", 1, "BackupPathTraversalError|" },
	{ "ends in a slash", "a/", 1, "BackupPathTraversalError|" },
	{ "absolute, in the root", "/x", 1, "BackupPathTraversalError|" },
	{ "doubled slash", "a//x", 0, "" },
	{ "a dot first", "./new", 0, "" },
	{ "dots in between", "./a/././b/./c", 0, "" },
	{ "a dot, and up", "./../outside/x", 1, "BackupPathTraversalError|" },
	{ "a dot, and through a symlink", "./escape/./x", 1, "BackupSymlinkParentError|" },
	{ "ends in a dot", "a/.", 1, "BackupPathTraversalError|" },
};

static void touch(int dir, const char *path)
{
	int fd = openat(dir, path, O_WRONLY | O_CREAT | O_EXCL, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "old", 3), 3);
	close(fd);
}

static int lay_traps(const char *top)
{
	int dir = open(top, O_RDONLY | O_DIRECTORY), root;

	assert_int_equal(mkdirat(dir, "outside", 0755), 0);
	assert_int_equal(mkdirat(dir, "root", 0755), 0);
	touch(dir, "outside/kept");
	root = openat(dir, "root", O_RDONLY | O_DIRECTORY);
	close(dir);
	touch(root, "old");
	assert_int_equal(symlinkat("../outside", root, "escape"), 0);
	assert_int_equal(mkdirat(root, "empty", 0755), 0);
	assert_int_equal(mkdirat(root, "full", 0755), 0);
	touch(root, "full/kept");
	return root;
}

/* Exactly the old file is outside. */
static void check_outside(int root)
{
	struct stat st;

	assert_int_equal(fstatat(root, "../outside/kept", &st, 0), 0);
	assert_int_equal(st.st_size, 3);
	assert_int_equal(fstatat(root, "../outside/x", &st, 0), -1);
	assert_int_equal(fstatat(root, "full/kept", &st, 0), 0);
}

static void make_one(const void *arg)
{
	const struct row *row = arg;
	char *top = test_dir_make();
	struct extract_options options = { .root_fd = lay_traps(top), .root_name = "/r" };
	struct extract_events events = { .warning = on_warning };
	struct item it = { .mode = S_IFREG | 0640,
			   .uid = geteuid(),
			   .gid = getegid(),
			   .mtime_ns = 1600000026123456789,
			   .atime_ns = 1600000000000000000 };
	struct owner_cache *owners = owner_cache_new();
	struct files f;
	struct stat st;
	int fd;

	warned[0] = 0;
	files_init(&f, &options, &events, owners);
	assert_int_equal(files_make_file(&f, bytes_str(row->path), &fd), row->want);
	if (row->want == 0) {
		assert_int_equal(write(fd, "content", 7), 7);
		assert_int_equal(files_finish_file(&f, bytes_str(row->path), &it, fd, 7), 0);
		assert_int_equal(fstatat(options.root_fd, row->path, &st, AT_SYMLINK_NOFOLLOW),
				 0);
		assert_true(S_ISREG(st.st_mode));
		assert_int_equal(st.st_mode & 07777, 0640);
		assert_int_equal(st.st_size, 7);
		assert_int_equal(st.st_mtim.tv_sec, 1600000026);
		assert_int_equal(st.st_mtim.tv_nsec, 123456789);
		assert_string_equal(warned, "");
	} else {
		assert_int_equal(fd, -1);
		assert_non_null(strstr(warned, row->warns));
	}
	check_outside(options.root_fd);
	files_fini(&f);
	owner_cache_free(owners);
	close(options.root_fd);
	test_dir_remove(top);
}

int main(void)
{
	return run_table(rows, make_one);
}
