#ifndef REPO_SEGMENT_WRITER_H
#define REPO_SEGMENT_WRITER_H

/*
 * segment_writer.h - appends entries to the repository's log.
 *
 * Entries are buffered; nothing is durable before segment_writer_commit() has returned, and then
 * everything is: data first, folders, COMMIT last.  A segment once closed is not written again.
 * After an error the writer refuses everything: what it wrote is not committed, and the next
 * transaction removes it.
 *
 * Source: docs/format.md "Segments", "Writing".
 * Threads: one user.
 */

#include "core/repo/index.h"

struct segment_writer;

struct segment_writer_home {
	int dirfd;        /* the repository's folder; stays the caller's */
	const char *path; /* of it, for messages */
	uint32_t segments_per_dir;
	uint64_t max_segment_size; /* a segment larger than this is closed; bytes */
};

/* The first segment will have this number; no file is made before there is an entry. */
int segment_writer_new(struct segment_writer **out, const struct segment_writer_home *home,
		       uint32_t number, struct err *e);
/* Lets go of files without making anything durable.  Does nothing for NULL. */
void segment_writer_free(struct segment_writer *w);
DEFINE_CLEANUP(struct segment_writer *, segment_writer_free);

/* Errors: -EFBIG a payload beyond the format's bound; errno of open(2), write(2). */
int segment_writer_put(struct segment_writer *w, const struct chunk_id *id,
		       struct bytes payload, struct place *at, struct err *e);
int segment_writer_delete(struct segment_writer *w, const struct chunk_id *id, struct place *at,
			  struct err *e);
/* Would an entry of this id start a new segment? */
bool segment_writer_is_full(const struct segment_writer *w, const struct chunk_id *id);

/*
 * Make all entries durable, then COMMIT: in a segment of its own, or, intermediate, at the end of
 * the present one.  *number is the segment that has it; the next entry starts another.
 */
int segment_writer_commit(struct segment_writer *w, bool intermediate, uint32_t *number,
			  struct err *e);

/*
 * After a failure: the payload of the entry at this place, where its file could not take it and it is still in
 * memory.  1 with *out copied to scratch; 0 it is not.
 */
int segment_writer_kept(const struct segment_writer *w, struct place at,
			const struct chunk_id *id, struct buf *scratch, struct bytes *out);
/* Make the entry at this place readable from its file. */
int segment_writer_flush_for(struct segment_writer *w, struct place at, struct err *e);
uint32_t
segment_writer_number(const struct segment_writer *w); /* of the next entry's segment */

#endif
