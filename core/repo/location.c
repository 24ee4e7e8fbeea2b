/*
 * location.c - see location.h for the grammar's source.
 *
 * The forms are tried in Borg's order: ssh://, file://, local absolute, scp style, local.
 */

#include "core/repo/location.h"

#include "core/base/bytes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What one form's text falls into; all borrowed. */
struct parts {
	struct bytes user, host, port, path, archive;
	bool ssh;
};

static struct bytes upto(const char *from, const char *to)
{
	return (struct bytes){ (const uint8_t *)from, (size_t)(to - from) };
}

/* PATH[::ARCHIVE] to the end of the text; `fixed` bytes are the path's, and something follows. */
static bool path_and_archive(const char *s, size_t fixed, struct parts *p)
{
	const char *colons = strstr(s + fixed, "::");

	p->path = colons ? upto(s, colons) : bytes_str(s);
	if (p->path.len <= fixed)
		return false;
	if (!colons)
		return true;
	p->archive = bytes_str(colons + 2);
	return p->archive.len > 0 && !memchr(p->archive.p, '/', p->archive.len);
}

/* A name or an address in brackets, which must end at one of `stops`; NULL where there is none. */
static const char *take_host(const char *s, const char *stops, struct parts *p)
{
	const char *end;

	if (*s == '[') {
		end = s + 1 + strspn(s + 1, "0123456789abcdefABCDEF:.");
		if (end == s + 1 || *end++ != ']')
			return NULL;
	} else {
		end = s + strcspn(s, ":/");
		if (end == s || end[-1] == ']')
			return NULL;
	}
	p->host = upto(s, end);
	return *end && strchr(stops, *end) ? end : NULL;
}

/* [USER@]HOST.  What is not a user's name before the @ belongs to the host's. */
static const char *take_user_and_host(const char *s, const char *stops, struct parts *p)
{
	const char *at = s + strcspn(s, "@:/"), *end;

	if (*at == '@' && at > s) {
		p->user = upto(s, at);
		end = take_host(at + 1, stops, p);
		if (end)
			return end;
		p->user = (struct bytes){ 0 };
	}
	return take_host(s, stops, p);
}

static bool parse_ssh(const char *s, struct parts *p)
{
	const char *end;

	if (strncmp(s, "ssh://", 6) != 0)
		return false;
	end = take_user_and_host(s + 6, ":/", p);
	if (!end)
		return false;
	if (*end == ':') {
		size_t digits = strspn(end + 1, "0123456789");

		if (digits == 0)
			return false;
		p->port = upto(end + 1, end + 1 + digits);
		end += 1 + digits;
	}
	p->ssh = true;
	return *end == '/' && path_and_archive(end, 1, p);
}

/* A server's name before the path's slash is part of the path. */
static bool parse_file(const char *s, struct parts *p)
{
	const char *slash;

	if (strncmp(s, "file://", 7) != 0)
		return false;
	slash = strchr(s + 7, '/');
	return slash && path_and_archive(s + 7, (size_t)(slash - s - 7) + 1, p);
}

static bool path_may_start(const char *s)
{
	return *s != ':' && strncmp(s, "//", 2) != 0 && strncmp(s, "ssh://", 6) != 0;
}

static bool parse_scp(const char *s, struct parts *p)
{
	const char *end = take_user_and_host(s, ":", p);

	p->ssh = true;
	return end && path_may_start(end + 1) && path_and_archive(end + 1, 0, p);
}

static bool parse_local(const char *s, struct parts *p)
{
	return path_may_start(s) && path_and_archive(s, 0, p);
}

static bool parse(const char *s, struct parts *p)
{
	bool (*const forms[])(const char *, struct parts *) = { parse_ssh, parse_file,
								parse_scp, parse_local };

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		*p = (struct parts){ 0 };
		if (forms[i](s, p))
			return true;
	}
	return false;
}

