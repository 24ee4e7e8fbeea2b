/*
 * test_nonce.c - no counter is handed out twice, whatever stops on the way.
 *
 * Method: reservations as Borg's own NonceManager (1.2.4, run by python3) makes them from given
 * files and requests; real files on this machine's side, the repository in memory or stock borg's
 * golden one; writers that fail, a process that ends between reservation and use, and threads
 * whose ranges are compared afterwards.
 */

#include "tests/support/golden.h"
#include "tests/support/repo_memory.h"
#include "tests/support/tap.h"

#include "core/base/io.h"
#include "core/base/thread.h"
#include "core/platform/dirs.h"
#include "core/store/nonce.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST     UINT64_MAX
#define RESERVED (1u << 28)

static const struct key encrypting = { .traits = &(const struct key_traits){
					       .type = KEY_REPOKEY, .encrypts = true } };
static const struct key plain = { .traits = &(const struct key_traits){ .type = KEY_PLAINTEXT,
									.encrypts = false } };

/* --- this machine's file --- */

static char *base, *machine_file;

static int setup(void)
{
	CLEANUP(cleanup_freep) char *folder = NULL;

	base = test_dir_make();
	setenv("BORG_BASE_DIR", base, 1);
	unsetenv("BORG_CONFIG_DIR");
	unsetenv("BORG_SECURITY_DIR");
	if (dirs_security(&MANIFEST_ID, &folder, NULL) < 0) /* a repository in memory's id */
		return -1;
	machine_file = path_join(folder, "nonce");
	return machine_file ? 0 : -1;
}

static void teardown(void)
{
	free(machine_file);
	test_dir_remove(base);
}

static void set_text(const char *path, const char *text)
{
	if (text)
		assert_int_equal(file_replace(path, bytes_str(text), 0600, NULL), 0);
	else
		unlink(path);
}

static void set_machine(uint64_t value)
{
	char text[17];

	snprintf(text, sizeof(text), "%016" PRIx64, value);
	set_text(machine_file, value == NONCE_NONE ? NULL : text);
}

/* The file as Borg reads it: 16 lower-case digits and nothing else; NONCE_NONE where absent. */
static uint64_t value_of(const char *path)
{
	struct buf text = BUF_INIT;
	uint8_t value[8];

	if (file_read(AT_FDCWD, path, 100, &text, NULL) < 0)
		return NONCE_NONE;
	assert_int_equal(text.len, 16);
	for (size_t i = 0; i < text.len; i++)
		assert_true(strchr("0123456789abcdef", text.p[i]) && text.p[i]);
	assert_int_equal(hex_decode(buf_bytes(&text), value, sizeof(value)), 0);
	buf_fini(&text);
	return get_be64(value);
}

static uint64_t in_repo(struct repo *r)
{
	uint64_t value;

	assert_int_equal(repo_nonce_get(r, &value, NULL), 0);
	return value;
}

static struct nonces *open_nonces(struct repo *r, uint64_t manifest_next)
{
	struct nonces *n = NULL;

	assert_int_equal(nonces_open(&n, r, &encrypting, manifest_next, NULL), 0);
	return n;
}

/* --- reservations as Borg makes them --- */

enum { REQUESTS = 4 };

static const struct sequence {
	const char *name;
	uint64_t repo, machine, manifest_next;
	uint64_t blocks[REQUESTS]; /* 0: no more */
	uint64_t firsts[REQUESTS];
	uint64_t end; /* in both files */
} sequences[] = {
	{ "nothing known", NONCE_NONE, NONCE_NONE, 0, { 2, 1, 5 }, { 0, 2, 3 }, 0x10000002 },
	{ "a manifest",
	  NONCE_NONE,
	  NONCE_NONE,
	  0x35,
	  { 2, 1, 5 },
	  { 0x35, 0x37, 0x38 },
	  0x10000037 },
	{ "the repository knows",
	  0x10000002,
	  NONCE_NONE,
	  0x35,
	  { 2, 1 },
	  { 0x10000002, 0x10000004 },
	  0x20000004 },
	{ "the machine knows",
	  NONCE_NONE,
	  0x10000002,
	  0x35,
	  { 2, 1 },
	  { 0x10000002, 0x10000004 },
	  0x20000004 },
	{ "the repository was set back",
	  0x10000002,
	  0x30000087,
	  0x35,
	  { 2, 1 },
	  { 0x30000087, 0x30000089 },
	  0x40000089 },
	{ "others have written",
	  0x30000087,
	  0x10000002,
	  0x35,
	  { 2, 1 },
	  { 0x30000087, 0x30000089 },
	  0x40000089 },
	{ "both were set back, behind the manifest",
	  5,
	  5,
	  0x40000000,
	  { 2, 1 },
	  { 0x40000000, 0x40000002 },
	  0x50000002 },
	{ "used up on the way",
	  0x30000087,
	  0x30000087,
	  0x35,
	  { 1, RESERVED, 1, RESERVED },
	  { 0x30000087, 0x30000088, 0x40000088, 0x40000089 },
	  0x50000089 },
	{ "used to the last",
	  0,
	  0,
	  0,
	  { 1, RESERVED - 1, 1, 1 },
	  { 0, 1, 0x10000000, 0x10000001 },
	  0x20000002 },
	{ "the very last reservation",
	  MOST - RESERVED - 3,
	  NONCE_NONE,
	  0,
	  { 2 },
	  { MOST - RESERVED - 3 },
	  MOST - 1 },
};

