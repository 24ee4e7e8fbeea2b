/*
 * test_lock.c - whose lock stands in the way and whose does not, and what a process that is
 * killed at any system call leaves behind.
 *
 * Folder and roster are as Borg 1.2.4 writes them (docs/format.md "Locks"); its own module is the
 * peer at the end.  Both programs at one repository: tests/e2e/locks.bats.
 */

#include "tests/support/tap.h"

#include "core/base/io.h"
#include "core/base/log.h"
#include "core/platform/host.h"
#include "core/repo/lock.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HERE      "host1.example.org@3281355014145"
#define ELSEWHERE "[\"host2@1\", 7, 0]"

/* In texts, DEAD is the pid of a process that is gone, LIVE that of one that is not. */
static const struct row {
	const char *name;
	const char *roster;
	const char *holder; /* name in the folder; "" the folder is empty, NULL there is none */
	enum lock_mode mode;
	int want;
	const char *says, *after; /* the roster afterwards, blanks aside */
} rows[] = {
	{ "alone, shared", NULL, NULL, LOCK_SHARED, 0, "",
	  "{\"shared\":[[\"" HERE "\",SELF,0]]}" },
	{ "alone, exclusive", NULL, NULL, LOCK_EXCLUSIVE, 0, "",
	  "{\"exclusive\":[[\"" HERE "\",SELF,0]]}" },
	{ "an empty folder", NULL, "", LOCK_EXCLUSIVE, 0, "",
	  "{\"exclusive\":[[\"" HERE "\",SELF,0]]}" },
	{ "an empty roster", "", NULL, LOCK_SHARED, 0, "",
	  "{\"shared\":[[\"" HERE "\",SELF,0]]}" },
	{ "a cut roster", "{\"shared\": [[\"host2@1\", 7", NULL, LOCK_EXCLUSIVE, 0, "",
	  "{\"exclusive\":[[\"" HERE "\",SELF,0]]}" },
	{ "another reader, shared", "{\"shared\": [" ELSEWHERE "]}", NULL, LOCK_SHARED, 0, "",
	  "{\"shared\":[[\"host2@1\",7,0],[\"" HERE "\",SELF,0]]}" },
	{ "another reader, exclusive", "{\"shared\": [" ELSEWHERE "]}", NULL, LOCK_EXCLUSIVE,
	  -EBUSY, "Failed to create/acquire the lock DIR/lock (timeout).",
	  "{\"shared\":[[\"host2@1\",7,0]]}" },
	{ "a reader of this host", "{\"shared\": [[\"" HERE "\", LIVE, 0]]}", NULL,
	  LOCK_EXCLUSIVE, -EBUSY, "DIR/lock (timeout).",
	  "{\"shared\":[[\"" HERE "\",LIVE,0]]}" },
	{ "a dead reader", "{\"shared\": [[\"" HERE "\", DEAD, 0], " ELSEWHERE "]}", NULL,
	  LOCK_SHARED, 0, "", "{\"shared\":[[\"host2@1\",7,0],[\"" HERE "\",SELF,0]]}" },
	{ "a dead reader, exclusive", "{\"shared\": [[\"" HERE "\", DEAD, 0]]}", NULL,
	  LOCK_EXCLUSIVE, 0, "", "{\"shared\":[],\"exclusive\":[[\"" HERE "\",SELF,0]]}" },
	{ "a dead reader's thread", "{\"shared\": [[\"" HERE "\", DEAD, 1]]}", NULL,
	  LOCK_EXCLUSIVE, -EBUSY, "(timeout)", "{\"shared\":[[\"" HERE "\",DEAD,1]]}" },
	{ "the same pid elsewhere", "{\"shared\": [[\"host2@1\", DEAD, 0]]}", NULL,
	  LOCK_EXCLUSIVE, -EBUSY, "(timeout)", "{\"shared\":[[\"host2@1\",DEAD,0]]}" },
	{ "our pid's predecessor", "{\"shared\": [[\"" HERE "\", SELF, 0]]}", NULL,
	  LOCK_EXCLUSIVE, 0, "", "{\"shared\":[],\"exclusive\":[[\"" HERE "\",SELF,0]]}" },
	{ "what we do not know stays", "{\"later\": 1, \"shared\": []}", NULL, LOCK_SHARED, 0,
	  "", "{\"later\":1,\"shared\":[[\"" HERE "\",SELF,0]]}" },
	{ "a roster of another shape", "{\"shared\": [[\"host2@1\", 7]]}", NULL, LOCK_SHARED,
	  -EBADMSG,
	  "Failed to create/acquire the lock DIR/lock.exclusive "
	  "(DIR/lock.roster: not a lock roster).",
	  "{\"shared\":[[\"host2@1\",7]]}" },
	{ "a roster that is a list", "[]", NULL, LOCK_SHARED, -EBADMSG, "not a lock roster",
	  "[]" },
	{ "a host that is no text", "{\"shared\":[[1,7,0]]}", NULL, LOCK_SHARED, -EBADMSG,
	  "not a lock roster", "{\"shared\":[[1,7,0]]}" },
	{ "a host that only Python reads", "{\"shared\":[[\"\\udcff\",7,0]]}", NULL,
	  LOCK_SHARED, -EBADMSG, "not UTF-8", "{\"shared\":[[\"\\udcff\",7,0]]}" },
	{ "a holder elsewhere", "{\"exclusive\": [" ELSEWHERE "]}", "host2@1.7-0", LOCK_SHARED,
	  -EBUSY, "Failed to create/acquire the lock DIR/lock.exclusive (timeout).",
	  "{\"exclusive\":[[\"host2@1\",7,0]]}" },
	{ "a holder of this host", NULL, HERE ".LIVE-0", LOCK_EXCLUSIVE, -EBUSY,
	  "DIR/lock.exclusive (timeout).", NULL },
	{ "a dead holder", "{\"exclusive\": [[\"" HERE "\", DEAD, 0]]}", HERE ".DEAD-0",
	  LOCK_EXCLUSIVE, 0, "", "{\"exclusive\":[[\"" HERE "\",SELF,0]]}" },
	{ "a dead holder before us, shared", "{\"exclusive\": [[\"" HERE "\", DEAD, 0]]}",
	  HERE ".DEAD-0", LOCK_SHARED, 0, "",
	  "{\"exclusive\":[],\"shared\":[[\"" HERE "\",SELF,0]]}" },
	{ "a dead holder's thread", NULL, HERE ".DEAD-a", LOCK_SHARED, -EBUSY, "(timeout)",
	  NULL },
	{ "a dead pid, another host", NULL, "x" HERE ".DEAD-0", LOCK_SHARED, -EBUSY,
	  "(timeout)", NULL },
	{ "our own name", NULL, HERE ".SELF-0", LOCK_EXCLUSIVE, 0, "",
	  "{\"exclusive\":[[\"" HERE "\",SELF,0]]}" },
	{ "a name without thread", NULL, HERE ".DEAD", LOCK_SHARED, -EBUSY, "(timeout)", NULL },
	{ "a name without pid", NULL, HERE ".-0", LOCK_SHARED, -EBUSY, "(timeout)", NULL },
	{ "a name with a sign", NULL, HERE ".-1-0", LOCK_SHARED, -EBUSY, "(timeout)", NULL },
	{ "a name with a huge pid", NULL, HERE ".99999999999999999999-0", LOCK_SHARED, -EBUSY,
	  "(timeout)", NULL },
	{ "pid 0", NULL, HERE ".0-0", LOCK_SHARED, -EBUSY, "(timeout)", NULL },
};

