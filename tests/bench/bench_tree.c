/*
 * bench_tree.c - from an item stream to a tree that answers, step by step.
 *
 *   bench_tree [COUNT]               COUNT files (a million) made up in memory
 *   bench_tree REPOSITORY ARCHIVE    a real archive; BORG_PASSPHRASE unlocks
 *
 * Prints one line for each step: decoding the stream's chunks, parsing its records, adding them
 * to the builder, sorting and writing the image; sealing and opening the file; then look-ups by
 * name, in memory and in the sealed file, and what the process holds at last.
 */

#include "core/archive/item_stream.h"
#include "core/archive/tree_build.h"
#include "core/archive/tree_builder.h"
#include "core/archive/tree_internal.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LOOKUPS = 1000000, PER_FOLDER = 1000, CACHE = 8 << 20 };

static void fail(const char *what, const struct err *e)
{
	fprintf(stderr, "bench_tree: %s: %s\n", what, e->msg);
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Resident memory now, and its peak since the last call, in MB. */
static void memory(long *now_mb, long *peak_mb)
{
	char line[128];
	FILE *f = fopen("/proc/self/status", "r");

	*now_mb = *peak_mb = 0;
	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "VmHWM:", 6) == 0)
			*peak_mb = strtol(line + 6, NULL, 10) / 1024;
		if (strncmp(line, "VmRSS:", 6) == 0)
			*now_mb = strtol(line + 6, NULL, 10) / 1024;
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
	static double before;
	double seconds = now() - start, cpu;
	long now_mb, peak_mb;
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	cpu = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
	      (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-6;
	memory(&now_mb, &peak_mb);
	printf("%-28s %7.3f s  cpu %7.3f s  %10.0f /s  peak %ld MB, then %ld\n", what, seconds,
	       cpu - before, (double)count / seconds, peak_mb, now_mb);
	before = cpu;
}

/* --- what a tree is asked --- */

static void look_up(struct tree *t, const char *what)
{
	CLEANUP(buf_fini) struct buf name = BUF_INIT;
	uint32_t index, node = 0;
	struct tree_info info;
	struct err e = ERR_INIT;
	double start = now();

	tree_info(t, &info);
	for (size_t i = 0; i < LOOKUPS; i++) {
		struct tree_node n;

		node = (uint32_t)((node + 1) % info.node_count);
		if (tree_node(t, node, &n, &e) < 0 || tree_entry_name(t, node, &name, &e) < 0 ||
		    (node && tree_lookup(t, n.parent, buf_bytes(&name), &index, &e) != 1))
			fail(what, &e);
	}
	report(what, start, LOOKUPS);
}

static void look_up_at_random(struct tree *t, const char *what, size_t count)
{
	struct tree_info info;
	struct err e = ERR_INIT;
	uint64_t seed = 1;
	double start = now();

	tree_info(t, &info);
	for (size_t i = 0; i < count; i++) {
		struct tree_node n;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		if (tree_node(t, (uint32_t)((seed >> 33) % info.node_count), &n, &e) < 0)
			fail(what, &e);
	}
	report(what, start, count);
}

/* The tree leaves for a sealed file, and is asked again. */
static void move_to_file(struct tree *t)
{
	char path[] = "/tmp/bench-tree-XXXXXX";
	struct tree_cache *cache = tree_cache_new(CACHE);
	struct secret *secret = secret_new(32);
	struct tree_file *file = NULL;
	struct tree *again = NULL;
	struct tree_info info;
	struct err e = ERR_INIT;
	double start;

	close(mkstemp(path));
	memset(secret->p, 1, secret->len);
	tree_info(t, &info);
	start = now();
	if (tree_file_write(path, secret, &info.archive_id, tree_image(t), &e) < 0 ||
	    tree_file_open(&file, path, secret, &info.archive_id, cache, &e) < 0)
		fail("tree file", &e);
	report("seal and write", start, info.node_count);
	tree_settle(t, file);
	malloc_trim(0);
	start = now();
	file = NULL;
	if (tree_file_open(&file, path, secret, &info.archive_id, cache, &e) < 0 ||
	    tree_from_file(&again, file, &e) < 0)
		fail("tree file", &e);
	report("open the known tree", start, 1);
	look_up(t, "look up, sealed, in order");
	look_up_at_random(t, "nodes, sealed, at random", LOOKUPS / 20);
	tree_close(again);
	tree_close(t);
	tree_cache_free(cache);
	secret_free(secret);
	unlink(path);
}

/* --- items made up --- */

static struct tree *made_up(size_t count)
{
	struct tree_builder_options options = { .made_up_ns = 1 };
	struct item_chunk chunk = { .size = 8, .csize = 80 };
	struct tree_builder *b = NULL;
	struct tree *t = NULL;
	struct err e = ERR_INIT;
	double start = now();

