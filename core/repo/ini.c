/* ini.c - see ini.h. */

#include "core/repo/ini.h"

#include "core/base/cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

static struct bytes trim(struct bytes b)
{
	while (b.len && isspace(b.p[0]))
		b.p++, b.len--;
	while (b.len && isspace(b.p[b.len - 1]))
		b.len--;
	return b;
}

/* The first line with its newline; rest goes on behind it. */
static struct bytes take_line(struct bytes *rest)
{
	const uint8_t *newline = memchr(rest->p, '\n', rest->len);
	size_t len = newline ? (size_t)(newline - rest->p) + 1 : rest->len;
	struct bytes line = { rest->p, len };

	*rest = (struct bytes){ rest->p + len, rest->len - len };
	return line;
}

static bool is_comment(struct bytes trimmed)
{
	return trimmed.len && (trimmed.p[0] == '#' || trimmed.p[0] == ';');
}

static size_t indent(struct bytes line)
{
	size_t n = 0;

	while (n < line.len && isspace(line.p[n]))
		n++;
	return n;
}

/* Place of the = or : behind a name; the line's length where it is no option. */
static size_t delimiter(struct bytes line)
{
	size_t at = 0;

	while (at < line.len && line.p[at] != '=' && line.p[at] != ':')
		at++;
	return at == indent(line) ? line.len : at;
}

static bool section_name(struct bytes trimmed, struct bytes *name)
{
	const uint8_t *end = trimmed.p[0] == '[' ? memrchr(trimmed.p, ']', trimmed.len) : NULL;

	if (!end || end == trimmed.p + 1)
		return false;
	*name = (struct bytes){ trimmed.p + 1, (size_t)(end - trimmed.p) - 1 };
	return true;
}

/* Lines further in than the option's own, with the blank ones and comments between them. */
static void extend(struct ini_item *option, struct bytes *rest)
{
	size_t own = indent(option->lines);
	struct bytes ahead = *rest;

	while (ahead.len > 0) {
		struct bytes line = take_line(&ahead), text = trim(line);

		if (text.len == 0 || is_comment(text))
			continue;
		if (indent(line) <= own)
			return;
		option->lines.len = (size_t)(ahead.p - option->lines.p);
		*rest = ahead;
	}
}

bool ini_next(struct ini_cursor *c, struct ini_item *out)
{
	while (c->rest.len > 0) {
		struct bytes line = take_line(&c->rest), text = trim(line);
		size_t at = delimiter(line);

		if (text.len == 0 || is_comment(text))
			continue;
		*out = (struct ini_item){ INI_OTHER, c->section, { 0 }, line };
		if (section_name(text, &c->section)) {
			out->kind = INI_SECTION;
			out->section = c->section;
		} else if (at < line.len) {
			out->kind = INI_OPTION;
			out->name = trim((struct bytes){ line.p, at });
			extend(out, &c->rest);
		}
		return true;
	}
	return false;
}

bool ini_is(const struct ini_item *item, const char *section, const char *name)
{
	return item->kind == INI_OPTION && bytes_is(item->section, section) &&
	       item->name.len == strlen(name) &&
	       strncasecmp((const char *)item->name.p, name, item->name.len) == 0;
}

char *ini_value(const struct ini_item *item)
{
	CLEANUP(buf_fini) struct buf value = BUF_INIT;
	struct bytes rest = item->lines, line = take_line(&rest), part;
	size_t at = delimiter(line) + 1;
	int rc;

	part = trim((struct bytes){ line.p + at, line.len - at });
	rc = buf_append(&value, part.p, part.len);
	while (rc == 0 && rest.len > 0) {
		part = trim(take_line(&rest));
		if (is_comment(part))
			continue;
		rc = buf_append_byte(&value, '\n');
		if (rc == 0)
			rc = buf_append(&value, part.p, part.len);
	}
	return rc == 0 ? bytes_dup(buf_bytes(&value)) : NULL;
}

bool ini_has_section(struct bytes text, const char *section)
{
	struct ini_cursor c = { .rest = text };
	struct ini_item item;

	while (ini_next(&c, &item))
		if (item.kind == INI_SECTION && bytes_is(item.section, section))
			return true;
	return false;
}

int ini_get(struct bytes text, const char *section, const char *name, char **out)
{
	struct ini_cursor c = { .rest = text };
	struct ini_item item;

	while (ini_next(&c, &item)) {
		if (!ini_is(&item, section, name))
			continue;
		*out = ini_value(&item);
		return *out ? 1 : -ENOMEM;
	}
	return 0;
}

