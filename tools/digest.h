#ifndef TOOLS_DIGEST_H
#define TOOLS_DIGEST_H

/*
 * digest.h - the content hashes of `list --format`: xxh64 and those of Python's hashlib.
 *
 * Threads: one user per digest.
 */

#include "core/base/bytes.h"
#include "core/base/cleanup.h"
#include "core/base/err.h"

struct digest;

/* The names, in the order of `list`'s help; NULL behind the last. */
const char *digest_name(size_t index);
int digest_new(struct digest **out, const char *name, struct err *e);
void digest_free(struct digest *d);
DEFINE_CLEANUP(struct digest *, digest_free);

int digest_start(struct digest *d, struct err *e);
int digest_update(struct digest *d, struct bytes data, struct err *e);
enum { DIGEST_HEX_MAX = 129 };
int digest_finish(struct digest *d, char hex[DIGEST_HEX_MAX], struct err *e);

#endif
