/*
 * bench_caches.c - the two disposable caches with a million entries.
 *
 *   bench_caches [COUNT [FOLDER]]
 *
 * Prints one line for each step: the chunk index takes an archive of COUNT chunks, another that
 * is the same, one with a hundredth new; answers, and forgets.  The files cache takes COUNT
 * files, finds them unchanged, then with a hundredth changed, then in the run that renews all.
 */

#include "core/archive/files_cache.h"
#include "core/store/chunk_index.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { PER_FOLDER = 25, REFRESH_RUNS = 10 };

static void fail(const char *what, const struct err *e)
{
	fprintf(stderr, "bench_caches: %s: %s\n", what, e->msg);
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Peak of what is resident since the last call, in MB: all, and without pages of files. */
static void memory(long *peak_mb, long *anon_mb)
{
	char line[128];
	FILE *f = fopen("/proc/self/status", "r");

	*peak_mb = *anon_mb = 0;
	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "VmHWM:", 6) == 0)
			*peak_mb = strtol(line + 6, NULL, 10) / 1024;
		if (strncmp(line, "RssAnon:", 8) == 0)
			*anon_mb = strtol(line + 8, NULL, 10) / 1024;
	}
	if (f)
		fclose(f);
	f = fopen("/proc/self/clear_refs", "w");
	if (f) {
		fputs("5\n", f);
		fclose(f);
	}
}

static void report(const char *what, double start, size_t count)
{
	double seconds = now() - start;
	long peak, anon;

	memory(&peak, &anon);
	printf("%-34s %7.3f s  %6.0f ns each  peak %ld MB, then %ld MB anonymous\n", what,
	       seconds, seconds * 1e9 / (double)count, peak, anon);
	malloc_trim(0);
}

static void report_file(const char *dir, const char *name)
{
	char path[4096];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (stat(path, &st) == 0)
		printf("%-34s %7.1f MB, %.1f MB on disk\n", name, (double)st.st_size / 1e6,
		       (double)st.st_blocks * 512 / 1e6);
}

/* --- chunk index --- */

static struct chunk_id chunk_of(uint64_t n)
{
	struct chunk_id id = { { 0 } };

	for (int i = 0; i < 4; i++) {
		n = (n ^ n >> 29) * 0xbf58476d1ce4e5b9u + (uint64_t)i;
		put_be64(id.b + 8 * i, n ^ n >> 32);
	}
	return id;
}

static void add_archive(struct chunk_index *x, const char *dir, uint64_t number, size_t count,
			size_t new_from)
{
	struct chunk_id archive = chunk_of(~number), manifest = archive;
	struct chunk_refs *refs = NULL;
	struct err e = ERR_INIT;

	if (chunk_refs_new(&refs, dir, &e) < 0)
		fail("references", &e);
	for (size_t i = 0; i < count; i++) {
		struct chunk_id id =
			chunk_of(i < new_from ? i + 1 : i + 1 + (number - 1) * count);

		if (chunk_refs_add(refs, &id, 4096, 2048, &e) < 0)
			fail("references", &e);
	}
	if (chunk_index_add(x, &archive, refs, &e) < 0 ||
	    chunk_index_commit(x, &manifest, &e) < 0)
		fail("add", &e);
}

static int count_orphan(void *arg, const struct chunk_id *id, const struct chunk_count *sizes,
			struct err *e)
{
	(void)id, (void)sizes, (void)e;
	++*(size_t *)arg;
	return 0;
}

static void remove_archive(struct chunk_index *x, uint64_t number, const char *what,
			   size_t count)
{
	struct chunk_id archive = chunk_of(~number), manifest = chunk_of(number);
	struct err e = ERR_INIT;
	double start = now();
	size_t orphans = 0;
	char text[64];

	if (chunk_index_remove(x, &archive, &e) < 0 ||
	    chunk_index_apply(x, count_orphan, &orphans, &e) < 0 ||
	    chunk_index_commit(x, &manifest, &e) < 0)
		fail("remove", &e);
	snprintf(text, sizeof(text), "%s, %zu orphans", what, orphans);
	report(text, start, count);
}

static int compare_ids(const void *a, const void *b)
{
	return id_compare(a, b);
}

static void ask_for(struct chunk_index *x, const struct chunk_id *ids, size_t count,
		    const char *what)
{
	struct chunk_count c;
	struct err e = ERR_INIT;
	double start = now();

	for (size_t i = 0; i < count; i++)
		if (chunk_index_get(x, &ids[i], &c, &e) != 1)
			fail("get", &e);
	report(what, start, count);
}

