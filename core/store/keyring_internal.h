#ifndef STORE_KEYRING_INTERNAL_H
#define STORE_KEYRING_INTERNAL_H

/* keyring_internal.h - what keyring.c, which finds and opens keys, has for keyring_keep.c. */

#include "core/store/keyring.h"

#define KEYRING_MAGIC "BORG_KEY "

/* What is done with a passphrase that the environment gives. */
struct passphrase_use {
	int (*fn)(void *arg, struct bytes passphrase, struct err *e);
	void *arg;
};

enum { PASSPHRASE_NOT_DEFINED = 1 };

/* The passphrase that the environment defines, in Borg's order; PASSPHRASE_NOT_DEFINED where it does
 * not. */
int keyring_use_defined(const struct passphrase_use *u, struct err *e);
/* NoPassphraseFailure */
int keyring_nobody_there(struct err *e);
/* Make path absolute and remove "//", "/./" and "/../" from the text, without looking at links. */
char *keyring_absolute(const char *path);
/* The file that a new copy of the key goes to: $BORG_KEY_FILE, there or not, or one of the keys
 * folder that begins like this repository's key.  -ENOENT where there is none. */
int keyring_file_to_replace(struct repo *repo, char **out, struct err *e);

#endif
