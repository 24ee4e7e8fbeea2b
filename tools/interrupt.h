#ifndef TOOLS_INTERRUPT_H
#define TOOLS_INTERRUPT_H

/*
 * interrupt.h - signals to a command that changes a repository: it ends at a place where it can.
 *
 * The first SIGINT asks to come to an end that keeps what is done.  A second one, SIGTERM and
 * SIGHUP ask to roll back and go.  A command that does not answer within some seconds, because
 * it waits for a device, is ended as it stands; its lock is then that of a dead process.
 *
 * Source: command-line specification, 16.  Threads: the questions from any.
 */

#include "tools/command.h"

struct interrupt;

/* The command answers signals itself until interrupt_stop(). */
int interrupt_start(struct interrupt **out, struct run *run, struct err *e);
void interrupt_stop(struct interrupt *i); /* does nothing for NULL */
DEFINE_CLEANUP(struct interrupt *, interrupt_stop);

bool interrupt_asked(const struct interrupt *i); /* to come to an end */
int interrupt_fatal(const struct interrupt *i);  /* the signal that asks to go at once, or 0 */
/* -EINTR where there was one; the command returns that and is ended by the signal's own words. */
int interrupt_check(const struct interrupt *i, struct err *e);
/* The exit status of a command whose rc is -EINTR by a fatal signal; else rc as it is. */
int interrupt_result(const struct interrupt *i, struct run *run, int rc);

#endif
