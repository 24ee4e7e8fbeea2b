/*
 * tree_file.c - see tree_file.h.
 *
 * The block cache is a fixed number of slots, found by a hash of (file, block) with a few
 * places to look, replaced by second chance.  A miss reads and decrypts into a buffer of its
 * own, outside the lock, and then takes a slot over; two threads that miss the same block both
 * do the work, which is rare and harmless.
 */

#include "core/archive/tree_file.h"

#include "core/base/io.h"
#include "core/base/thread.h"
#include "core/crypto/key.h"
#include "core/crypto/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEADER = 88, VERSION = 1, WAYS = 8 /* slots a block may be in */ };

static const char magic[8] = "ALCVSEAL";
static const char purpose[] = "alcove tree";

struct slot {
	uint64_t file; /* serial number; 0: free */
	uint64_t block;
	uint8_t *data; /* SEAL_BLOCK bytes, or NULL */
	bool used;     /* since the hand last passed */
};

struct tree_cache {
	struct mutex lock; /* guards the slots */
	struct slot *slots;
	size_t sets; /* a power of two, each of WAYS slots */
	size_t bytes;
	atomic_ullong serial;
};

struct tree_file {
	int fd;
	uint64_t len;
	uint64_t serial;
	char *path;
	uint8_t header[HEADER];
	struct tree_cache *cache;
	struct mutex seal_lock; /* guards seal */
	struct seal *seal;
};

struct tree_cache *tree_cache_new(size_t bytes)
{
	struct tree_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->sets = 1;
	while (c->sets * 2 * WAYS * SEAL_BLOCK <= bytes)
		c->sets *= 2;
	c->slots = calloc(c->sets * WAYS, sizeof(*c->slots));
	if (!c->slots) {
		free(c);
		return NULL;
	}
	mutex_init(&c->lock);
	return c;
}

void tree_cache_free(struct tree_cache *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->sets * WAYS; i++)
		free(c->slots[i].data);
	mutex_fini(&c->lock);
	free(c->slots);
	free(c);
}

size_t tree_cache_bytes(struct tree_cache *c)
{
	size_t n;

	mutex_lock(&c->lock);
	n = c->bytes;
	mutex_unlock(&c->lock);
	return n;
}

static struct slot *set_of(struct tree_cache *c, uint64_t file, uint64_t block)
{
	uint64_t h = (file * 0x9e3779b97f4a7c15u) ^ (block * 0xc2b2ae3d27d4eb4fu);

	return c->slots + ((h ^ h >> 29) & (c->sets - 1)) * WAYS;
}

/* Copy from the cached block; false when it is not there. */
static bool copy_cached(struct tree_file *f, uint64_t block, size_t off, void *out, size_t len)
{
	struct slot *set = set_of(f->cache, f->serial, block);
	bool hit = false;

	mutex_lock(&f->cache->lock);
	for (size_t i = 0; i < WAYS && !hit; i++) {
		if (set[i].file != f->serial || set[i].block != block)
			continue;
		memcpy(out, set[i].data + off, len);
		set[i].used = true;
		hit = true;
	}
	mutex_unlock(&f->cache->lock);
	return hit;
}

/* Put the block in the set; returns the buffer it displaced, for reuse or free(3). */
static uint8_t *keep(struct tree_file *f, uint64_t block, uint8_t *data)
{
	struct slot *set = set_of(f->cache, f->serial, block), *victim = NULL;
	uint8_t *displaced;

	mutex_lock(&f->cache->lock);
	for (size_t i = 0; i < WAYS && !victim; i++)
		if (!set[i].file)
			victim = &set[i];
	for (size_t i = 0; !victim; i = (i + 1) % WAYS) {
		if (set[i].used)
			set[i].used = false;
		else
			victim = &set[i];
	}
	displaced = victim->data;
	if (!displaced)
		f->cache->bytes += SEAL_BLOCK;
	*victim = (struct slot){ f->serial, block, data, true };
	mutex_unlock(&f->cache->lock);
	return displaced;
}

static void forget_file(struct tree_file *f)
{
	struct tree_cache *c = f->cache;

	mutex_lock(&c->lock);
	for (size_t i = 0; i < c->sets * WAYS; i++) {
		if (c->slots[i].file != f->serial)
			continue;
		free(c->slots[i].data);
		c->slots[i] = (struct slot){ 0 };
		c->bytes -= SEAL_BLOCK;
	}
	mutex_unlock(&c->lock);
}

static uint64_t block_count(uint64_t len)
{
	return (len + SEAL_BLOCK - 1) / SEAL_BLOCK;
}

static size_t block_len(uint64_t len, uint64_t block)
{
	uint64_t left = len - block * SEAL_BLOCK;

	return left < SEAL_BLOCK ? (size_t)left : SEAL_BLOCK;
}

