/*
 * test_put.c - the write pipeline over a real repository: results in the order of the calls, each
 * distinct chunk stored once, however many of them are under way at once; failures that reach the
 * caller.
 */

#include "tests/support/tap.h"

#include "core/base/io.h"
#include "core/codec/compress.h"
#include "core/repo/create.h"
#include "core/store/put.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <unistd.h>

enum { SLAB = 64 * 1024 };

struct line {
	char *dir, *path;
	struct repo *repo;
	struct key *key;
	struct nonces *nonces;
	struct put *put;
};

static uint64_t random_state;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static void begin(struct line *b, uint64_t quota)
{
	struct location where = { .proto = LOCATION_FILE };
	struct repo_creation how = { .storage_quota = quota };
	struct put_options options = { .compression = COMPRESSION_DEFAULT, .slab_bytes = SLAB };
	struct err e = ERR_INIT;

	b->dir = test_dir_make();
	b->path = path_join(b->dir, "repo");
	where.path = b->path;
	assert_int_equal(repo_create(&where, &how, &e), 0);
	assert_int_equal(repo_open(&b->repo, &where, NULL, &e), 0);
	assert_int_equal(repo_lock(b->repo, 0, &e), 0);
	assert_int_equal(key_open_plaintext(&b->key, &e), 0);
	assert_int_equal(nonces_open(&b->nonces, b->repo, b->key, 0, &e), 0);
	assert_int_equal(put_open(&b->put, b->repo, b->key, b->nonces, &options, &e), 0);
}

static void end(struct line *b)
{
	put_close(b->put);
	nonces_close(b->nonces);
	key_close(b->key);
	repo_close(b->repo);
	free(b->path);
	test_dir_remove(b->dir);
}

/* The n-th of a few contents: small ones and some larger than a batch likes. */
static size_t content(unsigned n, uint8_t *out)
{
	size_t len = n % 7 == 0 ? 20000 + n : 1 + n;

	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(n * 31 + i * (n % 5));
	return len;
}

static void check_result(struct put *put, uint64_t number, unsigned n)
{
	uint8_t bytes[32 * 1024];
	size_t len = content(n, bytes);
	struct put_result r;
	struct chunk_id want;

	put_result(put, number, &r);
	SHA256(bytes, len, want.b);
	assert_memory_equal(r.id.b, want.b, sizeof(want.b));
	assert_int_equal(r.size, len);
	assert_true(r.csize > 0);
}

static void results_come_in_order_and_chunks_are_stored_once(void **state)
{
	enum { KINDS = 200 };
	size_t count = test_count(20000, 400000);
	bool is_new[KINDS] = { 0 };
	unsigned *given = calloc(count, sizeof(*given));
	uint8_t bytes[32 * 1024];
	struct put_result r;
	struct line b;
	struct err e = ERR_INIT;

	(void)state;
	random_state = test_seed() | 1;
	begin(&b, 0);
	for (size_t i = 0; i < count; i++) {
		given[i] = (unsigned)(next_random() % KINDS);
		assert_int_equal(
			put_bytes(b.put, (struct bytes){ bytes, content(given[i], bytes) }, &e),
			0);
	}
	assert_int_equal(put_wait(b.put, count - 1, &e), 0);
	assert_int_equal(put_done(b.put), count);
	for (size_t i = 0; i < count; i++) {
		check_result(b.put, i, given[i]);
		put_result(b.put, i, &r);
		assert_false(r.is_new && is_new[given[i]]);
		is_new[given[i]] |= r.is_new;
		put_forget(b.put, i + 1);
	}
	for (unsigned n = 0; n < KINDS; n++) {
		struct chunk_id id;

		SHA256(bytes, content(n, bytes), id.b);
		assert_int_equal(repo_has(b.repo, &id, &e), is_new[n]);
	}
	free(given);
	end(&b);
}

static void chunks_in_slabs_live_until_they_are_stored(void **state)
{
	struct line b;
	struct err e = ERR_INIT;
	unsigned n = 0;

	(void)state;
	begin(&b, 0);
	for (int slabs = 0; slabs < 60; slabs++) {
		struct put_slab *s = put_slab_take(b.put);
		size_t used = 0;

		assert_non_null(s);
		while (s->cap - used > 32 * 1024) {
			size_t len = content(n++ % 150, s->p + used);

			assert_int_equal(
				put_chunk(b.put, s, (struct bytes){ s->p + used, len }, &e), 0);
			used += len;
		}
		put_slab_release(b.put, s);
	}
	assert_int_equal(put_count(b.put), n);
	assert_int_equal(put_wait(b.put, n - 1, &e), 0);
	for (unsigned i = 0; i < n; i++)
		check_result(b.put, i, i % 150);
	end(&b);
}

