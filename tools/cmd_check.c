/* cmd_check.c - `check`: is everything in a repository as it should be, and if not, save it. */

#include "tools/commands.h"

#include "core/archive/check.h"
#include "core/platform/dirs.h"
#include "tools/passphrase.h"
#include "tools/progress.h"

#include <errno.h>
#include <stdlib.h>

struct check_args {
	struct location where;
	struct select_options filter;
	bool repository_only, archives_only, verify_data, repair, save_space;
	int max_duration; /* seconds */
};

static const char question[] =
	"This is a potentially dangerous function.\n"
	"check --repair might lead to data loss (for kinds of corruption it is not\n"
	"capable of dealing with). BE VERY CAREFUL!\n"
	"\n"
	"Type 'YES' if you understand this and want to continue: ";

/* What parsing cannot tell: the sentence, or NULL. */
static const char *contradiction(const struct check_args *args)
{
	const struct select_options *f = &args->filter;

	if (args->repository_only &&
	    (args->verify_data || f->first || f->last || f->prefix || (f->glob && *f->glob)))
		return "--repository-only contradicts --first, --last, --glob-archives, "
		       "--prefix and --verify-data arguments.";
	if (args->repair && args->max_duration)
		return "--repair does not allow --max-duration argument.";
	if (args->max_duration && !args->repository_only)
		return "--repository-only is required for --max-duration support.";
	return NULL;
}

static bool is_allowed(const struct check_args *args)
{
	const char *why = NULL;

	if (args->repair &&
	    !terminal_confirm_danger(question, "BORG_CHECK_I_KNOW_WHAT_I_AM_DOING"))
		return false;
	why = contradiction(args);
	if (why)
		log_error("borg.archiver", "%s", why);
	return !why;
}

/* --- progress --- */

static void show_segments(void *arg, size_t done, size_t total)
{
	struct progress *p = arg;

	p->total = total;
	progress_show(p, done, 1, (struct bytes){ 0 });
}

static void show_step(void *arg, enum archive_check_step step, size_t done, size_t total)
{
	struct progress *p = (struct progress *)arg + step;

	p->total = total;
	if (done < total)
		progress_show(p, done, 1, (struct bytes){ 0 });
	else
		progress_finish(p);
}

/* --- both phases --- */

/* 1: there are problems. */
static int check_repository(struct repo *repo, const struct check_args *args, struct err *e)
{
	struct progress progress = {
		.msgid = "repository.check",
		.format = "Checking segments %3.1f%%",
		.operation = 1,
		.step = 0.1,
	};
	struct repo_check_options options = {
		.repair = args->repair,
		.max_duration = args->max_duration < 0 ? 1 : (uint32_t)args->max_duration,
		.progress = progress_wanted() ? show_segments : NULL,
		.progress_arg = &progress,
	};
	int rc = repo_check(repo, &options, e);

	if (rc >= 0 && options.progress)
		progress_finish(&progress);
	return rc;
}

static int check_archives(struct run *run, struct repo *repo, const struct check_args *args,
			  struct err *e)
{
	int before = args->archives_only ? 0 : 1;
	struct progress progress[] = {
		[CHECK_VERIFY_DATA] = { .msgid = "check.verify_data",
					.format = "Verifying data %6.2f%%",
					.operation = before + 1,
					.step = 0.01 },
		[CHECK_REBUILD_MANIFEST] = { .msgid = "check.rebuild_manifest",
					     .format = "Rebuilding manifest %6.2f%%",
					     .operation = before + 2,
					     .step = 0.01 },
		[CHECK_ARCHIVES] = { .msgid = "check.rebuild_refcounts",
				     .format = "Checking archives %3.1f%%",
				     .operation = before + 3,
				     .step = 0.1 },
	};
	struct archive_check_options options = {
		.repair = args->repair,
		.verify_data = args->verify_data,
		.select = args->filter,
		.prompt = &run->prompt,
		.progress = progress_wanted() ? show_step : NULL,
		.progress_arg = progress,
	};

	if (args->where.archive)
		options.archive = bytes_str(args->where.archive);
	return archive_check(repo, &options, e);
}

static int check(struct run *run, struct repo *repo, const struct check_args *args,
		 struct err *e)
{
	int rc = 0;