	if (tree_builder_new(&b, &options, &e) < 0)
		fail("builder", &e);
	for (size_t i = 0; i < count; i++) {
		char path[64];
		struct item it = { .mode = S_IFREG | 0644,
				   .has = ITEM_USER | ITEM_GROUP | ITEM_CHUNKS,
				   .user = bytes_str("root"),
				   .group = bytes_str("root"),
				   .chunks = &chunk,
				   .chunk_count = 1,
				   .chunks_size = 8,
				   .size = 8 };

		memcpy(chunk.id.b, &i, sizeof(i));
		snprintf(path, sizeof(path), "home/%04zu/file-%zu", i / PER_FOLDER,
			 i * 7919 % count);
		it.path = bytes_str(path);
		if (tree_builder_add(b, &it, &e) < 0)
			fail("builder", &e);
	}
	report("make up and add items", start, count);
	start = now();
	if (tree_builder_finish(b, false, &t, &e) < 0)
		fail("builder", &e);
	report("sort and write the image", start, count);
	tree_builder_free(b);
	malloc_trim(0);
	return t;
}

/* --- a real archive --- */

static struct item_reader *stream_of(struct reader *r, const struct archive *a)
{
	struct item_reader *ir = NULL;
	struct err e = ERR_INIT;

	if (item_reader_open(&ir, r, a, NULL, &e) < 0)
		fail("items", &e);
	return ir;
}

static size_t decode(struct reader *r, const struct archive *a)
{
	struct item_reader *ir = stream_of(r, a);
	struct bytes records;
	struct err e = ERR_INIT;
	size_t count, all = 0;
	double start = now();
	int rc;

	while ((rc = item_reader_next_batch(ir, &records, &count, &e)) == 1)
		all += count;
	if (rc < 0)
		fail("items", &e);
	report("decode", start, all);
	item_reader_close(ir);
	return all;
}

static void parse(struct reader *r, const struct archive *a, size_t all)
{
	struct item_reader *ir = stream_of(r, a);
	struct item it;
	struct err e = ERR_INIT;
	double start = now();
	int rc;

	while ((rc = item_reader_next(ir, &it, &e)) == 1)
		;
	if (rc < 0)
		fail("items", &e);
	report("decode and parse", start, all);
	item_reader_close(ir);
}

static struct tree *build(struct reader *r, const struct archive *a, size_t all)
{
	struct item_reader *ir = stream_of(r, a);
	struct tree_builder_options options = { .archive_id = a->id };
	struct tree_builder *b = NULL;
	struct tree *t = NULL;
	struct item it;
	struct err e = ERR_INIT;
	double start = now();
	int rc = tree_builder_new(&b, &options, &e);

	while (rc >= 0 && (rc = item_reader_next(ir, &it, &e)) == 1)
		rc = tree_builder_add(b, &it, &e);
	if (rc < 0)
		fail("items", &e);
	report("decode, parse and add", start, all);
	item_reader_close(ir);
	start = now();
	if (tree_builder_finish(b, false, &t, &e) < 0)
		fail("builder", &e);
	report("sort and write the image", start, all);
	tree_builder_free(b);
	malloc_trim(0);
	return t;
}

static void whole(struct reader *r, const struct archive *a, size_t all)
{
	struct tree_options options = { 0 };
	struct tree *t = NULL;
	struct tree_node n;
	struct err e = ERR_INIT;
	double start;

	free(r->cache_dir);
	r->cache_dir = NULL; /* built, and not kept */
	start = now();
	if (tree_open(&t, r, a, &options, &e) < 0 || tree_node(t, 0, &n, &e) < 0)
		fail("tree", &e);
	report("unknown archive, first stat", start, all);
	tree_close(t);
}

static struct tree *real(const char *repository, const char *name)
{
	struct location where = { .proto = LOCATION_FILE };
	struct reader_options options = { 0 };
	struct reader *r = NULL;
	struct archive *a = NULL;
	struct manifest *m;
	const struct manifest_entry *entry;
	struct tree *t;
	struct err e = ERR_INIT;
	size_t all;

	where.path = strdup(repository);
	if (reader_open(&r, &where, &options, &e) < 0)
		fail(repository, &e);
	m = reader_manifest(r);
	entry = manifest_find(m, bytes_str(name));
	if (!entry || archive_load(&a, r, &entry->id, &e) < 0)
		fail(name, &e);
	reader_manifest_unref(r, m);
	report("open repository and archive", now(), 1);
	all = decode(r, a);
	parse(r, a, all);
	whole(r, a, all);
	t = build(r, a, all);
	archive_free(a);
	reader_close(r);
	free(where.path);
	return t;
}

int main(int argc, char **argv)
{
	struct tree *t;

	t = argc > 2 ? real(argv[1], argv[2])
		     : made_up(argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000);
	look_up(t, "look up, in memory, in order");
	look_up_at_random(t, "nodes, in memory, at random", LOOKUPS);
	move_to_file(t);
	return 0;
}
