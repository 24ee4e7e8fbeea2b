/*
 * test_sealer.c - what is sealed is what stock borg seals, under counters of its own.
 *
 * Method: the documented object of each type of key, made again byte for byte from its plaintext
 * and its first counter, alone and in a pair; what a pair holds beside it, and objects of every
 * length around the block sizes, opened again and their counters compared.
 */

#include "tests/support/crypto_vectors.h"
#include "tests/support/repo_memory.h"
#include "tests/support/tap.h"

#include "core/crypto/envelope.h"
#include "core/store/object.h"

static const char hello[] = "hello world\n";

enum { IV_AT = 33, ENVELOPE = 41, BLOCK = 16 };

struct fixture {
	const struct crypto_vector *vector;
	struct key *key;
	struct repo *repo;
	struct nonces *nonces;
	struct sealer *sealer;
	struct unsealer *unsealer;
	uint8_t *object; /* the documented one */
	size_t len;
	struct chunk_id id;
	uint64_t iv;
};

static char *base;

/* Nobody else has been here: Borg's environment is a folder of its own for each fixture. */
static void open_fixture(struct fixture *f, const struct crypto_vector *v, const char *spec)
{
	struct compression how;
	size_t blob_len, id_len;
	uint8_t *blob = unhex(v->blob, &blob_len), *id = unhex(v->chunk_id, &id_len);

	*f = (struct fixture){ .vector = v };
	base = test_dir_make();
	setenv("BORG_BASE_DIR", base, 1);
	if (v->type == KEY_PLAINTEXT)
		assert_int_equal(key_open_plaintext(&f->key, NULL), 0);
	else
		assert_int_equal(key_open_blob(&f->key, v->type,
					       (struct bytes){ blob, blob_len },
					       bytes_str("test"), false, NULL),
				 0);
	f->object = unhex(v->object, &f->len);
	memcpy(f->id.b, id, sizeof(f->id.b));
	f->iv = f->key->traits->encrypts ? get_be64(f->object + IV_AT) : 0;
	f->repo = repo_memory_new();
	assert_int_equal(nonces_open(&f->nonces, f->repo, f->key, f->iv, NULL), 0);
	assert_int_equal(compression_parse(spec, &how, NULL), 0);
	assert_int_equal(sealer_new(&f->sealer, f->key, &how, f->nonces, NULL), 0);
	assert_int_equal(unsealer_new(&f->unsealer, f->key, NULL), 0);
	free(blob);
	free(id);
}

static void close_fixture(struct fixture *f)
{
	sealer_free(f->sealer);
	unsealer_free(f->unsealer);
	nonces_close(f->nonces);
	repo_close(f->repo);
	key_close(f->key);
	free(f->object);
	test_dir_remove(base);
}

static void check_documented(const struct fixture *f, const struct buf *object)
{
	assert_int_equal(object->len, f->len);
	assert_memory_equal(object->p, f->object, f->len);
}

static void documented(const void *arg)
{
	struct buf out = BUF_INIT;
	struct chunk_id id;
	struct fixture f;

	open_fixture(&f, arg, "none");
	sealer_id(f.sealer, bytes_str(hello), &id);
	assert_memory_equal(id.b, f.id.b, sizeof(id.b));
	assert_int_equal(buf_append_str(&out, "of before"), 0);
	assert_int_equal(object_seal(f.sealer, bytes_str(hello), &out, NULL), 0);
	check_documented(&f, &out);
	assert_int_equal(repo_memory_reservations(f.repo), f.key->traits->encrypts);
	buf_fini(&out);
	close_fixture(&f);
}

static void check_plain(struct fixture *f, struct bytes plain, struct buf *object)
{
	struct buf back = BUF_INIT;
	struct chunk_id id;

	sealer_id(f->sealer, plain, &id);
	assert_int_equal(object_unseal(f->unsealer, &id, buf_bytes(object), 0, &back, NULL), 0);
	assert_int_equal(back.len, plain.len);
	assert_memory_equal(plain.len ? back.p : plain.p, plain.p, plain.len);
	buf_fini(&back);
}