static void ask(struct chunk_index *x, size_t count)
{
	struct chunk_id archive = chunk_of(~(uint64_t)1), *ids = calloc(count, sizeof(*ids));
	struct chunk_totals totals;
	struct err e = ERR_INIT;
	double start;

	if (!ids)
		exit(1);
	for (size_t i = 0; i < count; i++)
		ids[i] = chunk_of(i + 1);
	ask_for(x, ids, count / 4, "asked for at random");
	qsort(ids, count, sizeof(*ids), compare_ids);
	ask_for(x, ids, count, "asked for in order");
	free(ids);
	start = now();
	if (chunk_index_archive_totals(x, &archive, &totals, &e) != 1)
		fail("totals", &e);
	report("an archive's own chunks", start, count);
}

static void bench_chunks(const char *dir, size_t count)
{
	struct chunk_id nothing = chunk_of(0), manifest;
	struct chunk_index *x = NULL;
	struct err e = ERR_INIT;
	double start = now();

	if (chunk_index_open(&x, dir, &e) < 0 ||
	    chunk_index_sync(x, &nothing, NULL, 0, NULL, NULL, &e) < 0)
		fail("chunk index", &e);
	report("chunk index opened", start, 1);
	start = now();
	add_archive(x, dir, 1, count, 0);
	report("an archive of new chunks", start, count);
	start = now();
	add_archive(x, dir, 2, count, 0);
	report("another of other chunks", start, count);
	start = now();
	add_archive(x, dir, 3, count, count);
	report("again, nothing new", start, count);
	start = now();
	add_archive(x, dir, 4, count, count - count / 100);
	report("again, a hundredth new", start, count);
	report_file(dir, "chunks.mdb");
	chunk_index_close(x);
	x = NULL;
	start = now();
	if (chunk_index_open(&x, dir, &e) < 0)
		fail("chunk index", &e);
	report("chunk index opened again", start, 1);
	manifest = chunk_of(~(uint64_t)4);
	if (chunk_index_sync(x, &manifest, NULL, 0, NULL, NULL, &e) < 0)
		fail("chunk index", &e);
	ask(x, count);
	remove_archive(x, 3, "one removed", count);
	remove_archive(x, 2, "another removed", count);
	chunk_index_close(x);
}

/* --- files cache --- */

static void path_of(size_t i, char out[64])
{
	snprintf(out, 64, "/home/user/folder-%zu/file-%zu", i / PER_FOLDER, i);
}

static size_t run(const char *dir, const struct secret *secret, const char *what, size_t count,
		  size_t changed_every, int64_t when)
{
	struct files_mode mode;
	struct files_cache *c = NULL;
	struct files_chunks out = { 0 };
	struct err e = ERR_INIT;
	size_t hits = 0;
	double start = now();
	char text[64], path[64];

	if (files_mode_parse(&mode, "ctime,size,inode", &e) < 0 ||
	    files_cache_open(&c, dir, secret, &mode, &e) < 0)
		fail("files cache", &e);
	for (size_t i = 0; i < count; i++) {
		bool changed = changed_every && i % changed_every == 0;
		struct stat st = { .st_mode = S_IFREG, .st_ino = i, .st_size = 1 };
		struct item_chunk chunk = { .id = chunk_of(i), .size = 1, .csize = 2 };

		path_of(i, path);
		st.st_ctim.tv_sec = changed ? when : 1;
		if (files_cache_lookup(c, bytes_str(path), &st, &out) == FILES_UNCHANGED) {
			hits++;
			continue;
		}
		st.st_ctim.tv_sec = 1;
		if (files_cache_remember(c, bytes_str(path), &st, &chunk, 1, &e) < 0)
			fail("remember", &e);
	}
	snprintf(text, sizeof(text), "%s: %zu found", what, hits);
	report(text, start, count);
	if (when) {
		struct stat st = { .st_mode = S_IFREG, .st_ctim = { when + 1, 0 } };

		if (files_cache_remember(c, bytes_str("/newest"), &st, NULL, 0, &e) < 0)
			fail("remember", &e);
	}
	start = now();
	if (files_cache_commit(c, &e) < 0)
		fail("commit", &e);
	report("   committed", start, count);
	files_chunks_fini(&out);
	files_cache_close(c);
	return hits;
}

static void bench_files(const char *dir, size_t count)
{
	struct secret *secret = secret_new(32);

	run(dir, secret, "files, all new", count, 0, 1);
	report_file(dir, "files.mdb");
	run(dir, secret, "second run", count, 0, 0);
	run(dir, secret, "a hundredth changed", count, 100, 5);
	for (int i = 0; i < REFRESH_RUNS - 3; i++)
		run(dir, secret, "another run", 1, 0, 0);
	run(dir, secret, "the run that renews all", count, 0, 0);
	report_file(dir, "files.mdb");
	secret_free(secret);
}

int main(int argc, char **argv)
{
	size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
	char own[] = "/var/tmp/bench-caches-XXXXXX", command[64];
	const char *dir = argc > 2 ? argv[2] : mkdtemp(own);

	if (!dir || !count)
		return 1;
	bench_chunks(dir, count);
	bench_files(dir, count);
	if (dir == own) {
		snprintf(command, sizeof(command), "rm -r %s", own);
		return system(command) != 0;
	}
	return 0;
}
