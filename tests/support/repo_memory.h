#ifndef TESTS_REPO_MEMORY_H
#define TESTS_REPO_MEMORY_H

/*
 * repo_memory.h - the repository interface over a table, with faults to order.
 *
 * Objects are put and deleted by the test and show when repo_memory_commit() is called and the
 * reader has refreshed, as with a repository on disk.  A fault is ordered for an id: every read
 * of it fails with the code, or the first `times` do.
 * Threads: as repo.h says; the repo_memory_* functions too.
 */

#include "core/repo/repo.h"

struct repo *repo_memory_new(void); /* at transaction 0, empty; repo_close() frees */

void repo_memory_put(struct repo *r, const struct chunk_id *id, struct bytes object);
void repo_memory_delete(struct repo *r, const struct chunk_id *id);
void repo_memory_commit(struct repo *r);

enum { REPO_MEMORY_ALWAYS = -1 };
/* Reads of the id fail with -code, `times` times. */
void repo_memory_fail(struct repo *r, const struct chunk_id *id, int code, int times);
/* The next refresh fails with -code. */
void repo_memory_fail_refresh(struct repo *r, int code);
/* The record of reserved counters; at first NONCE_NONE. */
void repo_memory_set_nonce(struct repo *r, uint64_t nonce);
/* The next reservation fails with -code. */
void repo_memory_fail_nonce(struct repo *r, int code);
size_t repo_memory_reservations(struct repo *r); /* made so far */
size_t repo_memory_reads(struct repo *r);        /* objects delivered or refused so far */

#endif
