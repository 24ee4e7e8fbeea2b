#ifndef REPO_HINTS_H
#define REPO_HINTS_H

/*
 * hints.h - hints.N: what each segment still holds, what compaction could free, and which
 * segments hold superseded copies of an object.
 *
 * Borg keeps these numbers with each operation and later versions warn where they are wrong, so
 * every change of the log goes with its change here (docs/format.md "Accounting").
 *
 * Source: docs/format.md "Auxiliary files".
 * Threads: one user.
 */

#include "core/base/cleanup.h"
#include "core/base/err.h"
#include "core/base/id.h"
#include "core/base/table.h"

#include <stdbool.h>

struct segment_use {
	int64_t live;     /* PUTs in it that the index names */
	int64_t freeable; /* bytes */
	bool listed;      /* among hints' "segments" */
	bool sparse;      /* among hints' "compact" */
};

struct hints {
	struct table segments; /* uint64_t number -> struct segment_use */
	struct table shadow;   /* chunk_id -> struct shadow */
	int64_t quota_use;     /* bytes of all PUT entries in the log */
};

/* Segments with a superseded or deleted PUT of an object, oldest first, repeats possible. */
struct shadow {
	uint32_t count, cap;
	union {
		uint32_t few[2];
		uint32_t *many; /* where cap > 2 */
	} v;
};

void hints_init(struct hints *h);
void hints_fini(struct hints *h); /* also a cleanup */

/*
 * Read hints.N, its digest compared, segments behind the transaction dropped from the shadow
 * lists.  1 read; 0 missing, damaged or of Borg 1.0: to be made from the log again.
 * Errors: -ENOTSUP a version we do not know; -ENOMEM.
 */
int hints_read(struct hints *h, int dirfd, uint32_t transaction, struct err *e);
/* Append the file's bytes; 0 or -ENOMEM. */
int hints_pack(const struct hints *h, struct buf *out);
/* The digest of the packed bytes, as JSON text for integrity.N. */
int hints_digest(struct bytes packed, uint32_t transaction, struct buf *text);

/* NULL where nothing is known of the segment. */
struct segment_use *hints_segment(const struct hints *h, uint32_t number);
int hints_list(struct hints *h, uint32_t number);              /* with 0 where new */
int hints_live(struct hints *h, uint32_t number, int64_t add); /* lists it too */
int hints_freeable(struct hints *h, uint32_t number, int64_t add);
int hints_set_freeable(struct hints *h, uint32_t number, int64_t bytes);
void hints_forget_segment(struct hints *h, uint32_t number);
/* Numbers of the segments in "compact", ascending; the caller frees. */
int hints_sparse(const struct hints *h, uint32_t **out, size_t *count);

int hints_shadow_add(struct hints *h, const struct chunk_id *id, uint32_t segment);
void hints_shadow_drop(struct hints *h, const struct chunk_id *id, uint32_t segment); /* one */
/* NULL where the object has no list, which is not the same as an empty one. */
const struct shadow *hints_shadow(const struct hints *h, const struct chunk_id *id);
bool shadow_has_below(const struct shadow *s, uint32_t segment);
void hints_shadow_forget(struct hints *h, const struct chunk_id *id);

#endif