static void put_header(uint8_t out[HEADER], const struct chunk_id *id,
		       const uint8_t salt[SEAL_SALT], uint64_t len)
{
	memset(out, 0, HEADER);
	memcpy(out, magic, sizeof(magic));
	put_le32(out + 8, VERSION);
	memcpy(out + 16, salt, SEAL_SALT);
	memcpy(out + 48, id->b, CHUNK_ID_SIZE);
	put_le64(out + 80, len);
}

static int write_blocks(int fd, const uint8_t header[HEADER], const struct secret *secret,
			struct bytes image, struct err *e)
{
	CLEANUP(seal_freep) struct seal *seal = NULL;
	CLEANUP(cleanup_freep) uint8_t *sealed = malloc(SEAL_BLOCK + SEAL_TAG);
	int rc = seal_new(&seal, secret, header + 16, purpose, (struct bytes){ header, HEADER },
			  e);

	if (rc < 0)
		return rc;
	if (!sealed)
		return err_nomem(e, "tree file");
	rc = write_all(fd, header, HEADER);
	for (uint64_t b = 0; rc == 0 && b < block_count(image.len); b++) {
		size_t n = block_len(image.len, b);

		rc = seal_block(seal, b, (struct bytes){ image.p + b * SEAL_BLOCK, n }, sealed,
				e);
		if (rc < 0)
			return rc;
		rc = write_all(fd, sealed, n + SEAL_TAG);
	}
	return rc < 0 ? err_set(e, -rc, "tree file: %s", strerror(-rc)) : 0;
}

int tree_file_write(const char *path, const struct secret *secret, const struct chunk_id *id,
		    struct bytes image, struct err *e)
{
	CLEANUP(cleanup_freep) char *temp = NULL;
	CLEANUP(cleanup_closep) int fd = -1;
	uint8_t header[HEADER], salt[SEAL_SALT];
	uint64_t unique;
	int rc;

	if (getrandom(salt, sizeof(salt), 0) != sizeof(salt) ||
	    getrandom(&unique, sizeof(unique), 0) != sizeof(unique))
		return err_set(e, EIO, "tree file: no random numbers");
	if (asprintf(&temp, "%s.%016llx.tmp", path, (unsigned long long)unique) < 0) {
		temp = NULL;
		return err_nomem(e, "tree file");
	}
	fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(e, errno, "%s: %s", temp, strerror(errno));
	put_header(header, id, salt, image.len);
	rc = write_blocks(fd, header, secret, image, e);
	/* Not synced: after a power cut a torn file fails its tags and is built again. */
	if (rc == 0 && rename(temp, path) < 0)
		rc = err_set(e, errno, "%s: %s", path, strerror(errno));
	if (rc < 0)
		unlink(temp);
	return rc;
}

static int check_header(struct tree_file *f, const struct chunk_id *id, struct err *e)
{
	uint64_t sealed;
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return err_set(e, errno, "%s: %s", f->path, strerror(errno));
	if (st.st_uid != geteuid() || !S_ISREG(st.st_mode))
		return err_set(e, EBADMSG, "%s: not ours", f->path);
	if (read_exact(f->fd, f->header, HEADER, 0) != 1 ||
	    memcmp(f->header, magic, sizeof(magic)) != 0 ||
	    get_le32(f->header + 8) != VERSION ||
	    memcmp(f->header + 48, id->b, CHUNK_ID_SIZE) != 0)
		return err_set(e, EBADMSG, "%s: not a tree file of this archive", f->path);
	f->len = get_le64(f->header + 80);
	sealed = (uint64_t)st.st_size - HEADER;
	if (f->len > sealed || sealed - f->len != block_count(f->len) * SEAL_TAG)
		return err_set(e, EBADMSG, "%s: length does not fit its header", f->path);
	return 0;
}

int tree_file_open(struct tree_file **out, const char *path, const struct secret *secret,
		   const struct chunk_id *id, struct tree_cache *cache, struct err *e)
{
	CLEANUP(tree_file_closep) struct tree_file *f = calloc(1, sizeof(*f));
	int rc;

	if (!f)
		return err_nomem(e, "tree file");
	mutex_init(&f->seal_lock);
	f->cache = cache;
	f->serial = atomic_fetch_add(&cache->serial, 1) + 1;
	/* Not blocking: a fifo of that name must not hold us. */
	f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (f->fd < 0)
		return err_set(e, errno, "%s: %s", path, strerror(errno));
	f->path = strdup(path);
	if (!f->path)
		return err_nomem(e, "tree file");
	rc = check_header(f, id, e);
	if (rc == 0)
		rc = seal_new(&f->seal, secret, f->header + 16, purpose,
			      (struct bytes){ f->header, HEADER }, e);
	if (rc == -EBADMSG)
		unlink(path);
	if (rc < 0)
		return rc;
	*out = TAKE(f);
	return 0;
}

