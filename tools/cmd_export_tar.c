/* cmd_export_tar.c - `export-tar`: an archive as a tar stream, through a filter. */

#include "tools/commands.h"

#include "core/archive/extract.h"
#include "core/archive/match.h"
#include "core/archive/tar_out.h"
#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "tools/filter.h"
#include "tools/progress.h"
#include "tools/report.h"
#include "tools/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct export_args {
	struct location where;
	struct matcher *matcher;
	struct arg_list paths;
	const char *tarfile, *filter;
	bool list;
	unsigned strip_components;
};

struct export
{
	struct run *run;
	const struct export_args *args;
	struct tar_out *tar;
	struct progress progress;
	uint64_t done;
};

/* --- what is told --- */

static struct bytes shown(struct bytes text, struct buf *scratch)
{
	return text_clean(text, scratch);
}

static void on_warning(void *arg, const char *msgid, const char *text)
{
	struct export *x = arg;
	CLEANUP(buf_fini) struct buf scratch = BUF_INIT;
	struct bytes t = shown(bytes_str(text), &scratch);

	run_warn(x->run, "borg.archiver", msgid, "%.*s", (int)t.len, (const char *)t.p);
}

static void on_content(void *arg, struct bytes path, uint64_t bytes)
{
	struct export *x = arg;

	if (x->run->common.progress)
		progress_show(&x->progress, x->done, bytes, path);
	x->done += bytes;
}

static void warn_unmatched(struct run *run, const struct matcher *m)
{
	const char *pattern;
	size_t cursor = 0;

	while ((pattern = matcher_unmatched(m, &cursor)))
		run_warn(run, "borg.archiver", "IncludePatternNeverMatchedWarning",
			 "Include pattern '%s' never matched.", pattern);
}

/* --- what is written --- */

static int on_item(void *arg, const struct item *it, struct bytes path, struct bytes link,
		   uint64_t size, struct err *e)
{
	struct export *x = arg;
	CLEANUP(buf_fini) struct buf scratch = BUF_INIT;
	struct bytes name;
	int rc = tar_out_item(x->tar, it, path, link, size, e);

	if (rc < 0)
		return rc;
	if (rc > 0) {
		name = shown(path, &scratch);
		run_warn(x->run, "borg.archiver", NULL,
			 "%.*s: unsupported file type %o for tar export", (int)name.len,
			 (const char *)name.p, it->mode & S_IFMT);
		return 1;
	}
	if (x->args->list) {
		name = shown(it->path, &scratch);
		log_info("borg.output.list", "%.*s", (int)name.len, (const char *)name.p);
	}
	return 0;
}

static int on_bytes(void *arg, const uint8_t *p, size_t len, struct err *e)
{
	struct export *x = arg;

	return tar_out_content(x->tar, p, len, e);
}

static int write_tar(struct export *x, struct reader *r, const struct archive *a, int fd,
		     struct err *e)
{
	const struct extract_receiver receiver = { x, on_item, on_bytes };
	const struct extract_options options = {
		.matcher = x->args->matcher,
		.root_fd = -1,
		.root_name = "",
		.content_fd = -1,
		.receiver = &receiver,
		.consider_part_files = x->run->common.consider_part_files,
		.strip_components = x->args->strip_components,
	};
	const struct extract_events events = { .arg = x,
					       .warning = on_warning,
					       .content = on_content };
	int rc = 0;

	if (x->run->common.progress) {
		progress_message("extract", "Calculating size", x->progress.operation);
		rc = extract_size(r, a, &options, &x->progress.total, e);
	}
	if (rc == 0)
		rc = tar_out_open(&x->tar, fd, e);
	if (rc == 0)
		rc = extract_archive(r, a, &options, &events, e);
	if (rc == 0)
		rc = tar_out_finish(x->tar, e);
	if (x->run->common.progress)
		progress_finish(&x->progress);
	tar_out_free(TAKE(x->tar));
	return rc;
}

static int open_tarfile(const char *path, struct err *e)
{
	int fd = strcmp(path, "-") == 0
			 ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
			 : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	return fd < 0 ? err_set(e, errno, "[Errno %d] %s: '%s'", errno, strerror(errno), path)
		      : fd;
}

