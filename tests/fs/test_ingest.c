/*
 * test_ingest.c - contents against plain arrays of bytes: whatever was written, cut off, punched and
 * copied in whatever order is read back, and settles into the chunks that the chunker, run once over
 * the array, cuts; with the pipeline coming and going, and commits that leave no chunk without an
 * owner.
 *
 * Method: a real repository without encryption, so ids are SHA-256; chunks small enough that files
 * have dozens.
 */

#include "tests/support/tap.h"

#include "core/base/io.h"
#include "core/base/table.h"
#include "core/codec/compress.h"
#include "core/repo/create.h"
#include "fs/ingest.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static uint64_t random_state;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static uint64_t below(uint64_t n)
{
	return next_random() % n;
}

static void good(int rc, const struct err *e)
{
	if (rc < 0)
		fail_msg("%d: %s", rc, e->msg);
}

/* --- the repository --- */

struct world {
	char *dir;
	struct location where;
	struct repo *repo;
	struct key *key;
	struct nonces *nonces;
	struct put *put;
	struct fetch *fetch;
	struct chunker_params params;
	struct chunker *chunker;
	struct ingest *in;
	struct staged_ways ways; /* of the next file */
	struct table owned;      /* ids of the last commit -> uint64_t */
};

static void attach(struct world *w)
{
	struct put_options options = { .compression = COMPRESSION_DEFAULT,
				       .slab_bytes = 65536 };
	struct err e = ERR_INIT;

	if (w->put)
		return;
	good(put_open(&w->put, w->repo, w->key, w->nonces, &options, &e), &e);
	good(ingest_attach(w->in, w->put, &e), &e);
}

static void detach(struct world *w)
{
	struct err e = ERR_INIT;

	if (!w->put)
		return;
	good(ingest_detach(w->in, &e), &e);
	put_close(TAKE(w->put));
}

static void begin(struct world *w, const char *params, size_t memory, uint64_t quota)
{
	struct repo_creation how = { .storage_quota = quota };
	struct ingest_options options = { .memory = memory, .seed = 77 };
	struct err e = ERR_INIT;

	*w = (struct world){ .where = { .proto = LOCATION_FILE } };
	w->dir = test_dir_make();
	w->where.path = path_join(w->dir, "repo");
	good(repo_create(&w->where, &how, &e), &e);
	good(repo_open(&w->repo, &w->where, NULL, &e), &e);
	good(repo_lock(w->repo, 0, &e), &e);
	good(key_open_plaintext(&w->key, &e), &e);
	good(nonces_open(&w->nonces, w->repo, w->key, 0, &e), &e);
	good(fetch_open(&w->fetch, w->repo, w->key, NULL, &e), &e);
	good(chunker_params_parse(params, &w->params, &e), &e);
	good(chunker_new(&w->chunker, &w->params, 77, &e), &e);
	options.fetch = w->fetch;
	options.chunker = w->params;
	options.spill_dir = w->dir;
	good(ingest_new(&w->in, &options, &e), &e);
	table_init(&w->owned, sizeof(struct chunk_id), sizeof(uint64_t));
}

static void end(struct world *w)
{
	detach(w);
	ingest_free(w->in);
	chunker_free(w->chunker);
	fetch_close(w->fetch);
	nonces_close(w->nonces);
	key_close(w->key);
	repo_close(w->repo);
	table_fini(&w->owned);
	free(w->where.path);
	test_dir_remove(w->dir);
}

/* --- files and what they should be --- */

enum { FILE_MAX = 200 * 1024 };

struct file {
	struct stage_content *c;
	uint8_t *model;
	size_t size;
};

static void file_open(struct world *w, struct file *f)
{
	*f = (struct file){ .c = staged_new(w->in, w->ways), .model = calloc(1, FILE_MAX) };
	assert_non_null(f->c);
}

static void file_close(struct file *f)
{
	staged_free(f->c);
	free(f->model);
}

/* Bytes that come again: some ranges are what others are. */
static void make_bytes(uint8_t *p, size_t len)
{
	uint64_t keep = random_state;
	uint64_t start = below(40000);

	if (start % 7 == 0)
		memset(p, 0, len);
	else
		for (size_t i = 0; i < len; i++) {
			uint64_t x = (start + i) * UINT64_C(0x9e3779b97f4a7c15);

			p[i] = (uint8_t)((x ^ x >> 29) * UINT64_C(0xbf58476d1ce4e5b9) >> 56);
		}
	random_state = keep;
	next_random();
}

static void check_bytes(struct file *f, size_t off, size_t len)
{
	struct content_range r;
	struct err e = ERR_INIT;
	size_t at = off, want = off < f->size ? f->size - off : 0;

	if (want > len)
		want = len;
	good(staged_read(f->c, off, len, true, &r, &e), &e);
	assert_int_equal(r.len, want);
	for (size_t i = 0; i < r.count; i++) {
		if (memcmp(r.pieces[i].iov_base, f->model + at, r.pieces[i].iov_len) != 0)
			fail_msg("bytes differ in [%zu, %zu)", at, at + r.pieces[i].iov_len);
		at += r.pieces[i].iov_len;
	}
	assert_int_equal(at - off, want);
	content_range_fini(&r);
}

static void write_file(struct file *f, size_t off, size_t len)
{
	struct err e = ERR_INIT;
	uint8_t *bytes = malloc(len ? len : 1);
	int rc;

	make_bytes(bytes, len);
	rc = staged_write(f->c, off, (struct bytes){ bytes, len }, false, &e);
	if (rc == -EAGAIN)
		rc = staged_write(f->c, off, (struct bytes){ bytes, len }, true, &e);
	good(rc, &e);
	memcpy(f->model + off, bytes, len);
	if (len && off + len > f->size)
		f->size = off + len;
	free(bytes);
}

