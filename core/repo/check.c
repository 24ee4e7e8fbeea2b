/*
 * check.c - see check.h.
 *
 * Segments are read and summed on several cores, a few ahead of the one whose turn it is; what
 * they change is laid over the state one after the other, in the order of the log.
 */

#include "core/repo/check.h"

#include "core/base/io.h"
#include "core/base/log.h"
#include "core/repo/config.h"
#include "core/repo/files.h"
#include "core/repo/ini.h"
#include "core/repo/recover.h"
#include "core/repo/verify.h"
#include "core/repo/writer_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char logger[] = "borg.repository";
static const char last_checked_option[] = "last_segment_checked";

enum {
	READERS_MAX = 4, /* more only make a disk seek */
	AHEAD = 2,       /* segments for each of them */
};

struct check {
	const struct writer_home *home;
	const struct repo_check_options *options;
	bool locked; /* else nothing is written */
	struct segment_list segments;
	struct writer *current; /* as index and hints on disk have it; NULL: unreadable */
	struct writer *rebuilt; /* as the log has it */
	uint32_t transaction;   /* segments above it do not count */
	bool committed;         /* is it a COMMIT that says so? */
	bool error_found;
};

static void check_fini(struct check *c)
{
	segment_list_fini(&c->segments);
	writer_close(c->current);
	writer_close(c->rebuilt);
}

#define report(c, ...)                                                                         \
	do {                                                                                   \
		(c)->error_found = true;                                                       \
		log_error(logger, __VA_ARGS__);                                                \
	} while (0)

static bool is_partial(const struct check *c)
{
	return c->options->max_duration > 0;
}

/* --- which transaction it is --- */

/* The newest segment that is committed: 1, 0 none. */
static int newest_committed(struct check *c, struct err *e)
{
	for (size_t i = c->segments.count; i > 0; i--) {
		int rc = recover_is_committed(c->home->folder, c->segments.numbers[i - 1], e);

		if (rc < 0)
			return rc;
		c->transaction = c->segments.numbers[i - 1];
		if (rc == 1)
			return 1;
	}
	return 0;
}

/* Without a COMMIT, the index says how far the log counts, and without one, all of it does. */
static int guess_transaction(struct check *c, struct err *e)
{
	int rc = newest_committed(c, e);

	c->committed = rc == 1;
	if (rc != 0)
		return rc < 0 ? rc : 0;
	rc = files_newest_index(c->home->folder->dirfd, &c->transaction, e);
	if (rc == 0)
		c->transaction = c->segments.count ? c->segments.numbers[c->segments.count - 1]
						   : NO_TRANSACTION;
	return rc < 0 ? rc : 0;
}

/* The transaction, and its index where that can be had.  What a crash has left to be done is done
 * on the way, as whenever a repository is opened. */
static int determine_transaction(struct check *c, struct err *e)
{
	struct err why = ERR_INIT;
	int rc = writer_open(&c->current, c->home, &why);

	if (rc == 0 && c->locked && !c->options->repair)
		rc = writer_finish(c->current, &why);
	if (rc == -ENOMEM)
		return err_nomem(e, "index");
	if (rc == 0 && writer_transaction(c->current) != NO_TRANSACTION) {
		c->transaction = (uint32_t)writer_transaction(c->current);
		c->committed = true;
		if (c->options->repair)
			writer_close(TAKE(c->current)); /* it is not asked what it says */
		return 0;
	}
	log_debug(logger, "Failed to read committed index (%s)", why.msg);
	writer_close(TAKE(c->current));
	return guess_transaction(c, e);
}

/* --- segments, verified ahead --- */

struct job {
	struct crew *crew;
	uint32_t number;
	bool done;
	int rc;
	struct err why;
};

struct crew {
	const struct snapshot_home *folder;
	struct pool *pool;
	struct mutex lock; /* guards `done` of the jobs */
	struct cond finished;
	struct job jobs[READERS_MAX * AHEAD];
	size_t ahead; /* of them in use */
	const uint32_t *numbers;
	size_t count, submitted, taken;
};

