#ifndef ARCHIVE_CHARS_H
#define ARCHIVE_CHARS_H

/*
 * chars.h - paths as the sequences of characters that Python sees: UTF-8 decoded, and a byte that
 * is not UTF-8 a (private) character of its own.
 *
 * Threads: no state.
 */

#include "core/base/bytes.h"

#include <stdbool.h>

/* out has room for one character a byte; returns their number. */
size_t chars_decode(struct bytes text, uint32_t *out);
bool chars_are_utf8(struct bytes text);
/* The same characters as valid UTF-8, appended; 0 or -ENOMEM. */
int chars_to_utf8(struct bytes text, struct buf *out);

#endif
