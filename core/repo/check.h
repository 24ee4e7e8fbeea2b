#ifndef REPO_CHECK_H
#define REPO_CHECK_H

/*
 * check.h - a local repository's log checked and repaired.
 *
 * The log alone says what is in the repository; index and hints are compared with it, and in
 * repair made from it.  A damaged segment counts as empty, or is written anew with the entries
 * that can still be found in it.
 *
 * Source: docs/format.md "Repository check".
 * Threads: none but its own; nobody else uses the repository meanwhile.
 */

#include "core/repo/writer.h"

/* See repo_check().  locked: the exclusive lock is held, so files may be written. */
int check_log(const struct writer_home *home, const struct repo_check_options *options,
	      bool locked, struct err *e);

#endif
