#ifndef STORE_CACHE_DB_H
#define STORE_CACHE_DB_H

/*
 * cache_db.h - the LMDB file of a disposable cache: opened, or thrown away and begun anew.
 *
 * DIR/NAME.mdb, DIR/NAME.mdb-lock (LMDB's), and DIR/NAME.use, which tells an unclean end: while
 * a process works in the file a counter there is raised.  Where it is not 0 and nobody has the
 * file open, someone died at work.  A file in which two died in a row may be what killed them,
 * and is thrown away; one is forgiven, since LMDB's commits are whole, and an index may be hours
 * of reading.  Thrown away too: a file of another user or version, a short one, and one that
 * LMDB does not take.
 *
 * LMDB maps the file, which network file systems do not do justice to: there the files are in
 * $XDG_RUNTIME_DIR/alcove or /var/tmp/alcove-UID.
 *
 * LMDB trusts its pages: so they are looked at before it sees them, and the bytes of a value
 * carry a checksum over key and value, or are sealed by the caller.
 *
 * Threads: as LMDB has it (MDB_NOTLS); a write transaction stays in its thread.
 * Opened once in a process, after it forked.
 */

#include "core/base/bytes.h"
#include "core/base/cleanup.h"
#include "core/base/err.h"

#include <lmdb.h>
#include <stdbool.h>

enum {
	CACHE_DB_SUM = 8, /* bytes of a checksum */
	/* The longest value, with its checksum, for which LMDB takes exactly one page. */
	CACHE_DB_PAGE = 4080,
};

struct cache_db {
	MDB_env *env;
	MDB_dbi dbi; /* the one table */
	char *path;  /* of the .mdb */
	int use_fd;
	struct cache_use *use; /* the .use file, mapped */
	bool spoiled;
	uint8_t *map;     /* where LMDB has the file; NULL where unknown */
	uintptr_t window; /* last touched, see cache_db_touch() */
	size_t windows;
	size_t windows_max; /* of 64 KiB; the owner may change it */
};

int cache_db_open(struct cache_db **out, const char *dir, const char *name, uint32_t version,
		  struct err *e);
void cache_db_close(struct cache_db *db); /* does nothing for NULL */
DEFINE_CLEANUP(struct cache_db *, cache_db_close);

/* Around each stretch of work that reads or writes pages; calls nest. */
void cache_db_enter(struct cache_db *db);
void cache_db_leave(struct cache_db *db);

/* It was found damaged: nobody will open this file again. */
void cache_db_spoil(struct cache_db *db);
/* LMDB's result as -errno and a sentence; damage spoils the file and is -EBADMSG. */
int cache_db_fail(struct cache_db *db, int mdb_rc, struct err *e);

/*
 * A value at p was looked at.  Pages of the map count as this process's memory: when many have
 * been touched, all are let go of.  They stay in the page cache, and p stays valid.
 */
void cache_db_touch(struct cache_db *db, const void *p);
/* The same for a place that was somewhere, such as one that is written. */
void cache_db_touch_any(struct cache_db *db);

/* Of cache_db_open(): LMDB's result, MDB_CORRUPTED where a page is not one (cache_db_verify.c). */
int cache_db_verify(MDB_env *env, MDB_txn *txn);

int cache_db_begin(struct cache_db *db, bool write, MDB_txn **out, struct err *e);
/* txn is over afterwards, also when this fails. */
int cache_db_commit(struct cache_db *db, MDB_txn *txn, struct err *e);

/* Values with a checksum.  get: 1 with *value, which holds until the transaction writes or ends;
 * 0; -EBADMSG. */
int cache_db_get(struct cache_db *db, MDB_txn *txn, struct bytes key, struct bytes *value,
		 struct err *e);
int cache_db_put(struct cache_db *db, MDB_txn *txn, struct bytes key, struct bytes value,
		 struct err *e);
int cache_db_delete(struct cache_db *db, MDB_txn *txn, struct bytes key, struct err *e);
/* Nothing was ever put.  Where a head is missing that all files have, this one is damaged. */
bool cache_db_is_new(struct cache_db *db, MDB_txn *txn);
/* Check a value that a cursor found, and take its checksum off. */
int cache_db_check(struct cache_db *db, struct bytes key, const MDB_val *raw,
		   struct bytes *value, struct err *e);

#endif
