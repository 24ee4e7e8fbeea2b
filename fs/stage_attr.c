/*
 * stage_attr.c - see stage.h: attributes, extended ones, ACLs.
 *
 * An access ACL and the mode say the same thing twice and are kept in step: what an ACL says of owner,
 * mask (else group) and others is the mode's.  An ACL that says no more than a mode is not kept.
 */

#include "fs/stage_internal.h"

#include <errno.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

static const char access_name[] = "system.posix_acl_access",
		  default_name[] = "system.posix_acl_default";

enum { ACL_HEADER = 4, ACL_ENTRY = 8, ACL_ENTRIES_MAX = 8192 };

/* --- a list of attributes --- */

static int compare_name(const struct xattr *x, struct bytes name)
{
	size_t len = x->name_len < name.len ? x->name_len : name.len;
	int order = memcmp(x->bytes, name.p, len);

	return order ? order : (x->name_len > name.len) - (x->name_len < name.len);
}

/* Where it is, or where it would be put. */
static struct xattr **find_xattr(struct node *n, struct bytes name, bool *found)
{
	struct xattr **at = &n->xattrs;
	int order = 1;

	while (*at && (order = compare_name(*at, name)) < 0)
		at = &(*at)->next;
	*found = *at && order == 0;
	return at;
}

static struct bytes value_of(const struct xattr *x)
{
	return (struct bytes){ x->bytes + x->name_len, x->value_len };
}

static struct bytes get_value(const struct node *n, const char *name)
{
	bool found;
	struct xattr **at = find_xattr((struct node *)(uintptr_t)n, bytes_str(name), &found);

	return found ? value_of(*at) : (struct bytes){ 0 };
}

static void drop_xattr(struct stage *s, struct xattr **at)
{
	struct xattr *old = *at;

	s->bytes -= sizeof(*old) + old->name_len + old->value_len;
	*at = old->next;
	free(old);
}

static int put_xattr(struct stage *s, struct node *n, struct bytes name, struct bytes value)
{
	bool found;
	struct xattr **at = find_xattr(n, name, &found);
	struct xattr *x = malloc(sizeof(*x) + name.len + value.len);

	if (!x)
		return -ENOMEM;
	if (found)
		drop_xattr(s, at);
	x->next = *at;
	x->name_len = (uint16_t)name.len;
	x->value_len = (uint32_t)value.len;
	memcpy(x->bytes, name.p, name.len);
	if (value.len)
		memcpy(x->bytes + name.len, value.p, value.len);
	*at = x;
	s->bytes += sizeof(*x) + name.len + value.len;
	return 0;
}

static bool remove_xattr(struct stage *s, struct node *n, struct bytes name)
{
	bool found;
	struct xattr **at = find_xattr(n, name, &found);

	if (found)
		drop_xattr(s, at);
	return found;
}

void stage_free_xattrs(struct stage *s, struct node *n)
{
	while (n->xattrs)
		drop_xattr(s, &n->xattrs);
}

/* --- ACLs --- */

static unsigned tag_of(const uint8_t *entry)
{
	return get_le16(entry);
}

static unsigned perm_of(const uint8_t *entry)
{
	return get_le16(entry + 2) & 7;
}

static void set_perm(uint8_t *entry, unsigned perm)
{
	put_le16(entry + 2, (uint16_t)perm);
}

/* How often each kind may be, in the order in which they stand. */
static bool follows(unsigned before, unsigned tag)
{
	static const unsigned order[] = { ACL_USER_OBJ, ACL_USER, ACL_GROUP_OBJ,
					  ACL_GROUP,    ACL_MASK, ACL_OTHER };
	size_t a = 0, b = 0;

	while (a < 6 && order[a] != before)
		a++;
	while (b < 6 && order[b] != tag)
		b++;
	if (b == 6)
		return false;
	if (before == 0)
		return b == 0;
	return b > a || (b == a && (tag == ACL_USER || tag == ACL_GROUP));
}

/* Is this an ACL as acl(5) wants them: the three base entries, and a mask where somebody is named? */
static bool is_acl(struct bytes acl)
{
	unsigned before = 0, seen = 0;

	if (acl.len < ACL_HEADER || (acl.len - ACL_HEADER) % ACL_ENTRY ||
	    get_le32(acl.p) != POSIX_ACL_XATTR_VERSION ||
	    acl.len > ACL_HEADER + ACL_ENTRIES_MAX * ACL_ENTRY)
		return false;
	for (size_t at = ACL_HEADER; at < acl.len; at += ACL_ENTRY) {
		unsigned tag = tag_of(acl.p + at);

		if (!follows(before, tag) || get_le16(acl.p + at + 2) > 7)
			return false;
		before = tag;
		seen |= tag;
	}
	if (seen & (ACL_USER | ACL_GROUP) && !(seen & ACL_MASK))
		return false;
	return (seen & (ACL_USER_OBJ | ACL_GROUP_OBJ | ACL_OTHER)) ==
	       (ACL_USER_OBJ | ACL_GROUP_OBJ | ACL_OTHER);
}

