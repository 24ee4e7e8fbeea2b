/* create_args.c - see create_args.h: options, their values, and the help of `create`. */

#include "tools/create_args.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

static int arg_names(void *field, const char *text, struct err *e)
{
	struct name_list *list = field;
	char **v = realloc(list->v, (list->count + 1) * sizeof(*v));
	char *name = strdup(text);

	if (v)
		list->v = v;
	if (!v || !name) {
		free(name);
		return err_nomem(e, "names");
	}
	list->v[list->count++] = name;
	return 0;
}

/* One character, or an escape that stands for one: more never occurs between paths. */
static int arg_delimiter(void *field, const char *text, struct err *e)
{
	static const char escapes[][2] = {
		{ '0', '\0' }, { 'n', '\n' }, { 't', '\t' }, { 'r', '\r' }, { '\\', '\\' },
	};
	struct delimiter_arg *arg = field;
	char *end = NULL;

	arg->given = true;
	arg->c = text[0];
	if (text[0] && !text[1])
		return 0;
	if (text[0] == '\\' && text[1] == 'x') {
		arg->c = (char)strtoul(text + 2, &end, 16);
		if (strlen(text) == 4 && !*end)
			return 0;
	}
	for (size_t i = 0; i < sizeof(escapes) / sizeof(escapes[0]); i++)
		if (text[0] == '\\' && text[1] == escapes[i][0] && !text[2]) {
			arg->c = escapes[i][1];
			return 0;
		}
	return err_set(e, EINVAL, "'%s': only a single character can stand between paths",
		       text);
}

int arg_compression(void *field, const char *text, struct err *e)
{
	struct compression_arg *arg = field;

	arg->given = true;
	return compression_parse(text, &arg->how, e);
}

int arg_chunker(void *field, const char *text, struct err *e)
{
	struct chunker_arg *arg = field;

	arg->given = true;
	return chunker_params_parse(text, &arg->params, e);
}

static int arg_files_mode(void *field, const char *text, struct err *e)
{
	struct files_mode_arg *arg = field;

	arg->given = true;
	return files_mode_parse(&arg->mode, text, e);
}

static int arg_files_changed(void *field, const char *text, struct err *e)
{
	static const char *const words[] = {
		[CHANGED_BY_CTIME] = "ctime",
		[CHANGED_BY_MTIME] = "mtime",
		[CHANGED_NEVER] = "disabled",
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(text, words[i]) == 0) {
			*(enum files_changed *)field = (enum files_changed)i;
			return 0;
		}
	return err_set(e, EINVAL,
		       "invalid choice: '%s' (choose from 'ctime', 'mtime', 'disabled')", text);
}

int arg_interval(void *field, const char *text, struct err *e)
{
	struct interval_arg *arg = field;
	char *end;
	long value = strtol(text, &end, 10);

	if (end == text || *end || value < INT_MIN || value > INT_MAX)
		return err_set(e, EINVAL, "invalid int value: '%s'", text);
	*arg = (struct interval_arg){ true, (int)value };
	return 0;
}

static int arg_stdin_mode(void *field, const char *text, struct err *e)
{
	struct stdin_mode *arg = field;
	char *end;
	unsigned long value = strtoul(text, &end, 8);

	if (end == text || *end || value > 0177777)
		return err_set(e, EINVAL, "invalid <lambda> value: '%s'", text);
	*arg = (struct stdin_mode){ true, (uint32_t)value };
	return 0;
}

/* A file's time, else UTC in one of Borg's forms. */
int arg_timestamp(void *field, const char *text, struct err *e)
{
	static const char *const forms[] = {
		"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S+00:00",
		"%Y-%m-%dT%H:%M:%S",  "%Y-%m-%d %H:%M:%S",
		"%Y-%m-%dT%H:%M",     "%Y-%m-%d %H:%M",
		"%Y-%m-%d",           "%Y-%j",
	};
	struct timestamp_arg *arg = field;
	struct stat st;

	arg->given = true;
	if (stat(text, &st) == 0) {
		arg->ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
		return 0;
	}
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct tm tm = { .tm_mday = 1 };
		const char *end = strptime(text, forms[i], &tm);

		if (!end || *end)
			continue;
		if (strstr(forms[i], "%j")) { /* mktime counts days of January on */
			tm.tm_mon = 0;
			tm.tm_mday = tm.tm_yday + 1;
		}
		arg->ns = (int64_t)timegm(&tm) * 1000000000;
		return 0;
	}
	return err_set(e, EINVAL, "invalid timestamp value: '%s'", text);
}

