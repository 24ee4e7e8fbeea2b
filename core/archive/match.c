/*
 * match.c - see match.h.
 *
 * Paths are sequences of characters as Python sees them: UTF-8 decoded, and a byte that is not
 * UTF-8 is a character of its own.  Globs (fm, sh) become short programs that are run on all
 * their states at once, so that no pattern is slow on any path; a prefix without wildcards
 * decides most paths before that.  Regular expressions are PCRE2's, compiled to machine code.
 *
 * pf patterns are looked up in a hash before all others, as Borg does, whatever their order.
 */

#include "core/archive/match.h"

#define PCRE2_CODE_UNIT_WIDTH 8

#include <errno.h>
#include <fcntl.h>
#include <pcre2.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/io.h"
#include "core/base/table.h"
#include "core/codec/checksum.h"

enum {
	FILE_MAX = 64 << 20, /* bytes of a file of patterns */
	STACK_CHARS = 512,   /* longer paths are decoded on the heap */
	STACK_WORDS = 8,     /* longer programs keep their states on the heap */
	NOT_UTF8 = 0x10dc00, /* + byte: a private character, one for each such byte */
};

/* --- characters --- */

/* Bytes of the UTF-8 character at p, 0 where there is none.  No surrogates, no overlong forms. */
static size_t utf8_char(const uint8_t *p, size_t len, uint32_t *out)
{
	uint32_t c = p[0];
	size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
	static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };

	if (n == 0 || n > len)
		return 0;
	if (n > 1)
		c &= 0x7fU >> n;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	*out = c;
	return n;
}

static size_t next_char(const uint8_t *p, size_t len, uint32_t *out)
{
	size_t n;

	if (p[0] < 0x80) {
		*out = p[0];
		return 1;
	}
	n = utf8_char(p, len, out);
	if (n)
		return n;
	*out = NOT_UTF8 + p[0];
	return 1;
}

/* out has room for one character a byte. */
static size_t decode(struct bytes text, uint32_t *out)
{
	size_t count = 0;

	for (size_t i = 0; i < text.len; count++)
		i += next_char(text.p + i, text.len - i, &out[count]);
	return count;
}

static bool is_utf8(struct bytes text)
{
	for (size_t i = 0; i < text.len;) {
		uint32_t c;
		size_t n = text.p[i] < 0x80 ? 1 : utf8_char(text.p + i, text.len - i, &c);

		if (n == 0)
			return false;
		i += n;
	}
	return true;
}

/* The same characters as valid UTF-8. */
static int to_utf8(struct bytes text, struct buf *out)
{
	for (size_t i = 0; i < text.len;) {
		uint32_t c;
		size_t n = utf8_char(text.p + i, text.len - i, &c);
		int rc;

		if (n) {
			rc = buf_append(out, text.p + i, n);
		} else {
			c = NOT_UTF8 + text.p[i];
			uint8_t four[4] = { (uint8_t)(0xf0 | c >> 18),
					    (uint8_t)(0x80 | (c >> 12 & 0x3f)),
					    (uint8_t)(0x80 | (c >> 6 & 0x3f)),
					    (uint8_t)(0x80 | (c & 0x3f)) };
			rc = buf_append(out, four, sizeof(four));
			n = 1;
		}
		if (rc < 0)
			return rc;
		i += n;
	}
	return 0;
}

/* --- globs --- */

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

/*
 * State i means: steps before i are done.  `rest` is the state from which anything that ends in
 * '/' (sh) or anything at all (fm) matches; where it is reached the answer is known.
 */
struct glob {
	struct step *steps;
	struct range *ranges;
	size_t count, range_count;
	size_t prefix; /* leading steps that are plain characters */
	size_t rest;   /* SIZE_MAX: none */
};

static void glob_fini(struct glob *g)
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
static int glob_init(struct glob *g, struct bytes text, enum match_style style)
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
	n = decode(text, chars);
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

/* Does all of the text match?  Out of memory counts as no. */
static bool glob_match(const struct glob *g, const uint32_t *p, size_t n)
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
			matched = glob_match(&g, chars, decode(name, chars));
		free(chars);
	}
	glob_fini(&g);
	return matched;
}

/* --- patterns --- */

struct pattern {
	enum match_style style;
	enum match_command command;
	bool is_argument; /* a PATH argument: reported where it never matched */
	atomic_bool used;
	char *original;  /* without the style's prefix */
	struct buf text; /* pp: the prefix; pf: the path */
	struct glob glob;
	pcre2_code *code;
	struct pattern *next; /* pf: of the same hash */
};

