/* cmd_extract.c - `extract`: options and output; core/archive/extract.h does the work. */

#include "tools/commands.h"

#include "core/archive/extract.h"
#include "core/archive/match.h"
#include "core/base/cleanup.h"
#include "core/base/size_text.h"
#include "tools/progress.h"
#include "tools/report.h"
#include "tools/text.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct extract_args {
	struct location where;
	struct matcher *matcher;
	struct arg_list paths;
	bool list, dry_run, numeric_ids, no_flags, no_acls, no_xattrs, to_stdout, sparse;
	unsigned strip_components;
};

struct extract_run {
	struct run *run;
	bool list;
	uint64_t done;
	uint64_t at; /* in the content of the item in hand */
	struct progress content, folders;
};

/* SIGUSR1 asks where it is; answered between two pieces of content. */
static volatile sig_atomic_t asked;

static void note_question(int sig)
{
	(void)sig;
	asked = 1;
}

static void listen_for_question(void)
{
	struct sigaction action = { .sa_handler = note_question, .sa_flags = SA_RESTART };

	sigemptyset(&action.sa_mask);
	sigaction(SIGUSR1, &action, NULL);
}

static void answer(const struct extract_run *x, struct bytes path)
{
	CLEANUP(buf_fini) struct buf scratch = BUF_INIT;
	struct bytes shown = text_clean(path, &scratch);
	char at[SIZE_TEXT];

	asked = 0;
	log_info("borg.archiver", "%.*s %s/???", (int)shown.len, (const char *)shown.p,
		 size_text(x->at, false, at));
}

static void on_item(void *arg, struct bytes path)
{
	struct extract_run *x = arg;
	CLEANUP(buf_fini) struct buf scratch = BUF_INIT;
	struct bytes shown = text_clean(path, &scratch);

	x->at = 0;
	if (x->list)
		log_info("borg.output.list", "%.*s", (int)shown.len, (const char *)shown.p);
	if (asked)
		answer(x, path);
}

static void on_warning(void *arg, const char *msgid, const char *text)
{
	struct extract_run *x = arg;
	CLEANUP(buf_fini) struct buf scratch = BUF_INIT;
	struct bytes shown = text_clean(bytes_str(text), &scratch);

	run_warn(x->run, "borg.archiver", msgid, "%.*s", (int)shown.len, (const char *)shown.p);
}

static void on_content(void *arg, struct bytes path, uint64_t bytes)
{
	struct extract_run *x = arg;

	if (x->run->common.progress)
		progress_show(&x->content, x->done, bytes, path);
	x->done += bytes;
	x->at += bytes;
	if (asked)
		answer(x, path);
}

static void on_directories(void *arg, size_t done, size_t total)
{
	struct extract_run *x = arg;

	if (!x->run->common.progress)
		return;
	if (done == 1)
		progress_finish(&x->content);
	x->folders.total = total;
	progress_show(&x->folders, done - 1, 1, (struct bytes){ 0 });
}

/* As Borg ends them: the content's before the first folder, and at last the folders'. */
static void finish_progress(struct extract_run *x, bool folders)
{
	if (!x->run->common.progress)
		return;
	if (x->folders.total == 0)
		progress_finish(&x->content);
	progress_finish(folders ? &x->folders : &x->content);
}

static void warn_unmatched(struct run *run, const struct matcher *m)
{
	const char *pattern;
	size_t cursor = 0;

	while ((pattern = matcher_unmatched(m, &cursor)))
		run_warn(run, "borg.archiver", "IncludePatternNeverMatchedWarning",
			 "Include pattern '%s' never matched.", pattern);
}

static int measure(struct extract_run *x, struct reader *r, const struct archive *a,
		   const struct extract_options *options, struct err *e)
{
	if (!x->run->common.progress)
		return 0;
	progress_message(
		"extract",
		"Calculating total archive size for the progress indicator (might take "
		"long for large archives)",
		x->content.operation);
	return extract_size(r, a, options, &x->content.total, e);
}

static int extract(struct run *run, const struct extract_args *args, struct reader *r,
		   const struct archive *a, struct extract_options *options, struct err *e)
{
	struct extract_run x = {
		.run = run,
		.list = args->list,
		.content = { "extract", "%5.1f%% Extracting: %s", 0, 1, 0.1, false, 0 },
		.folders = { "extract.permissions", "Setting directory permissions %3.0f%%%s",
			     0, 2, 5, false, 0 },
	};
	struct extract_events events = { &x, on_item, on_warning, on_content, on_directories };
	int rc = measure(&x, r, a, options, e);

	listen_for_question();
	if (rc == 0)
		rc = extract_archive(r, a, options, &events, e);
	if (rc == 0)
		warn_unmatched(run, args->matcher);
	finish_progress(&x, rc == 0 && !args->dry_run);
	return rc;
}