static void set_size(struct file *f, size_t size)
{
	struct err e = ERR_INIT;

	good(staged_truncate(f->c, size, true, &e), &e);
	if (size < f->size)
		memset(f->model + size, 0, f->size - size);
	f->size = size;
}

static void punch(struct file *f, int mode, size_t off, size_t len)
{
	struct err e = ERR_INIT;
	size_t to = off + len;

	good(staged_allocate(f->c, mode, off, len, true, &e), &e);
	if (!(mode & FALLOC_FL_KEEP_SIZE) && to > f->size)
		f->size = to;
	if (to > f->size)
		to = f->size;
	if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) && off < to)
		memset(f->model + off, 0, to - off);
}

static void copy(struct file *src, size_t src_off, struct file *dst, size_t dst_off, size_t len)
{
	struct err e = ERR_INIT;
	uint64_t copied;

	if (src == dst && src_off < dst_off + len && dst_off < src_off + len) {
		assert_int_equal(
			staged_copy(src->c, src_off, dst->c, dst_off, len, &copied, &e),
			-EINVAL);
		return;
	}
	good(staged_copy(src->c, src_off, dst->c, dst_off, len, &copied, &e), &e);
	if (src_off >= src->size)
		len = 0;
	else if (len > src->size - src_off)
		len = src->size - src_off;
	assert_int_equal(copied, len);
	if (len == 0)
		return;
	memcpy(dst->model + dst_off, src->model + src_off, len);
	if (dst_off + len > dst->size)
		dst->size = dst_off + len;
}

/* The list of a settled file is that of one straight run. */
static void check_list(struct world *w, struct file *f, const struct item_chunk *chunks,
		       size_t count)
{
	struct chunker_scan scan = { 0 };
	size_t at = 0, i = 0;

	while (at < f->size) {
		struct bytes rest = { f->model + at, f->size - at };
		size_t len = chunker_cut(w->chunker, &scan, rest, true);
		struct chunk_id id;

		SHA256(rest.p, len, id.b);
		if (i == count || chunks[i].size != len || !id_equal(&chunks[i].id, &id))
			fail_msg("chunk %zu at %zu of %zu: should have %zu bytes, has %u", i,
				 at, f->size, len, i < count ? chunks[i].size : 0);
		assert_true(chunks[i].csize > 0);
		at += len;
		i++;
	}
	assert_int_equal(i, count);
}

static void settle(struct world *w, struct file *f, struct table *owned)
{
	struct item_chunk *chunks;
	struct err e = ERR_INIT;
	uint64_t version;
	size_t count;

	good(staged_settled_chunks(f->c, &chunks, &count, &version, &e), &e);
	assert_int_equal(version, staged_version(f->c));
	check_list(w, f, chunks, count);
	for (size_t i = 0; owned && i < count; i++)
		assert_non_null(table_put(owned, &chunks[i].id, NULL));
	free(chunks);
}

/* --- commits --- */

static int delete_orphan(void *arg, const struct chunk_id *id)
{
	struct err e = ERR_INIT;

	good(repo_delete(arg, id, &e), &e);
	return 0;
}

static int is_owned(void *arg, const struct chunk_id *id)
{
	assert_non_null(table_get(arg, id));
	return 0;
}

static void read_by_others(struct world *w, struct table *owned)
{
	struct repo *repo = NULL;
	struct fetch *fetch = NULL;
	struct err e = ERR_INIT;
	const void *key;
	void *value;
	size_t at = 0;

	good(repo_open(&repo, &w->where, NULL, &e), &e);
	good(fetch_open(&fetch, repo, w->key, NULL, &e), &e);
	while (table_next(owned, &at, &key, &value)) {
		struct chunk_want want = { .size = 0 };
		struct chunk *chunk = NULL;
		struct chunk_id id;

		memcpy(&want.id, key, sizeof(want.id));
		good(fetch_chunk(fetch, &want, &chunk, &e), &e);
		SHA256(chunk->p, chunk->len, id.b);
		assert_true(id_equal(&id, &want.id));
		chunk_unref(chunk);
	}
	fetch_close(fetch);
	repo_close(repo);
}

/* What the last commit owned and this one does not goes, as a replaced checkpoint's does. */
static void delete_given_up(struct world *w, struct table *owned)
{
	struct err e = ERR_INIT;
	const void *key;
	void *value;
	size_t at = 0;

	while (table_next(&w->owned, &at, &key, &value))
		if (!table_get(owned, key))
			good(repo_delete(w->repo, key, &e), &e);
	table_fini(&w->owned);
	w->owned = *owned;
}

static void commit(struct world *w, struct file *files, size_t count)
{
	struct table owned;
	struct ingest_stats stats;
	struct err e = ERR_INIT;

	table_init(&owned, sizeof(struct chunk_id), sizeof(uint64_t));
	attach(w);
	ingest_hold(w->in, true);
	for (size_t i = 0; i < count; i++)
		good(staged_flush(files[i].c, false, &e), &e);
	for (size_t i = 0; i < count; i++)
		settle(w, &files[i], &owned);
	if (count > 0 && files[0].size + 2000 < FILE_MAX) /* written to behind its list */
		write_file(&files[0], files[0].size / 2, 2000);
	detach(w);
	assert_int_equal(ingest_orphans(w->in, delete_orphan, w->repo), 0);
	delete_given_up(w, &owned);
	good(repo_commit(w->repo, &e), &e);
	ingest_committed(w->in);
	ingest_stats(w->in, &stats);
	assert_int_equal(stats.stored_chunks, 0);
	repo_scan(w->repo, is_owned, &w->owned, &e);
	read_by_others(w, &w->owned);
}

