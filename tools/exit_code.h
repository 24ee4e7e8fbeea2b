#ifndef TOOLS_EXIT_CODE_H
#define TOOLS_EXIT_CODE_H

/*
 * exit_code.h - Borg's numbers for errors and warnings, by class.
 *
 * Source: command-line specification, 3 and 4.
 */

#include <stdbool.h>

/* The modern exit code of an error class, 2 for NULL and for classes without a number. */
int exit_code_error(const char *msgid);
/* The modern exit code of a kind of warning, 1 for NULL. */
int exit_code_warning(const char *msgid);
enum exit_class {
	EXIT_IS_SUCCESS,
	EXIT_IS_WARNING,
	EXIT_IS_ERROR,
	EXIT_IS_SIGNAL,
	EXIT_IS_OTHER
};
enum exit_class exit_classify(int rc, bool modern);

#endif
