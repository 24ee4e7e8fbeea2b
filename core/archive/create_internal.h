#ifndef ARCHIVE_CREATE_INTERNAL_H
#define ARCHIVE_CREATE_INTERNAL_H

/* create_internal.h - what create.c, which walks, and create_content.c, which reads, share. */

#include "core/archive/create.h"
#include "core/archive/walk.h"
#include "core/base/table.h"

struct create {
	struct create_options options;
	struct archive_writer *writer;
	struct put *put;
	struct repo *repo;
	struct files_cache *cache;
	struct collector *collector;
	struct chunker *chunker;
	char *cwd;
	struct buf absolute; /* path at hand */
	struct table
		skip; /* struct skipped -> nothing: never archived, or done; the walk reads it */
	struct walk *walk;
	struct inside *inside; /* folders that the walk is in, the outermost first */
	size_t depth, inside_cap;
	size_t unwanted;       /* folders, one in the other, that are not archived */
	bool stopped;          /* step said so */
	struct put_slab *slab; /* being read into */
	size_t slab_used;
	struct files_chunks known;
	struct item_chunk zero; /* a block of zeros that is stored; size 0: none yet */
	struct buf zeros;
	const struct item *reading; /* the file under way, between its chunks */
	unsigned parts;             /* of it so far */
	size_t part_from;           /* its chunks below are in parts */
};

struct inside {
	char *path;
	char letter; /* to be told when it is left, or 0 */
};

struct skipped {
	uint64_t device, inode;
};

/* What is wrong with one file, and not with the run. */
enum { CREATE_FILE_FAILED = 1 };

/* Warn about `path`: "OP: [Errno N] why: 'name'" as Python has it; CREATE_FILE_FAILED. */
int create_file_failed(struct create *c, const char *path, const char *op, int code,
		       const char *name);

/* --- create_content.c --- */

/*
 * Give the content of fd, from its position on, to the writer.  0; CREATE_FILE_FAILED, told, with
 * the chunks dropped; -errno of the repository.
 */
int create_read(struct create *c, int fd, const char *path, const char *name,
		const struct node *n, const struct item *it, struct err *e);
/* The same for content that comes from elsewhere. */
int create_read_content(struct create *c, const struct create_content *content,
			const char *path, const struct item *it, struct err *e);

#endif