/* What was not committed is gone: a file that lost something says so, every other one is as it was;
 * none has lost anything that was rescued. */
static void roll_back(struct world *w, struct file *files, size_t count)
{
	bool rescued = below(2);
	struct err e = ERR_INIT;

	detach(w);
	if (rescued)
		good(ingest_rescue(w->in, &e), &e);
	good(repo_rollback(w->repo, true, &e), &e);
	ingest_rolled_back(w->in);
	for (size_t i = 0; i < count; i++) {
		if (!rescued && staged_sync(files[i].c, &e) < 0)
			set_size(&files[i], 0);
		good(staged_sync(files[i].c, &e), &e);
		check_bytes(&files[i], 0, FILE_MAX);
	}
}

/* --- tests --- */

enum { FILES = 4 };

static void random_step(struct world *w, struct file *files, bool copies)
{
	struct file *f = &files[below(FILES)], *g = &files[below(FILES)];
	size_t off = below(FILE_MAX - 30000), len = 1 + below(below(2) ? 30000 : 600);
	size_t size = below(FILE_MAX);

	switch (below(copies ? 25 : 23)) {
	case 0:
	case 1:
	case 2:
	case 3: write_file(f, off, len); break;
	case 4:
	case 5:
	case 6:
	case 7:
	case 8:
	case 9:
	case 10:
		if (f->size + len < FILE_MAX)
			write_file(f, f->size, len);
		break;
	case 11: set_size(f, below(4) ? f->size - below(f->size / 4 + 1) : size); break;
	case 12: set_size(f, below(3) ? f->size : 0); break;
	case 13: punch(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len); break;
	case 14:
		punch(f, FALLOC_FL_ZERO_RANGE | (below(2) ? FALLOC_FL_KEEP_SIZE : 0), off, len);
		break;
	case 15: punch(f, below(2) ? FALLOC_FL_KEEP_SIZE : 0, off, len); break;
	case 16: staged_close(f->c); break;
	case 17:
		attach(w);
		settle(w, f, NULL);
		break;
	case 18: detach(w); break;
	case 19: attach(w); break;
	case 20:
		if (below(4) == 0)
			commit(w, files, FILES);
		else if (below(8) == 0)
			roll_back(w, files, FILES);
		break;
	case 23: copy(f, off, g, below(FILE_MAX - 30000), len); break;
	case 24: copy(f, 0, g, 0, below(2) ? f->size : len); break;
	default: check_bytes(f, off, len); break;
	}
}

static void random_steps(const char *params, size_t memory, bool copies)
{
	size_t steps = test_count(3000, 30000);
	struct file files[FILES];
	struct world w;

	begin(&w, params, memory, 0);
	for (size_t i = 0; i < FILES; i++)
		file_open(&w, &files[i]);
	for (size_t i = 0; i < steps; i++) {
		random_step(&w, files, copies);
		if (i % 20 == 0)
			for (size_t k = 0; k < FILES; k++)
				check_bytes(&files[k], 0, FILE_MAX);
	}
	commit(&w, files, FILES);
	for (size_t i = 0; i < FILES; i++)
		file_close(&files[i]);
	commit(&w, NULL, 0);
	assert_int_equal(w.owned.count, 0);
	end(&w);
}

static void any_order_settles_into_the_straight_cuts(void **state)
{
	static const struct {
		const char *params;
		size_t memory;
		bool copies; /* a header's chunk, copied elsewhere, is kept as it is */
	} rows[] = {
		{ "buzhash,9,13,10,63", 1 << 20, true },
		{ "buzhash,9,13,10,63", 20000, true },
		{ "buzhash,10,14,12,4095", 50000, true },
		{ "fixed,4096", 1 << 20, true },
		{ "fixed,1000", 30000, true },
		{ "fixed,3000,700", 1 << 20, false },
	};

	(void)state;
	random_state = test_seed() | 1;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		random_steps(rows[i].params, rows[i].memory, rows[i].copies);
}

/* --- one thing at a time --- */

static const char PARAMS[] = "buzhash,9,13,10,63";

enum { CHUNK_MAX = 8192, MEMORY = 1 << 20 };

static struct ingest_stats stats_of(struct world *w)
{
	struct ingest_stats stats;

	ingest_stats(w->in, &stats);
	return stats;
}

static void written_from_front_to_end(void **state)
{
	struct file f;
	struct world w;

	(void)state;
	random_state = 99;
	begin(&w, PARAMS, MEMORY, 0);
	attach(&w);
	file_open(&w, &f);
	while (f.size + 10000 < FILE_MAX) {
		write_file(&f, f.size, 1 + below(10000));
		assert_int_equal(stats_of(&w).spill_bytes, 0);
		assert_true(stats_of(&w).tail_bytes <= CHUNK_MAX);
	}
	staged_close(f.c);
	assert_int_equal(stats_of(&w).tail_bytes, 0);
	check_bytes(&f, 0, FILE_MAX);
	settle(&w, &f, NULL);
	assert_int_equal(stats_of(&w).settle_read_bytes, 0);
	check_bytes(&f, 0, FILE_MAX);
	file_close(&f);
	end(&w);
}

