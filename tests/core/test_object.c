/*
 * test_object.c - objects of stock borg unseal to their plaintext; any changed byte is refused.
 *
 * Method: the documented object of each type of key, whole, changed in every bit, cut at every
 * byte; and objects sealed here with OpenSSL alone, of every length around the block sizes and
 * each way to be stored, one at a time and in all pairs, sound ones beside damaged ones.
 */

#include "tests/support/crypto_vectors.h"
#include "tests/support/tap.h"

#include "core/store/object.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <zlib.h>

static const char hello[] = "hello world\n";

struct fixture {
	struct key *key;
	struct unsealer *unsealer;
	struct chunk_id id;
	uint8_t *object;
	size_t len;
};

static void open_fixture(struct fixture *f, const struct crypto_vector *v)
{
	size_t blob_len, id_len;
	uint8_t *blob = unhex(v->blob, &blob_len), *id = unhex(v->chunk_id, &id_len);

	*f = (struct fixture){ 0 };
	if (v->type == KEY_PLAINTEXT)
		assert_int_equal(key_open_plaintext(&f->key, NULL), 0);
	else
		assert_int_equal(key_open_blob(&f->key, v->type,
					       (struct bytes){ blob, blob_len },
					       bytes_str("test"), false, NULL),
				 0);
	assert_int_equal(unsealer_new(&f->unsealer, f->key, NULL), 0);
	memcpy(f->id.b, id, sizeof(f->id.b));
	f->object = unhex(v->object, &f->len);
	free(blob);
	free(id);
}

static void close_fixture(struct fixture *f)
{
	unsealer_free(f->unsealer);
	key_close(f->key);
	free(f->object);
}

/* Unsealing uses an object up.  The copy ends where the object ends, so that the sanitizer sees
 * any byte beyond it. */
static uint8_t *copy_of(const uint8_t *object, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	memcpy(copy, object, len);
	return copy;
}

static int unseal(struct fixture *f, const struct chunk_id *id, size_t len, struct buf *out,
		  struct err *e)
{
	uint8_t *copy = copy_of(f->object, len);
	int rc = object_unseal(f->unsealer, id, (struct bytes){ copy, len }, 0, out, e);

	free(copy);
	return rc;
}

