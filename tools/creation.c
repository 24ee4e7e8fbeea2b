/*
 * creation.c - see creation.h.
 *
 * A checkpoint is the archive as far as it is, under a name of its own; each replaces the one
 * before, and the finished archive the last.
 */

#include "tools/creation.h"

#include "core/archive/tree_file.h"
#include "core/base/log.h"
#include "core/platform/dirs.h"
#include "core/platform/host.h"
#include "tools/interrupt.h"
#include "tools/progress.h"
#include "tools/report.h"
#include "tools/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SLAB_SPARE = 2 << 20 /* bytes of a slab beyond the longest chunk */ };

static const char logger[] = "borg.archiver";

struct creation { /* one run */
	struct run *run;
	const struct create_args *args;
	creation_fill *fill;
	void *fill_arg;
	struct reader *reader;
	struct session *session;
	struct put *put;
	struct files_cache *cache;
	struct archive_writer *writer;
	struct create *create;
	struct interrupt *interrupt;
	struct timespec started;         /* monotonic */
	struct timespec last_checkpoint; /* monotonic */
	char *hostname, *username;
	char *checkpoint;    /* name; NULL before the first */
	bool has_checkpoint; /* it is in the manifest */
	struct bytes *cmdline;
	bool interrupted; /* the user asked for an end */
	struct progress_archive progress;
};

/* --- what is told while it runs --- */

void creation_status(void *arg, char letter, const char *path)
{
	const struct creation *c = arg;
	CLEANUP(buf_fini) struct buf scratch = BUF_INIT;
	struct bytes shown;

	if (!c->args->list || (c->args->filter && !strchr(c->args->filter, letter)))
		return;
	shown = text_clean(bytes_str(path), &scratch);
	if (c->run->common.log_json)
		report_file_status(letter, shown);
	else
		log_info("borg.output.list", "%c %.*s", letter, (int)shown.len,
			 (const char *)shown.p);
}

/* "PATH: WHAT" as it is shown, in `scratch` or `line`. */
static struct bytes remark(const char *path, const char *what, struct buf *line,
			   struct buf *scratch)
{
	if (buf_append_str(line, path) < 0 || buf_append_str(line, ": ") < 0 ||
	    buf_append_str(line, what) < 0)
		return bytes_str(what);
	return text_clean(buf_bytes(line), scratch);
}

void creation_warning(void *arg, const char *path, const char *why)
{
	const struct creation *c = arg;
	CLEANUP(buf_fini) struct buf line = BUF_INIT;
	CLEANUP(buf_fini) struct buf scratch = BUF_INIT;
	struct bytes shown = remark(path, why, &line, &scratch);

	run_warn(c->run, logger, NULL, "%.*s", (int)shown.len, (const char *)shown.p);
}

static void show_note(void *arg, const char *path, const char *what)
{
	CLEANUP(buf_fini) struct buf line = BUF_INIT;
	CLEANUP(buf_fini) struct buf scratch = BUF_INIT;
	struct bytes shown = remark(path, what, &line, &scratch);

	(void)arg;
	log_info(logger, "%.*s", (int)shown.len, (const char *)shown.p);
}

/* --- archive object, checkpoints --- */

static double seconds_since(const struct timespec *then)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - then->tv_sec) +
	       (double)(now.tv_nsec - then->tv_nsec) / 1e9;
}

static void make_facts(struct creation *c, const char *name, struct archive_facts *out)
{
	int64_t duration = (int64_t)(seconds_since(&c->started) * 1e9);
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	*out = (struct archive_facts){
		.name = bytes_str(name),
		.comment = bytes_str(c->args->comment ? c->args->comment : ""),
		.hostname = bytes_str(c->hostname),
		.username = bytes_str(c->username),
		.cmdline = c->cmdline,
		.cmdline_count = (size_t)c->run->argc,
		.chunker_params =
			c->args->chunker.given ? c->args->chunker.params : CHUNKER_DEFAULT,
	};
	if (c->args->timestamp.given) {
		out->time_ns = c->args->timestamp.ns;
		out->time_end_ns = out->time_ns + duration;
	} else {
		out->time_end_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
		out->time_ns = out->time_end_ns - duration;
	}
}

/* Store the archive as far as it is and commit it, in place of the checkpoint before. */
static int save_as(struct creation *c, const char *name, struct chunk_id *id, struct err *e)
{
	char time_text[MANIFEST_TIME_TEXT];
	struct archive_facts facts;
	struct chunk_refs *refs;
	int rc;

	make_facts(c, name, &facts);
	rc = archive_writer_save(c->writer, &facts, id, e);
	if (rc < 0)
		return rc;
	manifest_format_time(facts.time_ns, time_text);
	refs = archive_writer_take_refs(c->writer);
	rc = c->has_checkpoint ? session_replace_archive(c->session, bytes_str(c->checkpoint),
							 bytes_str(name), id,
							 bytes_str(time_text), refs, e)
			       : session_add_archive(c->session, bytes_str(name), id,
						     bytes_str(time_text), refs, e);
	return rc == 0 ? session_commit(c->session, e) : rc;
}

