#ifndef STORE_NONCE_H
#define STORE_NONCE_H

/*
 * nonce.h - counters of AES-CTR, each handed out once and never again, by us or by Borg.
 *
 *   0 ...... used or abandoned ......|.... handed out ....|.... reserved ....|.... free ...
 *                                  start                next                end
 *
 * `end` is on disk, synced, in the repository and on this machine, before the first counter below
 * it is handed out.  So after a crash the next run begins at `end`; what is left is abandoned.
 * The file on this machine counts where somebody has set the repository back; the repository's,
 * where other machines write to it too.
 *
 * Source: docs/format.md "Counters".
 * Threads: nonces_take() from any thread.  Not shared across fork(), which would hand out twice.
 */

#include "core/crypto/key.h"
#include "core/repo/repo.h"

struct nonces;

/*
 * The repository, locked for us alone, and the key are borrowed.  manifest_next is what
 * envelope_after() says of the manifest's object; 0 where there is none.  Nothing is reserved yet,
 * and a key that does not encrypt never does.
 */
int nonces_open(struct nonces **out, struct repo *repo, const struct key *key,
		uint64_t manifest_next, struct err *e);
void nonces_close(struct nonces *n); /* does nothing for NULL */
DEFINE_CLEANUP(struct nonces *, nonces_close);

/*
 * The first of `blocks` successive counters, which are the caller's now.  Taking none succeeds and
 * reserves nothing.
 * Errors: -EBADMSG a nonce file is damaged; -EBUSY somebody else has reserved meanwhile;
 * -EOVERFLOW the counters of this key are used up; those of writing a file.  Then nothing was
 * taken, and a later call tries again.
 */
int nonces_take(struct nonces *n, uint64_t blocks, uint64_t *first, struct err *e);

#endif
