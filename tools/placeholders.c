/* placeholders.c - see placeholders.h. */

#include "tools/placeholders.h"

#include "core/base/cleanup.h"
#include "core/base/version.h"
#include "core/platform/host.h"
#include "tools/pyformat.h"
#include "tools/strftime.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { NAME_BYTES = 1024 };

static void host_name(char out[NAME_BYTES])
{
	if (gethostname(out, NAME_BYTES) < 0)
		out[0] = 0;
	out[NAME_BYTES - 1] = 0;
}

static void full_name(char out[NAME_BYTES])
{
	CLEANUP(cleanup_freep) char *name = NULL;

	if (host_fqdn(&name, NULL) < 0)
		host_name(out);
	else
		snprintf(out, NAME_BYTES, "%s", name);
}

static void reverse_labels(const char *name, char out[NAME_BYTES])
{
	size_t end = strlen(name), n = 0;

	while (end > 0 && n + 1 < NAME_BYTES) {
		size_t start = end;

		while (start > 0 && name[start - 1] != '.')
			start--;
		n += (size_t)snprintf(out + n, NAME_BYTES - n, "%s%.*s", n ? "." : "",
				      (int)(end - start), name + start);
		end = start > 0 ? start - 1 : 0;
	}
	out[n < NAME_BYTES ? n : NAME_BYTES - 1] = 0;
}

static void user_name(char out[NAME_BYTES])
{
	const struct passwd *entry = getpwuid(geteuid());

	if (entry)
		snprintf(out, NAME_BYTES, "%s", entry->pw_name);
	else
		snprintf(out, NAME_BYTES, "%u", (unsigned)geteuid());
}

static void random_uuid(char out[NAME_BYTES])
{
	uint8_t r[16] = { 0 };
	char hex[33];

	if (getrandom(r, sizeof(r), 0) != (ssize_t)sizeof(r))
		memset(r, 0, sizeof(r));
	r[6] = (uint8_t)((r[6] & 0x0f) | 0x40);
	r[8] = (uint8_t)((r[8] & 0x3f) | 0x80);
	hex_encode(r, sizeof(r), hex);
	snprintf(out, NAME_BYTES, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
		 hex + 20);
}

/* BORG_VERSION up to its n-th dot. */
static void version_part(int parts, char out[NAME_BYTES])
{
	const char *end = BORG_VERSION;

	while (parts-- > 0 && *end)
		end += strcspn(end, ".") + (parts > 0 && strchr(end, '.') ? 1 : 0);
	snprintf(out, NAME_BYTES, "%.*s", (int)(end - BORG_VERSION), BORG_VERSION);
}

static bool text_value(struct bytes key, char out[NAME_BYTES])
{
	char name[NAME_BYTES];

	if (bytes_is(key, "hostname")) {
		host_name(out);
		out[strcspn(out, ".")] = 0;
	} else if (bytes_is(key, "fqdn")) {
		full_name(out);
	} else if (bytes_is(key, "reverse-fqdn")) {
		full_name(name);
		reverse_labels(name, out);
	} else if (bytes_is(key, "user")) {
		user_name(out);
	} else if (bytes_is(key, "uuid4")) {
		random_uuid(out);
	} else if (bytes_is(key, "borgversion") || bytes_is(key, "borgpatch")) {
		version_part(3, out);
	} else if (bytes_is(key, "borgminor")) {
		version_part(2, out);
	} else if (bytes_is(key, "borgmajor")) {
		version_part(1, out);
	} else {
		return false;
	}
	return true;
}

static int64_t clock_ns(int64_t now_ns)
{
	struct timespec now;

	if (now_ns)
		return now_ns;
	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int put_time(const struct py_field *field, int64_t ns, bool utc, struct buf *out)
{
	CLEANUP(cleanup_freep) char *format = bytes_dup(field->spec);

	if (!format)
		return -ENOMEM;
	return time_format(ns - ns % 1000, utc, *format ? format : "%Y-%m-%dT%H:%M:%S", out);
}

static int put_field(const struct py_field *field, const char *text, int64_t now_ns,
		     struct buf *out, struct err *e)
{
	bool utc = bytes_is(field->key, "utcnow");
	char value[NAME_BYTES];
	struct py_spec spec;
	int rc;

	if (field->conversion.len == 0 && (utc || bytes_is(field->key, "now"))) {
		rc = put_time(field, clock_ns(now_ns), utc, out);
		return rc < 0 ? err_nomem(e, "placeholder") : 0;
	}
	rc = py_spec_parse(field->spec, &spec, e);
	if (rc < 0)
		return rc;
	if (field->conversion.len == 0 && bytes_is(field->key, "pid"))
		return py_format_int(&spec, getpid(), out, e);
	if (field->conversion.len == 0 && bytes_is(field->key, "unixtime"))
		return py_format_int(&spec, clock_ns(now_ns) / 1000000000, out, e);
	if (field->conversion.len || !text_value(field->key, value))
		return err_set_id(e, EINVAL, "InvalidPlaceholder",
				  "Invalid placeholder \"%.*s\" in string: %s",
				  (int)field->key.len, (const char *)field->key.p, text);
	return py_format_text(&spec, bytes_str(value), out, e);
}

int placeholders_replace(const char *text, int64_t now_ns, struct buf *out, struct err *e)
{
	struct bytes rest = bytes_str(text);
	struct py_field field;
	int rc;

	while ((rc = py_field_next(&rest, &field, e)) > 0) {
		if (py_literal(field.literal, out) < 0)
			return err_nomem(e, "placeholders");
		if (!field.has_key)
			continue;
		rc = put_field(&field, text, now_ns, out, e);
		if (rc < 0)
			return rc;
	}
	return rc;
}

int arg_placeholders(void *field, const char *text, struct err *e)
{
	CLEANUP(buf_fini) struct buf out = BUF_INIT;
	char **target = field;
	int rc = placeholders_replace(text, 0, &out, e);

	if (rc < 0)
		return rc;
	free(*target);
	*target = bytes_dup(buf_bytes(&out));
	return *target ? 0 : err_nomem(e, "arguments");
}
