#ifndef TOOLS_PROGRESS_H
#define TOOLS_PROGRESS_H

/*
 * progress.h - Borg's progress lines: overwritten text on standard error, or JSON.
 *
 * Source: command-line specification, 15.  Threads: one user.
 */

#include "core/base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

struct progress {
	const char *msgid;
	const char *format; /* of the text: one %f for the percentage, one %s for the name */
	uint64_t total;
	int operation;  /* number of this operation in the process */
	double step;    /* percent between two updates */
	bool one_name;  /* the name is the operation's: it is not what the step is about */
	double trigger; /* percentage that is written next */
};

/* Does anybody want to see it? */
bool progress_wanted(void);
/* The line of an archive in the making, at most five times a second; path NULL: the last one. */
struct progress_archive {
	uint64_t size, csize, new_csize, nfiles;
	double shown; /* when the last line was, seconds; start with 0 */
};
void progress_archive(struct progress_archive *p, const char *path);
/* A message of its own, without a percentage. */
void progress_message(const char *msgid, const char *text, int operation);
/* Behind `before`, `more` comes: written where `before` reaches another `step` percent. */
void progress_show(struct progress *p, uint64_t before, uint64_t more, struct bytes name);
void progress_finish(struct progress *p);

#endif
