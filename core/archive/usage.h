#ifndef ARCHIVE_USAGE_H
#define ARCHIVE_USAGE_H

/*
 * usage.h - which chunks the archives use, and how often: the numbers of `info`.
 *
 * Counted from the archives themselves: the archive object, its item stream's chunks and every
 * chunk of every item, each reference once, as Borg's chunks cache counts them.
 * Threads: one user while adding; then any number may look.
 */

#include "core/archive/archive.h"
#include "core/archive/reader.h"
#include "core/base/table.h"

struct usage_chunk {
	uint64_t refs;
	uint32_t size;  /* plaintext */
	uint32_t csize; /* stored object */
};

struct usage {
	struct table chunks; /* id -> struct usage_chunk */
};

struct usage_totals { /* over distinct chunks, and over all references */
	uint64_t unique_chunks, unique_size, unique_csize;
	uint64_t chunks, size, csize;
};

struct usage_content { /* an archive's files; part files are not counted */
	uint64_t size, csize, nfiles;
};

void usage_init(struct usage *u);
void usage_fini(struct usage *u); /* also a cleanup */

/* Tells that chunk `index` of the archive's item stream is being read. */
struct usage_watch {
	void (*chunk)(void *arg, size_t index);
	void *arg;
};

/* Add one archive.  *content is counted from its items; it and watch may be NULL. */
int usage_add(struct usage *u, struct reader *r, const struct archive *a,
	      struct usage_content *content, const struct usage_watch *watch, struct err *e);
/* Sizes that archives did not know (0) are asked of the repository. */
int usage_complete(struct usage *u, struct repo *repo, struct err *e);

const struct usage_chunk *usage_get(const struct usage *u, const struct chunk_id *id);
void usage_totals(const struct usage *u, struct usage_totals *out);
/* Of the chunks in `part`: those whose references are all in it, none elsewhere in `all`. */
void usage_only_in(const struct usage *part, const struct usage *all, struct usage_totals *out);

/* What the archive says of its content, counted where it says nothing. */
int usage_of_archive(struct reader *r, const struct archive *a, struct usage_content *out,
		     struct err *e);

#endif
