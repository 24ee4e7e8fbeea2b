/*
 * test_follow.c - reading while another process writes: between any two system calls of the
 * reader the writer may do any number of its file operations.
 *
 * The program's own openat() and pread() stand before the C library's and let the writer of
 * log_model.h go on, so that races are replayed by a seed instead of hoped for.
 */

#include "tests/support/log_model.h"
#include "tests/support/tap.h"

#include "core/base/io.h"
#include "core/repo/repo.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- the writer --- */

static struct play {
	struct model *model;
	char *dir;
	int dirfd;
	size_t done; /* operations */
	uint64_t random;
	uint32_t rarely;  /* one system call in so many lets the writer go on ... */
	uint32_t at_most; /* ... for that many operations */
	bool watching;    /* the reader is at work */
	size_t calls;     /* of the reader, seen */
} play;

static uint32_t dice(uint32_t sides)
{
	play.random = play.random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(play.random >> 33) % sides;
}

static void advance(size_t operations)
{
	while (operations-- > 0 && play.done < model_count(play.model))
		model_apply(play.model, play.done++, play.dirfd);
}

static void reader_calls(void)
{
	if (!play.watching)
		return;
	play.calls++;
	play.watching = false;
	if (dice(play.rarely) == 0)
		advance(1 + dice(play.at_most));
	play.watching = true;
}

int reader_openat(int dirfd, const char *path, int flags, ...) __asm__("openat64");
int reader_openat(int dirfd, const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	reader_calls();
	return (int)syscall(SYS_openat, dirfd, path, flags, mode);
}

ssize_t reader_pread(int fd, void *p, size_t len, off_t off) __asm__("pread64");
ssize_t reader_pread(int fd, void *p, size_t len, off_t off)
{
	reader_calls();
	return syscall(SYS_pread64, fd, p, len, off);
}

