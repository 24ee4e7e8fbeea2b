/*
 * test_cache_db.c - the file of a cache is kept where it is good, and begun anew where someone
 * died at work in it, where it has another version, or is not a database.
 */

#include "tests/support/tap.h"

#include "core/base/io.h"
#include "core/store/cache_db.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { VERSION = 7, MANY = 400 };

static const struct bytes key = { (const uint8_t *)"key", 3 };

static void write_value(const char *dir, const char *text)
{
	struct cache_db *db = NULL;
	MDB_txn *txn = NULL;
	struct err e = ERR_INIT;

	assert_int_equal(cache_db_open(&db, dir, "x", VERSION, &e), 0);
	assert_int_equal(cache_db_begin(db, true, &txn, &e), 0);
	assert_int_equal(cache_db_put(db, txn, key, bytes_str(text), &e), 0);
	for (uint32_t i = 0; i < MANY; i++) {
		uint8_t other[4], value[100] = { 0 };

		put_be32(other, i);
		assert_int_equal(cache_db_put(db, txn, (struct bytes){ other, 4 },
					      (struct bytes){ value, sizeof(value) }, &e),
				 0);
	}
	assert_int_equal(cache_db_commit(db, txn, &e), 0);
	cache_db_close(db);
}

/* Is the value there, when opened with this version? */
static bool there(const char *dir, uint32_t version)
{
	struct cache_db *db = NULL;
	MDB_txn *txn = NULL;
	struct bytes value;
	struct err e = ERR_INIT;
	int rc;

	assert_int_equal(cache_db_open(&db, dir, "x", version, &e), 0);
	assert_int_equal(cache_db_begin(db, false, &txn, &e), 0);
	rc = cache_db_get(db, txn, key, &value, &e);
	assert_true(rc == 0 || (rc == 1 && bytes_is(value, "value")));
	mdb_txn_abort(txn);
	cache_db_close(db);
	return rc == 1;
}

static void path_of(const char *dir, const char *name, char out[4096])
{
	snprintf(out, 4096, "%s/%s", dir, name);
}

enum ending { CLOSES, DIES_IDLE, DIES_AT_WORK, DIES_IN_A_TRANSACTION };

static void child(const char *dir, enum ending ending)
{
	struct cache_db *db = NULL;
	MDB_txn *txn = NULL;
	struct err e = ERR_INIT;

	if (cache_db_open(&db, dir, "x", VERSION, &e) < 0)
		_exit(1);
	if (ending == DIES_AT_WORK)
		cache_db_enter(db);
	if (ending == DIES_IN_A_TRANSACTION &&
	    (cache_db_begin(db, true, &txn, &e) < 0 ||
	     cache_db_put(db, txn, key, bytes_str("wrong"), &e) < 0))
		_exit(1);
	if (ending == CLOSES)
		cache_db_close(db);
	else
		raise(SIGKILL);
	_exit(0);
}

static const struct ending_row {
	const char *name;
	enum ending endings[3]; /* one process after the other */
	bool kept;
} ending_rows[] = {
	{ "closed", { CLOSES, CLOSES, CLOSES }, true },
	{ "killed while idle", { DIES_IDLE, DIES_IDLE, DIES_IDLE }, true },
	{ "killed with a transaction open",
	  { DIES_IN_A_TRANSACTION, DIES_IN_A_TRANSACTION, CLOSES },
	  true },
	{ "killed at work once", { CLOSES, CLOSES, DIES_AT_WORK }, true },
	{ "killed at work twice", { CLOSES, DIES_AT_WORK, DIES_AT_WORK }, false },
	{ "killed at work twice, closed between",
	  { DIES_AT_WORK, CLOSES, DIES_AT_WORK },
	  true },
	{ "killed at work, then idle", { DIES_AT_WORK, DIES_IDLE, DIES_AT_WORK }, false },
};

static void one_ending(const void *arg)
{
	const struct ending_row *row = arg;
	char *dir = test_dir_make();

	write_value(dir, "value");
	for (int i = 0; i < 3; i++) {
		pid_t pid;

		fflush(NULL); /* else the child may write it again */
		pid = fork();
		if (pid == 0)
			child(dir, row->endings[i]);
		waitpid(pid, NULL, 0);
	}
	assert_int_equal(there(dir, VERSION), row->kept);
	write_value(dir, "value");
	assert_true(there(dir, VERSION)); /* the mark is gone */
	test_dir_remove(dir);
}

