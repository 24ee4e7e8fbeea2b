/*
 * nonce.c - see nonce.h.
 *
 * Invariants:
 * 1. start <= next <= end, and both files say `end` or more, synced, while next < end.
 * 2. A new reservation begins at the largest number known: of either file, behind the manifest, the
 *    end of our own.
 * 3. One thread at a time reserves, without the lock; the others wait for it.
 */

#include "core/store/nonce.h"

#include "core/base/io.h"
#include "core/base/thread.h"
#include "core/platform/dirs.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* Blocks of 16 bytes beyond what is needed now: 4 GiB for two small writes. */
enum { RESERVATION = 1 << 28 };

static const char machine[] = "Local security dir";

struct nonces {
	struct repo *repo;
	char *path; /* of this machine's file; NULL where nothing is encrypted */

	struct mutex lock; /* guards what follows */
	struct cond reserved;
	bool reserving;
	uint64_t next, end;
	uint64_t floor; /* nothing below it is handed out */
};

int nonces_open(struct nonces **out, struct repo *repo, const struct key *key,
		uint64_t manifest_next, struct err *e)
{
	CLEANUP(nonces_closep) struct nonces *n = calloc(1, sizeof(*n));
	CLEANUP(cleanup_freep) char *folder = NULL;
	int rc;

	if (!n)
		return err_nomem(e, "nonces");
	mutex_init(&n->lock);
	cond_init(&n->reserved);
	n->repo = repo;
	n->floor = manifest_next;
	if (key->traits->encrypts) {
		rc = dirs_security(&repo_config(repo)->id, &folder, e);
		if (rc < 0)
			return rc;
		n->path = path_join(folder, "nonce");
		if (!n->path)
			return err_nomem(e, "nonces");
	}
	*out = TAKE(n);
	return 0;
}

void nonces_close(struct nonces *n)
{
	if (!n)
		return;
	cond_fini(&n->reserved);
	mutex_fini(&n->lock);
	free(n->path);
	free(n);
}

static uint64_t larger(uint64_t known, uint64_t in_file)
{
	return in_file != NONCE_NONE && in_file > known ? in_file : known;
}

/* From the largest number known on, `blocks` and what comes cheap with them; on disk. */
static int reserve(struct nonces *n, uint64_t floor, uint64_t blocks, uint64_t *start,
		   uint64_t *end, struct err *e)
{
	uint64_t in_repo, here;
	int rc = repo_nonce_get(n->repo, &in_repo, e);

	if (rc == 0)
		rc = nonce_file_get(n->path, machine, &here, e);
	if (rc < 0)
		return rc;
	*start = larger(larger(floor, in_repo), here);
	if (blocks >= NONCE_NONE - RESERVATION || *start >= NONCE_NONE - RESERVATION - blocks)
		return err_set(e, EOVERFLOW,
			       "%s: the nonces of this key are used up: nothing can be "
			       "encrypted with it any more",
			       repo_canonical(n->repo));
	*end = *start + blocks + RESERVATION;
	rc = repo_nonce_reserve(n->repo, *end, in_repo, e);
	if (rc == 0)
		rc = nonce_file_reserve(n->path, machine, *end, here, 0600, e);
	return rc;
}

static int reserve_locked(struct nonces *n, uint64_t blocks, struct err *e)
{
	uint64_t floor = n->floor, start = 0, end = 0;
	int rc;

	n->reserving = true;
	mutex_unlock(&n->lock);
	rc = reserve(n, floor, blocks, &start, &end, e);
	mutex_lock(&n->lock);
	n->reserving = false;
	cond_broadcast(&n->reserved);
	if (rc < 0)
		return rc;
	n->next = start;
	n->end = n->floor = end;
	return 0;
}

static int take_locked(struct nonces *n, uint64_t blocks, uint64_t *first, struct err *e)
{
	while (n->end - n->next < blocks) {
		int rc = 0;

		if (n->reserving)
			cond_wait(&n->reserved, &n->lock);
		else
			rc = reserve_locked(n, blocks, e);
		if (rc < 0)
			return rc;
	}
	*first = n->next;
	n->next += blocks;
	return 0;
}

int nonces_take(struct nonces *n, uint64_t blocks, uint64_t *first, struct err *e)
{
	int rc;

	*first = 0;
	if (blocks == 0)
		return 0;
	assert(n->path);
	mutex_lock(&n->lock);
	rc = take_locked(n, blocks, first, e);
	mutex_unlock(&n->lock);
	return rc;
}
