/* nonce_file.c - 16 hex digits, big-endian; see nonce_file.h. */

#include "core/repo/nonce_file.h"

#include "core/base/cleanup.h"
#include "core/base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

enum { NONCE = 8 /* bytes */, FILE_MAX = 4096 };

static struct bytes strip(struct bytes text)
{
	static const char blanks[] = " \t\n\r\v\f";

	while (text.len > 0 && memchr(blanks, text.p[0], sizeof(blanks) - 1))
		text = (struct bytes){ text.p + 1, text.len - 1 };
	while (text.len > 0 && memchr(blanks, text.p[text.len - 1], sizeof(blanks) - 1))
		text.len--;
	return text;
}

static int parse(struct bytes text, const char *whose, uint64_t *next, struct err *e)
{
	uint8_t value[NONCE];

	text = strip(text);
	if (hex_decode(text, value, sizeof(value)) < 0)
		return err_set_id(e, EBADMSG, "Error",
				  "%s has an invalid nonce file: Expected 8 bytes (16 hex "
				  "digits), got %zu characters.",
				  whose, text.len);
	*next = get_be64(value);
	if (*next == NONCE_NONE)
		return err_set(e, EOVERFLOW, "%s has a nonce file that leaves no nonce to use",
			       whose);
	return 0;
}

int nonce_file_get(const char *path, const char *whose, uint64_t *next, struct err *e)
{
	CLEANUP(buf_fini) struct buf text = BUF_INIT;
	int rc = file_read(AT_FDCWD, path, FILE_MAX, &text, e);

	if (rc == -ENOENT) {
		*next = NONCE_NONE;
		if (e)
			*e = (struct err)ERR_INIT;
		return 0;
	}
	return rc < 0 ? rc : parse(buf_bytes(&text), whose, next, e);
}

int nonce_file_reserve(const char *path, const char *whose, uint64_t next, uint64_t start,
		       mode_t mode, struct err *e)
{
	char text[2 * NONCE + 1];
	uint64_t is;
	int rc = nonce_file_get(path, whose, &is, e);

	if (rc < 0)
		return rc;
	if (is != start)
		return err_set(e, EBUSY,
			       "nonce space reservation with mismatched previous state");
	if (next == NONCE_NONE || (start != NONCE_NONE && next <= start))
		return err_set(e, EINVAL, "nonce space reservation that reserves nothing");
	snprintf(text, sizeof(text), "%016" PRIx64, next);
	return file_replace(path, bytes_str(text), mode, e);
}
