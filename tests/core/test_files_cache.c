/*
 * test_files_cache.c - what is unchanged comes out as it went in, what changed does not, each mode
 * by its own rule; entries age, and the newest of a run are not trusted; damage is a miss.
 *
 * The rules are those of borg.cache.LocalCache (1.2.4: file_known_and_unchanged, memorize_file,
 * commit); which times, sizes and inodes each mode looks at is written out in the rows.
 */

#include "tests/support/tap.h"

#include "core/archive/files_cache.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static struct secret *secret;

static struct item_chunk chunk_of(uint64_t n)
{
	struct item_chunk c = { .size = (uint32_t)(n * 3 + 1), .csize = (uint32_t)(n + 7) };

	put_be64(c.id.b, n * 0x9e3779b97f4a7c15u);
	put_be64(c.id.b + 24, n);
	return c;
}

static struct stat stat_of(uint64_t inode, off_t size, int64_t ctime_ns, int64_t mtime_ns)
{
	return (struct stat){ .st_mode = S_IFREG | 0644,
			      .st_ino = inode,
			      .st_size = size,
			      .st_ctim = { ctime_ns / 1000000000, ctime_ns % 1000000000 },
			      .st_mtim = { mtime_ns / 1000000000, mtime_ns % 1000000000 } };
}

static struct files_cache *cache_open(const char *dir, const char *mode)
{
	struct files_cache *c = NULL;
	struct files_mode m;
	struct err e = ERR_INIT;

	assert_int_equal(files_mode_parse(&m, mode, &e), 0);
	assert_int_equal(files_cache_open(&c, dir, secret, &m, &e), 0);
	return c;
}

static void commit(struct files_cache *c)
{
	struct err e = ERR_INIT;

	assert_int_equal(files_cache_commit(c, &e), 0);
	files_cache_close(c);
}

static void remember(struct files_cache *c, const char *path, const struct stat *st, uint64_t n)
{
	struct item_chunk chunk = chunk_of(n);
	struct err e = ERR_INIT;

	assert_int_equal(files_cache_remember(c, bytes_str(path), st, &chunk, 1, &e), 0);
}

static enum files_found look(struct files_cache *c, const char *path, const struct stat *st)
{
	struct files_chunks out = { 0 };
	enum files_found found = files_cache_lookup(c, bytes_str(path), st, &out);

	files_chunks_fini(&out);
	return found;
}

/* A file so new that all others are trusted. */
static void remember_newest(struct files_cache *c)
{
	struct stat st = stat_of(999, 1, INT64_MAX / 2, INT64_MAX / 2);

	remember(c, "/newest", &st, 999);
}

/* --- modes --- */

static const struct mode_row {
	const char *name;
	const char *mode;
	/* what is found when only this differs; 'U' unchanged, 'C' changed, '?' unknown */
	char same, size, inode, ctime, mtime;
} mode_rows[] = {
	{ "ctime,size,inode", "ctime,size,inode", 'U', 'C', 'C', 'C', 'U' },
	{ "in another order, and twice", "size,inode,ctime,size", 'U', 'C', 'C', 'C', 'U' },
	{ "mtime,size,inode", "mtime,size,inode", 'U', 'C', 'C', 'U', 'C' },
	{ "ctime,size", "ctime,size", 'U', 'C', 'U', 'C', 'U' },
	{ "mtime,size", "mtime,size", 'U', 'C', 'U', 'U', 'C' },
	{ "size", "size", 'U', 'C', 'U', 'U', 'U' },
	{ "rechunk,ctime", "rechunk,ctime", '?', '?', '?', '?', '?' },
	{ "rechunk,mtime", "mtime,rechunk", '?', '?', '?', '?', '?' },
	{ "disabled", "disabled", '?', '?', '?', '?', '?' },
};

static char letter(enum files_found found)
{
	return found == FILES_UNCHANGED ? 'U' : found == FILES_CHANGED ? 'C' : '?';
}