static void play_begin(uint64_t seed, unsigned flags)
{
	static const char config[] = "[repository]\nversion = 1\nsegments_per_dir = 8\n"
				     "max_segment_size = 900\nid = "
				     "0123456789abcdef0123456789abcdef"
				     "0123456789abcdef0123456789abcdef\n";
	int fd;

	play = (struct play){ .model = model_new(seed, flags), .random = seed };
	play.rarely = 1 + dice(60);
	play.at_most = 1 + dice(dice(3) ? 40 : 600);
	play.dir = test_dir_make();
	play.dirfd = open(play.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(play.dirfd >= 0);
	fd = openat(play.dirfd, "config", O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	assert_int_equal(write(fd, config, sizeof(config) - 1), (ssize_t)sizeof(config) - 1);
	close(fd);
	advance(model_first(play.model));
}

static void play_end(void)
{
	close(play.dirfd);
	test_dir_remove(play.dir);
	model_free(play.model);
}

/* --- the reader --- */

static void is_true_between(uint64_t transaction, size_t from, size_t to)
{
	uint32_t low = model_state(play.model, from).transaction;
	uint32_t high = model_state(play.model, to).transaction;

	if (transaction < low || transaction > high)
		fail_msg("transaction %lu, not %u to %u", (unsigned long)transaction, low,
			 high);
}

/* What is there all the time from operation `from` to `to`; *ever what is there at any. */
static uint64_t live_all_the_time(size_t from, size_t to, uint64_t *ever)
{
	uint64_t live = UINT64_MAX;

	*ever = 0;
	for (size_t i = from; i <= to; i++) {
		live &= model_state(play.model, i).live;
		*ever |= model_state(play.model, i).live;
	}
	return live;
}

static struct repo *reader_open(void)
{
	struct err e = ERR_INIT;
	struct location where;
	struct repo *r = NULL;
	size_t from = play.done;

	assert_int_equal(location_parse(&where, play.dir, NULL, NULL), 0);
	play.watching = true;
	if (repo_open(&r, &where, NULL, &e) < 0)
		fail_msg("%s", e.msg);
	play.watching = false;
	location_fini(&where);
	is_true_between(repo_transaction(r), from, play.done);
	return r;
}

static void reader_refresh(struct repo *r)
{
	struct err e = ERR_INIT;
	size_t from = play.done;

	play.watching = true;
	if (repo_refresh(r, &e) < 0)
		fail_msg("%s", e.msg);
	play.watching = false;
	is_true_between(repo_transaction(r), from, play.done);
}

static int add_object(void *arg, const struct chunk_id *id)
{
	uint64_t *found = arg;

	for (unsigned i = 0; i < MODEL_OBJECTS; i++) {
		struct chunk_id known = model_id(i);

		if (!id_equal(&known, id))
			continue;
		assert_false(*found >> i & 1); /* each once */
		*found |= (uint64_t)1 << i;
		return 0;
	}
	fail_msg("an id that nobody stored");
	return 0;
}

/* What a snapshot has is exactly what its transaction has. */
static void reader_scan(struct repo *r)
{
	uint64_t found = 0, want;

	assert_int_equal(repo_scan(r, add_object, &found, NULL), 0);
	want = model_live(play.model, (uint32_t)repo_transaction(r));
	if (found != want)
		fail_msg("transaction %lu: %lx beyond, %lx missing",
			 (unsigned long)repo_transaction(r), found & ~want, want & ~found);
}

struct asked {
	unsigned objects[MODEL_OBJECTS];
	struct chunk_id ids[MODEL_OBJECTS];
	size_t count, delivered;
	uint64_t missing;
	struct err why;
};

static int take(void *arg, size_t index, int rc, struct bytes object, const struct err *why)
{
	struct asked *a = arg;

	assert_int_equal(index, a->delivered++);
	if (rc == 0) {
		assert_true(model_is(a->objects[index], object));
		return 0;
	}
	if (rc != -ENOENT)
		a->why = *why;
	a->missing |= (uint64_t)1 << a->objects[index];
	return 0;
}

static void reader_get(struct repo *r)
{
	struct asked a = { .count = 1 + dice(MODEL_OBJECTS) };
	size_t from = play.done;
	uint64_t live, ever;

	for (size_t i = 0, first = dice(MODEL_OBJECTS); i < a.count; i++) {
		a.objects[i] = (unsigned)((first + i) % MODEL_OBJECTS);
		a.ids[i] = model_id(a.objects[i]);
	}
	play.watching = true;
	assert_int_equal(repo_get_many(r, a.ids, a.count, take, &a, NULL), 0);
	play.watching = false;
	live = live_all_the_time(from, play.done, &ever);
	if (a.missing & live)
		fail_msg("missing: %lx of %lx; %s", a.missing & live, live, a.why.msg);
	if (a.why.code)
		fail_msg("called damaged: %s", a.why.msg);
}

static void reader_get_fresh(struct repo *r)
{
	struct buf out = BUF_INIT;
	unsigned object = dice(MODEL_OBJECTS);
	struct chunk_id id = model_id(object);
	struct err e = ERR_INIT;
	size_t from = play.done;
	uint64_t live, ever;
	int rc;

	play.watching = true;
	rc = repo_get(r, &id, REPO_GET_FRESH, &out, &e);
	play.watching = false;
	live = live_all_the_time(from, play.done, &ever);
	if (rc < 0 && ((live >> object & 1) || rc != -ENOENT))
		fail_msg("object %u: %s", object, e.msg);
	assert_true(rc < 0 || model_is(object, buf_bytes(&out)));
	buf_fini(&out);
}

static void one_life(uint64_t seed, unsigned flags)
{
	struct repo *r;

	play_begin(seed, flags);
	r = reader_open();
	while (play.done < model_count(play.model)) {
		switch (dice(6)) {
		case 0: reader_refresh(r); break;
		case 1: reader_scan(r); break;
		case 2:
			repo_close(r);
			r = reader_open();
			break;
		case 3: reader_get_fresh(r); break;
		default: reader_get(r); break;
		}
		if (dice(4) == 0)
			advance(dice(80));
	}
	assert_true(play.calls > 0);
	reader_refresh(r);
	reader_scan(r);
	reader_get(r);
	repo_close(r);
	play_end();
}

static void lives(unsigned flags)
{
	uint64_t seed = test_seed();

	for (size_t i = 0; i < test_count(100, 2000); i++) {
		printf("# life %zu\n", i);
		one_life(seed + i, flags);
	}
}

static void segments_are_removed(void **state)
{
	(void)state;
	lives(0);
}

static void segments_are_emptied_and_removed(void **state)
{
	(void)state;
	lives(MODEL_TRUNCATES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(segments_are_removed),
		cmocka_unit_test(segments_are_emptied_and_removed),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
