/* cmd_delete.c - `delete`: archives, or a whole repository with all that this machine keeps of it. */

#include "tools/commands.h"

#include "core/base/io.h"
#include "core/base/log.h"
#include "core/platform/dirs.h"
#include "core/repo/create.h"
#include "tools/deletion.h"
#include "tools/passphrase.h"
#include "tools/report.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct delete_args {
	struct location where;
	struct arg_list archives;
	struct select_options filter;
	bool dry_run, list, stats, cache_only, keep_security_info, save_space;
	unsigned force;
	struct delete_interval {
		bool given;
		int seconds;
	} checkpoint_interval;
};

enum { DEFAULT_INTERVAL = 1800 /* seconds */ };

#define RULE "------------------------------------------------------------------------------\n"

static const char logger[] = "borg.archiver", list_logger[] = "borg.output.list";

/* --- archives --- */

struct names {
	struct bytes *v; /* in the manifest or the command line */
	size_t count;
};

static int add_named(const struct delete_args *args, struct names *out)
{
	if (args->where.archive)
		out->v[out->count++] = bytes_str(args->where.archive);
	for (size_t i = 0; i < args->archives.count; i++)
		out->v[out->count++] = bytes_str(args->archives.v[i]);
	return 0;
}

static int add_selected(const struct delete_args *args, const struct manifest *m,
			struct names *out, struct err *e)
{
	CLEANUP(selection_fini) struct selection chosen = { 0 };
	struct select_options filter = args->filter;
	int rc;

	filter.consider_checkpoints = true;
	rc = select_archives(&chosen, m, &filter, e);
	for (size_t i = 0; rc == 0 && i < chosen.count; i++)
		out->v[out->count++] = chosen.entries[i]->name;
	return rc;
}

static int choose(const struct delete_args *args, const struct manifest *m, struct names *out,
		  struct err *e)
{
	out->v = calloc(m->count + args->archives.count + 2, sizeof(*out->v));
	if (!out->v)
		return err_nomem(e, "archives");
	return select_is_filter(&args->filter) ? add_selected(args, m, out, e)
					       : add_named(args, out);
}

static void tell(const struct delete_args *args, const char *what,
		 const struct manifest_entry *entry, size_t number, size_t count)
{
	CLEANUP(buf_fini) struct buf line = BUF_INIT;

	if (args->list && report_archive_line(entry, &line) == 0)
		log_info(list_logger, "%s %.*s (%zu/%zu)", what, (int)line.len,
			 (const char *)line.p, number, count);
}

static void not_found(struct run *run, bool counts, struct bytes name, size_t number,
		      size_t count)
{
	if (counts)
		run_warn(run, logger, NULL, "Archive %.*s not found (%zu/%zu).", (int)name.len,
			 (const char *)name.p, number, count);
	else
		log_warning(logger, "Archive %.*s not found (%zu/%zu).", (int)name.len,
			    (const char *)name.p, number, count);
}

static int delete_each(struct deletion *d, const struct delete_args *args,
		       const struct names *names, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < names->count; i++) {
		const struct manifest_entry *entry =
			manifest_draft_find(d->session->draft, names->v[i]);

		if (!entry) {
			not_found(d->run, false, names->v[i], i + 1, names->count);
			continue;
		}
		tell(args, args->dry_run ? "Would delete archive:" : "Deleting archive:", entry,
		     i + 1, names->count);
		if (!args->dry_run)
			rc = deletion_remove(d, names->v[i], e);
	}
	return rc < 0 ? rc : deletion_finish(d, e);
}

/* --force twice: the names go, and nothing else is looked at. */
static int forget_each(struct deletion *d, const struct delete_args *args,
		       const struct names *names, struct err *e)
{
	bool any = false;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < names->count; i++) {
		const struct manifest_entry *entry =
			manifest_draft_find(d->session->draft, names->v[i]);

		if (!entry) {
			not_found(d->run, true, names->v[i], i + 1, names->count);
			continue;
		}
		tell(args, args->dry_run ? "Would delete:" : "Deleted archive:", entry, i + 1,
		     names->count);
		any = true;
		if (!args->dry_run)
			rc = session_forget_archive(d->session, names->v[i], e);
	}
	if (rc == 0 && args->dry_run)
		log_info(logger, "Finished dry-run.");
	else if (rc == 0 && any)
		rc = session_commit(d->session, e);
	if (rc == 0 && !args->dry_run)
		log_warning(logger, "%s",
			    any ? "Done. Run \"borg check --repair\" to clean up the mess."
				: "Aborted.");
	return rc;
}

