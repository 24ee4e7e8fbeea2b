/* cmd_help.c - `help [TOPIC]`: a command's help, or one of the topics below. */

#include "tools/commands.h"

#include "core/base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct help_args {
	bool epilog_only, usage_only;
	const char *topic;
};

static const struct {
	const char *name, *text;
} topics[] = {
	{ "patterns",
	  "Patterns select files.  A pattern is STYLE:TEXT, with the patterns' styles:\n\n"
	  "  fm:  shell glob in which * and ? also match /\n"
	  "  sh:  shell glob; * and ? stop at /, **/ stands for any number of folders\n"
	  "  re:  regular expression, found anywhere in the path\n"
	  "  pp:  this path and everything below it\n"
	  "  pf:  exactly this path\n\n"
	  "-e/--exclude and --exclude-from default to fm:, --pattern and --patterns-from to\n"
	  "sh:, PATH arguments to pp:.  A line of --pattern begins with + (include),\n"
	  "- (exclude), ! (exclude and do not descend), R (a root) or P (default style).\n"
	  "The first pattern that matches decides.\n" },
	{ "placeholders",
	  "Placeholders in repository locations, archive names and archive filters:\n\n"
	  "  {hostname} {fqdn} {reverse-fqdn}   this machine's name\n"
	  "  {now} {utcnow} {now:%Y-%m-%d}      the time, with a strftime format\n"
	  "  {unixtime} {user} {pid} {uuid4}\n"
	  "  {borgversion} {borgmajor} {borgminor} {borgpatch}\n\n"
	  "{{ and }} are literal braces.\n" },
	{ "compression",
	  "Compression of new data: none, lz4 (default), zstd[,LEVEL], zlib[,LEVEL],\n"
	  "lzma[,LEVEL], auto,C[,LEVEL], obfuscate,SPEC,C[,LEVEL].  Reading needs no "
	  "option.\n" },
};

static int no_such_topic(const struct run *run, const char *topic)
{
	fprintf(stderr, "%s: error: No help available on %s.\nTry one of the following:\n",
		run->parser->program, topic);
	fputs("    Commands: ", stderr);
	for (const struct command *const *c = run->commands; *c; c++)
		fprintf(stderr, "%s%s", c == run->commands ? "" : ", ", (*c)->name);
	fputs("\n    Topics: ", stderr);
	for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]); i++)
		fprintf(stderr, "%s%s", i ? ", " : "", topics[i].name);
	fputs("\n", stderr);
	return 2;
}

static int run_help(struct run *run, void *arg, struct err *e)
{
	const struct help_args *args = arg;

	(void)e;
	if (!args->topic || !*args->topic) {
		command_show_help(run, NULL, HELP_ALL);
		return 0;
	}
	for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]); i++) {
		if (strcmp(topics[i].name, args->topic) == 0) {
			fputs(topics[i].text, stdout);
			return 0;
		}
	}
	for (const struct command *const *c = run->commands; *c; c++) {
		if (strcmp((*c)->name, args->topic) == 0) {
			command_show_help(run, *c,
					  args->epilog_only  ? HELP_EPILOG
					  : args->usage_only ? HELP_USAGE
							     : HELP_ALL);
			return 0;
		}
	}
	run->exit_code = no_such_topic(run, args->topic);
	return 0;
}

static const struct arg_option help_options[] = {
	{ .name = "epilog-only",
	  .kind = ARG_FLAG,
	  .offset = offsetof(struct help_args, epilog_only),
	  .help = "only the description" },
	{ .name = "usage-only",
	  .kind = ARG_FLAG,
	  .offset = offsetof(struct help_args, usage_only),
	  .help = "only the usage" },
};

static const struct arg_positional help_positionals[] = {
	{ "TOPIC", ARG_OPTIONAL, offsetof(struct help_args, topic), NULL,
	  "additional help on TOPIC" },
};

const struct command command_help = {
	.name = "help",
	.summary = "Extra help",
	.description = "Shows the help of a command or of a topic: patterns, placeholders, "
		       "compression.\n",
	COMMAND_OPTIONS(help_options),
	COMMAND_POSITIONALS(help_positionals),
	.args_size = sizeof(struct help_args),
	.run = run_help,
};