static void create_args_fini(void *arg)
{
	struct create_args *args = arg;

	location_fini(&args->where);
	matcher_free(args->matcher);
	for (size_t i = 0; i < args->exclude_if_present.count; i++)
		free(args->exclude_if_present.v[i]);
	free(args->exclude_if_present.v);
	free(args->comment);
}

#define INTO(member) .offset = offsetof(struct create_args, member)
#define FLAG(option, member, text)                                                             \
	{                                                                                      \
		.name = option, .kind = ARG_FLAG, INTO(member), .help = text                   \
	}
#define TEXT(option, member, shown, text)                                                      \
	{                                                                                      \
		.name = option, .kind = ARG_VALUE, INTO(member), .metavar = shown,             \
		.help = text                                                                   \
	}

static const struct arg_option create_options_table[] = {
	{ .letter = 'n',
	  .name = "dry-run",
	  .kind = ARG_FLAG,
	  INTO(dry_run),
	  .help = "do not create a backup archive" },
	CREATION_REPORT_OPTIONS(struct create_args, ),
	FLAG("no-cache-sync", no_cache_sync,
	     "accepted for Borg's sake: nothing is synchronized before it is needed"),
	TEXT("stdin-name", stdin_name, "NAME",
	     "use NAME in archive for stdin data (default: 'stdin')"),
	TEXT("stdin-user", stdin_user, "USER",
	     "set user USER in archive for stdin data (default: that of uid 0)"),
	TEXT("stdin-group", stdin_group, "GROUP",
	     "set group GROUP in archive for stdin data (default: that of gid 0)"),
	{ .name = "stdin-mode",
	  .kind = ARG_VALUE,
	  INTO(stdin_mode),
	  .convert = arg_stdin_mode,
	  .metavar = "M",
	  .help = "set mode to M in archive for stdin data (default: 0660)" },
	FLAG("content-from-command", content_from_command,
	     "interpret PATH as command and store its stdout. See also section Reading from "
	     "stdin below."),
	{ .name = "paths-from-stdin",
	  .kind = ARG_FLAG,
	  INTO(paths_from_stdin),
	  .exclusive = 1,
	  .help = "read DELIM-separated list of paths to backup from stdin. Will not recurse "
		  "into directories." },
	{ .name = "paths-from-command",
	  .kind = ARG_FLAG,
	  INTO(paths_from_command),
	  .exclusive = 1,
	  .help = "interpret PATH as command and treat its output as ``--paths-from-stdin``" },
	{ .name = "paths-delimiter",
	  .kind = ARG_VALUE,
	  INTO(paths_delimiter),
	  .convert = arg_delimiter,
	  .metavar = "DELIM",
	  .help = "set path delimiter for ``--paths-from-stdin`` and "
		  "``--paths-from-command`` (default: \\n)" },
	EXCLUSION_OPTIONS(struct create_args, matcher),
	FLAG("exclude-caches", exclude_caches,
	     "exclude directories that contain a CACHEDIR.TAG file"),
	{ .name = "exclude-if-present",
	  .kind = ARG_VALUE,
	  INTO(exclude_if_present),
	  .convert = arg_names,
	  .metavar = "NAME",
	  .help = "exclude directories that are tagged by containing a filesystem object with "
		  "the given NAME" },
	FLAG("keep-exclude-tags", keep_exclude_tags,
	     "if tag objects are specified with ``--exclude-if-present``, don't omit the tag "
	     "objects themselves from the backup archive"),
	FLAG("keep-tag-files", keep_exclude_tags, NULL),
	FLAG("exclude-nodump", exclude_nodump, "exclude files flagged NODUMP"),
	{ .letter = 'x',
	  .name = "one-file-system",
	  .kind = ARG_FLAG,
	  INTO(one_file_system),
	  .help = "stay in the same file system and do not store mount points of other file "
		  "systems" },
	FLAG("numeric-owner", collect.numeric_ids, "deprecated, use ``--numeric-ids`` instead"),
	FLAG("numeric-ids", collect.numeric_ids,
	     "only store numeric user and group identifiers"),
	FLAG("noatime", nobirthtime, "do not store atime into archive"),
	FLAG("atime", collect.atime, "do store atime into archive"),
	FLAG("noctime", collect.noctime, "do not store ctime into archive"),
	FLAG("nobirthtime", nobirthtime, "do not store birthtime (creation date) into archive"),
	FLAG("nobsdflags", collect.noflags, "deprecated, use ``--noflags`` instead"),
	FLAG("noflags", collect.noflags,
	     "do not read and store flags (e.g. NODUMP, IMMUTABLE) into archive"),
	FLAG("noacls", collect.noacls, "do not read and store ACLs into archive"),
	FLAG("noxattrs", collect.noxattrs, "do not read and store xattrs into archive"),
	FLAG("sparse", sparse,
	     "detect sparse holes in input (supported only by fixed chunker)"),
	{ .name = "files-cache",
	  .kind = ARG_VALUE,
	  INTO(files_mode),
	  .convert = arg_files_mode,
	  .once = true,
	  .metavar = "MODE",
	  .help = "operate files cache in MODE. default: ctime,size,inode" },
	{ .name = "files-changed",
	  .kind = ARG_VALUE,
	  INTO(files_changed),
	  .convert = arg_files_changed,
	  .once = true,
	  .metavar = "MODE",
	  .help = "specify how to detect if a file has changed during backup (ctime, mtime, "
		  "disabled). default: ctime" },
	FLAG("read-special", read_special,
	     "open and read block and char device files as well as FIFOs as if they were "
	     "regular files. Also follows symlinks pointing to these kinds of files."),
	{ .name = "comment",
	  .kind = ARG_VALUE,
	  INTO(comment),
	  .convert = arg_placeholders,
	  .metavar = "COMMENT",
	  .help = "add a comment text to the archive" },
	CREATION_ARCHIVE_OPTIONS(struct create_args, ),
};

