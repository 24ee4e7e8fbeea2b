#ifndef PLATFORM_COMMAND_H
#define PLATFORM_COMMAND_H

/*
 * command.h - programs the user names in the environment: split like a shell would, run without one.
 *
 * The child has this process's environment without BORG_PASSPHRASE, and BORG_VERSION
 * tells which program calls.
 * Threads: no state; the environment is read.
 */

#include "core/base/err.h"
#include "core/base/secret.h"

#include <sys/types.h>

/*
 * POSIX shell words of text: blanks separate, '...' is literal, "..." knows \" and \\, and a
 * backslash elsewhere takes the next character literally.  A NULL-terminated vector.
 * Error: -EINVAL, an open quote or a backslash at the end.
 */
int command_split(const char *text, char ***out, struct err *e);
void command_words_free(char **words); /* does nothing for NULL */
DEFINE_CLEANUP(char **, command_words_free);

/*
 * Run the words and return what it writes to standard output, at most max bytes.
 * Errors: -ENOENT and the others of posix_spawnp(3); -ECANCELED where it exits with a status
 * other than 0 or dies; -EFBIG.  The sentence is that of Python's subprocess module, which
 * Borg's messages contain.
 */
int command_output(char *const *words, size_t max, struct secret **out, struct err *e);

/* Start the words with our standard streams, no signal blocked; the caller waits for *pid.
 * Errors and sentence as command_output() has them where nothing can be started. */
int command_start(char *const *words, pid_t *pid, struct err *e);
/* The same between two descriptors, which become its standard input and output.  Ctrl-C is not for
 * it: who started it decides. */
int command_start_between(char *const *words, int in_fd, int out_fd, pid_t *pid, struct err *e);
/* The same with its standard output to be read from *fd. */
int command_start_reading(char *const *words, pid_t *pid, int *fd, struct err *e);

#endif
