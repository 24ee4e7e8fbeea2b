#ifndef ARCHIVE_COLLECT_H
#define ARCHIVE_COLLECT_H

/*
 * collect.h - what `create` stores of an object of the file system beside its content.
 *
 * Source: docs/format.md "Item keys", "Hard links", "ACL text", "Path rules".
 * Threads: one user.
 */

#include "core/archive/item.h"
#include "core/base/cleanup.h"
#include "core/platform/node.h"
#include "core/platform/owner.h"
#include "core/platform/xattr.h"

struct collect_options {
	bool numeric_ids; /* no names */
	bool atime, noctime, noflags, noacls, noxattrs;
};

/* A time as Borg stores it: not before 1970, and not later than every system can set. */
int64_t collect_time(const struct timespec *t);

struct collector;

int collector_new(struct collector **out, const struct collect_options *options, struct err *e);
void collector_free(struct collector *c);
DEFINE_CLEANUP(struct collector *, collector_free);

/* Mode, owner, times, flags.  Spans live as long as the collector. */
void collect_attrs(struct collector *c, const struct node *n, struct item *out);

/*
 * Attributes and ACLs; fd and name as for xattr_read().  Spans live until the next call.
 * *refused is the errno of an attribute that could not be read and was left out, or 0.
 */
int collect_extended(struct collector *c, int fd, const char *name, const struct node *n,
		     struct item *out, int *refused, struct err *e);

/* The same for attributes that the caller has: those of something that is in no file system. */
int collect_given(struct collector *c, const struct xattr_list *given, const struct node *n,
		  struct item *out, struct err *e);

/*
 * Fill in what hard links need.  True: the object is in the archive already, under the path that
 * *out refers to now, and only attributes are stored of this one.
 */
bool collect_hardlink(struct collector *c, const struct node *n, struct item *out);
/* The object is in the archive now, under this path as stored.  0 or -ENOMEM. */
int collect_archived(struct collector *c, const struct node *n, struct bytes path,
		     struct err *e);

/* A path as it is stored: without leading "/" and "../"; "." where nothing is left. */
struct bytes collect_stored_path(struct bytes path);

#endif
