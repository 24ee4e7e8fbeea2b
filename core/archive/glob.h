#ifndef ARCHIVE_GLOB_H
#define ARCHIVE_GLOB_H

/*
 * glob.h - shell globs (styles fm and sh) as short programs, run on all their states at once, so
 * that no pattern is slow on any path.
 *
 * Source: command-line specification, 9.1.  Threads: a glob that was made is not changed.
 */

#include "core/archive/match.h"

struct step;
struct range;

/*
 * State i means: steps before i are done.  `rest` is the state from which anything that ends in
 * '/' (sh) or anything at all (fm) matches; where it is reached the answer is known.
 */
struct glob {
	struct step *steps;
	struct range *ranges;
	size_t count, range_count;
	size_t prefix; /* leading steps that are plain characters */
	size_t rest;   /* SIZE_MAX: none */
};

/* style: MATCH_FM or MATCH_SH.  0 or -ENOMEM; glob_fini() in either case. */
int glob_init(struct glob *g, struct bytes text, enum match_style style);
void glob_fini(struct glob *g);
/* Do these n characters (chars.h) match, all of them?  Out of memory counts as no. */
bool glob_match(const struct glob *g, const uint32_t *p, size_t n);

#endif
