/*
 * bench_fetch.c - how fast stored objects become plaintext on all cores.
 *
 *   bench_fetch              objects in memory, keys "none": large chunks, then small ones
 *   bench_fetch REPOSITORY   every object of it, in the order of the log; BORG_PASSPHRASE unlocks
 *
 * Prints one line for each measurement: decoding on one core, one at a time and in pairs, the
 * stream on all, and look-ups of fetch_cached().
 */

#include "core/base/thread.h"
#include "core/repo/repo.h"
#include "core/store/keyring.h"
#include "core/store/object.h"
#include "core/store/stream.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

enum { WINDOW = 16 << 20, HITS = 5000000 };

struct bench {
	struct repo *repo;
	struct key *key;
	struct chunk_want *wants;
	uint64_t *places;
	size_t count, room;
};

static void fail(const char *what, const struct err *e)
{
	fprintf(stderr, "bench_fetch: %s: %s\n", what, e->msg);
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Peak of resident memory since the last call, in MB. */
static long peak_since(void)
{
	char line[128];
	long kib = 0;
	FILE *f = fopen("/proc/self/status", "r");

	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "VmHWM:", 6) == 0)
			kib = strtol(line + 6, NULL, 10);
	}
	if (f)
		fclose(f);
	f = fopen("/proc/self/clear_refs", "w");
	if (f) {
		fputs("5\n", f);
		fclose(f);
	}
	return kib / 1024;
}

