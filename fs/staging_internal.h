#ifndef FS_STAGING_INTERNAL_H
#define FS_STAGING_INTERNAL_H

/*
 * staging_internal.h - between staging.c (lock, gate, checkpoints), staging_commit.c (what a commit
 * consists of), staging_files.c (contents) and staging_own.c (attributes of our own).
 *
 * Two locks.  `lock` guards the state and is held for moments.  `committing` is held by whoever
 * commits, closes or reopens: for as long as the repository takes.
 */

#include "core/base/table.h"
#include "core/base/thread.h"
#include "fs/staging.h"

#include <time.h>

enum state { CLOSED, CHANGING_STATE, OPEN };

struct draft {            /* an archive in the making, by the number of its directory */
	char *checkpoint; /* its name in the manifest, or NULL: none yet */
	int64_t started_ns;
	uint64_t committed;      /* the last of its changes that is durable */
	struct outline *outline; /* of the checkpoint, or NULL: the next one is written whole */
	bool listed;             /* still there: while commit() looks */
	bool told_sockets, told_lost;
};

struct touched {                 /* the same, for whoever changes something */
	uint64_t change;         /* the number of the last one since the mount began */
	bool refused;            /* something, for want of space or by a failing disk */
	char *comment;           /* or NULL */
	struct staged_ways ways; /* of its files from now on */
};

struct staging {
	struct staging_options options;
	struct stage *stage;
	struct ingest *ingest;
	char *hostname, *username;
	size_t chunk_max;

	struct mutex lock; /* guards what follows */
	struct cond changed;
	enum state state;
	bool gate;         /* closed: no change may begin */
	unsigned changing; /* changes under way */
	uint64_t changes;  /* so far */
	struct timespec last_change;
	struct table touched; /* archive's node -> struct touched */
	struct table
		dirty; /* nodes of files whose content changed since the last commit, or whose list is a
			* draft -> nothing */
	bool all_dirty;       /* ... and others, for which there was no memory */
	struct table writers; /* node -> how often it is open for writing */
	bool closing;

	struct mutex committing; /* guards what follows */
	struct resuming {        /* what is to be done yet: policy NULL: nothing */
		const struct attr_policy *policy;
		const char *take_over;
	} resuming;
	struct session *session;
	struct put *put;
	struct table drafts;  /* node -> struct draft */
	uint64_t committed;   /* changes that are durable */
	struct chunk_id seen; /* hash of the manifest when the lock went back */
	struct timespec last_commit, failed_at, mended_at;
	bool failed; /* the keeper's last commit */

	pthread_t keeper;
	bool has_keeper;
};

/* --- staging.c --- */

int64_t staging_now_ns(void); /* since the epoch */
struct touched staging_touched(struct staging *s, uint64_t archive);
void staging_mark_dirty(struct staging *s, uint64_t node); /* a file */
void staging_forget_touched(struct staging *s, uint64_t archive);
int staging_open_pipeline(struct staging *s, struct err *e);
void staging_close_pipeline(struct staging *s);
struct chunk_id staging_manifest_hash(struct staging *s); /* of the one in force */

/* --- staging_own.c --- */

/* Of an archive in the making, on the heap, maybe empty; NULL when out of memory. */
char *staging_comment(struct staging *s, uint64_t archive);
/* How the new files of an archive in the making are cut. */
const struct chunker_params *staging_chunker(struct staging *s, uint64_t archive);
/* -EINVAL they are none; -ENOSPC, -ENOMEM. */
int staging_set_chunker(struct staging *s, uint64_t archive, const struct chunker_params *p,
			struct err *e);

/* --- staging_commit.c; under `committing`, the gate closed --- */

struct listed { /* a staged archive */
	uint64_t node;
	char name[STAGE_NAME_MAX + 1];
};
/* All of them: *out, which is the caller's in any case, has struct listed. */
int staging_list(struct staging *s, struct buf *out, struct err *e);

/* What a commit does beside the checkpoints. */
struct order {
	uint64_t node;     /* this staged archive becomes archive `name`; 0: none */
	struct bytes name; /* ... or, where it is 0, */
	struct bytes
		archive; /* this archive gets the name `name`, or goes where that is empty */
};
/* All that is staged as of the change number `changes`, and what is ordered (may be NULL).  The pipeline
 * is closed afterwards. */
int staging_commit(struct staging *s, uint64_t changes, const struct order *o, struct err *e);
void staging_drop_draft(struct staging *s, uint64_t node);
/* After a transaction that was given up: what drafts remember of it is wrong. */
void staging_forget_outlines(struct staging *s);
/* --- staging_resume.c; under `committing` --- */

/* Whatever is left to be resumed.  -EBUSY somebody has the lock. */
int staging_try_resume(struct staging *s, struct err *e);

/* Its draft; NULL when out of memory. */
struct draft *staging_draft(struct staging *s, uint64_t node);

#endif
