#ifndef TOOLS_COMMAND_H
#define TOOLS_COMMAND_H

/*
 * command.h - a command is a row: its words, its options, the function that does it.
 *
 * command.c parses the command line by the row, sets up logging, umask and signals, calls
 * `run`, reports its error once and turns everything into the exit status.  A command looks so:
 *
 *	struct list_args {                              // zeroed before parsing
 *		struct location where;
 *		struct select_options filter;
 *		bool brief;
 *		struct arg_list paths;
 *	};
 *
 *	static const struct arg_option list_options[] = {
 *		{ .name = "short", .kind = ARG_FLAG, .offset = offsetof(struct list_args, brief),
 *		  .help = "only print file/directory names, nothing else" },
 *		ARCHIVE_FILTER_OPTIONS(struct list_args, filter),
 *	};
 *	static const struct arg_positional list_positionals[] = {
 *		{ "REPOSITORY_OR_ARCHIVE", ARG_OPTIONAL, offsetof(struct list_args, where),
 *		  arg_location, "repository or archive to list contents of" },
 *		{ "PATH", ARG_ANY, offsetof(struct list_args, paths), NULL, "paths to list" },
 *	};
 *
 *	static int run_list(struct run *run, void *arg, struct err *e)
 *	{
 *		struct list_args *args = arg;
 *		...
 *		return 0;                               // or -errno: reported, exit status 2
 *	}
 *
 *	const struct command command_list = {
 *		.name = "list", .summary = "list archive or repository contents",
 *		COMMAND_OPTIONS(list_options), COMMAND_POSITIONALS(list_positionals),
 *		.args_size = sizeof(struct list_args), .args_fini = list_args_fini,
 *		.run = run_list,
 *	};
 *
 * and is named in the table of main.c.
 *
 * Source: command-line specification, 1 to 4, 11, 16.
 */

#include "core/archive/reader.h"
#include "core/archive/session.h"
#include "core/archive/select.h"
#include "core/base/log.h"
#include "core/repo/location.h"
#include "tools/args.h"
#include "tools/placeholders.h"

#include <stdbool.h>
#include <stddef.h>

struct leaving;
struct matcher;

struct common_args { /* options that every command has */
	int level;   /* enum log_level */
	bool progress, iec, log_json, bypass_lock, show_version, show_rc, consider_part_files;
	int lock_wait; /* seconds; reading takes no lock */
	int umask;
	int upload_ratelimit, upload_buffer;
	const char *debug_topic;
	const char *debug_profile;
	const char *rsh;
	char *remote_path; /* on the heap */
};

struct run {                 /* one run of the program */
	const char *program; /* base name of argv[0] */
	char **argv;         /* all of them, as archives record */
	int argc;
	const struct command *command;
	const struct command *group; /* the one that `command` is a part of, or NULL */
	struct common_args common;
	struct prompt prompt;
	const struct arg_parser *parser;       /* of the command, for its help */
	const struct command *const *commands; /* all, NULL-terminated */
	bool modern;                           /* BORG_EXIT_CODES=modern */
	bool warned;             /* some warning was counted: exit status 1 or 100... */
	int warning_code;        /* the code of the warnings' kind; 1 where kinds differ */
	int exit_code;           /* >= 0: what `run` wants returned as it is */
	struct leaving *leaving; /* who ends the program on a signal; NULL: nobody */
};

enum command_flags {
	COMMAND_BYPASS_LOCK = 1, /* --bypass-lock may be given */
	COMMAND_OWN_SIGNALS = 2, /* installs its own handling; none is set up */
	COMMAND_NO_SHOW = 4,     /* in no list of commands */
};

struct command {
	const char *name;
	const char *summary;     /* one line for the list of commands */
	const char *description; /* paragraphs for its help */
	const struct arg_option *options;
	size_t option_count;
	const struct arg_positional *positionals;
	size_t positional_count;
	size_t args_size;
	void (*args_fini)(void *args); /* releases what converters made; may be NULL */
	unsigned flags;                /* of enum command_flags */
	int (*run)(struct run *run, void *args, struct err *e);
	/* A group, "key": its parts, "export" and others, NULL-terminated, in place of run. */
	const struct command *const *parts;
};

#define COMMAND_OPTIONS(rows)                                                                  \
	.options = (rows), .option_count = sizeof(rows) / sizeof((rows)[0])
#define COMMAND_POSITIONALS(rows)                                                              \
	.positionals = (rows), .positional_count = sizeof(rows) / sizeof((rows)[0])

/* The whole program: parse, run, report; the exit status. */
int command_main(const struct command *const *commands, int argc, char **argv);

enum help_part { HELP_ALL, HELP_USAGE, HELP_EPILOG };
/* Print the help of a command, of the program where c is NULL. */
void command_show_help(struct run *run, const struct command *c, enum help_part part);

