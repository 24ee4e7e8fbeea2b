/*
 * item.c - see item.h.
 *
 * One pass over the map: a key is told by its length and then one comparison, values go straight
 * into the item.  Keys we do not know are skipped.  Lists are allocated only when the record's
 * remaining bytes can hold them, so a record costs at most a small multiple of its own size.
 *
 * What old versions wrote is taken too: times as byte strings, no `size`, no `hardlink_master`,
 * the `acl` key of attic.
 */

#include "core/archive/item.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum {
	CHUNK_MIN =
		1 + 2 + CHUNK_ID_SIZE + 1 + 1, /* bytes of the shortest packed chunk entry */
	XATTR_MIN = 1 + 1,
	UID_FOREIGN = 65534, /* nobody: stands for a number beyond 32 bits */
};

static_assert(sizeof(struct item_chunk) <= 2 * CHUNK_MIN,
	      "a chunk list costs a small multiple");

enum key {
	KEY_UNKNOWN,
	KEY_GID,
	KEY_UID,
	KEY_MODE,
	KEY_PART,
	KEY_PATH,
	KEY_RDEV,
	KEY_SIZE,
	KEY_USER,
	KEY_ATIME,
	KEY_CTIME,
	KEY_GROUP,
	KEY_MTIME,
	KEY_CHUNKS,
	KEY_SOURCE,
	KEY_XATTRS,
	KEY_ACL_NFS4,
	KEY_BSDFLAGS,
	KEY_BIRTHTIME,
	KEY_ACL_ACCESS,
	KEY_ACL_DEFAULT,
	KEY_ACL_EXTENDED,
	KEY_CHUNKS_HEALTHY,
	KEY_HARDLINK_MASTER,
};

#define IS(text) (memcmp(k.p, text, sizeof(text) - 1) == 0)

static enum key key_of(struct bytes k)
{
	switch (k.len) {
	case 3: return IS("gid") ? KEY_GID : IS("uid") ? KEY_UID : KEY_UNKNOWN;
	case 4:
		switch (k.p[0]) {
		case 'm': return IS("mode") ? KEY_MODE : KEY_UNKNOWN;
		case 'p': return IS("path") ? KEY_PATH : IS("part") ? KEY_PART : KEY_UNKNOWN;
		case 'r': return IS("rdev") ? KEY_RDEV : KEY_UNKNOWN;
		case 's': return IS("size") ? KEY_SIZE : KEY_UNKNOWN;
		case 'u': return IS("user") ? KEY_USER : KEY_UNKNOWN;
		default: return KEY_UNKNOWN;
		}
	case 5:
		switch (k.p[0]) {
		case 'a': return IS("atime") ? KEY_ATIME : KEY_UNKNOWN;
		case 'c': return IS("ctime") ? KEY_CTIME : KEY_UNKNOWN;
		case 'g': return IS("group") ? KEY_GROUP : KEY_UNKNOWN;
		case 'm': return IS("mtime") ? KEY_MTIME : KEY_UNKNOWN;
		default: return KEY_UNKNOWN;
		}
	case 6:
		return IS("chunks")   ? KEY_CHUNKS
		       : IS("source") ? KEY_SOURCE
		       : IS("xattrs") ? KEY_XATTRS
				      : KEY_UNKNOWN;
	case 8:
		return IS("bsdflags")   ? KEY_BSDFLAGS
		       : IS("acl_nfs4") ? KEY_ACL_NFS4
					: KEY_UNKNOWN;
	case 9: return IS("birthtime") ? KEY_BIRTHTIME : KEY_UNKNOWN;
	case 10: return IS("acl_access") ? KEY_ACL_ACCESS : KEY_UNKNOWN;
	case 11: return IS("acl_default") ? KEY_ACL_DEFAULT : KEY_UNKNOWN;
	case 12: return IS("acl_extended") ? KEY_ACL_EXTENDED : KEY_UNKNOWN;
	case 14: return IS("chunks_healthy") ? KEY_CHUNKS_HEALTHY : KEY_UNKNOWN;
	case 15: return IS("hardlink_master") ? KEY_HARDLINK_MASTER : KEY_UNKNOWN;
	default: return KEY_UNKNOWN;
	}
}

#undef IS

static void refuse(struct mp *m)
{
	m->bad = true;
	m->p = m->end;
}

/* The input ends before what it announced. */
static void run_out(struct mp *m)
{
	m->truncated = m->truncated || !m->bad;
	refuse(m);
}

