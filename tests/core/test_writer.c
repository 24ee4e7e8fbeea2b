/*
 * test_writer.c - lives of a repository: puts, deletes, commits, rollbacks, compactions in random
 * order, compared with a table in memory, by readers of this process, by a fresh one, and by
 * Borg's own Repository class, which writes in turn and checks what it finds.
 */

#include "tests/support/tap.h"

#include "core/base/io.h"
#include "core/base/table.h"
#include "core/repo/create.h"
#include "core/repo/hints.h"

#include <signal.h>
#include <sys/resource.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { UNIVERSE = 60, OBJECT_MAX = 4000 };

static uint64_t random_state;
static unsigned opened;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* An object is `len` bytes of one value; 0 length: not there. */
struct model {
	struct {
		uint16_t len;
		uint8_t value;
	} now[UNIVERSE], committed[UNIVERSE];
};

struct life {
	char *dir, *path;
	struct repo *repo;
	struct model model;
};

static struct chunk_id id_of(unsigned n)
{
	struct chunk_id id = { { 0 } };

	id.b[0] = (uint8_t)n; /* 0 is the manifest */
	return id;
}

static struct repo *open_repo(const char *path)
{
	struct location where = { .proto = LOCATION_FILE };
	/* Every other one keeps few changes in memory, and the rest in a file. */
	struct repo_options options = { .changes_in_memory = opened++ % 2 ? 5 : 0 };
	struct repo *r = NULL;
	struct err e = ERR_INIT;
	char *copy = strdup(path);

	where.path = copy;
	if (repo_open(&r, &where, &options, &e) != 0)
		fail_msg("%s", e.msg);
	free(copy);
	return r;
}

static void set_config(const struct life *l, const char *name, const char *value)
{
	char *command = NULL;

	assert_true(asprintf(&command, "sed -i 's/^%s = .*/%s = %s/' %s/config", name, name,
			     value, l->path) > 0);
	assert_int_equal(system(command), 0);
	free(command);
}

static void life_begin(struct life *l, const char *segment_size)
{
	struct location where = { .proto = LOCATION_FILE };
	struct repo_creation how = { 0 };

	*l = (struct life){ 0 };
	l->dir = test_dir_make();
	l->path = path_join(l->dir, "repo");
	where.path = l->path;
	assert_int_equal(repo_create(&where, &how, NULL), 0);
	set_config(l, "max_segment_size", segment_size);
	set_config(l, "segments_per_dir", "7");
	l->repo = open_repo(l->path);
}

static void life_end(struct life *l)
{
	repo_close(l->repo);
	free(l->path);
	test_dir_remove(l->dir);
}

static void must(int rc, const struct err *e)
{
	if (rc < 0)
		fail_msg("%s", e->msg);
}

static int expect(void *arg, size_t i, int rc, struct bytes object, const struct err *why)
{
	const struct model *m = arg;

	(void)why;
	if (m->now[i].len == 0) {
		assert_int_equal(rc, -ENOENT);
		return 0;
	}
	assert_int_equal(rc, 0);
	assert_int_equal(object.len, m->now[i].len);
	assert_int_equal(object.p[0], m->now[i].value);
	assert_int_equal(object.p[object.len - 1], m->now[i].value);
	return 0;
}

static void compare(struct repo *r, struct model *m)
{
	struct chunk_id ids[UNIVERSE];
	struct err e = ERR_INIT;

	for (unsigned n = 0; n < UNIVERSE; n++)
		ids[n] = id_of(n);
	must(repo_get_many(r, ids, UNIVERSE, expect, m, &e), &e);
}

static void put_some(struct life *l)
{
	unsigned n = (unsigned)(next_random() % UNIVERSE);
	uint8_t bytes[OBJECT_MAX];
	struct chunk_id id = id_of(n);
	struct err e = ERR_INIT;

	l->model.now[n].len = (uint16_t)(1 + next_random() % OBJECT_MAX);
	l->model.now[n].value = (uint8_t)next_random();
	memset(bytes, l->model.now[n].value, l->model.now[n].len);
	must(repo_put(l->repo, &id, (struct bytes){ bytes, l->model.now[n].len }, &e), &e);
}

static void delete_some(struct life *l)
{
	unsigned n = (unsigned)(next_random() % UNIVERSE);
	struct chunk_id id = id_of(n);
	int rc = repo_delete(l->repo, &id, NULL);

	assert_int_equal(rc, l->model.now[n].len ? 0 : -ENOENT);
	l->model.now[n].len = 0;
}

static void commit(struct life *l)
{
	struct err e = ERR_INIT;

	must(repo_commit(l->repo, &e), &e);
	memcpy(l->model.committed, l->model.now, sizeof(l->model.now));
}