static int delete_archives(struct run *run, const struct delete_args *args, struct err *e)
{
	struct deletion d = {
		.stats = args->stats,
		.force = args->force,
		.checkpoint_interval = args->checkpoint_interval.given
					       ? args->checkpoint_interval.seconds
					       : DEFAULT_INTERVAL,
	};
	struct names names = { 0 };
	struct manifest *m = NULL;
	int rc = deletion_open(&d, run, &args->where, e);

	if (rc == 0) {
		m = reader_manifest(d.reader);
		rc = choose(args, m, &names, e);
	}
	if (rc == 0)
		rc = args->force >= 2 ? forget_each(&d, args, &names, e)
				      : delete_each(&d, args, &names, e);
	if (m)
		reader_manifest_unref(d.reader, m);
	free(names.v);
	rc = interrupt_result(d.interrupt, run, rc);
	deletion_close(&d);
	return rc;
}

/* --- a repository --- */

static int list_archives(const struct manifest *m, struct buf *out)
{
	CLEANUP(selection_fini) struct selection all = { 0 };
	struct select_options options = { .consider_checkpoints = true };
	int rc = select_archives(&all, m, &options, NULL);

	if (rc == 0 && all.count == 0)
		rc = buf_append_str(out, "This repository seems to not have any archives.\n");
	for (size_t i = 0; rc == 0 && i < all.count; i++) {
		rc = report_archive_line(all.entries[i], out);
		if (rc == 0)
			rc = buf_append_byte(out, '\n');
	}
	return rc;
}

/* The question before all is gone; the repository may not even have a manifest. */
static int put_question(struct run *run, const struct delete_args *args, struct buf *out)
{
	CLEANUP(reader_closep) struct reader *r = NULL;
	CLEANUP(repo_closep) struct repo *repo = NULL;
	const struct repo_options bare = { .config_only = true };
	char line[256], id[CHUNK_ID_HEX], count[32] = "all archives it may contain";
	struct manifest *m = NULL;
	struct err why = ERR_INIT;
	int rc = repo_open(&repo, &args->where, &bare, &why);

	if (rc < 0)
		return rc;
	if (run_open_reader(run, &r, &args->where, &why) == 0) {
		m = reader_manifest(r);
		snprintf(count, sizeof(count), "%zu archives it contains", m->count);
	}
	snprintf(line, sizeof(line),
		 "You requested to completely DELETE the following repository *including* "
		 "%s:\n" RULE "Repository ID: ",
		 count);
	if (buf_append_str(out, line) < 0 ||
	    buf_append_str(out, id_hex(&repo_config(repo)->id, id)) < 0 ||
	    buf_append_str(out, "\nLocation: ") < 0 ||
	    buf_append_str(out, repo_canonical(repo)) < 0 || buf_append_byte(out, '\n') < 0)
		rc = -ENOMEM;
	if (rc == 0 && args->list)
		rc = buf_append_str(out, "\nArchives:\n");
	if (rc == 0 && args->list && m)
		rc = list_archives(m, out);
	else if (rc == 0 && args->list)
		rc = buf_append_str(out, "This repository seems to have no manifest, so we "
					 "can't tell anything about its contents.\n");
	if (m)
		reader_manifest_unref(r, m);
	if (rc == 0 &&
	    (buf_append_str(out, RULE "Type 'YES' if you understand this and want to "
				      "continue: ") < 0 ||
	     buf_append_byte(out, 0) < 0))
		rc = -ENOMEM;
	return rc;
}

static bool confirmed(struct run *run, const struct delete_args *args)
{
	CLEANUP(buf_fini) struct buf question = BUF_INIT;

	return args->force > 0 ||
	       (put_question(run, args, &question) == 0 &&
		terminal_confirm_danger((const char *)question.p,
					"BORG_DELETE_I_KNOW_WHAT_I_AM_DOING"));
}

static int remove_dir(int (*place)(const struct chunk_id *, char **, struct err *),
		      const struct chunk_id *id, struct err *e)
{
	CLEANUP(cleanup_freep) char *path = NULL;
	int rc = place(id, &path, e);

	return rc < 0 ? rc : remove_tree(path, e);
}

static int remove_caches(const struct chunk_id *id, struct err *e)
{
	int rc = remove_dir(dirs_borg_cache, id, e);

	if (rc == 0)
		rc = remove_dir(dirs_cache, id, e);
	if (rc == 0)
		log_info(logger, "Cache deleted.");
	return rc;
}

static int would_delete(const struct delete_args *args)
{
	if (!args->cache_only) {
		log_info(logger, "Would delete repository.");
		log_info(logger, "Would %s security info.",
			 args->keep_security_info ? "keep" : "delete");
	}
	log_info(logger, "Would delete cache.");
	return 0;
}

