#ifndef ARCHIVE_MATCH_H
#define ARCHIVE_MATCH_H

/*
 * match.h - Borg's include and exclude patterns: fm, sh, re, pp, pf.
 *
 * Source: command-line specification, 9.  A matcher is built, then used; matching marks
 * include-patterns as used, for the "never matched" warning.
 * Threads: build from one; match_path() from any (the marks are atomic).
 */

#include "core/base/bytes.h"
#include "core/base/cleanup.h"
#include "core/base/err.h"

#include <stdbool.h>

enum match_style { MATCH_FM, MATCH_SH, MATCH_RE, MATCH_PP, MATCH_PF };

enum match_command {                           /* lines of --pattern and --patterns-from */
		     MATCH_ROOT,               /* R path */
		     MATCH_STYLE,              /* P style */
		     MATCH_EXCLUDE,            /* - pattern */
		     MATCH_EXCLUDE_NO_RECURSE, /* ! pattern */
		     MATCH_INCLUDE,            /* + pattern */
};

struct matcher;

int matcher_new(struct matcher **out, struct err *e);
void matcher_free(struct matcher *m);
DEFINE_CLEANUP(struct matcher *, matcher_free);

/* Each adds in the order of the command line.  Errors: -EINVAL with Borg's text, -ENOENT no such
 * style, or with a msgid no such file. */
int matcher_exclude(struct matcher *m, const char *pattern, struct err *e); /* -e */
int matcher_exclude_from(struct matcher *m, const char *file, struct err *e);
int matcher_pattern(struct matcher *m, const char *line, struct err *e); /* --pattern */
int matcher_patterns_from(struct matcher *m, const char *file, struct err *e);
/* PATH arguments of extract, list, mount: default style pp; when any is given, only what they
 * match is included. */
int matcher_include_paths(struct matcher *m, char *const *paths, size_t count, struct err *e);

struct match_result {
	bool included;
	bool recurse; /* into a directory: false below a "!" */
};
struct match_result matcher_match(struct matcher *m, struct bytes path);
bool matcher_is_trivial(const struct matcher *m); /* everything matches */
/* PATH arguments that matched nothing, one at a time; NULL at the end. */
const char *matcher_unmatched(const struct matcher *m, size_t *cursor);
/* Roots collected from R lines (for create). */
const char *matcher_root(const struct matcher *m, size_t index);

/* A shell glob over a whole archive name, as --glob-archives has it. */
bool match_glob(const char *glob, struct bytes name);

#endif