struct matcher {
	struct pattern **patterns;
	size_t count, cap;
	struct table full; /* hash of a path -> struct pattern *, first of a chain */
	char **roots;
	size_t root_count, root_cap;
	bool fallback; /* what a path is that nothing matches */
};

static void pattern_free(struct pattern *p)
{
	if (!p)
		return;
	free(p->original);
	buf_fini(&p->text);
	glob_fini(&p->glob);
	pcre2_code_free(p->code);
	free(p);
}
DEFINE_CLEANUP(struct pattern *, pattern_free);

/* Make room for one more pointer. */
static int grow(void *list, size_t count, size_t *cap)
{
	size_t more = *cap ? 2 * *cap : 8;
	void **old, **new;

	if (count < *cap)
		return 0;
	memcpy(&old, list, sizeof(old));
	new = realloc(old, more * sizeof(*new));
	if (!new)
		return -ENOMEM;
	memcpy(list, &new, sizeof(new));
	*cap = more;
	return 0;
}

int matcher_new(struct matcher **out, struct err *e)
{
	struct matcher *m = calloc(1, sizeof(*m));

	if (!m)
		return err_nomem(e, "patterns");
	table_init(&m->full, sizeof(uint64_t), sizeof(struct pattern *));
	m->fallback = true;
	*out = m;
	return 0;
}

void matcher_free(struct matcher *m)
{
	const void *key;
	void *value;
	size_t cursor = 0;

	if (!m)
		return;
	for (size_t i = 0; i < m->count; i++)
		pattern_free(m->patterns[i]);
	while (table_next(&m->full, &cursor, &key, &value)) {
		struct pattern *p = *(struct pattern **)value;

		while (p) {
			struct pattern *next = p->next;

			pattern_free(p);
			p = next;
		}
	}
	for (size_t i = 0; i < m->root_count; i++)
		free(m->roots[i]);
	free(m->patterns);
	free(m->roots);
	table_fini(&m->full);
	free(m);
}

/* Python's os.path.normpath. */
static int normalise(const char *text, struct buf *out)
{
	size_t slashes = strspn(text, "/");
	size_t root = slashes == 2 ? 2 : slashes != 0; /* POSIX keeps exactly two */
	size_t floor = root;                           /* ".." cannot go above here */

	if (buf_append(out, "//", root) < 0)
		return -ENOMEM;
	for (text += slashes; *text; text += strspn(text, "/")) {
		size_t len = strcspn(text, "/");
		bool up = len == 2 && text[0] == '.' && text[1] == '.';

		if (len == 1 && text[0] == '.') {
			text += len;
			continue;
		}
		if (up && out->len > floor) {
			while (out->len > floor && out->p[out->len - 1] != '/')
				out->len--;
			if (out->len > floor)
				out->len--; /* the '/' before it */
		} else if (!up || !root) {
			if (out->len > root && buf_append_byte(out, '/') < 0)
				return -ENOMEM;
			if (buf_append(out, text, len) < 0)
				return -ENOMEM;
			if (up)
				floor = out->len;
		}
		text += len;
	}
	return out->len ? 0 : buf_append_str(out, ".");
}

static void strip_slashes_before(struct buf *b)
{
	size_t n = 0;

	while (n < b->len && b->p[n] == '/')
		n++;
	memmove(b->p, b->p + n, b->len - n);
	b->len -= n;
}

static void strip_slashes_behind(struct buf *b)
{
	while (b->len && b->p[b->len - 1] == '/')
		b->len--;
}

/* The normalised text with what Borg adds behind, without slashes in front. */
static int prepare_text(struct pattern *p, const char *text, const char *behind, bool strip)
{
	if (normalise(text, &p->text) < 0)
		return -ENOMEM;
	if (strip)
		strip_slashes_behind(&p->text);
	if (buf_append_str(&p->text, behind) < 0)
		return -ENOMEM;
	strip_slashes_before(&p->text);
	return 0;
}

static int prepare_glob(struct pattern *p, const char *text)
{
	size_t len = strlen(text);
	bool below = len && text[len - 1] == '/'; /* only what is in the directory */
	bool shell = p->style == MATCH_SH;
	const char *behind = shell ? (below ? "/**/*/" : "/**/*") : (below ? "/*/" : "/*");
	int rc = prepare_text(p, text, behind, below);

	if (rc == 0)
		rc = glob_init(&p->glob, buf_bytes(&p->text), p->style);
	/* What is matched ends in '/', which "**" + "/" + "*" takes from any boundary on. */
	if (rc == 0 && shell && !below)
		p->glob.rest = p->glob.count - 3;
	return rc;
}