static bool is_minimal(struct bytes acl)
{
	return acl.len == ACL_HEADER + 3 * ACL_ENTRY;
}

static bool has_mask(struct bytes acl)
{
	for (size_t at = ACL_HEADER; at < acl.len; at += ACL_ENTRY)
		if (tag_of(acl.p + at) == ACL_MASK)
			return true;
	return false;
}

/* By how much an entry's permissions stand left in the mode; -1: not in the mode. */
static int shift_of(unsigned tag, bool mask)
{
	switch (tag) {
	case ACL_USER_OBJ: return 6;
	case ACL_GROUP_OBJ: return mask ? -1 : 3;
	case ACL_MASK: return 3;
	case ACL_OTHER: return 0;
	default: return -1;
	}
}

static mode_t mode_of_acl(struct bytes acl)
{
	bool mask = has_mask(acl);
	mode_t mode = 0;

	for (size_t at = ACL_HEADER; at < acl.len; at += ACL_ENTRY) {
		int shift = shift_of(tag_of(acl.p + at), mask);

		if (shift >= 0)
			mode |= perm_of(acl.p + at) << shift;
	}
	return mode;
}

/* The entries that the mode knows: `keep` of what they say, and `set`. */
static void change_acl(uint8_t *acl, size_t len, mode_t keep, mode_t set)
{
	bool mask = has_mask((struct bytes){ acl, len });

	for (size_t at = ACL_HEADER; at < len; at += ACL_ENTRY) {
		int shift = shift_of(tag_of(acl + at), mask);

		if (shift >= 0)
			set_perm(acl + at, (perm_of(acl + at) & (keep >> shift & 7)) |
						   (set >> shift & 7));
	}
}

/* The access ACL after chmod(2). */
static void follow_mode(struct node *n)
{
	bool found;
	struct xattr **at = find_xattr(n, bytes_str(access_name), &found);

	if (found)
		change_acl((*at)->bytes + (*at)->name_len, (*at)->value_len, 0, n->mode);
}

static int set_access(struct stage *s, struct node *n, struct bytes acl)
{
	int rc = 0;

	if (is_minimal(acl))
		remove_xattr(s, n, bytes_str(access_name));
	else
		rc = put_xattr(s, n, bytes_str(access_name), acl);
	if (rc == 0)
		n->mode = (n->mode & ~(mode_t)0777) | mode_of_acl(acl);
	return rc;
}

static int set_acl(struct stage *s, struct node *n, struct bytes name, struct bytes acl)
{
	bool is_default = bytes_is(name, default_name);

	if (S_ISLNK(n->mode))
		return -EOPNOTSUPP;
	if (acl.len == 0 || acl.len == ACL_HEADER) { /* an empty one takes it away */
		remove_xattr(s, n, name);
		return 0;
	}
	if (!is_acl(acl))
		return -EINVAL;
	if (!is_default)
		return set_access(s, n, acl);
	return S_ISDIR(n->mode) ? put_xattr(s, n, name, acl) : -EACCES;
}

static bool is_acl_name(const struct stage *s, struct bytes name)
{
	return s->options.acls && (bytes_is(name, access_name) || bytes_is(name, default_name));
}

int stage_inherit(struct stage *s, const struct node *dir, struct node *n, mode_t mode,
		  mode_t umask)
{
	struct bytes acl = s->options.acls ? get_value(dir, default_name) : (struct bytes){ 0 };
	CLEANUP(buf_fini) struct buf copy = BUF_INIT;
	int rc;

	if (acl.len == 0) {
		n->mode |= mode & ~(umask & 0777);
		return 0;
	}
	if (buf_append(&copy, acl.p, acl.len) < 0)
		return -ENOMEM;
	change_acl(copy.p, copy.len, mode, 0);
	n->mode |= mode;
	rc = set_access(s, n, buf_bytes(&copy));
	if (rc == 0 && S_ISDIR(n->mode))
		rc = put_xattr(s, n, bytes_str(default_name), acl);
	return rc;
}

/* --- stat's attributes --- */

static void set_locked(struct node *n, unsigned set, const struct stat *st)
{
	int64_t now = stage_now();

	if (set & STAGE_MODE) {
		n->mode = (n->mode & S_IFMT) | (st->st_mode & 07777);
		follow_mode(n);
	}
	if (set & STAGE_UID)
		n->uid = st->st_uid;
	if (set & STAGE_GID)
		n->gid = st->st_gid;
	if (set & STAGE_SIZE && !(set & STAGE_GROW && n->size >= (uint64_t)st->st_size))
		n->size = (uint64_t)st->st_size;
	if (set & STAGE_KILL_SUID)
		n->mode &= n->mode & S_IXGRP ? ~(mode_t)(S_ISUID | S_ISGID) : ~(mode_t)S_ISUID;
	if (set & STAGE_ATIME)
		n->atime = stage_to_ns(&st->st_atim);
	if (set & STAGE_MTIME)
		n->mtime = stage_to_ns(&st->st_mtim);
	n->ctime = set & STAGE_CTIME ? stage_to_ns(&st->st_ctim) : now;
}

