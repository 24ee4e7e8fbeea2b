/* text.c - see text.h. */

#include "tools/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool is_tail(uint8_t c)
{
	return (c & 0xc0) == 0x80;
}

size_t text_utf8(const uint8_t *p, size_t len)
{
	if (len == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		return len >= 2 && is_tail(p[1]) ? 2 : 0;
	if ((p[0] & 0xf0) == 0xe0) {
		bool good = len >= 3 && is_tail(p[1]) && is_tail(p[2]) &&
			    !(p[0] == 0xe0 && p[1] < 0xa0) && /* overlong */
			    !(p[0] == 0xed && p[1] >= 0xa0);  /* surrogates */

		return good ? 3 : 0;
	}
	if (p[0] >= 0xf0 && p[0] <= 0xf4) {
		bool good = len >= 4 && is_tail(p[1]) && is_tail(p[2]) && is_tail(p[3]) &&
			    !(p[0] == 0xf0 && p[1] < 0x90) && !(p[0] == 0xf4 && p[1] >= 0x90);

		return good ? 4 : 0;
	}
	return 0;
}

struct bytes text_clean(struct bytes b, struct buf *scratch)
{
	size_t at = 0, n = 0;

	while (at < b.len && (n = text_utf8(b.p + at, b.len - at)) > 0)
		at += n;
	if (at == b.len)
		return b;
	scratch->len = 0;
	(void)buf_append(scratch, b.p, at);
	while (at < b.len) {
		n = text_utf8(b.p + at, b.len - at);
		(void)buf_append(scratch, n ? (const void *)(b.p + at) : "?", n ? n : 1);
		at += n ? n : 1;
	}
	return buf_bytes(scratch);
}

static char type_letter(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG: return '-';
	case S_IFDIR: return 'd';
	case S_IFLNK: return 'l';
	case S_IFIFO: return 'p';
	case S_IFCHR: return 'c';
	case S_IFBLK: return 'b';
	case S_IFSOCK: return 's';
	default: return '?';
	}
}

void text_mode(uint32_t mode, char out[11])
{
	static const char letters[] = "rwxrwxrwx";

	out[0] = type_letter(mode);
	for (unsigned i = 0; i < 9; i++)
		out[i + 1] = mode & (0400u >> i) ? letters[i] : '-';
	if (mode & S_ISUID)
		out[3] = mode & 0100 ? 's' : 'S';
	if (mode & S_ISGID)
		out[6] = mode & 0010 ? 's' : 'S';
	if (mode & S_ISVTX)
		out[9] = mode & 0001 ? 't' : 'T';
	out[10] = 0;
}

static bool is_plain(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("_@%+=:,./-", c));
}

int text_shell_quote(struct bytes word, struct buf *out)
{
	bool plain = word.len > 0;

	for (size_t i = 0; i < word.len; i++)
		plain = plain && is_plain(word.p[i]);
	if (plain)
		return buf_append(out, word.p, word.len);
	if (buf_append_byte(out, '\'') < 0)
		return -ENOMEM;
	for (size_t i = 0; i < word.len; i++) {
		int rc = word.p[i] == '\'' ? buf_append_str(out, "'\"'\"'")
					   : buf_append_byte(out, word.p[i]);

		if (rc < 0)
			return rc;
	}
	return buf_append_byte(out, '\'');
}

int text_duration(double seconds, struct buf *out)
{
	static const struct {
		const char *name;
		double seconds;
	} parts[] = { { "days", 86400 }, { "hours", 3600 }, { "minutes", 60 } };
	char text[64];

	for (size_t i = 0; i < 3; i++) {
		uint64_t count = (uint64_t)(seconds / parts[i].seconds);

		if (!count)
			continue;
		seconds -= (double)count * parts[i].seconds;
		snprintf(text, sizeof(text), "%" PRIu64 " %s ", count, parts[i].name);
		if (buf_append_str(out, text) < 0)
			return -ENOMEM;
	}
	snprintf(text, sizeof(text), "%.2f seconds", seconds);
	return buf_append_str(out, text);
}