static void one_mode(const void *arg)
{
	const struct mode_row *row = arg;
	char *dir = test_dir_make();
	struct files_cache *c = cache_open(dir, row->mode);
	struct stat st = stat_of(12, 100, 5000, 4000), changed;

	remember(c, "/a/file", &st, 1);
	remember_newest(c);
	commit(c);
	c = cache_open(dir, row->mode);
	assert_int_equal(letter(look(c, "/a/file", &st)), row->same);
	assert_int_equal(letter(look(c, "/a/other", &st)), '?');
	changed = stat_of(12, 101, 5000, 4000);
	assert_int_equal(letter(look(c, "/a/file", &changed)), row->size);
	changed = stat_of(13, 100, 5000, 4000);
	assert_int_equal(letter(look(c, "/a/file", &changed)), row->inode);
	changed = stat_of(12, 100, 5001, 4000);
	assert_int_equal(letter(look(c, "/a/file", &changed)), row->ctime);
	changed = stat_of(12, 100, 5000, 3999);
	assert_int_equal(letter(look(c, "/a/file", &changed)), row->mtime);
	st.st_mode = S_IFIFO | 0644;
	assert_int_equal(letter(look(c, "/a/file", &st)), '?');
	files_cache_close(c);
	test_dir_remove(dir);
}

static const struct refused_row {
	const char *name, *mode;
} refused_rows[] = {
	{ "nothing", "" },
	{ "an unknown word", "ctime,size,inode,atime" },
	{ "both times", "ctime,mtime,size" },
	{ "no size", "ctime,inode" },
	{ "the inode alone", "inode" },
	{ "rechunk and nothing to keep", "rechunk" },
	{ "rechunk and size", "rechunk,ctime,size" },
	{ "an empty word", "ctime,,size" },
	{ "a comma at the end", "ctime,size," },
	{ "disabled and more", "disabled,size" },
};

static void refused(const void *arg)
{
	const struct refused_row *row = arg;
	struct files_mode m;
	struct err e = ERR_INIT;

	assert_int_equal(files_mode_parse(&m, row->mode, &e), -EINVAL);
	assert_string_equal(e.msg, "invalid FilesCacheMode value");
}

/* --- runs --- */

/* rechunk remembers, and the next run profits. */
static void rechunk_remembers(void **state)
{
	char *dir = test_dir_make();
	struct files_cache *c = cache_open(dir, "rechunk,ctime");
	struct stat st = stat_of(12, 100, 5000, 4000);

	(void)state;
	remember(c, "/file", &st, 1);
	remember_newest(c);
	commit(c);
	c = cache_open(dir, "ctime,size,inode");
	assert_int_equal(look(c, "/file", &st), FILES_UNCHANGED);
	files_cache_close(c);
	test_dir_remove(dir);
}

/* A hit in a mode without inode keeps the new one, for a mode with it. */
static void inodes_are_corrected(void **state)
{
	char *dir = test_dir_make();
	struct files_cache *c = cache_open(dir, "ctime,size");
	struct stat st = stat_of(12, 100, 5000, 4000), moved = stat_of(77, 100, 5000, 4000);

	(void)state;
	remember(c, "/file", &st, 1);
	remember_newest(c);
	commit(c);
	c = cache_open(dir, "ctime,size");
	assert_int_equal(look(c, "/file", &moved), FILES_UNCHANGED);
	commit(c);
	c = cache_open(dir, "ctime,size,inode");
	assert_int_equal(look(c, "/file", &moved), FILES_UNCHANGED);
	assert_int_equal(look(c, "/file", &st), FILES_CHANGED);
	files_cache_close(c);
	test_dir_remove(dir);
}