static void while_another_is_at_work(void **state)
{
	char *dir = test_dir_make();
	struct err e = ERR_INIT;
	int ready[2];
	char c;
	pid_t pid;

	(void)state;
	write_value(dir, "value");
	assert_int_equal(pipe(ready), 0);
	fflush(NULL); /* else the child may write it again */
	pid = fork();
	if (pid == 0) {
		struct cache_db *db = NULL;

		if (cache_db_open(&db, dir, "x", VERSION, &e) < 0)
			_exit(1);
		cache_db_enter(db);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_true(there(dir, VERSION)); /* he lives */
	assert_true(there(dir, VERSION));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_true(there(dir, VERSION));
	close(ready[0]);
	close(ready[1]);
	test_dir_remove(dir);
}

static void another_version(void **state)
{
	char *dir = test_dir_make();

	(void)state;
	write_value(dir, "value");
	assert_true(there(dir, VERSION));
	assert_false(there(dir, VERSION + 1));
	assert_false(there(dir, VERSION));
	test_dir_remove(dir);
}

static void what_is_no_database(void **state)
{
	char *dir = test_dir_make(), path[4096], target[4096];
	struct stat st;
	struct err e = ERR_INIT;

	(void)state;
	path_of(dir, "x.mdb", path);
	path_of(dir, "target", target);
	assert_int_equal(file_replace(path, bytes_str("not a database"), 0600, &e), 0);
	assert_false(there(dir, VERSION));
	unlink(path);
	assert_int_equal(file_replace(target, bytes_str(""), 0600, &e), 0);
	assert_int_equal(symlink(target, path), 0);
	assert_false(there(dir, VERSION));
	assert_int_equal(stat(target, &st), 0);
	assert_int_equal(st.st_size, 0); /* not written through the link */
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(st.st_mode & 077, 0);
	test_dir_remove(dir);
}

static void replace(const char *path, struct bytes content)
{
	int fd;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write_all(fd, content.p, content.len), 0);
	close(fd);
}

/* Bytes all over the tree's pages, one after the other: opened, it is right or begun anew; and a
 * value that is given is the one that was put. */
static void each_byte_of_a_page(void **state)
{
	char *dir = test_dir_make(), path[4096];
	CLEANUP(buf_fini) struct buf good = BUF_INIT;
	struct err e = ERR_INIT;
	size_t step = test_count(293, 3), anew = 0;

	(void)state;
	path_of(dir, "x.mdb", path);
	write_value(dir, "value");
	assert_int_equal(file_read(AT_FDCWD, path, 1 << 24, &good, &e), 0);
	for (size_t at = 2 * 4096; at < good.len; at += step) {
		pid_t pid;
		int status;

		good.p[at] ^= 0x81;
		replace(path, buf_bytes(&good));
		good.p[at] ^= 0x81;
		fflush(NULL); /* else the child may write it again */
		pid = fork();
		if (pid == 0) {
			struct cache_db *db = NULL;
			MDB_txn *txn = NULL;
			struct bytes value;
			int rc;

			signal(SIGSEGV, SIG_DFL);
			signal(SIGABRT, SIG_DFL);
			if (cache_db_open(&db, dir, "x", VERSION, &e) < 0 ||
			    cache_db_begin(db, true, &txn, &e) < 0)
				_exit(2);
			rc = cache_db_get(db, txn, key, &value, &e);
			if (rc == 1 && !bytes_is(value, "value"))
				_exit(3);
			/* Writing takes free pages, so that tree is used, too. */
			if (rc >= 0 &&
			    (cache_db_put(db, txn, key, bytes_str("value"), &e) < 0 ||
			     cache_db_commit(db, txn, &e) < 0))
				_exit(4);
			cache_db_close(db);
			_exit(rc == 1 ? 0 : 1);
		}
		waitpid(pid, &status, 0);
		assert_true(WIFEXITED(status));
		assert_true(WEXITSTATUS(status) < 2);
		anew += WEXITSTATUS(status) == 1;
	}
	assert_true(anew > 0);
	test_dir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(while_another_is_at_work),
		cmocka_unit_test(another_version),
		cmocka_unit_test(what_is_no_database),
		cmocka_unit_test(each_byte_of_a_page),
	};
	int failed = run_table(ending_rows, one_ending);

	return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
