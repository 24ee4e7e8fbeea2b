#ifndef MOUNT_PLUS_H
#define MOUNT_PLUS_H

/*
 * plus.h - whether a listing brings the attributes along (readdirplus), learnt from who asks.
 *
 * The kernel makes an inode of every entry that comes with attributes: cheap for who looks at
 * each afterwards (ls -l, rsync, du), and most of the work for who wants names alone (find).  The
 * first page of a folder always has them.  Of a long folder the rest is tried without; if names
 * of files are looked up after that, one by one, listings are complete for a long while.
 * Who reads all of a folder before he looks at it cannot be told apart in the first one: so no
 * folder is left bare for long before two were listed and nobody asked.
 *
 * Threads: any; a race costs a page of the other kind.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	PLUS_CREDIT = 100000, /* entries listed in full after a look-up */
	PLUS_BARE_MAX = 2048, /* bare entries, as long as it is not known */
};

struct plus { /* all zeros: nothing known */
	_Atomic int64_t credit;
	_Atomic uint64_t bare;    /* entries listed without, since the last look-up */
	_Atomic unsigned folders; /* begun since then */
};

/* A page of a listing: do its files come with attributes? */
bool plus_wanted(struct plus *p, bool first_page);
/* That page had so many files. */
void plus_listed(struct plus *p, bool with, uint64_t files);
/* A file was looked up by name. */
void plus_looked_up(struct plus *p);

#endif
