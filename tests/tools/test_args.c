/*
 * test_args.c - args_parse() takes what argparse takes and refuses with its words.
 *
 * The expected outcomes were observed with stock borg 1.2.4 and Python 3.11's argparse.
 */

#include "tests/support/tap.h"

#include "core/base/cleanup.h"
#include "tools/args.h"

#include <stdio.h>

struct target {
	bool brief, progress, dry_run;
	int level;
	const char *format, *prefix, *glob, *exclude;
	unsigned first;
	const char *where, *command;
	struct arg_list paths;
};

#define AT(member) .offset = offsetof(struct target, member)

static const struct arg_option common[] = {
	{ .letter = 'h', .name = "help", .kind = ARG_LEAVE, .value = ARGS_HELP, .help = "" },
	{ .letter = 'v',
	  .name = "verbose",
	  .synonym = "info",
	  .kind = ARG_SET,
	  AT(level),
	  .value = 20,
	  .help = "" },
	{ .letter = 'p', .name = "progress", .kind = ARG_FLAG, AT(progress), .help = "" },
};

static const struct arg_option own[] = {
	{ .name = "short", .kind = ARG_FLAG, AT(brief), .help = "" },
	{ .letter = 'n', .name = "dry-run", .kind = ARG_FLAG, AT(dry_run), .help = "" },
	{ .name = "format", .kind = ARG_VALUE, AT(format), .metavar = "FORMAT", .help = "" },
	{ .letter = 'e',
	  .name = "exclude",
	  .kind = ARG_VALUE,
	  AT(exclude),
	  .metavar = "PATTERN",
	  .help = "" },
	{ .name = "exclude-from",
	  .kind = ARG_VALUE,
	  AT(exclude),
	  .metavar = "FILE",
	  .counted = true,
	  .help = "" },
	{ .letter = 'P',
	  .name = "prefix",
	  .kind = ARG_VALUE,
	  AT(prefix),
	  .metavar = "PREFIX",
	  .once = true,
	  .exclusive = 1,
	  .help = "" },
	{ .letter = 'a',
	  .name = "glob-archives",
	  .kind = ARG_VALUE,
	  AT(glob),
	  .metavar = "GLOB",
	  .once = true,
	  .exclusive = 1,
	  .help = "" },
	{ .name = "first",
	  .kind = ARG_VALUE,
	  AT(first),
	  .convert = arg_positive,
	  .metavar = "N",
	  .help = "" },
};

static const struct arg_positional slots[] = {
	{ "WHERE", ARG_ONE, offsetof(struct target, where), NULL, "" },
	{ "PATH", ARG_ANY, offsetof(struct target, paths), NULL, "" },
};

static const struct row {
	const char *name;
	const char *line; /* words, separated by '|' */
	int want;
	const char *shows; /* the target in one line, or the error's text */
} rows[] = {
	{ "nothing", "", -EINVAL, "the following arguments are required: WHERE, PATH" },
	{ "positionals", "r|a|b", 0, "where=r paths=a,b" },
	{ "value after a blank", "--format|x|r", 0, "format=x where=r" },
	{ "value after =", "--format=x=y|r", 0, "format=x=y where=r" },
	{ "empty value after =", "--format=|r", 0, "format= where=r" },
	{ "value attached to a letter", "-efoo|r", 0, "exclude=foo where=r" },
	{ "= after a letter", "-e=foo|r", 0, "exclude=foo where=r" },
	{ "bundle", "-pv|r", 0, "progress level=20 where=r" },
	{ "bundle ending in a value", "-pne|x|r", 0, "progress dry exclude=x where=r" },
	{ "bundle with a value inside", "-pex|r", 0, "progress exclude=x where=r" },
	{ "synonym", "--info|r", 0, "level=20 where=r" },
	{ "abbreviation", "--for|x|r", 0, "format=x where=r" },
	{ "abbreviation with =", "--fi=3|r", 0, "first=3 where=r" },
	{ "exact beats prefix", "--exclude|x|r", 0, "exclude=x where=r" },
	{ "ambiguous", "r|--ex|x", -EINVAL,
	  "ambiguous option: --ex could match --exclude, --exclude-from" },
	{ "ambiguous, before anything else fails", "--first|0|--fo", -EINVAL,
	  "argument --first: A positive integer is required: 0" },
	{ "options behind", "r|a|--short", 0, "short where=r paths=a" },
	{ "options between: the slot is closed", "r|--short|a", 0, "extra=a short where=r" },
	{ "options first, then all", "--short|r|a", 0, "short where=r paths=a" },
	{ "unknown option", "r|--zz|x", 0, "extra=--zz,x where=r" },
	{ "double dash", "--short|--|r|-x", 0, "short where=r paths=-x" },
	{ "only the first double dash", "r|--|--", 0, "where=r paths=--" },
	{ "single dash is a value", "-", 0, "where=-" },
	{ "a negative number is a value", "--format|-5|r", 0, "format=-5 where=r" },
	{ "an option-like value is none", "--format|-x|r", -EINVAL,
	  "argument --format: expected one argument" },
	{ "words with blanks are values", "--format|-x y|r", 0, "format=-x y where=r" },
	{ "value missing", "r|--format", -EINVAL, "argument --format: expected one argument" },
	{ "value missing, counted", "r|--exclude-from", -EINVAL,
	  "argument --exclude-from: expected 1 argument" },
	{ "flag with a value", "--short=3|r", -EINVAL,
	  "argument --short: ignored explicit argument '3'" },
	{ "letter with a stray value", "-p=3|r", -EINVAL,
	  "argument -p/--progress: ignored explicit argument '3'" },
	{ "not a number", "--first|x|r", -EINVAL,
	  "argument --first: invalid positive_int_validator value: 'x'" },
	{ "zero", "--first|0|r", -EINVAL,
	  "argument --first: A positive integer is required: 0" },
	{ "once", "-P|a|-P|b|r", -EINVAL, "argument -P/--prefix: There can be only one." },
	{ "exclusive", "-P|a|-a|b|r", -EINVAL,
	  "argument -a/--glob-archives: not allowed with argument -P/--prefix" },
	{ "the last one wins", "--format|a|--format|b|r", 0, "format=b where=r" },
	{ "help wins over what follows", "-h|--first|0", ARGS_HELP, "" },
};

