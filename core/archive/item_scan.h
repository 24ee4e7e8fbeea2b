#ifndef ARCHIVE_ITEM_SCAN_H
#define ARCHIVE_ITEM_SCAN_H

/*
 * item_scan.h - records out of the pieces of an item stream, some of which may be lost.
 *
 *   item_scan_feed(s, piece); while ((rc = item_scan_next(s, &value)) == 1) ...
 *   behind a lost piece, or where rc is -EBADMSG: item_scan_resync(s)
 *
 * Source: docs/format.md "Resynchronisation in a damaged item stream".
 * Threads: one user.
 */

#include "core/base/bytes.h"

#include <stdint.h>

struct item_scan {
	const struct bytes *item_keys; /* what a record may begin with */
	size_t item_key_count;
	struct buf data;
	size_t at;   /* of what was not given out yet, in data */
	size_t want; /* more bytes than these are needed for another try */
	bool resync;
	uint64_t work; /* bytes that may still be looked at while looking for a record */
};

void item_scan_init(struct item_scan *s, const struct bytes *item_keys, size_t count);
void item_scan_fini(struct item_scan *s);

int item_scan_feed(struct item_scan *s, struct bytes piece); /* 0 or -ENOMEM */
/* Forget what was fed, and begin with the first record that is found in what follows. */
void item_scan_resync(struct item_scan *s);
/* 1: *value is the next whole value, valid until the next call; 0: feed more; -EBADMSG: no value
 * begins here. */
int item_scan_next(struct item_scan *s, struct bytes *value);
/* After the last piece: is there something that was not given out? */
bool item_scan_rest(struct item_scan *s);

/* Might a map that begins with one of these keys begin here? */
bool item_scan_begins(struct bytes data, const struct bytes *keys, size_t count);

#endif
