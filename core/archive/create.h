#ifndef ARCHIVE_CREATE_H
#define ARCHIVE_CREATE_H

/*
 * create.h - a walked tree into an archive.
 *
 * Names are looked up below open folders and never followed.  What cannot be read is told and left
 * out; only what concerns the repository ends the run.
 *
 * Source: command-line specification, 9.3 and 13.2; docs/format.md "Items".
 * Threads: one user, the pipeline's caller.
 */

#include "core/archive/archive_writer.h"
#include "core/archive/collect.h"
#include "core/archive/files_cache.h"
#include "core/archive/match.h"

enum files_changed { CHANGED_BY_CTIME, CHANGED_BY_MTIME, CHANGED_NEVER };

struct create_options {
	struct collect_options collect;
	struct chunker_params chunker;
	struct matcher *matcher; /* NULL: everything */
	bool one_file_system, read_special, sparse, dry_run;
	bool exclude_caches, keep_exclude_tags, exclude_nodump;
	char *const *exclude_if_present; /* names of tags */
	size_t exclude_if_present_count;
	enum files_changed changed;

	/* Borg's status letters; path as it was walked. */
	void (*status)(void *arg, char letter, const char *path);
	/* "PATH: why": something was left out, or changed while it was read. */
	void (*warn)(void *arg, const char *path, const char *why);
	/* "PATH: what": left out because no archive can hold it; may be NULL. */
	void (*note)(void *arg, const char *path, const char *what);
	/* Between items, and with in_file between a file's chunks: for progress and checkpoints.  A
	 * positive result ends the walk quietly, -errno the run. */
	int (*step)(void *arg, const char *path, bool in_file, struct err *e);
	void *arg;
};

struct create;

/* Everything is borrowed.  In a dry run writer, put and cache are NULL; cache may always be. */
int create_new(struct create **out, struct archive_writer *writer, struct put *put,
	       struct repo *repo, const struct key *key, struct files_cache *cache,
	       const struct create_options *options, struct err *e);
void create_free(struct create *c);
DEFINE_CLEANUP(struct create *, create_free);

/* What the writer calls for each item; to be given as archive_writer_options.done with `c`'s place
 * as its argument: it fills the files cache. */
int create_item_done(void *files_cache, void *cookie, const struct item *it,
		     const struct item_chunk *chunks, size_t count, struct err *e);

/* This object is never archived: the repository, the cache. */
int create_skip(struct create *c, const char *path, struct err *e);

/* A recursion root, with all below it. */
int create_root(struct create *c, const char *path, struct err *e);
/* One object alone; a folder without its entries. */
int create_one(struct create *c, const char *path, struct err *e);

struct create_stream {
	const char *name; /* stored as it is */
	uint32_t mode, uid, gid;
	const char *user, *group;
};
/* A file of what fd gives until its end.  -errno with "read: ..." where that fails. */
int create_stream(struct create *c, int fd, const struct create_stream *as, struct err *e);

/* Content that is no file's: fills p with up to len bytes.  0 at the end; -errno ends the run. */
struct create_content {
	ssize_t (*read)(void *arg, uint8_t *p, size_t len, struct err *e);
	void *arg;
};
/* An item that is given, with content or (NULL) without.  0; 1 after step() said so; -errno. */
int create_item(struct create *c, const char *path, const struct item *it,
		const struct create_content *content, struct err *e);

/* For step(), in a file: what was read of it since the part before becomes an item of its own, so
 * that a checkpoint has it. */
int create_write_part(struct create *c, struct err *e);

#endif