static int write_checkpoint(struct creation *c, struct err *e)
{
	struct chunk_id id;
	int rc = c->checkpoint
			 ? 0
			 : manifest_draft_checkpoint(c->session->draft, c->args->where.archive,
						     &c->checkpoint, e);

	if (rc == 0)
		rc = save_as(c, c->checkpoint, &id, e);
	if (rc < 0)
		return rc;
	c->has_checkpoint = true;
	archive_writer_new_refs(c->writer, session_refs(c->session));
	clock_gettime(CLOCK_MONOTONIC, &c->last_checkpoint);
	return 0;
}

static void show_progress(struct creation *c, const char *path)
{
	struct archive_stats stats;

	if (!progress_wanted())
		return;
	archive_writer_stats(c->writer, &stats);
	c->progress.size = stats.size;
	c->progress.csize = stats.csize;
	c->progress.new_csize = stats.new_csize;
	c->progress.nfiles = stats.nfiles;
	progress_archive(&c->progress, path);
}

/* Between chunks and items.  1: the user has had enough. */
static int step(void *arg, const char *path, bool in_file, struct err *e)
{
	struct creation *c = arg;
	bool asked = interrupt_asked(c->interrupt);
	int interval = c->args->checkpoint_interval.given ? c->args->checkpoint_interval.seconds
							  : CHECKPOINT_INTERVAL;
	int rc = interrupt_check(c->interrupt, e);

	show_progress(c, path);
	if (rc < 0 || c->interrupted)
		return rc < 0 ? rc : 1;
	if (!asked && (interval == 0 || seconds_since(&c->last_checkpoint) <= interval))
		return 0;
	if (asked)
		log_info(logger, "checkpoint requested: starting checkpoint creation...");
	rc = in_file ? create_write_part(c->create, e) : 0;
	if (rc == 0)
		rc = write_checkpoint(c, e);
	if (rc < 0)
		return rc;
	if (asked)
		log_info(logger, "checkpoint requested: finished checkpoint creation!");
	c->interrupted = asked;
	return asked;
}

/* --- the run --- */

static int open_cache(struct creation *c, struct err *e)
{
	CLEANUP(secret_freep) struct secret *secret = NULL;
	struct err why = ERR_INIT;
	const struct files_mode *mode = &c->args->files_mode.mode;
	struct files_mode dflt;
	int rc = 0;

	if (!c->args->files_mode.given) {
		rc = files_mode_parse(&dflt, "ctime,size,inode", e);
		mode = &dflt;
	}
	if (rc < 0 || mode->disabled || !c->reader->cache_dir)
		return rc;
	rc = tree_secret(&secret, c->reader->key, c->reader->cache_dir, &why);
	if (rc == 0)
		rc = files_cache_open(&c->cache, c->reader->cache_dir, secret, mode, &why);
	if (rc < 0)
		log_warning("borg.cache", "no files cache for this run: %s", why.msg);
	return 0;
}

static int open_pipeline(struct creation *c, struct err *e)
{
	struct compression how =
		c->args->compression.given ? c->args->compression.how : COMPRESSION_DEFAULT;
	struct archive_writer_options options = { .done = create_item_done, .arg = c->cache };
	const struct chunker_params *params =
		c->args->chunker.given ? &c->args->chunker.params : &CHUNKER_DEFAULT;
	size_t longest =
		params->algorithm == CHUNKER_FIXED
			? (params->block_size > params->header_size ? params->block_size
								    : params->header_size)
			: (size_t)1 << params->max_exp;
	int rc = session_put(c->session, &how, longest + SLAB_SPARE, &c->put, e);

	if (rc < 0)
		return rc;
	options.refs = session_refs(c->session);
	return archive_writer_new(&c->writer, c->put, c->reader->key, &options, e);
}

