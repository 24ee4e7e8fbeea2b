#ifndef STORE_CHUNK_INDEX_INTERNAL_H
#define STORE_CHUNK_INDEX_INTERNAL_H

/*
 * chunk_index_internal.h - how the chunk index lies in its file, and what its parts share.
 *
 * Each distinct chunk has a number.  Everything is in values of at most one page, each with a
 * checksum, since a page is what LMDB reads and writes:
 *
 *     key            value
 *     M              manifest, counters and totals: struct index_meta
 *     I id           a leaf: the chunks from this id up to another, which the leaf names too;
 *                    sorted (id, number).  Leaves follow each other without a gap
 *     C block        COUNTS_PER counts by number; FREE where the number is nobody's
 *     S block        there: this block has free numbers
 *     F block        FACTS_PER (id, size, csize) by number
 *     A archive      totals of the archive and of its files, where its list is
 *     L serial piece the archive's list: runs of numbers and their counts, in varints
 *
 * Numbers are given in the order of ids, so that an archive's list is mostly long runs, and the
 * counts that it changes lie side by side: counting a million chunks that are known is a walk
 * along the leaves and a thousand pages of counts.
 *
 * Threads: those of chunk_index.h.
 */

#include "core/base/sorter.h"
#include "core/store/cache_db.h"
#include "core/store/chunk_index.h"

enum {
	INDEX_PAGE = CACHE_DB_PAGE - CACHE_DB_SUM,
	COUNTS_PER = 1000, /* behind how many of them are free */
	FACTS_PER = 100,
	LEAF_MAX = 110,
	PIECE_MAX = 4000,
	REFS_VALUE = 12, /* size, csize, +1 or -1 */
	REFS_MEMORY = 4 << 20,
	TURN_BYTES = 16 << 20, /* written by a transaction, held in memory until it ends */
};
#define NUMBER_FREE UINT32_MAX
#define COUNT_MAX   (UINT32_MAX - 1) /* sticks: never decremented */

struct chunk_refs {
	struct sorter *sorter;
	uint64_t count;
	bool has_content;
	struct chunk_content content;
};

struct delta {
	uint32_t number;
	int32_t by;
};

struct deltas {
	struct delta *p;
	size_t count, cap;
};

struct index_meta {
	struct chunk_id manifest; /* zero: none */
	uint32_t blocks;          /* of counts */
	uint32_t next_serial;     /* of lists */
	uint32_t loose;           /* some numbers have the count 0: left by an aborted apply */
	uint32_t archives;        /* keys are not under a checksum where they are not read */
	uint64_t unsized;         /* chunks of unknown csize */
	struct chunk_totals totals;
};

struct archive_record {
	uint32_t serial, pieces;
	struct chunk_totals
		totals; /* unique_* unused but for unique_chunks: length of the list */
	struct chunk_content content;
};

struct leaf_entry {
	struct chunk_id id;
	uint32_t number;
};

/* A walk along the leaves in ascending order of ids, which may change them. */
struct sweep {
	bool loaded, changed;
	struct chunk_id low, high; /* of what is still to be written */
	struct leaf_entry in[LEAF_MAX];
	size_t in_count, pos, copied; /* in[..copied] is in out, or gone */
	struct leaf_entry out[3 * LEAF_MAX + 1];
	size_t out_count;
};

struct page {
	bool loaded, dirty;
	uint32_t block;
	uint8_t data[INDEX_PAGE];
};

enum staged_kind { STAGED_ADD, STAGED_REPLACE, STAGED_REMOVE };

struct staged {
	enum staged_kind kind;
	struct chunk_id archive; /* added or removed */
	struct chunk_id old;     /* replaced */
	struct chunk_refs *refs;
	struct deltas deltas; /* of refs */
	int64_t size, csize, chunks;
};

struct chunk_index {
	char *dir;
	struct cache_db *db;
	MDB_txn *txn; /* read-only during a question, or the write transaction */
	bool writing;
	bool looking;           /* txn is that of chunk_index_look() */
	struct index_meta meta; /* as of txn */
	struct page counts, facts;
	struct sweep sweep;
	size_t pages_of; /* the transaction whose pages these are, where it only read; or 0 */
	size_t written;  /* bytes, since the transaction began */
	bool filling;    /* fill_block has free numbers from fill_slot on */
	uint32_t fill_block, fill_slot;
	struct chunk_id at; /* what it was brought to, or found at */
	struct staged *staged;
	size_t staged_count;
	uint64_t *
		zeros; /* numbers whose count went to 0: number * 2, + 1 where nobody is told */
	size_t zero_count, zero_cap;
};

/* --- pages (chunk_index_pages.c); all need x->txn --- */

int index_damaged(struct chunk_index *x, const char *what, struct err *e);
int index_put(struct chunk_index *x, struct bytes key, struct bytes value, struct err *e);

int index_meta_read(struct chunk_index *x, struct err *e);
int index_meta_write(struct chunk_index *x, struct err *e);

/* The page with this number's count or facts, and its place there. */
int index_count_at(struct chunk_index *x, uint32_t number, uint8_t **at, struct err *e);
int index_facts_at(struct chunk_index *x, uint32_t number, uint8_t **at, struct err *e);
int index_pages_flush(struct chunk_index *x, struct err *e);
void index_pages_forget(struct chunk_index *x);

int index_number_take(struct chunk_index *x, uint32_t *out, struct err *e);
int index_number_give(struct chunk_index *x, uint32_t number, struct err *e);

/* Ids must ascend from call to call.  find: 1, 0. */
int index_sweep_find(struct chunk_index *x, const struct chunk_id *id, uint32_t *number,
		     struct err *e);
/* After find said 0; after find said 1. */
int index_sweep_insert(struct chunk_index *x, const struct chunk_id *id, uint32_t number,
		       struct err *e);
int index_sweep_delete(struct chunk_index *x, struct err *e);
int index_sweep_finish(struct chunk_index *x, struct err *e); /* start anew afterwards */

/* --- archives and their lists (chunk_index_list.c) --- */

int index_archive_get(struct chunk_index *x, const struct chunk_id *archive,
		      struct archive_record *out, struct err *e); /* 1, 0 */
/* Write the list and the record; list's numbers ascend. */
int index_archive_put(struct chunk_index *x, const struct chunk_id *archive,
		      const struct deltas *list, struct archive_record *record, struct err *e);
int index_archive_delete(struct chunk_index *x, const struct chunk_id *archive,
			 const struct archive_record *record, struct err *e);
int index_list_read(struct chunk_index *x, const struct archive_record *record,
		    struct deltas *out, struct err *e);
/* Calls fn for each archive's id; fn must not write.  Stops at its first nonzero result.
 * That none of them is missing is known at the end. */
int index_archive_each(struct chunk_index *x,
		       int (*fn)(void *arg, const struct chunk_id *archive), void *arg,
		       struct err *e);

int deltas_push(struct deltas *d, uint32_t number, int64_t by);
void deltas_fini(struct deltas *d);

/* --- changes (chunk_index_apply.c) --- */

/*
 * Do what is staged in a write transaction, which stays open.  keep: then every archive that is
 * not in this set (struct table of ids) goes too, and -EAGAIN where one of it is missing.
 */
struct table;
int index_apply(struct chunk_index *x, bool check_manifest, const struct table *keep,
		chunk_index_orphan *orphan, void *arg, struct err *e);
void index_staged_clear(struct chunk_index *x);

#endif