/* Memory of the caller's own is read where it lies, until the result is there. */
static void lent_memory_is_not_copied(void **state)
{
	enum { COUNT = 300, ROOM = 32 * 1024 };
	uint8_t *bytes = malloc((size_t)COUNT * ROOM);
	struct line b;
	struct err e = ERR_INIT;

	(void)state;
	begin(&b, 0);
	assert_false(put_would_wait(b.put));
	for (unsigned n = 0; n < COUNT; n++) {
		uint8_t *p = bytes + (size_t)n * ROOM;

		assert_int_equal(put_chunk(b.put, NULL, (struct bytes){ p, content(n, p) }, &e),
				 0);
		if (n == COUNT / 2)
			put_dispatch(b.put);
	}
	assert_int_equal(put_wait(b.put, COUNT - 1, &e), 0);
	for (unsigned n = 0; n < COUNT; n++)
		check_result(b.put, n, n);
	end(&b);
	free(bytes);
}

/* Chunks of one batch, each compressed as it says; what it was told is forgotten for the next. */
static void each_is_compressed_its_own_way(void **state)
{
	enum { COUNT = 300, LEN = 20000, FEW = 1000 };
	static const char *const specs[] = { "none", "zstd,3", "lzma,1", NULL };
	static uint8_t bytes[COUNT][LEN];
	struct line b;
	struct err e = ERR_INIT;

	(void)state;
	begin(&b, 0);
	for (unsigned i = 0; i < COUNT; i++) {
		struct compression how = COMPRESSION_DEFAULT;
		struct bytes data = { bytes[i], LEN };

		memset(bytes[i], 'a', LEN);
		snprintf((char *)bytes[i], LEN, "%u", i);
		if (!specs[i % 4]) {
			assert_int_equal(put_chunk(b.put, NULL, data, &e), 0);
			continue;
		}
		assert_int_equal(compression_parse(specs[i % 4], &how, &e), 0);
		assert_int_equal(put_chunk_as(b.put, NULL, data, &how, &e), 0);
	}
	assert_int_equal(put_wait(b.put, COUNT - 1, &e), 0);
	for (unsigned i = 0; i < COUNT; i++) {
		static const uint8_t methods[] = { 0, 3, 2, 1 };
		CLEANUP(buf_fini) struct buf object = BUF_INIT;
		struct put_result r;

		put_result(b.put, i, &r);
		assert_true(i % 4 == 0 ? r.csize > LEN : r.csize < FEW);
		assert_int_equal(repo_get(b.repo, &r.id, 0, &object, &e), 0);
		assert_int_equal(object.p[1], methods[i % 4]); /* behind the envelope */
	}
	end(&b);
}

/* What is dispatched needs no caller to come to its result. */
static void dispatched_chunks_are_done(void **state)
{
	struct line b;
	struct err e = ERR_INIT;

	(void)state;
	begin(&b, 0);
	assert_int_equal(put_bytes(b.put, (struct bytes){ (const uint8_t *)"x", 1 }, &e), 0);
	assert_int_equal(put_done(b.put), 0); /* a batch is not full of it */
	put_dispatch(b.put);
	for (int i = 0; put_done(b.put) == 0 && i < 10000; i++)
		usleep(1000);
	assert_int_equal(put_done(b.put), 1);
	end(&b);
}

static void a_failure_reaches_the_caller(void **state)
{
	uint8_t bytes[4000];
	struct line b;
	struct err e = ERR_INIT;
	int rc = 0;

	(void)state;
	random_state = 7;
	begin(&b, 100000);
	for (int i = 0; rc == 0 && i < 10000; i++) {
		for (size_t k = 0; k < sizeof(bytes); k += 8)
			put_le64(bytes + k, next_random());
		rc = put_bytes(b.put, (struct bytes){ bytes, sizeof(bytes) }, &e);
	}
	if (rc == 0)
		rc = put_wait(b.put, put_count(b.put) - 1, &e);
	assert_int_equal(rc, -EDQUOT);
	assert_string_equal(e.msgid, "Repository.StorageQuotaExceeded");
	assert_null(put_slab_take(b.put));
	assert_int_equal(put_bytes(b.put, (struct bytes){ bytes, 1 }, NULL), -EDQUOT);
	end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(results_come_in_order_and_chunks_are_stored_once),
		cmocka_unit_test(chunks_in_slabs_live_until_they_are_stored),
		cmocka_unit_test(lent_memory_is_not_copied),
		cmocka_unit_test(each_is_compressed_its_own_way),
		cmocka_unit_test(dispatched_chunks_are_done),
		cmocka_unit_test(a_failure_reaches_the_caller),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