static void a_small_change_reads_little(void **state)
{
	struct file f;
	struct world w;
	uint64_t before;

	(void)state;
	random_state = 5;
	begin(&w, PARAMS, MEMORY, 0);
	file_open(&w, &f);
	while (f.size + 10000 < FILE_MAX)
		write_file(&f, f.size, 10000);
	commit(&w, &f, 1);
	before = stats_of(&w).settle_read_bytes;
	for (size_t at = 3000; at < f.size; at += 60000) {
		attach(&w);
		write_file(&f, at, 40);
		settle(&w, &f, NULL);
		assert_true(stats_of(&w).settle_read_bytes - before <= 6 * CHUNK_MAX);
		before = stats_of(&w).settle_read_bytes;
	}
	write_file(&f, f.size, 10); /* at the end, too */
	settle(&w, &f, NULL);
	assert_true(stats_of(&w).settle_read_bytes - before <= 3 * CHUNK_MAX);
	assert_int_equal(stats_of(&w).spill_bytes, 0);
	commit(&w, &f, 1);
	file_close(&f);
	end(&w);
}

/* A file of an archive that was cut by other rules, stored. */
static void store_source(struct world *w, struct file *f, struct item_chunk *list, size_t count)
{
	struct put_options options = { .compression = COMPRESSION_DEFAULT,
				       .slab_bytes = 65536 };
	struct put_result r;
	struct err e = ERR_INIT;
	struct put *put;

	good(put_open(&put, w->repo, w->key, w->nonces, &options, &e), &e);
	for (size_t i = 0; i < count; i++) {
		size_t len = 700 + below(500);

		make_bytes(f->model + f->size, len);
		good(put_bytes(put, (struct bytes){ f->model + f->size, len }, &e), &e);
		good(put_wait(put, i, &e), &e);
		put_result(put, i, &r);
		list[i] = (struct item_chunk){ .id = r.id, .size = r.size, .csize = r.csize };
		f->size += len;
	}
	put_close(put);
	good(repo_commit(w->repo, &e), &e);
}

/* Bytes [off, off + len) of the source, as copy_file_range(2) has them. */
static void import(struct file *f, const struct item_chunk *list, size_t count, uint64_t off,
		   uint64_t len)
{
	struct err e = ERR_INIT;
	uint64_t start = 0, end;
	size_t first = 0, last;

	while (start + list[first].size <= off)
		start += list[first++].size;
	for (last = first, end = start; end < off + len; last++)
		end += list[last].size;
	good(staged_import(f->c, off,
			   &(struct staged_import){ .chunks = list + first,
						    .count = last - first,
						    .skip = off - start,
						    .len = len,
						    .is_last = last == count },
			   false, &e),
	     &e);
}

static void expect_list(struct file *f, const struct item_chunk *list, size_t count)
{
	struct item_chunk *got;
	struct err e = ERR_INIT;
	uint64_t version;
	size_t got_count;

	good(staged_settled_chunks(f->c, &got, &got_count, &version, &e), &e);
	assert_int_equal(got_count, count);
	for (size_t i = 0; i < count; i++) {
		assert_true(id_equal(&got[i].id, &list[i].id));
		assert_int_equal(got[i].size, list[i].size);
		assert_int_equal(got[i].csize, list[i].csize);
	}
	free(got);
}

static void an_import_keeps_the_sources_cuts(void **state)
{
	enum { COUNT = 100 };
	struct item_chunk list[COUNT];
	struct file f;
	struct world w;

	(void)state;
	random_state = test_seed() | 1;
	begin(&w, PARAMS, MEMORY, 0);
	file_open(&w, &f);
	store_source(&w, &f, list, COUNT);
	for (int round = 0; round < 5; round++) {
		struct err e = ERR_INIT;
		uint64_t len;

		good(staged_truncate(f.c, 0, false, &e), &e);
		for (uint64_t off = 0; off < f.size; off += len) {
			len = 1 + below(round ? 5000 : FILE_MAX);
			if (len > f.size - off)
				len = f.size - off;
			import(&f, list, COUNT, off, len);
		}
		expect_list(&f, list,
			    COUNT); /* without a pipeline: there is nothing to store */
	}
	assert_int_equal(stats_of(&w).settle_read_bytes, 0);
	check_bytes(&f, 0, FILE_MAX);
	assert_int_equal(staged_blocks(f.c), (f.size + 511) / 512);
	file_close(&f);
	end(&w);
}

static void what_would_wait_says_so(void **state)
{
	struct content_range r;
	struct file f, g;
	struct world w;
	uint8_t byte = 1;
	struct bytes one = { &byte, 1 };
	struct err e = ERR_INIT;

	(void)state;
	begin(&w, PARAMS, MEMORY, 0);
	file_open(&w, &f);
	file_open(&w, &g);
	assert_int_equal(staged_write(f.c, 0, one, false, &e), 0);
	assert_int_equal(staged_write(f.c, 0, one, false, &e), 0);            /* in the tail */
	assert_int_equal(staged_write(f.c, 100000, one, false, &e), -EAGAIN); /* zeros */
	assert_int_equal(staged_truncate(f.c, 100000, false, &e), -EAGAIN);   /* a hole */
	assert_int_equal(staged_size(f.c), 1);
	assert_int_equal(staged_truncate(f.c, 100000, true, &e), 0);
	assert_int_equal(staged_write(f.c, 100000, one, true, &e), 0);
	assert_int_equal(staged_read(f.c, 0, 1, false, &r, &e), -EAGAIN); /* is spilled */
	assert_int_equal(staged_write(f.c, 50, one, false, &e), -EAGAIN);
	assert_int_equal(staged_read(f.c, 10, 100, false, &r, &e), 0); /* a hole */
	assert_int_equal(r.len, 100);
	content_range_fini(&r);
	attach(&w);
	assert_int_equal(staged_write(g.c, 0, one, false, &e), 0);
	staged_close(g.c);
	good(staged_settle(g.c, false, &e), &e);
	assert_int_equal(staged_read(g.c, 0, 1, false, &r, &e), -EAGAIN); /* not in the cache */
	assert_int_equal(staged_read(g.c, 0, 1, true, &r, &e), 0);
	content_range_fini(&r);
	assert_int_equal(staged_read(g.c, 0, 1, false, &r, &e), 0);
	assert_int_equal(*(uint8_t *)r.pieces[0].iov_base, 1);
	content_range_fini(&r);
	file_close(&f);
	file_close(&g);
	end(&w);
}

