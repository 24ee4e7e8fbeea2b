#ifndef PLATFORM_NODE_H
#define PLATFORM_NODE_H

/*
 * node.h - objects of a file system: what they are, and the names in a folder.
 *
 * Names are looked up below an open folder and never followed, so nobody can lead a walk astray by
 * renaming what is above it, and no path is too long.
 * Threads: no state.
 */

#include "core/base/bytes.h"

#include <stdbool.h>
#include <sys/stat.h>

struct node {
	struct stat st;
	uint64_t
		bsdflags; /* as archives have them (flags.h), 0 where the file system has none */
};

/* One system call.  name NULL: fd itself.  0 or -errno. */
int node_stat(int fd, const char *name, struct node *out);

struct node_name {
	uint64_t inode;
	const char *name; /* NUL-terminated, in the list's memory */
};

struct node_names {
	struct node_name *v; /* by inode number, which is how file systems lay them out */
	size_t count, cap;
	struct buf text;
};

/* The names in the folder but "." and "..".  0 or -errno; *out is to be released in any case. */
int node_list(int dirfd, struct node_names *out);
void node_names_fini(struct node_names *names); /* also a cleanup */

enum node_open_flags {
	NODE_DIRECTORY = 1,
	NODE_FOLLOW = 2, /* a symbolic link's target */
	NODE_WAIT = 4,   /* for the other end of a FIFO, a medium in a drive */
};
/*
 * Open a name below a folder for reading, never following it and never waiting unless told so, and
 * without changing its access time where that is allowed.  The descriptor or -errno.
 */
int node_open(int dirfd, const char *name, unsigned flags);

#endif
