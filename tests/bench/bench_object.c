/*
 * bench_object.c - what one core does with stored objects and with item streams.
 *
 *   bench_object [REPETITIONS]
 *
 * Objects of 2 MiB under repokey, sealed here with OpenSSL alone: incompressible ones stored as
 * they are, and half-compressible ones as lz4, unsealed one at a time (the latency of a random
 * read) and in pairs (throughput).  The same sealed by ours, ids included.  Then ids, and a million
 * items decoded by our cursor beside
 * msgpack-c.  Each figure is the best of some repetitions.
 */

#include "tests/support/repo_memory.h"
#include "tests/support/tap.h"

#include "core/codec/mp.h"
#include "core/crypto/id_hash.h"
#include "core/store/object.h"

#include <lz4.h>
#include <msgpack.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { CHUNK = 2 << 20, OBJECTS = 16, ITEMS = 100000, KEY = 32, HEAD = 41 };

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void need(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench_object: %s failed\n", what);
	exit(1);
}

/* Bytes that LZ4 cannot shorten; every other 64 of them zero where half is asked for. */
static void fill(uint8_t *p, size_t len, bool half, uint64_t seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		p[i] = half && (i / 64) % 2 ? 0 : (uint8_t)(seed >> 56);
	}
}

static struct key *new_key(void)
{
	struct key *k = calloc(1, sizeof(*k));

	need(k != NULL, "key");
	k->traits = key_traits(KEY_REPOKEY);
	k->material = secret_new(3 * (size_t)KEY);
	need(k->material != NULL, "key");
	fill(k->material->p, k->material->len, false, 1);
	k->enc_key = (struct bytes){ k->material->p, KEY };
	k->enc_hmac_key = (struct bytes){ k->material->p + KEY, KEY };
	k->id_key = (struct bytes){ k->material->p + 2 * KEY, KEY };
	return k;
}

struct sealed {
	struct chunk_id id;
	struct buf object, plain;
};

static void hmac(struct bytes key, const uint8_t *p, size_t len, uint8_t *out)
{
	unsigned n = 0;

	need(HMAC(EVP_sha256(), key.p, (int)key.len, p, len, out, &n) != NULL, "HMAC");
}

static void seal(struct sealed *s, const struct key *key, bool lz4, uint64_t seed)
{
	EVP_CIPHER_CTX *aes = EVP_CIPHER_CTX_new();
	uint8_t counter[16] = { 0 };
	struct buf payload = BUF_INIT;
	int n = CHUNK;

	need(buf_resize(&s->plain, CHUNK) == 0 && buf_resize(&payload, 2 * CHUNK) == 0,
	     "memory");
	fill(s->plain.p, CHUNK, lz4, seed);
	hmac(key->id_key, s->plain.p, CHUNK, s->id.b);
	payload.p[0] = lz4 ? 1 : 0;
	payload.p[1] = 0;
	if (lz4)
		n = LZ4_compress_default((char *)s->plain.p, (char *)payload.p + 2, CHUNK,
					 2 * CHUNK - 2);
	else
		memcpy(payload.p + 2, s->plain.p, CHUNK);
	need(buf_resize(&s->object, HEAD + 2 + (size_t)n) == 0, "memory");
	s->object.p[0] = KEY_REPOKEY;
	put_be64(s->object.p + 33, seed << 32);
	put_be64(counter + 8, seed << 32);
	need(EVP_EncryptInit_ex2(aes, EVP_aes_256_ctr(), key->enc_key.p, counter, NULL) &&
		     EVP_EncryptUpdate(aes, s->object.p + HEAD, &n, payload.p, 2 + n),
	     "AES");
	hmac(key->enc_hmac_key, s->object.p + 33, s->object.len - 33, s->object.p + 1);
	EVP_CIPHER_CTX_free(aes);
	buf_fini(&payload);
}

static void report(const char *what, double bytes, double seconds, double count)
{
	printf("%-34s %6.2f GB/s %8.0f /s\n", what, bytes / seconds * 1e-9, count / seconds);
}

