/*
 * compact.c - copies what is alive out of sparse segments, and removes them.
 *
 * A segment is removed only after the COMMIT behind its copies.  A DELETE is kept as long as an
 * older PUT of the object may still be in the log, and while the index on disk does not know of it:
 * a power cut may undo the removal of one segment and not of another, and no object may rise from
 * the dead by that (docs/format.md "Compaction").  So the oldest segment goes first, and before one
 * whose DELETEs were not kept, the removal of all others is on disk.
 */

#include "core/repo/writer_internal.h"

#include "core/base/log.h"
#include "core/repo/segment.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

static const char logger[] = "borg.repository";

struct unused {
	uint32_t number;
	bool ended; /* an object whose DELETE was in it, and is nowhere any more */
};

struct compaction {
	struct writer *w;
	bool has_settled;
	uint32_t settled;      /* transaction of the index on disk */
	bool ended;            /* in the segment that is being copied: see above */
	struct unused *unused; /* segments copied, to be removed behind the next COMMIT */
	size_t unused_count;
	bool dir_dirty; /* a segment was removed from ... */
	uint32_t dir;   /* ... this folder */
};

static int sync_removals(struct compaction *c, struct err *e)
{
	int rc = c->dir_dirty ? writer_sync_folder(c->w, c->dir, e) : 0;

	c->dir_dirty = false;
	return rc;
}

static int remove_segment(struct compaction *c, const struct unused *u, struct err *e)
{
	uint32_t dir = u->number / c->w->home.folder->segments_per_dir;
	int rc = u->ended || dir != c->dir ? sync_removals(c, e) : 0;

	c->dir = dir;
	c->dir_dirty = true;
	return rc < 0 ? rc : writer_remove_segment(c->w, u->number, e);
}

static int remove_unused(struct compaction *c, struct err *e)
{
	for (size_t i = 0; i < c->unused_count; i++) {
		uint32_t number = c->unused[i].number;
		const struct segment_use *use = hints_segment(&c->w->hints, number);
		int rc;

		if (use && use->live != 0)
			log_warning(logger,
				    "Corrupted segment reference count - corrupted index or "
				    "hints: segment %" PRIu32,
				    number);
		hints_forget_segment(&c->w->hints, number);
		rc = remove_segment(c, &c->unused[i], e);
		if (rc < 0)
			return rc;
	}
	c->unused_count = 0;
	return 0;
}

/* The copies are durable; what they were copied from goes. */
static int complete(struct compaction *c, bool intermediate, struct err *e)
{
	int rc = writer_write_commit(c->w, intermediate, e);

	return rc < 0 ? rc : remove_unused(c, e);
}

static int make_room(struct compaction *c, const struct chunk_id *id, struct err *e)
{
	return segment_writer_is_full(c->w->log, id) ? complete(c, true, e) : 0;
}

static int copy_put(struct compaction *c, const struct segment_entry *entry, uint32_t from,
		    struct err *e)
{
	struct hints *h = &c->w->hints;
	struct place at;
	int rc = make_room(c, &entry->id, e);

	if (rc == 0)
		rc = segment_writer_put(c->w->log, &entry->id, entry->payload, &at, e);
	if (rc == 0)
		rc = writer_change(c->w, &entry->id, at, e);
	if (rc == 0 && (hints_live(h, at.segment, 1) < 0 || hints_live(h, from, -1) < 0))
		rc = err_nomem(e, "hints");
	return rc;
}

static void drop_put(struct compaction *c, const struct segment_entry *entry, uint32_t from)
{
	hints_shadow_drop(&c->w->hints, &entry->id, from);
	c->w->hints.quota_use -= entry->size;
}

static int keep_delete(struct compaction *c, const struct chunk_id *id, struct err *e)
{
	struct hints *h = &c->w->hints;
	struct place at;
	int rc = make_room(c, id, e);

	if (rc == 0)
		rc = segment_writer_delete(c->w->log, id, &at, e);
	if (rc == 0 && (hints_freeable(h, at.segment, SEGMENT_KEYED_HEAD) < 0 ||
			hints_list(h, at.segment) < 0))
		rc = err_nomem(e, "hints");
	return rc;
}

static int handle_delete(struct compaction *c, const struct chunk_id *id, uint32_t from,
			 struct err *e)
{
	const struct shadow *shadow = hints_shadow(&c->w->hints, id);
	bool older_put = !shadow || shadow_has_below(shadow, from);
	bool unsettled = !c->has_settled || from > c->settled;

	if (older_put || unsettled)
		return keep_delete(c, id, e);
	c->ended = true;
	if (shadow->count == 0)
		hints_shadow_forget(&c->w->hints, id);
	return 0;
}

