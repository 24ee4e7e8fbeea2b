/* attr.c - see attr.h. */

#include "fs/attr.h"

#include "core/platform/acl.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>

enum {
	BLOCK = 512,     /* unit of st_blocks */
	BLKSIZE = 4096,  /* preferred unit of reading: a page */
	NS = 1000000000, /* in a second */
};

enum {
	BSD_NODUMP = 1,
	BSD_IMMUTABLE = 2,
	BSD_APPEND = 4,
	BSD_COMPRESSED = 0x20
}; /* as Borg stores them */

static const char acl_access_name[] = "system.posix_acl_access";
static const char acl_default_name[] = "system.posix_acl_default";

int attr_owners_init(struct attr_owners *o, const struct tree *t,
		     const struct attr_policy *policy, struct err *e)
{
	size_t count = policy->numeric_ids ? 0 : tree_name_count(t);

	*o = (struct attr_owners){ 0 };
	if (count == 0)
		return 0;
	o->uids = calloc(count, sizeof(o->uids[0]));
	o->gids = calloc(count, sizeof(o->gids[0]));
	if (!o->uids || !o->gids) {
		attr_owners_fini(o);
		return err_nomem(e, "owners");
	}
	for (size_t i = 0; i < count; i++) {
		struct bytes name = tree_name(t, i);

		o->uids[i] = owner_uid(policy->owners, name, UINT32_MAX);
		o->gids[i] = owner_gid(policy->owners, name, UINT32_MAX);
	}
	o->count = count;
	return 0;
}

void attr_owners_fini(struct attr_owners *o)
{
	free(o->uids);
	free(o->gids);
	*o = (struct attr_owners){ 0 };
}

/* The number of a name here; where it has none, the stored number. */
static uint32_t owner_here(const uint32_t *numbers, size_t count, uint32_t name,
			   uint32_t stored)
{
	if (name < count && numbers[name] != UINT32_MAX)
		return numbers[name];
	return stored;
}

static struct timespec time_of(int64_t ns)
{
	struct timespec ts = { .tv_sec = ns / NS, .tv_nsec = ns % NS };

	if (ts.tv_nsec < 0) { /* before 1970: nanoseconds count upwards all the same */
		ts.tv_sec--;
		ts.tv_nsec += NS;
	}
	return ts;
}

void attr_stat(const struct attr_policy *policy, const struct attr_owners *owners,
	       const struct tree_node *node, uint64_t ino, struct stat *out)
{
	*out = (struct stat){
		.st_ino = ino,
		.st_mode = node->mode & ~policy->umask,
		.st_nlink = node->nlink,
		.st_rdev = node->rdev,
		.st_size = (off_t)node->size,
		.st_blocks = (blkcnt_t)(node->size / BLOCK + (node->size % BLOCK != 0)),
		.st_blksize = BLKSIZE,
		.st_mtim = time_of(node->mtime_ns),
		.st_atim = time_of(node->atime_ns),
		.st_ctim = time_of(node->ctime_ns),
	};
	out->st_uid = policy->force_uid
			      ? policy->uid
			      : owner_here(owners->uids, owners->count, node->user, node->uid);
	out->st_gid = policy->force_gid
			      ? policy->gid
			      : owner_here(owners->gids, owners->count, node->group, node->gid);
}

struct wanted {
	struct bytes name;
	struct buf *out;
};

static int take_xattr(void *arg, struct bytes name, struct bytes value)
{
	struct wanted *w = arg;

	if (!bytes_equal(name, w->name))
		return 0;
	w->out->len = 0;
	return buf_append(w->out, value.p, value.len) < 0 ? -ENOMEM : 1;
}

/* 1 with the binary form, 0 where the node has none or its text is not an ACL. */
static int binary_acl(const struct attr_policy *policy, struct tree *t, uint32_t index,
		      bool is_default, struct buf *out, struct err *e)
{
	CLEANUP(buf_fini) struct buf text = BUF_INIT;
	int rc = tree_acl(t, index, is_default, &text, e);

	if (rc <= 0)
		return rc;
	rc = acl_to_binary(buf_bytes(&text), policy->numeric_ids, policy->owners, out, NULL);
	if (rc == -ENOMEM)
		return err_nomem(e, "ACL");
	return rc == 0 && out->len > 0;
}

int attr_xattr(const struct attr_policy *policy, struct tree *t, const struct tree_node *node,
	       struct bytes name, struct buf *out, struct err *e)
{
	struct wanted wanted = { name, out };

	if (bytes_is(name, acl_access_name))
		return node->has_acl_access ? binary_acl(policy, t, node->index, false, out, e)
					    : 0;
	if (bytes_is(name, acl_default_name))
		return node->has_acl_default ? binary_acl(policy, t, node->index, true, out, e)
					     : 0;
	return node->has_xattrs ? tree_xattrs(t, node->index, take_xattr, &wanted, e) : 0;
}

struct names {
	struct buf *out;
	bool privileged;
};

static bool begins(struct bytes b, const char *prefix)
{
	size_t n = strlen(prefix);

	return b.len >= n && memcmp(b.p, prefix, n) == 0;
}

static int add_name(struct buf *out, struct bytes name)
{
	if (buf_append(out, name.p, name.len) < 0 || buf_append_byte(out, 0) < 0)
		return -ENOMEM;
	return 0;
}

static int add_xattr_name(void *arg, struct bytes name, struct bytes value)
{
	struct names *n = arg;

	(void)value;
	if (name.len == 0 || memchr(name.p, 0, name.len))
		return 0; /* no system has such a name */
	if (begins(name, "trusted.") && !n->privileged)
		return 0;
	if (bytes_is(name, acl_access_name) || bytes_is(name, acl_default_name))
		return 0; /* the ACL keys of the item speak for these */
	return add_name(n->out, name);
}

int attr_xattr_names(struct tree *t, const struct tree_node *node, bool privileged,
		     struct buf *out, struct err *e)
{
	struct names names = { out, privileged };
	int rc = 0;

	out->len = 0;
	if (node->has_xattrs)
		rc = tree_xattrs(t, node->index, add_xattr_name, &names, e);
	if (rc == 0 && node->has_acl_access)
		rc = add_name(out, bytes_str(acl_access_name));
	if (rc == 0 && node->has_acl_default)
		rc = add_name(out, bytes_str(acl_default_name));
	return rc == -ENOMEM ? err_nomem(e, "names of attributes") : rc;
}

uint32_t attr_flags(uint32_t bsdflags)
{
	uint32_t flags = 0;

	if (bsdflags & BSD_NODUMP)
		flags |= FS_NODUMP_FL;
	if (bsdflags & BSD_IMMUTABLE)
		flags |= FS_IMMUTABLE_FL;
	if (bsdflags & BSD_APPEND)
		flags |= FS_APPEND_FL;
	if (bsdflags & BSD_COMPRESSED)
		flags |= FS_COMPR_FL;
	return flags;
}
