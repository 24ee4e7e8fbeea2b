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
	const char *format; /* of the text: one %f for the percentage, one %s for the path */
	uint64_t total;
	int operation; /* number of this operation in the process */
	double shown;  /* percentage last written; below 0: none */
};

/* Does anybody want to see it? */
bool progress_wanted(void);
/* A message of its own, without a percentage. */
void progress_message(const char *msgid, const char *text, int operation);
/* Every step of `steps` percent is written once. */
void progress_show(struct progress *p, uint64_t current, struct bytes path);
void progress_finish(struct progress *p);

#endif