static void report(const char *what, double seconds, uint64_t bytes, size_t count)
{
	static double before;
	struct rusage use;
	double cpu;

	getrusage(RUSAGE_SELF, &use);
	cpu = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
	      (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-6;
	printf("%-28s %7.3f s  cpu %7.3f s  %6.2f GB/s  %9.0f objects/s  peak %ld MB\n", what,
	       seconds, cpu - before, (double)bytes / seconds / 1e9, (double)count / seconds,
	       peak_since());
	before = cpu;
}

/* --- a repository in memory: objects back to back, ids by number --- */

struct memory {
	struct repo repo; /* first */
	struct buf *objects;
	struct chunk_want *wants;
	size_t count;
};

/* Consecutive requests find their objects without a search. */
static const struct buf *memory_find(struct memory *m, const struct chunk_id *id)
{
	static _Thread_local size_t last;

	for (size_t i = 0; i < m->count; i++, last++) {
		if (id_equal(&m->wants[last % m->count].id, id))
			return &m->objects[last % m->count];
	}
	abort();
}

static int memory_get_many(struct repo *r, const struct chunk_id *ids, size_t count,
			   repo_deliver *deliver, void *arg, struct err *e)
{
	(void)e;
	for (size_t i = 0; i < count; i++) {
		const struct buf *object = memory_find((struct memory *)r, &ids[i]);
		int rc = deliver(arg, i, 0, buf_bytes(object), NULL);

		if (rc != 0)
			return rc;
	}
	return 0;
}

static struct repo_ops memory_ops = { .get_many = memory_get_many };

static struct bench memory_bench(size_t size, size_t count)
{
	struct memory *m = calloc(1, sizeof(*m));
	struct bench b = { .repo = &m->repo, .count = count };
	struct err e = ERR_INIT;
	uint64_t x = 88172645463325252u;

	m->repo.ops = &memory_ops;
	m->objects = calloc(count, sizeof(*m->objects));
	m->wants = b.wants = calloc(count, sizeof(*m->wants));
	m->count = count;
	if (key_open_plaintext(&b.key, &e) < 0)
		fail("key", &e);
	for (size_t i = 0; i < count; i++) {
		struct buf *o = &m->objects[i];

		if (buf_resize(o, 3 + size) < 0)
			abort();
		o->p[0] = KEY_PLAINTEXT;
		o->p[1] = o->p[2] = 0;
		for (size_t at = 3; at < o->len; at++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			o->p[at] = (uint8_t)x;
		}
		SHA256(o->p + 3, size, b.wants[i].id.b);
		b.wants[i].size = (uint32_t)size;
	}
	return b;
}

/* --- a real one --- */

static int collect(void *arg, const struct chunk_id *id)
{
	struct bench *b = arg;

	if (id_equal(id, &MANIFEST_ID))
		return 0;
	if (b->count == b->room) {
		b->room = b->room ? 2 * b->room : 1024;
		b->wants = realloc(b->wants, b->room * sizeof(*b->wants));
		if (!b->wants)
			abort();
	}
	b->wants[b->count++] = (struct chunk_want){ .id = *id };
	return 0;
}

static struct repo *sorting; /* qsort(3) has no argument for its function */

static int by_place(const void *a, const void *b)
{
	const struct chunk_want *x = a, *y = b;
	uint64_t p = repo_place(sorting, &x->id), q = repo_place(sorting, &y->id);

	return p < q ? -1 : p > q;
}

static struct bench real_bench(const char *text)
{
	struct bench b = { 0 };
	struct location where = { 0 };
	struct buf manifest = BUF_INIT;
	struct err e = ERR_INIT;

	if (location_parse(&where, text, NULL, &e) < 0 ||
	    repo_open(&b.repo, &where, &(struct repo_options){ 0 }, &e) < 0)
		fail(text, &e);
	if (repo_get(b.repo, &MANIFEST_ID, 0, &manifest, &e) < 0 ||
	    keyring_unlock(&b.key, b.repo, buf_bytes(&manifest), NULL, &e) < 0)
		fail(text, &e);
	if (repo_scan(b.repo, collect, &b, &e) < 0)
		fail(text, &e);
	sorting = b.repo;
	qsort(b.wants, b.count, sizeof(*b.wants), by_place);
	return b;
}

/* --- measurements --- */

/* Also learns the sizes, which callers usually know. */
static void measure_one_core(struct bench *b, bool pairs)
{
	CLEANUP(unsealer_freep) struct unsealer *u = NULL;
	struct buf objects[2] = { BUF_INIT, BUF_INIT }, plain[2] = { BUF_INIT, BUF_INIT };
	uint64_t bytes = 0;
	double start = now();
	struct err e = ERR_INIT;

	if (unsealer_new(&u, b->key, &e) < 0)
		fail("unsealer", &e);
	for (size_t i = 0; i + 1 < b->count; i += 2) {
		struct unseal_job jobs[2] = { 0 };

		for (size_t j = 0; j < 2; j++) {
			struct chunk_want *w = &b->wants[i + j];

			if (repo_get(b->repo, &w->id, 0, &objects[j], &e) < 0)
				fail("read", &e);
			jobs[j].id = &w->id;
			jobs[j].object = buf_bytes(&objects[j]);
			jobs[j].out = &plain[j];
			if (!pairs)
				jobs[j].rc = object_unseal(u, &w->id, jobs[j].object, w->size,
							   &plain[j], &jobs[j].err);
		}
		if (pairs)
			object_unseal_pair(u, jobs);
		for (size_t j = 0; j < 2; j++) {
			if (jobs[j].rc < 0)
				fail("decode", &jobs[j].err);
			b->wants[i + j].size = (uint32_t)plain[j].len;
			bytes += plain[j].len;
		}
	}
	report(pairs ? "one core, in pairs" : "one core", now() - start, bytes, b->count);
	for (size_t j = 0; j < 2; j++) {
		buf_fini(&objects[j]);
		buf_fini(&plain[j]);
	}
}

/* `work`: the consumer hashes what it gets, as one that has something to do. */
static void measure_stream(struct bench *b, unsigned threads, bool work)
{
	CLEANUP(stream_closep) struct stream *s = NULL;
	uint64_t bytes = 0, sum = 0;
	double start = now();
	struct err e = ERR_INIT;
	char what[64];

	if (stream_open(&s, b->repo, b->key, threads, WINDOW, &e) < 0)
		fail("stream", &e);
	for (size_t pushed = 0, pulled = 0; pulled < b->count; pulled++) {
		struct chunk *c = NULL;

		while (pushed < b->count && stream_push(s, &b->wants[pushed]))
			pushed++;
		if (stream_pull(s, &c, &e) < 0)
			fail("stream", &e);
		bytes += c->len;
		for (size_t i = 0; work && i + 8 <= c->len; i += 8)
			sum = (sum ^ get_le64(c->p + i)) * 0x9e3779b97f4a7c15u;
		chunk_unref(c);
	}
	snprintf(what, sizeof(what), "stream, %u threads%s%s", threads,
		 work ? ", consumer works" : "", sum == 1 ? "!" : "");
	report(what, now() - start, bytes, b->count);
}

/* A reader that goes through a file with hints for the next four chunks, as a mount does. */
static void measure_fetch(struct bench *b, struct fetch *f)
{
	uint64_t bytes = 0;
	double start = now();
	struct err e = ERR_INIT;

	for (size_t i = 0; i < b->count; i++) {
		size_t left = b->count - i - 1;
		struct chunk *c = NULL;

		fetch_ahead(f, &b->wants[i] + 1, left < 4 ? left : 4);
		if (fetch_chunk(f, &b->wants[i], &c, &e) < 0)
			fail("fetch", &e);
		bytes += c->len;
		chunk_unref(c);
	}
	report("fetch, four hints ahead", now() - start, bytes, b->count);
}

static void measure_hits(struct bench *b, struct fetch *f)
{
	const struct chunk_id *id = &b->wants[b->count - 1].id;
	double start = now(), seconds;
	size_t hits = 0;

	for (size_t i = 0; i < HITS; i++) {
		struct chunk *c = fetch_cached(f, id);

		hits += c != NULL;
		chunk_unref(c);
	}
	seconds = now() - start;
	printf("%-28s %7.1f ns each, %zu of %d\n", "fetch_cached", seconds / HITS * 1e9, hits,
	       HITS);
}

static void measure(const char *what, struct bench b)
{
	struct fetch *f = NULL;
	struct err e = ERR_INIT;

	printf("%s: %zu objects\n", what, b.count);
	measure_one_core(&b, false);
	measure_one_core(&b, true);
	measure_stream(&b, 1, false);
	measure_stream(&b, cpu_count(), false);
	measure_stream(&b, 1, true);
	measure_stream(&b, cpu_count(), true);
	peak_since();
	printf("%-28s %ld MB\n", "resident at rest", peak_since());
	if (fetch_open(&f, b.repo, b.key, NULL, &e) < 0)
		fail("fetch", &e);
	measure_fetch(&b, f);
	measure_hits(&b, f);
	fetch_close(f);
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		measure(argv[1], real_bench(argv[1]));
		return 0;
	}
	measure("2 MiB in memory", memory_bench(2 << 20, 200));
	measure("300 bytes in memory", memory_bench(300, 300000));
	return 0;
}
