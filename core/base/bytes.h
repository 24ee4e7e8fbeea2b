#ifndef BASE_BYTES_H
#define BASE_BYTES_H

/*
 * bytes.h - borrowed and owned runs of bytes, and integers in them.
 *
 * struct bytes borrows: it lives as long as what it points into.  struct buf owns, and
 * grows geometrically; buf_fini() releases it and leaves it empty.  On-disk integers are
 * read and written here and never through a struct cast.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
	const uint8_t *p;
	size_t len;
};

struct buf {
	uint8_t *p;
	size_t len;
	size_t cap;
};

#define BUF_INIT                                                                               \
	{                                                                                      \
		0                                                                              \
	}

int buf_reserve(struct buf *b, size_t cap);             /* room for cap bytes; 0 or -ENOMEM */
int buf_resize(struct buf *b, size_t len);              /* len = len; new bytes undefined */
int buf_append(struct buf *b, const void *p, size_t n); /* 0 or -ENOMEM */
int buf_append_byte(struct buf *b, uint8_t byte);
int buf_append_str(struct buf *b, const char *s); /* without the NUL */
void buf_fini(struct buf *b);                     /* also the cleanup for struct buf */

static inline struct bytes buf_bytes(const struct buf *b)
{
	return (struct bytes){ b->p, b->len };
}

static inline struct bytes bytes_str(const char *s)
{
	return (struct bytes){ (const uint8_t *)s, strlen(s) };
}

int bytes_compare(struct bytes a, struct bytes b); /* memcmp order, shorter first */

static inline int bytes_equal(struct bytes a, struct bytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

/* Is b exactly the text s? */
static inline int bytes_is(struct bytes b, const char *s)
{
	return bytes_equal(b, bytes_str(s));
}

/* Nothing but zero bytes, or no bytes? */
bool bytes_all_zero(struct bytes b);

/* A NUL-terminated copy on the heap; NULL when out of memory. */
char *bytes_dup(struct bytes b);

/* Lower-case hex; out has room for 2 * n + 1 bytes. */
void hex_encode(const uint8_t *p, size_t n, char *out);
/* Exactly 2 * n hex digits, either case, into out; 0 or -EINVAL. */
int hex_decode(struct bytes text, uint8_t *out, size_t n);

static inline uint16_t get_le16(const uint8_t *p)
{
	return (uint16_t)(p[0] | (p[1] << 8));
}

static inline uint32_t get_le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

static inline uint64_t get_le64(const uint8_t *p)
{
	return (uint64_t)get_le32(p) | (uint64_t)get_le32(p + 4) << 32;
}

static inline uint16_t get_be16(const uint8_t *p)
{
	return (uint16_t)((p[0] << 8) | p[1]);
}

static inline uint32_t get_be32(const uint8_t *p)
{
	return (uint32_t)p[3] | (uint32_t)p[2] << 8 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[0] << 24;
}

static inline uint64_t get_be64(const uint8_t *p)
{
	return (uint64_t)get_be32(p + 4) | (uint64_t)get_be32(p) << 32;
}

static inline void put_le16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static inline void put_le32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)(v >> 16);
	p[3] = (uint8_t)(v >> 24);
}

static inline void put_le64(uint8_t *p, uint64_t v)
{
	put_le32(p, (uint32_t)v);
	put_le32(p + 4, (uint32_t)(v >> 32));
}

static inline void put_be16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void put_be32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static inline void put_be64(uint8_t *p, uint64_t v)
{
	put_be32(p, (uint32_t)(v >> 32));
	put_be32(p + 4, (uint32_t)v);
}

#endif
