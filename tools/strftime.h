#ifndef TOOLS_STRFTIME_H
#define TOOLS_STRFTIME_H

/*
 * strftime.h - times as Borg prints them: local, C locale, Python's directives.
 *
 * Source: command-line specification, 10.2.  Threads: localtime_r and the time zone only.
 */

#include "core/base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

/* Append ns since the epoch by a strftime format; %f is the microseconds.  0 or -ENOMEM. */
int time_format(int64_t ns, bool utc, const char *format, struct buf *out);
/* "Sun, 2026-11-22 12:57:30" */
int time_text(int64_t ns, struct buf *out);
/* "2026-11-22T12:57:30.000000" */
int time_iso(int64_t ns, struct buf *out);

#endif