static uint64_t seek(struct file *f, uint64_t off, int whence)
{
	uint64_t out = 0;
	int rc = staged_seek(f->c, off, whence, false, &out);

	return rc < 0 ? (uint64_t)-rc : out;
}

static void holes_are_holes(void **state)
{
	enum { SIZE = 150000, AT = 60000, LEN = 5000 };
	struct file f;
	struct world w;

	(void)state;
	random_state = 3;
	begin(&w, PARAMS, MEMORY, 0);
	file_open(&w, &f);
	set_size(&f, SIZE);
	assert_int_equal(staged_blocks(f.c), 0);
	assert_int_equal(seek(&f, 0, SEEK_DATA), ENXIO);
	assert_int_equal(seek(&f, 0, SEEK_HOLE), 0);
	write_file(&f, AT, LEN);
	for (int settled = 0; settled < 2; settled++) {
		/* Settled, the chunks at its edges are part hole, part data. */
		size_t slack = settled ? 2 * CHUNK_MAX : 0;

		assert_true(staged_blocks(f.c) >= LEN / 512);
		assert_true(staged_blocks(f.c) <= (LEN + slack) / 512 + 1);
		assert_true(seek(&f, 0, SEEK_DATA) <= AT);
		assert_true(seek(&f, 0, SEEK_DATA) >= AT - slack);
		assert_true(seek(&f, AT, SEEK_HOLE) >= AT + LEN);
		assert_true(seek(&f, AT, SEEK_HOLE) <= AT + LEN + slack);
		assert_int_equal(seek(&f, AT + 1, SEEK_DATA), AT + 1);
		assert_int_equal(seek(&f, SIZE, SEEK_HOLE), ENXIO);
		check_bytes(&f, 0, FILE_MAX);
		attach(&w);
		settle(&w, &f, NULL);
	}
	assert_int_equal(staged_allocate(f.c, FALLOC_FL_COLLAPSE_RANGE, 0, 4096, true, NULL),
			 -EOPNOTSUPP);
	write_file(&f, f.size, 10);
	assert_int_equal(seek(&f, f.size - 5, SEEK_DATA), f.size - 5);
	assert_int_equal(seek(&f, f.size - 5, SEEK_HOLE), f.size);
	file_close(&f);
	end(&w);
}

/* A terabyte of nothing is a list like any other, and soon made. */
static void a_long_hole_settles(void **state)
{
	enum { LEN = 64 << 20 };
	struct item_chunk *list;
	struct err e = ERR_INIT;
	struct file f;
	struct world w;
	uint64_t version, sum = 0;
	size_t count;

	(void)state;
	begin(&w, "fixed,4096", MEMORY, 0);
	attach(&w);
	file_open(&w, &f);
	good(staged_truncate(f.c, LEN + 5, true, &e), &e);
	good(staged_settled_chunks(f.c, &list, &count, &version, &e), &e);
	assert_int_equal(count, LEN / 4096 + 1);
	for (size_t i = 0; i < count; i++)
		sum += list[i].size;
	assert_int_equal(sum, LEN + 5);
	assert_int_equal(stats_of(&w).stored_chunks, 2);
	assert_true(staged_blocks(f.c) <= 1);
	free(list);
	file_close(&f);
	end(&w);
}

/* --- losses --- */

static int write_noise(struct file *f, size_t len, struct err *e)
{
	uint8_t bytes[4096];
	int rc = 0;

	for (size_t done = 0; rc == 0 && done < len; done += sizeof(bytes)) {
		for (size_t i = 0; i < sizeof(bytes); i += 8)
			put_le64(bytes + i, next_random());
		rc = staged_write(f->c, staged_size(f->c),
				  (struct bytes){ bytes, sizeof(bytes) }, true, e);
	}
	return rc;
}

/* The repository is full: the writer is told, what was stored is lost with the
 * transaction unless it is rescued, what was not is kept for the next pipeline. */
static void fill_repository(bool rescued)
{
	struct file f, kept;
	struct world w;
	struct err e = ERR_INIT;
	int rc;

	random_state = 12345;
	begin(&w, PARAMS, MEMORY, 300000);
	attach(&w);
	file_open(&w, &f);
	file_open(&w, &kept);
	good(write_noise(&f, 100000, &e), &e);
	good(staged_settle(f.c, false, &e), &e); /* this much is in the transaction */
	write_file(&kept, 0, 400);               /* less than a chunk: in memory, still */
	rc = write_noise(&f, 4 << 20, &e);
	if (rc == 0)
		rc = staged_settle(f.c, false, &e);
	assert_int_equal(rc, -EDQUOT);
	assert_int_equal(staged_settle(kept.c, false, &e), -EDQUOT);
	assert_int_equal(ingest_detach(w.in, &e), -EDQUOT);
	put_close(TAKE(w.put));
	if (rescued)
		good(ingest_rescue(w.in, &e), &e);
	good(repo_rollback(w.repo, true, &e), &e);
	ingest_rolled_back(w.in);
	assert_int_equal(staged_sync(f.c, &e), rescued ? 0 : -EIO);
	assert_int_equal(
		staged_write(f.c, 0, (struct bytes){ (const uint8_t *)"x", 1 }, true, &e),
		rescued ? 0 : -EIO);
	good(staged_sync(kept.c, &e), &e);
	check_bytes(&kept, 0, FILE_MAX);
	if (rescued) { /* nothing of it goes anywhere by itself */
		attach(&w);
		assert_int_equal(stats_of(&w).under_way_bytes, 0);
		settle(&w, &kept, NULL);
	}
	set_size(&f, 0); /* forgets it, and frees what was on its way */
	good(staged_sync(f.c, &e), &e);
	write_file(&f, 0, 3000);
	attach(&w);
	settle(&w, &f, NULL);
	settle(&w, &kept, NULL);
	check_bytes(&kept, 0, FILE_MAX);
	file_close(&f);
	file_close(&kept);
	end(&w);
}

