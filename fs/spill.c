/*
 * spill.c - see spill.h.
 *
 * Which pages are used is a bitmap: 32 KiB of memory for each GiB of the file.  No page below
 * `lowest` is free.  The room on disk is given back in aligned blocks of PUNCH_PAGES, so that random
 * rewriting costs no system call for each page; while a block is punched, it counts as used.
 */

#include "fs/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/base/secret.h"
#include "core/base/thread.h"

enum {
	KEY_SIZE = 64, /* two keys of AES-256 */
	TWEAK_SIZE = 16,
	RUN_PAGES = 32,   /* moved by one system call */
	WORD = 64,        /* pages of a word of the bitmap */
	PUNCH_PAGES = 16, /* divides WORD */
	COFFERS_IDLE = 4,
};

/* What encrypting and decrypting works in. */
struct coffer {
	EVP_CIPHER_CTX *seal, *open; /* with the key set */
	struct coffer *next;         /* among the idle ones */
	uint8_t run[RUN_PAGES * SPILL_PAGE];
	uint8_t page[SPILL_PAGE];
};

struct spill {
	int fd;
	struct secret *key;
	struct mutex lock; /* guards what follows */
	uint64_t *used;    /* a bit for each page */
	size_t words;
	size_t lowest; /* words below are full */
	uint64_t used_pages;
	struct coffer *idle;
	size_t idle_count;
};

/* --- encryption --- */

static void coffer_free(struct coffer *c)
{
	if (!c)
		return;
	EVP_CIPHER_CTX_free(c->seal);
	EVP_CIPHER_CTX_free(c->open);
	secret_wipe(c->page, sizeof(c->page));
	secret_wipe(c->run, sizeof(c->run));
	free(c);
}
DEFINE_CLEANUP(struct coffer *, coffer_free);

static struct coffer *coffer_new(const struct spill *s)
{
	CLEANUP(coffer_freep) struct coffer *c = calloc(1, sizeof(*c));

	if (!c || !(c->seal = EVP_CIPHER_CTX_new()) || !(c->open = EVP_CIPHER_CTX_new()) ||
	    !EVP_EncryptInit_ex2(c->seal, EVP_aes_256_xts(), s->key->p, NULL, NULL) ||
	    !EVP_DecryptInit_ex2(c->open, EVP_aes_256_xts(), s->key->p, NULL, NULL))
		return NULL;
	return TAKE(c);
}

static struct coffer *coffer_take(struct spill *s)
{
	struct coffer *c;

	mutex_lock(&s->lock);
	c = s->idle;
	if (c) {
		s->idle = c->next;
		s->idle_count--;
	}
	mutex_unlock(&s->lock);
	return c ? c : coffer_new(s);
}

static void coffer_give(struct spill *s, struct coffer *c)
{
	mutex_lock(&s->lock);
	if (s->idle_count < COFFERS_IDLE) {
		c->next = s->idle;
		s->idle = c;
		s->idle_count++;
		c = NULL;
	}
	mutex_unlock(&s->lock);
	coffer_free(c);
}

static int crypt_page(EVP_CIPHER_CTX *ctx, uint64_t number, const uint8_t *in, uint8_t *out)
{
	uint8_t tweak[TWEAK_SIZE] = { 0 };
	int len;

	put_le64(tweak, number);
	return EVP_CipherInit_ex2(ctx, NULL, NULL, tweak, -1, NULL) &&
			       EVP_CipherUpdate(ctx, out, &len, in, SPILL_PAGE) &&
			       len == SPILL_PAGE
		       ? 0
		       : -EIO;
}

/* --- life --- */

static int open_unnamed(const char *dir)
{
	CLEANUP(cleanup_freep) char *path = NULL;
	int fd = open(dir, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);

	/* EISDIR: a kernel that does not know it; EOPNOTSUPP: a file system that does not. */
	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
		return fd >= 0 ? fd : -errno;
	path = path_join(dir, "alcove-spill-XXXXXX");
	if (!path)
		return -ENOMEM;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	unlink(path);
	return fd;
}

