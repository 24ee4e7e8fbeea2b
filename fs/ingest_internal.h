#ifndef FS_INGEST_INTERNAL_H
#define FS_INGEST_INTERNAL_H

/*
 * ingest_internal.h - what ingest*.c and staged*.c share.
 *
 * A content belongs to whoever has entered it (`busy`), who alone looks at it and changes it, without
 * a lock: he may wait for chunks and the disk.  One that nobody has entered belongs to whoever has
 * `ingest.lock`; so the ids of its chunks can be filled in when they come.
 *
 * The pipeline has one caller too: whoever has set `ingest.putting`.
 *
 * Invariants of a content:
 * 1. Extents cover [0, size - tail.len), the tail the rest.
 * 2. Below active->dirty (anywhere, without one) extents are whole chunks, each ending where the
 *    chunker would cut, or where the source of a copy was cut.
 * 3. A chunk with CUT_OWN that is whole begins where it is and ends where the chunker, started there,
 *    would cut: whatever changes a byte that the chunker has looked at takes that mark away.
 * 4. The bytes that a page of the spill holds are of one page of one file, at the same place in it.
 * 5. A flight has one content, which it may outlive.
 */

#include "fs/ingest.h"

#include "core/base/slab.h"
#include "core/base/table.h"
#include "core/base/thread.h"
#include "fs/extents.h"
#include "fs/spill.h"

#include <stdatomic.h>

enum {
	PIECE = 1 << 20,      /* bytes taken from a write, or read, at a time */
	GAP_STREAM = 1 << 30, /* bytes: a longer gap before a write stays a hole */
	GAP_ZEROS =
		SPILL_PAGE, /* a gap up to here is filled with zeros: it is no hole worth a break */
};

/* Memory of bytes before they are stored; shared by the flights that lie in it. */
struct block {
	uint8_t *p;
	size_t cap;
	bool large;         /* worth keeping */
	unsigned refs;      /* under ingest.lock */
	struct block *next; /* among the spare ones */
};

/* Bytes from where the chunker has cut last, on. */
struct run {
	struct block *block;
	size_t start, len; /* in it */
	struct chunker_scan scan;
	size_t cut; /* found and not used; 0: none */
};

static inline struct bytes run_bytes(const struct run *r)
{
	return (struct bytes){ r->len ? r->block->p + r->start : NULL, r->len };
}

/*
 * What a checkpoint has of a tail that was stored as the file's last chunk before, and has changed since:
 * a log that grows, a small data base.  Pieces of it that are as they were are there already; as one chunk
 * all of it would be stored again each time.  They are no extents: the tail stays what it is.
 */
struct pieces {
	uint64_t base;    /* in the file */
	uint32_t version; /* of the content that they are of */
	uint32_t missing; /* under ingest.lock: whose id is not known yet */
	size_t count;
	struct item_chunk v[];
};

struct flight {                  /* a chunk in the pipeline */
	struct flight *next;     /* in the queue, or among those landed in a content */
	struct stage_content *c; /* NULL: freed */
	struct block *block;     /* a reference */
	const uint8_t *p;
	uint64_t off; /* in the file */
	uint32_t size;
	uint8_t compression;
	struct pieces *pieces; /* of the content, whose v[piece] it is; or NULL */
	size_t piece;
	uint64_t number;          /* in the pipeline; UINT64_MAX: not given yet */
	struct put_result result; /* of a landed one */
};

struct flights {
	struct flight *first, **last;
};

/* What a content has while it is not just a list of chunks. */
struct active {
	struct run tail;
	bool synced;           /* the tail begins where the chunker would begin a chunk */
	uint64_t dirty;        /* UINT64_MAX: nothing */
	size_t absorbed;       /* bytes of the last chunk that the tail was before; 0: none */
	struct pieces *pieces; /* or NULL */
	unsigned flights;      /* queued or landed; under ingest.lock where not busy ... */
	struct flight *landed; /* ... under ingest.lock always */
	struct stage_content *content;
	struct active *older, *newer; /* among those with a tail; under ingest.lock */
	size_t counted;               /* bytes of the tail in ingest.tail_bytes */
};

