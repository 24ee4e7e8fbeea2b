#ifndef TOOLS_CREATION_H
#define TOOLS_CREATION_H

/*
 * creation.h - the run that makes an archive, whatever its items come from: session, pipeline,
 * checkpoints, Ctrl-C, what is told, and what is reported at the end.
 *
 * Source: command-line specification, 13.2 and 13.20.
 */

#include "tools/create_args.h"

struct creation;

/* Gives all items; what is told of them goes through creation_status() and creation_warning(). */
typedef int creation_fill(void *arg, struct creation *c, struct create *create, struct err *e);

int creation_run(struct run *run, const struct create_args *args, creation_fill *fill,
		 void *fill_arg, struct err *e);

/* For fill: a line of --list; "PATH: why", which makes the exit status a warning. */
void creation_status(void *creation, char letter, const char *path);
void creation_warning(void *creation, const char *path, const char *why);

#endif
