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
#include <stdio.h>
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
	struct table owned; /* ids of the last commit -> uint64_t */
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
	*f = (struct file){ .c = staged_new(w->in), .model = calloc(1, FILE_MAX) };
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
		good(staged_flush(files[i].c, &e), &e);
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

/* --- tests --- */

enum { FILES = 4 };

static void random_step(struct world *w, struct file *files)
{
	struct file *f = &files[below(FILES)], *g = &files[below(FILES)];
	size_t off = below(FILE_MAX - 30000), len = 1 + below(below(2) ? 30000 : 600);
	size_t size = below(FILE_MAX);

	switch (below(24)) {
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
	case 16: copy(f, off, g, below(FILE_MAX - 30000), len); break;
	case 17: copy(f, 0, g, 0, below(2) ? f->size : len); break;
	case 18: staged_close(f->c); break;
	case 19:
		attach(w);
		settle(w, f, NULL);
		break;
	case 20: detach(w); break;
	case 21: attach(w); break;
	case 22:
		if (below(4) == 0)
			commit(w, files, FILES);
		break;
	default: check_bytes(f, off, len); break;
	}
}

static void random_steps(const char *params, size_t memory)
{
	size_t steps = test_count(3000, 30000);
	struct file files[FILES];
	struct world w;

	begin(&w, params, memory, 0);
	for (size_t i = 0; i < FILES; i++)
		file_open(&w, &files[i]);
	for (size_t i = 0; i < steps; i++) {
		random_step(&w, files);
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
	} rows[] = {
		{ "buzhash,9,13,10,63", 1 << 20 },
		{ "buzhash,9,13,10,63", 20000 },
		{ "buzhash,10,14,12,4095", 50000 },
		{ "fixed,4096", 1 << 20 },
		{ "fixed,1000", 30000 },
	};

	(void)state;
	random_state = test_seed() | 1;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		random_steps(rows[i].params, rows[i].memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_order_settles_into_the_straight_cuts),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
