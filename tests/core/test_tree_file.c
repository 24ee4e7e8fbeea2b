/*
 * test_tree_file.c - a sealed image gives back its bytes or nothing, and holds little memory.
 *
 * Method: an image of random bytes, some blocks long; the file cut and flipped wherever its
 * layout (tree_file.h) has something, read by another key or for another archive, on a full
 * disk, by many threads through a cache much smaller than it.
 */

#include "tests/support/tap.h"

#include "core/archive/tree_file.h"
#include "core/base/io.h"
#include "core/base/thread.h"
#include "core/crypto/key.h"
#include "core/crypto/seal.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	HEADER = 88,
	BLOCK = SEAL_BLOCK + SEAL_TAG,
	LEN = 40 * SEAL_BLOCK + 1000,
	FILE_LEN = HEADER + 40 * BLOCK + 1000 + SEAL_TAG,
	CACHE = 8 * SEAL_BLOCK,
};

struct fixture {
	char *dir, *path;
	uint8_t *image;
	struct secret *secret;
	struct chunk_id id;
	struct tree_cache *cache;
};

static struct fixture *fixture_new(void)
{
	struct fixture *f = calloc(1, sizeof(*f));
	uint64_t seed = 7;

	f->dir = test_dir_make();
	f->path = path_join(f->dir, "tree.x");
	f->image = malloc(LEN);
	for (size_t i = 0; i < LEN; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		f->image[i] = (uint8_t)(seed >> 56);
	}
	f->secret = secret_new(SEAL_SECRET_MIN);
	memset(f->secret->p, 5, f->secret->len);
	memset(f->id.b, 6, sizeof(f->id.b));
	f->cache = tree_cache_new(CACHE);
	assert_int_equal(tree_file_write(f->path, f->secret, &f->id,
					 (struct bytes){ f->image, LEN }, NULL),
			 0);
	return f;
}

static void fixture_free(struct fixture *f)
{
	tree_cache_free(f->cache);
	secret_free(f->secret);
	test_dir_remove(f->dir);
	free(f->path);
	free(f->image);
	free(f);
}

static int set_up(void **state)
{
	*state = fixture_new();
	return 0;
}

static int tear_down(void **state)
{
	fixture_free(*state);
	return 0;
}

static struct tree_file *open_file(const struct fixture *f)
{
	struct tree_file *file = NULL;

	assert_int_equal(tree_file_open(&file, f->path, f->secret, &f->id, f->cache, NULL), 0);
	return file;
}

static size_t files_in(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	size_t n = 0;

	while ((entry = readdir(d)))
		n += entry->d_name[0] != '.';
	closedir(d);
	return n;
}

static void gives_back(void **state)
{
	static const struct {
		uint64_t off;
		size_t len;
		int rc;
	} rows[] = {
		{ 0, 0, 0 },
		{ 0, 1, 0 },
		{ 0, LEN, 0 },
		{ SEAL_BLOCK - 1, 2, 0 },
		{ SEAL_BLOCK, SEAL_BLOCK, 0 },
		{ 3 * SEAL_BLOCK - 5, 2 * SEAL_BLOCK, 0 },
		{ LEN - 1, 1, 0 },
		{ LEN, 0, 0 },
		{ LEN, 1, -EBADMSG },
		{ LEN - 1, 2, -EBADMSG },
		{ UINT64_MAX, 1, -EBADMSG },
	};
	struct fixture *f = *state;
	struct tree_file *file = open_file(f);
	uint8_t *out = malloc(LEN);
	struct stat st;

	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, FILE_LEN);
	assert_int_equal(files_in(f->dir), 1); /* nothing temporary */
	assert_int_equal(tree_file_len(file), LEN);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(tree_file_read(file, rows[i].off, out, rows[i].len, NULL),
				 rows[i].rc);
		if (rows[i].rc == 0)
			assert_memory_equal(out, f->image + rows[i].off, rows[i].len);
	}
	free(out);
	tree_file_close(file);
}

/* The file tells nothing: not the same bytes twice, none of the image's. */
static void tells_nothing(void **state)
{
	struct fixture *f = *state;
	char *other = path_join(f->dir, "other");
	uint8_t *zeros = calloc(1, SEAL_BLOCK), x[BLOCK], y[BLOCK];
	struct bytes image = { zeros, SEAL_BLOCK };
	int fd;

	for (int i = 0; i < 2; i++) {
		assert_int_equal(tree_file_write(other, f->secret, &f->id, image, NULL), 0);
		fd = open(other, O_RDONLY | O_CLOEXEC);
		assert_int_equal(pread(fd, i ? y : x, BLOCK, HEADER), BLOCK);
		close(fd);
	}
	assert_memory_not_equal(x, y, BLOCK);
	for (size_t i = 0; i + 64 <= sizeof(x); i += 64)
		assert_memory_not_equal(x + i, zeros, 64);
	free(zeros);
	free(other);
}