static int run_extract(struct run *run, void *arg, struct err *e)
{
	struct extract_args *args = arg;
	CLEANUP(reader_closep) struct reader *reader = NULL;
	CLEANUP(archive_freep) struct archive *a = NULL;
	CLEANUP(cleanup_freep) char *cwd = getcwd(NULL, 0);
	CLEANUP(cleanup_closep) int root = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct extract_options options = {
		.root_fd = root,
		.root_name = cwd ? cwd : ".",
		.content_fd = args->to_stdout ? STDOUT_FILENO : -1,
		.dry_run = args->dry_run,
		.sparse = args->sparse,
		.numeric_ids = args->numeric_ids,
		.no_flags = args->no_flags,
		.no_acls = args->no_acls,
		.no_xattrs = args->no_xattrs,
		.consider_part_files = run->common.consider_part_files,
		.strip_components = args->strip_components,
	};
	struct manifest *manifest;
	int rc;

	log_enable("borg.output.list", args->list);
	if (root < 0)
		return err_set(e, errno, "cannot open the current folder: %s", strerror(errno));
	rc = matcher_complete(&args->matcher, &args->paths, e);
	if (rc == 0)
		rc = run_open_reader(run, &reader, &args->where, e);
	if (rc < 0)
		return rc;
	options.matcher = args->matcher;
	manifest = reader_manifest(reader);
	rc = report_load_archive(&a, reader, manifest, args->where.archive, e);
	reader_manifest_unref(reader, manifest);
	return rc < 0 ? rc : extract(run, args, reader, a, &options, e);
}

static void extract_args_fini(void *arg)
{
	struct extract_args *args = arg;

	location_fini(&args->where);
	matcher_free(args->matcher);
}

#define EXTRACT(member) .offset = offsetof(struct extract_args, member)

static const struct arg_option extract_options_table[] = {
	{ .name = "list",
	  .kind = ARG_FLAG,
	  EXTRACT(list),
	  .help = "output verbose list of items (files, dirs, ...)" },
	{ .letter = 'n',
	  .name = "dry-run",
	  .kind = ARG_FLAG,
	  EXTRACT(dry_run),
	  .help = "do not actually change any files" },
	{ .name = "numeric-owner",
	  .kind = ARG_FLAG,
	  EXTRACT(numeric_ids),
	  .help = "deprecated, use ``--numeric-ids`` instead" },
	{ .name = "numeric-ids",
	  .kind = ARG_FLAG,
	  EXTRACT(numeric_ids),
	  .help = "only obey numeric user and group identifiers" },
	{ .name = "nobsdflags",
	  .kind = ARG_FLAG,
	  EXTRACT(no_flags),
	  .help = "deprecated, use ``--noflags`` instead" },
	{ .name = "noflags",
	  .kind = ARG_FLAG,
	  EXTRACT(no_flags),
	  .help = "do not extract/set flags (e.g. NODUMP, IMMUTABLE)" },
	{ .name = "noacls",
	  .kind = ARG_FLAG,
	  EXTRACT(no_acls),
	  .help = "do not extract/set ACLs" },
	{ .name = "noxattrs",
	  .kind = ARG_FLAG,
	  EXTRACT(no_xattrs),
	  .help = "do not extract/set xattrs" },
	{ .name = "stdout",
	  .kind = ARG_FLAG,
	  EXTRACT(to_stdout),
	  .help = "write all extracted data to stdout" },
	{ .name = "sparse",
	  .kind = ARG_FLAG,
	  EXTRACT(sparse),
	  .help = "create holes in output sparse file from all-zero chunks" },
	EXCLUSION_OPTIONS(struct extract_args, matcher),
	{ .name = "strip-components",
	  .kind = ARG_VALUE,
	  EXTRACT(strip_components),
	  .convert = arg_count,
	  .metavar = "NUMBER",
	  .help = "Remove the specified number of leading path elements. Paths with fewer "
		  "elements will be silently skipped." },
};

static const struct arg_positional extract_positionals[] = {
	{ "ARCHIVE", ARG_ONE, offsetof(struct extract_args, where), arg_archive,
	  "archive to extract" },
	{ "PATH", ARG_ANY, offsetof(struct extract_args, paths), NULL,
	  "paths to extract; patterns are supported" },
};

const struct command command_extract = {
	.name = "extract",
	.summary = "extract archive contents",
	.description =
		"This command extracts the contents of an archive into the current folder.\n"
		"By default the entire archive is extracted; PATH arguments and the exclusion\n"
		"options select a part.  With --dry-run everything is read, authenticated and\n"
		"decompressed, and nothing is written.\n",
	COMMAND_OPTIONS(extract_options_table),
	COMMAND_POSITIONALS(extract_positionals),
	.args_size = sizeof(struct extract_args),
	.args_fini = extract_args_fini,
	.flags = COMMAND_BYPASS_LOCK,
	.run = run_extract,
};