static pid_t dead_pid(void)
{
	static pid_t pid;

	if (pid == 0) {
		pid = fork();
		if (pid == 0)
			_exit(0);
		waitpid(pid, NULL, 0);
	}
	return pid;
}

/* SELF, LIVE, DEAD and DIR replaced; on the heap. */
static char *fill_in(const char *text, const char *dir)
{
	const char *const words[] = { "SELF", "LIVE", "DEAD", "DIR" };
	const long pids[] = { getpid(), getppid(), dead_pid() };
	struct buf out = BUF_INIT;

	while (*text) {
		char number[24];
		size_t i = 0;

		while (i < 4 && strncmp(text, words[i], strlen(words[i])) != 0)
			i++;
		if (i < 3)
			snprintf(number, sizeof(number), "%ld", pids[i]);
		if (i < 4) {
			buf_append_str(&out, i < 3 ? number : dir);
			text += strlen(words[i]);
		} else {
			buf_append_byte(&out, (uint8_t)*text++);
		}
	}
	buf_append_byte(&out, 0);
	return (char *)out.p;
}

static void put_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void lay_out(const struct row *row, const char *dir)
{
	char *roster = path_join(dir, "lock.roster"),
	     *folder = path_join(dir, "lock.exclusive");
	char *text;

	if (row->roster) {
		text = fill_in(row->roster, dir);
		put_file(roster, text);
		free(text);
	}
	if (row->holder) {
		assert_int_equal(mkdir(folder, 0700), 0);
		if (*row->holder) {
			char *name = fill_in(row->holder, dir), *path = path_join(folder, name);

			put_file(path, "");
			free(name);
			free(path);
		}
	}
	free(roster);
	free(folder);
}

