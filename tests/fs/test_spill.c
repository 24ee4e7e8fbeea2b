/*
 * test_spill.c - the spill file gives back what was written, keeps nothing readable on disk, uses
 * freed pages again and returns their room; errors of the file system come out as such.
 */

#include "tests/support/tap.h"

#include "fs/spill.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char *dir;

static int set_up(void **state)
{
	(void)state;
	dir = test_dir_make();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	test_dir_remove(dir);
	return 0;
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static struct spill *open_spill(void)
{
	struct spill *s = NULL;
	struct err e = ERR_INIT;

	if (spill_open(&s, dir, &e) < 0)
		fail_msg("%s", e.msg);
	return s;
}

static blkcnt_t blocks(const struct spill *s)
{
	struct stat st;

	assert_int_equal(fstat(spill_fd(s), &st), 0);
	return st.st_blocks;
}

/* --- bytes --- */

enum { PAGES = 100, BYTES = PAGES * SPILL_PAGE };

static void any_range_is_read_back(void **state)
{
	size_t steps = test_count(3000, 100000);
	uint64_t seed = test_seed() | 1, first;
	uint8_t *model = calloc(1, BYTES), *got = malloc(BYTES);
	struct spill *s = open_spill();
	size_t count;

	(void)state;
	assert_int_equal(spill_alloc(s, UINT64_MAX, PAGES, &first, &count), 0);
	assert_int_equal(first, 0);
	assert_int_equal(count, PAGES);
	assert_int_equal(spill_write(s, 0, (struct bytes){ model, BYTES }, NULL), 0);
	for (size_t i = 0; i < steps; i++) {
		size_t off = next_random(&seed) % BYTES, len = 1 + next_random(&seed) % 20000;

		if (next_random(&seed) % 3 == 0)
			off -= off % SPILL_PAGE;
		if (len > BYTES - off)
			len = BYTES - off;
		for (size_t k = 0; k < len; k++)
			model[off + k] = (uint8_t)(i + k);
		assert_int_equal(spill_write(s, off, (struct bytes){ model + off, len }, NULL),
				 0);
		off = next_random(&seed) % BYTES;
		len = next_random(&seed) % (BYTES - off) + 1;
		assert_int_equal(spill_read(s, off, got, len, NULL), 0);
		assert_memory_equal(got, model + off, len);
	}
	spill_close(s);
	free(model);
	free(got);
}

static bool is_on_disk(const struct spill *s, const char *text, size_t at_most)
{
	uint8_t *raw = malloc(at_most);
	ssize_t n = pread(spill_fd(s), raw, at_most, 0);
	bool found = n > 0 && memmem(raw, (size_t)n, text, strlen(text)) != NULL;

	free(raw);
	return found;
}

/* Equal pages look different, and none looks like what it holds. */
static void nothing_is_readable_on_disk(void **state)
{
	static const char text[] = "a secret of sixteen or more bytes";
	uint8_t page[SPILL_PAGE] = { 0 }, raw[2 * SPILL_PAGE];
	struct spill *s = open_spill(), *other = open_spill();
	uint64_t first;
	size_t count;

	(void)state;
	memcpy(page + 100, text, sizeof(text));
	assert_int_equal(spill_alloc(s, UINT64_MAX, 2, &first, &count), 0);
	assert_int_equal(spill_write(s, 0, (struct bytes){ page, sizeof(page) }, NULL), 0);
	assert_int_equal(spill_write(s, SPILL_PAGE, (struct bytes){ page, sizeof(page) }, NULL),
			 0);
	assert_false(is_on_disk(s, text, sizeof(raw)));
	assert_int_equal(pread(spill_fd(s), raw, sizeof(raw), 0), sizeof(raw));
	assert_memory_not_equal(raw, raw + SPILL_PAGE, SPILL_PAGE);
	assert_memory_not_equal(raw, page, SPILL_PAGE);
	/* Another spill's key is another. */
	assert_int_equal(spill_alloc(other, UINT64_MAX, 1, &first, &count), 0);
	assert_int_equal(spill_write(other, 0, (struct bytes){ page, sizeof(page) }, NULL), 0);
	assert_int_equal(pread(spill_fd(other), raw + SPILL_PAGE, SPILL_PAGE, 0), SPILL_PAGE);
	assert_memory_not_equal(raw, raw + SPILL_PAGE, SPILL_PAGE);
	spill_close(s);
	spill_close(other);
}

static void it_has_no_name(void **state)
{
	struct spill *s = open_spill();
	struct stat st;

	(void)state;
	assert_int_equal(fstat(spill_fd(s), &st), 0);
	assert_int_equal(st.st_nlink, 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(rmdir(dir), 0); /* there is nothing in it */
	assert_int_equal(mkdir(dir, 0700), 0);
	spill_close(s);
}

/* --- pages --- */

static void freed_pages_are_used_again(void **state)
{
	struct spill *s = open_spill();
	uint64_t a, b, c;
	size_t count;

	(void)state;
	assert_int_equal(spill_alloc(s, UINT64_MAX, 10, &a, &count), 0);
	assert_int_equal(spill_alloc(s, UINT64_MAX, 10, &b, &count), 0);
	assert_int_equal(b, a + 10);
	assert_int_equal(spill_used(s), 20 * SPILL_PAGE);
	spill_release(s, a + 3, 2);
	assert_int_equal(spill_alloc(s, UINT64_MAX, 10, &c, &count), 0);
	assert_int_equal(c, a + 3);
	assert_int_equal(count, 2);
	assert_int_equal(spill_alloc(s, b + 10, 1, &c, &count), 0); /* as asked */
	assert_int_equal(c, b + 10);
	assert_int_equal(spill_alloc(s, b + 10, 1, &c, &count), 0); /* taken: elsewhere */
	assert_int_equal(c, b + 11);
	spill_close(s);
}

/* Each page has one owner at a time, whatever comes and goes. */
static void random_pages_never_overlap(void **state)
{
	enum { RUNS = 50, HIGH = 5000 };
	struct run {
		uint64_t first;
		size_t count;
	} runs[RUNS] = { { 0, 0 } };
	uint64_t seed = test_seed() | 1, used = 0;
	uint8_t *owned = calloc(1, HIGH);
	struct spill *s = open_spill();

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct run *r = &runs[next_random(&seed) % RUNS];

		for (size_t k = 0; k < r->count; k++)
			owned[r->first + k]--;
		spill_release(s, r->first, r->count);
		used -= r->count;
		assert_int_equal(spill_alloc(s, next_random(&seed) % 3000,
					     1 + next_random(&seed) % 40, &r->first, &r->count),
				 0);
		used += r->count;
		assert_int_equal(spill_used(s), used * SPILL_PAGE);
		assert_true(r->first + r->count <= HIGH);
		for (size_t k = 0; k < r->count; k++)
			assert_int_equal(++owned[r->first + k], 1);
	}
	spill_close(s);
	free(owned);
}

static void the_disk_gets_its_room_back(void **state)
{
	enum { COUNT = 256 };
	uint8_t *bytes = calloc(1, COUNT * SPILL_PAGE);
	struct spill *s = open_spill();
	uint64_t first;
	size_t count;
	blkcnt_t full;

	(void)state;
	assert_int_equal(spill_alloc(s, UINT64_MAX, COUNT, &first, &count), 0);
	assert_int_equal(count, COUNT);
	assert_int_equal(spill_write(s, 0, (struct bytes){ bytes, COUNT * SPILL_PAGE }, NULL),
			 0);
	full = blocks(s);
	assert_true(full >= COUNT * SPILL_PAGE / 512);
	for (uint64_t page = 0; page < COUNT / 2; page++) /* one by one */
		spill_release(s, page, 1);
	assert_true(blocks(s) <= full / 2 + 64);
	spill_release(s, COUNT / 2, COUNT / 2);
	assert_true(blocks(s) <= 64);
	assert_int_equal(spill_used(s), 0);
	spill_close(s);
	free(bytes);
}

/* --- errors --- */

static void no_folder_is_an_error(void **state)
{
	struct spill *s = NULL;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(spill_open(&s, "/nonexistent/folder", &e), -ENOENT);
	assert_non_null(strstr(e.msg, "/nonexistent/folder"));
	assert_null(s);
}

static void a_full_disk_is_an_error(void **state)
{
	struct rlimit old, low = { 10 * SPILL_PAGE, RLIM_INFINITY };
	uint8_t *bytes = calloc(20, SPILL_PAGE), *got = malloc(SPILL_PAGE);
	struct spill *s = open_spill();
	struct err e = ERR_INIT;
	uint64_t first;
	size_t count;
	int rc;

	(void)state;
	memset(bytes, 7, SPILL_PAGE);
	assert_int_equal(spill_alloc(s, UINT64_MAX, 20, &first, &count), 0);
	assert_int_equal(spill_write(s, 0, (struct bytes){ bytes, SPILL_PAGE }, NULL), 0);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	low.rlim_max = old.rlim_max;
	setrlimit(RLIMIT_FSIZE, &low);
	rc = spill_write(s, SPILL_PAGE, (struct bytes){ bytes, 19 * SPILL_PAGE }, &e);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(rc, -EFBIG);
	assert_non_null(strstr(e.msg, "spill file"));
	/* And goes on. */
	assert_int_equal(spill_read(s, 0, got, SPILL_PAGE, NULL), 0);
	assert_memory_equal(got, bytes, SPILL_PAGE);
	assert_int_equal(
		spill_write(s, SPILL_PAGE, (struct bytes){ bytes, 19 * SPILL_PAGE }, &e), 0);
	spill_close(s);
	free(bytes);
	free(got);
}

/* --- threads --- */

struct user {
	struct spill *s;
	uint8_t mark;
	int bad;
};

static void *use(void *arg)
{
	struct user *u = arg;
	uint8_t in[3 * SPILL_PAGE], out[3 * SPILL_PAGE];

	memset(in, u->mark, sizeof(in));
	for (int i = 0; i < 300; i++) {
		uint64_t first;
		size_t count;

		if (spill_alloc(u->s, UINT64_MAX, 3, &first, &count) < 0)
			u->bad++;
		if (spill_write(u->s, first * SPILL_PAGE,
				(struct bytes){ in, count * SPILL_PAGE }, NULL) < 0 ||
		    spill_read(u->s, first * SPILL_PAGE, out, count * SPILL_PAGE, NULL) < 0 ||
		    memcmp(in, out, count * SPILL_PAGE) != 0)
			u->bad++;
		spill_release(u->s, first, count);
	}
	return NULL;
}

static void many_at_once(void **state)
{
	enum { USERS = 4 };
	struct spill *s = open_spill();
	struct user users[USERS];
	pthread_t threads[USERS];

	(void)state;
	for (uint8_t i = 0; i < USERS; i++) {
		users[i] = (struct user){ s, (uint8_t)(i + 1), 0 };
		assert_int_equal(pthread_create(&threads[i], NULL, use, &users[i]), 0);
	}
	for (int i = 0; i < USERS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(users[i].bad, 0);
	}
	assert_int_equal(spill_used(s), 0);
	spill_close(s);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(any_range_is_read_back),
		TEST(nothing_is_readable_on_disk),
		TEST(it_has_no_name),
		TEST(freed_pages_are_used_again),
		TEST(random_pages_never_overlap),
		TEST(the_disk_gets_its_room_back),
		TEST(no_folder_is_an_error),
		TEST(a_full_disk_is_an_error),
		TEST(many_at_once),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