static void the_newest_are_not_trusted(void **state)
{
	char *dir = test_dir_make();
	struct files_cache *c = cache_open(dir, "ctime,size,inode");
	struct stat old = stat_of(1, 1, 1000, 0), new = stat_of(2, 1, 2000, 0);
	struct stat mine = stat_of(3, 1, 2000, 0), newer = stat_of(2, 2, 3000, 0);

	(void)state;
	remember(c, "/new", &new, 2);
	remember(c, "/old", &old, 1);
	remember(c, "/as-new", &mine, 3);
	commit(c);
	c = cache_open(dir, "ctime,size,inode");
	assert_int_equal(look(c, "/old", &old), FILES_UNCHANGED);
	assert_int_equal(look(c, "/new", &new), FILES_UNKNOWN);
	assert_int_equal(look(c, "/as-new", &mine), FILES_UNKNOWN);
	remember(c, "/new", &new, 2);
	remember(c, "/other", &newer, 2);
	commit(c);
	c = cache_open(dir, "ctime,size,inode");
	assert_int_equal(look(c, "/new", &new), FILES_UNCHANGED); /* something is newer now */
	remember(c, "/new", &newer, 9); /* the newest again: the old entry goes, too */
	commit(c);
	c = cache_open(dir, "ctime,size,inode");
	assert_int_equal(look(c, "/new", &newer), FILES_UNKNOWN);
	assert_int_equal(look(c, "/new", &new), FILES_UNKNOWN);
	assert_int_equal(look(c, "/old", &old), FILES_UNCHANGED); /* by hits alone: trusted */
	commit(c);
	c = cache_open(dir, "ctime,size,inode");
	assert_int_equal(look(c, "/old", &old), FILES_UNCHANGED);
	files_cache_close(c);
	test_dir_remove(dir);
}

static void the_last_word_counts(void **state)
{
	char *dir = test_dir_make();
	struct files_cache *c = cache_open(dir, "ctime,size,inode");
	struct stat first = stat_of(1, 1, 1000, 0), second = stat_of(1, 2, 1500, 0);

	(void)state;
	remember(c, "/file", &first, 1);
	remember(c, "/file", &second, 2);
	remember_newest(c);
	commit(c);
	c = cache_open(dir, "ctime,size,inode");
	assert_int_equal(look(c, "/file", &first), FILES_CHANGED);
	assert_int_equal(look(c, "/file", &second), FILES_UNCHANGED);
	files_cache_close(c);
	c = cache_open(dir, "ctime,size,inode");
	remember(c, "/file", &first, 1);
	files_cache_close(c); /* not committed */
	c = cache_open(dir, "ctime,size,inode");
	assert_int_equal(look(c, "/file", &second), FILES_UNCHANGED);
	files_cache_close(c);
	test_dir_remove(dir);
}

/* --- age --- */

static const struct ttl_row {
	const char *name;
	const char *ttl;
	unsigned least, most; /* runs that an entry lives unseen */
} ttl_rows[] = {
	{ "none", "0", 0, 1 },   { "one", "1", 1, 1 },      { "two", "2", 2, 2 },
	{ "ten", "10", 10, 15 }, { "default", "", 20, 30 }, { "no number", "x", 20, 30 },
};

static bool alive(const char *dir, const struct stat *st)
{
	struct files_cache *c = cache_open(dir, "ctime,size,inode");
	enum files_found found = look(c, "/file", st);

	files_cache_close(c); /* not a run */
	return found == FILES_UNCHANGED;
}

/* seen: the number of runs that see the entry before it is left alone. */
static void one_ttl_after(const struct ttl_row *row, unsigned seen)
{
	char *dir = test_dir_make();
	struct stat st = stat_of(1, 1, 1000, 0);
	struct files_cache *c = cache_open(dir, "ctime,size,inode");
	unsigned unseen = 0;

	setenv("BORG_FILES_CACHE_TTL", row->ttl, 1);
	files_cache_close(c);
	c = cache_open(dir, "ctime,size,inode");
	remember(c, "/file", &st, 1);
	remember_newest(c);
	commit(c);
	for (unsigned i = 0; i < seen; i++) {
		c = cache_open(dir, "ctime,size,inode");
		assert_int_equal(look(c, "/file", &st), FILES_UNCHANGED);
		commit(c);
	}
	for (; alive(dir, &st); unseen++) {
		assert_true(unseen <= row->most);
		commit(cache_open(dir, "ctime,size,inode"));
	}
	assert_true(unseen >= row->least);
	assert_true(unseen <= row->most);
	unsetenv("BORG_FILES_CACHE_TTL");
	test_dir_remove(dir);
}

static void one_ttl(const void *arg)
{
	const struct ttl_row *row = arg;

	one_ttl_after(row, 0);
	one_ttl_after(row, 3);
	one_ttl_after(row, 12);
}

