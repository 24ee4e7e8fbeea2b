/* deletion.c - see deletion.h. */

#include "tools/deletion.h"

#include "core/base/log.h"

#include <errno.h>

static const char logger[] = "borg.archiver";

int deletion_open(struct deletion *d, struct run *run, const struct location *where,
		  struct err *e)
{
	struct chunk_index *index;
	int rc;

	d->run = run;
	clock_gettime(CLOCK_MONOTONIC, &d->last_commit);
	rc = interrupt_start(&d->interrupt, run, e);
	if (rc == 0)
		rc = run_open_session(run, where, MANIFEST_DELETE, &d->reader, &d->session, e);
	if (rc == 0 && d->stats)
		rc = session_chunks(d->session, &index, e);
	return rc == 0 && d->stats ? chunk_index_totals(index, &d->before, e) : rc;
}

void deletion_close(struct deletion *d)
{
	session_drop(d->session);
	reader_close(d->reader);
	interrupt_stop(d->interrupt);
}

static int commit(struct deletion *d, struct err *e)
{
	int rc = d->uncommitted ? session_commit(d->session, e) : 0;

	if (rc == 0)
		d->uncommitted = 0;
	clock_gettime(CLOCK_MONOTONIC, &d->last_commit);
	return rc;
}

static void say_corrupted(struct deletion *d)
{
	run_warn(d->run, logger, NULL,
		 "forced deletion succeeded, but the deleted archive was corrupted.");
	run_warn(d->run, logger, NULL, "borg check --repair is required to free all space.");
}

/* --force: an archive that cannot be read goes without what only it needs being known. */
static int remove_damaged(struct deletion *d, struct bytes name, const struct err *why,
			  struct err *e)
{
	int rc = session_forget_archive(d->session, name, e);

	if (rc < 0)
		return rc;
	log_warning(logger, "%s", why->msg);
	say_corrupted(d);
	return 0;
}

int deletion_remove(struct deletion *d, struct bytes name, struct err *e)
{
	struct err why = ERR_INIT;
	struct timespec now;
	int rc = session_remove_archive(d->session, name, &why);

	if (rc < 0 && d->force && (rc == -EBADMSG || rc == -ENOENT))
		rc = remove_damaged(d, name, &why, e);
	else if (rc < 0 && e)
		*e = why;
	if (rc == 0)
		rc = interrupt_check(d->interrupt, e);
	if (rc < 0)
		return rc;
	d->uncommitted++;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (interrupt_asked(d->interrupt) ||
	    (d->checkpoint_interval > 0 &&
	     now.tv_sec - d->last_commit.tv_sec > d->checkpoint_interval))
		rc = commit(d, e);
	return rc < 0 ? rc : interrupt_asked(d->interrupt);
}

static int show_stats(struct deletion *d, struct err *e)
{
	struct stats_all all;
	struct stats_row row = { .label = "Deleted data:" };
	int rc = stats_collect(d->session, &all, e);

	if (rc < 0)
		return rc;
	row.size = (int64_t)(all.chunks.size - d->before.size);
	row.csize = (int64_t)(all.chunks.csize - d->before.csize);
	row.unique_csize = (int64_t)(all.chunks.unique_csize - d->before.unique_csize);
	stats_rule();
	stats_table(&row, &all, d->run->common.iec);
	stats_rule();
	return 0;
}

int deletion_finish(struct deletion *d, struct err *e)
{
	bool asked = interrupt_asked(d->interrupt);
	int rc = commit(d, e);

	if (rc == 0 && session_missing(d->session)) {
		if (d->force)
			log_warning(logger,
				    "forced deletion succeeded, but the deleted archive "
				    "was corrupted.");
		else
			log_warning(logger, "%zu objects of deleted archives were missing.",
				    session_missing(d->session));
	}
	if (rc == 0 && asked) {
		log_error(logger, "Got Ctrl-C / SIGINT.");
		d->run->exit_code = 2;
	}
	if (rc == 0 && d->stats)
		rc = show_stats(d, e);
	return rc == 0 ? session_end(TAKE(d->session), e) : rc;
}
