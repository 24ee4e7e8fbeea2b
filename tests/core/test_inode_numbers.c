/*
 * test_inode_numbers.c - a number for each archive: the same ever after, and no other's.
 *
 * Method: ids whose first bytes collide; the file between openings cut, flipped, taken away,
 * or written by two at once.
 */

#include "tests/support/tap.h"

#include "core/archive/inode_numbers.h"
#include "core/base/bytes.h"
#include "core/base/io.h"
#include "core/base/thread.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NUMBER_MAX = 0x7fffffff, MAGIC = 8, RECORD = 40 };

static struct chunk_id id_of(uint32_t first, uint8_t rest)
{
	struct chunk_id id;

	memset(id.b, rest, sizeof(id.b));
	put_le32(id.b, first);
	return id;
}

static uint32_t ask(struct inode_numbers *n, uint32_t first, uint8_t rest)
{
	struct chunk_id id = id_of(first, rest);
	uint32_t number = 0;

	assert_int_equal(inode_numbers_get(n, &id, &number, NULL), 0);
	assert_in_range(number, 1, NUMBER_MAX);
	return number;
}

static struct inode_numbers *open_in(const char *dir)
{
	struct inode_numbers *n = NULL;

	assert_int_equal(inode_numbers_open(&n, dir, NULL), 0);
	return n;
}

static void from_the_id(void **state)
{
	struct inode_numbers *n = open_in(NULL);

	(void)state;
	assert_int_equal(ask(n, 5, 1), 5);
	assert_int_equal(ask(n, 5, 1), 5);
	assert_int_equal(ask(n, 5, 2), 6); /* the next that is free */
	assert_int_equal(ask(n, 0x80000005, 3), 7);
	assert_int_equal(ask(n, 6, 4), 8);
	assert_int_equal(ask(n, 0, 1), 1); /* never 0 */
	assert_int_equal(ask(n, UINT32_MAX, 1), NUMBER_MAX);
	assert_int_equal(ask(n, NUMBER_MAX, 2), 2); /* and around */
	inode_numbers_close(n);
}

static int make_dir(void **state)
{
	*state = test_dir_make();
	return 0;
}

static int remove_dir(void **state)
{
	test_dir_remove(*state);
	return 0;
}

static void kept(void **state)
{
	struct inode_numbers *n = open_in(*state);
	char path[4096];
	struct stat st;

	assert_int_equal(ask(n, 5, 1), 5);
	assert_int_equal(ask(n, 5, 2), 6);
	inode_numbers_close(n);
	n = open_in(*state);
	assert_int_equal(ask(n, 5, 3), 7);
	assert_int_equal(ask(n, 5, 2), 6); /* though asked in another order */
	assert_int_equal(ask(n, 5, 1), 5);
	inode_numbers_close(n);
	snprintf(path, sizeof(path), "%s/inode-numbers", (char *)*state);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, MAGIC + 3 * RECORD);
}

/* Numbers 5, 6, 7 in the file; then `spoil` is done to it.  What is asked afterwards gets
 * numbers that are kept, and differ. */
struct spoiling {
	const char *name;
	off_t cut;  /* to this length; -1: not */
	off_t flip; /* this byte; -1: none */
	unsigned survivors;
};

static const struct spoiling spoilings[] = {
	{ "nothing happens", -1, -1, 3 },
	{ "emptied", 0, -1, 0 },
	{ "cut in the magic", 3, -1, 0 },
	{ "cut in the last record", MAGIC + 3 * RECORD - 1, -1, 2 },
	{ "cut behind the first record", MAGIC + RECORD, -1, 1 },
	{ "another magic", -1, 2, 0 },
	{ "a flipped number", -1, MAGIC + RECORD, 1 },
	{ "a flipped id", -1, MAGIC + RECORD + 20, 1 },
	{ "a flipped checksum", -1, MAGIC + 2 * RECORD + 39, 2 },
};

static void damage(const char *path, const struct spoiling *s)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint8_t byte;

	assert_true(fd >= 0);
	if (s->cut >= 0)
		assert_int_equal(ftruncate(fd, s->cut), 0);
	if (s->flip >= 0) {
		assert_int_equal(pread(fd, &byte, 1, s->flip), 1);
		byte ^= 0x10;
		assert_int_equal(pwrite(fd, &byte, 1, s->flip), 1);
	}
	close(fd);
}

static void spoiled(const void *arg)
{
	const struct spoiling *s = arg;
	char *dir = test_dir_make(), *path = path_join(dir, "inode-numbers");
	struct inode_numbers *n = open_in(dir);
	uint32_t numbers[4];

	for (uint8_t i = 0; i < 3; i++)
		assert_int_equal(ask(n, 5, i), 5 + i);
	inode_numbers_close(n);
	damage(path, s);
	n = open_in(dir);
	/* Asked from the last to the first, so that what was lost gets other numbers. */
	for (uint8_t i = 4; i-- > 0;)
		numbers[i] = ask(n, 5, i);
	for (uint8_t i = 0; i < s->survivors; i++)
		assert_int_equal(numbers[i], 5 + i);
	for (int i = 0; i < 4; i++)
		for (int j = 0; j < i; j++)
			assert_int_not_equal(numbers[i], numbers[j]);
	inode_numbers_close(n);
	n = open_in(dir);
	for (uint8_t i = 0; i < 4; i++)
		assert_int_equal(ask(n, 5, i), numbers[i]);
	inode_numbers_close(n);
	test_dir_remove(dir);
	free(path);
}