/* The roster without blanks, on the heap; NULL where there is none. */
static char *roster_text(const char *dir)
{
	char *path = path_join(dir, "lock.roster");
	struct buf text = BUF_INIT;
	size_t kept = 0;
	int rc = file_read(AT_FDCWD, path, 4096, &text, NULL);

	free(path);
	if (rc < 0) {
		buf_fini(&text);
		return NULL;
	}
	for (size_t i = 0; i < text.len; i++)
		if (text.p[i] != ' ' && text.p[i] != '\n')
			text.p[kept++] = text.p[i];
	text.len = kept;
	buf_append_byte(&text, 0);
	return (char *)text.p;
}

static size_t entries_in(const char *path)
{
	DIR *d = opendir(path);
	size_t count = 0;

	if (!d)
		return 0;
	while (readdir(d))
		count++;
	closedir(d);
	return count - 2;
}

static struct lock *must_lock(const char *dir, enum lock_mode mode)
{
	char *prefix = path_join(dir, "lock");
	struct lock_options options = { .wait = 0 };
	struct lock *l = NULL;
	struct err e = ERR_INIT;
	int rc = lock_acquire(&l, prefix, mode, &options, &e);

	if (rc < 0)
		print_error("%s\n", e.msg);
	assert_int_equal(rc, 0);
	free(prefix);
	return l;
}

static int try_lock(const char *dir, enum lock_mode mode, double wait)
{
	char *prefix = path_join(dir, "lock");
	struct lock_options options = { .wait = wait };
	struct lock *l = NULL;
	int rc = lock_acquire(&l, prefix, mode, &options, NULL);

	lock_close(l);
	free(prefix);
	return rc;
}

static void acquire_one(const void *arg)
{
	const struct row *row = arg;
	char *dir = test_dir_make(), *prefix = path_join(dir, "lock");
	char *folder = path_join(dir, "lock.exclusive");
	char *says = fill_in(row->says, dir), *got;
	char *after = row->after ? fill_in(row->after, dir) : NULL;
	struct lock_options options = { .wait = 0 };
	struct lock *l = NULL;
	struct err e = ERR_INIT;

	lay_out(row, dir);
	assert_int_equal(lock_acquire(&l, prefix, row->mode, &options, &e), row->want);
	assert_int_equal(l != NULL, row->want == 0);
	assert_non_null(strstr(e.msg, says));
	if (row->want < 0)
		assert_string_equal(e.msgid,
				    row->want == -EBUSY ? "LockTimeout" : "LockFailed");
	got = roster_text(dir);
	if (after)
		assert_string_equal(got, after);
	else
		assert_null(got);
	if (row->want == 0) {
		assert_true(lock_still_held(l));
		assert_int_equal(entries_in(folder), row->mode == LOCK_EXCLUSIVE);
		assert_int_equal(lock_release(l, &e), 0);
		assert_false(lock_still_held(l));
		assert_int_equal(access(folder, F_OK), -1);
	}
	lock_close(l);
	free(got);
	free(after);
	free(says);
	free(folder);
	free(prefix);
	test_dir_remove(dir);
}