static void a_cache_by_suffix(void **state)
{
	char *dir = test_dir_make();
	struct stat st = stat_of(1, 1, 1000, 0);
	struct files_cache *c;

	(void)state;
	setenv("BORG_FILES_CACHE_SUFFIX", "../x", 1);
	c = cache_open(dir, "ctime,size,inode");
	remember(c, "/file", &st, 1);
	remember_newest(c);
	commit(c);
	assert_true(alive(dir, &st));
	unsetenv("BORG_FILES_CACHE_SUFFIX");
	assert_false(alive(dir, &st));
	test_dir_remove(dir);
}

/* --- lists of any length --- */

static const size_t counts[] = { 0, 1, 2, 1637, 1638, 1639, 3276, 3277, 50000 };

static void long_and_short_lists(void **state)
{
	char *dir = test_dir_make(), path[32];
	struct files_cache *c = cache_open(dir, "ctime,size,inode");
	struct item_chunk *chunks = calloc(50000, sizeof(*chunks));
	struct files_chunks out = { 0 };
	struct stat st = stat_of(1, 1, 1000, 0);
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < 50000; i++)
		chunks[i] = chunk_of(i);
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		snprintf(path, sizeof(path), "/%zu", counts[i]);
		assert_int_equal(
			files_cache_remember(c, bytes_str(path), &st, chunks, counts[i], &e),
			0);
	}
	remember_newest(c);
	commit(c);
	c = cache_open(dir, "ctime,size,inode");
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		snprintf(path, sizeof(path), "/%zu", counts[i]);
		assert_int_equal(files_cache_lookup(c, bytes_str(path), &st, &out),
				 FILES_UNCHANGED);
		assert_int_equal(out.count, counts[i]);
		assert_true(!counts[i] ||
			    memcmp(out.p, chunks, counts[i] * sizeof(*chunks)) == 0);
	}
	files_chunks_fini(&out);
	files_cache_close(c);
	free(chunks);
	test_dir_remove(dir);
}

/* --- much, in several transactions, against a plain array --- */

enum { FILES = 120000, RUNS = 4 };

static void path_of(size_t i, char out[64])
{
	snprintf(out, 64, "/home/folder-%zu/file-%zu", i / 37, i);
}

static void a_run(const char *dir, int64_t *times, uint64_t *contents, int run)
{
	struct files_cache *c = cache_open(dir, "ctime,size,inode");
	struct files_chunks out = { 0 };
	char path[64];

	for (size_t i = 0; i < FILES; i++) {
		bool changed = run == 0 || i % 7 == (size_t)run;
		struct item_chunk want;
		struct stat st;

		if (changed) {
			times[i] = run * 1000000 + (int64_t)i + 1;
			contents[i] = (uint64_t)run * FILES + i;
		}
		path_of(i, path);
		st = stat_of(i, 1, times[i], 0);
		assert_int_equal(files_cache_lookup(c, bytes_str(path), &st, &out),
				 run == 0  ? FILES_UNKNOWN
				 : changed ? FILES_CHANGED
					   : FILES_UNCHANGED);
		if (changed) {
			remember(c, path, &st, contents[i]);
			continue;
		}
		want = chunk_of(contents[i]);
		assert_int_equal(out.count, 1);
		assert_memory_equal(out.p, &want, sizeof(want));
	}
	remember_newest(c);
	files_chunks_fini(&out);
	commit(c);
}

static void many_files(void **state)
{
	char *dir = test_dir_make();
	int64_t *times = calloc(FILES, sizeof(*times));
	uint64_t *contents = calloc(FILES, sizeof(*contents));

	(void)state;
	setenv("BORG_FILES_CACHE_TTL", "2", 1); /* each hit is written again */
	for (int run = 0; run < RUNS; run++)
		a_run(dir, times, contents, run);
	unsetenv("BORG_FILES_CACHE_TTL");
	free(times);
	free(contents);
	test_dir_remove(dir);
}

/* --- threads --- */

enum { THREADS = 4, FILES_EACH = 2000 };

struct worker {
	pthread_t thread;
	struct files_cache *cache;
	size_t first;
	size_t wrong;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	struct files_chunks out = { 0 };
	char path[64];

