/*
 * args.c - see args.h.
 *
 * Every argument is first classified as an option or not, as argparse does, so that an
 * ambiguous abbreviation anywhere is an error before anything else happens.  Then options and
 * runs of positionals are consumed from left to right.
 */

#include "tools/args.h"

#include "core/base/cleanup.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXCLUSIVE_MAX = 8, NAME_MAX_SHOWN = 128, SETS = 2 };

struct word { /* what one argument is */
	enum { WORD_VALUE, WORD_OPTION } kind;
	const struct arg_option *option; /* NULL: an option nobody knows */
	const struct arg_options *set;
	const char *attached; /* the value behind "=" or the letter; NULL: none */
	bool single;          /* written with one dash */
};

struct parse {
	const struct arg_parser *p;
	int argc;
	char **argv;
	int dashes; /* index of what followed "--"; argc where there was none */
	struct word *words;
	struct arg_list *extras;
	size_t filled;                                /* positionals consumed so far */
	const struct arg_option *seen[EXCLUSIVE_MAX]; /* by exclusive number */
	uint8_t *given[SETS];                         /* rows seen, for `once` */
};

void args_repr(const char *text, struct buf *out)
{
	char quote = strchr(text, '\'') && !strchr(text, '"') ? '"' : '\'';
	char escape[8];

	(void)buf_append_byte(out, (uint8_t)quote);
	for (const char *c = text; *c; c++) {
		if (*c == quote || *c == '\\')
			snprintf(escape, sizeof(escape), "\\%c", *c);
		else if (*c == '\n')
			snprintf(escape, sizeof(escape), "\\n");
		else if (*c == '\t')
			snprintf(escape, sizeof(escape), "\\t");
		else if (*c == '\r')
			snprintf(escape, sizeof(escape), "\\r");
		else if ((unsigned char)*c < 0x20 || *c == 0x7f)
			snprintf(escape, sizeof(escape), "\\x%02x", (unsigned)*c);
		else
			snprintf(escape, sizeof(escape), "%c", *c);
		(void)buf_append_str(out, escape);
	}
	(void)buf_append_byte(out, (uint8_t)quote);
}

/* "-P/--prefix", as argparse names an option in its errors. */
static const char *option_name(const struct arg_option *o, char out[NAME_MAX_SHOWN])
{
	int n = 0;

	out[0] = 0;
	if (o->synonym)
		n += snprintf(out + n, NAME_MAX_SHOWN - (size_t)n, "--%s", o->synonym);
	if (o->letter)
		n += snprintf(out + n, NAME_MAX_SHOWN - (size_t)n, "%s-%c", n ? "/" : "",
			      o->letter);
	if (o->name)
		snprintf(out + n, NAME_MAX_SHOWN - (size_t)n, "%s--%s", n ? "/" : "", o->name);
	return out;
}

static int refuse(const struct arg_option *o, struct err *e, const char *why)
{
	char name[NAME_MAX_SHOWN];

	return err_set(e, EINVAL, "argument %s: %s", option_name(o, name), why);
}

static int refuse_attached(const struct arg_option *o, const char *value, struct err *e)
{
	CLEANUP(buf_fini) struct buf text = BUF_INIT;

	(void)buf_append_str(&text, "ignored explicit argument ");
	args_repr(value, &text);
	if (buf_append_byte(&text, 0) < 0)
		return err_nomem(e, "arguments");
	return refuse(o, e, (const char *)text.p);
}

/* --- classification --- */

static bool name_is(const char *name, const char *text, size_t len)
{
	return name && strlen(name) == len && memcmp(name, text, len) == 0;
}

static bool find_exact(const struct arg_parser *p, const char *text, size_t len, struct word *w)
{
	for (size_t s = 0; s < SETS; s++) {
		for (size_t i = 0; i < p->options[s].count; i++) {
			const struct arg_option *o = &p->options[s].rows[i];
			bool hit = text[1] == '-'
					   ? name_is(o->name, text + 2, len - 2) ||
						     name_is(o->synonym, text + 2, len - 2)
					   : len == 2 && o->letter == text[1];

			if (hit) {
				w->option = o;
				w->set = &p->options[s];
				return true;
			}
		}
	}
	return false;
}