static const struct arg_positional create_positionals[] = {
	{ "ARCHIVE", ARG_ONE, offsetof(struct create_args, where), arg_archive,
	  "name of archive to create (must be also a valid directory name)" },
	{ "PATH", ARG_ANY, offsetof(struct create_args, paths), NULL, "paths to archive" },
};

const struct command command_create = {
	.name = "create",
	.summary = "create backup",
	.description =
		"This command makes an archive of the PATHs, with all that is below them.  "
		"What "
		"the "
		"repository has already is neither sent nor stored again; files that have not "
		"changed since the last run are not even read.\n"
		"\n"
		"PATH may be '-': then standard input becomes a file.  With "
		"--content-from-command the PATHs are a command and its output becomes a file; "
		"with --paths-from-stdin and --paths-from-command a list of paths is read.\n"
		"\n"
		"Every five minutes, and when it is interrupted with Ctrl-C, the archive is "
		"saved "
		"as far as it is, under its name with '.checkpoint' behind it: the next run "
		"finds all of that in the repository.\n"
		"\n"
		"--list shows a line for each item, beginning with a letter: A added, M "
		"modified, U unchanged, C changed while it was read, E could not be read; d "
		"folder, s symbolic link, h hard link, f FIFO, b and c devices; i standard "
		"input, x excluded, - dry run.\n",
	COMMAND_OPTIONS(create_options_table),
	COMMAND_POSITIONALS(create_positionals),
	.args_size = sizeof(struct create_args),
	.args_fini = create_args_fini,
	.run = run_create,
};
