/*
 * glob.c - see glob.h.
 *
 * A prefix without wildcards decides most paths before the program is run.
 */

#include "core/archive/glob.h"

#include "core/archive/chars.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { STACK_WORDS = 8 /* longer programs keep their states on the heap */ };

enum op {
	OP_CHAR,
	OP_ANY,       /* any character */
	OP_NAME_CHAR, /* any but '/' */
	OP_SET,
	OP_STAR,      /* any characters */
	OP_NAME_STAR, /* any but '/' */
	OP_DIRS,      /* any number of "name/": at a boundary ... */
	OP_IN_DIR,    /* ... and inside a name; always behind OP_DIRS */
};

struct range {
	uint32_t low, high;
};

struct step {
	enum op op;
	uint32_t c;
	bool negated;
	size_t range, range_count; /* of OP_SET, in glob.ranges */
};

void glob_fini(struct glob *g)
{
	free(g->steps);
	free(g->ranges);
}

static void add_step(struct glob *g, enum op op, uint32_t c)
{
	g->steps[g->count++] = (struct step){ .op = op, .c = c };
}

/* The place of the ']' that closes the set whose '[' is before i; n where there is none. */
static size_t set_end(const uint32_t *p, size_t i, size_t n)
{
	if (i < n && p[i] == '!')
		i++;
	if (i < n && p[i] == ']')
		i++;
	while (i < n && p[i] != ']')
		i++;
	return i;
}

/* The text between '[' and ']'.  An empty range matches nothing in fm, is an error in sh. */
static int add_set(struct glob *g, const uint32_t *p, size_t n, enum match_style style)
{
	struct step *step = &g->steps[g->count++];
	size_t i = 0;

	*step = (struct step){ .op = OP_SET, .range = g->range_count };
	if (n && p[0] == '!') {
		step->negated = true;
		i = 1;
	}
	while (i < n) {
		struct range r = { p[i], p[i] };

		i++;
		if (i + 1 < n && p[i] == '-') {
			r.high = p[i + 1];
			i += 2;
		}
		if (r.low <= r.high)
			g->ranges[g->range_count++] = r;
		else if (style == MATCH_SH)
			return -EINVAL;
	}
	step->range_count = g->range_count - step->range;
	return 0;
}

static size_t add_star(struct glob *g, const uint32_t *p, size_t i, size_t n,
		       enum match_style style)
{
	if (style == MATCH_FM) {
		if (g->count == 0 || g->steps[g->count - 1].op != OP_STAR)
			add_step(g, OP_STAR, 0);
		return i + 1;
	}
	if (i + 2 < n && p[i + 1] == '*' && p[i + 2] == '/') {
		add_step(g, OP_DIRS, 0);
		add_step(g, OP_IN_DIR, 0);
		return i + 3;
	}
	add_step(g, OP_NAME_STAR, 0);
	return i + 1;
}

static int glob_steps(struct glob *g, const uint32_t *p, size_t n, enum match_style style)
{
	for (size_t i = 0; i < n;) {
		size_t end;

		switch (p[i]) {
		case '*': i = add_star(g, p, i, n, style); break;
		case '?':
			add_step(g, style == MATCH_FM ? OP_ANY : OP_NAME_CHAR, 0);
			i++;
			break;
		case '[':
			end = set_end(p, i + 1, n);
			if (end == n) {
				add_step(g, OP_CHAR, '[');
				i++;
				break;
			}
			if (add_set(g, p + i + 1, end - i - 1, style) < 0)
				return -EINVAL;
			i = end + 1;
			break;
		default: add_step(g, OP_CHAR, p[i++]); break;
		}
	}
	return 0;
}

static void glob_shortcuts(struct glob *g)
{
	size_t n = g->count;

	while (g->prefix < n && g->steps[g->prefix].op == OP_CHAR)
		g->prefix++;
	g->rest = SIZE_MAX;
	if (n >= 1 && g->steps[n - 1].op == OP_STAR)
		g->rest = n - 1;
}