struct matches {
	struct word word;
	size_t count;
	struct buf names; /* "--a, --b" */
};

static void note_match(struct matches *m, const struct arg_options *set,
		       const struct arg_option *o, const char *name)
{
	m->word.option = o;
	m->word.set = set;
	if (m->count++)
		(void)buf_append_str(&m->names, ", ");
	(void)buf_append_str(&m->names, name);
}

/* Options whose long name begins with text[0 .. len), "--" included. */
static void find_prefixes(const struct arg_parser *p, const char *text, size_t len,
			  struct matches *m)
{
	char shown[NAME_MAX_SHOWN];

	for (size_t s = 0; s < SETS; s++) {
		for (size_t i = 0; i < p->options[s].count; i++) {
			const struct arg_option *o = &p->options[s].rows[i];
			const char *names[] = { o->synonym, o->name };

			for (size_t n = 0; n < 2; n++) {
				snprintf(shown, sizeof(shown), "--%s",
					 names[n] ? names[n] : "");
				if (names[n] && strncmp(shown, text, len) == 0)
					note_match(m, &p->options[s], o, shown);
			}
		}
	}
}

static bool is_negative_number(const char *text)
{
	size_t whole = strspn(text + 1, "0123456789");
	const char *rest = text + 1 + whole;

	if (!*rest)
		return whole > 0;
	return *rest == '.' && rest[1] && !rest[1 + strspn(rest + 1, "0123456789")];
}

static int ambiguous(const char *text, const struct matches *m, struct err *e)
{
	return err_set(e, EINVAL, "ambiguous option: %s could match %.*s", text,
		       (int)m->names.len, (const char *)m->names.p);
}

static int classify(const struct arg_parser *p, const char *text, struct word *w, struct err *e)
{
	size_t len = strlen(text), before_equals = strcspn(text, "=");
	struct matches m = { .count = 0 };
	int rc = 0;

	*w = (struct word){ .kind = WORD_VALUE };
	if (text[0] != '-' || len == 1)
		return 0;
	w->single = text[1] != '-';
	if (find_exact(p, text, len, w)) {
		w->kind = WORD_OPTION;
		return 0;
	}
	if (before_equals < len && before_equals > 1 && find_exact(p, text, before_equals, w)) {
		w->kind = WORD_OPTION;
		w->attached = text + before_equals + 1;
		return 0;
	}
	if (w->single) {
		struct word one = *w;

		if (find_exact(p, text, 2, &one)) {
			one.kind = WORD_OPTION;
			one.attached = text + 2;
			*w = one;
			return 0;
		}
	} else {
		find_prefixes(p, text, before_equals, &m);
		if (m.count == 1) {
			*w = m.word;
			w->kind = WORD_OPTION;
			w->attached = before_equals < len ? text + before_equals + 1 : NULL;
		} else if (m.count > 1) {
			rc = ambiguous(text, &m, e);
		}
		buf_fini(&m.names);
		if (m.count)
			return rc;
	}
	if (is_negative_number(text) || strchr(text, ' '))
		return 0;
	w->kind = WORD_OPTION;
	return 0;
}

/* --- options --- */

static void *field_of(const struct arg_options *set, size_t offset)
{
	return (uint8_t *)set->into + offset;
}

static int check_repeats(struct parse *s, const struct word *w, struct err *e)
{
	const struct arg_option *o = w->option;
	size_t set = (size_t)(w->set - s->p->options);
	uint8_t *given = &s->given[set][o - w->set->rows];
	char mine[NAME_MAX_SHOWN], other[NAME_MAX_SHOWN];

	if (o->exclusive) {
		assert(o->exclusive < EXCLUSIVE_MAX);
		if (s->seen[o->exclusive] && s->seen[o->exclusive] != o)
			return err_set(e, EINVAL, "argument %s: not allowed with argument %s",
				       option_name(o, mine),
				       option_name(s->seen[o->exclusive], other));
		s->seen[o->exclusive] = o;
	}
	if (o->once && *given)
		return refuse(o, e, "There can be only one.");
	*given = 1;
	return 0;
}

static int convert_for(const char *name, arg_convert *convert, void *field, const char *text,
		       struct err *e)
{
	int rc;