/* --- damage --- */

struct damage {
	const char *name;
	off_t cut, add;
	off_t flip;       /* -1: none */
	bool when_opened; /* is it refused already then? */
};

static const struct damage damages[] = {
	{ "empty", 0, 0, -1, true },
	{ "cut in the header", HEADER - 1, 0, -1, true },
	{ "the header alone", HEADER, 0, -1, true },
	{ "cut behind a block", HEADER + BLOCK, 0, -1, true },
	{ "a byte short", FILE_LEN - 1, 0, -1, true },
	{ "a byte long", FILE_LEN, 1, -1, true },
	{ "magic", FILE_LEN, 0, 0, true },
	{ "version", FILE_LEN, 0, 8, true },
	{ "reserved", FILE_LEN, 0, 12, false },
	{ "salt", FILE_LEN, 0, 16, false },
	{ "archive id", FILE_LEN, 0, 48, true },
	{ "length", FILE_LEN, 0, 80, true },
	{ "length, its highest byte", FILE_LEN, 0, 87, true },
	{ "the first block", FILE_LEN, 0, HEADER, false },
	{ "a tag", FILE_LEN, 0, HEADER + 2 * BLOCK - 1, false },
	{ "the last tag", FILE_LEN, 0, FILE_LEN - 1, false },
};

static void spoil(const char *path, const struct damage *d)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint8_t byte;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, d->cut + d->add), 0);
	if (d->flip >= 0) {
		assert_int_equal(pread(fd, &byte, 1, d->flip), 1);
		byte ^= 0x40;
		assert_int_equal(pwrite(fd, &byte, 1, d->flip), 1);
	}
	close(fd);
}

static void damaged(const void *arg)
{
	const struct damage *d = arg;
	struct fixture *f = fixture_new();
	struct tree_file *file = NULL;
	uint8_t *out = malloc(LEN);
	int rc;

	spoil(f->path, d);
	rc = tree_file_open(&file, f->path, f->secret, &f->id, f->cache, NULL);
	assert_int_equal(rc, d->when_opened ? -EBADMSG : 0);
	if (rc == 0)
		assert_int_equal(tree_file_read(file, 0, out, LEN, NULL), -EBADMSG);
	assert_int_equal(access(f->path, F_OK), -1); /* thrown away */
	tree_file_close(file);
	free(out);
	fixture_free(f);
}

/* Blocks of one file in each other's places, or from a file of the same archive. */
static void moved_blocks(void **state)
{
	struct fixture *f = *state;
	char *other = path_join(f->dir, "other");
	uint8_t block[BLOCK], byte;
	struct tree_file *file;
	int from, to;

	assert_int_equal(tree_file_write(other, f->secret, &f->id,
					 (struct bytes){ f->image, LEN }, NULL),
			 0);
	from = open(other, O_RDONLY | O_CLOEXEC);
	to = open(f->path, O_RDWR | O_CLOEXEC);
	assert_int_equal(pread(to, block, BLOCK, HEADER), BLOCK);
	assert_int_equal(pwrite(to, block, BLOCK, HEADER + BLOCK), BLOCK);
	assert_int_equal(pread(from, block, BLOCK, HEADER + 2 * BLOCK), BLOCK);
	assert_int_equal(pwrite(to, block, BLOCK, HEADER + 2 * BLOCK), BLOCK);
	close(from);
	close(to);
	file = open_file(f);
	assert_int_equal(tree_file_read(file, 0, &byte, 1, NULL), 0);
	assert_int_equal(tree_file_read(file, SEAL_BLOCK, &byte, 1, NULL), -EBADMSG);
	assert_int_equal(tree_file_read(file, 2 * SEAL_BLOCK, &byte, 1, NULL), -EBADMSG);
	assert_int_equal(tree_file_read(file, 3 * SEAL_BLOCK, &byte, 1, NULL), 0);
	tree_file_close(file);
	free(other);
}

