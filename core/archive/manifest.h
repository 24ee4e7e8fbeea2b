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
	struct bytes config;  /* the packed map: what we do not know is kept */
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
/* What a new repository begins with: no archive, no time. */
int manifest_empty(struct manifest **out, struct err *e);
void manifest_free(struct manifest *m);
DEFINE_CLEANUP(struct manifest *, manifest_free);

/* Does it demand a feature for the operation, all of which we lack?  0 or
 * Manifest.MandatoryFeatureUnsupported. */
int manifest_check_features(const struct manifest *m, enum manifest_operation operation,
			    struct err *e);

/* The entry of this name, or NULL. */
const struct manifest_entry *manifest_find(const struct manifest *m, struct bytes name);

/* Borg's ISO times, with and without fraction, as UTC ns since the epoch. */
int manifest_parse_time(struct bytes text, int64_t *ns);
/* As Borg writes them: UTC, six digits of a second.  The longest has 26 characters. */
enum { MANIFEST_TIME_TEXT = 32 };
const char *manifest_format_time(int64_t ns, char out[MANIFEST_TIME_TEXT]);

#endif