/* --- changing --- */

/* Where an option stands in a text, or would. */
struct site {
	struct bytes header; /* the section's; empty where there is none */
	struct bytes option; /* its lines; empty where there is none */
	size_t end;          /* behind the section's last item */
	size_t siblings;
};

static struct site find_site(struct bytes text, const char *section, const char *name)
{
	struct ini_cursor c = { .rest = text };
	struct site s = { .end = text.len };
	struct ini_item item;

	while (ini_next(&c, &item)) {
		if (!bytes_is(item.section, section))
			continue;
		s.end = (size_t)(item.lines.p + item.lines.len - text.p);
		if (item.kind == INI_SECTION)
			s.header = item.lines;
		else if (!s.option.len && ini_is(&item, section, name))
			s.option = item.lines;
		else
			s.siblings++;
	}
	return s;
}

/* Put `now` in place of `was`, which lies in the text. */
static int splice(struct buf *text, size_t at, size_t was, struct bytes now)
{
	size_t after = text->len - at - was;

	if (buf_reserve(text, text->len + now.len) < 0)
		return -ENOMEM;
	memmove(text->p + at + now.len, text->p + at + was, after);
	if (now.len)
		memcpy(text->p + at, now.p, now.len);
	text->len = at + now.len + after;
	return 0;
}

/*
 * How far in the line stands that follows `at`.  What is written in front of it stands as far in:
 * less, and that line would go on with it; more, and it might go on with the one before.
 */
static size_t indent_at(struct bytes text, size_t at)
{
	struct bytes rest = { text.p + at, text.len - at };

	while (rest.len > 0) {
		struct bytes line = take_line(&rest), trimmed = trim(line);

		if (trimmed.len && !is_comment(trimmed))
			return indent(line);
	}
	return 0;
}

static size_t offset_behind(const struct buf *text, struct bytes lines)
{
	return (size_t)(lines.p + lines.len - text->p);
}

static int remove_lines(struct buf *text, struct bytes lines)
{
	return splice(text, offset_behind(text, lines) - lines.len, lines.len,
		      (struct bytes){ 0 });
}

/* An empty section may stay where what follows would take another meaning without it. */
static int remove_option(struct buf *text, const struct site *s)
{
	int rc = s->option.len ? remove_lines(text, s->option) : 0;

	if (rc < 0 || s->siblings > 0 || !s->header.len ||
	    indent_at(buf_bytes(text), offset_behind(text, s->header)) > 0)
		return rc;
	return remove_lines(text, s->header); /* it is in front of the option */
}

static int append_blanks(struct buf *out, size_t count)
{
	int rc = 0;

	while (rc == 0 && count-- > 0)
		rc = buf_append_byte(out, ' ');
	return rc;
}

/* name = value, each line `in` blanks further in than it would be. */
static int append_option(struct buf *out, const char *name, const char *value, size_t in)
{
	int rc = append_blanks(out, in);

	if (rc == 0)
		rc = buf_append_str(out, name);
	if (rc == 0)
		rc = buf_append_str(out, " = ");
	for (; rc == 0 && *value; value++) {
		rc = buf_append_byte(out, (uint8_t)*value);
		if (rc == 0 && *value == '\n')
			rc = append_blanks(out, in);
		if (rc == 0 && *value == '\n')
			rc = buf_append_byte(out, '\t');
	}
	return rc == 0 ? buf_append_byte(out, '\n') : rc;
}

static int append_header(struct buf *out, const char *section)
{
	int rc = buf_append_byte(out, '[');

	if (rc == 0)
		rc = buf_append_str(out, section);
	return rc == 0 ? buf_append_str(out, "]\n") : rc;
}

int ini_set(struct buf *text, const char *section, const char *name, const char *value)
{
	CLEANUP(buf_fini) struct buf lines = BUF_INIT;
	struct site s = find_site(buf_bytes(text), section, name);
	size_t at = s.option.len ? (size_t)(s.option.p - text->p) : s.end;
	size_t in = indent_at(buf_bytes(text), at + s.option.len);
	int rc = 0;

	if (!value)
		return remove_option(text, &s);
	if (at > 0 && text->p[at - 1] != '\n')
		rc = buf_append_byte(&lines, '\n');
	if (rc == 0 && !s.header.len)
		rc = append_header(&lines, section);
	if (rc == 0)
		rc = append_option(&lines, name, value, in);
	if (rc == 0 && !s.header.len)
		rc = buf_append_byte(&lines, '\n');
	return rc == 0 ? splice(text, at, s.option.len, buf_bytes(&lines)) : rc;
}