static void verify_job(void *arg)
{
	struct job *j = arg;

	j->rc = verify_segment(j->crew->folder, j->number, &j->why);
	mutex_lock(&j->crew->lock);
	j->done = true;
	cond_signal(&j->crew->finished);
	mutex_unlock(&j->crew->lock);
}

static int crew_open(struct crew *w, const struct snapshot_home *folder,
		     const uint32_t *numbers, size_t count, struct err *e)
{
	unsigned readers = cpu_count() < READERS_MAX ? cpu_count() : READERS_MAX;

	*w = (struct crew){ .folder = folder, .numbers = numbers, .count = count };
	w->ahead = (size_t)readers * AHEAD;
	mutex_init(&w->lock);
	cond_init(&w->finished);
	return pool_open(&w->pool, "check", readers, w->ahead, e);
}

static void crew_close(struct crew *w)
{
	pool_close(w->pool);
	cond_fini(&w->finished);
	mutex_fini(&w->lock);
}

/* The verdict on the next segment, which holds until the next call. */
static const struct job *crew_take(struct crew *w)
{
	struct job *j;

	while (w->submitted < w->count && w->submitted - w->taken < w->ahead) {
		j = &w->jobs[w->submitted % w->ahead];
		*j = (struct job){ .crew = w, .number = w->numbers[w->submitted++] };
		pool_submit(w->pool, verify_job, j);
	}
	j = &w->jobs[w->taken++ % w->ahead];
	mutex_lock(&w->lock);
	while (!j->done)
		cond_wait(&w->finished, &w->lock);
	mutex_unlock(&w->lock);
	return j;
}

static int recover_segment(struct check *c, uint32_t number, struct err *e)
{
	int rc;

	log_info(logger, "attempting to recover %s/data/%" PRIu32 "/%" PRIu32,
		 c->home->folder->path, number / c->home->folder->segments_per_dir, number);
	rc = verify_recover(c->home->folder, number, e);
	descriptors_drop(c->home->descriptors, number);
	return rc < 0 ? rc : writer_replay(c->rebuilt, number, true, e);
}

static int settle_segment(struct check *c, const struct job *j, struct err *e)
{
	if (j->rc < 0 && j->rc != -EBADMSG) {
		*e = j->why;
		return j->rc;
	}
	if (j->rc < 0)
		report(c, "%s", j->why.msg);
	if (j->rc < 0 && c->options->repair)
		return recover_segment(c, j->number, e);
	if (is_partial(c))
		return 0;
	return j->rc == 0 ? writer_replay(c->rebuilt, j->number, true, e)
			  : writer_replay_nothing(c->rebuilt, j->number, e);
}

static double seconds_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* 1 where time was up before the end; *last is the segment that was checked last. */
static int run_crew(struct check *c, struct crew *crew, size_t first, int64_t *last,
		    struct err *e)
{
	double until = seconds_now() + c->options->max_duration;

	while (crew->taken < crew->count) {
		const struct job *j;
		int rc;

		if (c->options->progress)
			c->options->progress(c->options->progress_arg, first + crew->taken,
					     c->segments.count);
		j = crew_take(crew);
		rc = settle_segment(c, j, e);
		if (rc < 0)
			return rc;
		*last = j->number;
		if (is_partial(c) && seconds_now() > until)
			return 1;
	}
	return 0;
}

/* Those from *last + 1 up to the transaction. */
static int check_segments(struct check *c, int64_t *last, struct err *e)
{
	const struct segment_list *l = &c->segments;
	size_t first = 0, end = l->count;
	struct crew crew;
	int rc;

	while (first < end && l->numbers[first] <= *last)
		first++;
	while (end > first && l->numbers[end - 1] > c->transaction)
		end--;
	rc = crew_open(&crew, c->home->folder, l->numbers + first, end - first, e);
	if (rc == 0)
		rc = run_crew(c, &crew, first, last, e);
	crew_close(&crew);
	return rc;
}

/* --- where the last partial check ended --- */

static int config_path(const struct check *c, char **out, struct err *e)
{
	*out = path_join(c->home->folder->path, "config");
	return *out ? 0 : err_nomem(e, "config");
}

