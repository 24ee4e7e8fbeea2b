#ifndef BASE_ID_H
#define BASE_ID_H

/*
 * id.h - the 32-byte name of a chunk.
 *
 * The manifest's id is all zero; it is the one object that is not named by its content.
 */

#include "core/base/bytes.h"

#include <stdbool.h>

enum { CHUNK_ID_SIZE = 32, CHUNK_ID_HEX = 2 * CHUNK_ID_SIZE + 1 /* with the NUL */ };

struct chunk_id {
	uint8_t b[CHUNK_ID_SIZE];
};

extern const struct chunk_id MANIFEST_ID;

static inline bool id_equal(const struct chunk_id *a, const struct chunk_id *b)
{
	return memcmp(a->b, b->b, CHUNK_ID_SIZE) == 0;
}

static inline int id_compare(const struct chunk_id *a, const struct chunk_id *b)
{
	return memcmp(a->b, b->b, CHUNK_ID_SIZE);
}

/* 64 lower-case hex digits and a NUL; returns out. */
const char *id_hex(const struct chunk_id *id, char out[CHUNK_ID_HEX]);
/* From exactly 64 hex digits; 0 or -EINVAL. */
int id_parse(struct chunk_id *out, struct bytes hex);

#endif
