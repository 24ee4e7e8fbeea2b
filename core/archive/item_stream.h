#ifndef ARCHIVE_ITEM_STREAM_H
#define ARCHIVE_ITEM_STREAM_H

/*
 * item_stream.h - the items of an archive, in archive order, each validated.
 *
 * Chunks of the stream are decoded ahead on all cores.  Where a chunk is missing or damaged the
 * reader reports it and resynchronises behind the gap, as Borg's check does; a damaged place
 * costs the items it held, not the archive.
 * Source: docs/format.md "Item stream", "Resynchronisation in a damaged item stream".
 * Threads: one user per reader.
 */

#include "core/archive/archive.h"
#include "core/archive/item.h"

struct item_reader;

struct item_reader_options {
	bool robust; /* go on behind damage (mount); else the first damage ends it (list, extract) */
};

int item_reader_open(struct item_reader **out, struct reader *r, const struct archive *a,
		     const struct item_reader_options *options, struct err *e);
void item_reader_close(struct item_reader *ir);
DEFINE_CLEANUP(struct item_reader *, item_reader_close);

/* 1: *out is the next item, valid until the next call; 0: the end; -errno. */
int item_reader_next(struct item_reader *ir, struct item *out, struct err *e);

/*
 * The same in batches of whole packed records, for decoding them elsewhere in parallel:
 * 1: *records (count of them, back to back, each a complete map) until the next call; 0: end.
 * Only the boundaries were checked; item_parse() may still refuse a record.
 */
int item_reader_next_batch(struct item_reader *ir, struct bytes *records, size_t *count,
			   struct err *e);

/* How many chunks of the stream have been read for what was given out. */
size_t item_reader_chunks(const struct item_reader *ir);

/* How many gaps were passed over so far (robust only), and the sentence of the first. */
size_t item_reader_damage(const struct item_reader *ir, struct err *first);

#endif
