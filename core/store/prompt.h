#ifndef STORE_PROMPT_H
#define STORE_PROMPT_H

/*
 * prompt.h - how the engine asks a person: the command line implements it, a test scripts it.
 *
 * The environment (BORG_PASSPHRASE and the others, BORG_*_IS_OK) is looked at by keyring.c and
 * security.c; what reaches these functions is really meant for a terminal.
 */

#include "core/base/err.h"
#include "core/base/secret.h"

#include <stdbool.h>

struct prompt {
	void *arg;
	/* Ask for a passphrase without echo.  -ENOTTY (and no sentence) where nobody is there. */
	int (*passphrase)(void *arg, const char *text, struct secret **out, struct err *e);
	/*
	 * A yes/no question: `text`, answered by environment variable env_name where set, else at
	 * the terminal; false is the default.  Follows command-line specification 5.1, JSON
	 * question_* lines included.  msgid is Borg's, `false_text` is shown on no.
	 */
	bool (*confirm)(void *arg, const char *msgid, const char *text, const char *false_text,
			const char *env_name);
	/* Offer to show a new passphrase that was typed ($BORG_DISPLAY_PASSPHRASE answers).  NULL:
	 * never. */
	void (*display)(void *arg, struct bytes passphrase);
};

#endif
