#ifndef ARCHIVE_EXTRACT_INTERNAL_H
#define ARCHIVE_EXTRACT_INTERNAL_H

/*
 * extract_internal.h - between extract.c, which decides what is restored in which order, and
 * extract_files.c, which makes the files.
 */

#include "core/archive/extract.h"
#include "core/archive/item.h"
#include "core/platform/owner.h"

/* Where files are made: the target folder, and the folder of the last file. */
struct files {
	const struct extract_options *options;
	const struct extract_events *events;
	struct owner_cache *owners;
	int parent_fd;      /* -1: none */
	struct buf parent;  /* its path below the root */
	struct buf scratch; /* names as C strings */
};

void files_init(struct files *f, const struct extract_options *options,
		const struct extract_events *events, struct owner_cache *owners);
void files_fini(struct files *f);

/* Each restores one thing at `path` below the root, replacing what is there; what fails is a
 * warning.  0 done, 1 not (a warning was given), -errno only out of memory. */
int files_make_dir(struct files *f, struct bytes path);
int files_make_special(struct files *f, struct bytes path, const struct item *it);
int files_make_symlink(struct files *f, struct bytes path, const struct item *it);
int files_link(struct files *f, struct bytes path, struct bytes target);
/* An empty regular file, open for writing: *fd. */
int files_make_file(struct files *f, struct bytes path, int *fd);
/* The content ends at `size`; attributes; closes fd. */
int files_finish_file(struct files *f, struct bytes path, const struct item *it, int fd,
		      uint64_t size);
/* Attributes of a directory, after its contents. */
int files_finish_dir(struct files *f, struct bytes path, const struct item *it);

void files_warn(const struct files *f, const char *msgid, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* "PATH: OP: [Errno N] TEXT: 'NAME'"; op may be NULL.  Returns 1. */
int files_warn_os(const struct files *f, struct bytes path, const char *op, int error);

#endif