/* Python's \Z is PCRE2's \z. */
static void python_escapes(struct buf *b)
{
	for (size_t i = 0; i + 1 < b->len; i++) {
		if (b->p[i] != '\\')
			continue;
		i++;
		if (b->p[i] == 'Z')
			b->p[i] = 'z';
	}
}

static int prepare_regex(struct pattern *p, const char *text, struct err *e)
{
	PCRE2_SIZE at = 0;
	PCRE2_UCHAR why[128];
	int code = 0;

	if (to_utf8(bytes_str(text), &p->text) < 0)
		return err_nomem(e, "pattern");
	python_escapes(&p->text);
	p->code = pcre2_compile(p->text.p ? p->text.p : (const uint8_t *)"", p->text.len,
				PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &at,
				NULL);
	if (!p->code) {
		pcre2_get_error_message(code, why, sizeof(why));
		return err_set(e, EINVAL, "bad regular expression '%s': %s at position %zu",
			       text, (const char *)why, (size_t)at);
	}
	pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE); /* without it, it is interpreted */
	return 0;
}

static int prepare(struct pattern *p, const char *text, struct err *e)
{
	int rc = 0;

	switch (p->style) {
	case MATCH_FM:
	case MATCH_SH: rc = prepare_glob(p, text); break;
	case MATCH_RE: return prepare_regex(p, text, e);
	case MATCH_PP: rc = prepare_text(p, text, "/", true); break;
	case MATCH_PF: rc = prepare_text(p, text, "", false); break;
	}
	if (rc == -EINVAL)
		return err_set(e, EINVAL, "bad character range in pattern '%s'", text);
	return rc < 0 ? err_nomem(e, "pattern") : 0;
}

static const char *const style_names[] = {
	[MATCH_FM] = "fm", [MATCH_SH] = "sh", [MATCH_RE] = "re",
	[MATCH_PP] = "pp", [MATCH_PF] = "pf",
};

static bool find_style(const char *name, size_t len, enum match_style *out)
{
	for (unsigned i = 0; i < sizeof(style_names) / sizeof(style_names[0]); i++) {
		if (len == 2 && memcmp(style_names[i], name, 2) == 0) {
			*out = (enum match_style)i;
			return true;
		}
	}
	return false;
}

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Take "xx:" off the front of *text, where it is there. */
static int take_style(const char **text, enum match_style *style, struct err *e)
{
	const char *t = *text;

	if (!is_alnum(t[0]) || !is_alnum(t[1]) || t[2] != ':')
		return 0;
	if (!find_style(t, 2, style))
		return err_set(e, EINVAL, "Unknown pattern style: %.2s", t);
	*text = t + 3;
	return 0;
}

/* Of several commands for one path the last holds. */
static int add_full(struct matcher *m, struct pattern *p)
{
	uint64_t hash = xxh64_of(p->text.p, p->text.len);
	struct pattern **first = table_put(&m->full, &hash, NULL);

	if (!first)
		return -ENOMEM;
	for (struct pattern *same = *first; same; same = same->next) {
		if (bytes_equal(buf_bytes(&same->text), buf_bytes(&p->text))) {
			same->command = p->command;
			pattern_free(p);
			return 0;
		}
	}
	p->next = *first;
	*first = p;
	return 0;
}

static int add_pattern(struct matcher *m, const char *text, enum match_style style,
		       enum match_command command, bool is_argument, struct err *e)
{
	CLEANUP(pattern_freep) struct pattern *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return err_nomem(e, "pattern");
	rc = take_style(&text, &style, e);
	if (rc < 0)
		return rc;
	p->style = style;
	p->command = command;
	p->is_argument = is_argument;
	p->original = strdup(text);
	if (!p->original)
		return err_nomem(e, "pattern");
	rc = prepare(p, text, e);
	if (rc < 0)
		return rc;
	if (style == MATCH_PF) {
		if (add_full(m, p) < 0)
			return err_nomem(e, "pattern");
		p = NULL;
		return 0;
	}
	if (grow(&m->patterns, m->count, &m->cap) < 0)
		return err_nomem(e, "pattern");
	m->patterns[m->count++] = TAKE(p);
	return 0;
}

int matcher_exclude(struct matcher *m, const char *pattern, struct err *e)
{
	return add_pattern(m, pattern, MATCH_FM, MATCH_EXCLUDE_NO_RECURSE, false, e);
}

