#ifndef ARCHIVE_SELECT_H
#define ARCHIVE_SELECT_H

/*
 * select.h - which archives of a manifest are meant, and in which order.
 *
 * Borg's order of operations: name pattern, checkpoints, sort, first or last.
 * Source: command-line specification, 12.2.  Threads: no state.
 */

#include "core/archive/manifest.h"

#include <stdbool.h>

struct select_options {
	const char *prefix;  /* names beginning so; NULL: any */
	const char *glob;    /* names matching so (match_glob()); NULL: any.  A literal "sh:" in
				front is skipped: front ends pass it and mean the pattern */
	const char *sort_by; /* comma list, checked by select_sort_keys(); NULL: "timestamp" */
	unsigned first, last; /* 0: all */
	bool consider_checkpoints;
};

struct selection {
	const struct manifest_entry **entries; /* into the manifest */
	size_t count;
};

/* Is this a list of timestamp, name, archive (the same), id?  0 or -EINVAL (no sentence). */
int select_sort_keys(const char *keys);
int select_archives(struct selection *out, const struct manifest *m,
		    const struct select_options *options, struct err *e);
void selection_fini(struct selection *s); /* also a cleanup */
/* Would any option leave an archive out, or change the order? (--first, --last, names) */
bool select_is_filter(const struct select_options *options);

#endif
