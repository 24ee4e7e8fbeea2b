#ifndef TOOLS_TEXT_H
#define TOOLS_TEXT_H

/*
 * text.h - bytes and numbers as Borg prints them.
 *
 * Source: command-line specification, 2.1 and 10.1.  Threads: no state.
 */

#include "core/base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

/* Length of the valid UTF-8 character at p, 0 where there is none. */
size_t text_utf8(const uint8_t *p, size_t len);
/* b itself where it is UTF-8; else a copy in scratch with "?" for each undecodable byte. */
struct bytes text_clean(struct bytes b, struct buf *scratch);
/* "drwxr-xr-x" and a NUL. */
void text_mode(uint32_t mode, char out[11]);
/* A word as a shell would need it quoted, as Python's shlex.quote(). */
int text_shell_quote(struct bytes word, struct buf *out);
/* "1 hours 2 minutes 3.00 seconds" */
int text_duration(double seconds, struct buf *out);

#endif
