#ifndef REPO_LOCAL_INTERNAL_H
#define REPO_LOCAL_INTERNAL_H

/* local_internal.h - what local.c, which reads, and local_write.c share. */

#include "core/base/thread.h"
#include "core/repo/descriptors.h"
#include "core/repo/files.h"
#include "core/repo/lock.h"
#include "core/repo/repo.h"
#include "core/repo/snapshot.h"
#include "core/repo/writer.h"

enum {
	RUN_MAX = 256,              /* objects read by one merged read */
	RUN_BYTES = 512 * 1024,     /* from its first entry to its last */
	LONE_READ = 16 * 1024,      /* first read of an object whose size is not known */
	CHASE_MAX = 50,             /* places tried for an object that is moved on and on */
	INDEXES_MAX = 4,            /* indexes verified for one object */
	BUFFERS_IDLE = 8,           /* sets of buffers kept between calls ... */
	BUFFERS_BYTES = 6 << 20,    /* ... and their bytes in all */
	SETTLED_NS = 100 * 1000000, /* a folder's time is coarse: believe it after this long */
};

/* A run: neighbours in one segment, ascending, near enough for one read. */
struct run {
	struct place at[RUN_MAX];
	size_t count;
};

/* What one call of get_many works in.  Kept between calls: fresh memory of a chunk's size costs
 * more page faults than reading into it. */
struct get_buffers {
	struct run run;
	struct buf window, scratch;
};

struct local {
	struct repo repo; /* first: callers see a struct repo */
	struct snapshot_home home;
	char *cache_dir;
	size_t changes_in_memory;
	bool config_only; /* there is no snapshot */
	struct descriptors descriptors;

	struct rwlock writer_lock; /* guards: */
	struct writer *writer;     /* while we have the exclusive lock, else NULL; the snapshot
				    * stays as it was then */
	struct lock *exclusive;    /* of whoever calls repo_lock() and repo_unlock() */

	struct mutex lock; /* guards what follows */
	struct snapshot *snapshot;
	struct files_mark mark; /* of the folder when the snapshot was made */
	bool mark_valid;
	struct get_buffers *idle[BUFFERS_IDLE];
	size_t idle_count, idle_bytes;

	struct mutex
		follow_lock; /* one at a time makes a snapshot; taken before `lock`; guards: */
	enum { INDEX_UNCHECKED, INDEX_GOOD, INDEX_BAD } verdict; /* on ... */
	struct index_version judged;                             /* ... this index */
};

static inline struct local *local_of(struct repo *r)
{
	return (struct local *)r;
}

/* --- local.c --- */

int local_follow(struct local *l,
		 struct err *e); /* a fresh snapshot: 1 it moved on, 0, -errno */
/* The one that opening makes. */
int local_first_snapshot(struct local *l, struct err *e);
/* 0, or -ENOTSUP where the newest segment is attic's. */
int local_refuse_attic(struct local *l, struct err *e);

/* --- local_write.c --- */

int local_lock(struct repo *r, double wait, struct err *e);
int local_unlock(struct repo *r, struct err *e);
int local_break_lock(struct repo *r, struct err *e);
int local_put(struct repo *r, const struct chunk_id *id, struct bytes object, struct err *e);
int local_delete(struct repo *r, const struct chunk_id *id, struct err *e);
int local_commit(struct repo *r, struct err *e);
int local_rollback(struct repo *r, bool remove_files, struct err *e);
int local_compact(struct repo *r, const struct compact_options *options, uint64_t *freed,
		  struct err *e);
int local_check(struct repo *r, const struct repo_check_options *options, struct err *e);
int local_load(struct repo *r, struct err *e);
int local_object_size(struct repo *r, const struct chunk_id *id, uint32_t *size, struct err *e);
int local_nonce_get(struct repo *r, uint64_t *next, struct err *e);
int local_nonce_reserve(struct repo *r, uint64_t next, uint64_t start, struct err *e);

#endif
