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

int run_create(struct run *run, void *args, struct err *e); /* cmd_create.c */

/* --stats and --json, of the archive just made. */
int create_report(struct run *run, const struct create_args *args, struct session *s,
		  const struct archive_writer *w, const struct chunk_id *id, struct err *e);

#endif