/* Little-endian two's complement of any length; what does not fit becomes the nearest. */
static int64_t wide_int(struct bytes b)
{
	uint8_t low[8];
	uint8_t sign = b.len && (b.p[b.len - 1] & 0x80) ? 0xff : 0;

	memset(low, sign, sizeof(low));
	memcpy(low, b.p, b.len < sizeof(low) ? b.len : sizeof(low));
	for (size_t i = sizeof(low); i < b.len; i++)
		if (b.p[i] != sign)
			return sign ? INT64_MIN : INT64_MAX;
	if (b.len > sizeof(low) && (low[7] & 0x80) != (sign & 0x80))
		return sign ? INT64_MIN : INT64_MAX;
	return (int64_t)get_le64(low);
}

static int64_t parse_time(struct mp *m)
{
	enum { UINT64 = 0xcf };
	struct bytes b;

	if (m->p < m->end && *m->p == UINT64) {
		uint64_t v = mp_uint(m);

		return v > INT64_MAX ? INT64_MAX : (int64_t)v;
	}
	if (mp_peek(m) != MP_STR)
		return mp_int(m);
	b = mp_str(m);
	if (mp_ok(m) && b.len < 8)
		refuse(m);
	return mp_ok(m) ? wide_int(b) : 0;
}

static uint32_t parse_owner(struct mp *m)
{
	int64_t v = mp_int(m);

	if (v < 0)
		return 0;
	return v > UINT32_MAX ? UID_FOREIGN : (uint32_t)v;
}

static uint32_t parse_u32(struct mp *m)
{
	uint64_t v = mp_uint(m);

	if (v > UINT32_MAX)
		refuse(m);
	return (uint32_t)v;
}

/* A byte string; nil is like an absent key. */
static void parse_str(struct mp *m, struct bytes *out, uint32_t *has, enum item_has flag)
{
	*has &= ~(uint32_t)flag;
	if (mp_nil(m))
		return;
	*out = mp_str(m);
	*has |= flag;
}

static bool room_for(struct mp *m, uint32_t count, size_t least)
{
	if (!mp_ok(m))
		return false;
	if (count > (size_t)(m->end - m->p) / least) {
		run_out(m);
		return false;
	}
	return true;
}

static int parse_chunks(struct mp *m, struct arena *arena, struct item *it)
{
	struct item_chunk *list;
	uint64_t sum = 0;
	uint32_t count;

	it->has &= ~(uint32_t)ITEM_CHUNKS;
	it->chunks = NULL;
	it->chunk_count = 0;
	it->chunks_size = 0;
	if (mp_nil(m))
		return 0;
	count = mp_array(m);
	if (!room_for(m, count, CHUNK_MIN))
		return 0;
	list = count ? arena_alloc(arena, count * sizeof(*list)) : NULL;
	if (count && !list)
		return -ENOMEM;
	for (uint32_t i = 0; i < count && mp_ok(m); i++) {
		struct bytes id;

		if (mp_array(m) != 3)
			refuse(m);
		id = mp_str(m);
		if (!mp_ok(m) || id.len != CHUNK_ID_SIZE) {
			refuse(m);
			break;
		}
		memcpy(list[i].id.b, id.p, CHUNK_ID_SIZE);
		list[i].size = parse_u32(m);
		list[i].csize = parse_u32(m);
		sum += list[i].size; /* 2^32 entries of 2^32 at most: cannot overflow */
	}
	it->chunks = list;
	it->chunk_count = count;
	it->chunks_size = sum;
	it->has |= ITEM_CHUNKS;
	return 0;
}

static int parse_xattrs(struct mp *m, struct arena *arena, struct item *it)
{
	struct item_xattr *list;
	uint32_t count;

	it->has &= ~(uint32_t)ITEM_XATTRS;
	it->xattrs = NULL;
	it->xattr_count = 0;
	if (mp_nil(m))
		return 0;
	count = mp_map(m);
	if (!room_for(m, count, XATTR_MIN))
		return 0;
	list = count ? arena_alloc(arena, count * sizeof(*list)) : NULL;
	if (count && !list)
		return -ENOMEM;
	for (uint32_t i = 0; i < count && mp_ok(m); i++) {
		list[i].name = mp_str(m);
		list[i].value = mp_nil(m) ? (struct bytes){ 0 } : mp_str(m);
	}
	it->xattrs = list;
	it->xattr_count = count;
	it->has |= ITEM_XATTRS;
	return 0;
}

/* What has defaults, and what must be there. */
struct seen {
	bool path, mtime;
};