/* What a file that is immutable or append-only lets happen: writes to it, and reading leaves its trace. */
static int check_set(const struct stage *s, const struct node *n, unsigned set)
{
	int rc = stage_check_change(s, n);

	if (rc == -EPERM &&
	    (set & STAGE_WRITTEN || (set & ~(unsigned)STAGE_CTIME) == STAGE_ATIME))
		return 0;
	return rc;
}

int stage_set(struct stage *s, uint64_t node, unsigned set, const struct stat *st,
	      struct stage_node *out)
{
	struct node *n;
	int rc = 0;

	mutex_lock(&s->lock);
	n = stage_find(s, node);
	if (!n)
		rc = -ESTALE;
	else if (set & STAGE_SIZE && !S_ISREG(n->mode))
		rc = S_ISDIR(n->mode) ? -EISDIR : -EINVAL;
	else
		rc = check_set(s, n, set);
	if (rc == 0) {
		set_locked(n, set, st);
		stage_changed(s, n);
		stage_describe(s, n, out);
	}
	mutex_unlock(&s->lock);
	return rc;
}

int stage_set_flags(struct stage *s, uint64_t node, uint32_t flags)
{
	struct node *n;
	int rc;

	mutex_lock(&s->lock);
	n = stage_find(s, node);
	rc = n ? stage_check_change(s, n) : -ESTALE;
	if (rc == 0 || rc == -EPERM) { /* who may set these flags may take them away */
		n->flags = flags;
		n->ctime = stage_now();
		stage_changed(s, n);
		rc = 0;
	}
	mutex_unlock(&s->lock);
	return rc;
}

/* --- extended ones --- */

int stage_xattr(struct stage *s, uint64_t node, struct bytes name, struct buf *out)
{
	struct xattr **at;
	struct node *n;
	bool found = false;
	int rc = 0;

	mutex_lock(&s->lock);
	n = stage_find(s, node);
	out->len = 0;
	if (!n) {
		rc = -ESTALE;
	} else {
		at = find_xattr(n, name, &found);
		if (found)
			rc = buf_append(out, value_of(*at).p, value_of(*at).len);
	}
	mutex_unlock(&s->lock);
	return rc < 0 ? rc : found;
}

int stage_xattr_names(struct stage *s, uint64_t node, struct buf *out)
{
	const struct node *n;
	int rc = 0;

	mutex_lock(&s->lock);
	n = stage_find(s, node);
	out->len = 0;
	for (const struct xattr *x = n ? n->xattrs : NULL; rc == 0 && x; x = x->next) {
		rc = buf_append(out, x->bytes, x->name_len);
		if (rc == 0)
			rc = buf_append_byte(out, 0);
	}
	mutex_unlock(&s->lock);
	return n ? rc : -ESTALE;
}

static int set_xattr_locked(struct stage *s, uint64_t node, struct bytes name,
			    struct bytes value, int flags)
{
	struct node *n = stage_find(s, node);
	bool found;
	int rc;

	if (!n)
		return -ESTALE;
	rc = stage_check_change(s, n);
	if (rc < 0)
		return rc;
	(void)find_xattr(n, name, &found);
	if (flags & XATTR_CREATE && found)
		return -EEXIST;
	if (flags & XATTR_REPLACE && !found)
		return -ENODATA;
	rc = is_acl_name(s, name) ? set_acl(s, n, name, value) : put_xattr(s, n, name, value);
	if (rc == 0) {
		n->ctime = stage_now();
		stage_changed(s, n);
	}
	return rc;
}

int stage_set_xattr(struct stage *s, uint64_t node, struct bytes name, struct bytes value,
		    int flags)
{
	int rc;

	if (name.len == 0 || name.len > STAGE_XATTR_NAME_MAX)
		return -ERANGE;
	if (value.len > STAGE_XATTR_MAX)
		return -E2BIG;
	mutex_lock(&s->lock);
	rc = set_xattr_locked(s, node, name, value, flags);
	mutex_unlock(&s->lock);
	return rc;
}

int stage_remove_xattr(struct stage *s, uint64_t node, struct bytes name)
{
	struct node *n;
	int rc;

	mutex_lock(&s->lock);
	n = stage_find(s, node);
	rc = n ? stage_check_change(s, n) : -ESTALE;
	if (rc == 0)
		rc = remove_xattr(s, n, name) || is_acl_name(s, name) ? 0 : -ENODATA;
	if (rc == 0) {
		n->ctime = stage_now();
		stage_changed(s, n);
	}
	mutex_unlock(&s->lock);
	return rc;
}
