#ifndef STORE_STREAM_H
#define STORE_STREAM_H

/*
 * stream.h - a run of chunks in a given order, decoded on all cores.
 *
 * The consumer pushes what it wants and pulls the plaintexts in the same order; between the two
 * at most window_bytes of plaintext and a bounded number of chunks are under way.  Nothing is
 * cached: for item streams, extract, verification, where each chunk is needed once (the same
 * chunk pushed twice in a row within the window is decoded once where that is cheap to know).
 *
 * Threads: one consumer per stream.
 */

#include "core/store/fetch.h"

struct stream;

int stream_open(struct stream **out, struct repo *repo, const struct key *key, unsigned threads,
		size_t window_bytes, struct err *e);
void stream_close(struct stream *s); /* drops what is under way; does nothing for NULL */
DEFINE_CLEANUP(struct stream *, stream_close);

/* Ask for a chunk.  False when the window is full: pull first.  An empty window always accepts. */
bool stream_push(struct stream *s, const struct chunk_want *want);
/* How many were pushed and not yet pulled. */
size_t stream_pending(const struct stream *s);
/* The oldest chunk pushed and not yet pulled, with a reference for the caller.  Waits.
 * -errno is that chunk's alone (-ENOENT missing, -EBADMSG damaged): the next pull goes on. */
int stream_pull(struct stream *s, struct chunk **out, struct err *e);

#endif
