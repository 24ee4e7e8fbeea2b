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
};

static const struct damage damages[] = {
	{ "none" },          { "payload" },       { "big_payload" },
	{ "checksum" },      { "size" },          { "small_size" },
	{ "magic" },         { "truncated" },     { "truncated_head" },
	{ "emptied" },       { "short" },         { "missing" },
	{ "garbage" },       { "zeros" },         { "lost_commit" },
	{ "broken_commit" }, { "no_commit" },     { "no_commit_no_index" },
	{ "missing_index" }, { "corrupt_index" }, { "wrong_index" },
	{ "new_index" },     { "missing_hints" }, { "corrupt_hints" },
	{ "nothing_left" },
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

/* --- parts --- */

static void wait_once(void *arg, size_t done, size_t total)
{
	bool *waited = arg;

	(void)done;
	(void)total;
	if (!*waited)
		usleep(1100000);
	*waited = true;
}

/* A second is up after the first segment; the rest is done the next time, damage included. */
static void parts_follow_each_other(void **state)
{
	bool waited = false;
	struct repo_check_options first = { .max_duration = 1,
					    .progress = wait_once,
					    .progress_arg = &waited };
	struct repo_check_options rest = { .max_duration = 3600 };
	char *dir = test_dir_make();
	char *ours = path_join(dir, "ours");

	(void)state;
	free(peer("make", ours, ""));
	free(peer("damage", ours, "payload"));
	assert_int_equal(check_ours(ours, &first), 0);
	run("grep -qx 'last_segment_checked = 0' %s/config", ours);
	assert_int_equal(check_ours(ours, &rest), 1);
	run("! grep -q last_segment_checked %s/config", ours);
	free(ours);
	test_dir_remove(dir);
}

static void append_only_is_not_repaired(void **state)
{
	struct repo_check_options repair = { .repair = true };
	struct repo_options open = { .config_only = true };
	struct location where = { .proto = LOCATION_FILE };
	char *dir = test_dir_make();
	struct repo *r = NULL;

	(void)state;
	where.path = path_join(dir, "ours");
	free(peer("make", where.path, ""));
	run("sed -i 's/append_only = 0/append_only = 1/' %s/config", where.path);
	assert_int_equal(repo_open(&r, &where, &open, NULL), 0);
	assert_int_equal(repo_check(r, &repair, NULL), -ENOLCK);
	assert_int_equal(repo_lock(r, 0, NULL), 0);
	assert_int_equal(repo_check(r, &repair, NULL), -EPERM);
	assert_int_equal(repo_unlock(r, NULL), 0);
	repo_close(r);
	free(where.path);
	test_dir_remove(dir);
}

static void is_loaded_afterwards(void **state)
{
	struct repo_check_options look = { 0 };
	struct repo_options open = { .config_only = true };
	struct location where = { .proto = LOCATION_FILE };
	struct chunk_id id = { { 4 } };
	char *dir = test_dir_make();
	struct repo *r = NULL;

	(void)state;
	where.path = path_join(dir, "ours");
	free(peer("make", where.path, ""));
	assert_int_equal(repo_open(&r, &where, &open, NULL), 0);
	assert_int_equal(repo_lock(r, 0, NULL), 0);
	assert_int_equal(repo_check(r, &look, NULL), 0);
	assert_int_equal(repo_load(r, NULL), 0);
	assert_int_equal(repo_has(r, &id, NULL), 1);
	assert_int_equal(repo_delete(r, &id, NULL), 0);
	assert_int_equal(repo_commit(r, NULL), 0);
	assert_int_equal(repo_unlock(r, NULL), 0);
	assert_int_equal(repo_has(r, &id, NULL), 0);
	repo_close(r);
	assert_int_equal(check_ours(where.path, &look), 0);
	free(where.path);
	test_dir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_follow_each_other),
		cmocka_unit_test(append_only_is_not_repaired),
		cmocka_unit_test(is_loaded_afterwards),
	};
	int failed = run_table(damages, is_found_and_repaired_as_by_borg);

	return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
