#ifndef CRYPTO_SHA256_PAIR_H
#define CRYPTO_SHA256_PAIR_H

/*
 * sha256_pair.h - SHA-256 of two messages at once, where the processor has SHA instructions.
 *
 * One message is a chain: each instruction waits for the one before, and the unit idles.  The
 * instructions of a second, independent message fit between.  Measured with HMAC on an EPYC that
 * had other work too: 2 MiB each, OpenSSL 1.9 GB/s and a pair 3.0; 64 bytes each, OpenSSL 0.21 us,
 * one of ours 0.13, in a pair 0.08, since no context is set up.  (tests/bench/bench_object)
 *
 * Source: FIPS 180-4; the instructions' manual pages.
 * Threads: no state.
 */

#include "core/base/bytes.h"

#include <stdbool.h>

enum { SHA256_SIZE = 32, SHA256_BLOCK = 64 }; /* bytes */

struct sha256_state {
	uint32_t h[8];
};

extern const struct sha256_state SHA256_START;

/* What follows `done` bytes that were already hashed, a multiple of SHA256_BLOCK. */
struct sha256_message {
	struct sha256_state state; /* in: after those bytes; used up by the calls below */
	uint64_t done;
	struct bytes rest;
};

/* Can this processor do it?  Where not, the functions below must not be called. */
bool sha256_pair_usable(void);

void sha256_block(struct sha256_state *s, const uint8_t block[SHA256_BLOCK]);
void sha256_one(struct sha256_message *m, uint8_t out[SHA256_SIZE]);
/* Their lengths may differ; what the longer has more is hashed alone. */
void sha256_pair(struct sha256_message m[2], uint8_t out[2][SHA256_SIZE]);
/* Any number, two at a time: where one ends, the next takes its place.  The longest first is best. */
void sha256_many(struct sha256_message *m, size_t count, uint8_t (*out)[SHA256_SIZE]);

#endif