/* Count a warning for the exit status, and log it.  msgid is Borg's class or NULL. */
void run_warn(struct run *run, const char *logger, const char *msgid, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Only count it: the message was logged elsewhere. */
void run_count_warning(struct run *run, const char *msgid);

/* A usage error found after the arguments were parsed, as the top-level parser has it; the exit
 * status. */
int run_usage_error(struct run *run, const char *why);

/* From now on the command answers SIGINT, SIGTERM and SIGHUP, which are blocked and stay so. */
void run_take_signals(struct run *run);
/* Say which one ended it; the exit status. */
int run_ended_by(int signal_number);

/* Open the repository with the terminal as prompt. */
int run_open_reader(struct run *run, struct reader **out, const struct location *where,
		    struct err *e);
/* repo_lock() with the time that --lock-wait gives. */
int run_lock(const struct run *run, struct repo *repo, struct err *e);
/*
 * Open the repository for change: both are the caller's, the session to be closed first.
 * --lock-wait is how long others are waited for.
 */
int run_open_session(struct run *run, const struct location *where,
		     enum manifest_operation operation, struct reader **reader,
		     struct session **session, struct err *e);
/* Columns of the terminal on standard error; $COLUMNS first, 80 where there is none. */
size_t run_columns(void);

/* Positionals and options that several commands share.  Converters of struct location fields
 * replace placeholders and use BORG_REPO. */
int arg_location(void *field, const char *text, struct err *e);   /* with or without archive */
int arg_repository(void *field, const char *text, struct err *e); /* without */
int arg_archive(void *field, const char *text, struct err *e);    /* with */
int arg_archive_name(void *field, const char *text, struct err *e); /* char *, on the heap */
int arg_sort_by(void *field, const char *text, struct err *e);      /* const char * */

/* -P, -a, --sort-by, --first, --last into a struct select_options; filter_fini() releases. */
#define ARCHIVE_FILTER_OPTIONS(type, member)                                                   \
	{ .letter = 'P',                                                                       \
	  .name = "prefix",                                                                    \
	  .kind = ARG_VALUE,                                                                   \
	  .once = true,                                                                        \
	  .exclusive = 1,                                                                      \
	  .offset = offsetof(type, member) + offsetof(struct select_options, prefix),          \
	  .convert = arg_placeholders,                                                         \
	  .metavar = "PREFIX",                                                                 \
	  .help = "only consider archive names starting with this prefix (deprecated)" },      \
		{ .letter = 'a',                                                               \
		  .name = "glob-archives",                                                     \
		  .kind = ARG_VALUE,                                                           \
		  .once = true,                                                                \
		  .exclusive = 1,                                                              \
		  .offset = offsetof(type, member) + offsetof(struct select_options, glob),    \
		  .convert = arg_placeholders,                                                 \
		  .metavar = "GLOB",                                                           \
		  .help = "only consider archive names matching the glob" },                   \
		{ .name = "sort-by",                                                           \
		  .kind = ARG_VALUE,                                                           \
		  .offset = offsetof(type, member) + offsetof(struct select_options, sort_by), \
		  .convert = arg_sort_by,                                                      \
		  .metavar = "KEYS",                                                           \
		  .help = "comma-separated list of sorting keys; valid keys are: timestamp, "  \
			  "name, "                                                             \
			  "id; default is: timestamp" },                                       \
		{ .name = "first",                                                             \
		  .kind = ARG_VALUE,                                                           \
		  .exclusive = 2,                                                              \
		  .offset = offsetof(type, member) + offsetof(struct select_options, first),   \
		  .convert = arg_positive,                                                     \
		  .metavar = "N",                                                              \
		  .help = "consider first N archives after other filters were applied" },      \
	{                                                                                      \
		.name = "last", .kind = ARG_VALUE, .exclusive = 2,                             \
		.offset = offsetof(type, member) + offsetof(struct select_options, last),      \
		.convert = arg_positive, .metavar = "N",                                       \
		.help = "consider last N archives after other filters were applied"            \
	}

void filter_fini(struct select_options *filter);

/* -e, --exclude-from, --pattern, --patterns-from into a struct matcher *, made by the first of
 * them and still NULL where none was given; matcher_free() releases. */
int arg_exclude(void *field, const char *text, struct err *e);
int arg_exclude_from(void *field, const char *text, struct err *e);
int arg_pattern(void *field, const char *text, struct err *e);
int arg_patterns_from(void *field, const char *text, struct err *e);

#define EXCLUSION_OPTIONS(type, member)                                                        \
	{ .letter = 'e',                                                                       \
	  .name = "exclude",                                                                   \
	  .kind = ARG_VALUE,                                                                   \
	  .offset = offsetof(type, member),                                                    \
	  .convert = arg_exclude,                                                              \
	  .metavar = "PATTERN",                                                                \
	  .help = "exclude paths matching PATTERN" },                                          \
		{ .name = "exclude-from",                                                      \
		  .kind = ARG_VALUE,                                                           \
		  .offset = offsetof(type, member),                                            \
		  .convert = arg_exclude_from,                                                 \
		  .metavar = "EXCLUDEFILE",                                                    \
		  .help = "read exclude patterns from EXCLUDEFILE, one per line" },            \
		{ .name = "pattern",                                                           \
		  .kind = ARG_VALUE,                                                           \
		  .counted = true,                                                             \
		  .offset = offsetof(type, member),                                            \
		  .convert = arg_pattern,                                                      \
		  .metavar = "PATTERN",                                                        \
		  .help = "include/exclude paths matching PATTERN" },                          \
	{                                                                                      \
		.name = "patterns-from", .kind = ARG_VALUE, .counted = true,                   \
		.offset = offsetof(type, member), .convert = arg_patterns_from,                \
		.metavar = "PATTERNFILE",                                                      \
		.help = "read include/exclude patterns from PATTERNFILE, one per line"         \
	}

/* The matcher of a command: the options' (may be NULL, then a new one) and PATH arguments. */
int matcher_complete(struct matcher **matcher, const struct arg_list *paths, struct err *e);

#endif