static int add_root(struct matcher *m, const char *path, struct err *e)
{
	char *copy = strdup(path);

	if (!copy || grow(&m->roots, m->root_count, &m->root_cap) < 0) {
		free(copy);
		return err_nomem(e, "pattern");
	}
	m->roots[m->root_count++] = copy;
	return 0;
}

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f);
}

static int parse_command(char letter, enum match_command *out)
{
	switch (letter) {
	case '-': *out = MATCH_EXCLUDE; return 0;
	case '!': *out = MATCH_EXCLUDE_NO_RECURSE; return 0;
	case '+': *out = MATCH_INCLUDE; return 0;
	case 'R':
	case 'r': *out = MATCH_ROOT; return 0;
	case 'P':
	case 'p': *out = MATCH_STYLE; return 0;
	default: return -EINVAL;
	}
}

/* *style is the default for patterns; a P line changes it. */
static int add_line(struct matcher *m, const char *line, enum match_style *style, struct err *e)
{
	enum match_command command;

	if (!*line)
		return err_set(e, EINVAL, "A pattern/command must not be empty.");
	if (parse_command(*line, &command) < 0)
		return err_set(e, EINVAL,
			       "A pattern/command must start with any of: -, !, +, R, r, P, p");
	for (line++; is_blank(*line); line++)
		;
	if (!*line)
		return err_set(e, EINVAL, "A pattern/command must have a value part.");
	switch (command) {
	case MATCH_ROOT: return add_root(m, line, e);
	case MATCH_STYLE:
		if (!find_style(line, strlen(line), style))
			return err_set(e, EINVAL, "Invalid pattern style: %s", line);
		return 0;
	case MATCH_EXCLUDE:
	case MATCH_EXCLUDE_NO_RECURSE:
	case MATCH_INCLUDE: return add_pattern(m, line, *style, command, false, e);
	}
	return 0;
}

int matcher_pattern(struct matcher *m, const char *line, struct err *e)
{
	enum match_style style = MATCH_SH;

	return add_line(m, line, &style, e);
}

typedef int line_fn(struct matcher *m, const char *line, enum match_style *style,
		    struct err *e);

static int exclude_line(struct matcher *m, const char *line, enum match_style *style,
			struct err *e)
{
	return add_pattern(m, line, *style, MATCH_EXCLUDE_NO_RECURSE, false, e);
}

static int read_patterns(const char *file, struct buf *out, struct err *e)
{
	int rc = file_read(AT_FDCWD, file, FILE_MAX, out, NULL);

	if (rc < 0)
		return err_set(e, -rc, "[Errno %d] %s: '%s'", -rc, strerror(-rc), file);
	return buf_append_byte(out, '\0') < 0 ? err_nomem(e, file) : 0;
}

/* Each line without blanks around it; empty ones and comments are nothing. */
static int each_line(struct matcher *m, const char *file, line_fn *fn, enum match_style style,
		     struct err *e)
{
	CLEANUP(buf_fini) struct buf content = BUF_INIT;
	int rc = read_patterns(file, &content, e);
	char *line, *next;

	if (rc < 0)
		return rc;
	for (line = (char *)content.p; rc == 0 && *line; line = next) {
		char *end = line + strcspn(line, "\r\n");

		next = *end ? end + 1 : end;
		while (is_blank(*line) && line < end)
			line++;
		while (end > line && is_blank(end[-1]))
			end--;
		*end = '\0';
		if (*line && *line != '#')
			rc = fn(m, line, &style, e);
	}
	return rc;
}

int matcher_exclude_from(struct matcher *m, const char *file, struct err *e)
{
	return each_line(m, file, exclude_line, MATCH_FM, e);
}

int matcher_patterns_from(struct matcher *m, const char *file, struct err *e)
{
	return each_line(m, file, add_line, MATCH_SH, e);
}

int matcher_include_paths(struct matcher *m, char *const *paths, size_t count, struct err *e)
{
	for (size_t i = 0; i < count; i++) {
		int rc = add_pattern(m, paths[i], MATCH_PP, MATCH_INCLUDE, true, e);

		if (rc < 0)
			return rc;
	}
	if (count)
		m->fallback = false;
	return 0;
}

/* --- matching --- */

/* A path in the forms that patterns want, each made when first asked for. */
struct subject {
	struct bytes path; /* without slashes in front */
	uint32_t stack[STACK_CHARS];
	uint32_t *chars; /* of the path and one '/' behind it */
	size_t char_count;
	struct buf utf8;
	struct bytes valid; /* the path as UTF-8 */
	bool has_valid;
};

