/* item_put.c - an item's record packed; see item.h.  Keys come in the order of their names. */

#include "core/archive/item.h"

#include <errno.h>

static int put_key(struct buf *b, const char *key)
{
	return mp_put_str(b, bytes_str(key));
}

static int put_text(struct buf *b, const char *key, struct bytes text)
{
	return put_key(b, key) < 0 ? -ENOMEM : mp_put_str(b, text);
}

static int put_int(struct buf *b, const char *key, int64_t v)
{
	return put_key(b, key) < 0 ? -ENOMEM : mp_put_int(b, v);
}

static int put_uint(struct buf *b, const char *key, uint64_t v)
{
	return put_key(b, key) < 0 ? -ENOMEM : mp_put_uint(b, v);
}

static int put_bool(struct buf *b, const char *key, bool v)
{
	return put_key(b, key) < 0 ? -ENOMEM : mp_put_bool(b, v);
}

/* A name, or nil where there is none. */
static int put_owner(struct buf *b, const char *key, bool known, struct bytes name)
{
	if (put_key(b, key) < 0)
		return -ENOMEM;
	return known ? mp_put_str(b, name) : mp_put_nil(b);
}

static int put_chunks(struct buf *b, const struct item *it)
{
	int rc =
		put_key(b, "chunks") < 0 ? -ENOMEM : mp_put_array(b, (uint32_t)it->chunk_count);

	for (size_t i = 0; rc == 0 && i < it->chunk_count; i++) {
		const struct item_chunk *c = &it->chunks[i];

		if (mp_put_array(b, 3) < 0 ||
		    mp_put_str(b, (struct bytes){ c->id.b, CHUNK_ID_SIZE }) < 0 ||
		    mp_put_uint(b, c->size) < 0 || mp_put_uint(b, c->csize) < 0)
			rc = -ENOMEM;
	}
	return rc;
}

/* An empty value is nil. */
static int put_xattrs(struct buf *b, const struct item *it)
{
	int rc = put_key(b, "xattrs") < 0 ? -ENOMEM : mp_put_map(b, (uint32_t)it->xattr_count);

	for (size_t i = 0; rc == 0 && i < it->xattr_count; i++) {
		const struct item_xattr *x = &it->xattrs[i];

		rc = mp_put_str(b, x->name);
		if (rc == 0)
			rc = x->value.len ? mp_put_str(b, x->value) : mp_put_nil(b);
	}
	return rc;
}

static uint32_t count_pairs(const struct item *it)
{
	static const uint32_t optional = ITEM_ACL_ACCESS | ITEM_ACL_DEFAULT |
					 ITEM_ACL_EXTENDED | ITEM_ACL_NFS4 | ITEM_ATIME |
					 ITEM_BIRTHTIME | ITEM_BSDFLAGS | ITEM_CHUNKS |
					 ITEM_CTIME | ITEM_HARDLINK_MASTER | ITEM_PART |
					 ITEM_RDEV | ITEM_SIZE | ITEM_SOURCE | ITEM_XATTRS;

	/* gid, group, mode, mtime, path, uid, user */
	return 7 + (uint32_t)__builtin_popcount(it->has & optional);
}

static int put_to_flags(struct buf *b, const struct item *it)
{
	if ((it->has & ITEM_ACL_ACCESS && put_text(b, "acl_access", it->acl_access) < 0) ||
	    (it->has & ITEM_ACL_DEFAULT && put_text(b, "acl_default", it->acl_default) < 0) ||
	    (it->has & ITEM_ACL_EXTENDED &&
	     put_text(b, "acl_extended", it->acl_extended) < 0) ||
	    (it->has & ITEM_ACL_NFS4 && put_text(b, "acl_nfs4", it->acl_nfs4) < 0) ||
	    (it->has & ITEM_ATIME && put_int(b, "atime", it->atime_ns) < 0) ||
	    (it->has & ITEM_BIRTHTIME && put_int(b, "birthtime", it->birthtime_ns) < 0) ||
	    (it->has & ITEM_BSDFLAGS && put_uint(b, "bsdflags", it->bsdflags) < 0))
		return -ENOMEM;
	return 0;
}

static int put_chunks_to_mtime(struct buf *b, const struct item *it)
{
	if ((it->has & ITEM_CHUNKS && put_chunks(b, it) < 0) ||
	    (it->has & ITEM_CTIME && put_int(b, "ctime", it->ctime_ns) < 0) ||
	    put_uint(b, "gid", it->gid) < 0 ||
	    put_owner(b, "group", it->has & ITEM_GROUP, it->group) < 0 ||
	    (it->has & ITEM_HARDLINK_MASTER &&
	     put_bool(b, "hardlink_master", it->hardlink_master) < 0) ||
	    put_uint(b, "mode", it->mode) < 0 || put_int(b, "mtime", it->mtime_ns) < 0)
		return -ENOMEM;
	return 0;
}

static int put_the_rest(struct buf *b, const struct item *it)
{
	if ((it->has & ITEM_PART && put_uint(b, "part", it->part) < 0) ||
	    put_text(b, "path", it->path) < 0 ||
	    (it->has & ITEM_RDEV && put_uint(b, "rdev", it->rdev) < 0) ||
	    (it->has & ITEM_SIZE && put_uint(b, "size", it->size) < 0) ||
	    (it->has & ITEM_SOURCE && put_text(b, "source", it->source) < 0) ||
	    put_uint(b, "uid", it->uid) < 0 ||
	    put_owner(b, "user", it->has & ITEM_USER, it->user) < 0 ||
	    (it->has & ITEM_XATTRS && put_xattrs(b, it) < 0))
		return -ENOMEM;
	return 0;
}

int item_put(struct buf *b, const struct item *it)
{
	if (mp_put_map(b, count_pairs(it)) < 0 || put_to_flags(b, it) < 0 ||
	    put_chunks_to_mtime(b, it) < 0)
		return -ENOMEM;
	return put_the_rest(b, it);
}
