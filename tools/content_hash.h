#ifndef TOOLS_CONTENT_HASH_H
#define TOOLS_CONTENT_HASH_H

/*
 * content_hash.h - the content hashes of `list --format`: xxh64 and those of Python's hashlib.
 *
 * Threads: one user each.
 */

#include "core/base/bytes.h"
#include "core/base/cleanup.h"
#include "core/base/err.h"

struct content_hash;

/* The names, in the order of `list`'s help; NULL behind the last. */
const char *content_hash_name(size_t index);
int content_hash_new(struct content_hash **out, const char *name, struct err *e);
void content_hash_free(struct content_hash *d);
DEFINE_CLEANUP(struct content_hash *, content_hash_free);

int content_hash_start(struct content_hash *d, struct err *e);
int content_hash_update(struct content_hash *d, struct bytes data, struct err *e);
enum { CONTENT_HASH_HEX = 129 };
int content_hash_finish(struct content_hash *d, char hex[CONTENT_HASH_HEX], struct err *e);

#endif