	for (size_t i = w->first; i < w->first + FILES_EACH; i++) {
		struct stat st = stat_of(i, 1, 1000, 0), changed = stat_of(i, 2, 2000, 0);
		struct item_chunk want = chunk_of(i);

		path_of(i, path);
		if (files_cache_lookup(w->cache, bytes_str(path), &st, &out) !=
			    FILES_UNCHANGED ||
		    memcmp(out.p, &want, sizeof(want)) != 0)
			w->wrong++;
		want = chunk_of(i + 1);
		if (files_cache_remember(w->cache, bytes_str(path), &changed, &want, 1, NULL))
			w->wrong++;
	}
	files_chunks_fini(&out);
	return NULL;
}

static void several_threads(void **state)
{
	char *dir = test_dir_make(), path[64];
	struct files_cache *c = cache_open(dir, "ctime,size,inode");
	struct worker workers[THREADS];

	(void)state;
	for (size_t i = 0; i < THREADS * FILES_EACH; i++) {
		struct stat st = stat_of(i, 1, 1000, 0);

		path_of(i, path);
		remember(c, path, &st, i);
	}
	remember_newest(c);
	commit(c);
	c = cache_open(dir, "ctime,size,inode");
	for (size_t t = 0; t < THREADS; t++) {
		workers[t] = (struct worker){ .cache = c, .first = t * FILES_EACH };
		pthread_create(&workers[t].thread, NULL, work, &workers[t]);
	}
	for (size_t t = 0; t < THREADS; t++) {
		pthread_join(workers[t].thread, NULL);
		assert_int_equal(workers[t].wrong, 0);
	}
	remember_newest(c);
	commit(c);
	c = cache_open(dir, "ctime,size,inode");
	for (size_t i = 0; i < THREADS * FILES_EACH; i += 97) {
		struct stat st = stat_of(i, 2, 2000, 0);

		path_of(i, path);
		assert_int_equal(look(c, path, &st), FILES_UNCHANGED);
	}
	files_cache_close(c);
	test_dir_remove(dir);
}

/* --- damage, secrets --- */

enum { FEW = 3000 };

static void few_files(const char *dir)
{
	struct files_cache *c = cache_open(dir, "ctime,size,inode");
	char path[64];

	for (size_t i = 0; i < FEW; i++) {
		struct stat st = stat_of(i, 1, 1000, 0);

		path_of(i, path);
		remember(c, path, &st, i);
	}
	remember_newest(c);
	commit(c);
}

/* A child that dies of a damaged page is counted; cmocka must not speak for it. */
static void die_as_others_do(void)
{
	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
	signal(SIGABRT, SIG_DFL);
}

/* In a process of its own: exit status 1 where a list was wrong, else 0; *hits through a pipe. */
static int ask_in_child(const char *dir, uint32_t *hits)
{
	int status, fds[2];
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	fflush(NULL); /* else the child may write it again */
	pid = fork();
	if (pid == 0) {
		struct files_cache *c;
		struct files_chunks out = { 0 };
		uint32_t n = 0;
		char path[64];

		die_as_others_do();
		c = cache_open(dir, "ctime,size,inode");
		for (size_t i = 0; i < FEW; i++) {
			struct stat st = stat_of(i, 1, 1000, 0);
			struct item_chunk want = chunk_of(i);

			path_of(i, path);
			if (files_cache_lookup(c, bytes_str(path), &st, &out) !=
			    FILES_UNCHANGED)
				continue;
			if (out.count != 1 || memcmp(out.p, &want, sizeof(want)) != 0)
				_exit(1);
			n++;
		}
		files_cache_close(c);
		if (write(fds[1], &n, sizeof(n)) != sizeof(n))
			_exit(2);
		_exit(0);
	}
	close(fds[1]);
	*hits = 0;
	if (read(fds[0], hits, sizeof(*hits)) < 0)
		*hits = 0;
	close(fds[0]);
	waitpid(pid, &status, 0);
	return status;
}

static void flip(const char *path, unsigned short seed[3], int flips)
{
	int fd = open(path, O_RDWR);
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	for (; flips; flips--) {
		off_t at = 8192 + nrand48(seed) % (st.st_size - 8192);
		uint8_t byte;

		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= (uint8_t)(1 + nrand48(seed) % 255);
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	}
	close(fd);
}

