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
	bool has_archive, ssh;
};

static struct bytes upto(const char *from, const char *to)
{
	return (struct bytes){ (const uint8_t *)from, (size_t)(to - from) };
}

/* PATH[::ARCHIVE] to the end of the text. */
static bool path_and_archive(const char *s, struct parts *p)
{
	const char *colons = strstr(s, "::");

	p->path = colons ? upto(s, colons) : bytes_str(s);
	if (p->path.len == 0)
		return false;
	if (!colons)
		return true;
	p->archive = bytes_str(colons + 2);
	p->has_archive = true;
	return p->archive.len > 0 && !memchr(p->archive.p, '/', p->archive.len);
}

/* [USER@]HOST; the text up to `end` is all of it. */
static bool user_and_host(const char *s, const char *end, struct parts *p)
{
	const char *at = memchr(s, '@', (size_t)(end - s));

	if (at) {
		p->user = upto(s, at);
		if (p->user.len == 0 || memchr(s, ':', p->user.len) ||
		    memchr(s, '/', p->user.len))
			return false;
		s = at + 1;
	}
	p->host = upto(s, end);
	if (p->host.len == 0 || memchr(s, '/', p->host.len))
		return false;
	if (*s == '[')
		return end[-1] == ']' && p->host.len > 2;
	return !memchr(s, ':', p->host.len);
}

/* The end of [USER@]HOST: behind the bracket of an IPv6 address, else the first : or /. */
static const char *host_end(const char *s)
{
	const char *at = strpbrk(s, "@/"), *from = at && *at == '@' ? at + 1 : s;
	const char *close = *from == '[' ? strchr(from, ']') : NULL;

	return close ? close + 1 : from + strcspn(from, ":/");
}

static bool parse_ssh(const char *s, struct parts *p)
{
	const char *end;

	if (strncmp(s, "ssh://", 6) != 0)
		return false;
	s += 6;
	end = host_end(s);
	if (!user_and_host(s, end, p))
		return false;
	if (*end == ':') {
		size_t digits = strspn(end + 1, "0123456789");

		if (digits == 0)
			return false;
		p->port = upto(end + 1, end + 1 + digits);
		end += 1 + digits;
	}
	p->ssh = true;
	return *end == '/' && path_and_archive(end, p);
}

static bool parse_file(const char *s, struct parts *p)
{
	if (strncmp(s, "file://", 7) != 0)
		return false;
	return strchr(s + 7, '/') && path_and_archive(s + 7, p);
}

static bool parse_scp(const char *s, struct parts *p)
{
	const char *end = host_end(s);

	if (*end != ':' || end[1] == ':' || !user_and_host(s, end, p))
		return false;
	p->ssh = true;
	if (strncmp(end + 1, "//", 2) == 0 || strncmp(end + 1, "ssh://", 6) == 0)
		return false;
	return path_and_archive(end + 1, p);
}

static bool parse_local(const char *s, struct parts *p)
{
	if (*s == ':' || strncmp(s, "//", 2) == 0 || strncmp(s, "ssh://", 6) == 0)
		return false;
	return path_and_archive(s, p);
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

/* Remove ".", ".." and doubled slashes; a leading "/./" stays, it means relative to the
 * server's folder. */
static char *normalise(struct bytes path)
{
	char *out = malloc(path.len + 4);
	bool absolute = path.p[0] == '/';
	bool on_server = path.len > 2 && memcmp(path.p, "/./", 3) == 0;
	size_t n = 0, floor, i = 0;

	if (!out)
		return NULL;
	if (absolute)
		out[n++] = '/';
	if (on_server)
		n += (size_t)sprintf(out + n, "./");
	floor = n; /* ".." never goes above here */
	while (i < path.len) {
		const uint8_t *part = path.p + i;
		size_t len = 0;

		while (i + len < path.len && part[len] != '/')
			len++;
		i += len + 1;
		if (len == 0 || (len == 1 && part[0] == '.'))
			continue;
		if (len == 2 && memcmp(part, "..", 2) == 0 && (n > floor || absolute)) {
			while (n > floor && out[n - 1] == '/')
				n--;
			while (n > floor && out[n - 1] != '/')
				n--;
			continue;
		}
		if (n > 0 && out[n - 1] != '/')
			out[n++] = '/';
		memcpy(out + n, part, len);
		n += len;
		if (len == 2 && memcmp(part, "..", 2) == 0)
			floor = n + 1; /* a relative path that climbs */
	}
	while (n > 1 && out[n - 1] == '/')
		n--;
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

static int take(struct location *out, const struct parts *p)
{
	*out = (struct location){ .proto = p->ssh ? LOCATION_SSH : LOCATION_FILE };
	out->path = normalise(p->path);
	if (!out->path || keep(&out->user, p->user) < 0 || keep(&out->host, p->host) < 0 ||
	    keep(&out->port, p->port) < 0 || keep(&out->archive, p->archive) < 0) {
		location_fini(out);
		return -ENOMEM;
	}
	return 0;
}

int location_parse(struct location *out, const char *text, const char *fallback, struct err *e)
{
	struct parts p;
	bool archive_only = strncmp(text, "::", 2) == 0;

	*out = (struct location){ 0 };
	if (*text && !archive_only && parse(text, &p))
		return take(out, &p) < 0 ? err_nomem(e, "location") : 0;
	if ((*text == '\0' || archive_only) && fallback && *fallback && parse(fallback, &p) &&
	    !p.has_archive) {
		if (text[0] && text[2]) {
			p.archive = bytes_str(text + 2);
			if (memchr(p.archive.p, '/', p.archive.len))
				return err_set(e, EINVAL, "Invalid location format: \"%s\"",
					       text);
		}
		return take(out, &p) < 0 ? err_nomem(e, "location") : 0;
	}
	return err_set(e, EINVAL, "Invalid location format: \"%s\"", text);
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
