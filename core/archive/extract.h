#ifndef ARCHIVE_EXTRACT_H
#define ARCHIVE_EXTRACT_H

/*
 * extract.h - an archive back to files.
 *
 * Items are restored in archive order while the chunks of the following ones are already being
 * decoded on all cores.  Below the target folder no symlink is ever followed and no ".." is
 * taken: every path is walked by descriptors.  An item that cannot be restored costs a warning;
 * a chunk that is missing or damaged ends the extraction.
 * Source: command-line specification, 13.3; docs/format.md "Extraction semantics", "Hard links".
 * Threads: call from one; events come on the same.
 */

#include "core/archive/archive.h"
#include "core/archive/item.h"
#include "core/archive/match.h"
#include "core/archive/reader.h"

/* Takes what is selected instead of the file system.  Below 0: -errno, which ends it all. */
struct extract_receiver {
	void *arg;
	/* The next item; path after stripping; link: where the file is that this is a hard link
	 * of, or empty; size bytes of content follow.  1: it is not wanted, nor its content. */
	int (*item)(void *arg, const struct item *it, struct bytes path, struct bytes link,
		    uint64_t size, struct err *e);
	int (*content)(void *arg, const uint8_t *p, size_t len, struct err *e);
};

struct extract_options {
	struct matcher *matcher;                 /* which items */
	int root_fd;                             /* the target folder */
	const char *root_name;                   /* its path, for messages */
	const struct extract_receiver *receiver; /* NULL: the target folder */
	int content_fd; /* >= 0: write all content there and restore nothing */
	bool dry_run;   /* read, authenticate and decode everything, write nothing */
	bool sparse;    /* chunks of zeros become holes */
	bool numeric_ids, no_flags, no_acls, no_xattrs;
	bool consider_part_files;
	unsigned strip_components;
};

struct extract_events { /* any may be NULL */
	void *arg;
	void (*item)(void *arg, struct bytes path); /* is next; path after stripping */
	/* Text without Borg's logger or level; msgid as in run_warn(). */
	void (*warning)(void *arg, const char *msgid, const char *text);
	void (*content)(void *arg, struct bytes path, uint64_t bytes); /* were handled */
	/* Directories whose attributes are set, of all; they come last. */
	void (*directories)(void *arg, size_t done, size_t total);
};

int extract_archive(struct reader *r, const struct archive *a,
		    const struct extract_options *options, const struct extract_events *events,
		    struct err *e);
/* Bytes of content that extract_archive() would handle: one pass over the items. */
int extract_size(struct reader *r, const struct archive *a,
		 const struct extract_options *options, uint64_t *bytes, struct err *e);

#endif
