#ifndef ARCHIVE_MANIFEST_DRAFT_H
#define ARCHIVE_MANIFEST_DRAFT_H

/*
 * manifest_draft.h - the next manifest: the present one with archives added and removed.
 *
 * What the present one says that we do not know (its configuration, item keys) is kept.
 * Source: docs/format.md "Manifest", "TAM".  Threads: one user.
 */

#include "core/archive/manifest.h"

struct manifest_draft;

/* base: NULL for a new repository. */
int manifest_draft_new(struct manifest_draft **out, const struct manifest *base, struct err *e);
void manifest_draft_free(struct manifest_draft *d); /* does nothing for NULL */
DEFINE_CLEANUP(struct manifest_draft *, manifest_draft_free);

/* Add an archive, or let the name stand for another.  time_text: as in the archive. */
int manifest_draft_set(struct manifest_draft *d, struct bytes name, const struct chunk_id *id,
		       struct bytes time_text, struct err *e);
bool manifest_draft_remove(struct manifest_draft *d, struct bytes name); /* was it there? */
/* The entry of this name, until the next change; or NULL. */
const struct manifest_entry *manifest_draft_find(const struct manifest_draft *d,
						 struct bytes name);
/* "NAME.checkpoint", or with a number behind it where that is taken: on the heap. */
int manifest_draft_checkpoint(const struct manifest_draft *d, const char *name, char **out,
			      struct err *e);
/* The i-th entry, in no order; NULL behind the last. */
const struct manifest_entry *manifest_draft_at(const struct manifest_draft *d, size_t i);

/* Replace out's content by the plaintext: its time, which timestamp (may be NULL) gets, is later
 * than the base's, whatever the clock says, else other clients would take it for a replayed one. */
int manifest_draft_pack(const struct manifest_draft *d, const struct key *key, struct buf *out,
			char timestamp[MANIFEST_TIME_TEXT], struct err *e);

#endif