static void a_full_repository(void **state)
{
	(void)state;
	fill_repository(false);
	fill_repository(true);
}

/* What was given to a pipeline that failed goes into the next one. */
static void stranded_chunks_are_given_again(void **state)
{
	struct file f;
	struct world w;
	struct err e = ERR_INIT;

	(void)state;
	random_state = 4321;
	begin(&w, PARAMS, MEMORY, 0);
	file_open(&w, &f);
	attach(&w);
	good(repo_unlock(w.repo, &e), &e); /* whoever stores now fails */
	write_file(&f, 0, 30000);
	staged_close(f.c);
	assert_true(staged_settle(f.c, false, &e) < 0);
	assert_true(ingest_detach(w.in, &e) < 0);
	put_close(TAKE(w.put));
	check_bytes(&f, 0, FILE_MAX);
	good(repo_lock(w.repo, 0, &e), &e);
	attach(&w);
	settle(&w, &f, NULL);
	check_bytes(&f, 0, FILE_MAX);
	commit(&w, &f, 1);
	file_close(&f);
	end(&w);
}

static void a_full_spill_file(void **state)
{
	struct rlimit old, low = { 40000, 0 };
	struct file f;
	struct world w;
	struct err e = ERR_INIT;
	int rc = 0;

	(void)state;
	random_state = 31;
	begin(&w, PARAMS, 10000, 0);
	file_open(&w, &f);
	write_file(&f, 0, 30000); /* most of it is spilled: there is no pipeline */
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	low.rlim_max = old.rlim_max;
	setrlimit(RLIMIT_FSIZE, &low);
	while (rc == 0 && f.size < FILE_MAX - 5000) {
		uint8_t bytes[5000];

		make_bytes(bytes, sizeof(bytes));
		rc = staged_write(f.c, f.size, (struct bytes){ bytes, sizeof(bytes) }, true,
				  &e);
		if (rc == 0) {
			memcpy(f.model + f.size, bytes, sizeof(bytes));
			f.size += sizeof(bytes);
		}
	}
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(rc, -EFBIG);
	assert_int_equal(staged_size(f.c), f.size);
	check_bytes(&f, 0, FILE_MAX); /* what was accepted is there */
	attach(&w);
	settle(&w, &f, NULL);
	assert_int_equal(stats_of(&w).spill_bytes, 0);
	file_close(&f);
	end(&w);
}

/* A file without a name: at a commit its chunks have no owner, so they go, and it stays readable. */
static void an_evicted_file(void **state)
{
	struct file f;
	struct world w;
	struct err e = ERR_INIT;

	(void)state;
	random_state = 8;
	begin(&w, PARAMS, MEMORY, 0);
	attach(&w);
	file_open(&w, &f);
	write_file(&f, 0, 60000);
	set_size(&f, 120000);
	settle(&w, &f, NULL);
	write_file(&f, f.size, 20000);
	assert_true(stats_of(&w).stored_chunks > 0);
	good(staged_evict(f.c, &e), &e);
	commit(&w, NULL, 0);
	check_bytes(&f, 0, FILE_MAX);
	attach(&w);
	write_file(&f, f.size, 20000);
	write_file(&f, 100, 20000);
	staged_close(f.c);
	assert_int_equal(stats_of(&w).stored_chunks, 0);
	check_bytes(&f, 0, FILE_MAX);
	file_close(&f);
	end(&w);
}

/* One that is not: its chunks stay while it needs them, and go with the commit after. */
static void orphans_wait_for_their_last_user(void **state)
{
	struct file f;
	struct world w;
	struct err e = ERR_INIT;
	size_t count;

	(void)state;
	random_state = 8;
	begin(&w, PARAMS, MEMORY, 0);
	attach(&w);
	file_open(&w, &f);
	write_file(&f, 0, 60000);
	settle(&w, &f, NULL);
	count = stats_of(&w).stored_chunks;
	ingest_hold(w.in, true); /* begins a commit of which it is no part */
	detach(&w);
	assert_int_equal(ingest_orphans(w.in, delete_orphan, w.repo), 0);
	good(repo_commit(w.repo, &e), &e);
	ingest_committed(w.in);
	assert_int_equal(stats_of(&w).stored_chunks, count);
	check_bytes(&f, 0, FILE_MAX);
	detach(&w);
	good(repo_rollback(w.repo, false, &e), &e);
	ingest_rolled_back(w.in);
	good(staged_sync(f.c, &e), &e); /* it was committed, if without an owner */
	file_close(&f);
	commit(&w, NULL, 0);
	assert_int_equal(repo_scan(w.repo, is_owned, &w.owned, &e), 0);
	end(&w);
}

/* --- threads --- */

enum { RECORD = 3000, RECORDS = 20, WRITERS = 2, READERS = 2, SHARED = 2 };

struct crowd {
	struct world *w;
	struct stage_content *files[SHARED];
	_Atomic bool stop;
	_Atomic int bad;
};

struct member {
	struct crowd *crowd;
	uint64_t seed;
	pthread_t thread;
};

static uint64_t member_random(struct member *m, uint64_t n)
{
	m->seed = m->seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (m->seed >> 33) % n;
}

