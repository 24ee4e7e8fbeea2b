#ifndef REPO_INI_H
#define REPO_INI_H

/*
 * ini.h - configuration files as Python's configparser reads them, without interpolation.
 *
 *   [section]
 *   name = value            or `name: value`; names in any case, blanks around are no part
 *   	more of it         a line further in than its name's goes on with the value
 *   # or ;                  a comment, on lines of its own
 *
 * A change touches only the lines of what is changed: other sections, options that we do not know
 * and comments stay.
 * Source: docs/format.md "Configuration".  Threads: no state.
 */

#include "core/base/bytes.h"

#include <stdbool.h>

enum ini_kind {
	INI_SECTION, /* a section begins */
	INI_OPTION,
	INI_OTHER, /* a line that is none of these, nor a comment */
};

struct ini_item {
	enum ini_kind kind;
	struct bytes section; /* that it is in or begins; empty before the first one */
	struct bytes name;    /* of an option, as it is written */
	struct bytes lines;   /* whole, with those that go on */
};

struct ini_cursor {
	struct bytes rest, section; /* at first: the text, and nothing */
};

/* Everything borrows from the text.  False at its end. */
bool ini_next(struct ini_cursor *c, struct ini_item *out);
bool ini_is(const struct ini_item *item, const char *section, const char *name);
/* An option's value, its lines joined by newlines; on the heap, NULL when out of memory. */
char *ini_value(const struct ini_item *item);

bool ini_has_section(struct bytes text, const char *section);
/* 1 with *out on the heap, 0 no such option, -ENOMEM.  name in lower case. */
int ini_get(struct bytes text, const char *section, const char *name, char **out);
/* Set an option, or remove it where value is NULL; a section is made on demand and goes with its
 * last option.  0 or -ENOMEM. */
int ini_set(struct buf *text, const char *section, const char *name, const char *value);

#endif