static void not_for_us(void **state)
{
	struct fixture *f = *state;
	struct tree_file *file = NULL;
	struct chunk_id other = f->id;
	char *link = path_join(f->dir, "link"), *missing = path_join(f->dir, "missing");
	uint8_t byte;

	assert_int_equal(tree_file_open(&file, missing, f->secret, &f->id, f->cache, NULL),
			 -ENOENT);
	assert_int_equal(symlink(f->path, link), 0);
	assert_true(tree_file_open(&file, link, f->secret, &f->id, f->cache, NULL) < 0);
	assert_int_equal(mkfifo(missing, 0600), 0); /* refused, and at once */
	assert_int_equal(tree_file_open(&file, missing, f->secret, &f->id, f->cache, NULL),
			 -EBADMSG);
	f->secret->p[0] ^= 1;
	file = open_file(f);
	assert_int_equal(tree_file_read(file, 0, &byte, 1, NULL), -EBADMSG);
	tree_file_close(file);
	file = NULL;
	f->secret->p[0] ^= 1;
	assert_int_equal(tree_file_write(f->path, f->secret, &f->id,
					 (struct bytes){ f->image, LEN }, NULL),
			 0);
	other.b[31] ^= 1;
	assert_int_equal(tree_file_open(&file, f->path, f->secret, &other, f->cache, NULL),
			 -EBADMSG);
	free(link);
	free(missing);
}

static void wrong_owner(void **state)
{
	struct fixture *f = *state;
	struct tree_file *file = NULL;

	if (geteuid() != 0 || chown(f->path, 1, 1) < 0)
		skip(); /* only root can make the case */
	assert_int_equal(tree_file_open(&file, f->path, f->secret, &f->id, f->cache, NULL),
			 -EBADMSG);
	assert_int_equal(access(f->path, F_OK), -1);
}

