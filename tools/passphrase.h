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
/* Echo on again, if a question had switched it off: for leaving by a signal. */
void terminal_restore(void);

#endif
