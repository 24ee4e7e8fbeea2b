/*
 * test_location.c - every form of a location, and how its path is normalised.
 *
 * The rows are what borg 1.2.4's helpers.Location makes of the same texts (proto, user, _host,
 * port, path, archive, and canonical_path() of those on other hosts).
 */

#include "tests/support/tap.h"

#include "core/repo/location.h"

#include <unistd.h>

static const struct row {
	const char *name;     /* the text */
	const char *fallback; /* $BORG_REPO */
	const char *user, *host, *port, *path, *archive;
	const char *canonical; /* of ssh locations */
	const char *refused;   /* the message */
} rows[] = {
	{ "/a", .path = "/a" },
	{ "/a/b/../c", .path = "/a/c" },
	{ "/a//b/./c/", .path = "/a/b/c" },
	{ "/a::x", .path = "/a", .archive = "x" },
	{ "/a::", .refused = "Invalid location format: \"/a::\"" },
	{ "::x", .refused = "Invalid location format: \"::x\"" },
	{ "::", .refused = "Invalid location format: \"::\"" },
	{ "", .refused = "Invalid location format: \"\"" },
	{ "/a::b/c", .refused = "Invalid location format: \"/a::b/c\"" },
	{ "a::b::c", .path = "a", .archive = "b::c" },
	{ "rel", .path = "rel" },
	{ "./rel", .path = "rel" },
	{ "rel/../x", .path = "x" },
	{ "../x", .path = "../x" },
	{ "../../x/..", .path = "../.." },
	{ "x/../..", .path = ".." },
	{ "..", .path = ".." },
	{ "/..", .path = "/" },
	{ "/../a", .path = "/a" },
	{ "/", .path = "/" },
	{ ".", .path = "." },
	{ "a/..", .path = "." },
	{ "/./a", .path = "/./a" },
	{ "/./a/../..", .path = "/./" },
	{ "/.//a", .path = "/./a" },
	{ "//a", .refused = "Invalid location format: \"//a\"" },
	{ "//a/b", .refused = "Invalid location format: \"//a/b\"" },
	{ "///a", .refused = "Invalid location format: \"///a\"" },
	{ "ssh://h/p", .host = "h", .path = "/p", .canonical = "ssh://h/p" },
	{ "ssh://u@h/p", .user = "u", .host = "h", .path = "/p", .canonical = "ssh://u@h/p" },
	{ "ssh://u@h:22/p", .user = "u", .host = "h", .port = "22", .path = "/p",
	  .canonical = "ssh://u@h:22/p" },
	{ "ssh://h:/p", .refused = "Invalid location format: \"ssh://h:/p\"" },
	{ "ssh://h:x/p", .refused = "Invalid location format: \"ssh://h:x/p\"" },
	{ "ssh://h", .refused = "Invalid location format: \"ssh://h\"" },
	{ "ssh://h/", .refused = "Invalid location format: \"ssh://h/\"" },
	{ "ssh://[::1]/p", .host = "[::1]", .path = "/p", .canonical = "ssh://[::1]/p" },
	{ "ssh://u@[::1]:22/p::a", .user = "u", .host = "[::1]", .port = "22", .path = "/p",
	  .archive = "a", .canonical = "ssh://u@[::1]:22/p" },
	{ "ssh://[::1/p", .refused = "Invalid location format: \"ssh://[::1/p\"" },
	{ "ssh://h/./rel", .host = "h", .path = "/./rel", .canonical = "ssh://h/./rel" },
	{ "ssh://h/~/rel", .host = "h", .path = "/~/rel", .canonical = "ssh://h/~/rel" },
	{ "ssh://h/~u/rel", .host = "h", .path = "/~u/rel", .canonical = "ssh://h/~u/rel" },
	{ "ssh://h/p::a", .host = "h", .path = "/p", .archive = "a", .canonical = "ssh://h/p" },
	{ "ssh://u:x@h/p", .refused = "Invalid location format: \"ssh://u:x@h/p\"" },
	{ "ssh://@h/p", .host = "@h", .path = "/p", .canonical = "ssh://@h/p" },
	{ "ssh://u@/p", .host = "u@", .path = "/p", .canonical = "ssh://u@/p" },
	{ "ssh://h//p", .host = "h", .path = "//p", .canonical = "ssh://h//p" },
	{ "ssh://h/p:q", .host = "h", .path = "/p:q", .canonical = "ssh://h/p:q" },
	{ "ssh://h:22p", .refused = "Invalid location format: \"ssh://h:22p\"" },
	{ "ssh://u@x@h/p", .user = "u", .host = "x@h", .path = "/p",
	  .canonical = "ssh://u@x@h/p" },
	{ "ssh://[abc]/p", .host = "[abc]", .path = "/p", .canonical = "ssh://[abc]/p" },
	{ "ssh://[]/p", .refused = "Invalid location format: \"ssh://[]/p\"" },
	{ "ssh://h/p::a/b", .refused = "Invalid location format: \"ssh://h/p::a/b\"" },
	{ "ssh:///p", .refused = "Invalid location format: \"ssh:///p\"" },
	{ "h:p", .host = "h", .path = "p", .canonical = "ssh://h/./p" },
	{ "h:p::a", .host = "h", .path = "p", .archive = "a", .canonical = "ssh://h/./p" },
	{ "h:/p", .host = "h", .path = "/p", .canonical = "ssh://h/p" },
	{ "u@h:p", .user = "u", .host = "h", .path = "p", .canonical = "ssh://u@h/./p" },
	{ "u@h:~/p", .user = "u", .host = "h", .path = "~/p", .canonical = "ssh://u@h/~/p" },
	{ "u@h:~x/p", .user = "u", .host = "h", .path = "~x/p", .canonical = "ssh://u@h/~x/p" },
	{ "[::1]:p", .host = "[::1]", .path = "p", .canonical = "ssh://[::1]/./p" },
	{ "u@[::1]:/p", .user = "u", .host = "[::1]", .path = "/p",
	  .canonical = "ssh://u@[::1]/p" },
	{ "[::1]:p::a", .host = "[::1]", .path = "p", .archive = "a",
	  .canonical = "ssh://[::1]/./p" },
	{ "u@h:", .path = "u@h:" },
	{ "h:", .path = "h:" },
	{ "h::a", .path = "h", .archive = "a" },
	{ "u@h::a", .path = "u@h", .archive = "a" },
	{ ":p", .refused = "Invalid location format: \":p\"" },
	{ "@h:p", .host = "@h", .path = "p", .canonical = "ssh://@h/./p" },
	{ "u@:p", .host = "u@", .path = "p", .canonical = "ssh://u@/./p" },
	{ "a/b:c", .path = "a/b:c" },
	{ "./a:b", .path = "a:b" },
	{ "a/b:c::d", .path = "a/b:c", .archive = "d" },
	{ "u@a/b:c", .path = "u@a/b:c" },
	{ "/a:b", .path = "/a:b" },
	{ "/a:b::c", .path = "/a:b", .archive = "c" },
	{ "/a@b:c", .path = "/a@b:c" },
	{ "h://p", .path = "h:/p" },
	{ "h:ssh://x/p", .path = "h:ssh:/x/p" },
	{ "h:file:///x", .host = "h", .path = "file:/x", .canonical = "ssh://h/./file:/x" },
	{ "file:///a", .path = "/a" },
	{ "file:///a::b", .path = "/a", .archive = "b" },
	{ "file://srv/a", .path = "srv/a" },
	{ "file://a", .path = "file:/a" },
	{ "file:///", .path = "file:" },
	{ "file:///a/../b", .path = "/b" },
	{ "file:a", .host = "file", .path = "a", .canonical = "ssh://file/./a" },
	{ "x y/z", .path = "x y/z" },
	{ "h:p:q", .host = "h", .path = "p:q", .canonical = "ssh://h/./p:q" },
	{ "h:p:q::r", .host = "h", .path = "p:q", .archive = "r",
	  .canonical = "ssh://h/./p:q" },
	{ "h:::a", .path = "h", .archive = ":a" },
	{ "a:::b", .path = "a", .archive = ":b" },
	{ "/a:::b", .path = "/a", .archive = ":b" },
	{ "/a:::", .path = "/a", .archive = ":" },
	{ "a:b:::c", .host = "a", .path = "b", .archive = ":c", .canonical = "ssh://a/./b" },
	{ "[x]:p", .path = "[x]:p" },
	{ "[:p", .path = "[:p" },
	{ "x[y]:p", .path = "x[y]:p" },
	{ "ssh:/h/p", .host = "ssh", .path = "/h/p", .canonical = "ssh://ssh/h/p" },
	{ "ssh:h", .host = "ssh", .path = "h", .canonical = "ssh://ssh/./h" },
	{ "ssh://", .refused = "Invalid location format: \"ssh://\"" },
	{ "file://", .path = "file:" },
	{ "h:/./p", .host = "h", .path = "/./p", .canonical = "ssh://h/./p" },
	{ "h:./p", .host = "h", .path = "p", .canonical = "ssh://h/./p" },
	{ "h:p/../..", .host = "h", .path = "..", .canonical = "ssh://h/./.." },
	{ "h:~", .host = "h", .path = "~", .canonical = "ssh://h/~" },
	{ "u@h:/./x", .user = "u", .host = "h", .path = "/./x", .canonical = "ssh://u@h/./x" },
	{ "~/x", .path = "~/x" },
	{ "a@b", .path = "a@b" },
	{ "a@b::c", .path = "a@b", .archive = "c" },
	{ "/a::é", .path = "/a", .archive = "é" },
	{ "fe80::1:p", .path = "fe80", .archive = "1:p" },
	{ "ssh://fe80::1/p", .refused = "Invalid location format: \"ssh://fe80::1/p\"" },
	{ "ssh://h:2222/~/x", .host = "h", .port = "2222", .path = "/~/x",
	  .canonical = "ssh://h:2222/~/x" },
	{ "h:..", .host = "h", .path = "..", .canonical = "ssh://h/./.." },
	{ "h:../x", .host = "h", .path = "../x", .canonical = "ssh://h/./../x" },
	{ "h:.", .host = "h", .path = ".", .canonical = "ssh://h/./." },
	{ "ssh://h/..", .host = "h", .path = "/", .canonical = "ssh://h/" },
	{ "ssh://h/./..", .host = "h", .path = "/./", .canonical = "ssh://h/./" },
	{ "ssh://h/.", .host = "h", .path = "/", .canonical = "ssh://h/" },
	{ "file://srv/../a", .path = "a" },
	{ "file://srv/./a", .path = "srv/a" },
	{ "file://s:x/a", .path = "s:x/a" },
	{ "h:/a::", .refused = "Invalid location format: \"h:/a::\"" },
	{ "u@h@i:p", .user = "u", .host = "h@i", .path = "p", .canonical = "ssh://u@h@i/./p" },
	{ "ssh://h/p::a::b", .host = "h", .path = "/p", .archive = "a::b",
	  .canonical = "ssh://h/p" },
	{ "h@i/j:k", .path = "h@i/j:k" },
	{ "//a::b", .refused = "Invalid location format: \"//a::b\"" },
	{ "[a]b:c", .path = "[a]b:c" },
	{ "[a]:22/p", .host = "[a]", .path = "22/p", .canonical = "ssh://[a]/./22/p" },
	{ "u@[a]b:p", .host = "u@[a]b", .path = "p", .canonical = "ssh://u@[a]b/./p" },
	{ "ssh://h:022/p", .host = "h", .port = "22", .path = "/p",
	  .canonical = "ssh://h:22/p" },
	{ "ssh://h:0/p", .host = "h", .path = "/p", .canonical = "ssh://h/p" },
	{ "file:////a", .path = "//a" },
	{ "file:////a/..", .path = "//" },
	{ "file://a::b/c", .path = "a::b/c" },
	{ "/./..", .path = "/./" },
	{ "/./", .path = "/./" },
	{ "ssh://h//..", .host = "h", .path = "//", .canonical = "ssh://h//" },
	{ "a//..//b", .path = "b" },
	{ "../a/../../b", .path = "../../b" },
	{ "/a/.../b", .path = "/a/.../b" },
	{ "/..a", .path = "/..a" },
	{ "a..", .path = "a.." },
	{ "ssh://h:22::a", .refused = "Invalid location format: \"ssh://h:22::a\"" },
	{ "[::1]:", .path = "[", .archive = "1]:" },
	{ "[::1]::a", .path = "[", .archive = "1]::a" },
	{ "/::a", .path = "/", .archive = "a" },
	{ "", .fallback = "/r", .path = "/r" },
	{ "::", .fallback = "/r", .path = "/r" },
	{ "::x", .fallback = "/r", .path = "/r", .archive = "x" },
	{ "::x/y", .fallback = "/r", .refused = "Invalid location format: \"::x/y\"" },
	{ "::", .fallback = "/r::a", .path = "/r" },
	{ "::x", .fallback = "/r::a", .path = "/r", .archive = "x" },
	{ "::x", .fallback = "u@h:r", .user = "u", .host = "h", .path = "r", .archive = "x",
	  .canonical = "ssh://u@h/./r" },
	{ "", .fallback = "", .refused = "Invalid location format: \"\"" },
	{ "::a::b", .fallback = "/r", .path = "/r", .archive = "a::b" },
	{ "::x", .fallback = ":bad", .refused = "Invalid location format: \":bad::x\"" },
	{ "::", .fallback = ":bad", .refused = "Invalid location format: \":bad\"" },
	{ "::", .fallback = "", .refused = "Invalid location format: \"\"" },
	{ "/q", .fallback = "/r", .path = "/q" },
	{ "/q::", .fallback = "/r", .refused = "Invalid location format: \"/q::\"" },
	{ ":::x", .fallback = "/r", .path = "/r", .archive = ":x" },
	{ "", .fallback = "h:p::a", .host = "h", .path = "p", .canonical = "ssh://h/./p" },
	{ "::a:b", .fallback = "/r", .path = "/r", .archive = "a:b" },
};

