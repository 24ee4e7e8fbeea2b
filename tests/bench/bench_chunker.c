/*
 * bench_chunker.c - how fast one core finds where to cut.
 *
 *   bench_chunker [REPETITIONS [FILE]]
 *
 * 256 MiB of random bytes, of zeros, and of disk-image-like halves of both, or the bytes of FILE;
 * cut with the parameters of files and of the item stream, whole and fed in reads of 1 MiB, by
 * each way of searching.  Each figure is the best of some repetitions.
 */

#include "core/base/io.h"
#include "core/codec/buzhash.h"
#include "core/codec/chunker.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { MIB = 1 << 20, SIZE = 256 * MIB, READ = MIB, SEED = 0x5eed };

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void need(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench_chunker: %s failed\n", what);
	exit(1);
}

enum content { RANDOM, ZEROS, HALF };

/* Halves alternate each 4 MiB. */
static void fill(struct buf *b, enum content content)
{
	uint64_t x = 1;

	need(buf_resize(b, SIZE) == 0, "memory");
	for (size_t i = 0; i < SIZE; i++) {
		bool zero = content == ZEROS || (content == HALF && i / (4 * MIB) % 2);

		x = x * 6364136223846793005u + 1442695040888963407u;
		b->p[i] = zero ? 0 : (uint8_t)(x >> 56);
	}
}

static void report(const char *content, const char *how, size_t bytes, double seconds,
		   size_t count)
{
	printf("%-12s %-26s %7.2f GB/s %6zu chunks\n", content, how,
	       (double)bytes / seconds * 1e-9, count);
}

static size_t cut_all(const struct chunker *c, struct bytes file, size_t read)
{
	struct chunker_scan s = { 0 };
	size_t start = 0, have = 0, count = 0;

	while (start < file.len) {
		size_t n = chunker_cut(c, &s, (struct bytes){ file.p + start, have - start },
				       have == file.len);

		if (n == 0)
			have = file.len - have < read ? file.len : have + read;
		count += n > 0;
		start += n;
	}
	return count;
}

static void bench_cuts(const char *content, const char *how, const struct chunker_params *p,
		       struct bytes file, size_t read, int repetitions)
{
	CLEANUP(chunker_freep) struct chunker *c = NULL;
	double best = 0;
	size_t count = 0;

	need(chunker_new(&c, p, SEED, NULL) == 0, "chunker");
	for (int i = 0; i < repetitions; i++) {
		double start = now();

		count = cut_all(c, file, read);
		start = now() - start;
		if (i == 0 || start < best)
			best = start;
	}
	report(content, how, file.len, best, count);
}

/* Every position looked at, none skipped: what a byte above the minimum costs. */
static void bench_search(const char *content, const char *how, buzhash_finder *find,
			 struct bytes file, int repetitions)
{
	struct buzhash b;
	double best = 0;
	size_t count = 0, end = file.len - CHUNKER_DEFAULT.window;

	buzhash_init(&b, SEED, CHUNKER_DEFAULT.window, (1u << CHUNKER_DEFAULT.mask_bits) - 1);
	for (int i = 0; i < repetitions; i++) {
		double start = now();
		uint32_t hash = buzhash_of(&b, file.p);

		count = 0;
		for (size_t p = 0; (p = find(&b, file.p, p, end, &hash)) < end; p++) {
			uint32_t next = buzhash_of(&b, file.p + p + 1);

			hash = next;
			count++;
		}
		start = now() - start;
		if (i == 0 || start < best)
			best = start;
	}
	report(content, how, file.len, best, count);
}

static void bench(const char *content, struct bytes file, int repetitions)
{
	bench_cuts(content, "files, whole", &CHUNKER_DEFAULT, file, file.len, repetitions);
	bench_cuts(content, "files, reads of 1 MiB", &CHUNKER_DEFAULT, file, READ, repetitions);
	bench_cuts(content, "items, reads of 1 MiB", &CHUNKER_ITEMS, file, READ, repetitions);
	bench_search(content, "search, portable", buzhash_find_portable, file, repetitions);
	if (buzhash_vector_usable())
		bench_search(content, "search, vector", buzhash_find_vector, file, repetitions);
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "random", "zeros", "half zeros" };
	int repetitions = argc > 1 ? atoi(argv[1]) : 3;
	CLEANUP(buf_fini) struct buf b = BUF_INIT;

	if (argc > 2) {
		need(file_read(AT_FDCWD, argv[2], SIZE_MAX / 2, &b, NULL) >= 0, argv[2]);
		need(b.len > CHUNKER_DEFAULT.window, "a file that short");
		bench("file", buf_bytes(&b), repetitions);
		return 0;
	}
	for (enum content c = RANDOM; c <= HALF; c++) {
		fill(&b, c);
		bench(names[c], buf_bytes(&b), repetitions);
	}
	return 0;
}
