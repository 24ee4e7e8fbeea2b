#ifndef FS_INGEST_H
#define FS_INGEST_H

/*
 * ingest.h - what the regular files below new/ contain, and how it gets into the repository.
 *
 *   write -> tail of the file, in memory -> chunker -> put -> chunk of the repository
 *   write elsewhere -> spill file -> (settle) chunker -> put -> chunk
 *   copy, link: references to chunks that are there
 *
 * A content is a map from offset to stored chunks, spilled bytes and holes, with the bytes behind
 * the last cut in memory.  A file written from front to end passes through once and leaves only its
 * list of chunks.  Settling makes any content such a list, with the cuts that `borg create` of the
 * same bytes makes, however they came in; it reads only the chunks around what has changed.
 *
 * The pipeline comes and goes (ingest_attach, ingest_detach) as the repository is open for writing
 * or not.  Without it everything works but settling: what would be stored stays in memory and in
 * the spill file.
 *
 * A commit, as seen from here:
 *
 *   ingest_hold      from now on only settling stores chunks
 *   staged_flush ... gives what is not stored to the pipeline, without waiting for it
 *   staged_settle, staged_chunks ...   for each content changed since the last commit
 *   ingest_detach    everything has its id
 *   ingest_orphans   what is to be deleted
 *   COMMIT, ingest_committed, ingest_attach
 *
 * may_wait: where it is false and the call would have to wait for a chunk, the disk, another call or
 * a full pipeline, it does nothing and says -EAGAIN.
 *
 * Threads: all functions from any, at once, but a content is freed once and ingest_attach() to
 * ingest_committed() have one caller.  Calls for one content come one after the other; no call holds
 * up those for other contents while it waits.
 */

#include "core/archive/item.h"
#include "core/codec/chunker.h"
#include "core/store/fetch.h"
#include "core/store/put.h"
#include "fs/content.h"

struct ingest;

struct ingest_options {
	struct fetch *fetch; /* borrowed: reads what was stored, before its commit too */
	struct chunker_params chunker;
	uint32_t seed; /* of the chunker: the key's chunk_seed */
	size_t memory; /* bytes of tails over all files, then they go to the spill; 0: 64 MiB */
	const char *spill_dir; /* NULL: TMPDIR, else /var/tmp */
};

/* -EINVAL the chunker's parameters; -ENOMEM; errno of the spill file. */
int ingest_new(struct ingest **out, const struct ingest_options *options, struct err *e);
/* All contents are free.  Does nothing for NULL. */
void ingest_free(struct ingest *in);
DEFINE_CLEANUP(struct ingest *, ingest_free);

/*
 * How chunks are made, by numbers that stay: 0 is what the options say, and how the pipeline compresses.  A mount
 * has up to 256 of each.  -ENOSPC: that many are there.
 */
struct staged_ways {
	uint8_t chunking, compression;
};
/* As ingest_new(). */
int ingest_chunking(struct ingest *in, const struct chunker_params *p, uint8_t *out,
		    struct err *e);
int ingest_compression(struct ingest *in, const struct compression *how, uint8_t *out,
		       struct err *e);

const struct chunker_params *ingest_chunker_params(struct ingest *in, uint8_t chunking);
const struct compression *ingest_compression_of(struct ingest *in, uint8_t n); /* not of 0 */

/* --- the pipeline --- */

/*
 * From now on chunks are stored, through this pipeline alone: nobody else calls it until it is
 * detached.  Bytes that an earlier one did not store are given to it first.
 */
int ingest_attach(struct ingest *in, struct put *put, struct err *e);
/*
 * Waits until everything given to the pipeline has its id, and drops it; never fails to drop it.  What it
 * did not store, where it has failed, stays in memory for the next.  Returns why it has failed, or
 * 0.  Without one: 0.
 */
int ingest_detach(struct ingest *in, struct err *e);
/* on: only staged_flush() and staged_settle() store chunks; off: writing does, too.  ingest_attach()
 * switches it off.  Begins the lists of a commit: see ingest_orphans(). */
void ingest_hold(struct ingest *in, bool on);

/*
 * Chunks that this mount stored since the last commit, which no list of staged_chunks() since
 * ingest_hold() has named, nor any content refers to.  They are to be deleted before COMMIT.
 * Detached only.  A nonzero result of fn stops, and is returned.
 */
int ingest_orphans(struct ingest *in, int (*fn)(void *arg, const struct chunk_id *id),
		   void *arg);
/* What was stored is durable, the orphans deleted. */
void ingest_committed(struct ingest *in);
/*
 * Before a transaction is given up, detached: what was stored in it and is still wanted goes to the
 * spill, to be stored again by the next.  An error is of the first content that could not be saved;
 * all others were.
 */
int ingest_rescue(struct ingest *in, struct err *e);
/* What was stored and not committed is gone: to be called whenever a transaction ends without a commit,
 * detached.  Contents that refer to such chunks fail with -EIO from now on, as those do that name a
 * lost chunk: see staged_sync().  Costs nothing where nothing was stored. */
void ingest_rolled_back(struct ingest *in);

/* --- contents --- */

/* An empty one; NULL when out of memory. */
struct stage_content *staged_new(struct ingest *in, struct staged_ways ways);
void staged_free(struct stage_content *c); /* never waits for a chunk; does nothing for NULL */
DEFINE_CLEANUP(struct stage_content *, staged_free);

