/*
 * match.c - see match.h.
 *
 * Globs (fm, sh) are glob.c's; regular expressions are PCRE2's, compiled to machine code.
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

#include "core/archive/chars.h"
#include "core/archive/glob.h"
#include "core/base/io.h"
#include "core/base/table.h"
#include "core/codec/checksum.h"

enum {
	FILE_MAX = 64 << 20, /* bytes of a file of patterns */
	STACK_CHARS = 512,   /* longer paths are decoded on the heap */
};

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
	if (path_normal(text, &p->text) < 0)
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

	if (chars_to_utf8(bytes_str(text), &p->text) < 0)
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
		return err_set(e, ENOENT, "Unknown pattern style: %.2s", t);
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

	if (rc == -ENOENT)
		return err_set_id(e, ENOENT, "Error", "Error: [Errno %d] %s: '%s'", ENOENT,
				  strerror(ENOENT), file);
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
	s->char_count = chars_decode(s->path, s->chars);
	s->chars[s->char_count++] = '/';
	return true;
}

static bool subject_utf8(struct subject *s)
{
	if (s->has_valid)
		return true;
	s->valid = s->path;
	if (!chars_are_utf8(s->path)) {
		if (chars_to_utf8(s->path, &s->utf8) < 0)
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
