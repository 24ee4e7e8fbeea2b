#ifndef TESTS_STORE_DOUBLE_H
#define TESTS_STORE_DOUBLE_H

/*
 * store_double.h - a repository and a codec made of numbers, in place of the real ones.
 *
 * Chunk n has an id, a size and bytes that follow from n.  A test says for a number what happens
 * when it is asked for, and reads how often that was.  The functions defined here take the
 * place of repo.c and object.c in the test that includes this file, once.
 */

#include "core/repo/repo.h"
#include "core/store/object.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { NUMBERS = 8192 };

enum fate {
	FATE_GOOD,
	FATE_MISSING,
	FATE_DAMAGED,
	FATE_STALE, /* damaged until asked for from fresh files */
};

static struct number {
	_Atomic enum fate fate;
	atomic_uint asked, fresh; /* how often */
	size_t size;
} numbers[NUMBERS];

static atomic_uint requests;       /* calls of repo_get_many() and repo_get() */
static atomic_uint delay_us;       /* longest delay of an object, by its number */
static atomic_bool gate;           /* requests wait as long as it is set */
static atomic_size_t plain_bytes;  /* made by the codec in all */
static atomic_uint order[NUMBERS]; /* the numbers in the order in which they were asked for */
static atomic_uint order_count;

static inline uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 31)) * 0x9e3779b97f4a7c15u;
	return x ^ (x >> 29);
}

static inline struct chunk_id number_id(uint64_t n)
{
	struct chunk_id id = { { 0 } };

	put_le64(id.b, n);
	put_le64(id.b + 8, mix(n));
	return id;
}

static inline uint64_t id_number(const struct chunk_id *id)
{
	return get_le64(id->b);
}

static inline uint8_t byte_of(uint64_t n, size_t at)
{
	return (uint8_t)(n * 31 + at * 7 + (at >> 8));
}

static inline void expect_plain(uint64_t n, const uint8_t *p, size_t len)
{
	assert_int_equal(len, numbers[n].size);
	for (size_t i = 0; i < len; i += 1 + len / 64)
		assert_int_equal(p[i], byte_of(n, i));
}

/* All numbers good, with sizes from 1 to max. */
static inline void numbers_reset(uint64_t seed, size_t max)
{
	for (uint64_t n = 0; n < NUMBERS; n++) {
		atomic_store(&numbers[n].fate, FATE_GOOD);
		atomic_store(&numbers[n].asked, 0);
		atomic_store(&numbers[n].fresh, 0);
		numbers[n].size = 1 + (size_t)(mix(seed + n) % max);
	}
	atomic_store(&requests, 0);
	atomic_store(&delay_us, 0);
	atomic_store(&gate, false);
	atomic_store(&order_count, 0);
}

static int stored(const struct chunk_id *id, bool fresh, uint8_t object[8], struct err *e)
{
	uint64_t n = id_number(id);
	struct number *number = &numbers[n];
	enum fate fate = atomic_load(&number->fate);
	unsigned most = atomic_load(&delay_us);

	atomic_fetch_add(fresh ? &number->fresh : &number->asked, 1);
	atomic_store(&order[atomic_fetch_add(&order_count, 1) % NUMBERS], (unsigned)n);
	while (atomic_load(&gate))
		usleep(100);
	if (most)
		usleep((unsigned)(mix(n) % most));
	if (fate == FATE_MISSING)
		return err_set(e, ENOENT, "no such object");
	put_le64(object, fate == FATE_DAMAGED || (fate == FATE_STALE && !fresh) ? n + 1 : n);
	return 0;
}

int repo_get(struct repo *r, const struct chunk_id *id, unsigned flags, struct buf *out,
	     struct err *e)
{
	int rc;

	(void)r;
	atomic_fetch_add(&requests, 1);
	rc = buf_resize(out, 8);
	return rc < 0 ? rc : stored(id, flags & REPO_GET_FRESH, out->p, e);
}

int repo_get_many(struct repo *r, const struct chunk_id *ids, size_t count,
		  repo_deliver *deliver, void *arg, struct err *e)
{
	(void)r;
	(void)e;
	atomic_fetch_add(&requests, 1);
	for (size_t i = 0; i < count; i++) {
		uint8_t object[8];
		struct err why = ERR_INIT;
		int rc = stored(&ids[i], false, object, &why);

		rc = deliver(arg, i, rc, (struct bytes){ object, rc < 0 ? 0 : 8 }, &why);
		memset(object, 0xee, sizeof(object)); /* it was only lent */
		if (rc != 0)
			return rc;
	}
	return 0;
}

struct unsealer {
	atomic_bool busy;
};

int unsealer_new(struct unsealer **out, const struct key *key, struct err *e)
{
	(void)key;
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : err_nomem(e, "unsealer");
}

void unsealer_free(struct unsealer *u)
{
	free(u);
}

int object_unseal(struct unsealer *u, const struct chunk_id *id, struct bytes object,
		  size_t size_hint, struct buf *out, struct err *e)
{
	uint64_t n = id_number(id);

	(void)size_hint;
	assert_false(atomic_exchange(&u->busy, true)); /* one user at a time */
	if (object.len != 8 || get_le64(object.p) != n) {
		atomic_store(&u->busy, false);
		return err_set(e, EBADMSG, "not authentic");
	}
	if (buf_resize(out, numbers[n].size) < 0) {
		atomic_store(&u->busy, false);
		return -ENOMEM;
	}
	for (size_t i = 0; i < out->len; i++)
		out->p[i] = byte_of(n, i);
	atomic_fetch_add(&plain_bytes, out->len);
	atomic_store(&u->busy, false);
	return 0;
}

void object_unseal_pair(struct unsealer *u, struct unseal_job jobs[2])
{
	for (int i = 0; i < 2; i++)
		jobs[i].rc = object_unseal(u, jobs[i].id, jobs[i].object, jobs[i].size_hint,
					   jobs[i].out, &jobs[i].err);
}

#endif