static int open_create(struct creation *c, struct err *e)
{
	struct create_options options = {
		.collect = c->args->collect,
		.chunker = c->args->chunker.given ? c->args->chunker.params : CHUNKER_DEFAULT,
		.matcher = c->args->matcher,
		.one_file_system = c->args->one_file_system,
		.read_special = c->args->read_special,
		.sparse = c->args->sparse,
		.dry_run = c->args->dry_run,
		.exclude_caches = c->args->exclude_caches,
		.keep_exclude_tags = c->args->keep_exclude_tags,
		.exclude_nodump = c->args->exclude_nodump,
		.exclude_if_present = c->args->exclude_if_present.v,
		.exclude_if_present_count = c->args->exclude_if_present.count,
		.changed = c->args->files_changed,
		.status = creation_status,
		.warn = creation_warning,
		.note = show_note,
		.step = step,
		.arg = c,
	};
	CLEANUP(cleanup_freep) char *borg_cache = NULL;
	CLEANUP(cleanup_freep) char *our_cache = NULL;
	int rc = create_new(&c->create, c->writer, c->put, c->reader ? c->reader->repo : NULL,
			    c->reader ? c->reader->key : NULL, c->cache, &options, e);

	if (rc == 0 && dirs_borg_cache_top(&borg_cache, NULL) == 0)
		rc = create_skip(c->create, borg_cache, e);
	if (rc == 0 && dirs_cache_top(&our_cache, NULL) == 0)
		rc = create_skip(c->create, our_cache, e);
	if (rc == 0 && c->args->where.proto == LOCATION_FILE)
		rc = create_skip(c->create, c->args->where.path, e);
	return rc;
}

static int open_all(struct creation *c, struct err *e)
{
	const char *name = c->args->where.archive;
	int rc = run_open_session(c->run, &c->args->where, MANIFEST_WRITE, &c->reader,
				  &c->session, e);

	if (rc == 0 && manifest_draft_find(c->session->draft, bytes_str(name)))
		rc = err_set_id(e, EEXIST, "Archive.AlreadyExists", "Archive %s already exists",
				name);
	if (rc == 0)
		rc = open_cache(c, e);
	return rc == 0 ? open_pipeline(c, e) : rc;
}

static int name_us(struct creation *c, struct err *e)
{
	c->hostname = host_short_name();
	c->username = host_user_name();
	c->cmdline = calloc((size_t)c->run->argc + 1, sizeof(*c->cmdline));
	if (!c->hostname || !c->username || !c->cmdline)
		return err_nomem(e, "archive");
	for (int i = 0; i < c->run->argc; i++)
		c->cmdline[i] = bytes_str(c->run->argv[i]);
	return 0;
}

/* The archive is in the repository: what fails from here on costs time at the next run. */
static void remember_files(struct creation *c)
{
	struct err why = ERR_INIT;

	if (c->cache && files_cache_commit(c->cache, &why) < 0)
		log_warning("borg.cache", "files cache: %s", why.msg);
}

static int create_archive(struct creation *c, struct err *e)
{
	struct chunk_id id;
	int rc = c->fill(c->fill_arg, c, c->create, e);

	if (rc < 0)
		return rc;
	show_progress(c, NULL);
	if (c->interrupted) {
		remember_files(c);
		log_error(logger, "Got Ctrl-C / SIGINT.");
		c->run->exit_code = 2;
		return 0;
	}
	rc = save_as(c, c->args->where.archive, &id, e);
	if (rc < 0)
		return rc;
	remember_files(c);
	return create_report(c->run, c->args, c->session, c->writer, &id, e);
}

/* Nobody may put into a session that ends. */
static void close_pipeline(struct creation *c)
{
	create_free(TAKE(c->create));
	archive_writer_free(TAKE(c->writer));
	put_close(TAKE(c->put));
}

static void close_all(struct creation *c)
{
	close_pipeline(c);
	files_cache_close(c->cache);
	session_drop(c->session);
	reader_close(c->reader);
	interrupt_stop(c->interrupt);
	free(c->hostname);
	free(c->username);
	free(c->checkpoint);
	free(c->cmdline);
}

static int create(struct creation *c, struct err *e)
{
	int rc = interrupt_start(&c->interrupt, c->run, e);

	if (rc == 0)
		rc = name_us(c, e);
	if (rc == 0 && !c->args->dry_run)
		rc = open_all(c, e);
	if (rc == 0)
		rc = open_create(c, e);
	if (rc == 0)
		rc = c->args->dry_run ? c->fill(c->fill_arg, c, c->create, e)
				      : create_archive(c, e);
	if (rc == 0 && c->session) {
		close_pipeline(c);
		rc = session_end(TAKE(c->session), e);
	}
	return interrupt_result(c->interrupt, c->run, rc);
}

int creation_run(struct run *run, const struct create_args *args, creation_fill *fill,
		 void *fill_arg, struct err *e)
{
	struct creation c = { .run = run, .args = args, .fill = fill, .fill_arg = fill_arg };
	int rc;

	clock_gettime(CLOCK_MONOTONIC, &c.started);
	c.last_checkpoint = c.started;
	log_enable("borg.output.list", args->list);
	log_enable("borg.output.stats", args->stats);
	rc = create(&c, e);
	close_all(&c);
	return rc;
}