int spill_open(struct spill **out, const char *dir, struct err *e)
{
	CLEANUP(spill_closep) struct spill *s = calloc(1, sizeof(*s));

	if (!s)
		return err_nomem(e, "spill file");
	mutex_init(&s->lock);
	s->fd = -1;
	s->key = secret_new(KEY_SIZE);
	if (!s->key)
		return err_nomem(e, "spill file");
	if (RAND_priv_bytes(s->key->p, KEY_SIZE) != 1)
		return err_set(e, EIO, "spill file: no random numbers");
	if (!dir)
		dir = getenv("TMPDIR");
	if (!dir || !*dir)
		dir = "/var/tmp";
	s->fd = open_unnamed(dir);
	if (s->fd < 0)
		return err_set(e, -s->fd, "spill file in %s: %s", dir, strerror(-s->fd));
	*out = TAKE(s);
	return 0;
}

void spill_close(struct spill *s)
{
	if (!s)
		return;
	while (s->idle) {
		struct coffer *c = s->idle;

		s->idle = c->next;
		coffer_free(c);
	}
	if (s->fd >= 0)
		close(s->fd);
	secret_free(s->key);
	free(s->used);
	mutex_fini(&s->lock);
	free(s);
}

uint64_t spill_used(struct spill *s)
{
	uint64_t pages;

	mutex_lock(&s->lock);
	pages = s->used_pages;
	mutex_unlock(&s->lock);
	return pages * SPILL_PAGE;
}

int spill_fd(const struct spill *s)
{
	return s->fd;
}

/* --- which pages --- */

static bool is_used(const struct spill *s, uint64_t page)
{
	return page / WORD < s->words && s->used[page / WORD] >> (page % WORD) & 1;
}

static int grow(struct spill *s)
{
	size_t words = s->words ? 2 * s->words : 16;
	uint64_t *used = realloc(s->used, words * sizeof(*used));

	if (!used)
		return -ENOMEM;
	memset(used + s->words, 0, (words - s->words) * sizeof(*used));
	s->used = used;
	s->words = words;
	return 0;
}

static void mark(struct spill *s, uint64_t first, size_t count, bool used)
{
	for (uint64_t page = first; page < first + count; page++) {
		uint64_t bit = UINT64_C(1) << (page % WORD);

		if (used)
			s->used[page / WORD] |= bit;
		else
			s->used[page / WORD] &= ~bit;
	}
	if (!used && first / WORD < s->lowest)
		s->lowest = (size_t)(first / WORD);
}

/* A free page: `near`, or the lowest. */
static int find_free(struct spill *s, uint64_t near, uint64_t *out)
{
	if (near / WORD < s->words && !is_used(s, near)) {
		*out = near;
		return 0;
	}
	while (s->lowest < s->words && s->used[s->lowest] == UINT64_MAX)
		s->lowest++;
	if (s->lowest == s->words && grow(s) < 0)
		return -ENOMEM;
	*out = s->lowest * WORD + (unsigned)__builtin_ctzll(~s->used[s->lowest]);
	return 0;
}

int spill_alloc(struct spill *s, uint64_t near, size_t want, uint64_t *first, size_t *got)
{
	size_t n = 1;
	int rc;

	mutex_lock(&s->lock);
	rc = find_free(s, near, first);
	if (rc == 0) {
		while (n < want && (*first + n) / WORD < s->words && !is_used(s, *first + n))
			n++;
		mark(s, *first, n, true);
		s->used_pages += n;
		*got = n;
	}
	mutex_unlock(&s->lock);
	return rc;
}

static bool block_is_free(const struct spill *s, uint64_t block)
{
	uint64_t page = block * PUNCH_PAGES;
	uint64_t bits = ((UINT64_C(1) << PUNCH_PAGES) - 1) << (page % WORD);

	return (s->used[page / WORD] & bits) == 0;
}

/* The blocks around these pages of which none is used; marked as used again. */
static bool take_free_blocks(struct spill *s, uint64_t first, size_t count, uint64_t *from,
			     uint64_t *end)
{
	uint64_t block = first / PUNCH_PAGES, last = (first + count - 1) / PUNCH_PAGES;

	if (!block_is_free(s, block))
		block++;
	if (last > block && !block_is_free(s, last))
		last--;
	if (block > last || !block_is_free(s, block))
		return false;
	*from = block * PUNCH_PAGES;
	*end = (last + 1) * PUNCH_PAGES;
	mark(s, *from, (size_t)(*end - *from), true);
	return true;
}

void spill_release(struct spill *s, uint64_t first, size_t count)
{
	uint64_t from = 0, end = 0;
	bool punch;

	if (count == 0)
		return;
	mutex_lock(&s->lock);
	mark(s, first, count, false);
	s->used_pages -= count;
	punch = take_free_blocks(s, first, count, &from, &end);
	mutex_unlock(&s->lock);
	if (!punch)
		return;
	/* Where the file system cannot, the room is at least used again. */
	(void)fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			(off_t)(from * SPILL_PAGE), (off_t)((end - from) * SPILL_PAGE));
	mutex_lock(&s->lock);
	mark(s, from, (size_t)(end - from), false);
	mutex_unlock(&s->lock);
}

