/*
 * replay.c - what a writer stands on: the newest index and hints, and the log after them.
 *
 * Unlike a reader, a writer must not guess: a chunk that an index wrongly names would be counted
 * as stored and never sent.  So the index is compared with its digest, a replay verifies every
 * entry's checksum, and damage is left to `check --repair`.
 */

#include "core/repo/writer_internal.h"

#include "core/base/log.h"
#include "core/repo/files.h"
#include "core/repo/integrity.h"
#include "core/repo/recover.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char logger[] = "borg.repository";

void writer_unload(struct writer *w)
{
	segment_writer_free(w->log);
	w->log = NULL;
	index_close(w->index);
	w->index = NULL;
	w->finds = 0;
	w->has_index_file = false;
	table_fini(&w->changes);
	table_init(&w->changes, sizeof(struct chunk_id), sizeof(struct place));
	hints_fini(&w->hints);
	hints_init(&w->hints);
	w->count = 0;
	w->transaction = NO_TRANSACTION;
	w->stale = w->active = w->over_quota = false;
}

static int check_needed(const struct writer *w, struct err *e)
{
	return err_set_id(e, EBADMSG, "Repository.CheckNeeded",
			  "Inconsistency detected. Please run \"borg check %s\".",
			  w->home.folder->path);
}

/* --- one segment --- */

int writer_set(struct writer *w, const struct chunk_id *id, struct place at, struct err *e)
{
	struct place before;
	bool had = writer_lookup(w, id, &before);
	struct place *slot;

	slot = table_put(&w->changes, id, NULL);
	if (!slot)
		return err_nomem(e, "index");
	*slot = at;
	w->count += !had && at.segment != UINT32_MAX;
	w->count -= had && at.segment == UINT32_MAX;
	return 0;
}

/* A PUT that replaces `before` counts its own size there: Borg replays so. */
static int replay_put(struct writer *w, const struct segment_entry *entry, struct place at,
		      struct err *e)
{
	struct place before;

	if (writer_lookup(w, &entry->id, &before) &&
	    (hints_freeable(&w->hints, before.segment, entry->size) < 0 ||
	     hints_live(&w->hints, before.segment, -1) < 0 ||
	     hints_shadow_add(&w->hints, &entry->id, before.segment) < 0))
		return err_nomem(e, "hints");
	if (hints_live(&w->hints, at.segment, 1) < 0)
		return err_nomem(e, "hints");
	w->hints.quota_use += entry->size;
	return writer_set(w, &entry->id, at, e);
}

/* The segment of a deleted object may be gone: the index can be older than a compaction. */
static int replay_delete(struct writer *w, const struct chunk_id *id, struct err *e)
{
	struct place before;
	uint64_t segment_size;
	uint32_t size;
	int rc;

	if (!writer_lookup(w, id, &before))
		return 0;
	rc = writer_segment_size(w, before.segment, &segment_size);
	if (rc == 0) {
		rc = writer_entry_size(w, before, &size, e);
		if (rc < 0)
			return rc;
		if (hints_live(&w->hints, before.segment, -1) < 0 ||
		    hints_freeable(&w->hints, before.segment, size) < 0 ||
		    hints_shadow_add(&w->hints, id, before.segment) < 0)
			return err_nomem(e, "hints");
	}
	return writer_set(w, id, (struct place){ UINT32_MAX, 0 }, e);
}

static int replay_entry(struct writer *w, const struct segment_entry *entry, struct place at,
			struct err *e)
{
	switch (entry->tag) {
	case SEGMENT_PUT: return replay_put(w, entry, at, e);
	case SEGMENT_DELETE: return replay_delete(w, &entry->id, e);
	case SEGMENT_COMMIT: break;
	}
	return 0;
}

static int replay_at(struct writer *w, const struct segment_entry *entry, uint32_t number,
		     uint64_t off, struct err *e)
{
	if (off > UINT32_MAX)
		return -EBADMSG; /* no index can name it */
	return replay_entry(w, entry, (struct place){ number, (uint32_t)off }, e);
}

static int replay_entries(struct writer *w, struct segment *s, uint32_t number, struct err *e)
{
	CLEANUP(buf_fini) struct buf scratch = BUF_INIT;
	struct segment_entry entry;
	uint64_t off = SEGMENT_FIRST;
	int rc;

	while ((rc = segment_read(s, off, &scratch, &entry, e)) == 1) {
		rc = replay_at(w, &entry, number, off, e);
		if (rc < 0)
			return rc;
		off += entry.size;
	}
	return rc;
}

static int replay_heads(struct writer *w, struct segment *s, uint32_t number, uint64_t size,
			struct err *e)
{
	CLEANUP(cleanup_freep) struct segment_walk *walk = calloc(1, sizeof(*walk));
	uint64_t next = SEGMENT_FIRST, off = next;
	struct segment_entry entry;
	int rc;

	if (!walk)
		return err_nomem(e, "segment");
	while ((rc = segment_next_head(s, walk, &next, size, &entry, e)) == 1) {
		rc = replay_at(w, &entry, number, off, e);
		if (rc < 0)
			return rc;
		off = next;
	}
	return rc;
}

/* A segment with nothing that counts can be freed whole. */
static int finish_segment(struct writer *w, uint32_t number, uint64_t size, struct err *e)
{
	if (hints_segment(&w->hints, number)->live == 0 &&
	    hints_set_freeable(&w->hints, number, (int64_t)size) < 0)
		return err_nomem(e, "hints");
	return 0;
}