static double unseal_all(struct unsealer *u, const struct sealed *s, bool pairs)
{
	struct buf out[2] = { BUF_INIT, BUF_INIT };
	struct buf objects[OBJECTS] = { 0 }; /* copies: unsealing uses them up */
	double start;

	for (size_t i = 0; i < OBJECTS; i++)
		need(buf_append(&objects[i], s[i].object.p, s[i].object.len) == 0, "memory");
	start = now();
	for (size_t i = 0; i < OBJECTS; i += 2) {
		struct unseal_job jobs[2] = { 0 };

		for (size_t j = 0; j < 2; j++) {
			jobs[j] = (struct unseal_job){ .id = &s[i + j].id,
						       .object = buf_bytes(&objects[i + j]),
						       .size_hint = CHUNK,
						       .out = &out[j] };
			if (!pairs)
				jobs[j].rc = object_unseal(u, jobs[j].id, jobs[j].object, CHUNK,
							   &out[j], &jobs[j].err);
		}
		if (pairs)
			object_unseal_pair(u, jobs);
		need(jobs[0].rc == 0 && jobs[1].rc == 0, "unseal");
	}
	start = now() - start;
	for (size_t i = 0; i < OBJECTS; i++)
		buf_fini(&objects[i]);
	buf_fini(&out[0]);
	buf_fini(&out[1]);
	return start;
}

static double best(double a, double b)
{
	return a == 0 || b < a ? b : a;
}

static void bench_unseal(const struct key *key, bool lz4, int repetitions)
{
	struct sealed s[OBJECTS] = { 0 };
	struct unsealer *u = NULL;
	double alone = 0, pairs = 0, bytes = (double)CHUNK * OBJECTS;

	need(unsealer_new(&u, key, NULL) == 0, "unsealer");
	for (size_t i = 0; i < OBJECTS; i++)
		seal(&s[i], key, lz4, i + 1);
	for (int i = 0; i < repetitions; i++) {
		alone = best(alone, unseal_all(u, s, false));
		pairs = best(pairs, unseal_all(u, s, true));
	}
	report(lz4 ? "unseal lz4 (half), alone" : "unseal stored, alone", bytes, alone,
	       OBJECTS);
	report(lz4 ? "unseal lz4 (half), in pairs" : "unseal stored, in pairs", bytes, pairs,
	       OBJECTS);
	for (size_t i = 0; i < OBJECTS; i++) {
		buf_fini(&s[i].object);
		buf_fini(&s[i].plain);
	}
	unsealer_free(u);
}

/* Id and object of each, as a writer needs them. */
static double seal_all(struct sealer *s, const struct buf *plain, bool pairs)
{
	struct buf out[2] = { BUF_INIT, BUF_INIT };
	struct buf *const both[2] = { &out[0], &out[1] };
	struct chunk_id ids[2];
	double start = now();

	for (size_t i = 0; i < OBJECTS; i += 2) {
		const struct bytes texts[2] = { buf_bytes(&plain[i]),
						buf_bytes(&plain[i + 1]) };

		if (pairs) {
			sealer_ids(s, texts, 2, ids);
			need(object_seal_many(s, texts, both, 2, NULL) == 0, "seal");
		}
		for (size_t j = 0; j < 2 && !pairs; j++) {
			sealer_id(s, texts[j], &ids[j]);
			need(object_seal(s, texts[j], both[j], NULL) == 0, "seal");
		}
	}
	start = now() - start;
	buf_fini(&out[0]);
	buf_fini(&out[1]);
	return start;
}

