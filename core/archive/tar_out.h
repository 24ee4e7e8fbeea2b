#ifndef ARCHIVE_TAR_OUT_H
#define ARCHIVE_TAR_OUT_H

/*
 * tar_out.h - items as a tar stream, as Borg exports them: GNU format, times in seconds, owners by
 * name and number, hard links as links; no attributes, ACLs or flags.
 *
 * Source: command-line specification, 13.19.  Threads: one user.
 */

#include "core/archive/item.h"
#include "core/base/cleanup.h"

struct tar_out;

/* To fd, which stays the caller's. */
int tar_out_open(struct tar_out **out, int fd, struct err *e);
void tar_out_free(struct tar_out *t); /* without an end where tar_out_finish() was not called */
DEFINE_CLEANUP(struct tar_out *, tar_out_free);

/* The next entry, named `path`; a link to `link` where that is not empty; else exactly `size` bytes
 * of content follow.  1: tar has no such kind of file. */
int tar_out_item(struct tar_out *t, const struct item *it, struct bytes path, struct bytes link,
		 uint64_t size, struct err *e);
int tar_out_content(struct tar_out *t, const uint8_t *p, size_t len, struct err *e);
/* The end of the stream, and everything written. */
int tar_out_finish(struct tar_out *t, struct err *e);

#endif
