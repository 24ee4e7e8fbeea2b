#ifndef ARCHIVE_CHECK_INTERNAL_H
#define ARCHIVE_CHECK_INTERNAL_H

/* check_internal.h - what check.c, check_objects.c and check_items.c share. */

#include "core/archive/archive.h"
#include "core/archive/check.h"
#include "core/archive/manifest_draft.h"
#include "core/base/log.h"
#include "core/base/table.h"
#include "core/store/object.h"
#include "core/store/stream.h"

#define CHECK_LOGGER "borg.archive"

enum object_state { /* bits */
		    OBJECT_REFERENCED = 1,
		    OBJECT_SUPERSEDED = 2, /* another has taken its place, maybe */
};

struct check {
	struct repo *repo;
	const struct archive_check_options *options;
	struct key *key;
	struct table objects; /* chunk_id -> uint8_t of enum object_state; all that are there */
	struct stream *stream; /* drained by whoever uses it */
	struct unsealer *unsealer;
	struct manifest *manifest; /* as it is; a new one's beginning where there is none */
	struct manifest_draft *draft;
	struct nonces *nonces; /* repair only, as the next one */
	struct sealer *sealer;
	bool error_found;
};

#define report(c, ...)                                                                         \
	do {                                                                                   \
		(c)->error_found = true;                                                       \
		log_error(CHECK_LOGGER, __VA_ARGS__);                                          \
	} while (0)

/* --- check.c --- */

uint8_t *check_state(const struct check *c, const struct chunk_id *id); /* NULL: not there */
void check_reference(struct check *c, const struct chunk_id *id);
void check_supersede(struct check *c,
		     const struct chunk_id *id); /* where nobody refers to it */
void check_progress(const struct check *c, enum archive_check_step step, size_t done,
		    size_t total);
/* Store a plaintext, unless it is there, and refer to it.  *csize (may be NULL): of the stored
 * object, 0 where it was there. */
int check_store(struct check *c, struct bytes plain, struct chunk_id *id, uint32_t *csize,
		struct err *e);

/* --- check_objects.c: all objects, in the order of the disk --- */

int check_verify_data(struct check *c, struct err *e);
int check_rebuild_manifest(struct check *c, struct err *e);

/* --- check_items.c: one archive's items --- */

/* 0; 1 the archive was rewritten, *id is its new object's; -errno. */
int check_items(struct check *c, const struct archive *a, struct bytes name,
		struct chunk_id *id, struct err *e);

#endif
