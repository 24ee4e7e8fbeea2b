#ifndef TOOLS_PLACEHOLDERS_H
#define TOOLS_PLACEHOLDERS_H

/*
 * placeholders.h - "{hostname}-{now:%Y-%m-%d}" in locations, names and filters.
 *
 * Source: command-line specification, 8.  Threads: asks the system for host and user name.
 */

#include "core/base/bytes.h"
#include "core/base/err.h"

#include <stdint.h>

/*
 * Append text with its placeholders replaced; now_ns is the time of {now} and {utcnow}, 0 for
 * the clock's.
 * Errors: InvalidPlaceholder and PlaceholderError with Borg's texts; -EINVAL without a msgid
 * where a format is malformed.
 */
int placeholders_replace(const char *text, int64_t now_ns, struct buf *out, struct err *e);

/* An arg_convert: the field is a char *, on the heap. */
int arg_placeholders(void *field, const char *text, struct err *e);

#endif
