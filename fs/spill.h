#ifndef FS_SPILL_H
#define FS_SPILL_H

/*
 * spill.h - a temporary file without a name for what does not fit into memory, encrypted page by page.
 *
 * AES-256-XTS with the page's number as tweak and a key that is random and lives only in memory: a
 * page is rewritten in place as often as one likes, and what is left on the disk after a crash is
 * noise.  Freed pages are used again, and in runs given back to the file system.
 *
 * Positions are bytes, allocation is by pages.  A page that was never written reads as noise.
 *
 * Source: design decision 10; IEEE 1619 (XTS).
 * Threads: all functions from any; a page has one user at a time.
 */

#include "core/base/bytes.h"
#include "core/base/cleanup.h"
#include "core/base/err.h"

enum { SPILL_PAGE = 4096 };

struct spill;

/* dir: NULL for TMPDIR, else /var/tmp.  Errors: -ENOMEM; errno, with the folder's name. */
int spill_open(struct spill **out, const char *dir, struct err *e);
void spill_close(struct spill *s); /* does nothing for NULL */
DEFINE_CLEANUP(struct spill *, spill_close);

/*
 * Up to `want` pages that follow each other, at least one: the page `near` and those behind it where
 * they are free (UINT64_MAX: anywhere).  -ENOMEM.  The disk's room is taken by writing.
 */
int spill_alloc(struct spill *s, uint64_t near, size_t want, uint64_t *first, size_t *got);
void spill_release(struct spill *s, uint64_t first, size_t count);

/* Errors: -ENOSPC, -EDQUOT, -EIO, ...: the bytes there are then the old ones, the new ones, or noise. */
int spill_write(struct spill *s, uint64_t pos, struct bytes data, struct err *e);
int spill_read(struct spill *s, uint64_t pos, uint8_t *out, size_t len, struct err *e);

uint64_t spill_used(struct spill *s); /* bytes of pages allocated */
/* For tests: the descriptor, which stays the spill's. */
int spill_fd(const struct spill *s);

#endif
