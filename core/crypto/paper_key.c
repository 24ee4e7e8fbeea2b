/* paper_key.c - see paper_key.h. */

#include "core/crypto/paper_key.h"

#include "core/base/cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 18, GROUP = 6, CHECK_DIGITS = 2 };

static void sum_of(struct bytes b, size_t digits, char *out)
{
	uint8_t sum[SHA256_DIGEST_LENGTH];

	SHA256(b.p, b.len, sum);
	hex_encode(sum, digits / 2, out);
}

void paper_key_sum(struct bytes blob, char out[PAPER_SUM_DIGITS + 1])
{
	sum_of(blob, PAPER_SUM_DIGITS, out);
}

void paper_key_repository(const struct chunk_id *id, char out[PAPER_ID_DIGITS + 1])
{
	hex_encode(id->b, PAPER_ID_DIGITS / 2, out);
}

/* The check digits of a line bind it to its place. */
static void line_sum(unsigned number, const uint8_t *p, size_t n, struct buf *scratch,
		     char out[CHECK_DIGITS + 1])
{
	scratch->len = 0;
	if (buf_append_byte(scratch, (uint8_t)(number >> 8)) == 0 &&
	    buf_append_byte(scratch, (uint8_t)number) == 0 && buf_append(scratch, p, n) == 0)
		sum_of(buf_bytes(scratch), CHECK_DIGITS, out);
}

static void put_grouped(struct buf *text, const char *digits)
{
	for (size_t i = 0; digits[i]; i++) {
		if (i > 0 && i % GROUP == 0)
			(void)buf_append_byte(text, ' ');
		(void)buf_append_byte(text, (uint8_t)digits[i]);
	}
}

static void put_id(struct buf *text, const struct chunk_id *id, struct bytes blob,
		   unsigned lines)
{
	char repository[PAPER_ID_DIGITS + 1], sum[PAPER_SUM_DIGITS + 1];
	char plain[64], check[CHECK_DIGITS + 1];

	paper_key_repository(id, repository);
	paper_key_sum(blob, sum);
	snprintf(plain, sizeof(plain), "%u/%s/%s", lines, repository, sum);
	sum_of(bytes_str(plain), CHECK_DIGITS, check);
	snprintf(plain, sizeof(plain), "id: %u / ", lines);
	(void)buf_append_str(text, plain);
	put_grouped(text, repository);
	(void)buf_append_str(text, " / ");
	put_grouped(text, sum);
	(void)buf_append_str(text, " - ");
	(void)buf_append_str(text, check);
	(void)buf_append_byte(text, '\n');
}

int paper_key_put(struct buf *text, const struct chunk_id *repository_id, struct bytes blob,
		  struct err *e)
{
	CLEANUP(buf_fini) struct buf scratch = BUF_INIT;
	size_t lines = (blob.len + LINE_BYTES - 1) / LINE_BYTES;

	if (lines > PAPER_LINES_MAX)
		return err_set(e, EFBIG, "the key is too long for paper");
	(void)buf_append_str(text,
			     "To restore key use borg key import --paper /path/to/repo\n\n"
			     "BORG PAPER KEY v1\n");
	put_id(text, repository_id, blob, (unsigned)lines);
	for (size_t i = 0; i < lines; i++) {
		const uint8_t *p = blob.p + i * LINE_BYTES;
		size_t left = blob.len - i * LINE_BYTES;
		size_t n = left < LINE_BYTES ? left : LINE_BYTES;
		char head[16], digits[2 * LINE_BYTES + 1], check[CHECK_DIGITS + 1] = "";

		line_sum((unsigned)i + 1, p, n, &scratch, check);
		hex_encode(p, n, digits);
		snprintf(head, sizeof(head), "%2zu: ", i + 1);
		(void)buf_append_str(text, head);
		put_grouped(text, digits);
		(void)buf_append_str(text, " - ");
		(void)buf_append_str(text, check);
		if (!check[0] || buf_append_byte(text, '\n') < 0)
			return err_nomem(e, "key");
	}
	return 0;
}

/* --- what was typed --- */

/* Without its blanks, and ended at the only dash: *check is what follows it.  NULL when out of memory;
 * *check is NULL where there is not exactly one dash. */
static char *take_apart(struct bytes line, char **check)
{
	char *text = malloc(line.len + 1), *dash;
	size_t n = 0;

	if (!text)
		return NULL;
	for (size_t i = 0; i < line.len; i++)
		if (line.p[i] != ' ')
			text[n++] = (char)line.p[i];
	text[n] = '\0';
	dash = strchr(text, '-');
	*check = dash && !strchr(dash + 1, '-') ? dash + 1 : NULL;
	if (dash)
		*dash = '\0';
	return text;
}

static bool count_lines(const char *text, unsigned *lines)
{
	size_t digits = strspn(text, "0123456789");

	*lines = digits > 0 && digits < 6 && !text[digits] ? (unsigned)atoi(text) : 0;
	return *lines > 0 && *lines <= PAPER_LINES_MAX;
}

int paper_key_parse_id(struct bytes line, struct paper_key_id *out)
{
	char *check, *slash, *second;
	CLEANUP(cleanup_freep) char *text = take_apart(line, &check);
	char expected[CHECK_DIGITS + 1];

	if (!text)
		return -ENOMEM;
	if (!check)
		return PAPER_NOT_ONE_DASH;
	slash = strchr(text, '/');
	second = slash ? strchr(slash + 1, '/') : NULL;
	if (!second || strchr(second + 1, '/'))
		return PAPER_NOT_THREE_PARTS;
	for (char *p = text; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	sum_of(bytes_str(text), CHECK_DIGITS, expected);
	if (strcmp(check, expected) != 0)
		return PAPER_BAD_SUM;
	*slash = *second = '\0';
	if (!count_lines(text, &out->lines))
		return PAPER_BAD_SUM;
	if (strlen(slash + 1) > PAPER_ID_DIGITS || strlen(second + 1) > PAPER_SUM_DIGITS)
		return PAPER_BAD_SUM;
	memcpy(out->repository, slash + 1, strlen(slash + 1) + 1);
	memcpy(out->sum, second + 1, strlen(second + 1) + 1);
	return PAPER_FINE;
}

int paper_key_parse_line(struct bytes line, unsigned number, struct buf *blob)
{
	char *check;
	CLEANUP(cleanup_freep) char *text = take_apart(line, &check);
	CLEANUP(buf_fini) struct buf scratch = BUF_INIT;
	CLEANUP(buf_fini) struct buf part = BUF_INIT;
	char expected[CHECK_DIGITS + 1] = "";
	size_t digits;

	if (!text)
		return -ENOMEM;
	if (!check)
		return PAPER_NOT_ONE_DASH;
	digits = strlen(text);
	if (buf_resize(&part, digits / 2) < 0 || buf_reserve(&scratch, digits / 2 + 2) < 0)
		return -ENOMEM;
	if (digits % 2 || hex_decode(bytes_str(text), part.p, digits / 2) < 0)
		return PAPER_BAD_DIGITS;
	line_sum(number, part.p, part.len, &scratch, expected);
	if (strcmp(check, expected) != 0)
		return PAPER_BAD_SUM;
	return part.len ? buf_append(blob, part.p, part.len) : PAPER_FINE;
}