static void nothing_is_left(void **state)
{
	char *dir = test_dir_make();

	(void)state;
	lock_close(must_lock(dir, LOCK_EXCLUSIVE));
	assert_int_equal(entries_in(dir), 0);
	lock_close(must_lock(dir, LOCK_SHARED));
	assert_int_equal(entries_in(dir), 0);
	lock_close(NULL);
	test_dir_remove(dir);
}

/* What another process answers; it has no lock afterwards. */
static int asked_of_another(const char *dir, enum lock_mode mode, double wait)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(-try_lock(dir, mode, wait));
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
}

static void between_processes(void **state)
{
	char *dir = test_dir_make();
	struct lock *l = must_lock(dir, LOCK_EXCLUSIVE);

	(void)state;
	assert_int_equal(asked_of_another(dir, LOCK_SHARED, 0), -EBUSY);
	assert_int_equal(asked_of_another(dir, LOCK_EXCLUSIVE, 0.05), -EBUSY);
	assert_true(lock_still_held(l));
	lock_close(l);
	l = must_lock(dir, LOCK_SHARED);
	assert_int_equal(asked_of_another(dir, LOCK_SHARED, 0), 0);
	assert_int_equal(asked_of_another(dir, LOCK_EXCLUSIVE, 0), -EBUSY);
	assert_int_equal(lock_upgrade(l, NULL), 0);
	assert_int_equal(asked_of_another(dir, LOCK_SHARED, 0), -EBUSY);
	assert_int_equal(lock_upgrade(l, NULL), 0);
	lock_close(l);
	assert_int_equal(asked_of_another(dir, LOCK_EXCLUSIVE, 0), 0);
	test_dir_remove(dir);
}

static void an_upgrade_that_fails_still_shares(void **state)
{
	char *dir = test_dir_make(), *roster = path_join(dir, "lock.roster"), *got;
	struct lock *l = must_lock(dir, LOCK_SHARED);
	struct err e = ERR_INIT;
	char *text = fill_in("{\"shared\": [[\"" HERE "\", SELF, 0], " ELSEWHERE "]}", dir);

	(void)state;
	put_file(roster, text);
	assert_int_equal(lock_upgrade(l, &e), -EBUSY);
	assert_string_equal(e.msgid, "LockTimeout");
	assert_true(lock_still_held(l));
	assert_int_equal(asked_of_another(dir, LOCK_SHARED, 0), 0);
	assert_int_equal(lock_release(l, &e), 0);
	got = roster_text(dir);
	assert_string_equal(got, "{\"shared\":[[\"host2@1\",7,0]]}");
	lock_close(l);
	free(got);
	free(text);
	free(roster);
	test_dir_remove(dir);
}

