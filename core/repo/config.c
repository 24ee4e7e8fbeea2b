/*
 * config.c - see config.h.
 *
 * Lines are taken apart as Python's configparser would, without interpolation: `name = value`
 * or `name: value`, names in any case, full-line comments with # or ;, a line that starts with
 * white space continues the value above it.
 */

#include "core/repo/config.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { OPTIONS_MAX = 64 };

struct option {
	char *name, *value; /* heap, NUL-terminated */
};

struct ini {
	struct option options[OPTIONS_MAX];
	size_t count;
	bool in_section, has_section;
	bool continues; /* the line above is an option's, or goes on with one */
};

static void ini_fini(struct ini *ini)
{
	for (size_t i = 0; i < ini->count; i++) {
		free(ini->options[i].name);
		free(ini->options[i].value);
	}
}

static struct bytes trim(struct bytes b)
{
	while (b.len && isspace(b.p[0]))
		b.p++, b.len--;
	while (b.len && isspace(b.p[b.len - 1]))
		b.len--;
	return b;
}

static char *lookup(const struct ini *ini, const char *name)
{
	for (size_t i = 0; i < ini->count; i++)
		if (strcmp(ini->options[i].name, name) == 0)
			return ini->options[i].value;
	return NULL;
}

static int add_option(struct ini *ini, struct bytes line, struct err *e)
{
	size_t at = 0;
	struct option *o = &ini->options[ini->count];

	while (at < line.len && line.p[at] != '=' && line.p[at] != ':')
		at++;
	if (at == line.len || at == 0)
		return err_set(e, EBADMSG, "config: a line without a value");
	if (ini->count == OPTIONS_MAX)
		return err_set(e, EBADMSG, "config: more than %d options", OPTIONS_MAX);
	o->name = bytes_dup(trim((struct bytes){ line.p, at }));
	o->value = bytes_dup(trim((struct bytes){ line.p + at + 1, line.len - at - 1 }));
	if (!o->name || !o->value) {
		free(o->name);
		free(o->value);
		return err_nomem(e, "config");
	}
	for (char *p = o->name; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	if (lookup(ini, o->name)) {
		free(o->name);
		free(o->value);
		return err_set(e, EBADMSG, "config: an option twice");
	}
	ini->count++;
	return 0;
}

static int continue_option(struct ini *ini, struct bytes line, struct err *e)
{
	struct option *o = &ini->options[ini->count - 1];
	size_t before = strlen(o->value);
	char *longer = realloc(o->value, before + 1 + line.len + 1);

	if (!longer)
		return err_nomem(e, "config");
	longer[before] = '\n';
	memcpy(longer + before + 1, line.p, line.len);
	longer[before + 1 + line.len] = '\0';
	o->value = longer;
	return 0;
}

static int take_line(struct ini *ini, struct bytes line, struct err *e)
{
	struct bytes text = trim(line);

	if (text.len == 0 || text.p[0] == '#' || text.p[0] == ';')
		return 0;
	if (memchr(text.p, '\0', text.len))
		return err_set(e, EBADMSG, "config: not a text file");
	if (isspace(line.p[0]) && ini->continues)
		return ini->in_section ? continue_option(ini, text, e) : 0;
	ini->continues = text.p[0] != '[';
	if (!ini->continues) {
		const uint8_t *end = memchr(text.p, ']', text.len);
		size_t len = end ? (size_t)(end - text.p) + 1 : text.len;

		ini->in_section = bytes_is((struct bytes){ text.p, len }, "[repository]");
		if (ini->in_section && ini->has_section)
			return err_set(e, EBADMSG, "config: a section twice");
		ini->has_section |= ini->in_section;
		return 0;
	}
	return ini->in_section ? add_option(ini, text, e) : 0;
}

static int parse_ini(struct ini *ini, struct bytes text, struct err *e)
{
	while (text.len > 0) {
		const uint8_t *newline = memchr(text.p, '\n', text.len);
		size_t len = newline ? (size_t)(newline - text.p) : text.len;
		int rc = take_line(ini, (struct bytes){ text.p, len }, e);

		if (rc < 0)
			return rc;
		len += newline != NULL;
		text = (struct bytes){ text.p + len, text.len - len };
	}
	return 0;
}

/* A decimal number, whole or not, with one optional suffix, powers of 1000. */
static bool file_size(const char *s, uint64_t *out)
{
	static const char suffixes[] = "KMGTP";
	size_t digits = strspn(s, "0123456789."); /* neither signs, exponents nor hex */
	char *end;
	double v = strtod(s, &end);
	const char *unit = end + strspn(end, " ");
	const char *suffix = *unit ? strchr(suffixes, *unit) : NULL;

	if (digits == 0 || end != s + digits || (*unit && (!suffix || unit[1])))
		return false;
	for (; suffix && suffix >= suffixes; suffix--)
		v *= 1000;
	if (v >= 18446744073709551616.0)
		return false;
	*out = (uint64_t)v;
	return true;
}

static int size_option(const struct ini *ini, const char *name, bool required, uint64_t *out,
		       struct err *e)
{
	const char *value = lookup(ini, name);

	*out = 0;
	if (!value && !required)
		return 0;
	if (!value || !file_size(value, out))
		return err_set(e, EBADMSG, "config: %s is missing or not a size", name);
	return 0;
}

static int number_option(const struct ini *ini, const char *name, uint64_t max, uint64_t *out,
			 struct err *e)
{
	const char *value = lookup(ini, name);
	char *end = NULL;

	errno = 0;
	*out = value ? strtoull(value, &end, 10) : 0;
	if (!value || !isdigit((unsigned char)value[0]) || *end || errno || *out > max)
		return err_set(e, EBADMSG, "config: %s is missing or not a number", name);
	return 0;
}

static int bool_option(const struct ini *ini, const char *name, bool *out, struct err *e)
{
	static const char *const yes[] = { "1", "yes", "true", "on" };
	static const char *const no[] = { "0", "no", "false", "off" };
	const char *value = lookup(ini, name);

	*out = false;
	if (!value)
		return 0;
	for (size_t i = 0; i < 4; i++) {
		if (strcasecmp(value, yes[i]) == 0) {
			*out = true;
			return 0;
		}
		if (strcasecmp(value, no[i]) == 0)
			return 0;
	}
	return err_set(e, EBADMSG, "config: %s is neither yes nor no", name);
}

static int fill(struct repo_config *out, const struct ini *ini, struct err *e)
{
	const char *key = lookup(ini, "key"), *id = lookup(ini, "id");
	uint64_t version, per_dir;
	int rc;

	if (!ini->has_section)
		return err_set(e, EBADMSG, "no repository section found");
	rc = number_option(ini, "version", UINT32_MAX, &version, e);

	if (rc == 0 && version != 1)
		return err_set(e, ENOTSUP,
			       "repository version %" PRIu64
			       " is not supported by this borg version",
			       version);
	if (rc == 0)
		rc = number_option(ini, "segments_per_dir", UINT32_MAX, &per_dir, e);
	if (rc == 0 && per_dir == 0)
		return err_set(e, EBADMSG, "config: segments_per_dir is 0");
	if (rc == 0)
		rc = size_option(ini, "max_segment_size", true, &out->max_segment_size, e);
	if (rc == 0)
		rc = size_option(ini, "storage_quota", false, &out->storage_quota, e);
	if (rc == 0)
		rc = size_option(ini, "additional_free_space", false,
				 &out->additional_free_space, e);
	if (rc == 0)
		rc = bool_option(ini, "append_only", &out->append_only, e);
	if (rc < 0)
		return rc;
	out->segments_per_dir = (uint32_t)per_dir;
	if (!id || id_parse(&out->id, bytes_str(id)) < 0)
		return err_set(e, EBADMSG, "config: id is missing or not 64 hex digits");
	if (key && *key) {
		out->key = bytes_dup(trim(bytes_str(key)));
		if (!out->key)
			return err_nomem(e, "config");
	}
	return 0;
}

int config_parse(struct repo_config *out, struct bytes text, struct err *e)
{
	struct ini ini = { 0 };
	int rc;

	*out = (struct repo_config){ 0 };
	rc = parse_ini(&ini, text, e);
	if (rc == 0)
		rc = fill(out, &ini, e);
	ini_fini(&ini);
	if (rc < 0)
		config_fini(out);
	return rc;
}

void config_fini(struct repo_config *c)
{
	free(c->key);
	*c = (struct repo_config){ 0 };
}