static bool subject_chars(struct subject *s)
{
	if (s->chars)
		return true;
	s->chars = s->path.len < STACK_CHARS ? s->stack
					     : malloc((s->path.len + 1) * sizeof(*s->chars));
	if (!s->chars)
		return false;
	s->char_count = decode(s->path, s->chars);
	s->chars[s->char_count++] = '/';
	return true;
}

static bool subject_utf8(struct subject *s)
{
	if (s->has_valid)
		return true;
	s->valid = s->path;
	if (!is_utf8(s->path)) {
		if (to_utf8(s->path, &s->utf8) < 0)
			return false;
		s->valid = buf_bytes(&s->utf8);
	}
	s->has_valid = true;
	return true;
}

static void subject_fini(struct subject *s)
{
	if (s->chars != s->stack)
		free(s->chars);
	buf_fini(&s->utf8);
}

/* Is the path itself, or a directory above it, the prefix?  The prefix ends in '/'. */
static bool prefix_match(struct bytes prefix, struct bytes path)
{
	if (prefix.len == 0)
		return true;
	if (prefix.len - 1 > path.len || memcmp(prefix.p, path.p, prefix.len - 1) != 0)
		return false;
	return prefix.len - 1 == path.len || path.p[prefix.len - 1] == '/';
}

static bool regex_match(const struct pattern *p, struct subject *s)
{
	pcre2_match_data *data;
	int rc;

	if (!subject_utf8(s))
		return false;
	data = pcre2_match_data_create(1, NULL);
	if (!data)
		return false;
	rc = pcre2_match(p->code, s->valid.len ? s->valid.p : (const uint8_t *)"", s->valid.len,
			 0, PCRE2_NO_UTF_CHECK, data, NULL);
	pcre2_match_data_free(data);
	return rc >= 0;
}

static bool pattern_match(const struct pattern *p, struct subject *s)
{
	switch (p->style) {
	case MATCH_FM:
	case MATCH_SH: return subject_chars(s) && glob_match(&p->glob, s->chars, s->char_count);
	case MATCH_RE: return regex_match(p, s);
	case MATCH_PP: return prefix_match(buf_bytes(&p->text), s->path);
	case MATCH_PF: return bytes_equal(buf_bytes(&p->text), s->path);
	}
	return false;
}

static const struct pattern *find_full(const struct matcher *m, struct bytes path)
{
	uint64_t hash;
	struct pattern *const *first;

	if (m->full.count == 0)
		return NULL;
	hash = xxh64_of(path.p, path.len);
	first = table_get(&m->full, &hash);
	for (const struct pattern *p = first ? *first : NULL; p; p = p->next)
		if (bytes_equal(buf_bytes(&p->text), path))
			return p;
	return NULL;
}

static struct match_result result_of(const struct pattern *p)
{
	return (struct match_result){ .included = p->command == MATCH_INCLUDE,
				      .recurse = p->command != MATCH_EXCLUDE_NO_RECURSE };
}

struct match_result matcher_match(struct matcher *m, struct bytes path)
{
	struct subject s;
	struct match_result result = { .included = m->fallback, .recurse = true };
	const struct pattern *full;

	while (path.len && path.p[0] == '/')
		path = (struct bytes){ path.p + 1, path.len - 1 };
	full = find_full(m, path);
	if (full)
		return result_of(full);
	s.path = path;
	s.chars = NULL;
	s.has_valid = false;
	s.utf8 = (struct buf)BUF_INIT;
	for (size_t i = 0; i < m->count; i++) {
		struct pattern *p = m->patterns[i];

		if (!pattern_match(p, &s))
			continue;
		if (!atomic_load_explicit(&p->used, memory_order_relaxed))
			atomic_store_explicit(&p->used, true, memory_order_relaxed);
		result = result_of(p);
		break;
	}
	subject_fini(&s);
	return result;
}

bool matcher_is_trivial(const struct matcher *m)
{
	return m->count == 0 && m->full.count == 0 && m->fallback;
}

const char *matcher_unmatched(const struct matcher *m, size_t *cursor)
{
	while (*cursor < m->count) {
		const struct pattern *p = m->patterns[(*cursor)++];

		if (p->is_argument && !atomic_load_explicit(&p->used, memory_order_relaxed))
			return p->original;
	}
	return NULL;
}

const char *matcher_root(const struct matcher *m, size_t index)
{
	return index < m->root_count ? m->roots[index] : NULL;
}