static void bench_seal(const struct key *key, const char *spec, bool half, int repetitions)
{
	struct repo *repo = repo_memory_new();
	struct buf plain[OBJECTS] = { 0 };
	struct nonces *nonces = NULL;
	struct sealer *s = NULL;
	struct compression how;
	double alone = 0, pairs = 0, bytes = (double)CHUNK * OBJECTS;
	char what[64];

	need(nonces_open(&nonces, repo, key, 0, NULL) == 0, "nonces");
	need(compression_parse(spec, &how, NULL) == 0, "compression");
	need(sealer_new(&s, key, &how, nonces, NULL) == 0, "sealer");
	for (size_t i = 0; i < OBJECTS; i++) {
		need(buf_resize(&plain[i], CHUNK) == 0, "memory");
		fill(plain[i].p, CHUNK, half, i + 1);
	}
	for (int i = 0; i < repetitions; i++) {
		alone = best(alone, seal_all(s, plain, false));
		pairs = best(pairs, seal_all(s, plain, true));
	}
	snprintf(what, sizeof(what), "seal %s%s, alone", spec, half ? " (half)" : "");
	report(what, bytes, alone, OBJECTS);
	snprintf(what, sizeof(what), "seal %s%s, in pairs", spec, half ? " (half)" : "");
	report(what, bytes, pairs, OBJECTS);
	for (size_t i = 0; i < OBJECTS; i++)
		buf_fini(&plain[i]);
	sealer_free(s);
	nonces_close(nonces);
	repo_close(repo);
}

static void bench_digest(const struct key *key, enum digest_engine engine, size_t size,
			 int repetitions)
{
	struct digest *d = NULL;
	struct buf data = BUF_INIT;
	uint8_t out[2][DIGEST_SIZE];
	double alone = 0, pairs = 0;
	size_t count = CHUNK / size * 2;
	char what[64];

	need(digest_new(&d, DIGEST_HMAC_SHA256, engine, key->id_key, NULL) == 0, "digest");
	need(buf_resize(&data, 2 * size) == 0, "memory");
	fill(data.p, data.len, false, 3);
	for (int i = 0; i < repetitions; i++) {
		struct digest *const both[2] = { d, d };
		const struct bytes m[2] = { { data.p, size }, { data.p + size, size } };
		double start = now();

		for (size_t n = 0; n < count; n++)
			digest_of(d, m[n & 1], out[0]);
		alone = best(alone, now() - start);
		start = now();
		for (size_t n = 0; n < count; n += 2)
			digest_pair(both, m, out);
		pairs = best(pairs, now() - start);
	}
	snprintf(what, sizeof(what), "id of %zu B, %s, alone", size,
		 engine == DIGEST_LIBRARY ? "OpenSSL" : "ours");
	report(what, (double)(count * size), alone, (double)count);
	snprintf(what, sizeof(what), "id of %zu B, %s, in pairs", size,
		 engine == DIGEST_LIBRARY ? "OpenSSL" : "ours");
	report(what, (double)(count * size), pairs, (double)count);
	digest_free(d);
	buf_fini(&data);
}

static void put(struct buf *b, const char *s)
{
	mp_put_str(b, bytes_str(s));
}

/* A regular file as Borg 1.2 writes it, with one chunk. */
static void put_item(struct buf *b, unsigned number)
{
	uint8_t id[KEY];
	char path[64];

	fill(id, sizeof(id), false, number);
	snprintf(path, sizeof(path), "home/user/project/d%03u/file%06u", number / 1000, number);
	mp_put_map(b, 13);
	put(b, "atime"), mp_put_uint(b, 1700000000000000000u + number);
	put(b, "birthtime"), mp_put_uint(b, 1700000000000000000u + number);
	put(b, "chunks"), mp_put_array(b, 1), mp_put_array(b, 3);
	mp_put_str(b, (struct bytes){ id, sizeof(id) }), mp_put_uint(b, 8), mp_put_uint(b, 52);
	put(b, "ctime"), mp_put_uint(b, 1700000000000000000u + number);
	put(b, "gid"), mp_put_uint(b, 1000);
	put(b, "group"), put(b, "user");
	put(b, "hardlink_master"), mp_put_bool(b, false);
	put(b, "mode"), mp_put_uint(b, 0100644);
	put(b, "mtime"), mp_put_uint(b, 1700000000000000000u + number);
	put(b, "path"), put(b, path);
	put(b, "size"), mp_put_uint(b, 8);
	put(b, "uid"), mp_put_uint(b, 1000);
	put(b, "user"), put(b, "user");
}

