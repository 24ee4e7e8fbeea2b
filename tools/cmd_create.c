/*
 * cmd_create.c - `create`: files, what programs say, or standard input become an archive.
 *
 * A checkpoint is the archive as far as it is, under a name of its own; each replaces the one
 * before, and the finished archive the last.
 */

#include "tools/create_args.h"

#include "core/archive/tree_file.h"
#include "core/base/io.h"
#include "core/base/log.h"
#include "core/platform/command.h"
#include "core/platform/dirs.h"
#include "core/platform/host.h"
#include "tools/interrupt.h"
#include "tools/progress.h"
#include "tools/report.h"
#include "tools/text.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SLAB_SPARE = 2 << 20 /* bytes of a slab beyond the longest chunk */ };

static const char logger[] = "borg.archiver";

struct creation { /* one run */
	struct run *run;
	const struct create_args *args;
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

static void show_status(void *arg, char letter, const char *path)
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

static void show_warning(void *arg, const char *path, const char *why)
{
	const struct creation *c = arg;
	CLEANUP(buf_fini) struct buf line = BUF_INIT;
	CLEANUP(buf_fini) struct buf scratch = BUF_INIT;
	struct bytes shown;

	if (buf_append_str(&line, path) < 0 || buf_append_str(&line, ": ") < 0 ||
	    buf_append_str(&line, why) < 0)
		return;
	shown = text_clean(buf_bytes(&line), &scratch);
	run_warn(c->run, logger, NULL, "%.*s", (int)shown.len, (const char *)shown.p);
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

/* "NAME.checkpoint", or with a number where that is taken. */
static int name_checkpoint(struct creation *c, struct err *e)
{
	const char *name = c->args->where.archive;

	for (unsigned i = 0; !c->checkpoint; i++) {
		char *made = NULL;
		int n = i ? asprintf(&made, "%s.checkpoint.%u", name, i)
			  : asprintf(&made, "%s.checkpoint", name);

		if (n < 0)
			return err_nomem(e, "checkpoint");
		if (manifest_draft_find(c->session->draft, bytes_str(made)))
			free(made);
		else
			c->checkpoint = made;
	}
	return 0;
}

static int write_checkpoint(struct creation *c, struct err *e)
{
	struct chunk_id id;
	int rc = name_checkpoint(c, e);

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

/* --- sources --- */

static int stream_owner(const struct create_args *args, struct create_stream *out,
			struct err *e)
{
	const struct passwd *user = args->stdin_user ? getpwnam(args->stdin_user) : getpwuid(0);
	const struct group *group;

	if (!user)
		return err_set_id(e, ENOENT, "Error", "no such user: %s", args->stdin_user);
	out->uid = user->pw_uid;
	out->user = args->stdin_user ? args->stdin_user : "root";
	group = args->stdin_group ? getgrnam(args->stdin_group) : getgrgid(0);
	if (!group)
		return err_set_id(e, ENOENT, "Error", "no such group: %s", args->stdin_group);
	out->gid = group->gr_gid;
	out->group = args->stdin_group ? args->stdin_group : "root";
	return 0;
}

static int add_stream(struct creation *c, int fd, struct err *e)
{
	struct create_stream stream = {
		.name = c->args->stdin_name ? c->args->stdin_name : "stdin",
		.mode = c->args->stdin_mode.given ? c->args->stdin_mode.bits : 0660,
	};
	int rc;

	if (c->args->dry_run) {
		show_status(c, '-', stream.name);
		return 0;
	}
	rc = stream_owner(c->args, &stream, e);
	if (rc == 0)
		rc = create_stream(c->create, fd, &stream, e);
	return rc < 0 ? rc : 0;
}

/* Run the words; their standard output is *fd. */
static int start_program(const struct arg_list *paths, pid_t *pid, int *fd, struct err *e)
{
	CLEANUP(cleanup_freep) char **words = calloc(paths->count + 1, sizeof(*words));
	int rc;

	if (!words)
		return err_nomem(e, "command");
	if (paths->count == 0)
		return err_set_id(e, EINVAL, "CommandError", "No command given.");
	memcpy(words, paths->v, paths->count * sizeof(*words));
	rc = command_start_reading(words, pid, fd, e);
	return rc < 0 ? err_wrap(e, rc, "Failed to execute command") : 0;
}

static int end_program(const struct arg_list *words, pid_t pid, struct err *e)
{
	CLEANUP(buf_fini) struct buf shown = BUF_INIT;
	int status = 0, code;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
	if (code == 0)
		return 0;
	args_repr(words->v[0], &shown);
	return err_set_id(e, ECANCELED, "CommandError", "Command %.*s exited with status %d",
			  (int)shown.len, (const char *)shown.p, code);
}

/* Paths that fd gives, each alone. */
static int add_listed(struct creation *c, int fd, struct err *e)
{
	char delimiter = c->args->paths_delimiter.given ? c->args->paths_delimiter.c : '\n';
	FILE *in = fdopen(dup(fd), "r");
	char *path = NULL;
	size_t cap = 0;
	ssize_t n;
	int rc = 0;

	if (!in)
		return err_set(e, errno, "paths: %s", strerror(errno));
	while (rc == 0 && (n = getdelim(&path, &cap, delimiter, in)) > 0) {
		if (path[n - 1] == delimiter)
			path[n - 1] = '\0';
		rc = create_one(c->create, path, e);
	}
	if (rc == 0 && ferror(in))
		rc = err_set(e, EIO, "paths: cannot be read");
	free(path);
	fclose(in);
	return rc;
}

static int add_from_program(struct creation *c, struct err *e)
{
	CLEANUP(cleanup_closep) int fd = -1;
	pid_t pid;
	int rc = start_program(&c->args->paths, &pid, &fd, e), ended;

	if (rc < 0)
		return rc;
	rc = c->args->content_from_command ? add_stream(c, fd, e) : add_listed(c, fd, e);
	close(fd);
	fd = -1;
	ended = end_program(&c->args->paths, pid, rc < 0 ? NULL : e);
	return rc < 0 ? rc : ended;
}

static int add_roots(struct creation *c, struct err *e)
{
	const struct arg_list *paths = &c->args->paths;
	const char *root;
	int rc = 0;

	for (size_t i = 0;
	     rc == 0 && c->args->matcher && (root = matcher_root(c->args->matcher, i)); i++)
		rc = create_root(c->create, root, e);
	for (size_t i = 0; rc == 0 && i < paths->count; i++)
		rc = strcmp(paths->v[i], "-") == 0 ? add_stream(c, STDIN_FILENO, e)
						   : create_root(c->create, paths->v[i], e);
	return rc;
}

static int add_all(struct creation *c, struct err *e)
{
	if (c->args->paths_from_stdin)
		return add_listed(c, STDIN_FILENO, e);
	if (c->args->content_from_command || c->args->paths_from_command)
		return add_from_program(c, e);
	return add_roots(c, e);
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
		.status = show_status,
		.warn = show_warning,
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
	int rc = add_all(c, e);

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
		rc = c->args->dry_run ? add_all(c, e) : create_archive(c, e);
	if (rc == 0 && c->session) {
		close_pipeline(c);
		rc = session_end(TAKE(c->session), e);
	}
	return interrupt_result(c->interrupt, c->run, rc);
}

/* What the parser of arguments cannot know.  Negative: refused. */
static int check_paths(struct run *run, const struct create_args *args)
{
	bool roots = args->paths.count || (args->matcher && matcher_root(args->matcher, 0));
	const char *why = NULL;

	if (args->paths_from_stdin && args->paths.count)
		why = "Must not pass PATH with ``--paths-from-stdin``.";
	else if (!roots && (args->content_from_command || args->paths_from_command))
		why = "No command given.";
	else if (!roots && !args->paths_from_stdin)
		why = "Need at least one PATH argument.";
	if (why)
		run->exit_code = run_usage_error(run, why);
	return why ? -1 : 0;
}

static void say_where(const struct location *where)
{
	CLEANUP(cleanup_freep) char *canonical = location_canonical(where);

	log_info(logger, "Creating archive at \"%s::%s\"", canonical ? canonical : where->path,
		 where->archive);
}

int run_create(struct run *run, void *arg, struct err *e)
{
	struct creation c = { .run = run, .args = arg };
	int rc;

	clock_gettime(CLOCK_MONOTONIC, &c.started);
	c.last_checkpoint = c.started;
	rc = check_paths(run, c.args);
	if (rc != 0)
		return rc < 0 ? 0 : rc;
	log_enable("borg.output.list", c.args->list);
	log_enable("borg.output.stats", c.args->stats);
	say_where(&c.args->where);
	rc = create(&c, e);
	close_all(&c);
	return rc;
}
