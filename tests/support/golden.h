#ifndef TESTS_GOLDEN_H
#define TESTS_GOLDEN_H

/*
 * golden.h - small repositories that stock borg wrote, with what is known to be in them.
 *
 * tests/golden/ holds a tarball for each and manifest.jsonl, which describes repositories and
 * items.  golden_open() unpacks one below a new folder and points Borg's environment
 * (BORG_BASE_DIR, BORG_KEYS_DIR, BORG_PASSPHRASE, the two consents) at that sandbox, so that no
 * test sees the files of another or of the user.  Run from the top folder of the checkout.
 *
 * Failures are failures of the test set-up: they abort with a sentence.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

struct golden {
	char *name;
	char *dir;          /* the sandbox: removed by golden_close() */
	char *repo;         /* path of the repository */
	char *base;         /* $BORG_BASE_DIR, empty at first */
	char *key_file;     /* NULL but for the key file modes */
	json_t *repository; /* its line of manifest.jsonl */
	json_t *items; /* array: the lines of kind "item", the tree that "full" archives hold */
};

struct golden *golden_open(const char *name);
void golden_close(struct golden *g); /* does nothing for NULL */

/* Calls fn with the name of every golden repository, sorted. */
void golden_each(void (*fn)(const char *name, void *arg), void *arg);

/* The archive's object in the repository's line, NULL where there is none of that name. */
const json_t *golden_archive(const struct golden *g, const char *archive);
/* Does the archive hold this item?  ("subset" archives list the paths that they hold.) */
bool golden_archive_has(const json_t *archive, const json_t *item);
/* A hex field of an item ("path_hex", "sha256") as bytes on the heap. */
uint8_t *golden_bytes(const json_t *item, const char *field, size_t *len);

#endif