static void roll_back(struct life *l)
{
	struct err e = ERR_INIT;

	must(repo_rollback(l->repo, next_random() % 2, &e), &e);
	memcpy(l->model.now, l->model.committed, sizeof(l->model.now));
}

static void compact(struct life *l)
{
	struct compact_options options = {
		.threshold = (double)(next_random() % 5) / 10,
		.cleanup_commits = next_random() % 4 == 0,
	};
	struct err e = ERR_INIT;
	uint64_t freed;

	commit(l);
	must(repo_compact(l->repo, &options, &freed, &e), &e);
}

/* The lock given back and taken again; now and then by another process's eyes, or after a crash:
 * closed without being unlocked, index and hints left behind. */
static void pause_(struct life *l)
{
	struct err e = ERR_INIT;

	commit(l);
	if (next_random() % 2)
		must(repo_unlock(l->repo, &e), &e);
	compare(l->repo, &l->model);
	repo_close(l->repo);
	l->repo = open_repo(l->path);
	compare(l->repo, &l->model);
	must(repo_lock(l->repo, 0, &e), &e);
	compare(l->repo, &l->model);
}

static void step(struct life *l)
{
	switch (next_random() % 24) {
	case 0: commit(l); break;
	case 1: roll_back(l); break;
	case 2: compact(l); break;
	case 3: pause_(l); break;
	case 4:
	case 5:
	case 6:
	case 7: delete_some(l); break;
	default: put_some(l); break;
	}
}

static void readers_see_what_was_written(void **state)
{
	struct err e = ERR_INIT;
	struct life l;

	(void)state;
	random_state = test_seed() | 1;
	for (size_t lives = test_count(4, 200); lives > 0; lives--) {
		life_begin(&l, lives % 2 ? "9000" : "524288000");
		must(repo_lock(l.repo, 0, &e), &e);
		for (size_t i = 0; i < 400; i++)
			step(&l);
		compare(l.repo, &l.model);
		commit(&l);
		must(repo_unlock(l.repo, &e), &e);
		compare(l.repo, &l.model);
		life_end(&l);
	}
}

/* --- with Borg in turn --- */

/* Checks with Borg's checker, says what each object is, and changes some. */
static const char borg_turn[] = "import sys, random, struct\n"
				"from borg.logger import setup_logging\n"
				"setup_logging(level='warning')\n"
				"from borg.repository import Repository\n"
				"path, seed = sys.argv[1], int(sys.argv[2])\n"
				"random.seed(seed)\n"
				"with Repository(path, exclusive=True) as r:\n"
				"    assert r.check(), 'check'\n"
				"with Repository(path, exclusive=True) as r:\n"
				"    key = lambda n: bytes([n]) + bytes(31)\n"
				"    for turn in range(2):\n"
				"        for i in range(20):\n"
				"            n = random.randrange(60)\n"
				"            if random.random() < 0.3 and key(n) in r:\n"
				"                r.delete(key(n))\n"
				"            else:\n"
				"                r.put(key(n), bytes([random.randrange(256)]) "
				"* random.randrange(1, 4000))\n"
				"        r.commit(compact=random.random() < 0.3)\n"
				"    for n in range(60):\n"
				"        d = r.get(key(n)) if key(n) in r else b''\n"
				"        print(n, len(d), d[0] if d else 0)\n"
				"with Repository(path, exclusive=True) as r:\n"
				"    assert r.check(), 'check after'\n";

/* How many objects it told of. */
static unsigned take_model(struct life *l, FILE *from)
{
	unsigned n, len, value, count = 0;

	for (; fscanf(from, "%u %u %u", &n, &len, &value) == 3 && n < UNIVERSE; count++) {
		l->model.now[n].len = (uint16_t)len;
		l->model.now[n].value = (uint8_t)value;
	}
	memcpy(l->model.committed, l->model.now, sizeof(l->model.now));
	return count;
}

/* Not a word on standard error, and all its checks hold. */
static void let_borg(struct life *l)
{
	char *command = NULL, *said = path_join(l->dir, "said");
	struct stat st;
	unsigned count;
	FILE *out;
	int ended;

	assert_true(asprintf(&command, "/usr/bin/python3 -c \"%s\" %s %u 2>%s", borg_turn,
			     l->path, (unsigned)(next_random() % 100000), said) > 0);
	out = popen(command, "r");
	assert_non_null(out);
	count = take_model(l, out);
	ended = pclose(out);
	assert_int_equal(stat(said, &st), 0);
	if (st.st_size != 0) {
		free(command);
		assert_true(asprintf(&command, "sed 's/^/# /' %s", said) > 0);
		(void)!system(command);
		fail_msg("borg had something to say");
	}
	assert_int_equal(ended, 0);
	assert_int_equal(count, UNIVERSE);
	free(command);
	free(said);
}