/* Lay the parts of a path behind out[0..n), which ".." cannot remove.  Returns the new length. */
static size_t lay_parts(char *out, size_t n, struct bytes path, bool absolute)
{
	size_t floor = n, len;

	for (size_t i = 0; i < path.len; i += len + 1) {
		const uint8_t *part = path.p + i;
		const uint8_t *slash = memchr(part, '/', path.len - i);
		bool up;

		len = slash ? (size_t)(slash - part) : path.len - i;
		up = len == 2 && memcmp(part, "..", 2) == 0;
		if (len == 0 || (len == 1 && part[0] == '.') || (up && absolute && n == floor))
			continue;
		if (up && n > floor) {
			while (n > floor && out[--n] != '/')
				;
			continue;
		}
		if (n > 0 && out[n - 1] != '/')
			out[n++] = '/';
		memcpy(out + n, part, len);
		n += len;
		if (up)
			floor = n; /* a relative path that climbs */
	}
	return n;
}

/* As Python's normpath(): without ".", "..", doubled slashes (but two at the start are kept).  A
 * leading "/./" stays, it means relative to the server's folder. */
static char *normalise(struct bytes path)
{
	char *out = malloc(path.len + 4);
	size_t slashes = 0, n;

	if (!out)
		return NULL;
	while (slashes < path.len && path.p[slashes] == '/')
		slashes++;
	n = slashes == 2 ? 2 : slashes > 0;
	memcpy(out, "//", 2);
	if (path.len >= 3 && memcmp(path.p, "/./", 3) == 0) {
		memcpy(out, "/./", 3);
		n = 3;
	}
	n = lay_parts(out, n, path, slashes > 0);
	if (n == 0)
		out[n++] = '.';
	out[n] = '\0';
	return out;
}

static int keep(char **out, struct bytes b)
{
	if (b.len == 0)
		return 0;
	*out = bytes_dup(b);
	return *out ? 0 : -ENOMEM;
}

/* A number: no leading zeros, and 0 is none. */
static struct bytes port_digits(struct bytes port)
{
	while (port.len && port.p[0] == '0')
		port.p++, port.len--;
	return port;
}

static int take(struct location *out, const struct parts *p, struct err *e)
{
	*out = (struct location){ .proto = p->ssh ? LOCATION_SSH : LOCATION_FILE };
	out->path = normalise(p->path);
	if (!out->path || keep(&out->user, p->user) < 0 || keep(&out->host, p->host) < 0 ||
	    keep(&out->port, port_digits(p->port)) < 0 || keep(&out->archive, p->archive) < 0) {
		location_fini(out);
		return err_nomem(e, "location");
	}
	return 0;
}

/* "", "::" or "::ARCHIVE": the repository is the fallback's, whatever archive that names. */
static bool wants_fallback(const char *text)
{
	return *text == '\0' || (strncmp(text, "::", 2) == 0 && !strchr(text, '/'));
}

int location_parse(struct location *out, const char *text, const char *fallback, struct err *e)
{
	const char *archive;
	struct parts p;

	*out = (struct location){ 0 };
	if (parse(text, &p))
		return take(out, &p, e);
	if (!wants_fallback(text) || !fallback)
		return err_set(e, EINVAL, "Invalid location format: \"%s\"", text);
	archive = *text ? text + 2 : "";
	if (!parse(fallback, &p))
		return err_set(e, EINVAL, "Invalid location format: \"%s%s%s\"", fallback,
			       *archive ? "::" : "", archive);
	p.archive = bytes_str(archive);
	return take(out, &p, e);
}

void location_fini(struct location *l)
{
	free(l->user);
	free(l->host);
	free(l->port);
	free(l->path);
	free(l->archive);
	*l = (struct location){ 0 };
}

static char *canonical_ssh(const struct location *l)
{
	const char *path = l->path;
	const char *lead = path[0] == '/' ? "" : path[0] == '~' ? "/" : "/./";
	char *out;

	if (asprintf(&out, "ssh://%s%s%s%s%s%s%s", l->user ? l->user : "", l->user ? "@" : "",
		     l->host, l->port ? ":" : "", l->port ? l->port : "", lead, path) < 0)
		return NULL;
	return out;
}

char *location_canonical(const struct location *l)
{
	char *cwd, *joined, *out;

	if (l->proto == LOCATION_SSH)
		return canonical_ssh(l);
	if (l->path[0] == '/')
		return strdup(l->path);
	cwd = getcwd(NULL, 0);
	if (!cwd || asprintf(&joined, "%s/%s", cwd, l->path) < 0) {
		free(cwd);
		return NULL;
	}
	out = normalise(bytes_str(joined));
	free(joined);
	free(cwd);
	return out;
}