/* First or second of a pair, it is the same object where it has the same counter. */
static void documented_in_a_pair(const void *arg)
{
	const struct bytes other = bytes_str("another chunk, of two blocks");
	struct buf out[2] = { BUF_INIT, BUF_INIT };
	struct buf *const both[2] = { &out[0], &out[1] };
	struct chunk_id ids[2];
	struct fixture f;

	for (size_t at = 0; at < 2; at++) {
		struct bytes plain[2] = { other, other };

		open_fixture(&f, arg, "none");
		plain[at] = bytes_str(hello);
		if (at == 1 && f.key->traits->encrypts) { /* the other one takes two before */
			nonces_close(f.nonces);
			sealer_free(f.sealer);
			assert_int_equal(nonces_open(&f.nonces, f.repo, f.key, f.iv - 2, NULL),
					 0);
			assert_int_equal(sealer_new(&f.sealer, f.key,
						    &(struct compression){ 0 }, f.nonces, NULL),
					 0);
		}
		sealer_ids(f.sealer, plain, 2, ids);
		assert_memory_equal(ids[at].b, f.id.b, sizeof(f.id.b));
		assert_int_equal(object_seal_many(f.sealer, plain, both, 2, NULL), 0);
		check_documented(&f, &out[at]);
		check_plain(&f, other, &out[1 - at]);
		close_fixture(&f);
	}
	buf_fini(&out[0]);
	buf_fini(&out[1]);
}

static void fill(struct buf *b, size_t len)
{
	assert_int_equal(buf_resize(b, len), 0);
	for (size_t i = 0; i < len; i++)
		b->p[i] = (uint8_t)(i * 31 + len + i / 256);
}

/* Counters in the order of sealing touch, and none is used twice. */
static void check_counters(struct fixture *f, const struct buf *object)
{
	if (!f->key->traits->encrypts)
		return;
	assert_int_equal(get_be64(object->p + IV_AT), f->iv);
	f->iv += (object->len - ENVELOPE + BLOCK - 1) / BLOCK;
}

static void lengths(const void *arg)
{
	static const size_t lens[] = { 0,  1,  13, 14,  15,  29,   30,    31,
				       63, 64, 65, 127, 128, 4096, 65536, 300000 };
	struct buf plain[2] = { BUF_INIT, BUF_INIT }, out[2] = { BUF_INIT, BUF_INIT };
	struct buf *const both[2] = { &out[0], &out[1] };
	struct fixture f;

	open_fixture(&f, arg, "lz4");
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
		for (size_t j = 0; j < sizeof(lens) / sizeof(lens[0]); j++) {
			struct bytes texts[2];

			fill(&plain[0], lens[i]);
			fill(&plain[1], lens[j]);
			texts[0] = buf_bytes(&plain[0]);
			texts[1] = buf_bytes(&plain[1]);
			if (j == 0) {
				assert_int_equal(object_seal(f.sealer, texts[0], &out[0], NULL),
						 0);
				check_counters(&f, &out[0]);
				check_plain(&f, texts[0], &out[0]);
			}
			assert_int_equal(object_seal_many(f.sealer, texts, both, 2, NULL), 0);
			for (size_t k = 0; k < 2; k++) {
				check_counters(&f, &out[k]);
				check_plain(&f, texts[k], &out[k]);
			}
		}
	assert_int_equal(repo_memory_reservations(f.repo), f.key->traits->encrypts);
	for (size_t k = 0; k < 2; k++) {
		buf_fini(&plain[k]);
		buf_fini(&out[k]);
	}
	close_fixture(&f);
}

/* The counter after an object, by Borg's generous reckoning: blocks of all its bytes. */
static void after(const void *arg)
{
	struct fixture f;
	uint64_t next = 1;

	open_fixture(&f, arg, "none");
	assert_int_equal(envelope_after(f.key, (struct bytes){ f.object, f.len }, &next, NULL),
			 0);
	if (f.key->traits->encrypts) {
		assert_int_equal(f.len, 55);
		assert_int_equal(next, f.iv + 4);
		memset(f.object + IV_AT, 0xff, 8);
		assert_int_equal(
			envelope_after(f.key, (struct bytes){ f.object, f.len }, &next, NULL),
			0);
		assert_true(next == UINT64_MAX);
		assert_int_equal(envelope_after(f.key, (struct bytes){ f.object, ENVELOPE - 1 },
						&next, NULL),
				 -EBADMSG);
	} else {
		assert_int_equal(next, 0);
	}
	f.object[0] ^= 0x10;
	assert_int_equal(envelope_after(f.key, (struct bytes){ f.object, f.len }, &next, NULL),
			 -EBADMSG);
	assert_int_equal(envelope_after(f.key, (struct bytes){ f.object, 0 }, &next, NULL),
			 -EBADMSG);
	close_fixture(&f);
}