int writer_replay(struct writer *w, uint32_t number, bool verified, struct err *e)
{
	CLEANUP(segment_closep) struct segment *s = NULL;
	uint64_t size = 0;
	int rc = writer_segment_size(w, number, &size);

	if (rc == -ENOENT)
		return 0; /* emptied, before it is removed */
	if (rc == 0)
		rc = descriptors_get(w->home.descriptors, number, &s, e);
	if (rc == 0 && hints_list(&w->hints, number) < 0)
		rc = err_nomem(e, "hints");
	if (rc == 0)
		rc = verified ? replay_heads(w, s, number, size, e)
			      : replay_entries(w, s, number, e);
	if (rc == -EBADMSG) {
		log_warning(logger, "segment %" PRIu32 " is damaged", number);
		return check_needed(w, e);
	}
	return rc < 0 ? rc : finish_segment(w, number, size, e);
}

int writer_replay_nothing(struct writer *w, uint32_t number, struct err *e)
{
	uint64_t size = 0;

	if (writer_segment_size(w, number, &size) < 0)
		return 0;
	return hints_list(&w->hints, number) < 0 ? err_nomem(e, "hints")
						 : finish_segment(w, number, size, e);
}

/* --- the newest index, and what follows it --- */

/* The last committed segment: 1, 0 none, -errno. */
static int find_transaction(struct writer *w, const struct segment_list *l, struct err *e)
{
	for (size_t i = l->count; i > 0; i--) {
		int rc = recover_is_committed(w->home.folder, l->numbers[i - 1], e);

		if (rc < 0)
			return rc;
		if (rc == 0)
			continue;
		w->transaction = l->numbers[i - 1];
		return 1;
	}
	return 0;
}

/* 1 opened and as its digest says; 0 not; -errno. */
static int open_index(struct writer *w, uint32_t number, struct err *e)
{
	CLEANUP(buf_fini) struct buf text = BUF_INIT;
	char name[24];
	int fd, rc;

	snprintf(name, sizeof(name), "index.%" PRIu32, number);
	fd = openat(w->home.folder->dirfd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(e, errno, "%s/%s: %s", w->home.folder->path, name,
			       strerror(errno));
	rc = index_open(&w->index, fd, name, e);
	if (rc < 0)
		return rc == -EBADMSG ? 0 : rc;
	w->has_index_file = true;
	w->index_number = number;
	w->count = index_count(w->index);
	if (!integrity_read(w->home.folder->dirfd, number, "index", &text))
		return 1; /* as Borg has it: without a digest there is none to miss */
	return index_verify(w->index, buf_bytes(&text), e) != 0;
}

/* Index and hints of transaction `number`, which must both be good.  1, 0, -errno. */
static int load_files(struct writer *w, uint32_t number, struct err *e)
{
	int rc = open_index(w, number, e);

	if (rc < 0)
		return rc;
	if (rc == 0) {
		log_warning(logger,
			    "Repository index missing or corrupted, trying to recover from: "
			    "index.%" PRIu32,
			    number);
		return 0;
	}
	rc = hints_read(&w->hints, w->home.folder->dirfd, number, e);
	if (rc == 0)
		log_warning(logger,
			    "Repository hints file missing or corrupted, trying to recover: "
			    "hints.%" PRIu32,
			    number);
	return rc;
}

/*
 * All segments of the log behind `last`.  Who was killed before he synced a COMMIT has left it in
 * the system's memory alone: what is committed next stands on it, and must not outlive it.
 */
static int replay_behind(struct writer *w, const struct segment_list *l, int64_t last,
			 struct err *e)
{
	size_t first = 0, end;
	int rc = 0;

	while (first < l->count && l->numbers[first] <= last)
		first++;
	for (end = first; rc == 0 && end < l->count && l->numbers[end] <= w->transaction;
	     end++) {
		w->stale = true;
		rc = writer_replay(w, l->numbers[end], false, e);
	}
	return rc == 0 ? writer_sync_segments(w, l->numbers + first, end - first, e) : rc;
}

static int load_from(struct writer *w, const struct segment_list *l, bool has_index,
		     uint32_t newest_index, struct err *e)
{
	bool usable = has_index && newest_index <= w->transaction;
	uint32_t transaction = w->transaction;
	int rc = usable ? load_files(w, newest_index, e) : 0;

	if (rc < 0)
		return rc;
	if (rc == 0) {
		writer_unload(w);
		w->transaction = transaction;
		w->stale = true;
	}
	return replay_behind(w, l, rc == 1 ? (int64_t)newest_index : -1, e);
}

int writer_load(struct writer *w, struct err *e)
{
	struct segment_list l = { 0 };
	uint32_t newest_index = 0;
	int rc = files_segments(w->home.folder->dirfd, w->home.folder->segments_per_dir, 0, &l,
				e);
	int has_index, committed;

	if (rc < 0)
		return rc;
	has_index = files_newest_index(w->home.folder->dirfd, &newest_index, e);
	committed = has_index < 0 ? has_index : find_transaction(w, &l, e);
	if (committed < 0)
		rc = committed;
	else if (committed == 0)
		rc = has_index ? check_needed(w, e) : 0;
	else
		rc = load_from(w, &l, has_index, newest_index, e);
	segment_list_fini(&l);
	return rc;
}
