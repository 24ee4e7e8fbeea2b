#ifndef ARCHIVE_MANIFEST_H
#define ARCHIVE_MANIFEST_H

/*
 * manifest.h - the list of archives: name -> id and time.
 *
 * Immutable once loaded.  Source: docs/format.md "Manifest", "TAM".
 * Errors (Borg's classes): ManifestTAMInvalid / TAMInvalid, TAMRequiredError,
 * TAMUnsupportedSuiteError, Manifest.MandatoryFeatureUnsupported, NoManifestError.
 */

#include "core/crypto/key.h"
#include "core/repo/repo.h"

struct manifest_entry {
	struct bytes name; /* NUL-terminated behind its end */
	struct chunk_id id;
	struct bytes time_text; /* as stored, ISO format, UTC */
	int64_t time_ns;        /* since the epoch */
};

struct manifest {
	struct manifest_entry *entries; /* sorted by name, bytewise */
	size_t count;
	char *timestamp; /* as stored */
	bool tam_verified;
	bool tam_required;    /* config.tam_required */
	struct chunk_id hash; /* id hash of the plaintext: names this manifest in caches */
	/* item_keys, for the resynchronisation of damaged item streams */
	struct bytes *item_keys;
	size_t item_key_count;
	struct manifest_private *priv;
};

enum manifest_operation { MANIFEST_READ, MANIFEST_CHECK, MANIFEST_WRITE, MANIFEST_DELETE };

/* From the stored object (see keyring.h: it is read before the key is known). */
int manifest_parse(struct manifest **out, const struct key *key, struct bytes object,
		   enum manifest_operation operation, struct err *e);
void manifest_free(struct manifest *m);
DEFINE_CLEANUP(struct manifest *, manifest_free);

/* The entry of this name, or NULL. */
const struct manifest_entry *manifest_find(const struct manifest *m, struct bytes name);

/* Borg's ISO times, with and without fraction, as UTC ns since the epoch. */
int manifest_parse_time(struct bytes text, int64_t *ns);

#endif