static void blocks(void **state)
{
	static const struct {
		size_t len;
		uint64_t blocks;
	} rows[] = { { 0, 0 }, { 1, 1 }, { 16, 1 }, { 17, 2 }, { 2097154, 131073 } };

	(void)state;
	for (size_t v = 0; v < CRYPTO_VECTORS; v++) {
		struct fixture f;

		open_fixture(&f, &crypto_vectors[v], "none");
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
			assert_int_equal(envelope_blocks(f.key, rows[i].len),
					 f.key->traits->encrypts ? rows[i].blocks : 0);
		assert_int_equal(envelope_head(f.key), f.key->traits->encrypts ? ENVELOPE : 1);
		close_fixture(&f);
	}
}

static const struct crypto_vector *vector_of(uint8_t type)
{
	size_t i = 0;

	while (crypto_vectors[i].type != type)
		i++;
	return &crypto_vectors[i];
}

/* An object that may be as large as one can be, and one byte more. */
static void largest(void **state)
{
	static const struct {
		uint8_t type;
		size_t around; /* head, and the method's id */
	} rows[] = { { KEY_PLAINTEXT, 3 }, { KEY_REPOKEY, ENVELOPE + 2 } };
	struct buf plain = BUF_INIT, out = BUF_INIT;
	struct err e = ERR_INIT;
	struct fixture f;

	(void)state;
	assert_int_equal(buf_resize(&plain, OBJECT_DATA_MAX), 0);
	memset(plain.p, 0, plain.len);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bytes most = { plain.p, OBJECT_DATA_MAX - rows[i].around };
		struct bytes both[2] = { bytes_str(hello), { plain.p, most.len + 1 } };
		struct buf small = BUF_INIT, *const outs[2] = { &small, &out };

		open_fixture(&f, vector_of(rows[i].type), "none");
		assert_int_equal(object_seal(f.sealer, most, &out, NULL), 0);
		assert_int_equal(out.len, OBJECT_DATA_MAX);
		assert_int_equal(object_seal(f.sealer, both[1], &out, &e), -EFBIG);
		assert_string_equal(e.msgid, "IntegrityError");
		assert_int_equal(out.len, 0);
		assert_int_equal(object_seal_many(f.sealer, both, outs, 2, NULL), -EFBIG);
		assert_int_equal(out.len + small.len, 0);
		buf_fini(&small);
		close_fixture(&f);
	}
	buf_fini(&plain);
	buf_fini(&out);
}

/* Nothing leaves that was not given a counter. */
static void no_counter(void **state)
{
	struct buf out[2] = { BUF_INIT, BUF_INIT };
	struct buf *const both[2] = { &out[0], &out[1] };
	const struct bytes plain[2] = { bytes_str(hello), bytes_str(hello) };
	struct fixture f;

	(void)state;
	open_fixture(&f, vector_of(KEY_REPOKEY), "none");
	repo_memory_fail_nonce(f.repo, ENOSPC);
	assert_int_equal(object_seal(f.sealer, plain[0], &out[0], NULL), -ENOSPC);
	assert_int_equal(out[0].len, 0);
	repo_memory_fail_nonce(f.repo, EIO);
	assert_int_equal(object_seal_many(f.sealer, plain, both, 2, NULL), -EIO);
	assert_int_equal(out[0].len + out[1].len, 0);
	assert_int_equal(object_seal(f.sealer, plain[0], &out[0], NULL), 0);
	check_documented(&f, &out[0]);
	buf_fini(&out[0]);
	buf_fini(&out[1]);
	close_fixture(&f);
}

/* authenticated_no_key reads, but cannot name what it would write. */
static void without_the_key(void **state)
{
	struct key *key = NULL;
	struct sealer *s = NULL;

	(void)state;
	assert_int_equal(key_open_unchecked(&key, KEY_AUTHENTICATED, NULL), 0);
	assert_int_equal(sealer_new(&s, key, &COMPRESSION_DEFAULT, NULL, NULL), -EINVAL);
	assert_null(s);
	key_close(key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks),
		cmocka_unit_test(largest),
		cmocka_unit_test(no_counter),
		cmocka_unit_test(without_the_key),
	};
	int failed;

	if (secret_setup() < 0)
		return 1;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	unsetenv("BORG_CONFIG_DIR");
	unsetenv("BORG_SECURITY_DIR");
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	failed += run_table(crypto_vectors, documented);
	failed += run_table(crypto_vectors, documented_in_a_pair);
	failed += run_table(crypto_vectors, lengths);
	failed += run_table(crypto_vectors, after);
	return failed;
}