struct stage_content {
	struct ingest *in;
	struct active *active; /* or NULL */
	struct extents extents;
	_Atomic uint64_t size, holes; /* bytes */
	_Atomic uint32_t version;
	uint32_t place;              /* in ingest.contents */
	uint8_t failed;              /* an errno; 0: nothing is lost */
	uint8_t chunking;            /* its number; changes only while nothing is there */
	_Atomic uint8_t compression; /* its number */
	bool busy : 1, evicted : 1;  /* under ingest.lock */
};

/* A chunk that this mount stored, and no commit has given an owner. */
struct fresh {
	uint32_t refs;    /* extents of contents */
	uint32_t round;   /* of the last list that named it */
	uint64_t durable; /* it is older than the last commit */
};

/* How contents are cut.  It stays as long as the ingest does. */
struct chunking {
	struct chunker_params params;
	struct chunker *chunker;
	size_t chunk_max;
	size_t reach;    /* bytes behind a cut that the chunker looked at to find it */
	size_t tail_max; /* bytes of a tail, and of a large block */
	bool fixed;
	size_t fixed_header;
	/* Under ingest.lock: */
	size_t zeros_len; /* of the chunk of zeros that this pipeline stored; 0: none */
	struct item_chunk zeros;
};

enum { WAYS_MAX = 256 };

struct ingest {
	struct fetch *fetch;
	size_t memory;
	struct spill *spill;
	uint32_t seed;

	struct mutex lock; /* guards what follows */
	struct cond changed;
	struct chunking
		*chunkings[WAYS_MAX]; /* each is set once, before anybody knows its number */
	struct compression
		compressions[WAYS_MAX]; /* likewise, but for the first, which is none */
	size_t chunking_count, compression_count;
	unsigned waiters;
	struct slab contents;           /* struct stage_content */
	struct active *oldest, *newest; /* tail */
	size_t tail_bytes;
	struct block *spare;
	size_t spare_count;

	struct put *put; /* NULL: none */
	bool putting, held;
	unsigned put_users;              /* who wait for results */
	struct err failure;              /* of the pipeline */
	struct flights queue;            /* given, in the order of their numbers */
	struct flights stranded;         /* not stored by a pipeline that failed */
	size_t under_way, under_way_max; /* bytes in the queue */
	struct table fresh;              /* chunk_id -> struct fresh */
	uint32_t round;
	_Atomic uint64_t settle_read;
};

/* Of an entered content. */
static inline struct chunking *chunking_of(const struct stage_content *c)
{
	return c->in->chunkings[c->chunking];
}

/* --- ingest.c --- */

/* -EAGAIN where somebody else has it and may_wait is not set. */
int content_enter(struct stage_content *c, bool may_wait);
void content_leave(struct stage_content *c);
int content_activate(struct stage_content *c, struct err *e); /* it has an `active` */
/* A content that is nothing but a list of chunks loses its `active`. */
void content_rest_locked(struct stage_content *c);
/* Tails of others go to the spill until there is room for n more bytes: 1; 0 there is none left. */
int ingest_relieve(struct ingest *in, size_t n, struct err *e);
/* Until something of `ingest` has changed; and to tell those who wait for it. */
void ingest_wait_locked(struct ingest *in);
void ingest_wake_locked(struct ingest *in);

/* --- ingest_memory.c --- */

void block_unref_locked(struct ingest *in, struct block *b); /* NULL: nothing */
void blocks_free_spare(struct ingest *in);
/* Room for n more bytes behind the run. */
int run_reserve(struct stage_content *c, struct run *r, size_t n, struct err *e);
void run_drop(struct ingest *in, struct run *r); /* it is empty */
/* The first n bytes go. */
void run_consume(struct run *r, size_t n);
/* Its bytes have changed: no cut is known any more. */
void run_rescan(struct run *r, uint64_t at);

/* --- ingest_fresh.c --- */

/* References of somebody who has no content for it now. */
void ingest_refer(struct ingest *in, const struct extent *x, int by);

/* --- ingest_flight.c --- */

