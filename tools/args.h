#ifndef TOOLS_ARGS_H
#define TOOLS_ARGS_H

/*
 * args.h - command lines, understood exactly as Python's argparse understands them.
 *
 * Scripts and front ends were written against argparse: unambiguous abbreviations, bundled
 * short options, `--name=value`, options between positionals, and a greedy match of each run
 * of positionals against the slots that are still free.  Options and positionals are tables of
 * rows; a row says where in the caller's struct its value goes.
 *
 * Source: command-line specification, 1.2 and 1.3.  Threads: no state.
 */

#include "core/base/bytes.h"
#include "core/base/err.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * A value's text into the field the row names.  0, or -errno with the reason, which is shown
 * behind "argument NAME: "; a reason with a msgid is an error of its own, shown bare.
 */
typedef int arg_convert(void *field, const char *text, struct err *e);

enum arg_kind {
	ARG_FLAG,  /* bool: set to true */
	ARG_COUNT, /* unsigned: one more each time */
	ARG_SET,   /* int: set to row's `value` */
	ARG_VALUE, /* takes a value: convert(field, text), or const char * where convert is NULL */
	ARG_LEAVE, /* stop parsing at once; the result is row's `value`, an args_outcome */
};

struct arg_option {
	char letter;         /* 0: none */
	const char *name;    /* without dashes; NULL: none */
	const char *synonym; /* another long name, which is shown first; or NULL */
	enum arg_kind kind;
	size_t offset;        /* of the field in the set's struct */
	int value;            /* ARG_SET, ARG_LEAVE */
	arg_convert *convert; /* ARG_VALUE */
	const char *metavar;  /* ARG_VALUE */
	const char *help;     /* NULL: not shown */
	bool required;        /* it has to be given */
	bool once;            /* a second one is refused: "There can be only one." */
	unsigned exclusive;   /* options with the same number exclude each other; 0: none */
	bool counted;         /* argparse's nargs=1: "expected 1 argument" */
	bool negate;          /* ARG_FLAG: set to false instead */
	bool ours; /* not Borg's: in the table, but not in the usage, which is Borg's */
};

enum arg_slot {
	ARG_ONE,
	ARG_OPTIONAL,
	ARG_ANY,
	ARG_REST, /* only the last: what follows the other values, options too */
};

struct arg_list { /* a run of the command line's own strings */
	char **v;
	size_t count;
};

struct arg_positional {
	const char *metavar;
	enum arg_slot count;
	size_t offset; /* ARG_ANY, ARG_REST: struct arg_list; else as for an option's value */
	arg_convert *convert; /* an omitted ARG_OPTIONAL converts "" */
	const char *help;
};

struct arg_options { /* some rows and the struct they fill */
	const struct arg_option *rows;
	size_t count;
	void *into;
};

struct arg_parser {
	const char *program; /* "borg list": stands in front of usage and errors */
	struct arg_options options[2];
	const struct arg_positional *positionals;
	size_t positional_count;
	void *into;       /* the positionals' struct */
	bool sub_command; /* the first positional is a command's name: stop there */
};

enum args_outcome { ARGS_DONE, ARGS_HELP, ARGS_VERSION };

/*
 * Parse argv[0 .. argc), which has no program name.  argv is reordered: an option-ending "--" is
 * taken out.  What fits nowhere is collected in *extras (argv's own strings; v on the heap).
 * With sub_command, *rest is the index of the command's name (argc where there is none).
 * Returns an args_outcome, or -EINVAL with the text behind "error: " (but see arg_convert).
 */
int args_parse(const struct arg_parser *p, int argc, char **argv, struct arg_list *extras,
	       int *rest, struct err *e);

/* "usage: borg list [-h] ...", wrapped to `width` columns, and the table of all options. */
int args_usage(const struct arg_parser *p, size_t width, struct buf *out);
int args_help(const struct arg_parser *p, size_t width, struct buf *out);

/* Converters.  The field's type is in the name. */
int arg_int(void *field, const char *text, struct err *e);      /* int */
int arg_count(void *field, const char *text, struct err *e);    /* unsigned, >= 0 */
int arg_positive(void *field, const char *text, struct err *e); /* unsigned, >= 1 */

/* -EINVAL, "invalid TYPE value: 'TEXT'", as argparse says of what a converter refuses. */
int args_invalid(const char *type, const char *text, struct err *e);
/* text as Python's repr() of a string shows it, into out. */
void args_repr(const char *text, struct buf *out);

#endif