void tree_file_close(struct tree_file *f)
{
	if (!f)
		return;
	forget_file(f);
	seal_free(f->seal);
	mutex_fini(&f->seal_lock);
	if (f->fd >= 0)
		close(f->fd);
	free(f->path);
	free(f);
}

uint64_t tree_file_len(const struct tree_file *f)
{
	return f->len;
}

static int load_block(struct tree_file *f, uint64_t block, uint8_t *out, struct err *e)
{
	CLEANUP(cleanup_freep) uint8_t *sealed = malloc(SEAL_BLOCK + SEAL_TAG);
	size_t n = block_len(f->len, block) + SEAL_TAG;
	int rc;

	if (!sealed)
		return err_nomem(e, "tree file");
	rc = read_exact(f->fd, sealed, n, HEADER + block * (SEAL_BLOCK + SEAL_TAG));
	if (rc < 0 && rc != -EBADMSG)
		return err_set(e, -rc, "%s: %s", f->path, strerror(-rc));
	if (rc == 1) {
		mutex_lock(&f->seal_lock);
		rc = seal_open_block(f->seal, block, (struct bytes){ sealed, n }, out, e);
		mutex_unlock(&f->seal_lock);
		if (rc == 0)
			return 0;
	}
	unlink(f->path);
	return err_set(e, EBADMSG, "%s: damaged cache file, removed", f->path);
}

static int read_in_block(struct tree_file *f, uint64_t block, size_t off, void *out, size_t len,
			 struct err *e)
{
	uint8_t *data;
	int rc;

	if (copy_cached(f, block, off, out, len))
		return 0;
	data = malloc(SEAL_BLOCK);
	if (!data)
		return err_nomem(e, "tree file");
	rc = load_block(f, block, data, e);
	if (rc < 0) {
		free(data);
		return rc;
	}
	memcpy(out, data + off, len);
	free(keep(f, block, data));
	return 0;
}

int tree_file_read(struct tree_file *f, uint64_t off, void *out, size_t len, struct err *e)
{
	uint8_t *to = out;

	if (off > f->len || len > f->len - off)
		return err_set(e, EBADMSG, "%s: a place outside of the tree", f->path);
	while (len > 0) {
		size_t in_block = (size_t)(off % SEAL_BLOCK), n = SEAL_BLOCK - in_block;
		int rc;

		if (n > len)
			n = len;
		rc = read_in_block(f, off / SEAL_BLOCK, in_block, to, n, e);
		if (rc < 0)
			return rc;
		to += n;
		off += n;
		len -= n;
	}
	return 0;
}

/* --- the secret --- */

static int random_secret(struct secret **out, const char *cache_dir, struct err *e)
{
	CLEANUP(cleanup_freep) char *path = path_join(cache_dir, "secret");
	CLEANUP(secret_freep) struct secret *s = secret_new(SEAL_SECRET_MIN);
	CLEANUP(cleanup_closep) int fd = -1;
	struct stat st;

	if (!path || !s)
		return err_nomem(e, "cache secret");
	if (getrandom(s->p, s->len, 0) != (ssize_t)s->len)
		return err_set(e, EIO, "cache secret: no random numbers");
	/* Whoever locks it first fills it; a file of another length or mode is filled anew. */
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(e, errno, "%s: %s", path, strerror(errno));
	if (fstat(fd, &st) < 0 || st.st_uid != geteuid() || !S_ISREG(st.st_mode))
		return err_set(e, EPERM, "%s: not ours", path);
	if (flock(fd, LOCK_EX) < 0) /* goes with the descriptor: holds between threads too */
		return err_set(e, errno, "%s: %s", path, strerror(errno));
	if (fstat(fd, &st) == 0 && st.st_size == (off_t)s->len && !(st.st_mode & 077)) {
		if (read_exact(fd, s->p, s->len, 0) != 1)
			return err_set(e, EIO, "%s: cannot read", path);
	} else if (fchmod(fd, 0600) < 0 || ftruncate(fd, 0) < 0 ||
		   write_all_at(fd, s->p, s->len, 0) < 0) {
		return err_set(e, EIO, "%s: cannot write", path);
	}
	*out = TAKE(s);
	return 0;
}

int tree_secret(struct secret **out, const struct key *key, const char *cache_dir,
		struct err *e)
{
	const struct bytes parts[] = { key->id_key, key->enc_key, key->enc_hmac_key };
	size_t len = 0, at = 0;
	struct secret *s;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		len += parts[i].len;
	if (len < SEAL_SECRET_MIN)
		return random_secret(out, cache_dir, e);
	s = secret_new(len);
	if (!s)
		return err_nomem(e, "cache secret");
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (parts[i].len)
			memcpy(s->p + at, parts[i].p, parts[i].len);
		at += parts[i].len;
	}
	*out = s;
	return 0;
}
