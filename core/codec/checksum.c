/* checksum.c - see checksum.h. */

#include "core/codec/checksum.h"

#include <libdeflate.h>
#include <xxhash.h>

uint32_t crc32_of(uint32_t crc, const void *p, size_t len)
{
	if (len == 0)
		return crc; /* the library takes a null pointer for a new start */
	return libdeflate_crc32(crc, p, len);
}

uint64_t xxh64_of(const void *p, size_t len)
{
	return XXH64(p, len, 0);
}

/* The library's state is the struct itself, under our name. */
static XXH64_state_t *state_of(struct xxh64 *x)
{
	return (XXH64_state_t *)x;
}

struct xxh64 *xxh64_new(void)
{
	XXH64_state_t *state = XXH64_createState();

	if (state && XXH64_reset(state, 0) != XXH_OK) {
		XXH64_freeState(state);
		return NULL;
	}
	return (struct xxh64 *)state;
}

void xxh64_update(struct xxh64 *x, const void *p, size_t len)
{
	XXH64_update(state_of(x), p, len);
}

uint64_t xxh64_digest(const struct xxh64 *x)
{
	return XXH64_digest((const XXH64_state_t *)x);
}

void xxh64_free(struct xxh64 *x)
{
	XXH64_freeState(state_of(x));
}