static int parse_value(struct mp *m, enum key key, struct arena *arena, struct item *it,
		       struct seen *seen)
{
	switch (key) {
	case KEY_UNKNOWN: mp_skip(m); break;
	case KEY_GID: it->gid = parse_owner(m); break;
	case KEY_UID: it->uid = parse_owner(m); break;
	case KEY_MODE: it->mode = parse_u32(m); break;
	case KEY_PART:
		it->part = mp_uint(m);
		it->has |= ITEM_PART;
		break;
	case KEY_PATH:
		it->path = mp_str(m);
		seen->path = true;
		break;
	case KEY_RDEV:
		it->rdev = mp_uint(m);
		it->has |= ITEM_RDEV;
		break;
	case KEY_SIZE:
		it->size = mp_uint(m);
		it->has |= ITEM_SIZE;
		break;
	case KEY_USER: parse_str(m, &it->user, &it->has, ITEM_USER); break;
	case KEY_ATIME:
		it->atime_ns = parse_time(m);
		it->has |= ITEM_ATIME;
		break;
	case KEY_CTIME:
		it->ctime_ns = parse_time(m);
		it->has |= ITEM_CTIME;
		break;
	case KEY_GROUP: parse_str(m, &it->group, &it->has, ITEM_GROUP); break;
	case KEY_MTIME:
		it->mtime_ns = parse_time(m);
		seen->mtime = true;
		break;
	case KEY_CHUNKS: return parse_chunks(m, arena, it);
	case KEY_SOURCE: parse_str(m, &it->source, &it->has, ITEM_SOURCE); break;
	case KEY_XATTRS: return parse_xattrs(m, arena, it);
	case KEY_ACL_NFS4: parse_str(m, &it->acl_nfs4, &it->has, ITEM_ACL_NFS4); break;
	case KEY_BSDFLAGS:
		it->bsdflags = mp_uint(m);
		it->has |= ITEM_BSDFLAGS;
		break;
	case KEY_BIRTHTIME:
		it->birthtime_ns = parse_time(m);
		it->has |= ITEM_BIRTHTIME;
		break;
	case KEY_ACL_ACCESS: parse_str(m, &it->acl_access, &it->has, ITEM_ACL_ACCESS); break;
	case KEY_ACL_DEFAULT: parse_str(m, &it->acl_default, &it->has, ITEM_ACL_DEFAULT); break;
	case KEY_ACL_EXTENDED:
		parse_str(m, &it->acl_extended, &it->has, ITEM_ACL_EXTENDED);
		break;
	case KEY_CHUNKS_HEALTHY: /* what the file once was; only that it differs counts here */
		if (mp_peek(m) == MP_ARRAY)
			it->has |= ITEM_CHUNKS_HEALTHY;
		mp_skip(m);
		break;
	case KEY_HARDLINK_MASTER:
		it->hardlink_master = mp_bool(m);
		it->has |= ITEM_HARDLINK_MASTER;
		break;
	}
	return 0;
}

static bool hardlinkable(uint32_t mode)
{
	return S_ISREG(mode) || S_ISBLK(mode) || S_ISCHR(mode) || S_ISFIFO(mode);
}

static void fill_absent(struct item *it)
{
	if (!(it->has & ITEM_ATIME))
		it->atime_ns = it->mtime_ns;
	if (!(it->has & ITEM_CTIME))
		it->ctime_ns = it->mtime_ns;
	if (!(it->has & ITEM_BIRTHTIME))
		it->birthtime_ns = it->mtime_ns;
	if (!(it->has & ITEM_SIZE))
		it->size = it->chunks_size;
	if (!(it->has & ITEM_HARDLINK_MASTER))
		it->hardlink_master = !(it->has & ITEM_SOURCE) && hardlinkable(it->mode);
}

bool item_is_hardlink_slave(const struct item *it)
{
	return (it->has & ITEM_SOURCE) && hardlinkable(it->mode);
}

int item_parse(struct mp *m, struct arena *arena, struct item *out, struct err *e)
{
	struct seen seen = { false, false };
	uint32_t count;

	memset(out, 0, sizeof(*out));
	count = mp_map(m);
	for (uint32_t i = 0; i < count && mp_ok(m); i++) {
		struct bytes key = mp_str(m);

		if (!mp_ok(m))
			break;
		if (parse_value(m, key_of(key), arena, out, &seen) < 0)
			return err_nomem(e, "item");
	}
	if (!mp_ok(m))
		return m->truncated ? 0 : err_set(e, EBADMSG, "item: not a valid record");
	if (!seen.path)
		return err_set(e, EBADMSG, "item: no path");
	if (!seen.mtime)
		return err_set(e, EBADMSG, "item: no mtime");
	fill_absent(out);
	return 1;
}