static int export_archive(struct run *run, const struct export_args *args, struct reader *r,
			  const struct archive *a, struct err *e)
{
	struct export x = {
		.run = run,
		.args = args,
		.progress = { "extract", "%5.1f%% Processing: %s", 0, 1, 0.1, false, 0 },
	};
	const char *command = strcmp(args->filter ? args->filter : "auto", "auto") == 0
				      ? filter_of_name(args->tarfile, false)
				      : args->filter;
	struct filter filter;
	int fd = open_tarfile(args->tarfile, e), rc;

	if (fd < 0)
		return fd;
	rc = filter_start(&filter, command, fd, false, e);
	if (rc == 0)
		rc = write_tar(&x, r, a, filter.fd, e);
	if (rc == 0)
		rc = filter_finish(&filter, e);
	filter_abort(&filter);
	if (rc == 0)
		warn_unmatched(run, args->matcher);
	return rc;
}

static int run_export(struct run *run, void *arg, struct err *e)
{
	struct export_args *args = arg;
	CLEANUP(reader_closep) struct reader *reader = NULL;
	CLEANUP(archive_freep) struct archive *a = NULL;
	struct manifest *manifest;
	int rc;

	log_enable("borg.output.list", args->list);
	rc = matcher_complete(&args->matcher, &args->paths, e);
	if (rc == 0)
		rc = run_open_reader(run, &reader, &args->where, e);
	if (rc < 0)
		return rc;
	manifest = reader_manifest(reader);
	rc = report_load_archive(&a, reader, manifest, args->where.archive, e);
	reader_manifest_unref(reader, manifest);
	return rc < 0 ? rc : export_archive(run, args, reader, a, e);
}

static void export_args_fini(void *arg)
{
	struct export_args *args = arg;

	location_fini(&args->where);
	matcher_free(args->matcher);
}

#define EXPORT(member) .offset = offsetof(struct export_args, member)

static const struct arg_option export_options_table[] = {
	{ .name = "tar-filter",
	  .kind = ARG_VALUE,
	  EXPORT(filter),
	  .metavar = "TAR_FILTER",
	  .help = "filter program to pipe data through" },
	{ .name = "list",
	  .kind = ARG_FLAG,
	  EXPORT(list),
	  .help = "output verbose list of items (files, dirs, ...)" },
	EXCLUSION_OPTIONS(struct export_args, matcher),
	{ .name = "strip-components",
	  .kind = ARG_VALUE,
	  EXPORT(strip_components),
	  .convert = arg_count,
	  .metavar = "NUMBER",
	  .help = "Remove the specified number of leading path elements. Paths with fewer "
		  "elements will be silently skipped." },
};

static const struct arg_positional export_positionals[] = {
	{ "ARCHIVE", ARG_ONE, offsetof(struct export_args, where), arg_archive,
	  "archive to export" },
	{ "FILE", ARG_ONE, offsetof(struct export_args, tarfile), NULL,
	  "output tar file. \"-\" to write to stdout instead." },
	{ "PATH", ARG_ANY, offsetof(struct export_args, paths), NULL,
	  "paths to extract; patterns are supported" },
};

const struct command command_export_tar = {
	.name = "export-tar",
	.summary = "create tarball from archive",
	.description =
		"This command writes an archive, or what PATH arguments and exclusion options\n"
		"select of it, as a tar stream in GNU format to FILE ('-': standard output).\n"
		"\n"
		"A name that ends in .tar.gz or .tgz, .tar.bz2 or .tbz, .tar.xz or .txz,\n"
		".tar.zstd or .tar.zst, or .tar.lz4 makes gzip, bzip2, xz, zstd or lz4\n"
		"compress it; --tar-filter names any other program.\n"
		"\n"
		"Owners, modes, times in seconds, links of both kinds, devices and FIFOs are\n"
		"kept; ACLs, extended attributes and flags are not.\n",
	COMMAND_OPTIONS(export_options_table),
	COMMAND_POSITIONALS(export_positionals),
	.args_size = sizeof(struct export_args),
	.args_fini = export_args_fini,
	.flags = COMMAND_BYPASS_LOCK,
	.run = run_export,
};