/* A record that gives a number, or an archive, a second time is not believed. */
static void forged(void **state)
{
	char path[4096];
	struct inode_numbers *n = open_in(*state);
	uint8_t record[RECORD];
	int fd;

	assert_int_equal(ask(n, 5, 1), 5);
	inode_numbers_close(n);
	snprintf(path, sizeof(path), "%s/inode-numbers", (char *)*state);
	fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC);
	assert_int_equal(pread(fd, record, RECORD, MAGIC), RECORD);
	assert_int_equal(write(fd, record, RECORD), RECORD);
	close(fd);
	n = open_in(*state);
	assert_int_equal(ask(n, 5, 2), 6);
	assert_int_equal(ask(n, 5, 1), 5);
	inode_numbers_close(n);
}

static void two_at_once(void **state)
{
	struct inode_numbers *a = open_in(*state), *b = open_in(*state);

	assert_int_equal(ask(a, 5, 1), 5);
	assert_int_equal(ask(b, 5, 2), 6); /* b has seen a's */
	assert_int_equal(ask(a, 5, 3), 7);
	assert_int_equal(ask(a, 5, 2), 6);
	assert_int_equal(ask(b, 5, 3), 7);
	inode_numbers_close(a);
	inode_numbers_close(b);
}

enum { PROCESSES = 4, EACH = 200 };

static void many_processes(void **state)
{
	bool taken[EACH + 2] = { false };
	struct inode_numbers *n;
	int status;

	for (int p = 0; p < PROCESSES; p++) {
		if (fork() != 0)
			continue;
		n = open_in(*state);
		for (unsigned i = 0; i < EACH; i++)
			ask(n, 1, (uint8_t)i);
		_exit(0);
	}
	for (int p = 0; p < PROCESSES; p++) {
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	n = open_in(*state);
	for (unsigned i = 0; i < EACH; i++) {
		uint32_t number = ask(n, 1, (uint8_t)i);

		assert_in_range(number, 1, EACH);
		assert_false(taken[number]);
		taken[number] = true;
	}
	inode_numbers_close(n);
}

static void no_folder(void **state)
{
	struct inode_numbers *n = open_in("/nonexistent/folder");

	(void)state;
	assert_int_equal(ask(n, 5, 1), 5);
	assert_int_equal(ask(n, 5, 2), 6);
	inode_numbers_close(n);
}

/* A file that can be read but not written: its numbers hold, new ones are in memory. */
static void read_only(void **state)
{
	struct inode_numbers *n = open_in(*state);
	char path[4096];
	pid_t child;
	int status;

	assert_int_equal(ask(n, 5, 1), 5);
	assert_int_equal(ask(n, 5, 2), 6);
	inode_numbers_close(n);
	snprintf(path, sizeof(path), "%s/inode-numbers", (char *)*state);
	assert_int_equal(chmod(path, 0444), 0);
	assert_int_equal(chmod(*state, 0555), 0);
	child = fork();
	if (child == 0) {
		bool good;

		if (geteuid() == 0 && setuid(65534) < 0)
			_exit(2);
		n = open_in(*state);
		good = ask(n, 5, 2) == 6 && ask(n, 5, 3) == 7 && ask(n, 5, 1) == 5;
		_exit(good ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(chmod(*state, 0755), 0);
	assert_int_equal(status, 0);
}

/* What another keeps while we cannot is not written over when we could again. */
static void full_disk(void **state)
{
	struct inode_numbers *a = open_in(*state), *b;
	struct rlimit before, small = { .rlim_cur = MAGIC + RECORD };

	assert_int_equal(ask(a, 5, 1), 5);
	getrlimit(RLIMIT_FSIZE, &before);
	small.rlim_max = before.rlim_max;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(ask(a, 5, 2), 6);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	b = open_in(*state);
	assert_int_equal(ask(b, 5, 3), 6);
	inode_numbers_close(b);
	assert_int_equal(ask(a, 5, 4), 7);
	assert_int_equal(ask(a, 5, 2), 6);
	inode_numbers_close(a);
	b = open_in(*state);
	assert_int_equal(ask(b, 5, 9), 7);
	assert_int_equal(ask(b, 5, 3), 6);
	inode_numbers_close(b);
}

struct crowd {
	struct inode_numbers *numbers;
	uint32_t got[EACH];
};

static void *ask_all(void *arg)
{
	struct crowd *c = arg;

	for (unsigned i = 0; i < EACH; i++) {
		struct chunk_id id = id_of(1, (uint8_t)i);

		if (inode_numbers_get(c->numbers, &id, &c->got[i], NULL) < 0)
			c->got[i] = 0;
	}
	return NULL;
}

static void many_threads(void **state)
{
	struct inode_numbers *n = open_in(*state);
	struct crowd crowds[4];
	pthread_t threads[4];

	for (int i = 0; i < 4; i++) {
		crowds[i].numbers = n;
		assert_int_equal(thread_start(&threads[i], ask_all, &crowds[i], "test", NULL),
				 0);
	}
	for (int i = 0; i < 4; i++)
		thread_join(threads[i]);
	for (int i = 1; i < 4; i++)
		assert_memory_equal(crowds[i].got, crowds[0].got, sizeof(crowds[0].got));
	inode_numbers_close(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_the_id),
		cmocka_unit_test_setup_teardown(kept, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(forged, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(two_at_once, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(many_processes, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(many_threads, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(read_only, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(full_disk, make_dir, remove_dir),
		cmocka_unit_test(no_folder),
	};
	int failed = run_table(spoilings, spoiled);

	return failed | cmocka_run_group_tests(tests, NULL, NULL);
}