static void flipped_bytes(void **state)
{
	char *dir = test_dir_make(), path[4096];
	unsigned short seed[3];
	uint64_t start = test_seed();
	size_t died = 0, lost = 0;
	uint32_t hits;

	(void)state;
	memcpy(seed, &start, sizeof(seed));
	snprintf(path, sizeof(path), "%s/files.mdb", dir);
	for (size_t i = 0; i < test_count(40, 1000); i++) {
		int status;

		few_files(dir);
		assert_int_equal(ask_in_child(dir, &hits), 0);
		assert_int_equal(hits, FEW);
		flip(path, seed,
		     1 + (int)(i % 8)); /* few leave pages whole, and hurt entries */
		status = ask_in_child(dir, &hits);
		assert_false(WIFEXITED(status) && WEXITSTATUS(status) != 0);
		lost += FEW - hits;
		if (!WIFSIGNALED(status)) {
			unlink(path);
			continue;
		}
		died++;
	}
	print_message("# %zu lost, %zu died\n", lost, died);
	assert_true(lost > 0);
	assert_int_equal(died, 0); /* not by these; LMDB's own pages were looked at */
	test_dir_remove(dir);
}

static void what_is_on_disk_tells_nothing(void **state)
{
	char *dir = test_dir_make(), path[4096];
	struct files_cache *c = cache_open(dir, "ctime,size,inode");
	struct stat st = stat_of(1, 1, 1000, 0), file;
	struct item_chunk chunk = chunk_of(12345);
	uint8_t *bytes;
	int fd;

	(void)state;
	remember(c, "/a-folder-name/a-file-name", &st, 12345);
	remember_newest(c);
	commit(c);
	snprintf(path, sizeof(path), "%s/files.mdb", dir);
	fd = open(path, O_RDONLY);
	assert_int_equal(fstat(fd, &file), 0);
	bytes = malloc((size_t)file.st_size);
	assert_int_equal(read(fd, bytes, (size_t)file.st_size), file.st_size);
	assert_null(memmem(bytes, (size_t)file.st_size, "file-name", 9));
	assert_null(memmem(bytes, (size_t)file.st_size, chunk.id.b, 8));
	free(bytes);
	close(fd);
	secret->p[3] ^= 1; /* another repository's */
	c = cache_open(dir, "ctime,size,inode");
	assert_int_equal(look(c, "/a-folder-name/a-file-name", &st), FILES_UNKNOWN);
	files_cache_close(c);
	secret->p[3] ^= 1;
	test_dir_remove(dir);
}

/* A file that was cut, that is of another version, or no file at all. */
static void an_unusable_file(void **state)
{
	char *dir = test_dir_make(), path[4096];
	struct stat st = stat_of(1, 1, 1000, 0);
	uint32_t hits;

	(void)state;
	snprintf(path, sizeof(path), "%s/files.mdb", dir);
	few_files(dir);
	assert_int_equal(truncate(path, 65536), 0);
	assert_int_equal(ask_in_child(dir, &hits), 0);
	assert_int_equal(hits, 0);
	few_files(dir);
	assert_int_equal(truncate(path, 100), 0);
	assert_int_equal(ask_in_child(dir, &hits), 0);
	assert_int_equal(hits, 0);
	unlink(path);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	few_files(dir);
	assert_int_equal(ask_in_child(dir, &hits), 0);
	assert_int_equal(hits, FEW);
	assert_false(alive(dir, &st));
	test_dir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rechunk_remembers),
		cmocka_unit_test(inodes_are_corrected),
		cmocka_unit_test(the_newest_are_not_trusted),
		cmocka_unit_test(the_last_word_counts),
		cmocka_unit_test(a_cache_by_suffix),
		cmocka_unit_test(long_and_short_lists),
		cmocka_unit_test(many_files),
		cmocka_unit_test(several_threads),
		cmocka_unit_test(flipped_bytes),
		cmocka_unit_test(what_is_on_disk_tells_nothing),
		cmocka_unit_test(an_unusable_file),
	};
	int failed;

	secret = secret_new(32);
	memset(secret->p, 7, secret->len);
	failed = run_table(mode_rows, one_mode);
	failed += run_table(refused_rows, refused);
	failed += run_table(ttl_rows, one_ttl);
	failed += cmocka_run_group_tests(tests, NULL, NULL);
	secret_free(secret);
	return failed;
}