static void documented(const void *arg)
{
	struct fixture f;
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;
	struct chunk_id other;

	open_fixture(&f, arg);
	for (int again = 0; again < 2; again++) {
		assert_int_equal(unseal(&f, &f.id, f.len, &out, &e), 0);
		assert_int_equal(out.len, sizeof(hello) - 1);
		assert_memory_equal(out.p, hello, out.len);
	}
	for (size_t bit = 0; bit < 8 * f.len; bit++) {
		f.object[bit / 8] ^= (uint8_t)(1 << bit % 8);
		e = (struct err)ERR_INIT;
		/* A repokey repository may hold objects of the passphrase mode. */
		if (f.key->traits->type == KEY_REPOKEY && f.object[0] == KEY_PASSPHRASE)
			assert_int_equal(unseal(&f, &f.id, f.len, &out, &e), 0);
		else
			assert_int_equal(unseal(&f, &f.id, f.len, &out, &e), -EBADMSG);
		assert_true(e.code == 0 || (out.len == 0 && strlen(e.msg) > 0));
		f.object[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t cut = 0; cut < f.len; cut++) {
		assert_int_equal(unseal(&f, &f.id, cut, &out, &e), -EBADMSG);
		assert_int_equal(out.len, 0);
	}
	other = f.id;
	other.b[31] ^= 1;
	assert_int_equal(unseal(&f, &other, f.len, &out, &e), -EBADMSG);
	assert_string_equal(e.msgid, "IntegrityError");
	assert_int_equal(unseal(&f, &MANIFEST_ID, f.len, &out, &e), 0);
	buf_fini(&out);
	close_fixture(&f);
}

/* authenticated_no_key: the id cannot be checked, so any is taken. */
static void without_the_key(void **state)
{
	struct fixture f;
	struct buf out = BUF_INIT;

	(void)state;
	open_fixture(&f, &crypto_vectors[1]);
	unsealer_free(f.unsealer);
	key_close(f.key);
	f.key = NULL;
	f.unsealer = NULL;
	assert_int_equal(key_open_unchecked(&f.key, crypto_vectors[1].type, NULL), 0);
	assert_int_equal(unsealer_new(&f.unsealer, f.key, NULL), 0);
	f.id.b[0] ^= 1;
	assert_int_equal(unseal(&f, &f.id, f.len, &out, NULL), 0);
	assert_memory_equal(out.p, hello, sizeof(hello) - 1);
	buf_fini(&out);
	close_fixture(&f);
}

/* An object and how it was made. */
struct made {
	uint8_t *plain, *object;
	size_t plain_len, len;
	struct chunk_id id;
	int want;
};

enum stored { AS_IT_IS, DEFLATED, OBFUSCATED, STORED_WAYS };
enum damage { SOUND, WRONG_MAC, WRONG_TEXT, WRONG_ID, WRONG_TYPE, SHORT, DAMAGES };
enum { HEAD = 41 };

static void hmac(struct bytes key, const uint8_t *p, size_t len, uint8_t *out)
{
	unsigned n = 0;

	assert_non_null(HMAC(EVP_sha256(), key.p, (int)key.len, p, len, out, &n));
}

/* The payload of m's plaintext; returns its length. */
static size_t store(const struct made *m, enum stored how, uint8_t *to, size_t room)
{
	static const uint8_t none[2] = { 0, 0 }, obfuscate[2] = { 4, 0 };
	uLongf n = room;

	if (how == DEFLATED) {
		assert_int_equal(compress2(to, &n, m->plain, m->plain_len, 6), Z_OK);
		return n;
	}
	if (how == OBFUSCATED) {
		memcpy(to, obfuscate, 2);
		n = store(m, AS_IT_IS, to + 6, room - 6);
		put_be32(to + 2, (uint32_t)n);
		return 6 + n;
	}
	memcpy(to, none, 2);
	memcpy(to + 2, m->plain, m->plain_len);
	return 2 + m->plain_len;
}

static void make(struct made *m, const struct key *key, size_t len, enum stored how,
		 enum damage damage)
{
	EVP_CIPHER_CTX *aes = EVP_CIPHER_CTX_new();
	uint8_t counter[16] = { 0 }, *payload = malloc(len + 1024);
	int n = 0;

	*m = (struct made){ .plain = malloc(len + 1), .plain_len = len };
	m->object = malloc(len + 1024 + HEAD);
	assert_true(aes && payload && m->plain && m->object);
	for (size_t i = 0; i < len; i++)
		m->plain[i] = (uint8_t)(i * 31 + len + i / 256);
	hmac(key->id_key, m->plain, len, m->id.b);
	m->len = HEAD + store(m, how, payload, len + 1024);
	m->object[0] = (uint8_t)key->traits->type;
	put_be64(m->object + 33, 0xfffffffffffffff0u + len); /* carries into the upper half */
	memcpy(counter + 8, m->object + 33, 8);
	assert_true(EVP_EncryptInit_ex2(aes, EVP_aes_256_ctr(), key->enc_key.p, counter, NULL));
	assert_true(
		EVP_EncryptUpdate(aes, m->object + HEAD, &n, payload, (int)(m->len - HEAD)));
	hmac(key->enc_hmac_key, m->object + 33, m->len - 33, m->object + 1);
	m->want = damage == SOUND ? 0 : -EBADMSG;
	if (damage == WRONG_MAC)
		m->object[1] ^= 0x80;
	else if (damage == WRONG_TEXT)
		m->object[m->len - 1] ^= 1;
	else if (damage == WRONG_ID)
		m->id.b[7] ^= 1;
	else if (damage == WRONG_TYPE)
		m->object[0] = KEY_PLAINTEXT;
	else if (damage == SHORT)
		m->len = HEAD - 1;
	EVP_CIPHER_CTX_free(aes);
	free(payload);
}

static void check(const struct made *m, int rc, const struct buf *out, const struct err *e)
{
	assert_int_equal(rc, m->want);
	if (rc < 0) {
		assert_int_equal(out->len, 0);
		assert_int_equal(e->code, EBADMSG);
		return;
	}
	assert_int_equal(out->len, m->plain_len);
	if (out->len > 0)
		assert_memory_equal(out->p, m->plain, out->len);
}

static const size_t lengths[] = { 0, 1, 13, 14, 15, 54, 62, 64, 4096, 70001 };
enum {
	LENGTHS = sizeof(lengths) / sizeof(lengths[0]),
	SOUND_ONES = LENGTHS * STORED_WAYS,
	MADE = SOUND_ONES + (DAMAGES - 1) * STORED_WAYS,
};

static void make_all(struct made *all, const struct key *key)
{
	for (size_t i = 0; i < SOUND_ONES; i++)
		make(&all[i], key, lengths[i / STORED_WAYS], (enum stored)(i % STORED_WAYS),
		     SOUND);
	for (size_t i = SOUND_ONES; i < MADE; i++)
		make(&all[i], key, 1000, (enum stored)((i - SOUND_ONES) % STORED_WAYS),
		     (enum damage)(1 + (i - SOUND_ONES) / STORED_WAYS));
}

static void free_all(struct made *all)
{
	for (size_t i = 0; i < MADE; i++) {
		free(all[i].plain);
		free(all[i].object);
	}
}

static void one_by_one(struct unsealer *u, const struct made *all)
{
	struct buf out = BUF_INIT;

	for (size_t i = 0; i < MADE; i++)
		for (size_t hint = 0; hint <= 70001; hint += 70001) {
			struct err e = ERR_INIT;
			uint8_t *copy = copy_of(all[i].object, all[i].len);
			int rc =
				object_unseal(u, &all[i].id, (struct bytes){ copy, all[i].len },
					      hint, &out, &e);

			check(&all[i], rc, &out, &e);
			free(copy);
		}
	buf_fini(&out);
}

static void in_pairs(struct unsealer *u, const struct made *all)
{
	struct buf out[2] = { BUF_INIT, BUF_INIT };

	for (size_t n = 0; n < MADE * MADE; n++) {
		const struct made *m[2] = { &all[n / MADE], &all[n % MADE] };
		struct unseal_job jobs[2] = { 0 };
		uint8_t *copies[2];

		for (size_t i = 0; i < 2; i++) {
			copies[i] = copy_of(m[i]->object, m[i]->len);
			jobs[i] = (struct unseal_job){ .id = &m[i]->id,
						       .object = { copies[i], m[i]->len },
						       .out = &out[i] };
		}
		object_unseal_pair(u, jobs);
		for (size_t i = 0; i < 2; i++) {
			check(m[i], jobs[i].rc, &out[i], &jobs[i].err);
			free(copies[i]);
		}
	}
	buf_fini(&out[0]);
	buf_fini(&out[1]);
}

static void made_here(void **state)
{
	struct made all[MADE];
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < CRYPTO_VECTORS; i++) {
		if (crypto_vectors[i].type != KEY_REPOKEY &&
		    crypto_vectors[i].type != KEY_KEYFILE)
			continue;
		open_fixture(&f, &crypto_vectors[i]);
		make_all(all, f.key);
		one_by_one(f.unsealer, all);
		in_pairs(f.unsealer, all);
		free_all(all);
		close_fixture(&f);
	}
}