	if (!convert) {
		*(const char **)field = text;
		return 0;
	}
	rc = convert(field, text, e);
	if (rc < 0 && e && !e->msgid && rc != -ENOMEM)
		return err_wrap(e, -EINVAL, "argument %s", name);
	return rc;
}

static int take_option(struct parse *s, const struct word *w, const char *value, struct err *e)
{
	const struct arg_option *o = w->option;
	char name[NAME_MAX_SHOWN];
	void *field;
	int rc = check_repeats(s, w, e);

	if (rc < 0)
		return rc;
	if (o->kind == ARG_LEAVE)
		return o->value;
	field = field_of(w->set, o->offset);
	if (o->kind == ARG_COUNT)
		++*(unsigned *)field;
	else if (o->kind == ARG_FLAG)
		*(bool *)field = !o->negate;
	else if (o->kind == ARG_SET)
		*(int *)field = o->value;
	else
		return convert_for(option_name(o, name), o->convert, field, value, e);
	return 0;
}

/* "-pv" is "-p -v": w moves on to the option of the next letter. */
static int next_letter(struct parse *s, struct word *w, struct err *e)
{
	char text[3] = { '-', w->attached[0], 0 };
	struct word next = { .kind = WORD_OPTION, .single = true };

	if (!find_exact(s->p, text, 2, &next))
		return refuse_attached(w->option, w->attached, e);
	next.attached = w->attached[1] ? w->attached + 1 : NULL;
	*w = next;
	return 0;
}

/* The option at `at`; *after is behind it and its value. */
static int consume_option(struct parse *s, int at, int *after, struct err *e)
{
	struct word w = s->words[at];
	int rc = 0;

	*after = at + 1;
	if (!w.option) {
		s->extras->v[s->extras->count++] = s->argv[at];
		return 0;
	}
	while (w.option->kind != ARG_VALUE) {
		struct word flag = w;

		if (w.attached && !(w.single && w.attached[0]))
			return refuse_attached(w.option, w.attached, e);
		if (w.attached && (rc = next_letter(s, &w, e)) < 0)
			return rc;
		rc = take_option(s, &flag, NULL, e);
		if (rc != 0 || !flag.attached)
			return rc;
	}
	if (w.attached)
		return take_option(s, &w, w.attached, e);
	if (at + 1 >= s->argc || s->words[at + 1].kind == WORD_OPTION)
		return refuse(w.option, e,
			      w.option->counted ? "expected 1 argument"
						: "expected one argument");
	*after = at + 2;
	return take_option(s, &w, s->argv[at + 1], e);
}

/* --- positionals --- */

static bool is_list(const struct arg_positional *slot)
{
	return slot->count == ARG_ANY || slot->count == ARG_REST;
}

static size_t least(const struct arg_positional *slot)
{
	return slot->count == ARG_ONE ? 1 : 0;
}

/* How many of `there` values the slot takes when `others` are needed behind it. */
static size_t greedy(const struct arg_positional *slot, size_t there, size_t others)
{
	size_t free = there - others;

	if (is_list(slot))
		return free;
	return free > 0 ? 1 : 0;
}

static int fill_slot(const struct parse *s, const struct arg_positional *slot, char **v,
		     size_t count, struct err *e)
{
	void *field = (uint8_t *)s->p->into + slot->offset;

	if (is_list(slot)) {
		*(struct arg_list *)field = (struct arg_list){ v, count };
		return 0;
	}
	return convert_for(slot->metavar, slot->convert, field, count ? v[0] : "", e);
}

/* Match the run of `there` values at `at` with as many free slots as possible; *after is behind
 * what was taken. */
static int consume_positionals(struct parse *s, int at, size_t there, int *after, struct err *e)
{
	const struct arg_positional *slots = s->p->positionals + s->filled;
	size_t left = s->p->positional_count - s->filled, fit = 0, needed = 0;

	while (fit < left && needed + least(&slots[fit]) <= there)
		needed += least(&slots[fit++]);
	*after = at;
	for (size_t i = 0; i < fit; i++) {
		size_t take;
		int rc;

		needed -= least(&slots[i]);
		take = greedy(&slots[i], there, needed);
		rc = fill_slot(s, &slots[i], s->argv + *after, take, e);
		if (rc < 0)
			return rc;
		*after += (int)take;
		there -= take;
		s->filled++;
	}
	return 0;
}

