/* bytes.c - see bytes.h. */

#include "core/base/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LARGE = 2 << 20 /* bytes: a huge page */ };

/*
 * Fresh memory of a chunk's size costs a page fault each 4 KiB, which was a fifth of the time of
 * reading an image.  Where the system gives huge pages to who asks, it is one each 2 MiB.
 */
static void ask_for_huge_pages(uint8_t *p, size_t len)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t skip = (page - (uintptr_t)p % page) % page;

	if (len >= LARGE + skip)
		(void)madvise(p + skip, (len - skip) & ~(page - 1), MADV_HUGEPAGE); /* a hint */
}

int buf_reserve(struct buf *b, size_t cap)
{
	size_t want = b->cap + b->cap / 2;
	uint8_t *p;

	if (cap <= b->cap)
		return 0;
	if (want < cap)
		want = cap;
	if (want < 64)
		want = 64;
	p = realloc(b->p, want);
	if (!p)
		return -ENOMEM;
	b->p = p;
	b->cap = want;
	if (want >= LARGE)
		ask_for_huge_pages(p, want);
	return 0;
}

int buf_resize(struct buf *b, size_t len)
{
	int rc = buf_reserve(b, len);

	if (rc == 0)
		b->len = len;
	return rc;
}

int buf_append(struct buf *b, const void *p, size_t n)
{
	if (n == 0)
		return 0;
	if (n > SIZE_MAX - b->len || buf_reserve(b, b->len + n) < 0)
		return -ENOMEM;
	memcpy(b->p + b->len, p, n);
	b->len += n;
	return 0;
}

int buf_append_byte(struct buf *b, uint8_t byte)
{
	return buf_append(b, &byte, 1);
}

int buf_append_str(struct buf *b, const char *s)
{
	return buf_append(b, s, strlen(s));
}

void buf_fini(struct buf *b)
{
	free(b->p);
	*b = (struct buf)BUF_INIT;
}

int bytes_compare(struct bytes a, struct bytes b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int rc = n ? memcmp(a.p, b.p, n) : 0;

	if (rc)
		return rc;
	return (a.len > b.len) - (a.len < b.len);
}

/* The C library compares with the widest registers there are: 16 zero bytes at the start, and
 * every byte equal to the one 16 before it. */
bool bytes_all_zero(struct bytes b)
{
	enum { STEP = 16 };

	for (size_t i = 0; i < STEP; i++) {
		if (i == b.len)
			return true;
		if (b.p[i] != 0)
			return false;
	}
	return memcmp(b.p, b.p + STEP, b.len - STEP) == 0;
}

char *bytes_dup(struct bytes b)
{
	char *s = malloc(b.len + 1);

	if (!s)
		return NULL;
	if (b.len)
		memcpy(s, b.p, b.len);
	s[b.len] = '\0';
	return s;
}

void hex_encode(const uint8_t *p, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[p[i] >> 4];
		out[2 * i + 1] = digits[p[i] & 15];
	}
	out[2 * n] = '\0';
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int hex_decode(struct bytes text, uint8_t *out, size_t n)
{
	if (text.len % 2 || text.len / 2 != n)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		int high = hex_digit(text.p[2 * i]), low = hex_digit(text.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}
