#ifndef TOOLS_PASSPHRASE_H
#define TOOLS_PASSPHRASE_H

/*
 * passphrase.h - questions to the person at the terminal, as Borg asks them.
 *
 * Source: command-line specification, 5.1 and 5.2; implements core/store/prompt.h.
 * Threads: one.
 */

#include "core/store/prompt.h"

struct prompt terminal_prompt(void);
/* Something that may destroy data: only the word YES goes on, at the terminal or as the value of the
 * variable.  Says itself why not. */
bool terminal_confirm_danger(const char *text, const char *env_name);
/* Echo on again, if a question had switched it off: for leaving by a signal. */
void terminal_restore(void);

#endif