static void waits_until_it_is_free(void **state)
{
	char *dir = test_dir_make(), byte;
	int ready[2], status;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		char *prefix = path_join(dir, "lock");
		struct lock *l = NULL;
		int rc = lock_acquire(&l, prefix, LOCK_EXCLUSIVE, NULL, NULL);

		if (write(ready[1], "", 1) != 1)
			rc = -EIO;
		usleep(150000);
		lock_close(l);
		free(prefix);
		_exit(rc != 0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(try_lock(dir, LOCK_SHARED, 0), -EBUSY);
	assert_int_equal(try_lock(dir, LOCK_SHARED, -1), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(ready[0]);
	close(ready[1]);
	test_dir_remove(dir);
}

static const struct migration_row {
	const char *name;
	enum lock_mode mode;
	bool broken;
	int want;
	const char *msgid, *after;
} migration_rows[] = {
	{ "shared goes to the child", LOCK_SHARED, false, 0, NULL,
	  "{\"shared\":[[\"" HERE "\",SELF,0]]}" },
	{ "exclusive goes to the child", LOCK_EXCLUSIVE, false, 0, NULL,
	  "{\"exclusive\":[[\"" HERE "\",SELF,0]]}" },
	{ "shared, broken before", LOCK_SHARED, true, -ENOLCK, "NotLocked", NULL },
	{ "exclusive, broken before", LOCK_EXCLUSIVE, true, -ENOLCK, "NotMyLock", NULL },
};

static int in_the_child(const struct migration_row *row, struct lock *l, const char *dir)
{
	char *after = row->after ? fill_in(row->after, dir) : NULL, *got;
	struct err e = ERR_INIT;
	int rc = lock_migrate(l, &e);

	got = roster_text(dir);
	if (rc != row->want || (after ? !got || strcmp(got, after) != 0 : got != NULL))
		return 1;
	if (rc < 0 && strcmp(e.msgid, row->msgid) != 0)
		return 2;
	if (lock_still_held(l) != (rc == 0))
		return 3;
	lock_close(l);
	return 0;
}

static void migrate_one(const void *arg)
{
	const struct migration_row *row = arg;
	char *dir = test_dir_make(), *prefix = path_join(dir, "lock");
	struct lock *l = must_lock(dir, row->mode);
	int status;
	pid_t pid;

	assert_int_equal(lock_migrate(l, NULL), 0); /* the same process */
	assert_true(lock_still_held(l));
	if (row->broken)
		assert_int_equal(lock_break(prefix, NULL), 0);
	pid = fork();
	if (pid == 0)
		_exit(in_the_child(row, l, dir));
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	assert_int_equal(entries_in(dir), 0); /* the child closed it */
	lock_forget(l);
	free(prefix);
	test_dir_remove(dir);
}

static void a_child_that_does_not_migrate_holds_nothing(void **state)
{
	char *dir = test_dir_make();
	struct lock *l = must_lock(dir, LOCK_EXCLUSIVE);
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		lock_close(l);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	assert_true(lock_still_held(l));
	lock_close(l);
	assert_int_equal(entries_in(dir), 0);
	test_dir_remove(dir);
}

static void broken_locks(void **state)
{
	char *dir = test_dir_make(), *prefix = path_join(dir, "lock");
	char *folder = path_join(dir, "lock.exclusive"),
	     *name = path_join(folder, "host2@1.7-0");
	struct lock *l = must_lock(dir, LOCK_EXCLUSIVE);
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(lock_break(prefix, &e), 0);
	assert_int_equal(entries_in(dir), 0);
	assert_false(lock_still_held(l));
	assert_int_equal(lock_release(l, &e), -ENOLCK);
	assert_string_equal(e.msgid, "NotLocked");
	lock_close(l);
	l = must_lock(dir, LOCK_EXCLUSIVE);
	assert_int_equal(lock_break(prefix, &e), 0);
	assert_int_equal(mkdir(folder, 0700), 0);
	put_file(name, "");
	assert_int_equal(lock_release(l, &e), -ENOLCK);
	assert_string_equal(e.msgid, "NotMyLock");
	assert_non_null(strstr(e.msg, "lock.exclusive (was/is locked, but not by me)."));
	assert_int_equal(access(name, F_OK), 0);
	lock_close(l);
	assert_int_equal(lock_break(prefix, &e), 0);
	l = must_lock(dir, LOCK_SHARED);
	assert_int_equal(lock_break(prefix, &e), 0);
	assert_int_equal(lock_release(l, &e), -ENOLCK);
	assert_string_equal(e.msgid, "NotLocked");
	lock_close(l);
	assert_int_equal(lock_break(prefix, &e), 0); /* nothing there */
	assert_int_equal(entries_in(dir), 0);
	free(name);
	free(folder);
	free(prefix);
	test_dir_remove(dir);
}

/* Folders beside the lock; which of them the next one who has it alone finds in the way. */
static const struct left_row {
	const char *name, *holder; /* in it, or NULL: empty */
	time_t age;
	bool stays;
} left_rows[] = {
	{ "lock.exclusive.0.tmp", HERE ".DEAD-0", 0, false },
	{ "lock.exclusive.1.tmp", HERE ".LIVE-0", 0, true },
	{ "lock.exclusive.2.tmp", "host2@1.DEAD-0", 7200, true },
	{ "lock.exclusive.3.tmp", NULL, 0, true },
	{ "lock.exclusive.4.tmp", NULL, 7200, false },
	{ "lock.exclusive.5.tmp", "something", 7200, true },
	{ "lock.exclusive.old", HERE ".DEAD-0", 7200, true },
	{ "other.exclusive.0.tmp", HERE ".DEAD-0", 7200, true },
	{ "lock.exclusive.tmp", NULL, 7200, true },
};

static void lay_left(const struct left_row *row, const char *dir)
{
	char *folder = path_join(dir, row->name), *holder, *path;
	const struct timespec then[2] = { { .tv_sec = time(NULL) - row->age },
					  { .tv_sec = time(NULL) - row->age } };

	assert_int_equal(mkdir(folder, 0700), 0);
	if (row->holder) {
		holder = fill_in(row->holder, dir);
		path = path_join(folder, holder);
		put_file(path, "");
		free(holder);
		free(path);
	}
	assert_int_equal(utimensat(AT_FDCWD, folder, then, 0), 0);
	free(folder);
}

static void what_the_killed_left(void **state)
{
	char *dir = test_dir_make(), *folder;

	(void)state;
	for (size_t i = 0; i < sizeof(left_rows) / sizeof(left_rows[0]); i++)
		lay_left(&left_rows[i], dir);
	lock_close(must_lock(dir, LOCK_SHARED));
	assert_int_equal(entries_in(dir), sizeof(left_rows) / sizeof(left_rows[0]));
	lock_close(must_lock(dir, LOCK_EXCLUSIVE));
	for (size_t i = 0; i < sizeof(left_rows) / sizeof(left_rows[0]); i++) {
		folder = path_join(dir, left_rows[i].name);
		if ((access(folder, F_OK) == 0) != left_rows[i].stays)
			fail_msg("%s", left_rows[i].name);
		free(folder);
	}
	test_dir_remove(dir);
}

static void where_one_cannot_write(void **state)
{
	struct lock *l = NULL;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(lock_acquire(&l, "/nowhere/lock", LOCK_SHARED, NULL, &e), -ENOENT);
	assert_string_equal(e.msgid, "LockFailed");
	assert_non_null(strstr(e.msg,
			       "Failed to create/acquire the lock /nowhere/lock.exclusive "
			       "([Errno 2] No such file or directory: '/nowhere/lock."));
	setenv("BORG_HOST_ID", "a/b", 1);
	assert_int_equal(lock_acquire(&l, "/tmp/lock", LOCK_SHARED, NULL, &e), -EINVAL);
	setenv("BORG_HOST_ID", HERE, 1);
}

/*
 * A child that takes and releases the lock is killed at its n-th stop, before or after a system
 * call; whatever n is, a reader elsewhere keeps his entry and we get the lock.  1 where the child
 * came to its end before.
 */
static int killed_at(const char *dir, enum lock_mode mode, unsigned n)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(-try_lock(dir, mode, 0));
	}
	waitpid(pid, &status, 0);
	for (unsigned i = 0; i < n && WIFSTOPPED(status); i++) {
		assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
	}
	if (WIFEXITED(status)) {
		assert_int_equal(WEXITSTATUS(status), 0);
		return 1;
	}
	assert_true(WIFSTOPPED(status));
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return 0;
}