/* -1 where there was none, or it came to the end. */
static int read_last_checked(const struct check *c, int64_t *out, struct err *e)
{
	CLEANUP(cleanup_freep) char *path = NULL;
	CLEANUP(cleanup_freep) char *value = NULL;
	CLEANUP(buf_fini) struct buf text = BUF_INIT;
	int rc = config_path(c, &path, e);

	*out = -1;
	if (rc == 0)
		rc = file_read(AT_FDCWD, path, CONFIG_FILE_MAX, &text, e);
	if (rc < 0)
		return rc;
	rc = ini_get(buf_bytes(&text), "repository", last_checked_option, &value);
	if (rc == 1)
		*out = strtoll(value, NULL, 10);
	return rc < 0 ? err_nomem(e, "config") : rc;
}

static int write_last_checked(const struct check *c, const char *value, struct err *e)
{
	CLEANUP(cleanup_freep) char *path = NULL;
	int64_t before;
	int rc = read_last_checked(c, &before, e);

	if (rc < 0 || !c->locked || (rc == 0 && !value))
		return rc;
	rc = config_path(c, &path, e);
	return rc < 0 ? rc : config_change(path, last_checked_option, value, e);
}

/* All that has to be read, from where an earlier partial check ended.  *ended: up to the end. */
static int read_log(struct check *c, struct err *e)
{
	int64_t last = -1;
	char number[24];
	int rc;

	if (is_partial(c)) {
		rc = read_last_checked(c, &last, e);
		if (rc >= 0)
			log_info(logger, "skipping to segments >= %" PRId64, last + 1);
	} else {
		rc = write_last_checked(c, NULL, e);
	}
	if (rc >= 0)
		rc = check_segments(c, &last, e);
	if (rc < 0)
		return rc;
	if (rc == 1) {
		log_info(logger,
			 "finished partial segment check, last segment checked is %" PRId64,
			 last);
		snprintf(number, sizeof(number), "%" PRId64, last);
		return write_last_checked(c, number, e);
	}
	log_info(logger, "finished segment check at segment %" PRId64,
		 c->segments.count ? (int64_t)c->segments.numbers[c->segments.count - 1] : -1);
	return write_last_checked(c, NULL, e);
}

/* --- index and hints --- */

static const char *place_text(const struct place *at, char out[32])
{
	if (at)
		snprintf(out, 32, "(%" PRIu32 ", %" PRIu32 ")", at->segment, at->off);
	else
		snprintf(out, 32, "<not found>");
	return out;
}

static void report_entry(struct check *c, const struct chunk_id *id,
			 const struct place *rebuilt, const struct place *current)
{
	char hex[CHUNK_ID_HEX], a[32], b[32];

	report(c, "ID: %-64s rebuilt index: %-16s committed index: %-16s", id_hex(id, hex),
	       place_text(rebuilt, a), place_text(current, b));
}

static int compare_rebuilt(void *arg, const struct chunk_id *id)
{
	struct check *c = arg;
	struct place rebuilt, current;
	bool found = writer_lookup(c->current, id, &current);

	writer_lookup(c->rebuilt, id, &rebuilt);
	if (!found || rebuilt.segment != current.segment || rebuilt.off != current.off)
		report_entry(c, id, &rebuilt, found ? &current : NULL);
	return 0;
}

static int find_surplus(void *arg, const struct chunk_id *id)
{
	struct check *c = arg;
	struct place at;

	if (writer_lookup(c->rebuilt, id, &at))
		return 0;
	writer_lookup(c->current, id, &at);
	report_entry(c, id, NULL, &at);
	return 0;
}

static void compare_index(struct check *c)
{
	uint64_t current = writer_count(c->current), rebuilt = writer_count(c->rebuilt);

	if (current != rebuilt) {
		report(c, "Index object count mismatch.");
		report(c, "committed index: %" PRIu64 " objects", current);
		report(c, "rebuilt index:   %" PRIu64 " objects", rebuilt);
	} else {
		log_info(logger, "Index object count match.");
	}
	(void)writer_scan(c->rebuilt, compare_rebuilt, c);
	(void)writer_scan(c->current, find_surplus, c);
}

