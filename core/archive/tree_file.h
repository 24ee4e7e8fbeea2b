#ifndef ARCHIVE_TREE_FILE_H
#define ARCHIVE_TREE_FILE_H

/*
 * tree_file.h - an image in a sealed file, decrypted block by block on first touch.
 *
 * One struct tree_cache holds decrypted blocks for all trees of a process, bounded in bytes.
 *
 *      0  magic "ALCVSEAL", version u32, zero u32, salt[32], id[32], plaintext length u64
 *     88  blocks: SEAL_BLOCK bytes and SEAL_TAG each, the last one shorter
 *
 * Threads: any number may read; a mutex guards the cache and is not held over I/O.
 */

#include "core/base/cleanup.h"
#include "core/base/err.h"
#include "core/base/id.h"
#include "core/base/secret.h"

struct tree_cache;
struct tree_file;

struct tree_cache *tree_cache_new(size_t bytes); /* NULL when out of memory */
void tree_cache_free(struct tree_cache *c);      /* after the last tree is closed */
size_t tree_cache_bytes(struct tree_cache *c);   /* held now */

/* Write image sealed to path, whole or not at all. */
int tree_file_write(const char *path, const struct secret *secret, const struct chunk_id *id,
		    struct bytes image, struct err *e);

/* Errors: -ENOENT; -EBADMSG another owner, size, version or id. */
int tree_file_open(struct tree_file **out, const char *path, const struct secret *secret,
		   const struct chunk_id *id, struct tree_cache *cache, struct err *e);
void tree_file_close(struct tree_file *f);
DEFINE_CLEANUP(struct tree_file *, tree_file_close);

uint64_t tree_file_len(const struct tree_file *f);
/* -EBADMSG: damaged; the file is removed, so that the next opening builds it again. */
int tree_file_read(struct tree_file *f, uint64_t off, void *out, size_t len, struct err *e);

/* The secret for sealing: the repository's key material or, where it has none, a random file in
 * the cache folder (made on first use). */
struct key;
int tree_secret(struct secret **out, const struct key *key, const char *cache_dir,
		struct err *e);

#endif
