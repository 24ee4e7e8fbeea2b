/* format.c - see format.h. */

#include "tools/format.h"

#include "core/base/arena.h"
#include "tools/pyformat.h"
#include "tools/strftime.h"
#include "tools/text.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct step {
	struct bytes literal; /* goes first */
	bool has_key;
	unsigned id;
	bool plain;       /* empty spec */
	const char *spec; /* as given: a strftime format for times */
	struct bytes spec_bytes;
	struct py_spec parsed;
	struct step *next;
};

struct format {
	struct step *first;
	uint64_t used;
	struct arena arena;
};

static const struct {
	const char *name, *text;
	size_t len;
} literal_keys[] = {
	{ "NEWLINE", "\n", 1 }, { "NL", "\n", 1 }, { "NUL", "\0", 1 }, { "SPACE", " ", 1 },
	{ "TAB", "\t", 1 },     { "CR", "\r", 1 }, { "LF", "\n", 1 },
};

static int find_key(struct bytes name, const struct format_key *keys, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (bytes_is(name, keys[i].name))
			return (int)keys[i].id;
	return -1;
}

/* 1 where the field is a literal key, whose formatted text was appended. */
static int put_literal_key(const struct py_field *field, struct buf *out, struct err *e)
{
	struct py_spec spec;
	int rc;

	for (size_t i = 0; i < sizeof(literal_keys) / sizeof(literal_keys[0]); i++) {
		struct bytes text = { (const uint8_t *)literal_keys[i].text,
				      literal_keys[i].len };

		if (!bytes_is(field->key, literal_keys[i].name))
			continue;
		rc = py_spec_parse(field->spec, &spec, e);
		if (rc == 0)
			rc = py_format_text(&spec, text, out, e);
		return rc < 0 ? rc : 1;
	}
	return 0;
}

static int add_key(struct format *f, struct step *step, const struct py_field *field,
		   const struct format_key *keys, size_t key_count, struct err *e)
{
	int id = find_key(field->key, keys, key_count);

	if (id < 0)
		return err_set(e, EINVAL, "Unknown key in format: '%.*s'", (int)field->key.len,
			       (const char *)field->key.p);
	if (field->conversion.len && !bytes_is(field->conversion, "s"))
		return err_set(e, EINVAL, "Unsupported conversion in format: '!%.*s'",
			       (int)field->conversion.len, (const char *)field->conversion.p);
	assert(id < 64);
	f->used |= UINT64_C(1) << id;
	step->has_key = true;
	step->id = (unsigned)id;
	step->plain = field->spec.len == 0;
	step->spec = arena_dup(&f->arena, field->spec);
	if (!step->spec)
		return err_nomem(e, "format");
	step->spec_bytes = bytes_str(step->spec);
	/* A time's spec is free text, so a spec that is none for others is refused on use. */
	if (py_spec_parse(step->spec_bytes, &step->parsed, NULL) < 0)
		step->parsed.type = '?';
	return 0;
}

static int keep_literal(struct format *f, struct step *step, const struct buf *text)
{
	char *copy = arena_dup(&f->arena, buf_bytes(text));

	if (!copy)
		return -ENOMEM;
	step->literal = (struct bytes){ (const uint8_t *)copy, text->len };
	return 0;
}

static struct step *add_step(struct format *f, struct step ***end)
{
	struct step *step = arena_zalloc(&f->arena, 1, sizeof(*step));

	if (step) {
		**end = step;
		*end = &step->next;
	}
	return step;
}

static int compile(struct format *f, const char *text, const struct format_key *keys,
		   size_t key_count, struct err *e)
{
	CLEANUP(buf_fini) struct buf literal = BUF_INIT;
	struct bytes rest = bytes_str(text);
	struct step **end = &f->first, *step;
	struct py_field field;
	int rc;

	while ((rc = py_field_next(&rest, &field, e)) > 0) {
		if (py_literal(field.literal, &literal) < 0)
			return err_nomem(e, "format");
		rc = field.has_key ? put_literal_key(&field, &literal, e) : 1;
		if (rc < 0)
			return rc;
		if (rc == 1 && rest.len)
			continue;
		step = add_step(f, &end);
		if (!step || keep_literal(f, step, &literal) < 0)
			return err_nomem(e, "format");
		literal.len = 0;
		if (rc == 0 && (rc = add_key(f, step, &field, keys, key_count, e)) < 0)
			return rc;
	}
	return rc;
}

int format_compile(struct format **out, const char *text, const struct format_key *keys,
		   size_t key_count, struct err *e)
{
	CLEANUP(format_freep) struct format *f = calloc(1, sizeof(*f));
	int rc;

	if (!f)
		return err_nomem(e, "format");
	rc = compile(f, text, keys, key_count, e);
	if (rc < 0)
		return rc;
	*out = TAKE(f);
	return 0;
}

void format_free(struct format *f)
{
	if (f)
		arena_fini(&f->arena);
	free(f);
}

bool format_uses(const struct format *f, unsigned id)
{
	return f->used >> id & 1;
}

static int put_text(const struct step *step, struct bytes value, struct buf *out, struct err *e)
{
	CLEANUP(buf_fini) struct buf scratch = BUF_INIT;
	struct bytes shown = text_clean(value, &scratch);

	if (step->plain)
		return buf_append(out, shown.p, shown.len) < 0 ? err_nomem(e, "format") : 0;
	return py_format_text(&step->parsed, shown, out, e);
}

static int put_value(const struct step *step, const struct format_value *v, struct buf *out,
		     struct err *e)
{
	int rc = 0;

	switch (v->kind) {
	case FORMAT_TEXT: return put_text(step, v->text, out, e);
	case FORMAT_INT: return py_format_int(&step->parsed, v->number, out, e);
	case FORMAT_TIME:
		rc = step->plain ? time_text(v->number, out)
				 : time_format(v->number, false, step->spec, out);
		break;
	}
	return rc < 0 ? err_nomem(e, "format") : 0;
}

int format_put(const struct format *f, format_get *get, void *arg, struct buf *out,
	       struct err *e)
{
	for (const struct step *step = f->first; step; step = step->next) {
		struct format_value value = { .kind = FORMAT_TEXT };
		int rc;

		if (buf_append(out, step->literal.p, step->literal.len) < 0)
			return err_nomem(e, "format");
		if (!step->has_key)
			continue;
		rc = get(arg, step->id, &value, e);
		if (rc == 0)
			rc = put_value(step, &value, out, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}