static int handle_entry(struct compaction *c, const struct segment_entry *entry,
			struct place here, struct err *e)
{
	struct place at = { UINT32_MAX, 0 };
	bool alive = entry->tag != SEGMENT_COMMIT && writer_lookup(c->w, &entry->id, &at);

	switch (entry->tag) {
	case SEGMENT_COMMIT: return 0;
	case SEGMENT_DELETE: return alive ? 0 : handle_delete(c, &entry->id, here.segment, e);
	case SEGMENT_PUT: break;
	}
	if (alive && at.segment == here.segment && at.off == here.off)
		return copy_put(c, entry, here.segment, e);
	drop_put(c, entry, here.segment);
	return 0;
}

static int compact_segment(struct compaction *c, uint32_t number, struct err *e)
{
	CLEANUP(segment_closep) struct segment *s = NULL;
	CLEANUP(buf_fini) struct buf scratch = BUF_INIT;
	struct segment_entry entry;
	uint64_t off = SEGMENT_FIRST;
	int rc = descriptors_get(c->w->home.descriptors, number, &s, e);

	c->ended = false;
	while (rc == 0 && (rc = segment_read(s, off, &scratch, &entry, e)) == 1) {
		rc = handle_entry(c, &entry, (struct place){ number, (uint32_t)off }, e);
		off += entry.size;
	}
	if (rc == 0)
		c->unused[c->unused_count++] = (struct unused){ number, c->ended };
	return rc;
}

/* Is there more than the threshold to gain?  A segment that is gone is forgotten. */
static bool worth_it(struct compaction *c, uint32_t number, double threshold)
{
	uint64_t size;

	if (writer_segment_size(c->w, number, &size) < 0) {
		log_warning(logger,
			    "segment %" PRIu32 " not found, but listed in compaction data",
			    number);
		hints_forget_segment(&c->w->hints, number);
		return false;
	}
	return (double)hints_segment(&c->w->hints, number)->freeable / (double)size > threshold;
}

static int compact_all(struct compaction *c, const struct compact_options *options,
		       const uint32_t *sparse, size_t count, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < count; i++) {
		if (options->progress)
			options->progress(options->progress_arg, i, count);
		if (worth_it(c, sparse[i], options->threshold))
			rc = compact_segment(c, sparse[i], e);
	}
	if (rc == 0)
		rc = complete(c, false, e);
	if (rc == 0)
		rc = sync_removals(c, e);
	if (rc == 0)
		writer_remove_empty_folders(c->w);
	return rc;
}

/* Borg 1.0 and 1.1 left commits by the thousand that nothing counts as sparse. */
static void count_lone_commits(struct writer *w)
{
	size_t cursor = 0;
	const void *key;
	void *value;
	uint64_t size;

	while (table_next(&w->hints.segments, &cursor, &key, &value)) {
		struct segment_use *use = value;

		if (writer_segment_size(w, (uint32_t) * (const uint64_t *)key, &size) < 0 ||
		    size != SEGMENT_FIRST + SEGMENT_HEAD)
			continue;
		*use = (struct segment_use){ 0, SEGMENT_HEAD, true, true };
	}
}

static int compact_locked(struct writer *w, const struct compact_options *options,
			  uint64_t *freed, struct err *e)
{
	CLEANUP(cleanup_freep) uint32_t *sparse = NULL;
	int64_t before = w->hints.quota_use;
	struct compaction c = {
		.w = w,
		.has_settled = w->has_index_file,
		.settled = w->index_number,
	};
	size_t count;
	int rc;

	if (options->cleanup_commits)
		count_lone_commits(w);
	if (hints_sparse(&w->hints, &sparse, &count) < 0)
		return err_nomem(e, "hints");
	if (count == 0)
		return 0;
	c.unused = calloc(count, sizeof(*c.unused));
	if (!c.unused)
		return err_nomem(e, "hints");
	rc = writer_begin(w, e);
	if (rc == 0)
		rc = compact_all(&c, options, sparse, count, e);
	if (rc == 0)
		w->active = false;
	*freed = before > w->hints.quota_use ? (uint64_t)(before - w->hints.quota_use) : 0;
	free(c.unused);
	return rc;
}

int writer_compact(struct writer *w, const struct compact_options *options, uint64_t *freed,
		   struct err *e)
{
	int rc;

	*freed = 0;
	if (w->home.config->append_only)
		return 0;
	mutex_lock(&w->append_lock);
	rc = compact_locked(w, options, freed, e);
	mutex_unlock(&w->append_lock);
	return rc;
}
