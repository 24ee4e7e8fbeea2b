#ifndef TOOLS_DELETION_H
#define TOOLS_DELETION_H

/*
 * deletion.h - archives deleted one by one, as `delete` and `prune` do it: committed now and then, and
 * when the user wants an end.
 */

#include "tools/command.h"
#include "tools/interrupt.h"
#include "tools/stats.h"

#include <time.h>

struct deletion {
	struct run *run;
	struct reader *reader;
	struct session *session;
	struct interrupt *interrupt;
	int checkpoint_interval; /* seconds; 0: only at the end */
	unsigned force;          /* 1: damaged archives, too */
	bool stats;
	struct timespec last_commit;
	struct chunk_totals before;
	size_t uncommitted;
};

/* Open the repository for it.  deletion_close() in any case. */
int deletion_open(struct deletion *d, struct run *run, const struct location *where,
		  struct err *e);
void deletion_close(struct deletion *d);

/* One archive.  1: it is done, and the user wants an end. */
int deletion_remove(struct deletion *d, struct bytes name, struct err *e);
/* Commit what is left, print statistics, give the lock back. */
int deletion_finish(struct deletion *d, struct err *e);

#endif