static int delete_repository(struct run *run, const struct delete_args *args, struct err *e)
{
	const struct repo_options bare = { .config_only = true };
	struct repo *repo = NULL;
	struct chunk_id id;
	int rc = repo_open(&repo, &args->where, &bare, e);

	if (rc < 0)
		return rc;
	id = repo_config(repo)->id;
	if (!args->cache_only && !confirmed(run, args)) {
		repo_close(repo);
		run->exit_code = 2;
		return 0;
	}
	if (args->dry_run) {
		repo_close(repo);
		return would_delete(args);
	}
	if (args->cache_only) {
		repo_close(repo);
		return remove_caches(&id, e);
	}
	rc = run_lock(run, repo, e);
	if (rc < 0) {
		repo_close(repo);
		return rc;
	}
	rc = repo_destroy(repo, e);
	if (rc == 0)
		log_info(logger, "Repository deleted.");
	if (rc == 0 && !args->keep_security_info)
		rc = remove_dir(dirs_security, &id, e);
	return rc == 0 ? remove_caches(&id, e) : rc;
}

static int run_delete(struct run *run, void *arg, struct err *e)
{
	const struct delete_args *args = arg;
	bool named = args->where.archive || args->archives.count;
	bool filtered = select_is_filter(&args->filter);

	if (named && filtered) {
		log_error(logger, "Mixing archive filters and explicitly named archives is not "
				  "supported.");
		run->exit_code = 2;
		return 0;
	}
	log_enable(list_logger, args->list);
	log_enable("borg.output.stats", args->stats);
	return named || filtered ? delete_archives(run, args, e)
				 : delete_repository(run, args, e);
}

static void delete_args_fini(void *arg)
{
	struct delete_args *args = arg;

	location_fini(&args->where);
	filter_fini(&args->filter);
}

static int arg_delete_interval(void *field, const char *text, struct err *e)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (end == text || *end || value < INT_MIN || value > INT_MAX)
		return err_set(e, EINVAL, "invalid int value: '%s'", text);
	*(struct delete_interval *)field = (struct delete_interval){ true, (int)value };
	return 0;
}

#define INTO(member) .offset = offsetof(struct delete_args, member)
#define FLAG(short_name, long_name, member, text)                                              \
	{                                                                                      \
		.letter = short_name, .name = long_name, .kind = ARG_FLAG, INTO(member),       \
		.help = text                                                                   \
	}

static const struct arg_option delete_options[] = {
	FLAG('n', "dry-run", dry_run, "do not change repository"),
	FLAG(0, "list", list, "output verbose list of archives"),
	FLAG('s', "stats", stats, "print statistics for the deleted archive"),
	FLAG(0, "cache-only", cache_only,
	     "delete only the local cache for the given repository"),
	{ .name = "force",
	  .kind = ARG_COUNT,
	  INTO(force),
	  .help = "force deletion of corrupted archives, use ``--force --force`` in case "
		  "``--force`` does not work." },
	FLAG(0, "keep-security-info", keep_security_info,
	     "keep the local security info when deleting a repository"),
	FLAG(0, "save-space", save_space, "work slower, but using less space"),
	{ .letter = 'c',
	  .name = "checkpoint-interval",
	  .kind = ARG_VALUE,
	  INTO(checkpoint_interval),
	  .convert = arg_delete_interval,
	  .metavar = "SECONDS",
	  .help = "write checkpoint every SECONDS seconds (Default: 1800)" },
	ARCHIVE_FILTER_OPTIONS(struct delete_args, filter),
};

static const struct arg_positional delete_positionals[] = {
	{ "REPOSITORY_OR_ARCHIVE", ARG_OPTIONAL, offsetof(struct delete_args, where),
	  arg_location, "repository or archive to delete" },
	{ "ARCHIVE", ARG_ANY, offsetof(struct delete_args, archives), NULL,
	  "archives to delete" },
};

const struct command command_delete = {
	.name = "delete",
	.summary = "delete archive",
	.description =
		"This command deletes archives of a repository; without the name of an archive "
		"and without a filter it deletes the whole repository, after a question, and "
		"what this machine keeps of it.\n"
		"\n"
		"What no other archive needs goes with an archive; its space is given back by "
		"`compact`.\n"
		"\n"
		"--force deletes an archive that is damaged; given twice, only the archive's "
		"name goes, and `check --repair` finds what it has left.\n",
	COMMAND_OPTIONS(delete_options),
	COMMAND_POSITIONALS(delete_positionals),
	.args_size = sizeof(struct delete_args),
	.args_fini = delete_args_fini,
	.run = run_delete,
};