void flights_init(struct flights *q);
void flights_push(struct flights *q, struct flight *f);
struct flight *flights_pop(struct flights *q); /* NULL: it is empty */
void flight_free_locked(struct ingest *in, struct flight *f);
/* Flights of it that have landed become chunks.  It is entered, or nobody has. */
void content_land_locked(struct stage_content *c);
/* It has no bytes any more: its flights are nobody's. */
void ingest_abandon(struct stage_content *c);
void content_abandon_locked(struct stage_content *c); /* it has an `active` */

/* --- ingest_pipeline.c --- */

enum give { GIVE_WAIT = 1, GIVE_SETTLE = 2 };
/* Would the pipeline take a chunk, if there is room? */
bool ingest_takes(struct stage_content *c, unsigned how);
/* The same as ingest_give() for a piece of the tail, of which only the pieces know. */
int ingest_give_piece(struct stage_content *c, struct pieces *pieces, size_t piece,
		      struct bytes data, struct err *e);
/*
 * The chunk of x (a range of the file that the chunk is) goes into the pipeline, and x into the map.
 * b: the block that has its bytes.  -ENOTCONN: no pipeline; -EAGAIN; what has stopped it.
 */
int ingest_give(struct stage_content *c, const struct extent *x, struct block *b,
		const uint8_t *p, unsigned how, struct err *e);
/* Until all flights of it have landed.  It is entered. */
int ingest_land(struct stage_content *c, struct err *e);

/* --- all that follows is of entered contents --- */

static inline uint64_t min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t page_of(uint64_t off)
{
	return off / SPILL_PAGE;
}

static inline size_t tail_len(const struct stage_content *c)
{
	return c->active ? c->active->tail.len : 0;
}

static inline uint64_t tail_at(const struct stage_content *c)
{
	return c->size - tail_len(c);
}

static inline unsigned how_of(bool may_wait)
{
	return may_wait ? GIVE_WAIT : 0;
}

/* --- staged_map.c --- */

/* x takes its range, at or before the end of the extents; pages and references follow. */
int content_place(struct stage_content *c, const struct extent *x, struct err *e);
/* Extents behind `end` go. */
void content_cut(struct stage_content *c, uint64_t end);
void content_taint(struct stage_content *c, uint64_t off); /* dirty from there, at least */
/* Bytes from `off` on are about to change: chunks that end before it may end elsewhere then, but, with
 * keep_source, not those that end as in the file they were copied from. */
void content_touch(struct stage_content *c, uint64_t off, bool keep_source);
void content_unmark_before(struct stage_content *c, uint64_t off, bool keep_source);

/* --- staged_read.c --- */

/* Bytes, wherever they are.  Waits. */
int content_copy_out(struct stage_content *c, uint64_t off, uint8_t *out, size_t len,
		     struct err *e);
int content_copy_extent(struct stage_content *c, const struct extent *x, uint64_t skip,
			uint8_t *out, size_t len, struct err *e);

/* --- staged_spill.c --- */

/* Bytes at or below the end of the extents. */
int content_write_spilled(struct stage_content *c, uint64_t off, struct bytes data,
			  struct err *e);
/* What is in these chunks. */
int content_spill_chunks(struct stage_content *c,
			 bool (*which)(struct ingest *in, struct extent *x), struct err *e);
int content_spill_tail(struct stage_content *c, struct err *e);

/* --- staged.c --- */

/* What was accepted for it and then lost: -errno or 0. */
int content_failed(const struct stage_content *c, struct err *e);
int content_check_range(uint64_t off, uint64_t len, struct err *e); /* -EFBIG */
int content_write(struct stage_content *c, uint64_t off, struct bytes data, unsigned how,
		  struct err *e);
/* The file ends at `size`, further on than now. */
int content_extend(struct stage_content *c, uint64_t size, unsigned how, struct err *e);

/* --- staged_settle.c --- */

/* Cut the run into chunks at off and behind. */
int content_chunk_tail(struct stage_content *c, bool at_end, unsigned how, struct err *e);
/* Make all below the tail chunks, and the tail begin at a cut. */
int content_advance(struct stage_content *c, struct err *e);

#endif
