/* cmd_prune.c - `prune`: archives that no rule keeps are deleted. */

#include "tools/commands.h"

#include "core/archive/keep.h"
#include "core/archive/match.h"
#include "core/base/log.h"
#include "tools/deletion.h"
#include "tools/progress.h"
#include "tools/report.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

struct prune_args {
	struct location where;
	struct keep_rules rules;
	struct select_options filter;
	bool dry_run, stats, list, save_space, force;
	struct prune_interval {
		bool given;
		int seconds;
	} checkpoint_interval;
};

enum { DEFAULT_INTERVAL = 1800 /* seconds */, LABEL = 40 };

static const char logger[] = "borg.archiver";

struct pruning {
	const struct prune_args *args;
	struct deletion *deletion;
	struct manifest *manifest;
	struct keep_archive *archives; /* newest first */
	size_t count, doomed;
};

static bool chosen(const struct prune_args *args, struct bytes name)
{
	struct bytes stem = keep_stem(name);

	if (args->filter.prefix)
		return stem.len >= strlen(args->filter.prefix) &&
		       memcmp(stem.p, args->filter.prefix, strlen(args->filter.prefix)) == 0;
	return !args->filter.glob || match_glob(args->filter.glob, stem) ||
	       match_glob(args->filter.glob, name);
}

static int decide(struct pruning *p, struct err *e)
{
	struct timespec now;

	p->archives = calloc(p->manifest->count + 1, sizeof(*p->archives));
	if (!p->archives)
		return err_nomem(e, "archives");
	for (size_t i = 0; i < p->manifest->count; i++) {
		const struct manifest_entry *entry = &p->manifest->entries[i];

		if (chosen(p->args, entry->name))
			p->archives[p->count++] = (struct keep_archive){
				.name = entry->name, .time_ns = entry->time_ns, .index = i
			};
	}
	clock_gettime(CLOCK_REALTIME, &now);
	keep_decide(p->archives, p->count, &p->args->rules,
		    (int64_t)now.tv_sec * 1000000000 + now.tv_nsec);
	for (size_t i = 0; i < p->count; i++)
		p->doomed += !p->archives[i].keep;
	return 0;
}

static void tell(const struct pruning *p, const struct keep_archive *a, size_t deleted)
{
	CLEANUP(buf_fini) struct buf line = BUF_INIT;
	char label[96];

	if (!p->args->list)
		return;
	if (!a->keep && p->args->dry_run)
		snprintf(label, sizeof(label), "Would prune:");
	else if (!a->keep)
		snprintf(label, sizeof(label), "Pruning archive (%zu/%zu):", deleted,
			 p->doomed);
	else if (a->checkpoint)
		snprintf(label, sizeof(label), "Keeping checkpoint archive:");
	else
		snprintf(label, sizeof(label), "Keeping archive (rule: %s #%zu):", a->rule,
			 a->number);
	if (report_archive_line(&p->manifest->entries[a->index], &line) == 0)
		log_info("borg.output.list", "%-*s %.*s", LABEL, label, (int)line.len,
			 (const char *)line.p);
}

static int prune_all(struct pruning *p, struct err *e)
{
	struct progress progress = {
		.msgid = "prune",
		.format = "Pruning archives %3.0f%%",
		.operation = 1,
		.step = 1,
		.total = p->doomed,
	};
	size_t deleted = 0;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < p->count; i++) {
		const struct keep_archive *a = &p->archives[i];

		if (!a->keep && !p->args->dry_run) {
			if (progress_wanted())
				progress_show(&progress, deleted, 1, (struct bytes){ 0 });
			deleted++;
		}
		tell(p, a, deleted);
		if (!a->keep && !p->args->dry_run)
			rc = deletion_remove(p->deletion, a->name, e);
	}
	if (progress_wanted())
		progress_finish(&progress);
	return rc < 0 ? rc : 0;
}

static int prune(struct pruning *p, struct err *e)
{
	int rc;

	if (!keep_rules_given(&p->args->rules)) {
		log_error(logger, "At least one of the \"keep-within\", \"keep-last\", "
				  "\"keep-secondly\", \"keep-minutely\", \"keep-hourly\", "
				  "\"keep-daily\", \"keep-weekly\", \"keep-monthly\" or "
				  "\"keep-yearly\" settings must be specified.");
		p->deletion->run->exit_code = 2;
		return 0;
	}
	p->manifest = reader_manifest(p->deletion->reader);
	rc = decide(p, e);
	if (rc == 0)
		rc = prune_all(p, e);
	reader_manifest_unref(p->deletion->reader, p->manifest);
	free(p->archives);
	return rc == 0 ? deletion_finish(p->deletion, e) : rc;
}

static int run_prune(struct run *run, void *arg, struct err *e)
{
	const struct prune_args *args = arg;
	struct deletion d = {
		.stats = args->stats,
		.force = args->force,
		.checkpoint_interval = args->checkpoint_interval.given
					       ? args->checkpoint_interval.seconds
					       : DEFAULT_INTERVAL,
	};
	struct pruning p = { .args = args, .deletion = &d };
	int rc;

	log_enable("borg.output.list", args->list);
	log_enable("borg.output.stats", args->stats);
	rc = deletion_open(&d, run, &args->where, e);
	if (rc == 0)
		rc = prune(&p, e);
	rc = interrupt_result(d.interrupt, run, rc);
	deletion_close(&d);
	return rc;
}

