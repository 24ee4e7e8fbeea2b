#ifndef REPO_DESCRIPTORS_H
#define REPO_DESCRIPTORS_H

/*
 * descriptors.h - the segments that are open for reading, those used longest ago closed first.
 *
 * Numbers of uncommitted segments are used again by Borg, and so are file names: whoever finds
 * something wrong at a place drops the descriptor and looks at the file that is there now.
 * Threads: any.
 */

#include "core/base/thread.h"
#include "core/repo/segment.h"

enum { DESCRIPTORS_MAX = 64 };

struct descriptors {
	int dirfd; /* the repository's folder; the owner's */
	uint32_t segments_per_dir;
	struct mutex lock; /* guards what follows */
	struct {
		struct segment *segment; /* NULL: a free slot */
		uint64_t used;           /* tick of the last use */
	} open[DESCRIPTORS_MAX];
	uint64_t tick;
};

/* dirfd and segments_per_dir are set by the owner before the first segment is asked for. */
void descriptors_init(struct descriptors *d);
void descriptors_fini(struct descriptors *d);

/* A reference to the segment, opened where it is not.  Errors: -ENOENT and others of open(2);
 * those of segment_open(). */
int descriptors_get(struct descriptors *d, uint32_t number, struct segment **out,
		    struct err *e);
void descriptors_drop(struct descriptors *d, uint32_t number);

#endif
