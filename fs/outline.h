#ifndef FS_OUTLINE_H
#define FS_OUTLINE_H

/*
 * outline.h - a staged archive as it was written last, so that the next checkpoint writes only what
 * has changed since (design decision 7).
 *
 * The item stream of a checkpoint is a sequence of sections, each of a few hundred items and
 * in chunks of its own.  A section consists of units: a directory's own item and a range of the names in
 * it that are no directories.  Units are in the order of a walk: a directory, what is in it, then what
 * is beside it.  A section none of whose units has changed is kept as it lies in the repository; of
 * one that is written anew, what the old one referred to is read from there, so that nothing of the
 * size of the tree is in memory but a record for each directory, and no reference is counted
 * again but those of sections that change.
 *
 * What changes a node makes the mark of the section stale that has its item (stage.h).  What else makes a
 * unit another one: names that came or went, and another path of the directory.  Where anything about
 * a hard link has changed, all sections with hard links are written.
 *
 *   outline_plan -> outline_drop (references that go) -> archive_writer_new -> outline_write ->
 *   archive_writer_save -> outline_complete
 *
 * Threads: one user; nobody changes the tree or its contents meanwhile.
 */

#include "core/archive/reader.h"
#include "core/store/chunk_index.h"
#include "fs/staged_item.h"

struct outline;

/* Its marks go.  Does nothing for NULL. */
void outline_free(struct outline *o);
DEFINE_CLEANUP(struct outline *, outline_free);
/* The archive object that it is of. */
const struct chunk_id *outline_archive(const struct outline *o);
/* What no archive can hold, in all sections. */
struct item_counts outline_counts(const struct outline *o);

/* How the stream of a checkpoint is cut. */
extern const struct chunker_params OUTLINE_CHUNKER;

struct outline_plan;

/* What is to be written of the tree below `top`, and what can be kept of `old` (NULL: nothing). */
int outline_plan_new(struct outline_plan **out, struct stage *s, uint64_t top,
		     struct outline *old, struct err *e);
void outline_plan_free(struct outline_plan *p);
DEFINE_CLEANUP(struct outline_plan *, outline_plan_free);

/* What the sections that are not kept refer to is dropped from refs.  Nothing was stored yet.  An error:
 * the archive cannot be read back; it can be written as a whole. */
int outline_drop(const struct outline_plan *p, struct reader *r, struct chunk_refs *refs,
		 struct err *e);
/* Give all of it to out->writer.  From now on `old` is good for nothing but outline_free(). */
int outline_write(struct outline_plan *p, struct item_out *out, struct err *e);
/* The outline of what was written and saved. */
int outline_complete(struct outline_plan *p, const struct archive_writer *w,
		     const struct chunk_id *archive, struct outline **out, struct err *e);

#endif
