#ifndef TOOLS_CREATE_ARGS_H
#define TOOLS_CREATE_ARGS_H

/*
 * create_args.h - the command line of `create`, and what it prints at the end.
 *
 * Source: command-line specification, 13.2.
 */

#include "core/archive/create.h"
#include "tools/commands.h"

enum { CHECKPOINT_INTERVAL = 300 /* seconds */ };

struct name_list { /* of an option that may be repeated */
	char **v;
	size_t count;
};

struct create_args {
	struct location where;
	struct arg_list paths;
	struct matcher *matcher;
	struct collect_options collect;
	bool dry_run, stats, list, json, no_cache_sync;
	bool content_from_command, paths_from_stdin, paths_from_command;
	bool exclude_caches, keep_exclude_tags, exclude_nodump, nobirthtime;
	bool one_file_system, sparse, read_special;
	struct name_list exclude_if_present;
	const char *filter, *stdin_name, *stdin_user, *stdin_group;
	struct delimiter_arg {
		bool given;
		char c;
	} paths_delimiter;
	char *comment;
	struct stdin_mode {
		bool given;
		uint32_t bits;
	} stdin_mode;
	struct files_mode_arg {
		bool given;
		struct files_mode mode;
	} files_mode;
	enum files_changed files_changed;
	struct timestamp_arg {
		bool given;
		int64_t ns;
	} timestamp;
	struct interval_arg {
		bool given;
		int seconds;
	} checkpoint_interval;
	struct chunker_arg {
		bool given;
		struct chunker_params params;
	} chunker;
	struct compression_arg {
		bool given;
		struct compression how;
	} compression;
};

/* Values of options, into the members of the same name. */
int arg_compression(void *field, const char *text, struct err *e);
int arg_chunker(void *field, const char *text, struct err *e);
int arg_interval(void *field, const char *text, struct err *e);
int arg_timestamp(void *field, const char *text, struct err *e);

/* Rows that `create` and `import-tar` share; `in` is the struct create_args with a dot behind it, or
 * nothing. */
#define CREATION_REPORT_OPTIONS(type, in)                                                      \
	{ .letter = 's',                                                                       \
	  .name = "stats",                                                                     \
	  .kind = ARG_FLAG,                                                                    \
	  .offset = offsetof(type, in stats),                                                  \
	  .help = "print statistics for the created archive" },                                \
		{ .name = "list",                                                              \
		  .kind = ARG_FLAG,                                                            \
		  .offset = offsetof(type, in list),                                           \
		  .help = "output verbose list of items (files, dirs, ...)" },                 \
		{ .name = "filter",                                                            \
		  .kind = ARG_VALUE,                                                           \
		  .offset = offsetof(type, in filter),                                         \
		  .once = true,                                                                \
		  .metavar = "STATUSCHARS",                                                    \
		  .help = "only display items with the given status characters (see "          \
			  "description)" },                                                    \
	{                                                                                      \
		.name = "json", .kind = ARG_FLAG, .offset = offsetof(type, in json),           \
		.help = "output stats as JSON. Implies --stats."                               \
	}

#define CREATION_ARCHIVE_OPTIONS(type, in)                                                     \
	{ .name = "timestamp",                                                                 \
	  .kind = ARG_VALUE,                                                                   \
	  .offset = offsetof(type, in timestamp),                                              \
	  .convert = arg_timestamp,                                                            \
	  .metavar = "TIMESTAMP",                                                              \
	  .help = "manually specify the archive creation date/time (UTC, "                     \
		  "yyyy-mm-ddThh:mm:ss format). Alternatively, give a reference "              \
		  "file/directory." },                                                         \
		{ .letter = 'c',                                                               \
		  .name = "checkpoint-interval",                                               \
		  .kind = ARG_VALUE,                                                           \
		  .offset = offsetof(type, in checkpoint_interval),                            \
		  .convert = arg_interval,                                                     \
		  .metavar = "SECONDS",                                                        \
		  .help = "write checkpoint every SECONDS seconds (Default: 300)" },           \
		{ .name = "chunker-params",                                                    \
		  .kind = ARG_VALUE,                                                           \
		  .offset = offsetof(type, in chunker),                                        \
		  .convert = arg_chunker,                                                      \
		  .once = true,                                                                \
		  .metavar = "PARAMS",                                                         \
		  .help = "specify the chunker parameters (ALGO, CHUNK_MIN_EXP, "              \
			  "CHUNK_MAX_EXP, HASH_MASK_BITS, HASH_WINDOW_SIZE). default: "        \
			  "buzhash,19,23,21,4095" },                                           \
	{                                                                                      \
		.letter = 'C', .name = "compression", .kind = ARG_VALUE,                       \
		.offset = offsetof(type, in compression), .convert = arg_compression,          \
		.metavar = "COMPRESSION",                                                      \
		.help = "select compression algorithm, see the output of the \"borg help "     \
			"compression\" command for details."                                   \
	}

int run_create(struct run *run, void *args, struct err *e); /* cmd_create.c */

/* --stats and --json, of the archive just made. */
int create_report(struct run *run, const struct create_args *args, struct session *s,
		  const struct archive_writer *w, const struct chunk_id *id, struct err *e);

#endif