	if (!args->archives_only)
		rc = check_repository(repo, args, e);
	if (rc == 0 && !args->repository_only) {
		if (args->archives_only && args->repair && repo_config(repo)->append_only)
			return err_set(e, EPERM, "%s is in append-only mode", repo_path(repo));
		rc = repo_load(repo, e);
		if (rc == 0)
			rc = check_archives(run, repo, args, e);
	}
	return rc;
}

static int check_locked(struct run *run, struct repo *repo, const struct check_args *args,
			struct err *e)
{
	int rc, unlocked;

	rc = run->common.bypass_lock && !args->repair ? 0 : run_lock(run, repo, e);
	if (rc < 0)
		return rc;
	if (!is_allowed(args)) {
		run->exit_code = 2;
		return repo_unlock(repo, e);
	}
	rc = check(run, repo, args, e);
	if (rc == 1)
		run->exit_code = 1;
	unlocked = repo_unlock(repo, rc < 0 ? NULL : e);
	return rc < 0 ? rc : unlocked;
}

static int run_check(struct run *run, void *arg, struct err *e)
{
	const struct check_args *args = arg;
	CLEANUP(cleanup_freep) char *cache = NULL;
	CLEANUP(repo_closep) struct repo *repo = NULL;
	struct repo_options options = { .config_only = true };
	int rc;

	if (dirs_cache_top(&cache, NULL) == 0)
		options.cache_dir = cache;
	rc = repo_open(&repo, &args->where, &options, e);
	return rc < 0 ? rc : check_locked(run, repo, args, e);
}

static void check_args_fini(void *arg)
{
	struct check_args *args = arg;

	location_fini(&args->where);
	filter_fini(&args->filter);
}

static const struct arg_option check_options[] = {
	{ .name = "repository-only",
	  .kind = ARG_FLAG,
	  .offset = offsetof(struct check_args, repository_only),
	  .help = "only perform repository checks" },
	{ .name = "archives-only",
	  .kind = ARG_FLAG,
	  .offset = offsetof(struct check_args, archives_only),
	  .help = "only perform archives checks" },
	{ .name = "verify-data",
	  .kind = ARG_FLAG,
	  .offset = offsetof(struct check_args, verify_data),
	  .help = "perform cryptographic archive data integrity verification (conflicts with "
		  "--repository-only)" },
	{ .name = "repair",
	  .kind = ARG_FLAG,
	  .offset = offsetof(struct check_args, repair),
	  .help = "attempt to repair any inconsistencies found" },
	{ .name = "save-space",
	  .kind = ARG_FLAG,
	  .offset = offsetof(struct check_args, save_space),
	  .help = "accepted for compatibility, without effect" },
	{ .name = "max-duration",
	  .kind = ARG_VALUE,
	  .offset = offsetof(struct check_args, max_duration),
	  .convert = arg_int,
	  .metavar = "SECONDS",
	  .help = "do only a partial repo check for max. SECONDS seconds (default: "
		  "unlimited)" },
	ARCHIVE_FILTER_OPTIONS(struct check_args, filter),
};

static const struct arg_positional check_positionals[] = {
	{ "REPOSITORY_OR_ARCHIVE", ARG_OPTIONAL, offsetof(struct check_args, where),
	  arg_location, "repository or archive to check consistency of" },
};

const struct command command_check = {
	.name = "check",
	.summary = "verify repository",
	.description =
		"This command verifies the consistency of a repository and its archives.\n"
		"\n"
		"First the repository: every entry of its log is read and its checksum "
		"compared, and the index is compared with the log.  Then the archives: are the "
		"list of archives, each archive's metadata and all chunks of all files there, "
		"and is there nothing that no archive needs.  --verify-data decrypts every "
		"chunk as well and compares it with its name.\n"
		"\n"
		"--max-duration splits the repository check into parts: each goes on where the "
		"one before ended.\n"
		"\n"
		"--repair saves what can be saved and forgets the rest: intact entries are "
		"taken "
		"out of damaged segments, a lost list of archives is rebuilt, lost chunks of a "
		"file are replaced by zeros.  Such a file is healed by a later --repair when a "
		"backup has brought the chunk back.  Damage of a kind that this does not "
		"expect may get worse: copy the repository first.\n",
	COMMAND_OPTIONS(check_options),
	COMMAND_POSITIONALS(check_positionals),
	.args_size = sizeof(struct check_args),
	.args_fini = check_args_fini,
	.flags = COMMAND_BYPASS_LOCK,
	.run = run_check,
};