static const struct kill_row {
	const char *name;
	enum lock_mode mode;
	const char *roster; /* before, and after us */
} kill_rows[] = {
	{ "killed at any step, shared", LOCK_SHARED, "{\"shared\":[[\"host2@1\",7,0]]}" },
	{ "killed at any step, exclusive", LOCK_EXCLUSIVE, NULL },
};

static void kill_at_every_step(const void *arg)
{
	const struct kill_row *row = arg;
	char *dir = test_dir_make(), *roster = path_join(dir, "lock.roster"), *got;
	unsigned n = 0;
	int ended;

	if (row->roster)
		put_file(roster, row->roster);
	do {
		ended = killed_at(dir, row->mode, n++);
		lock_close(must_lock(dir, row->mode));
		got = roster_text(dir);
		if (row->roster)
			assert_string_equal(got, row->roster);
		else
			assert_null(got);
		free(got);
	} while (!ended);
	assert_true(n > 40); /* it was stopped on its way */
	free(roster);
	test_dir_remove(dir);
}

static void host_ids(void **state)
{
	char *id = NULL, *fqdn = NULL;

	(void)state;
	assert_int_equal(host_id(&id, NULL), 0);
	assert_string_equal(id, HERE);
	free(id);
	setenv("BORG_HOST_ID", "", 1);
	assert_int_equal(host_id(&id, NULL), 0);
	assert_int_equal(host_fqdn(&fqdn, NULL), 0);
	assert_int_equal(strncmp(id, fqdn, strlen(fqdn)), 0);
	assert_int_equal(id[strlen(fqdn)], '@');
	assert_int_equal(strspn(id + strlen(fqdn) + 1, "0123456789"),
			 strlen(id + strlen(fqdn) + 1));
	setenv("BORG_HOST_ID", HERE, 1);
	free(id);
	free(fqdn);
}

