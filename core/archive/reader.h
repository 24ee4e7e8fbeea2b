#ifndef ARCHIVE_READER_H
#define ARCHIVE_READER_H

/*
 * reader.h - a repository open for reading: repository, key, manifest, chunk fetching, in one
 * hand, each step of opening in its order.
 *
 * No lock is taken, nothing is written but the security database's three small files.
 * The manifest is replaced as a whole when others commit; who holds a reference keeps the old
 * one.
 * Threads: open and close from one; the rest from any.
 */

#include "core/archive/manifest.h"
#include "core/store/fetch.h"
#include "core/store/prompt.h"

struct reader_options {
	const struct prompt *prompt;
	struct fetch_options fetch;
};

struct reader {
	struct repo *repo;
	struct key *key;
	struct fetch *fetch;
	char *cache_dir; /* Alcove's folder for this repository, or NULL where there is none */
	struct tree_cache *trees; /* decrypted blocks of all trees; they are closed before it */
	struct reader_private *priv;
};

int reader_open(struct reader **out, const struct location *where,
		const struct reader_options *options, struct err *e);
void reader_close(struct reader *r); /* does nothing for NULL */
DEFINE_CLEANUP(struct reader *, reader_close);

/* The manifest now in force, with a reference to be given back. */
struct manifest *reader_manifest(struct reader *r);
void reader_manifest_unref(struct reader *r, struct manifest *m);

/*
 * Follow the repository.  1: there is a new manifest; 0: nothing new; -errno: the new one cannot
 * be believed and the last good one stays in force.
 */
int reader_refresh(struct reader *r, struct err *e);
/* The same, also where the repository says that nothing has changed: whoever has just locked it, or
 * committed, wants to be sure.  *object (may be NULL) gets the stored manifest. */
int reader_reload(struct reader *r, struct buf *object, struct err *e);

#endif
