/*
 * test_repo_check.c - repositories damaged in many ways: what check says and what repair leaves is
 * compared with what Borg's own Repository.check() says and leaves of a copy.
 */

#include "tests/support/tap.h"

#include "core/base/io.h"
#include "core/repo/repo.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct damage {
	const char *name;
	bool ours_only; /* Borg overlooks it, or fails */
};

static const struct damage damages[] = {
	{ "none", false },          { "payload", false },       { "big_payload", false },
	{ "checksum", false },      { "size", false },          { "small_size", false },
	{ "magic", false },         { "truncated", false },     { "truncated_head", false },
	{ "emptied", false },       { "short", false },         { "missing", false },
	{ "garbage", false },       { "zeros", false },         { "lost_commit", false },
	{ "broken_commit", false }, { "no_commit", false },     { "no_commit_no_index", false },
	{ "missing_index", false }, { "corrupt_index", false }, { "wrong_index", false },
	{ "new_index", false },     { "missing_hints", false }, { "corrupt_hints", false },
	{ "nothing_left", false },
};

/* What the other side prints, on the heap. */
static char *peer(const char *command, const char *path, const char *more)
{
	CLEANUP(buf_fini) struct buf out = BUF_INIT;
	char *line = NULL;
	FILE *f;

	assert_true(asprintf(&line, "/usr/bin/python3 tests/core/check_peer.py %s %s %s",
			     command, path, more) > 0);
	f = popen(line, "r");
	assert_non_null(f);
	assert_int_equal(read_to_end(fileno(f), 1 << 20, &out), 0);
	if (pclose(f) != 0)
		fail_msg("%s: failed", line);
	free(line);
	return bytes_dup(buf_bytes(&out));
}

static void run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void run(const char *format, ...)
{
	char *line = NULL;
	va_list args;

	va_start(args, format);
	assert_true(vasprintf(&line, format, args) > 0);
	va_end(args);
	assert_int_equal(system(line), 0);
	free(line);
}

static int check_ours(const char *path, const struct repo_check_options *options)
{
	struct location where = { .proto = LOCATION_FILE, .path = strdup(path) };
	struct repo_options open = { .config_only = true };
	struct err e = ERR_INIT;
	struct repo *r = NULL;
	int rc;

	assert_int_equal(repo_open(&r, &where, &open, &e), 0);
	free(where.path);
	assert_int_equal(repo_lock(r, 0, &e), 0);
	rc = repo_check(r, options, &e);
	if (rc < 0)
		fail_msg("check: %s", e.msg);
	assert_int_equal(repo_unlock(r, &e), 0);
	repo_close(r);
	return rc;
}

static void compare_dumps(const char *ours, const char *theirs)
{
	char *a = peer("dump", ours, ""), *b = peer("dump", theirs, "");

	assert_string_equal(a, b);
	free(a);
	free(b);
}

static void no_leftovers(const char *path)
{
	run("test -z \"$(find %s -name '*tmp*' -o -name 'lock*')\"", path);
}

static void is_found_and_repaired_as_by_borg(const void *row)
{
	const struct damage *d = row;
	struct repo_check_options look = { 0 }, repair = { .repair = true };
	char *dir = test_dir_make();
	char *ours = path_join(dir, "ours"), *theirs = path_join(dir, "theirs");
	char *said;
	int rc;

	free(peer("make", ours, ""));
	free(peer("damage", ours, d->name));
	run("cp -a %s %s", ours, theirs);

	said = peer("check", theirs, "");
	rc = check_ours(ours, &look);
	assert_int_equal(rc, strcmp(said, "problems\n") == 0);
	free(said);

	said = peer("repair", theirs, "");
	rc = check_ours(ours, &repair);
	assert_int_equal(rc, strcmp(said, "problems\n") == 0);
	free(said);
	no_leftovers(ours);
	if (rc == 0) {
		compare_dumps(ours, theirs);
		assert_int_equal(check_ours(ours, &look), 0);
		said = peer("check", ours, "");
		assert_string_equal(said, "clean\n");
		free(said);
	}
	free(ours);
	free(theirs);
	test_dir_remove(dir);
}

int main(void)
{
	return run_table(damages, is_found_and_repaired_as_by_borg);
}
