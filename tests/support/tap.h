#ifndef TESTS_TAP_H
#define TESTS_TAP_H

/*
 * tap.h - what every unit test includes: cmocka with TAP output, tables of rows, files in
 * memory.
 *
 * run_table(rows, fn) runs fn once for each row; a row is a struct whose first member is
 * `const char *name`.  cmocka leaves a failing test by longjmp, so cleanup attributes do not
 * run: what outlives the process belongs to setup and teardown.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

int run_rows(const char *group, const void *rows, size_t row_size, size_t count,
	     void (*fn)(const void *row));
#define run_table(rows, fn)                                                                    \
	run_rows(__FILE__, rows, sizeof((rows)[0]), sizeof(rows) / sizeof((rows)[0]), fn)

/* A descriptor of an anonymous file with these bytes, at position 0. */
int memory_file(const void *content, size_t len);
/* Bytes from hex text, blanks ignored; on the heap, *len set. */
uint8_t *unhex(const char *text, size_t *len);
/* A new empty folder below $TMPDIR or /tmp, removed by test_dir_remove(); on the heap. */
char *test_dir_make(void);
void test_dir_remove(char *path);
/* Seed for random tests: $ALCOVE_TEST_SEED or the clock; printed so that a failure repeats. */
uint64_t test_seed(void);
/* Small counts by default, `large` when $ALCOVE_SOAK is set (make soak). */
size_t test_count(size_t small, size_t large);

#endif