/* -EINVAL: not a pattern; -ENOMEM. */
int glob_init(struct glob *g, struct bytes text, enum match_style style)
{
	uint32_t *chars = malloc((text.len + 1) * sizeof(*chars));
	size_t n;
	int rc;

	*g = (struct glob){ 0 };
	g->steps = calloc(2 * text.len + 1, sizeof(*g->steps));
	g->ranges = calloc(text.len + 1, sizeof(*g->ranges));
	if (!chars || !g->steps || !g->ranges) {
		free(chars);
		return -ENOMEM;
	}
	n = chars_decode(text, chars);
	rc = glob_steps(g, chars, n, style);
	free(chars);
	glob_shortcuts(g);
	return rc;
}

static bool in_set(const struct glob *g, const struct step *s, uint32_t c)
{
	for (size_t i = 0; i < s->range_count; i++)
		if (c >= g->ranges[s->range + i].low && c <= g->ranges[s->range + i].high)
			return !s->negated;
	return s->negated;
}

static bool has(const uint64_t *set, size_t i)
{
	return set[i / 64] >> (i % 64) & 1;
}

/* State i, and those it leads to without a character. */
static void enter(const struct glob *g, uint64_t *set, size_t i)
{
	for (;;) {
		set[i / 64] |= (uint64_t)1 << (i % 64);
		if (i == g->count)
			return;
		if (g->steps[i].op == OP_STAR || g->steps[i].op == OP_NAME_STAR)
			i += 1;
		else if (g->steps[i].op == OP_DIRS)
			i += 2;
		else
			return;
		if (has(set, i))
			return;
	}
}

static void advance(const struct glob *g, size_t i, uint32_t c, uint64_t *to)
{
	const struct step *s = &g->steps[i];

	switch (s->op) {
	case OP_CHAR:
		if (c == s->c)
			enter(g, to, i + 1);
		break;
	case OP_ANY: enter(g, to, i + 1); break;
	case OP_NAME_CHAR:
		if (c != '/')
			enter(g, to, i + 1);
		break;
	case OP_SET:
		if (in_set(g, s, c))
			enter(g, to, i + 1);
		break;
	case OP_STAR: enter(g, to, i); break;
	case OP_NAME_STAR:
		if (c != '/')
			enter(g, to, i);
		break;
	case OP_DIRS: enter(g, to, c == '/' ? i : i + 1); break;
	case OP_IN_DIR: enter(g, to, c == '/' ? i - 1 : i); break;
	}
}

static bool run_states(const struct glob *g, const uint32_t *p, size_t n, uint64_t *now,
		       uint64_t *next, size_t words)
{
	memset(now, 0, words * sizeof(*now));
	enter(g, now, g->prefix);
	for (size_t k = g->prefix; k < n; k++) {
		bool any = false;

		if (g->rest != SIZE_MAX && has(now, g->rest))
			return true;
		memset(next, 0, words * sizeof(*next));
		for (size_t w = 0; w < words; w++) {
			for (uint64_t bits = now[w]; bits; bits &= bits - 1) {
				size_t i = 64 * w + (size_t)__builtin_ctzll(bits);

				if (i < g->count)
					advance(g, i, p[k], next);
				any = true;
			}
		}
		if (!any)
			return false;
		memcpy(now, next, words * sizeof(*now));
	}
	return has(now, g->count);
}

bool glob_match(const struct glob *g, const uint32_t *p, size_t n)
{
	uint64_t small[2 * STACK_WORDS], *states = small;
	size_t words = g->count / 64 + 1;
	bool matched;

	if (n < g->prefix)
		return false;
	for (size_t i = 0; i < g->prefix; i++)
		if (p[i] != g->steps[i].c)
			return false;
	if (words > STACK_WORDS) {
		states = calloc(2 * words, sizeof(*states));
		if (!states)
			return false;
	}
	matched = run_states(g, p, n, states, states + words, words);
	if (states != small)
		free(states);
	return matched;
}

bool match_glob(const char *glob, struct bytes name)
{
	struct glob g;
	bool matched = false;

	if (strncmp(glob, "sh:", 3) == 0)
		glob += 3;
	if (glob_init(&g, bytes_str(glob), MATCH_SH) == 0) {
		uint32_t *chars = malloc((name.len + 1) * sizeof(*chars));

		if (chars)
			matched = glob_match(&g, chars, chars_decode(name, chars));
		free(chars);
	}
	glob_fini(&g);
	return matched;
}