static void prune_args_fini(void *arg)
{
	struct prune_args *args = arg;

	location_fini(&args->where);
	filter_fini(&args->filter);
}

static int arg_within(void *field, const char *text, struct err *e)
{
	return keep_parse_interval(text, field, e);
}

static int parse_int(const char *text, long *out, struct err *e)
{
	char *end;

	*out = strtol(text, &end, 10);
	if (end == text || *end || *out < INT_MIN || *out > INT_MAX)
		return err_set(e, EINVAL, "invalid int value: '%s'", text);
	return 0;
}

static int arg_keep(void *field, const char *text, struct err *e)
{
	long value = 0;
	int rc = parse_int(text, &value, e);

	if (rc == 0)
		*(int64_t *)field = value;
	return rc;
}

static int arg_prune_interval(void *field, const char *text, struct err *e)
{
	long value = 0;
	int rc = parse_int(text, &value, e);

	if (rc == 0)
		*(struct prune_interval *)field = (struct prune_interval){ true, (int)value };
	return rc;
}

#define INTO(member) .offset = offsetof(struct prune_args, member)
#define KEEP(short_name, long_name, period, text)                                              \
	{                                                                                      \
		.letter = short_name, .name = long_name, .kind = ARG_VALUE,                    \
		INTO(rules.count[period]), .convert = arg_keep, .metavar = "N", .help = text   \
	}

static const struct arg_option prune_options[] = {
	{ .letter = 'n',
	  .name = "dry-run",
	  .kind = ARG_FLAG,
	  INTO(dry_run),
	  .help = "do not change repository" },
	{ .name = "force",
	  .kind = ARG_FLAG,
	  INTO(force),
	  .help = "force pruning of corrupted archives" },
	{ .letter = 's',
	  .name = "stats",
	  .kind = ARG_FLAG,
	  INTO(stats),
	  .help = "print statistics for the deleted archive" },
	{ .name = "list",
	  .kind = ARG_FLAG,
	  INTO(list),
	  .help = "output verbose list of archives it keeps/prunes" },
	{ .name = "keep-within",
	  .kind = ARG_VALUE,
	  INTO(rules.within_hours),
	  .convert = arg_within,
	  .metavar = "INTERVAL",
	  .help = "keep all archives within this time interval" },
	{ .name = "keep-last",
	  .synonym = NULL,
	  .kind = ARG_VALUE,
	  INTO(rules.count[KEEP_SECONDLY]),
	  .convert = arg_keep,
	  .metavar = "N",
	  .help = "number of secondly archives to keep" },
	KEEP(0, "keep-secondly", KEEP_SECONDLY, "number of secondly archives to keep"),
	KEEP(0, "keep-minutely", KEEP_MINUTELY, "number of minutely archives to keep"),
	KEEP('H', "keep-hourly", KEEP_HOURLY, "number of hourly archives to keep"),
	KEEP('d', "keep-daily", KEEP_DAILY, "number of daily archives to keep"),
	KEEP('w', "keep-weekly", KEEP_WEEKLY, "number of weekly archives to keep"),
	KEEP('m', "keep-monthly", KEEP_MONTHLY, "number of monthly archives to keep"),
	KEEP('y', "keep-yearly", KEEP_YEARLY, "number of yearly archives to keep"),
	{ .letter = 'P',
	  .name = "prefix",
	  .kind = ARG_VALUE,
	  .once = true,
	  .exclusive = 1,
	  INTO(filter.prefix),
	  .convert = arg_placeholders,
	  .metavar = "PREFIX",
	  .help = "only consider archive names starting with this prefix (deprecated)" },
	{ .letter = 'a',
	  .name = "glob-archives",
	  .kind = ARG_VALUE,
	  .once = true,
	  .exclusive = 1,
	  INTO(filter.glob),
	  .convert = arg_placeholders,
	  .metavar = "GLOB",
	  .help = "only consider archive names matching the glob" },
	{ .name = "save-space",
	  .kind = ARG_FLAG,
	  INTO(save_space),
	  .help = "work slower, but using less space" },
	{ .letter = 'c',
	  .name = "checkpoint-interval",
	  .kind = ARG_VALUE,
	  INTO(checkpoint_interval),
	  .convert = arg_prune_interval,
	  .metavar = "SECONDS",
	  .help = "write checkpoint every SECONDS seconds (Default: 1800)" },
};

static const struct arg_positional prune_positionals[] = {
	{ "REPOSITORY", ARG_OPTIONAL, offsetof(struct prune_args, where), arg_repository,
	  "repository to prune" },
};

const struct command command_prune = {
	.name = "prune",
	.summary = "prune archives",
	.description =
		"This command deletes every archive that no rule keeps.  The rules are applied "
		"from the shortest period to the longest; each goes from the newest archive to "
		"the "
		"oldest and keeps the last one of every period, as many as it says.  A rule "
		"that finds fewer also keeps the oldest archive of all.\n"
		"\n"
		"Use --prefix or --glob-archives where a repository holds archives of several "
		"sources: the rules count only what matches.  Checkpoints are deleted but for "
		"one that is newer than every archive.\n"
		"\n"
		"The space is given back by `compact`.\n",
	COMMAND_OPTIONS(prune_options),
	COMMAND_POSITIONALS(prune_positionals),
	.args_size = sizeof(struct prune_args),
	.args_fini = prune_args_fini,
	.run = run_prune,
};
