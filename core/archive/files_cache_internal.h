#ifndef ARCHIVE_FILES_CACHE_INTERNAL_H
#define ARCHIVE_FILES_CACHE_INTERNAL_H

/*
 * files_cache_internal.h - how the files cache lies in its file, and what its parts share.
 *
 *     key                          value
 *     "0"                          number of runs, salt of the path hashes
 *     "1" generation               run, how many entries it has, salt of its seals
 *     "E" folder[4] path[16]       generation, serial, sealed entry
 *
 * Keys are hashes under a secret key.  Those of one folder's files lie together, as they are
 * asked for together.  An entry is sealed under the key of the run that wrote it, its generation,
 * with a serial number that grows within the run: so a key never sees a nonce twice, whatever is
 * aborted or lost, and the generation tells the entry's age.  The entry's key in the table is
 * authenticated with it, so no entry answers for another path.
 *
 *     entry     time i64, inode u64, size u64, count u32, count x (id[32], size u32, csize u32)
 *
 * It is sealed in pieces of SEAL_BLOCK bytes.
 */

#include "core/archive/files_cache.h"
#include "core/base/sorter.h"
#include "core/base/thread.h"
#include "core/crypto/seal.h"
#include "core/store/cache_db.h"

enum {
	FOLDER_HASH = 4,
	PATH_HASH = 16,
	KEY = 1 + FOLDER_HASH + PATH_HASH,
	HEAD = 8, /* of a value: generation, serial */
	TIME_TAG = 8,
};

struct generation {
	uint32_t id;
	uint32_t run;
	uint64_t count;    /* of its entries */
	struct seal *seal; /* NULL until needed */
	uint8_t salt[SEAL_SALT];
};

struct files_cache {
	struct files_mode mode;
	uint32_t ttl;
	struct secret *secret;
	struct secret *hash_key; /* of paths, and of times: PATH_HASH bytes each */
	struct cache_db *db;
	struct mutex lock; /* guards all that follows */
	MDB_txn *txn;      /* for reading */
	unsigned lookups;
	uint8_t key[KEY]; /* of the entry at hand; authenticated by the seals */
	uint8_t *plain;   /* SEAL_BLOCK */
	uint8_t salt[SEAL_SALT];
	uint32_t runs; /* before this one */
	struct generation *generations;
	size_t generation_count;
	struct generation *mine;
	uint32_t serial;
	struct sorter *changed; /* path -> tag of the time, value */
	bool any;               /* file was remembered in this run */
	int64_t newest;
};

/* Parts of opening that the commit does again; all -errno. */
int files_read_meta(struct files_cache *c, MDB_txn *txn, struct err *e); /* 1, 0 */
int files_write_meta(struct files_cache *c, MDB_txn *txn, uint32_t runs, struct err *e);
/* Appends to c->generations. */
int files_read_generations(struct files_cache *c, MDB_txn *txn, struct err *e);
/* Deletes it where it has no entry. */
int files_write_generation(struct files_cache *c, MDB_txn *txn, const struct generation *g,
			   struct err *e);
struct generation *files_add_generation(struct files_cache *c, struct err *e); /* or NULL */
struct generation *files_find_generation(struct files_cache *c, uint32_t id);  /* or NULL */
uint32_t files_refresh_age(const struct files_cache *c);
/* Times tell something too, so what goes to the sorter's file is a hash. */
void files_time_tag(const struct files_cache *c, int64_t time, uint8_t out[TIME_TAG]);

#endif