static bool lacks_option(const struct parse *s, size_t set, size_t row)
{
	return s->p->options[set].rows[row].required && !s->given[set][row];
}

static bool lacks_something(const struct parse *s)
{
	bool lacks = s->filled < s->p->positional_count;

	for (size_t set = 0; set < SETS; set++)
		for (size_t i = 0; i < s->p->options[set].count; i++)
			lacks |= lacks_option(s, set, i);
	return lacks;
}

static int missing(const struct parse *s, struct err *e)
{
	CLEANUP(buf_fini) struct buf names = BUF_INIT;
	char name[NAME_MAX_SHOWN];

	for (size_t set = 0; set < SETS; set++)
		for (size_t i = 0; i < s->p->options[set].count; i++)
			if (lacks_option(s, set, i)) {
				(void)buf_append_str(&names, names.len ? ", " : "");
				(void)buf_append_str(
					&names, option_name(&s->p->options[set].rows[i], name));
			}
	for (size_t i = s->filled; i < s->p->positional_count; i++) {
		if (names.len)
			(void)buf_append_str(&names, ", ");
		(void)buf_append_str(&names, s->p->positionals[i].metavar);
	}
	return err_set(e, EINVAL, "the following arguments are required: %.*s", (int)names.len,
		       names.len ? (const char *)names.p : "");
}

/* --- all of it --- */

static int run_end(const struct parse *s, int at)
{
	while (at < s->argc && s->words[at].kind == WORD_VALUE)
		at++;
	return at;
}

static bool options_follow(const struct parse *s, int at)
{
	return run_end(s, at) < s->argc;
}

static int consume_all(struct parse *s, int *rest, struct err *e)
{
	int at = 0, end, after, rc;

	while (options_follow(s, at)) {
		end = run_end(s, at);
		if (end > at) {
			if (s->p->sub_command) {
				*rest = at;
				return 0;
			}
			rc = consume_positionals(s, at, (size_t)(end - at), &after, e);
			if (rc < 0)
				return rc;
			while (after < end)
				s->extras->v[s->extras->count++] = s->argv[after++];
		}
		rc = consume_option(s, end, &at, e);
		if (rc != 0)
			return rc;
	}
	*rest = at;
	if (s->p->sub_command)
		return 0;
	rc = consume_positionals(s, at, (size_t)(s->argc - at), &after, e);
	if (rc < 0)
		return rc;
	while (after < s->argc)
		s->extras->v[s->extras->count++] = s->argv[after++];
	return lacks_something(s) ? missing(s, e) : 0;
}

/* Does the value of the option at `at` - 1 stand here? */
static bool is_option_value(const struct parse *s, int at)
{
	const struct word *before = at > 0 ? &s->words[at - 1] : NULL;

	return before && before->option && before->option->kind == ARG_VALUE &&
	       !before->attached;
}

/* The values in front of the ARG_REST slot; more than there can be where there is none. */
static size_t values_before_rest(const struct arg_parser *p)
{
	size_t n = p->positional_count;

	return n > 0 && p->positionals[n - 1].count == ARG_REST ? n - 1 : SIZE_MAX;
}

static int classify_all(struct parse *s, struct err *e)
{
	size_t left = values_before_rest(s->p);

	for (int i = 0; i < s->argc; i++) {
		int rc;

		if (strcmp(s->argv[i], "--") == 0) {
			if (s->p->sub_command)
				break; /* the command's own parser will meet it */
			memmove(&s->argv[i], &s->argv[i + 1],
				(size_t)(s->argc - i - 1) * sizeof(*s->argv));
			s->argc--;
			break;
		}
		if (left == 0)
			break;
		rc = classify(s->p, s->argv[i], &s->words[i], e);
		if (rc < 0)
			return rc;
		left -= s->words[i].kind == WORD_VALUE && !is_option_value(s, i);
	}
	return 0; /* the words of the rest and behind "--" stay zero, which is WORD_VALUE */
}

static_assert(WORD_VALUE == 0, "untouched words are values");

