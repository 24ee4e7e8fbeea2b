#ifndef ARCHIVE_ITEM_H
#define ARCHIVE_ITEM_H

/*
 * item.h - one file's record in an archive.
 *
 * A parsed item borrows from the buffer it was parsed from.  Times are ns since the epoch.
 * Source: docs/format.md "Item keys", "Hard links", "ACL text", "Part files".
 */

#include "core/base/arena.h"
#include "core/base/err.h"
#include "core/base/id.h"
#include "core/codec/mp.h"

enum item_has { /* which optional fields the record had */
		ITEM_ATIME = 1 << 0,
		ITEM_CTIME = 1 << 1,
		ITEM_BIRTHTIME = 1 << 2,
		ITEM_SIZE = 1 << 3,
		ITEM_CHUNKS = 1 << 4, /* a chunk list, maybe empty */
		ITEM_CHUNKS_HEALTHY =
			1 << 5, /* the file is damaged: some chunks were replaced by zeros */
		ITEM_HARDLINK_MASTER = 1 << 6,
		ITEM_SOURCE = 1 << 7,
		ITEM_RDEV = 1 << 8,
		ITEM_USER = 1 << 9, /* present and not nil */
		ITEM_GROUP = 1 << 10,
		ITEM_BSDFLAGS = 1 << 11,
		ITEM_PART = 1 << 12,
		ITEM_ACL_ACCESS = 1 << 13,
		ITEM_ACL_DEFAULT = 1 << 14,
		ITEM_XATTRS = 1 << 15,
		ITEM_ACL_NFS4 = 1 << 16,
		ITEM_ACL_EXTENDED = 1 << 17,
};

struct item_chunk {
	struct chunk_id id;
	uint32_t size;  /* plaintext */
	uint32_t csize; /* stored object, 0 where unknown */
};

struct item_xattr {
	struct bytes name;
	struct bytes value; /* empty for nil */
};

struct item {
	uint32_t has; /* of enum item_has */
	struct bytes path;
	uint32_t mode;
	uint32_t uid, gid; /* negative ones are 0 */
	struct bytes user, group;
	int64_t mtime_ns, atime_ns, ctime_ns, birthtime_ns; /* absent ones are mtime_ns */
	uint64_t size;        /* as stored, else the sum of the chunks */
	uint64_t chunks_size; /* sum of the chunks' sizes */
	uint64_t rdev;        /* Linux encoding */
	uint64_t bsdflags;
	uint64_t part;
	bool hardlink_master; /* with the rule for old archives applied */
	struct bytes source;
	struct bytes acl_access, acl_default, acl_nfs4, acl_extended;
	struct item_chunk *chunks; /* in the arena */
	size_t chunk_count;
	struct item_xattr *xattrs; /* in the arena */
	size_t xattr_count;
};

/* A hard-link reference: shares the inode of the item at path `source`. */
bool item_is_hardlink_slave(const struct item *it);

/*
 * Parse one record; lists are allocated in the arena.  m is left behind the record.
 * Returns 1; 0 where the input ends inside the record (m->truncated: feed more); -EBADMSG not a
 * valid item (no path, no mtime, wrong types, impossible counts); -ENOMEM.
 */
int item_parse(struct mp *m, struct arena *arena, struct item *out, struct err *e);

/* Append the record as Borg writes it: the fields that `has` names, and path, mode, mtime, owner.
 * xattrs are in the order of their names.  0 or -ENOMEM. */
int item_put(struct buf *b, const struct item *it);

#endif
