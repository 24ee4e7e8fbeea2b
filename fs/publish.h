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

/*
 * Give the tree below the directory `top` to the writer.  *sockets counts what no archive can hold.
 * -EIO: what a file holds is lost, with its path in the sentence.
 */
int publish_items(struct stage *s, uint64_t top, struct collector *collector,
		  struct archive_writer *w, unsigned *sockets, struct err *e);

#endif
