#ifndef BASE_IO_H
#define BASE_IO_H

/*
 * io.h - files read and written whole, or not at all.
 *
 * Interrupted and short transfers are retried.  Results are -errno without a sentence
 * where no struct err is passed: the caller knows what the file is for.
 * Threads: no state.
 */

#include "core/base/bytes.h"
#include "core/base/err.h"

#include <stdint.h>
#include <sys/types.h>

/* Read exactly len bytes at off.  1 done; 0 when the file ends at off; -EBADMSG when it ends
 * later but too early; -errno. */
int read_exact(int fd, void *p, size_t len, uint64_t off);
/* Read up to len bytes at off, fewer only at the end of the file; the count or -errno. */
ssize_t read_at(int fd, void *p, size_t len, uint64_t off);
int write_all(int fd, const void *p, size_t len); /* at the file position; 0 or -errno */
int write_all_at(int fd, const void *p, size_t len, uint64_t off);

/* Append the rest of fd to out, at most max bytes in all (-EFBIG beyond). */
int read_to_end(int fd, size_t max, struct buf *out);
/* A whole file; dirfd as for openat(2).  Errors name the path. */
int file_read(int dirfd, const char *path, size_t max, struct buf *out, struct err *e);
/* Replace path by content: a temporary file beside it, synced, renamed over it, folder synced. */
int file_replace(const char *path, struct bytes content, mode_t mode, struct err *e);
/* The same with the temporary file in that folder, which must be of the same file system (-EXDEV):
 * for folders where somebody takes every file for whole. */
int file_replace_from(const char *folder, const char *path, struct bytes content, mode_t mode,
		      struct err *e);
/* mkdir -p with the given mode for each missing part. */
int make_dirs(const char *path, mode_t mode, struct err *e);
/* rm -r, never following a symbolic link; what is gone meanwhile does not matter. */
int remove_tree(const char *path, struct err *e);
int sync_dir(const char *path); /* fsync a folder; 0 or -errno */
/* Sync every folder above path, up to the root: their names are durable, too, also where they were
 * made by a process that was killed before it could.  Those that may not be read are not ours. */
int sync_dirs_above(const char *path, struct err *e);
/* "a" of "a/b", "/" of "/b", "." of "b"; on the heap, NULL when out of memory. */
char *folder_of(const char *path);

/* Append the path without ".", "x/.." and doubled slashes (but two at the start are kept), by its
 * text alone, as Python's os.path.normpath() does; "." where nothing is left.  0 or -ENOMEM. */
int path_normal(const char *path, struct buf *out);
/* "a/b" from its parts, on the heap; NULL when out of memory. */
char *path_join(const char *a, const char *b);

#endif