/* Pairs of every type of key, the modes without anything to interleave among them. */
static void documented_pairs(const void *arg)
{
	struct buf out[2] = { BUF_INIT, BUF_INIT };
	struct fixture f;

	open_fixture(&f, arg);
	for (size_t bad = 0; bad < 3; bad++) { /* 2: none */
		struct chunk_id ids[2] = { f.id, f.id };
		struct unseal_job jobs[2] = { 0 };
		uint8_t *copies[2];

		if (bad < 2)
			ids[bad].b[0] ^= 1;
		for (size_t i = 0; i < 2; i++) {
			copies[i] = copy_of(f.object, f.len);
			jobs[i] = (struct unseal_job){ .id = &ids[i],
						       .object = { copies[i], f.len },
						       .out = &out[i] };
		}
		object_unseal_pair(f.unsealer, jobs);
		for (size_t i = 0; i < 2; i++) {
			free(copies[i]);
			assert_int_equal(jobs[i].rc, i == bad ? -EBADMSG : 0);
			assert_int_equal(out[i].len, i == bad ? 0 : sizeof(hello) - 1);
		}
	}
	buf_fini(&out[0]);
	buf_fini(&out[1]);
	close_fixture(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_the_key),
		cmocka_unit_test(made_here),
	};
	int failed;

	if (secret_setup() < 0)
		return 1;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	failed += run_table(crypto_vectors, documented);
	failed += run_table(crypto_vectors, documented_pairs);
	return failed;
}