static void borg_and_we_take_turns(void **state)
{
	struct err e = ERR_INIT;
	struct life l;

	(void)state;
	random_state = test_seed() | 1;
	life_begin(&l, "20000");
	for (size_t turns = test_count(6, 60); turns > 0; turns--) {
		must(repo_lock(l.repo, 0, &e), &e);
		compare(l.repo, &l.model);
		for (size_t i = 0; i < 60; i++)
			step(&l);
		commit(&l);
		must(repo_unlock(l.repo, &e), &e);
		let_borg(&l);
		must(repo_refresh(l.repo, &e), &e);
		compare(l.repo, &l.model);
	}
	life_end(&l);
}

/* --- bounds --- */

static void a_quota_dooms_the_transaction(void **state)
{
	static const uint8_t bytes[3000];
	struct compact_options options = { .threshold = 0 };
	struct chunk_id id = id_of(1), other = id_of(2);
	struct err e = ERR_INIT;
	struct life l;
	uint64_t freed;

	(void)state;
	life_begin(&l, "524288000");
	repo_close(l.repo);
	set_config(&l, "storage_quota", "5000");
	l.repo = open_repo(l.path);
	assert_int_equal(repo_lock(l.repo, 0, &e), 0);
	assert_int_equal(repo_put(l.repo, &id, (struct bytes){ bytes, 3000 }, &e), 0);
	assert_int_equal(repo_commit(l.repo, &e), 0);
	assert_int_equal(repo_put(l.repo, &other, (struct bytes){ bytes, 3000 }, &e), -EDQUOT);
	assert_string_equal(e.msgid, "Repository.StorageQuotaExceeded");
	assert_int_equal(repo_commit(l.repo, &e), -EDQUOT);
	assert_int_equal(repo_rollback(l.repo, true, &e), 0);
	assert_int_equal(repo_has(l.repo, &other, &e), 0);
	assert_int_equal(repo_has(l.repo, &id, &e), 1);
	assert_int_equal(repo_delete(l.repo, &id, &e), 0);
	assert_int_equal(repo_commit(l.repo, &e), 0);
	assert_int_equal(repo_compact(l.repo, &options, &freed, &e), 0);
	assert_int_equal(freed, 3041);
	assert_int_equal(repo_put(l.repo, &other, (struct bytes){ bytes, 3000 }, &e), 0);
	assert_int_equal(repo_commit(l.repo, &e), 0);
	assert_int_equal(repo_unlock(l.repo, &e), 0);
	life_end(&l);
}

/* What was taken and could not be written is to be had until the transaction is given up. */
static void objects_outlive_a_write_that_fails(void **state)
{
	static uint8_t bytes[3000];
	struct rlimit before, small = { .rlim_cur = 100000 };
	struct buf got = BUF_INIT;
	struct err e = ERR_INIT;
	unsigned taken = 0;
	struct chunk_id id;
	struct life l;
	int rc = 0;

	(void)state;
	life_begin(&l, "524288000");
	assert_int_equal(repo_lock(l.repo, 0, &e), 0);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &before);
	small.rlim_max = before.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	while (rc == 0 && taken < 1000) {
		id = id_of(taken);
		memset(bytes, (int)taken, sizeof(bytes));
		rc = repo_put(l.repo, &id, (struct bytes){ bytes, sizeof(bytes) }, &e);
		taken += rc == 0;
	}
	assert_int_equal(rc, -EFBIG);
	assert_true(taken > 100000 / 3041); /* more than the file has */
	for (unsigned i = 0; i < taken; i++) {
		id = id_of(i);
		memset(bytes, (int)i, sizeof(bytes));
		assert_int_equal(repo_get(l.repo, &id, 0, &got, &e), 0);
		assert_memory_equal(got.p, bytes, sizeof(bytes));
	}
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(repo_rollback(l.repo, false, &e), 0);
	id = id_of(taken - 1);
	assert_int_equal(repo_has(l.repo, &id, &e), 0);
	assert_int_equal(repo_unlock(l.repo, &e), 0);
	buf_fini(&got);
	life_end(&l);
}