/* What is stored from now on is compressed so.  Never waits. */
void staged_compress(struct stage_content *c, uint8_t compression);
/* It is cut so, if it is empty: no file is cut in two ways.  -EAGAIN. */
int staged_rechunk(struct stage_content *c, uint8_t chunking, bool may_wait);

uint64_t staged_size(struct stage_content *c);
uint64_t staged_blocks(struct stage_content *c); /* of 512 bytes, holes not counted */
/* Differs after each call that changed bytes or size; settling changes neither. */
uint64_t staged_version(struct stage_content *c);

/*
 * Bytes [off, off + len), fewer only at the end of the file, all as they were at one moment.
 * 0, or -EAGAIN; -EIO; -ENOMEM.  *out needs no initialisation and, unless 0 comes back, no
 * content_range_fini().
 */
int staged_read(struct stage_content *c, uint64_t off, size_t len, bool may_wait,
		struct content_range *out, struct err *e);

/*
 * All of the bytes, or an error.  Behind the end: a hole comes between.
 * Errors: -EFBIG; -ENOSPC, -EDQUOT, -EIO of the spill or the repository; -EAGAIN; -ENOMEM.
 */
int staged_write(struct stage_content *c, uint64_t off, struct bytes data, bool may_wait,
		 struct err *e);
/* Errors as for staged_write().  To 0: an earlier loss is forgotten. */
int staged_truncate(struct stage_content *c, uint64_t size, bool may_wait, struct err *e);
/* mode of fallocate(2): 0, KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE with or without KEEP_SIZE;
 * others -EOPNOTSUPP.  Room is not reserved. */
int staged_allocate(struct stage_content *c, int mode, uint64_t off, uint64_t len,
		    bool may_wait, struct err *e);
/* SEEK_DATA, SEEK_HOLE: 0 and the offset; -ENXIO, -EINVAL, -EAGAIN. */
int staged_seek(struct stage_content *c, uint64_t off, int whence, bool may_wait,
		uint64_t *out);

/*
 * Copy a range between contents, or within one (ranges that overlap: -EINVAL): stored chunks are
 * shared, other bytes copied.  *copied: how many bytes, fewer only at the end of src or with an
 * error.  Waits.
 */
int staged_copy(struct stage_content *src, uint64_t src_off, struct stage_content *dst,
		uint64_t dst_off, uint64_t len, uint64_t *copied, struct err *e);

/*
 * The same out of an archive: bytes [skip, skip + len) of these chunks, which follow each other in a
 * file.  is_last: the last of them is the last of its file.  No data moves; a file imported from
 * front to end in ranges of any sizes has exactly the source's list.
 */
struct staged_import {
	const struct item_chunk *chunks;
	size_t count;
	uint64_t skip, len;
	bool is_last;
};
int staged_import(struct stage_content *c, uint64_t off, const struct staged_import *what,
		  bool may_wait, struct err *e);

/* A hint: who wrote it has closed it.  What is in memory is stored where that needs no waiting. */
void staged_close(struct stage_content *c);
/*
 * Stores what is not stored, and waits for room in the pipeline only.  draft: the end of the file may be
 * in pieces that `create` would not make, which are cheap to change; for a checkpoint.
 * -ENOTCONN: none is attached and one is needed.
 */
int staged_flush(struct stage_content *c, bool draft, struct err *e);
/* The same, and waits for the ids: staged_chunks() has the list, unless it is written to again. */
int staged_settle(struct stage_content *c, bool draft, struct err *e);
/* Is its list a draft?  Then it will be another one when it is settled for good. */
bool staged_is_draft(struct stage_content *c);
/* Such a list is not to be used any more; was there one? */
bool staged_forget_draft(struct stage_content *c);
/*
 * The list of a settled content: 1, in an array on the heap (NULL where there are none), with the
 * version that it is of; 0 not settled.  This is what an item names: ingest_orphans() spares it.
 */
int staged_chunks(struct stage_content *c, struct item_chunk **out, size_t *count,
		  uint64_t *version, struct err *e);
/* Both in one step, however busily it is written to: 0. */
int staged_settled_chunks(struct stage_content *c, struct item_chunk **out, size_t *count,
			  uint64_t *version, struct err *e);

/*
 * Has everything that was accepted for it been kept?  0, or the error of a loss: -EIO, -ENOSPC, -EDQUOT.
 * A loss stays until the content is truncated to 0.
 */
int staged_sync(struct stage_content *c, struct err *e);
/* All of it out of the repository into the spill, for ever: a file without a name, which no archive
 * will have and whose chunks have no owner at a commit.  Waits. */
int staged_evict(struct stage_content *c, struct err *e);
/* Every stored chunk it refers to, maybe more than once; nonzero stops. */
int staged_each_chunk(struct stage_content *c, int (*fn)(void *arg, const struct chunk_id *id),
		      void *arg);
/* A chunk it refers to is gone: it has a loss, -EIO. */
void staged_lost(struct stage_content *c);

struct ingest_stats {
	uint64_t tail_bytes, under_way_bytes; /* memory */
	uint64_t spill_bytes;                 /* in the spill file */
	uint64_t stored_chunks;               /* since the last commit, to be committed */
	uint64_t settle_read_bytes;           /* of chunks and spill, to find cuts anew */
};
void ingest_stats(struct ingest *in, struct ingest_stats *out);

#endif
