#ifndef FS_PUBLISH_H
#define FS_PUBLISH_H

/*
 * publish.h - a staged tree as the items of an archive.
 *
 * The archive's own directory is item ".", which has its attributes; what is in it follows, each
 * directory before what is in it, and all of that before what is beside it.
 *
 * Every content is settled.
 * Threads: nobody changes the tree or its contents meanwhile.
 */

#include "core/archive/archive_writer.h"
#include "core/archive/collect.h"
#include "fs/ingest.h"
#include "fs/stage.h"

struct publish_options {
	bool leave_out_lost; /* files whose content is lost; else one is an error */
};

struct publish_counts {
	unsigned sockets; /* what no archive can hold */
	unsigned lost;    /* files left out */
};

/*
 * Give the tree below the directory `top` to the writer.
 * -EIO, -ENOSPC, -EDQUOT: what a file holds is lost, with its path in the sentence.
 */
int publish_items(struct stage *s, uint64_t top, struct collector *collector,
		  struct archive_writer *w, const struct publish_options *options,
		  struct publish_counts *counts, struct err *e);

#endif