static void sequence_one(const void *arg)
{
	const struct sequence *row = arg;
	struct repo *r = repo_memory_new();
	struct nonces *n;

	repo_memory_set_nonce(r, row->repo);
	set_machine(row->machine);
	n = open_nonces(r, row->manifest_next);
	assert_int_equal(in_repo(r), row->repo); /* opening reserves nothing */
	for (size_t i = 0; i < REQUESTS && row->blocks[i]; i++) {
		uint64_t first = 0;

		assert_int_equal(nonces_take(n, row->blocks[i], &first, NULL), 0);
		assert_int_equal(first, row->firsts[i]);
		assert_true(in_repo(r) >= first + row->blocks[i]);
		assert_true(value_of(machine_file) >= first + row->blocks[i]);
	}
	assert_int_equal(in_repo(r), row->end);
	assert_int_equal(value_of(machine_file), row->end);
	nonces_close(n);
	repo_close(r);
}

static const struct refusal {
	const char *name;
	uint64_t repo, machine, manifest_next, blocks;
} refusals[] = {
	{ "one block too many", MOST - RESERVED - 3, NONCE_NONE, 0, 3 },
	{ "behind the manifest", NONCE_NONE, NONCE_NONE, MOST - 1, 1 },
	{ "the manifest wraps round", NONCE_NONE, NONCE_NONE, MOST, 1 },
	{ "both at the end", MOST - 1, MOST - 1, 0, 1 },
	{ "more than there are", NONCE_NONE, NONCE_NONE, 0, MOST },
	{ "more than there are but for the reserve", NONCE_NONE, NONCE_NONE, 0,
	  MOST - RESERVED },
};

static void refuse_one(const void *arg)
{
	const struct refusal *row = arg;
	struct repo *r = repo_memory_new();
	struct err e = ERR_INIT;
	struct nonces *n;
	uint64_t first;

	repo_memory_set_nonce(r, row->repo);
	set_machine(row->machine);
	n = open_nonces(r, row->manifest_next);
	assert_int_equal(nonces_take(n, row->blocks, &first, &e), -EOVERFLOW);
	assert_non_null(strstr(e.msg, "used up"));
	assert_int_equal(in_repo(r), row->repo);
	assert_int_equal(value_of(machine_file), row->machine);
	nonces_close(n);
	repo_close(r);
}

/* --- the file --- */

static const struct content {
	const char *name;
	const char *text; /* NULL: absent */
	int want;
	uint64_t value;
} contents[] = {
	{ "absent", NULL, 0, NONCE_NONE },
	{ "zero", "0000000000000000", 0, 0 },
	{ "as spec has it", "0000000030000087", 0, 0x30000087 },
	{ "upper case, blanks around", " 00000000ABCDEF01\n", 0, 0xabcdef01 },
	{ "the last but one", "fffffffffffffffe", 0, MOST - 1 },
	{ "the last", "ffffffffffffffff", -EOVERFLOW, 0 },
	{ "empty", "", -EBADMSG, 0 },
	{ "blank", " \n", -EBADMSG, 0 },
	{ "a digit short", "000000003000008", -EBADMSG, 0 },
	{ "a byte short", "00000030000087", -EBADMSG, 0 },
	{ "a byte more", "000000000030000087", -EBADMSG, 0 },
	{ "not hex", "000000003000008g", -EBADMSG, 0 },
	{ "blank inside", "00000000 3000008", -EBADMSG, 0 },
	{ "a sign", "-000000030000087", -EBADMSG, 0 },
};