/* --- bytes --- */

static int failed(struct err *e, int rc)
{
	return err_set(e, -rc, "spill file: %s", strerror(-rc));
}

/* Pages into c->run, still encrypted; behind the end of the file there are none. */
static int load(struct spill *s, struct coffer *c, uint64_t page, size_t count)
{
	size_t len = count * SPILL_PAGE;
	ssize_t n = read_at(s->fd, c->run, len, page * SPILL_PAGE);

	if (n < 0)
		return (int)n;
	memset(c->run + n, 0, len - (size_t)n);
	return 0;
}

/* Part of a page: what else is in it stays. */
static int write_part(struct spill *s, struct coffer *c, uint64_t page, size_t skip,
		      struct bytes data)
{
	int rc = load(s, c, page, 1);

	if (rc == 0)
		rc = crypt_page(c->open, page, c->run, c->page);
	if (rc < 0)
		return rc;
	memcpy(c->page + skip, data.p, data.len);
	rc = crypt_page(c->seal, page, c->page, c->run);
	return rc < 0 ? rc : write_all_at(s->fd, c->run, SPILL_PAGE, page * SPILL_PAGE);
}

static int write_pages(struct spill *s, struct coffer *c, uint64_t page, struct bytes data)
{
	size_t count = data.len / SPILL_PAGE;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = crypt_page(c->seal, page + i, data.p + i * SPILL_PAGE,
				c->run + i * SPILL_PAGE);
	return rc < 0 ? rc : write_all_at(s->fd, c->run, data.len, page * SPILL_PAGE);
}

/* How much of len bytes at pos one step moves: part of a page, or a run of whole ones. */
static size_t step(uint64_t pos, size_t len)
{
	size_t skip = (size_t)(pos % SPILL_PAGE), room = SPILL_PAGE - skip;

	if (skip > 0 || len < SPILL_PAGE)
		return len < room ? len : room;
	len -= len % SPILL_PAGE;
	return len < RUN_PAGES * SPILL_PAGE ? len : (size_t)RUN_PAGES * SPILL_PAGE;
}

int spill_write(struct spill *s, uint64_t pos, struct bytes data, struct err *e)
{
	struct coffer *c = coffer_take(s);
	int rc = 0;

	if (!c)
		return err_nomem(e, "spill file");
	while (rc == 0 && data.len > 0) {
		size_t n = step(pos, data.len);
		struct bytes part = { data.p, n };

		rc = n % SPILL_PAGE ? write_part(s, c, pos / SPILL_PAGE,
						 (size_t)(pos % SPILL_PAGE), part)
				    : write_pages(s, c, pos / SPILL_PAGE, part);
		pos += n;
		data.p += n;
		data.len -= n;
	}
	coffer_give(s, c);
	return rc < 0 ? failed(e, rc) : 0;
}

static int read_part(struct spill *s, struct coffer *c, uint64_t page, size_t skip,
		     uint8_t *out, size_t len)
{
	int rc = load(s, c, page, 1);

	if (rc == 0)
		rc = crypt_page(c->open, page, c->run, c->page);
	if (rc == 0)
		memcpy(out, c->page + skip, len);
	return rc;
}

static int read_pages(struct spill *s, struct coffer *c, uint64_t page, uint8_t *out,
		      size_t count)
{
	int rc = load(s, c, page, count);

	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = crypt_page(c->open, page + i, c->run + i * SPILL_PAGE,
				out + i * SPILL_PAGE);
	return rc;
}

int spill_read(struct spill *s, uint64_t pos, uint8_t *out, size_t len, struct err *e)
{
	struct coffer *c = coffer_take(s);
	int rc = 0;

	if (!c)
		return err_nomem(e, "spill file");
	while (rc == 0 && len > 0) {
		size_t n = step(pos, len);

		rc = n % SPILL_PAGE ? read_part(s, c, pos / SPILL_PAGE,
						(size_t)(pos % SPILL_PAGE), out, n)
				    : read_pages(s, c, pos / SPILL_PAGE, out, n / SPILL_PAGE);
		pos += n;
		out += n;
		len -= n;
	}
	coffer_give(s, c);
	return rc < 0 ? failed(e, rc) : 0;
}