/* Each write makes a whole record of one byte, so no read may see two in one. */
static void *write_records(void *arg)
{
	struct member *m = arg;
	uint8_t record[RECORD];

	while (!m->crowd->stop) {
		struct stage_content *c = m->crowd->files[member_random(m, SHARED)];
		uint64_t off = member_random(m, RECORDS) * RECORD;
		struct err e = ERR_INIT;
		bool may_wait = member_random(m, 2);
		int rc;

		memset(record, (int)member_random(m, 256), sizeof(record));
		rc = staged_write(c, off, (struct bytes){ record, sizeof(record) }, may_wait,
				  &e);
		if (rc < 0 && (rc != -EAGAIN || may_wait))
			m->crowd->bad++;
		if (member_random(m, 50) == 0 && staged_truncate(c, 0, true, &e) < 0)
			m->crowd->bad++;
		if (member_random(m, 20) == 0)
			staged_close(c);
	}
	return NULL;
}

static bool is_uniform(const struct content_range *r)
{
	const uint8_t *first = r->count ? r->pieces[0].iov_base : NULL;

	for (size_t i = 0; i < r->count; i++) {
		const uint8_t *p = r->pieces[i].iov_base;

		for (size_t k = 0; k < r->pieces[i].iov_len; k++)
			if (p[k] != *first)
				return false;
	}
	return true;
}

static void *read_records(void *arg)
{
	struct member *m = arg;

	while (!m->crowd->stop) {
		struct stage_content *c = m->crowd->files[member_random(m, SHARED)];
		uint64_t off = member_random(m, RECORDS) * RECORD;
		bool may_wait = member_random(m, 2);
		struct err e = ERR_INIT;
		struct content_range r;
		int rc = staged_read(c, off, RECORD, may_wait, &r, &e);

		if (rc < 0 && (rc != -EAGAIN || may_wait))
			m->crowd->bad++;
		if (rc == 0) {
			m->crowd->bad += !is_uniform(&r);
			content_range_fini(&r);
		}
	}
	return NULL;
}

static void many_at_once(void **state)
{
	size_t rounds = test_count(8, 200);
	struct world w;
	struct crowd crowd = { .w = &w };
	struct member members[WRITERS + READERS];
	struct file files[SHARED];

	(void)state;
	begin(&w, PARAMS, 20000, 0);
	for (size_t i = 0; i < SHARED; i++) {
		file_open(&w, &files[i]);
		crowd.files[i] = files[i].c;
	}
	for (size_t i = 0; i < WRITERS + READERS; i++) {
		members[i] = (struct member){ .crowd = &crowd, .seed = i };
		assert_int_equal(pthread_create(&members[i].thread, NULL,
						i < WRITERS ? write_records : read_records,
						&members[i]),
				 0);
	}
	for (size_t i = 0; i < rounds; i++) {
		struct err e = ERR_INIT;

		attach(&w);
		for (size_t k = 0; k < 20; k++)
			good(staged_settle(crowd.files[k % SHARED], false, &e), &e);
		ingest_hold(w.in, true);
		good(staged_flush(crowd.files[0], false, &e), &e);
		detach(&w);
		usleep(2000);
	}
	crowd.stop = true;
	for (size_t i = 0; i < WRITERS + READERS; i++)
		pthread_join(members[i].thread, NULL);
	assert_int_equal(crowd.bad, 0);
	for (size_t i = 0; i < SHARED; i++)
		file_close(&files[i]);
	commit(&w, NULL, 0);
	end(&w);
}

/* As a file of the other way; its list is what that chunker cuts. */
static void settle_as(struct world *w, struct file *f, struct chunker *chunker)
{
	struct chunker *own = w->chunker;

	w->chunker = chunker;
	settle(w, f, NULL);
	w->chunker = own;
}

/* A file is cut by the chunker that it was begun with, whatever others are, until it is empty again. */
static void files_of_two_ways(void **state)
{
	static const char *const others[] = { "7,12,9,63", "6,10,7,200", "fixed,700",
					      "fixed,512,100" };

	(void)state;
	random_state = test_seed() | 1;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct chunker *chunker = NULL;
		struct chunker_params params;
		struct err e = ERR_INIT;
		struct file a, b;
		struct world w;
		uint8_t number;

		begin(&w, PARAMS, 20000, 0);
		good(chunker_params_parse(others[i], &params, &e), &e);
		good(chunker_new(&chunker, &params, 77, &e), &e);
		good(ingest_chunking(w.in, &params, &w.ways.chunking, &e), &e);
		assert_int_equal(w.ways.chunking, 1);
		good(ingest_chunking(w.in, &params, &number, &e), &e);
		assert_int_equal(number, 1);
		good(ingest_chunking(w.in, &w.params, &number, &e), &e);
		assert_int_equal(number, 0);
		file_open(&w, &b);
		w.ways.chunking = 0;
		file_open(&w, &a);
		attach(&w);
		for (size_t k = 0; k < 40; k++) {
			write_file(k % 2 ? &a : &b, below(60000), below(9000));
			if (k % 13 == 12)
				settle_as(&w, &b, chunker);
		}
		settle(&w, &a, NULL);
		settle_as(&w, &b, chunker);
		/* What has bytes stays as it is. */
		assert_int_equal(staged_rechunk(b.c, 0, true), 0);
		write_file(&b, below(60000), 9000);
		settle_as(&w, &b, chunker);
		/* A copy that is written over is a written file. */
		set_size(&b, 0);
		copy(&a, 0, &b, 0, a.size);
		good(staged_settle(b.c, false, &e), &e);
		for (size_t at = 0; at < b.size; at += 5000)
			write_file(&b, at, b.size - at < 5000 ? b.size - at : 5000);
		settle_as(&w, &b, chunker);
		check_bytes(&b, 0, b.size);
		set_size(&b, 0);
		assert_int_equal(staged_rechunk(b.c, 0, true), 0);
		write_file(&b, 0, 50000);
		settle(&w, &b, NULL);
		file_close(&a);
		file_close(&b);
		commit(&w, NULL, 0);
		chunker_free(chunker);
		end(&w);
	}
}