/* Every value read by its type, as item parsing does. */
static uint64_t read_value(struct mp *m)
{
	uint64_t sum = 0;
	uint32_t count;

	switch (mp_peek(m)) {
	case MP_INT: return mp_uint(m);
	case MP_STR: return mp_str(m).len;
	case MP_BOOL: return mp_bool(m);
	case MP_ARRAY:
		for (count = mp_array(m); count > 0; count--)
			sum += read_value(m);
		return sum;
	case MP_END:
	case MP_NIL:
	case MP_MAP:
	case MP_OTHER: break;
	}
	mp_skip(m);
	return 0;
}

static uint64_t cursor_reads(struct bytes stream)
{
	struct mp m = mp_read(stream);
	uint64_t sum = 0;

	while (mp_peek(&m) == MP_MAP)
		for (uint32_t pairs = mp_map(&m); pairs > 0; pairs--) {
			sum += mp_str(&m).len;
			sum += read_value(&m);
		}
	need(mp_ok(&m), "cursor");
	return sum;
}

static uint64_t cursor_skips(struct bytes stream)
{
	struct mp m = mp_read(stream);
	uint64_t count = 0;

	for (; mp_peek(&m) == MP_MAP; count++)
		mp_skip(&m);
	need(mp_ok(&m), "cursor");
	return count;
}

static uint64_t msgpack_c(struct bytes stream)
{
	msgpack_unpacked item;
	size_t off = 0;
	uint64_t sum = 0;

	msgpack_unpacked_init(&item);
	while (msgpack_unpack_next(&item, (const char *)stream.p, stream.len, &off) ==
	       MSGPACK_UNPACK_SUCCESS)
		sum += item.data.via.map.size;
	msgpack_unpacked_destroy(&item);
	return sum;
}

static void bench_items(int repetitions)
{
	static const struct {
		const char *name;
		uint64_t (*decode)(struct bytes stream);
	} ways[] = { { "items, cursor reads", cursor_reads },
		     { "items, cursor skips", cursor_skips },
		     { "items, msgpack-c", msgpack_c } };
	struct buf stream = BUF_INIT;

	for (unsigned i = 0; i < ITEMS; i++)
		put_item(&stream, i);
	for (size_t w = 0; w < sizeof(ways) / sizeof(ways[0]); w++) {
		double took = 0;

		for (int i = 0; i < repetitions; i++) {
			double start = now();

			need(ways[w].decode(buf_bytes(&stream)) > 0, "decoding");
			took = best(took, now() - start);
		}
		report(ways[w].name, (double)stream.len, took, ITEMS);
	}
	buf_fini(&stream);
}

int main(int argc, char **argv)
{
	int repetitions = argc > 1 ? atoi(argv[1]) : 10;
	struct key *key;
	char *base;

	need(secret_setup() == 0, "secret memory");
	key = new_key();
	bench_unseal(key, false, repetitions);
	bench_unseal(key, true, repetitions);
	base = test_dir_make(); /* this machine's record of counters */
	setenv("BORG_BASE_DIR", base, 1);
	bench_seal(key, "none", false, repetitions);
	bench_seal(key, "lz4", false, repetitions);
	bench_seal(key, "lz4", true, repetitions);
	bench_seal(key, "zstd,3", true, repetitions);
	test_dir_remove(base);
	bench_digest(key, DIGEST_LIBRARY, CHUNK, repetitions);
	bench_digest(key, DIGEST_FASTEST, CHUNK, repetitions);
	bench_digest(key, DIGEST_LIBRARY, 64, repetitions);
	bench_digest(key, DIGEST_FASTEST, 64, repetitions);
	bench_items(repetitions);
	key_close(key);
	return 0;
}
