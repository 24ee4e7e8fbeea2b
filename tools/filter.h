#ifndef TOOLS_FILTER_H
#define TOOLS_FILTER_H

/*
 * filter.h - a program between a file and us, that compresses what we write or expands what we read.
 *
 * Source: command-line specification, 13.19.
 */

#include "core/base/err.h"

#include <stdbool.h>
#include <sys/types.h>

struct filter {
	char *command; /* NULL: none, and fd is the file itself */
	pid_t pid;
	int fd; /* ours to write to, or to read from */
	bool inbound;
};

/* The command for --tar-filter auto, by the file's name; NULL: none. */
const char *filter_of_name(const char *path, bool decompress);

/* file becomes the filter's, whatever the result.  Without a command it is passed through. */
int filter_start(struct filter *out, const char *command, int file, bool inbound,
		 struct err *e);
/* All is written, or read: waits for the program, whose failure is an error. */
int filter_finish(struct filter *f, struct err *e);
/* After another error: the program is killed.  Does nothing after filter_finish(). */
void filter_abort(struct filter *f);

#endif