static void processes(void **state)
{
	(void)state;
	assert_true(host_process_alive(getpid()));
	assert_true(host_process_alive(1)); /* not ours to signal, but there */
	assert_false(host_process_alive(dead_pid()));
	assert_true(host_process_alive(0));
	assert_true(host_process_alive(-1));
	assert_true(host_process_alive((int64_t)1 << 40));
}

/* --- Borg's own locks, under this machine's real host id --- */

static const char borg_script[] = "import os, sys\n"
				  "from borg.locking import Lock, LockTimeout\n"
				  "from borg.logger import setup_logging\n"
				  "setup_logging(level='critical')\n"
				  "for line in sys.stdin:\n"
				  "    what = line.strip()\n"
				  "    if what == 'die': os._exit(0)\n"
				  "    try:\n"
				  "        if what == 'release': lock.release()\n"
				  "        else: lock = Lock('lock', exclusive=what == "
				  "'exclusive', timeout=0.05).acquire()\n"
				  "        print('ok', flush=True)\n"
				  "    except LockTimeout: print('busy', flush=True)\n";

struct borg {
	char *dir;
	pid_t pid;
	FILE *to, *from;
};

static int start_borg(void **state)
{
	struct borg *b = calloc(1, sizeof(*b));
	int to[2], from[2];

	b->dir = test_dir_make();
	assert_int_equal(pipe2(to, O_CLOEXEC), 0);
	assert_int_equal(pipe2(from, O_CLOEXEC), 0);
	unsetenv("BORG_HOST_ID");
	b->pid = fork();
	if (b->pid == 0) {
		dup2(to[0], STDIN_FILENO);
		dup2(from[1], STDOUT_FILENO);
		if (chdir(b->dir) == 0)
			execl("/usr/bin/python3", "python3", "-c", borg_script, NULL);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	b->to = fdopen(to[1], "w");
	b->from = fdopen(from[0], "r");
	*state = b;
	return 0;
}

static int stop_borg(void **state)
{
	struct borg *b = *state;

	fclose(b->to);
	fclose(b->from);
	waitpid(b->pid, NULL, 0);
	setenv("BORG_HOST_ID", HERE, 1);
	test_dir_remove(b->dir);
	free(b);
	return 0;
}

static bool borg_can(const struct borg *b, const char *what)
{
	char line[16] = "";

	fprintf(b->to, "%s\n", what);
	fflush(b->to);
	assert_non_null(fgets(line, sizeof(line), b->from));
	return strcmp(line, "ok\n") == 0;
}

static void borg_dies(const struct borg *b)
{
	int status;

	fprintf(b->to, "die\n");
	fflush(b->to);
	assert_int_equal(waitpid(b->pid, &status, 0), b->pid);
	assert_int_equal(status, 0);
}

static void borg_has_it(void **state)
{
	const struct borg *b = *state;

	assert_true(borg_can(b, "exclusive"));
	assert_int_equal(try_lock(b->dir, LOCK_SHARED, 0), -EBUSY);
	assert_int_equal(try_lock(b->dir, LOCK_EXCLUSIVE, 0), -EBUSY);
	assert_true(borg_can(b, "release"));
	assert_true(borg_can(b, "shared"));
	assert_int_equal(try_lock(b->dir, LOCK_SHARED, 0), 0);
	assert_int_equal(try_lock(b->dir, LOCK_EXCLUSIVE, 0), -EBUSY);
	assert_true(borg_can(b, "release"));
	assert_int_equal(entries_in(b->dir), 0);
}

static void we_have_it(void **state)
{
	const struct borg *b = *state;
	struct lock *l = must_lock(b->dir, LOCK_EXCLUSIVE);

	assert_false(borg_can(b, "shared"));
	assert_false(borg_can(b, "exclusive"));
	lock_close(l);
	l = must_lock(b->dir, LOCK_SHARED);
	assert_false(borg_can(b, "exclusive"));
	assert_true(borg_can(b, "shared"));
	assert_int_equal(lock_upgrade(l, NULL), -EBUSY);
	assert_true(borg_can(b, "release"));
	assert_int_equal(lock_upgrade(l, NULL), 0);
	assert_false(borg_can(b, "shared"));
	lock_close(l);
	assert_int_equal(entries_in(b->dir), 0);
}

static void borg_died_with_it_alone(void **state)
{
	const struct borg *b = *state;

	assert_true(borg_can(b, "exclusive"));
	borg_dies(b);
	lock_close(must_lock(b->dir, LOCK_EXCLUSIVE));
	assert_int_equal(entries_in(b->dir), 0);
}

static void borg_died_sharing_it(void **state)
{
	const struct borg *b = *state;

	assert_true(borg_can(b, "shared"));
	borg_dies(b);
	lock_close(must_lock(b->dir, LOCK_EXCLUSIVE));
	assert_int_equal(entries_in(b->dir), 0);
}

static void we_died_with_it(void **state)
{
	const struct borg *b = *state;

	for (int mode = LOCK_SHARED; mode <= LOCK_EXCLUSIVE; mode++) {
		pid_t pid = fork();

		if (pid == 0) {
			must_lock(b->dir, (enum lock_mode)mode);
			_exit(0);
		}
		waitpid(pid, NULL, 0);
		assert_true(entries_in(b->dir) > 0);
		assert_true(borg_can(b, "exclusive"));
		assert_true(borg_can(b, "release"));
		assert_int_equal(entries_in(b->dir), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_left),
		cmocka_unit_test(between_processes),
		cmocka_unit_test(an_upgrade_that_fails_still_shares),
		cmocka_unit_test(waits_until_it_is_free),
		cmocka_unit_test(a_child_that_does_not_migrate_holds_nothing),
		cmocka_unit_test(broken_locks),
		cmocka_unit_test(what_the_killed_left),
		cmocka_unit_test(where_one_cannot_write),
		cmocka_unit_test(host_ids),
		cmocka_unit_test(processes),
		cmocka_unit_test_setup_teardown(borg_has_it, start_borg, stop_borg),
		cmocka_unit_test_setup_teardown(we_have_it, start_borg, stop_borg),
		cmocka_unit_test_setup_teardown(borg_died_with_it_alone, start_borg, stop_borg),
		cmocka_unit_test_setup_teardown(borg_died_sharing_it, start_borg, stop_borg),
		cmocka_unit_test_setup_teardown(we_died_with_it, start_borg, stop_borg),
	};
	int rc;

	log_setup(LOG_LEVEL_CRITICAL, false);
	setenv("BORG_HOST_ID", HERE, 1);
	rc = run_table(rows, acquire_one);
	rc += run_table(migration_rows, migrate_one);
	rc += run_table(kill_rows, kill_at_every_step);
	return rc + cmocka_run_group_tests(tests, NULL, NULL);
}
