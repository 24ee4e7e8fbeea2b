#ifndef STORE_PUT_H
#define STORE_PUT_H

/*
 * put.h - the write pipeline: plaintext chunks in, ids out, each distinct one stored once.
 *
 *   caller -> batches -> workers: id, known?, compress, encrypt, authenticate -> one appender, in
 *   the order of the calls -> results, in that order
 *
 * A chunk is known if the repository's index of this transaction has it, and nothing else.  Looking
 * it up and marking it as under way are one step, so equal chunks under way are stored once.
 * Memory is bounded: whoever is too fast waits.
 *
 * A failure stops the pipeline; every later call returns it.  What was stored before stays in
 * the transaction, for the session to commit or roll back.
 *
 * Threads: one caller; workers and the appender are inside.  put_done(), put_result(), put_forget()
 * and put_failure() from any thread, and put_wait() too for what was dispatched.
 */

#include "core/crypto/key.h"
#include "core/repo/repo.h"
#include "core/store/object.h"

struct put;

struct put_options {
	struct compression compression;
	unsigned threads;  /* 0: one per processor */
	size_t slab_bytes; /* room of a slab: at least the longest chunk */
};

/* The repository is locked for writing; it, key and nonces are borrowed. */
int put_open(struct put **out, struct repo *repo, const struct key *key, struct nonces *nonces,
	     const struct put_options *options, struct err *e);
/* Waits for what is under way.  Does nothing for NULL. */
void put_close(struct put *p);
DEFINE_CLEANUP(struct put *, put_close);

/* --- memory to read into --- */

/* Chunks are given where they lie: in slabs that live until the last of their chunks is stored. */
struct put_slab {
	uint8_t *p;
	size_t cap;
};

/* Blocks until there is one.  NULL: out of memory, or the pipeline has failed. */
struct put_slab *put_slab_take(struct put *p);
void put_slab_release(struct put *p, struct put_slab *s); /* does nothing for NULL */

/* What has stopped the pipeline, as a negative errno; -ENOMEM where nothing has. */
int put_failure(struct put *p, struct err *e);

/* --- chunks --- */

/*
 * The next chunk, in the slab; its number is that of the calls before it.  `data` does not change
 * before its result is there.  Without a slab (NULL) it is the caller's own memory, which stays until
 * then, or until put_close().
 */
int put_chunk(struct put *p, struct put_slab *s, struct bytes data, struct err *e);
/* The same, compressed otherwise than the options say; how is copied. */
int put_chunk_as(struct put *p, struct put_slab *s, struct bytes data,
		 const struct compression *how, struct err *e);
/* The same for bytes that lie elsewhere: they are copied. */
int put_bytes(struct put *p, struct bytes data, struct err *e);

uint64_t put_count(const struct put *p); /* chunks given: the number of the next one */
/* Would the next chunk have to wait for room? */
bool put_would_wait(struct put *p);
/* What was given goes to the workers now, however little it is. */
void put_dispatch(struct put *p);

struct put_result {
	struct chunk_id id;
	uint32_t size;  /* plaintext */
	uint32_t csize; /* stored object */
	bool is_new;    /* stored by this call */
};

/* Chunks with numbers below have results.  Never waits. */
uint64_t put_done(struct put *p);
/* Until the chunk with this number has a result. */
int put_wait(struct put *p, uint64_t number, struct err *e);
/* The result of a chunk that is done and not forgotten. */
void put_result(struct put *p, uint64_t number, struct put_result *out);
/* Those below will not be asked for again. */
void put_forget(struct put *p, uint64_t number);

#endif