static void full_disk(void **state)
{
	struct fixture *f = *state;
	char *other = path_join(f->dir, "other"), *nowhere = path_join(f->dir, "no/where");
	struct rlimit before, small = { .rlim_cur = 5 * BLOCK };
	struct bytes image = { f->image, LEN };
	struct err e = ERR_INIT;
	uint8_t byte;
	struct tree_file *file;

	getrlimit(RLIMIT_FSIZE, &before);
	small.rlim_max = before.rlim_max;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(tree_file_write(other, f->secret, &f->id, image, &e), -EFBIG);
	assert_int_equal(tree_file_write(f->path, f->secret, &f->id, image, NULL), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(files_in(f->dir), 1); /* no half of one is left */
	file = open_file(f);                   /* and what was there is whole */
	assert_int_equal(tree_file_read(file, LEN - 1, &byte, 1, NULL), 0);
	tree_file_close(file);
	assert_int_equal(tree_file_write(nowhere, f->secret, &f->id, image, NULL), -ENOENT);
	free(other);
	free(nowhere);
}

/* Who has the file open reads on when another writes it anew. */
static void written_anew(void **state)
{
	struct fixture *f = *state;
	struct tree_file *old = open_file(f), *new;
	uint8_t x[10], y[10];

	f->image[0] ^= 1;
	assert_int_equal(tree_file_write(f->path, f->secret, &f->id,
					 (struct bytes){ f->image, LEN }, NULL),
			 0);
	new = open_file(f);
	assert_int_equal(tree_file_read(old, 0, x, sizeof(x), NULL), 0);
	assert_int_equal(tree_file_read(new, 0, y, sizeof(y), NULL), 0);
	assert_int_equal(x[0] ^ 1, y[0]);
	assert_memory_equal(y, f->image, sizeof(y));
	assert_memory_equal(x + 1, y + 1, sizeof(x) - 1);
	tree_file_close(old);
	tree_file_close(new);
}

static void bounded(void **state)
{
	struct fixture *f = *state;
	struct tree_file *a = open_file(f), *b = open_file(f);
	uint8_t byte;

	for (int round = 0; round < 3; round++) {
		for (uint64_t off = 0; off < LEN; off += SEAL_BLOCK / 2) {
			assert_int_equal(tree_file_read(a, off, &byte, 1, NULL), 0);
			assert_int_equal(byte, f->image[off]);
			assert_int_equal(tree_file_read(b, LEN - 1 - off, &byte, 1, NULL), 0);
			assert_int_equal(byte, f->image[LEN - 1 - off]);
			assert_true(tree_cache_bytes(f->cache) <= CACHE);
		}
	}
	assert_true(tree_cache_bytes(f->cache) >= CACHE / 2); /* it is used at all */
	tree_file_close(a);
	assert_true(tree_cache_bytes(f->cache) > 0);
	tree_file_close(b);
	assert_int_equal(tree_cache_bytes(f->cache), 0);
}

struct crowd {
	const struct fixture *fixture;
	struct tree_file *file;
	uint64_t seed;
	size_t wrong;
};

static void *read_on(void *arg)
{
	struct crowd *c = arg;

	for (size_t i = 0, n = test_count(2000, 100000); i < n; i++) {
		uint8_t out[300];
		uint64_t off;

		c->seed = c->seed * 6364136223846793005u + 1442695040888963407u;
		off = (c->seed >> 33) % (LEN - sizeof(out));
		if (tree_file_read(c->file, off, out, sizeof(out), NULL) < 0 ||
		    memcmp(out, c->fixture->image + off, sizeof(out)) != 0)
			c->wrong++;
	}
	return NULL;
}

static void many_readers(void **state)
{
	struct tree_file *file = open_file(*state);
	struct crowd crowds[4];
	pthread_t threads[4];

	for (unsigned i = 0; i < 4; i++) {
		crowds[i] = (struct crowd){ *state, file, i, 0 };
		assert_int_equal(thread_start(&threads[i], read_on, &crowds[i], "test", NULL),
				 0);
	}
	for (int i = 0; i < 4; i++) {
		thread_join(threads[i]);
		assert_int_equal(crowds[i].wrong, 0);
	}
	tree_file_close(file);
}

/* --- the secret --- */

static void secret_of_a_key(void **state)
{
	struct fixture *f = *state;
	uint8_t id_key[32], enc_key[32];
	struct key key = { .id_key = { id_key, 32 }, .enc_key = { enc_key, 32 } };
	struct secret *s = NULL;

	memset(id_key, 1, 32);
	memset(enc_key, 2, 32);
	assert_int_equal(tree_secret(&s, &key, f->dir, NULL), 0);
	assert_int_equal(s->len, 64);
	assert_memory_equal(s->p, id_key, 32);
	assert_memory_equal(s->p + 32, enc_key, 32);
	assert_int_equal(files_in(f->dir), 1); /* nothing is kept of it */
	secret_free(s);
}

static void secret_of_a_folder(void **state)
{
	struct fixture *f = *state;
	struct key none = { 0 };
	char *path = path_join(f->dir, "secret");
	struct secret *first = NULL, *again = NULL, *other = NULL;
	struct stat st;

	assert_int_equal(tree_secret(&first, &none, f->dir, NULL), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(tree_secret(&again, &none, f->dir, NULL), 0);
	assert_int_equal(again->len, SEAL_SECRET_MIN);
	assert_memory_equal(first->p, again->p, SEAL_SECRET_MIN);
	/* Others may have read it: another one. */
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(tree_secret(&other, &none, f->dir, NULL), 0);
	assert_memory_not_equal(first->p, other->p, SEAL_SECRET_MIN);
	secret_free(other);
	other = NULL;
	assert_int_equal(truncate(path, 5), 0);
	assert_int_equal(tree_secret(&other, &none, f->dir, NULL), 0);
	assert_int_equal(other->len, SEAL_SECRET_MIN);
	secret_free(other);
	other = NULL;
	assert_int_equal(tree_secret(&other, &none, "/nonexistent", NULL), -ENOENT);
	assert_null(other);
	secret_free(first);
	secret_free(again);
	free(path);
}

struct asking {
	const char *dir;
	struct secret *secret;
};

static void *ask_secret(void *arg)
{
	struct asking *a = arg;
	struct key none = { 0 };

	if (tree_secret(&a->secret, &none, a->dir, NULL) < 0)
		a->secret = NULL;
	return NULL;
}

/* Whoever asks first, all have the same. */
static void secret_at_once(void **state)
{
	struct fixture *f = *state;
	struct asking asking[8];
	pthread_t threads[8];

	for (int i = 0; i < 8; i++) {
		asking[i] = (struct asking){ f->dir, NULL };
		assert_int_equal(
			thread_start(&threads[i], ask_secret, &asking[i], "test", NULL), 0);
	}
	for (int i = 0; i < 8; i++)
		thread_join(threads[i]);
	for (int i = 0; i < 8; i++) {
		assert_non_null(asking[i].secret);
		assert_memory_equal(asking[i].secret->p, asking[0].secret->p, SEAL_SECRET_MIN);
	}
	for (int i = 0; i < 8; i++)
		secret_free(asking[i].secret);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(gives_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(tells_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(moved_blocks, set_up, tear_down),
		cmocka_unit_test_setup_teardown(not_for_us, set_up, tear_down),
		cmocka_unit_test_setup_teardown(wrong_owner, set_up, tear_down),
		cmocka_unit_test_setup_teardown(full_disk, set_up, tear_down),
		cmocka_unit_test_setup_teardown(written_anew, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bounded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(many_readers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(secret_of_a_key, set_up, tear_down),
		cmocka_unit_test_setup_teardown(secret_of_a_folder, set_up, tear_down),
		cmocka_unit_test_setup_teardown(secret_at_once, set_up, tear_down),
	};
	int failed = run_table(damages, damaged);

	return failed | cmocka_run_group_tests(tests, NULL, NULL);
}
