#ifndef CRYPTO_PAPER_KEY_H
#define CRYPTO_PAPER_KEY_H

/*
 * paper_key.h - key data as lines of hex digits with check digits, to be printed and typed in.
 *
 * Source: docs/format.md "Paper key".  Threads: no state.
 */

#include "core/base/err.h"
#include "core/base/id.h"

enum {
	PAPER_ID_DIGITS = 18,  /* of the repository id */
	PAPER_SUM_DIGITS = 12, /* of SHA-256 of the key data */
	PAPER_LINES_MAX = 65535,
};

/* Append the whole text. */
int paper_key_put(struct buf *text, const struct chunk_id *repository_id, struct bytes blob,
		  struct err *e);

struct paper_key_id {
	unsigned lines;
	char repository[PAPER_ID_DIGITS + 1];
	char sum[PAPER_SUM_DIGITS + 1];
};

enum paper_key_error {
	PAPER_FINE,
	PAPER_NOT_ONE_DASH,
	PAPER_NOT_THREE_PARTS,
	PAPER_BAD_DIGITS,
	PAPER_BAD_SUM,
};

/* What a person typed for the line behind "id: ", and for line `number`, whose bytes are appended to
 * blob.  Blanks do not matter.  A paper_key_error, or -ENOMEM. */
int paper_key_parse_id(struct bytes line, struct paper_key_id *out);
int paper_key_parse_line(struct bytes line, unsigned number, struct buf *blob);

void paper_key_repository(const struct chunk_id *id, char out[PAPER_ID_DIGITS + 1]);
void paper_key_sum(struct bytes blob, char out[PAPER_SUM_DIGITS + 1]);

#endif