/* Compaction removes a segment of which the hints say that nothing in it counts.  Not an error: the
 * hints that Borg makes after a crash need not be exact. */
static void compare_hints(struct check *c)
{
	size_t cursor = 0;
	const void *key;
	void *value;

	while (table_next(&c->rebuilt->hints.segments, &cursor, &key, &value)) {
		const struct segment_use *log = value, *use;
		uint64_t number;

		memcpy(&number, key, sizeof(number));
		use = hints_segment(&c->current->hints, (uint32_t)number);
		if (log->live != (use ? use->live : 0))
			log_warning(logger,
				    "hints: segment %" PRIu64 " has %" PRId64
				    " objects in use, not %" PRId64,
				    number, log->live, use ? use->live : 0);
	}
}

static int add_commit(struct check *c, struct err *e)
{
	int rc;

	report(c, "Adding commit tag to segment %" PRIu32, c->transaction);
	rc = writer_begin(c->rebuilt, e);
	if (rc == 0)
		rc = writer_write_commit(c->rebuilt, false, e);
	c->rebuilt->active = false;
	return rc;
}

/* A repair that was killed may not have synced what it recovered: this one has found nothing wrong
 * there, and what it writes stands on it. */
static int repair_index(struct check *c, struct err *e)
{
	int rc = writer_sync_segments(c->rebuilt, c->segments.numbers, c->segments.count, e);

	if (rc == 0 && !c->committed)
		rc = add_commit(c, e);
	log_info(logger, "Starting repository index check");
	return rc < 0 ? rc : writer_write_index(c->rebuilt, e);
}

static int check_index(struct check *c, struct err *e)
{
	if (c->options->repair)
		return repair_index(c, e);
	if (!c->committed)
		report(c, "There is no committed segment.");
	if (is_partial(c))
		return 0;
	log_info(logger, "Starting repository index check");
	if (c->current) {
		compare_index(c);
		compare_hints(c);
	}
	return 0;
}

/* --- all of it --- */

static int say_result(const struct check *c)
{
	const char *mode = is_partial(c) ? "partial" : "full";

	if (!c->error_found)
		log_info(logger, "Finished %s repository check, no problems found.", mode);
	else if (c->options->repair)
		log_info(logger, "Finished %s repository check, errors found and repaired.",
			 mode);
	else
		log_error(logger, "Finished %s repository check, errors found.", mode);
	return c->error_found && !c->options->repair;
}

static int list_segments(struct check *c, struct err *e)
{
	segment_list_fini(&c->segments);
	return files_segments(c->home->folder->dirfd, c->home->folder->segments_per_dir, 0,
			      &c->segments, e);
}

static int check_all(struct check *c, struct err *e)
{
	int rc = list_segments(c, e);

	if (rc == 0)
		rc = determine_transaction(c, e);
	if (rc < 0)
		return rc;
	if (c->transaction == NO_TRANSACTION) {
		report(c, "This repository contains no valid data.");
		return 1;
	}
	rc = writer_new(&c->rebuilt, c->home, e);
	if (rc < 0)
		return rc;
	c->rebuilt->transaction = c->transaction;
	if (c->options->repair)
		rc = writer_remove_uncommitted(c->rebuilt, e);
	if (rc == 0)
		rc = list_segments(c, e);
	if (rc == 0)
		rc = read_log(c, e);
	if (rc >= 0)
		rc = check_index(c, e);
	return rc < 0 ? rc : say_result(c);
}

int check_log(const struct writer_home *home, const struct repo_check_options *options,
	      bool locked, struct err *e)
{
	struct check c = {
		.home = home,
		.options = options,
		.locked = locked,
		.transaction = NO_TRANSACTION,
	};
	int rc;

	if (options->repair && home->config->append_only)
		return err_set(e, EPERM, "%s is in append-only mode", home->folder->path);
	log_info(logger, "Starting repository check");
	rc = check_all(&c, e);
	check_fini(&c);
	return rc;
}
