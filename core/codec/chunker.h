#ifndef CODEC_CHUNKER_H
#define CODEC_CHUNKER_H

/*
 * chunker.h - where Borg cuts a file into chunks.
 *
 * Two algorithms.  "buzhash" cuts where a rolling hash over a window of bytes ends in zeros, so
 * that equal content is cut equally wherever it lies; "fixed" cuts blocks of one size, after a
 * header that may have another.  The caller feeds bytes as it has them: from a file, from
 * writes into the mount; the cuts depend on the bytes alone.
 *
 *   struct chunker_scan scan = { 0 };
 *   while there are bytes:
 *           len = chunker_cut(c, &scan, bytes from the start of the present chunk, at_end)
 *           len > 0: that chunk is done, go on behind it;  0: come again with more bytes
 *
 * Source: docs/format.md "Chunkers".
 * Threads: a chunker does not change and is shared; a scan belongs to one file.
 */

#include "core/base/bytes.h"
#include "core/base/cleanup.h"
#include "core/base/err.h"

#include <stdbool.h>

enum chunker_algorithm { CHUNKER_BUZHASH, CHUNKER_FIXED };

struct chunker_params {
	enum chunker_algorithm algorithm;
	unsigned min_exp, max_exp; /* buzhash: chunks of 2^min_exp to 2^max_exp bytes ... */
	unsigned mask_bits;        /* ... 2^mask_bits on average above the minimum */
	unsigned window;           /* buzhash: bytes under the hash */
	uint32_t block_size;       /* fixed: bytes */
	uint32_t header_size;      /* fixed: bytes before the first block, 0 none */
};

/* What `create` and the item stream use unless told otherwise. */
extern const struct chunker_params CHUNKER_DEFAULT, CHUNKER_ITEMS;

/*
 * Parameters as --chunker-params takes them: "default", "buzhash,MIN,MAX,MASK,WINDOW", the same
 * without "buzhash,", "fixed,BLOCK" or "fixed,BLOCK,HEADER".
 * Errors: -EINVAL with the sentence argparse prints behind "argument --chunker-params: ".
 */
int chunker_params_parse(const char *text, struct chunker_params *out, struct err *e);

bool chunker_params_equal(const struct chunker_params *a, const struct chunker_params *b);
/* As chunker_params_parse() takes them, with the name of the algorithm. */
enum { CHUNKER_PARAMS_TEXT = 64 };
const char *chunker_params_format(const struct chunker_params *p,
				  char out[static CHUNKER_PARAMS_TEXT]);

struct chunker;
/* seed: the key's chunk_seed as 32 bits, 0 without encryption.  Fixed blocks ignore it.
 * Errors: -EINVAL parameters no chunker can have; -ENOMEM. */
int chunker_new(struct chunker **out, const struct chunker_params *p, uint32_t seed,
		struct err *e);
void chunker_free(struct chunker *c); /* does nothing for NULL */
DEFINE_CLEANUP(struct chunker *, chunker_free);

size_t chunker_max(const struct chunker *c); /* bytes of the longest chunk it makes */

/* Zeroed: at the start of a file. */
struct chunker_scan {
	uint64_t at;   /* of the present chunk's start in the file */
	size_t looked; /* buzhash: cuts below this many bytes into the chunk are ruled out */
	uint32_t hash; /* ... and the hash over the window there, unless looked is 0 */
};

/*
 * The length of the present chunk, or 0 when more bytes are needed to know, which is never the
 * answer with at_end or with chunker_max() bytes.  After a chunk the scan stands at the next.
 *
 * data starts with the present chunk and repeats what was given before 0 came back; no byte of
 * it is hashed again.  at_end: nothing follows data.  No bytes at the end are no chunk: 0.
 *
 * Ranges of a sparse file (sparse.h) are cut one by one, for fixed blocks as Borg's --sparse
 * does: the header, then each range of data and each hole behind it, at_end at the end of each,
 * and the same scan for all of them.
 */
size_t chunker_cut(const struct chunker *c, struct chunker_scan *s, struct bytes data,
		   bool at_end);

#endif