static void append_only_is_never_compacted(void **state)
{
	static const uint8_t bytes[100];
	struct compact_options options = { .threshold = 0 };
	struct chunk_id id = id_of(1);
	struct buf log = BUF_INIT;
	struct life l;
	uint64_t freed;
	char *path;

	(void)state;
	life_begin(&l, "524288000");
	repo_close(l.repo);
	set_config(&l, "append_only", "1");
	l.repo = open_repo(l.path);
	assert_int_equal(repo_lock(l.repo, 0, NULL), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(repo_put(l.repo, &id, (struct bytes){ bytes, 100 }, NULL), 0);
	assert_int_equal(repo_commit(l.repo, NULL), 0);
	assert_int_equal(repo_compact(l.repo, &options, &freed, NULL), 0);
	assert_int_equal(freed, 0);
	assert_int_equal(repo_unlock(l.repo, NULL), 0);
	path = path_join(l.path, "transactions");
	assert_int_equal(file_read(AT_FDCWD, path, 4096, &log, NULL), 0);
	assert_true(log.len > 20 && memcmp(log.p, "transaction ", 12) == 0);
	free(path);
	buf_fini(&log);
	life_end(&l);
}

static void a_second_writer_waits_outside(void **state)
{
	struct err e = ERR_INIT;
	struct life l;
	char *command = NULL;

	(void)state;
	life_begin(&l, "524288000");
	assert_int_equal(repo_lock(l.repo, 0, NULL), 0);
	assert_true(asprintf(&command,
			     "borg --lock-wait 0 --bypass-lock list %s >/dev/null 2>&1; "
			     "borg --lock-wait 0 compact %s 2>&1 | grep -q 'Failed to "
			     "create/acquire the lock'",
			     l.path, l.path) > 0);
	assert_int_equal(system(command), 0);
	assert_int_equal(repo_unlock(l.repo, &e), 0);
	free(command);
	life_end(&l);
}

#define REPOSITORY "mkdir -p r/data/0; echo Borg Backup repository >r/README; "
#define COMMIT     "\\100\\364\\074\\045\\011\\000\\000\\000\\002"

static const struct place_row {
	const char *name;
	const char *prepare; /* shell, in a folder of its own */
	const char *path;
	const char *msgid;
	bool unfinished; /* it says that it can be removed */
} places[] = {
	{ "a file is there", "touch r", "r", "Repository.PathAlreadyExists", false },
	{ "a folder with something", "mkdir r; touch r/x", "r", "Repository.PathAlreadyExists",
	  false },
	{ "an empty folder is taken", "mkdir r", "r", NULL, false },
	{ "no folder above", "true", "a/r", "Repository.ParentPathDoesNotExist", false },
	{ "a readme that was not finished", "mkdir r; touch r/README-17.tmp", "r", NULL,
	  false },
	{ "a repository is there", REPOSITORY "printf 'BORG_SEG" COMMIT "' >r/data/0/1", "r",
	  "Repository.AlreadyExists", false },
	{ "one without a data folder", "mkdir r; echo Borg Backup repository >r/README", "r",
	  "Repository.AlreadyExists", true },
	{ "one without a segment", REPOSITORY, "r", "Repository.AlreadyExists", true },
	{ "one without a commit", REPOSITORY "printf BORG_SEG >r/data/0/0", "r",
	  "Repository.AlreadyExists", true },
	{ "one with an index", REPOSITORY "echo >r/index.1", "r", "Repository.AlreadyExists",
	  false },
	{ "one with later segments", REPOSITORY "touch r/data/0/3", "r",
	  "Repository.AlreadyExists", false },
	{ "one with segments elsewhere", REPOSITORY "mkdir r/data/1; touch r/data/1/7", "r",
	  "Repository.AlreadyExists", false },
	{ "a repository above",
	  "mkdir -p q/s q/data/1; echo Borg repository >q/README; touch q/data/1/7", "q/s/r",
	  "Repository.AlreadyExists", false },
};

static size_t entries_in(const char *path)
{
	DIR *d = opendir(path);
	size_t count = 0;

	while (readdir(d))
		count++;
	closedir(d);
	return count - 2;
}

static void create_one(const void *arg)
{
	const struct place_row *row = arg;
	struct location where = { .proto = LOCATION_FILE };
	struct repo_creation how = { 0 };
	struct err e = ERR_INIT;
	char *dir = test_dir_make(), *command = NULL;
	int rc;

	assert_true(asprintf(&command, "cd %s && (%s)", dir, row->prepare) > 0);
	assert_int_equal(system(command), 0);
	where.path = path_join(dir, row->path);
	rc = repo_create(&where, &how, &e);
	if (row->msgid) {
		assert_true(rc < 0);
		assert_string_equal(e.msgid, row->msgid);
		assert_int_equal(strstr(e.msg, "remove that folder") != NULL, row->unfinished);
	} else {
		assert_int_equal(rc, 0);
		assert_int_equal(entries_in(where.path), 3);
	}
	free(where.path);
	free(command);
	test_dir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(readers_see_what_was_written),
		cmocka_unit_test(borg_and_we_take_turns),
		cmocka_unit_test(a_quota_dooms_the_transaction),
		cmocka_unit_test(objects_outlive_a_write_that_fails),
		cmocka_unit_test(append_only_is_never_compacted),
		cmocka_unit_test(a_second_writer_waits_outside),
	};
	int rc = run_table(places, create_one);

	return rc + cmocka_run_group_tests(tests, NULL, NULL);
}