int args_parse(const struct arg_parser *p, int argc, char **argv, struct arg_list *extras,
	       int *rest, struct err *e)
{
	CLEANUP(cleanup_freep) struct word *words = calloc((size_t)argc + 1, sizeof(*words));
	CLEANUP(cleanup_freep)
	uint8_t *given = calloc(p->options[0].count + p->options[1].count + 1, 1);
	struct parse s = {
		.p = p, .argc = argc, .argv = argv, .words = words, .extras = extras
	};
	int unused, rc;

	*extras = (struct arg_list){ calloc((size_t)argc + 1, sizeof(char *)), 0 };
	if (!words || !given || !extras->v)
		return err_nomem(e, "arguments");
	s.given[0] = given;
	s.given[1] = given + p->options[0].count;
	rc = classify_all(&s, e);
	if (rc < 0)
		return rc;
	return consume_all(&s, rest ? rest : &unused, e);
}

/* --- converters --- */

int args_invalid(const char *type, const char *text, struct err *e)
{
	CLEANUP(buf_fini) struct buf shown = BUF_INIT;

	args_repr(text, &shown);
	return err_set(e, EINVAL, "invalid %s value: %.*s", type, (int)shown.len,
		       (const char *)shown.p);
}

/* Python's int(): blanks around it, an optional sign, digits. */
static bool parse_int(const char *text, long *out)
{
	char *end;

	errno = 0;
	*out = strtol(text, &end, 10);
	while (isspace((unsigned char)*end))
		end++;
	return end != text && !*end && errno == 0 && *out >= INT_MIN && *out <= INT_MAX;
}

int arg_int(void *field, const char *text, struct err *e)
{
	long v;

	if (!parse_int(text, &v))
		return args_invalid("int", text, e);
	*(int *)field = (int)v;
	return 0;
}

int arg_count(void *field, const char *text, struct err *e)
{
	long v;

	if (!parse_int(text, &v) || v < 0)
		return args_invalid("int", text, e);
	*(unsigned *)field = (unsigned)v;
	return 0;
}

int arg_positive(void *field, const char *text, struct err *e)
{
	long v;

	if (!parse_int(text, &v))
		return args_invalid("positive_int_validator", text, e);
	if (v < 1)
		return err_set(e, EINVAL, "A positive integer is required: %s", text);
	*(unsigned *)field = (unsigned)v;
	return 0;
}

/* --- usage and help --- */

struct wrap {
	struct buf *out;
	size_t width, indent, column;
};

static void wrap_newline(struct wrap *w)
{
	(void)buf_append_byte(w->out, '\n');
	for (size_t i = 0; i < w->indent; i++)
		(void)buf_append_byte(w->out, ' ');
	w->column = w->indent;
}

static void wrap_word(struct wrap *w, const char *word, size_t len)
{
	if (w->column + 1 + len > w->width && w->column > w->indent)
		wrap_newline(w);
	else if (w->column > w->indent) {
		(void)buf_append_byte(w->out, ' ');
		w->column++;
	}
	(void)buf_append(w->out, word, len);
	w->column += len;
}

static void wrap_text(struct wrap *w, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, " ");

		wrap_word(w, text, len);
		text += len + strspn(text + len, " ");
	}
}

/* "-P PREFIX" of the usage line: the first spelling of the option with its metavar. */
static void short_form(const struct arg_option *o, char *out, size_t size)
{
	int n = o->letter && !o->synonym
			? snprintf(out, size, "-%c", o->letter)
			: snprintf(out, size, "--%s", o->synonym ? o->synonym : o->name);

	if (o->kind == ARG_VALUE && n > 0 && (size_t)n < size)
		snprintf(out + n, size - (size_t)n, " %s", o->metavar);
}

static const struct arg_option *row(const struct arg_options *set, size_t i)
{
	return i < set->count && set->rows[i].help ? &set->rows[i] : NULL;
}

static bool excludes(const struct arg_option *a, const struct arg_option *b)
{
	return a && b && a->exclusive && a->exclusive == b->exclusive;
}

