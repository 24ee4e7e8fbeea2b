/* compression.c - the value of -C, as Borg's CompressionSpec takes it; see compress.h. */

#include "core/codec/compress.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 8, TEXT_MAX = 256 };

static const struct row {
	const char *name;
	enum compress_method method;
	int level_min, level_max, level; /* 0, 0: there is none, and what follows is ignored */
} rows[] = {
	{ "none", COMPRESS_NONE, 0, 0, 0 },  { "lz4", COMPRESS_LZ4, 0, 0, 0 },
	{ "zstd", COMPRESS_ZSTD, 1, 22, 3 }, { "zlib", COMPRESS_ZLIB, 0, 9, 6 },
	{ "lzma", COMPRESS_LZMA, 0, 9, 6 },
};

/* A text cut at its commas. */
struct words {
	char text[TEXT_MAX];
	char *v[WORDS_MAX];
	size_t count, at;
};

static bool split(struct words *w, const char *text)
{
	char *rest = w->text;

	*w = (struct words){ 0 };
	if (strlen(text) >= sizeof(w->text))
		return false;
	strcpy(w->text, text);
	while (rest) {
		if (w->count == WORDS_MAX)
			return false;
		w->v[w->count++] = strsep(&rest, ",");
	}
	return true;
}

static size_t left(const struct words *w)
{
	return w->count - w->at;
}

/* Python's int(): blanks around it, an optional sign, digits. */
static bool take_int(struct words *w, int *out)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(w->v[w->at], &end, 10);
	if (end == w->v[w->at] || end[strspn(end, " \t\n\r\v\f")] || errno || value < -1000 ||
	    value > 1000)
		return false;
	w->at++;
	*out = (int)value;
	return true;
}

static const struct row *row_of(const char *name)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	return NULL;
}

/* NAME[,LEVEL] */
static bool take_method(struct words *w, struct compression *out)
{
	const struct row *row = left(w) ? row_of(w->v[w->at++]) : NULL;

	if (!row)
		return false;
	out->method = row->method;
	out->level = row->level;
	if (row->level_max == 0 || left(w) == 0)
		return true;
	return left(w) == 1 && take_int(w, &out->level) && out->level >= row->level_min &&
	       out->level <= row->level_max;
}

/* [auto,]NAME[,LEVEL].  Borg takes "auto" twice too; once more it decides the same again. */
static bool take_auto(struct words *w, struct compression *out)
{
	while (left(w) > 0 && strcmp(w->v[w->at], "auto") == 0) {
		w->at++;
		if (left(w) < 1 || left(w) > 2)
			return false;
		out->is_auto = true;
	}
	return take_method(w, out);
}

/* [obfuscate,SPEC,][auto,]NAME[,LEVEL].  Borg would obfuscate twice; readers need not follow. */
static bool take_all(struct words *w, struct compression *out)
{
	int spec;

	if (strcmp(w->v[0], "obfuscate") != 0)
		return take_auto(w, out);
	w->at = 1;
	if (left(w) < 2 || !take_int(w, &spec))
		return false;
	if (!(spec >= 1 && spec <= 6) && !(spec >= 110 && spec <= 123) && spec != 250)
		return false;
	out->obfuscate = spec;
	return take_auto(w, out);
}

int compression_parse(const char *text, struct compression *out, struct err *e)
{
	struct words words;

	*out = (struct compression){ 0 };
	if (!split(&words, text) || !take_all(&words, out))
		return err_set(e, EINVAL, "invalid CompressionSpec value: '%s'", text);
	return 0;
}

bool compression_equal(const struct compression *a, const struct compression *b)
{
	return a->method == b->method && a->level == b->level && a->is_auto == b->is_auto &&
	       a->obfuscate == b->obfuscate;
}

const char *compression_format(const struct compression *how, char out[static COMPRESSION_TEXT])
{
	const struct row *row = rows;
	char before[24] = "", behind[16] = "";

	while (row->method != how->method)
		row++;
	if (how->obfuscate)
		snprintf(before, sizeof(before), "obfuscate,%d,", how->obfuscate);
	if (row->level_max > 0)
		snprintf(behind, sizeof(behind), ",%d", how->level);
	snprintf(out, COMPRESSION_TEXT, "%s%s%s%s", before, how->is_auto ? "auto," : "",
		 row->name, behind);
	return out;
}
