#ifndef CODEC_CHECKSUM_H
#define CODEC_CHECKSUM_H

/*
 * checksum.h - CRC-32 (zlib polynomial) of segment entries, XXH64 of index and hints.
 *
 * Source: docs/format.md "Segments", "Integrity data".  Threads: no state.
 */

#include "core/base/bytes.h"

uint32_t crc32_of(uint32_t crc, const void *p, size_t len); /* start with 0, then chain */
uint64_t xxh64_of(const void *p, size_t len);               /* seed 0, of one run of bytes */

/* XXH64 over a stream in pieces. */
struct xxh64;
struct xxh64 *xxh64_new(void); /* NULL when out of memory */
void xxh64_update(struct xxh64 *x, const void *p, size_t len);
uint64_t xxh64_digest(const struct xxh64 *x);
void xxh64_free(struct xxh64 *x);

#endif
