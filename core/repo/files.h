#ifndef REPO_FILES_H
#define REPO_FILES_H

/*
 * files.h - which segments and index files a repository's folder holds now.
 *
 * A listing is a moment's picture of a folder that others change; every use of it must cope
 * with files that are gone.  Names that are not numbers are ignored, as Borg does.
 * Threads: no state.
 */

#include "core/base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct segment_list {
	uint32_t *numbers; /* ascending */
	size_t count, cap;
};

/* Segments with a number of at least `from`. */
int files_segments(int dirfd, uint32_t segments_per_dir, uint32_t from,
		   struct segment_list *out, struct err *e);
void segment_list_fini(struct segment_list *l);

/* The highest N of a non-empty index.N; 1 found, 0 none, -errno. */
int files_newest_index(int dirfd, uint32_t *out, struct err *e);

/* Open data/D/S; -errno without a sentence. */
int files_open_segment(int dirfd, uint32_t segments_per_dir, uint32_t number);

/* What changes whenever somebody commits: cheap to take, compared for equality. */
struct files_mark {
	struct timespec root, data, newest;
	uint32_t newest_dir;
};
int files_mark(int dirfd, struct files_mark *out);
bool files_mark_equal(const struct files_mark *a, const struct files_mark *b);

#endif