/* "[-h]", and "[--first N | --last N]", which is not broken. */
static void usage_options(struct wrap *w, const struct arg_options *set)
{
	char form[NAME_MAX_SHOWN], word[4 * NAME_MAX_SHOWN];
	size_t n = 0;

	for (size_t i = 0; i < set->count; i++) {
		const struct arg_option *o = row(set, i);
		bool goes_on = excludes(o, row(set, i + 1));

		if (!o || o->ours)
			continue;
		short_form(o, form, sizeof(form));
		n += (size_t)snprintf(word + n, sizeof(word) - n, "%s%s%s", n ? " | " : "[",
				      form, goes_on ? "" : "]");
		assert(n < sizeof(word));
		if (goes_on)
			continue;
		wrap_word(w, word, n);
		n = 0;
	}
}

static void usage_slots(struct wrap *w, const struct arg_parser *p)
{
	char word[NAME_MAX_SHOWN];

	for (size_t i = 0; i < p->positional_count; i++) {
		const struct arg_positional *slot = &p->positionals[i];

		snprintf(word, sizeof(word),
			 slot->count == ARG_ONE        ? "%s"
			 : slot->count == ARG_OPTIONAL ? "[%s]"
			 : slot->count == ARG_ANY      ? "[%s ...]"
						       : "...",
			 slot->metavar);
		wrap_word(w, word, strlen(word));
	}
	if (p->sub_command)
		wrap_word(w, "...", 3); /* what the command's own parser takes */
}

int args_usage(const struct arg_parser *p, size_t width, struct buf *out)
{
	size_t indent = strlen("usage: ") + strlen(p->program) + 1;
	struct wrap w = { out, width, indent, indent };

	(void)buf_append_str(out, "usage: ");
	(void)buf_append_str(out, p->program);
	(void)buf_append_byte(out, ' ');
	usage_options(&w, &p->options[p->sub_command]);
	usage_options(&w, &p->options[!p->sub_command]);
	if (w.column > w.indent && p->positional_count)
		wrap_newline(&w);
	usage_slots(&w, p);
	return buf_append_byte(out, '\n');
}

static void help_row(struct buf *out, size_t width, const char *head, const char *help)
{
	enum { COLUMN = 24 };
	struct wrap w = { out, width, COLUMN, COLUMN };
	size_t used = 2 + strlen(head);

	(void)buf_append_str(out, "  ");
	(void)buf_append_str(out, head);
	if (used + 2 > COLUMN)
		wrap_newline(&w);
	else
		(void)buf_append(out, "                        ", COLUMN - used);
	wrap_text(&w, help);
	(void)buf_append_byte(out, '\n');
}

/* "-P PREFIX, --prefix PREFIX" */
static void long_form(const struct arg_option *o, char *out, size_t size)
{
	char value[NAME_MAX_SHOWN] = "", letter[3] = { '-', o->letter, 0 };
	const struct {
		const char *dashes, *name;
	} forms[] = {
		{ "--", o->synonym },
		{ "", o->letter ? letter : NULL },
		{ "--", o->name },
	};
	size_t n = 0;

	if (o->kind == ARG_VALUE)
		snprintf(value, sizeof(value), " %s", o->metavar);
	for (size_t i = 0; i < 3; i++)
		if (forms[i].name && n < size)
			n += (size_t)snprintf(out + n, size - n, "%s%s%s%s", n ? ", " : "",
					      forms[i].dashes, forms[i].name, value);
}

static void help_options(struct buf *out, size_t width, const char *title,
			 const struct arg_options *set)
{
	char head[2 * NAME_MAX_SHOWN];

	if (!set->count)
		return;
	(void)buf_append_str(out, title);
	for (size_t i = 0; i < set->count; i++) {
		if (!set->rows[i].help)
			continue;
		long_form(&set->rows[i], head, sizeof(head));
		help_row(out, width, head, set->rows[i].help);
	}
}

int args_help(const struct arg_parser *p, size_t width, struct buf *out)
{
	if (p->positional_count)
		(void)buf_append_str(out, "\npositional arguments:\n");
	for (size_t i = 0; i < p->positional_count; i++)
		help_row(out, width, p->positionals[i].metavar, p->positionals[i].help);
	help_options(out, width, "\noptions:\n", &p->options[1]);
	help_options(out, width, "\nCommon options:\n", &p->options[0]);
	return buf_append_byte(out, '\n');
}
