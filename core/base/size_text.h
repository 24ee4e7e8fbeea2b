#ifndef BASE_SIZE_TEXT_H
#define BASE_SIZE_TEXT_H

/*
 * size_text.h - a number of bytes as Borg shows it to people.
 *
 * Source: command-line specification, 2.1.  Threads: no state.
 */

#include <stdbool.h>
#include <stdint.h>

enum { SIZE_TEXT = 32 };

/* "1.00 kB", with iec "1.00 KiB"; returns out. */
const char *size_text(uint64_t bytes, bool iec, char out[SIZE_TEXT]);

#endif
