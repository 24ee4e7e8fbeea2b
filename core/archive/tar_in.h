#ifndef ARCHIVE_TAR_IN_H
#define ARCHIVE_TAR_IN_H

/*
 * tar_in.h - a tar stream (v7, ustar, pax, GNU) as items, as Borg imports them: paths made
 * relative, times not before 1970, hard links as references to an earlier path.
 *
 * Source: command-line specification, 13.20.
 * Threads: one, the same from open to free: names are read in a locale of that thread.
 */

#include "core/archive/item.h"
#include "core/base/cleanup.h"

#include <sys/types.h>

struct tar_in;

struct tar_entry {        /* until the next call */
	const char *name; /* as the tar has it */
	char letter; /* of --list; 'E': of a kind that no archive has, and nothing below is set */
	bool has_content;
	struct item item;
};

/* ignore_zeros: go on behind an end, as after `cat a.tar b.tar`. */
int tar_in_open(struct tar_in **out, int fd, bool ignore_zeros, struct err *e);
void tar_in_free(struct tar_in *t);
DEFINE_CLEANUP(struct tar_in *, tar_in_free);

/* 1 the next entry; 0 the end; -errno: not a tar, cut off, unreadable. */
int tar_in_next(struct tar_in *t, struct tar_entry *out, struct err *e);
/* The entry's content; 0 at its end.  Holes are zeros. */
ssize_t tar_in_read(struct tar_in *t, uint8_t *p, size_t len, struct err *e);

#endif
