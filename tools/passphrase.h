#ifndef TOOLS_PASSPHRASE_H
#define TOOLS_PASSPHRASE_H

/*
 * passphrase.h - questions to the person at the terminal, as Borg asks them.
 *
 * Source: command-line specification, 5.1 and 5.2; implements core/store/prompt.h.
 * Threads: one.
 */

#include "core/store/prompt.h"

#include <sys/types.h>

struct prompt terminal_prompt(void);
/* Something that may destroy data: only the word YES goes on, at the terminal or as the value of the
 * variable.  Says itself why not. */
bool terminal_confirm_danger(const char *text, const char *env_name);
/* One line of standard input without its newline, as text; what does not fit is left out.  Its
 * length, or -1 at the end. */
ssize_t terminal_line(char *out, size_t size);
/* Echo on again, if a question had switched it off: for leaving by a signal. */
void terminal_restore(void);

#endif
