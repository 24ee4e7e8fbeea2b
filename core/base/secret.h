#ifndef BASE_SECRET_H
#define BASE_SECRET_H

/*
 * secret.h - memory for keys and passphrases: locked, guarded, wiped when freed.
 *
 * Backed by libsodium's guarded heap.  A secret never reaches a log, an error or a core
 * dump; secret_setup() switches core dumps off.
 */

#include "core/base/bytes.h"
#include "core/base/cleanup.h"

struct secret {
	uint8_t *p; /* guarded memory; len bytes and a NUL behind them */
	size_t len;
};

int secret_setup(void);                     /* once, before the first secret; 0 or -errno */
struct secret *secret_new(size_t len);      /* zeroed; NULL when out of memory */
struct secret *secret_copy(struct bytes b); /* NULL when out of memory */
void secret_free(struct secret *s);         /* wipes; does nothing for NULL */
void secret_wipe(void *p, size_t len);      /* for stack copies; never optimised away */
DEFINE_CLEANUP(struct secret *, secret_free);

static inline struct bytes secret_bytes(const struct secret *s)
{
	return (struct bytes){ s->p, s->len };
}

#endif