static const struct arg_positional rest_slots[] = {
	{ "WHERE", ARG_ONE, offsetof(struct target, where), NULL, "" },
	{ "COMMAND", ARG_ONE, offsetof(struct target, command), NULL, "" },
	{ "ARGS", ARG_REST, offsetof(struct target, paths), NULL, "" },
};

static const struct row rest_rows[] = {
	{ "no rest", "r|c", 0, "where=r command=c" },
	{ "options are of the rest", "r|c|-x|--short", 0,
	  "where=r command=c paths=-x,--short" },
	{ "so are dashes", "r|c|a|--|-x", 0, "where=r command=c paths=a,--,-x" },
	{ "but for those that it begins with", "--short|r|c|--|--", 0,
	  "short where=r command=c paths=--" },
	{ "only the first dashes of all", "--|r|c|--", 0, "where=r command=c paths=--" },
	{ "an option's value is no value", "r|--format|x|c|-p", 0,
	  "format=x where=r command=c paths=-p" },
	{ "nor is one in a bundle", "-pe|x|r|c|--format", 0,
	  "progress exclude=x where=r command=c paths=--format" },
	{ "an attached one is", "--format=x|r|c|--zz=1", 0,
	  "format=x where=r command=c paths=--zz=1" },
	{ "dashes in front", "--|r|c|-x", 0, "where=r command=c paths=-x" },
	{ "an option between", "r|--short|c|a|--short", 0,
	  "short where=r command=c paths=a,--short" },
	{ "the rest is missing too", "r", -EINVAL,
	  "the following arguments are required: COMMAND, ARGS" },
	/* argparse complains: it takes the words apart before it knows whose they are. */
	{ "ambiguous only to us", "r|c|--ex", 0, "where=r command=c paths=--ex" },
};

static void note(struct buf *out, const char *name, const char *value)
{
	if (out->len)
		buf_append_byte(out, ' ');
	buf_append_str(out, name);
	if (value)
		buf_append_str(out, value);
}

static void note_list(struct buf *out, const char *name, const struct arg_list *list)
{
	if (list->count)
		note(out, name, list->v[0]);
	for (size_t i = 1; i < list->count; i++) {
		buf_append_byte(out, ',');
		buf_append_str(out, list->v[i]);
	}
}

static void describe(const struct target *t, const struct arg_list *extras, struct buf *out)
{
	char number[16];

	note_list(out, "extra=", extras);
	if (t->brief)
		note(out, "short", NULL);
	if (t->progress)
		note(out, "progress", NULL);
	if (t->dry_run)
		note(out, "dry", NULL);
	snprintf(number, sizeof(number), "%d", t->level);
	if (t->level)
		note(out, "level=", number);
	if (t->format)
		note(out, "format=", t->format);
	if (t->exclude)
		note(out, "exclude=", t->exclude);
	snprintf(number, sizeof(number), "%u", t->first);
	if (t->first)
		note(out, "first=", number);
	if (t->where)
		note(out, "where=", t->where);
	if (t->command)
		note(out, "command=", t->command);
	note_list(out, "paths=", &t->paths);
	buf_append_byte(out, 0);
}

static int split(char *line, char *argv[16])
{
	int argc = 0;

	for (char *word = *line ? line : NULL; word;) {
		char *bar = strchr(word, '|');

		argv[argc++] = word;
		if (bar)
			*bar++ = 0;
		word = bar;
	}
	return argc;
}

static void parse_row(const struct row *row, const struct arg_positional *positionals,
		      size_t count)
{
	struct target t = { 0 };
	struct arg_parser p = {
		.program = "borg list",
		.options = { { common, sizeof(common) / sizeof(common[0]), &t },
			     { own, sizeof(own) / sizeof(own[0]), &t } },
		.positionals = positionals,
		.positional_count = count,
		.into = &t,
	};
	char *line = strdup(row->line), *argv[16];
	int argc = split(line, argv);
	struct arg_list extras;
	struct buf seen = BUF_INIT;
	struct err e = ERR_INIT;

	assert_int_equal(args_parse(&p, argc, argv, &extras, NULL, &e), row->want);
	if (row->want < 0) {
		assert_string_equal(e.msg, row->shows);
	} else if (row->want == 0) {
		describe(&t, &extras, &seen);
		assert_string_equal((const char *)seen.p, row->shows);
	}
	buf_fini(&seen);
	free(extras.v);
	free(line);
}

static void parse_one(const void *arg)
{
	parse_row(arg, slots, 2);
}

static void parse_rest(const void *arg)
{
	parse_row(arg, rest_slots, 3);
}

int main(void)
{
	return run_table(rows, parse_one) + run_table(rest_rows, parse_rest);
}
