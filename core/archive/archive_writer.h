#ifndef ARCHIVE_ARCHIVE_WRITER_H
#define ARCHIVE_ARCHIVE_WRITER_H

/*
 * archive_writer.h - an archive in the making: items and their chunks in, archive object out.
 *
 * Chunks go into the pipeline as they come; an item waits until all of its own are stored, and
 * all items before it are written.  So every chunk that an item names is in the log before the item
 * is, and every item before the archive.
 *
 *   archive_writer_chunk ... archive_writer_chunk, archive_writer_item      a file
 *   archive_writer_item                                                      anything without
 *
 * Source: docs/format.md "Item stream", "Saving an archive".
 * Threads: one user, the pipeline's caller.
 */

#include "core/archive/archive_object.h"
#include "core/archive/item.h"
#include "core/store/chunk_index.h"
#include "core/store/put.h"

struct archive_writer;

/* What --stats shows of an archive, metadata and archive object included. */
struct archive_stats {
	uint64_t size, csize; /* repeats included */
	uint64_t new_csize;   /* stored by this run */
	uint64_t nfiles;
};

/*
 * An item has been written, which is not a part of one: its chunks are stored.  `chunks` are lent.  A negative result ends the
 * run with that error.
 */
typedef int archive_item_done(void *arg, void *cookie, const struct item *it,
			      const struct item_chunk *chunks, size_t count, struct err *e);

struct archive_writer_options {
	archive_item_done *done; /* may be NULL */
	void *arg;
	struct chunk_refs *refs; /* gets every reference of the archive, and is freed with the
				  * writer; may be NULL */
	const struct chunker_params
		*stream; /* how the item stream is cut; NULL: as Borg does */
};

int archive_writer_new(struct archive_writer **out, struct put *put, const struct key *key,
		       const struct archive_writer_options *options, struct err *e);
void archive_writer_free(struct archive_writer *w); /* does nothing for NULL */
DEFINE_CLEANUP(struct archive_writer *, archive_writer_free);

/* The next chunk of the next item; see put_chunk(). */
int archive_writer_chunk(struct archive_writer *w, struct put_slab *s, struct bytes data,
			 struct err *e);
int archive_writer_copied_chunk(struct archive_writer *w, struct bytes data, struct err *e);
/* A chunk that the repository has for certain: no data move. */
int archive_writer_known_chunk(struct archive_writer *w, const struct item_chunk *chunk,
			       struct err *e);
/* Store a chunk that is no item's yet, and wait for it. */
int archive_writer_stored_chunk(struct archive_writer *w, struct bytes data,
				struct item_chunk *out, struct err *e);
/* Forget the chunks given for the next item: its file cannot be read.  They may be stored. */
int archive_writer_drop_chunks(struct archive_writer *w, struct err *e);

/*
 * The next item, which is copied.  has_content: it has a list of chunks, those given since the item
 * before, maybe none; the item's own are ignored.  cookie is for options.done; it is on the heap or
 * NULL, and the writer's from now on, also when this fails.
 */
int archive_writer_item(struct archive_writer *w, const struct item *it, bool has_content,
			void *cookie, struct err *e);

/* Until everything given is stored, and the item stream with it. */
int archive_writer_flush(struct archive_writer *w, struct err *e);

/*
 * Flush, and store the archive object; facts' items and totals are filled in here.  More items may
 * follow: that is a checkpoint.
 */
int archive_writer_save(struct archive_writer *w, struct archive_facts *facts,
			struct chunk_id *id, struct err *e);

/*
 * Write an item of a part of the file whose chunks are being given: those from *from on, which moves
 * behind them.  Waits until they are stored.
 */
int archive_writer_part(struct archive_writer *w, const struct item *part, size_t *from,
			struct err *e);

/*
 * An archive that differs little from another: what is alike in both streams is kept, not written.
 * Items and ranges that are kept follow each other in the order of the calls.
 *
 * archive_writer_cut: the stream's present chunk ends here.  *count: chunks that it has then.  Every
 * item given has its chunks already.
 * archive_writer_keep: chunks that the repository has and the other archive refers to, from a cut to
 * a cut, and what their items add up to; refs get nothing.
 */
int archive_writer_cut(struct archive_writer *w, size_t *count, struct err *e);
int archive_writer_keep(struct archive_writer *w, const struct item_chunk *chunks, size_t count,
			const struct archive_totals *totals, struct err *e);
/* The stream's chunks that are stored: all of them after archive_writer_flush(). */
const struct item_chunk *archive_writer_stream(const struct archive_writer *w, size_t *count);
/* What the items written and kept so far add up to. */
struct archive_totals archive_writer_totals(const struct archive_writer *w);

/* The references given to refs so far become the caller's; from now on they go to another set.
 * A checkpoint's are those since the one before. */
struct chunk_refs *archive_writer_take_refs(struct archive_writer *w);
void archive_writer_new_refs(struct archive_writer *w, struct chunk_refs *refs);

void archive_writer_stats(const struct archive_writer *w, struct archive_stats *out);

#endif