static void same_text(const char *is, const char *want)
{
	assert_string_equal(is ? is : "(none)", want ? want : "(none)");
}

static void parse_one(const void *arg)
{
	const struct row *row = arg;
	struct location l;
	struct err e = ERR_INIT;
	int rc = location_parse(&l, row->name, row->fallback, &e);
	char *canonical;

	if (row->refused) {
		assert_int_equal(rc, -EINVAL);
		assert_string_equal(e.msg, row->refused);
		return;
	}
	assert_int_equal(rc, 0);
	assert_int_equal(l.proto, row->host ? LOCATION_SSH : LOCATION_FILE);
	same_text(l.user, row->user);
	same_text(l.host, row->host);
	same_text(l.port, row->port);
	same_text(l.path, row->path);
	same_text(l.archive, row->archive);
	if (row->canonical) {
		canonical = location_canonical(&l);
		same_text(canonical, row->canonical);
		free(canonical);
	}
	location_fini(&l);
}

static const struct local_row {
	const char *name, *canonical; /* in the folder /usr */
} local_rows[] = {
	{ "/a/b", "/a/b" },      { "bin", "/usr/bin" },  { "../bin", "/bin" },
	{ ".", "/usr" },         { "../../../x", "/x" }, { "file:///x/../y", "/y" },
	{ "./a:b", "/usr/a:b" },
};

/* The file form's server name is part of a relative path; a local one is made absolute. */
static void canonical_one(const void *arg)
{
	const struct local_row *row = arg;
	struct location l;
	char *canonical;

	assert_int_equal(chdir("/usr"), 0);
	assert_int_equal(location_parse(&l, row->name, NULL, NULL), 0);
	canonical = location_canonical(&l);
	same_text(canonical, row->canonical);
	free(canonical);
	location_fini(&l);
}

int main(void)
{
	return run_table(rows, parse_one) + run_table(local_rows, canonical_one);
}
