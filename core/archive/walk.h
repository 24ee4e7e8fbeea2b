#ifndef ARCHIVE_WALK_H
#define ARCHIVE_WALK_H

/*
 * walk.h - what is in a tree, in the order in which `create` archives it, found ahead of use.
 *
 * A thread lists folders, looks at their entries and applies the rules of what is left out; what it
 * found waits in a queue that holds a few thousand objects, and few folders open, at most.  So the
 * system calls for one file are made while others are looked up and encoded.
 *
 * A folder comes before its entries, and is left after them.  Entries come by inode number, as
 * node_list() has them.  Names are looked up below open folders and never followed.
 *
 * Source: command-line specification, 9.3 and 13.2.
 * Threads: one user; the walking thread is inside.  `skip` is called from there.
 */

#include "core/archive/match.h"
#include "core/platform/node.h"

struct walk_options {
	struct matcher *matcher; /* NULL: everything */
	bool one_file_system;    /* other file systems' folders are not entered */
	bool exclude_nodump;
	bool exclude_caches, keep_exclude_tags;
	char *const *exclude_if_present; /* names of tags */
	size_t exclude_if_present_count;
	bool attributes;                                /* are wanted: find out who has any */
	bool (*skip)(void *arg, const struct stat *st); /* never archived; may be NULL */
	void *arg;
};

enum walk_kind {
	WALK_OBJECT, /* anything but a folder: not opened */
	WALK_FOLDER, /* is open: `fd`; WALK_LEFT follows, and before it its entries */
	WALK_LEFT,   /* `fd` is the folder's, until the next call */
	WALK_EXCLUDED,
	WALK_SKIPPED, /* nothing is said about it */
	WALK_FAILED,  /* an object, or between WALK_FOLDER and WALK_LEFT the folder's entries */
};

struct walk_found {
	enum walk_kind kind;
	bool first;       /* of what is found of this object: not WALK_LEFT, for one */
	bool included;    /* a folder may be entered for what is below it alone */
	bool tagged;      /* WALK_FOLDER: is left out but for itself and its tags */
	bool plain;       /* has no extended attributes, and no ACL */
	bool listed;      /* WALK_LEFT: its entries could be */
	int dirfd;        /* of the folder it is in ... */
	const char *name; /* ... and its name there, without "/" */
	const char *path; /* as it is told, matched and stored */
	int fd;
	struct node node; /* of WALK_OBJECT, WALK_FOLDER */
	int code;         /* WALK_FAILED: errno, or 0 where it is another object meanwhile: */
	const char *what; /* the step that failed, or what changed */
};

struct walk;

/* The options' pointers are borrowed. */
int walk_new(struct walk **out, const struct walk_options *options, struct err *e);
void walk_free(struct walk *w); /* ends; does nothing for NULL */
DEFINE_CLEANUP(struct walk *, walk_free);

/* One object, `name` in dirfd, which stays open until the end; with all below it.  `st` is what it
 * was found to be, and says which file system it is in. */
int walk_begin(struct walk *w, int dirfd, const char *name, const char *path,
	       const struct stat *st, struct err *e);
/* 1 with what was found next, which holds until the next call; 0 at the end. */
int walk_next(struct walk *w, const struct walk_found **out, struct err *e);
/* No more is wanted: nothing is open afterwards. */
void walk_end(struct walk *w);

#endif
