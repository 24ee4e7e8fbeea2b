#ifndef REPO_LOCATION_H
#define REPO_LOCATION_H

/*
 * location.h - where a repository is: "/path", "ssh://user@host:port/path", "...::archive".
 *
 * Source: command-line specification, 7 (docs/command-line.md names it).
 * Placeholders are replaced by the caller before parsing.
 */

#include "core/base/cleanup.h"
#include "core/base/err.h"

#include <stdbool.h>

enum location_proto { LOCATION_FILE, LOCATION_SSH };

struct location {
	enum location_proto proto;
	char *user;    /* NULL where not given */
	char *host;    /* ssh only; brackets of an IPv6 address kept */
	char *port;    /* digits, or NULL */
	char *path;    /* normalised, as the user gave it (may be relative) */
	char *archive; /* NULL where not given */
};

/*
 * Parse text; where it is empty, "::" or "::ARCHIVE", `fallback` (BORG_REPO, may be NULL) gives
 * the repository.  Error: -EINVAL with Borg's `Invalid location format: "..."`.
 */
int location_parse(struct location *out, const char *text, const char *fallback, struct err *e);
void location_fini(struct location *l); /* also a cleanup */
/* Borg's canonical form; local paths made absolute by `cwd`.  On the heap. */
char *location_canonical(const struct location *l);

#endif