/* Each hole is cut by the chunker of its file. */
static void holes_of_two_ways(void **state)
{
	struct chunker *chunker = NULL;
	struct chunker_params params;
	struct err e = ERR_INIT;
	struct file files[4];
	struct world w;

	(void)state;
	begin(&w, PARAMS, 20000, 0);
	good(chunker_params_parse("fixed,300", &params, &e), &e);
	good(chunker_new(&chunker, &params, 77, &e), &e);
	for (size_t i = 0; i < 4; i++) {
		if (i == 1)
			good(ingest_chunking(w.in, &params, &w.ways.chunking, &e), &e);
		file_open(&w, &files[i]);
		w.ways.chunking = i % 2 ? 0 : 1;
	}
	attach(&w);
	for (size_t i = 0; i < 4; i++) {
		set_size(&files[i], 100001);
		if (i % 2)
			settle_as(&w, &files[i], chunker);
		else
			settle(&w, &files[i], NULL);
	}
	for (size_t i = 0; i < 4; i++)
		file_close(&files[i]);
	commit(&w, NULL, 0);
	chunker_free(chunker);
	end(&w);
}

/* The sum of what a file's chunks take. */
static uint64_t stored_size(struct file *f)
{
	struct item_chunk *chunks;
	struct err e = ERR_INIT;
	uint64_t version, sum = 0;
	size_t count;

	good(staged_settled_chunks(f->c, &chunks, &count, &version, &e), &e);
	for (size_t i = 0; i < count; i++)
		sum += chunks[i].csize;
	free(chunks);
	return sum;
}

static void write_text(struct file *f, char what)
{
	struct err e = ERR_INIT;

	memset(f->model, what, 50000);
	for (size_t i = 0; i < 50000; i += 16)
		snprintf((char *)f->model + i, 9, "%08zx", i * 2654435761u % 4294967291u);
	f->size = 50000;
	good(staged_write(f->c, 0, (struct bytes){ f->model, f->size }, true, &e), &e);
}

/* Compressed in two ways, and a file that goes on in another one. */
static void compressed_as_told(void **state)
{
	struct compression how;
	struct err e = ERR_INIT;
	struct file plain, tight, late;
	struct world w;
	uint8_t none, lzma, again;

	(void)state;
	begin(&w, "fixed,8192", 200000, 0);
	good(compression_parse("none", &how, &e), &e);
	good(ingest_compression(w.in, &how, &none, &e), &e);
	good(ingest_compression(w.in, &how, &again, &e), &e);
	assert_true(none > 0 && again == none);
	good(compression_parse("lzma,9", &how, &e), &e);
	good(ingest_compression(w.in, &how, &lzma, &e), &e);
	assert_true(lzma != none);
	w.ways.compression = none;
	file_open(&w, &plain);
	file_open(&w, &late);
	w.ways.compression = lzma;
	file_open(&w, &tight);
	attach(&w);
	write_text(&plain, 'a');
	write_text(&tight, 'b');
	assert_true(stored_size(&plain) > 50000);
	assert_true(stored_size(&tight) < 25000);
	write_text(&late, 'c');
	assert_true(stored_size(&late) > 50000);
	staged_compress(late.c, lzma); /* what is stored stays */
	assert_true(stored_size(&late) > 50000);
	write_text(&late, 'd');
	assert_true(stored_size(&late) < 25000);
	settle(&w, &late, NULL);
	file_close(&plain);
	file_close(&tight);
	file_close(&late);
	commit(&w, NULL, 0);
	end(&w);
}

static void there_is_an_end_to_ways(void **state)
{
	struct chunker_params p = { .algorithm = CHUNKER_FIXED, .block_size = 64 };
	struct err e = ERR_INIT;
	struct world w;
	uint8_t number;

	(void)state;
	begin(&w, PARAMS, 20000, 0);
	for (unsigned i = 1; i < 256; i++) {
		p.block_size = 64 + i;
		good(ingest_chunking(w.in, &p, &number, &e), &e);
		assert_int_equal(number, i);
	}
	p.block_size = 63;
	assert_int_equal(ingest_chunking(w.in, &p, &number, &e), -ENOSPC);
	p.block_size = 64 + 7;
	good(ingest_chunking(w.in, &p, &number, &e), &e);
	assert_int_equal(number, 7);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_order_settles_into_the_straight_cuts),
		cmocka_unit_test(written_from_front_to_end),
		cmocka_unit_test(a_small_change_reads_little),
		cmocka_unit_test(an_import_keeps_the_sources_cuts),
		cmocka_unit_test(what_would_wait_says_so),
		cmocka_unit_test(holes_are_holes),
		cmocka_unit_test(a_long_hole_settles),
		cmocka_unit_test(a_full_repository),
		cmocka_unit_test(stranded_chunks_are_given_again),
		cmocka_unit_test(a_full_spill_file),
		cmocka_unit_test(an_evicted_file),
		cmocka_unit_test(orphans_wait_for_their_last_user),
		cmocka_unit_test(files_of_two_ways),
		cmocka_unit_test(holes_of_two_ways),
		cmocka_unit_test(compressed_as_told),
		cmocka_unit_test(there_is_an_end_to_ways),
		cmocka_unit_test(many_at_once),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