static void content_one(const void *arg)
{
	const struct content *row = arg;
	struct repo *r = repo_memory_new();
	struct err e = ERR_INIT;
	struct nonces *n = open_nonces(r, 0);
	uint64_t value = 0, first;

	set_text(machine_file, row->text);
	assert_int_equal(nonce_file_get(machine_file, "Repository", &value, &e), row->want);
	if (row->want == 0) {
		assert_int_equal(value, row->value);
		assert_int_equal(e.code, 0);
		nonces_close(n);
		repo_close(r);
		return;
	}
	if (row->want == -EBADMSG) {
		assert_string_equal(e.msgid, "Error");
		assert_ptr_equal(strstr(e.msg, "Repository has an invalid nonce file: "),
				 e.msg);
	}
	/* Nothing is overwritten, and nothing handed out. */
	assert_int_equal(nonce_file_reserve(machine_file, "x", MOST - 1, 0, 0600, NULL),
			 row->want);
	assert_int_equal(nonces_take(n, 1, &first, &e), row->want);
	assert_ptr_equal(strstr(e.msg, "Local security dir has a"), e.msg);
	assert_int_equal(in_repo(r), NONCE_NONE);
	nonces_close(n);
	repo_close(r);
}

static void reserve_in_a_file(void **state)
{
	struct err e = ERR_INIT;
	struct stat st;

	(void)state;
	set_text(machine_file, NULL);
	assert_int_equal(nonce_file_reserve(machine_file, "x", 7, 5, 0600, &e), -EBUSY);
	assert_string_equal(e.msg, "nonce space reservation with mismatched previous state");
	assert_int_equal(value_of(machine_file), NONCE_NONE);
	assert_int_equal(nonce_file_reserve(machine_file, "x", 7, NONCE_NONE, 0640, NULL), 0);
	assert_int_equal(value_of(machine_file), 7);
	assert_int_equal(stat(machine_file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_int_equal(nonce_file_reserve(machine_file, "x", 9, NONCE_NONE, 0640, &e),
			 -EBUSY);
	assert_int_equal(nonce_file_reserve(machine_file, "x", 9, 6, 0640, &e), -EBUSY);
	assert_int_equal(nonce_file_reserve(machine_file, "x", 7, 7, 0640, &e), -EINVAL);
	assert_int_equal(nonce_file_reserve(machine_file, "x", 3, 7, 0640, &e), -EINVAL);
	assert_int_equal(nonce_file_reserve(machine_file, "x", NONCE_NONE, 7, 0640, &e),
			 -EINVAL);
	assert_int_equal(value_of(machine_file), 7);
	assert_int_equal(nonce_file_reserve(machine_file, "x", 9, 7, 0640, NULL), 0);
	assert_int_equal(value_of(machine_file), 9);
}

/* --- what stops on the way --- */

static void without_encryption(void **state)
{
	struct repo *r = repo_memory_new();
	struct nonces *n = NULL;
	uint64_t first = 1;

	(void)state;
	set_text(machine_file, "rubbish");
	assert_int_equal(nonces_open(&n, r, &plain, 0, NULL), 0);
	assert_int_equal(nonces_take(n, 0, &first, NULL), 0);
	assert_int_equal(repo_memory_reservations(r), 0);
	nonces_close(n);
	repo_close(r);
}

/* The repository refuses: nothing was taken, and a later call begins anew. */
static void repository_fails(void **state)
{
	struct repo *r = repo_memory_new();
	struct nonces *n = open_nonces(r, 0);
	struct err e = ERR_INIT;
	uint64_t first;

	(void)state;
	set_machine(NONCE_NONE);
	repo_memory_fail_nonce(r, ENOSPC);
	assert_int_equal(nonces_take(n, 4, &first, &e), -ENOSPC);
	assert_int_equal(value_of(machine_file), NONCE_NONE);
	repo_memory_fail_nonce(r, EBUSY);
	assert_int_equal(nonces_take(n, 4, &first, &e), -EBUSY);
	assert_int_equal(nonces_take(n, 4, &first, &e), 0);
	assert_int_equal(first, 0);
	assert_int_equal(value_of(machine_file), 0x10000004);
	nonces_close(n);
	repo_close(r);
}

/* The repository has reserved and this machine cannot: what is reserved there is abandoned. */
static void machine_fails(void **state)
{
	struct repo *r = repo_memory_new();
	struct nonces *n = open_nonces(r, 0);
	struct err e = ERR_INIT;
	uint64_t first;
	char temp[512];

	(void)state;
	set_machine(NONCE_NONE);
	snprintf(temp, sizeof(temp), "%s-%ld.tmp", machine_file, (long)getpid());
	assert_int_equal(mkdir(temp, 0700), 0); /* where the new content is to be written */
	assert_int_equal(nonces_take(n, 4, &first, &e), -EEXIST);
	assert_int_equal(in_repo(r), 0x10000004);
	assert_int_equal(value_of(machine_file), NONCE_NONE);
	assert_int_equal(rmdir(temp), 0);
	assert_int_equal(nonces_take(n, 4, &first, &e), 0);
	assert_int_equal(first, 0x10000004);
	assert_int_equal(value_of(machine_file), 0x20000008);
	nonces_close(n);
	repo_close(r);
}

/* A process that ends without a word after it reserved, and used what nobody will ever see. */
static void process_dies(void **state)
{
	struct golden *g = golden_open("enc-repokey");
	struct location where = { .proto = LOCATION_FILE, .path = g->repo };
	struct repo *r = NULL;
	uint64_t used = 0, first = 0;
	char *path = path_join(g->repo, "nonce"), *folder = NULL, *machine = NULL;
	uint64_t before = value_of(path);

	(void)state;
	assert_int_not_equal(before, NONCE_NONE); /* stock borg has written here */
	for (int run = 0; run < 3; run++) {
		int ends[2], status;
		pid_t child;

		assert_int_equal(pipe(ends), 0);
		child = fork();
		if (child == 0) {
			struct nonces *n = NULL;
			bool ok = repo_open(&r, &where, NULL, NULL) == 0 &&
				  nonces_open(&n, r, &encrypting, 0, NULL) == 0 &&
				  nonces_take(n, 100, &first, NULL) == 0 &&
				  nonces_take(n, 23, &first, NULL) == 0;

			first += 23;
			_exit(ok && write(ends[1], &first, sizeof(first)) == sizeof(first) ? 0
											   : 1);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
		assert_int_equal(read(ends[0], &used, sizeof(used)), sizeof(used));
		close(ends[0]);
		close(ends[1]);
		assert_int_equal(used, before + 123);
		assert_int_equal(value_of(path), before + 100 + RESERVED);
		before = value_of(path);
	}
	assert_int_equal(repo_open(&r, &where, NULL, NULL), 0);
	assert_int_equal(dirs_security(&repo_config(r)->id, &folder, NULL), 0);
	machine = path_join(folder, "nonce");
	assert_int_equal(value_of(machine), before);
	repo_close(r);
	free(machine);
	free(folder);
	free(path);
	golden_close(g);
	setenv("BORG_BASE_DIR", base, 1);
}

/* --- threads --- */

enum { THREADS = 4, TAKES = 60 };

struct range {
	uint64_t first, blocks;
};

struct taker {
	struct nonces *n;
	struct repo *repo;
	struct range ranges[TAKES];
	bool ok;
};

/* Large ones, so that a reservation is used up again and again. */
static void *take_many(void *arg)
{
	struct taker *t = arg;

	t->ok = true;
	for (uint64_t i = 0; i < TAKES; i++) {
		struct range *range = &t->ranges[i];

		range->blocks = i % 3 ? 1 + i : RESERVED / 2 + i;
		t->ok &= nonces_take(t->n, range->blocks, &range->first, NULL) == 0;
		t->ok &= in_repo(t->repo) >= range->first + range->blocks;
	}
	return NULL;
}

static int by_first(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

static void threads(void **state)
{
	struct repo *r = repo_memory_new();
	struct nonces *n = open_nonces(r, 17);
	struct taker takers[THREADS];
	struct range all[THREADS * TAKES];
	pthread_t ids[THREADS];

	(void)state;
	set_machine(NONCE_NONE);
	for (size_t i = 0; i < THREADS; i++) {
		takers[i] = (struct taker){ .n = n, .repo = r };
		assert_int_equal(thread_start(&ids[i], take_many, &takers[i], "take", NULL), 0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		thread_join(ids[i]);
		assert_true(takers[i].ok);
		memcpy(all + i * TAKES, takers[i].ranges, sizeof(takers[i].ranges));
	}
	qsort(all, THREADS * TAKES, sizeof(all[0]), by_first);
	assert_int_equal(all[0].first, 17);
	for (size_t i = 1; i < THREADS * TAKES; i++)
		assert_true(all[i - 1].first + all[i - 1].blocks <= all[i].first);
	assert_true(repo_memory_reservations(r) > 10);
	assert_int_equal(value_of(machine_file), in_repo(r));
	nonces_close(n);
	repo_close(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reserve_in_a_file), cmocka_unit_test(without_encryption),
		cmocka_unit_test(repository_fails),  cmocka_unit_test(machine_fails),
		cmocka_unit_test(process_dies),      cmocka_unit_test(threads),
	};
	int failed;

	cmocka_set_message_output(CM_OUTPUT_TAP);
	if (setup() < 0)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	failed += run_table(sequences, sequence_one);
	failed += run_table(refusals, refuse_one);
	failed += run_table(contents, content_one);
	teardown();
	return failed;
}
