/* cmd_compact.c - `compact`: gives back the space of what was deleted. */

#include "tools/commands.h"

#include "core/base/log.h"
#include "core/base/size_text.h"
#include "tools/progress.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

enum { DEFAULT_THRESHOLD = 10 /* percent */ };

struct compact_args {
	struct location where;
	struct threshold {
		bool given;
		int percent;
	} threshold;
	bool cleanup_commits;
};

static void show(void *arg, size_t done, size_t total)
{
	struct progress *p = arg;

	p->total = total;
	progress_show(p, done, 1, (struct bytes){ 0 });
}

/* As Borg does it: the manifest is put again as it is, so that there is a transaction to commit; no
 * key is needed. */
static int compact(struct repo *repo, const struct compact_args *args, struct err *e)
{
	CLEANUP(buf_fini) struct buf manifest = BUF_INIT;
	struct progress progress = {
		.msgid = "repository.compact_segments",
		.format = "Compacting segments %3.0f%%",
		.operation = 1,
		.step = 1,
	};
	struct compact_options options = {
		.threshold =
			(args->threshold.given ? args->threshold.percent : DEFAULT_THRESHOLD) /
			100.0,
		.cleanup_commits = args->cleanup_commits,
		.progress = progress_wanted() ? show : NULL,
		.progress_arg = &progress,
	};
	char text[SIZE_TEXT];
	uint64_t freed = 0;
	int rc = repo_get(repo, &MANIFEST_ID, 0, &manifest, e);

	if (rc == 0)
		rc = repo_put(repo, &MANIFEST_ID, buf_bytes(&manifest), e);
	if (rc == 0)
		rc = repo_commit(repo, e);
	if (rc == 0)
		rc = repo_compact(repo, &options, &freed, e);
	if (rc < 0)
		return rc;
	if (options.progress)
		progress_finish(&progress);
	if (!repo_config(repo)->append_only)
		log_info("borg.repository", "compaction freed about %s repository space.",
			 size_text(freed, false, text));
	return 0;
}

static int run_compact(struct run *run, void *arg, struct err *e)
{
	const struct compact_args *args = arg;
	CLEANUP(repo_closep) struct repo *repo = NULL;
	int rc = repo_open(&repo, &args->where, &(struct repo_options){ 0 }, e);

	if (rc == 0)
		rc = run_lock(run, repo, e);
	if (rc == 0)
		rc = compact(repo, args, e);
	if (rc < 0) {
		if (repo)
			(void)repo_unlock(repo, NULL);
		return rc;
	}
	return repo_unlock(repo, e);
}

static void compact_args_fini(void *arg)
{
	struct compact_args *args = arg;

	location_fini(&args->where);
}

static int arg_threshold(void *field, const char *text, struct err *e)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (end == text || *end || value < INT_MIN || value > INT_MAX)
		return err_set(e, EINVAL, "invalid int value: '%s'", text);
	*(struct threshold *)field = (struct threshold){ true, (int)value };
	return 0;
}

static const struct arg_option compact_options_rows[] = {
	{ .name = "cleanup-commits",
	  .kind = ARG_FLAG,
	  .offset = offsetof(struct compact_args, cleanup_commits),
	  .help = "cleanup commit-only 17-byte segment files" },
	{ .name = "threshold",
	  .kind = ARG_VALUE,
	  .offset = offsetof(struct compact_args, threshold),
	  .convert = arg_threshold,
	  .metavar = "PERCENT",
	  .help = "set minimum threshold for saved space in PERCENT (default: 10)" },
};

static const struct arg_positional compact_positionals[] = {
	{ "REPOSITORY", ARG_OPTIONAL, offsetof(struct compact_args, where), arg_repository,
	  "repository to compact" },
};

const struct command command_compact = {
	.name = "compact",
	.summary = "compact segment files / free space in repo",
	.description =
		"This command gives back the space of deleted archives: segments of which more "
		"than the threshold is no longer needed are written anew without it.\n"
		"\n"
		"It needs no key and no passphrase.  In an append-only repository nothing is "
		"freed.\n",
	COMMAND_OPTIONS(compact_options_rows),
	COMMAND_POSITIONALS(compact_positionals),
	.args_size = sizeof(struct compact_args),
	.args_fini = compact_args_fini,
	.run = run_compact,
};
