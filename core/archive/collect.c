/* collect.c - see collect.h. */

#include "core/archive/collect.h"

#include "core/base/table.h"
#include "core/platform/acl.h"

#include <errno.h>
#include <stdlib.h>

/* Borg clamps times to what every system it knows can set. */
static const int64_t LATEST_NS = ((INT64_C(1) << 31) - 1 - 2 * 86400) * 1000000000;

struct inode {
	uint64_t device, number;
};

struct collector {
	struct collect_options options;
	struct owner_cache *owners;
	bool has_owner; /* of the object before, which mostly is that of the next, too: */
	uint32_t uid, gid;
	struct bytes user, group;
	struct xattr_list xattrs;
	struct item_xattr *stored; /* those of xattrs that an item holds */
	size_t stored_cap;
	struct buf access, dflt;
	struct table masters; /* struct inode -> struct bytes in `paths` */
	struct arena paths;
};

int collector_new(struct collector **out, const struct collect_options *options, struct err *e)
{
	CLEANUP(collector_freep) struct collector *c = calloc(1, sizeof(*c));

	if (!c)
		return err_nomem(e, "attributes");
	c->options = *options;
	table_init(&c->masters, sizeof(struct inode), sizeof(struct bytes));
	c->owners = owner_cache_new();
	if (!c->owners)
		return err_nomem(e, "attributes");
	*out = TAKE(c);
	return 0;
}

void collector_free(struct collector *c)
{
	if (!c)
		return;
	owner_cache_free(c->owners);
	xattr_list_fini(&c->xattrs);
	free(c->stored);
	buf_fini(&c->access);
	buf_fini(&c->dflt);
	table_fini(&c->masters);
	arena_fini(&c->paths);
	free(c);
}

int64_t collect_time(const struct timespec *t)
{
	if (t->tv_sec < 0)
		return 0;
	if (t->tv_sec >= LATEST_NS / 1000000000)
		return LATEST_NS;
	return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

static void name_owner(struct collector *c, struct item *out)
{
	if (c->options.numeric_ids)
		return;
	if (!c->has_owner || c->uid != out->uid)
		c->user = owner_user(c->owners, out->uid);
	if (!c->has_owner || c->gid != out->gid)
		c->group = owner_group(c->owners, out->gid);
	c->has_owner = true;
	c->uid = out->uid;
	c->gid = out->gid;
	out->user = c->user;
	out->group = c->group;
	out->has |= (out->user.len ? ITEM_USER : 0) | (out->group.len ? ITEM_GROUP : 0);
}

void collect_attrs(struct collector *c, const struct node *n, struct item *out)
{
	out->mode = n->st.st_mode;
	out->uid = n->st.st_uid;
	out->gid = n->st.st_gid;
	out->mtime_ns = collect_time(&n->st.st_mtim);
	name_owner(c, out);
	if (c->options.atime) {
		out->atime_ns = collect_time(&n->st.st_atim);
		out->has |= ITEM_ATIME;
	}
	if (!c->options.noctime) {
		out->ctime_ns = collect_time(&n->st.st_ctim);
		out->has |= ITEM_CTIME;
	}
	if (!c->options.noflags && n->bsdflags) {
		out->bsdflags = n->bsdflags;
		out->has |= ITEM_BSDFLAGS;
	}
}

/* --- attributes and ACLs --- */

static const char access_name[] = "system.posix_acl_access",
		  default_name[] = "system.posix_acl_default";

static int store_xattrs(struct collector *c, const struct xattr_list *list, struct item *out)
{
	size_t count = 0;

	if (c->stored_cap < list->count) {
		struct item_xattr *v = realloc(c->stored, list->count * sizeof(*v));

		if (!v)
			return -ENOMEM;
		c->stored = v;
		c->stored_cap = list->count;
	}
	for (size_t i = 0; i < list->count; i++) {
		const struct xattr_entry *x = &list->v[i];

		if (!bytes_is(x->name, access_name) && !bytes_is(x->name, default_name))
			c->stored[count++] = (struct item_xattr){ x->name, x->value };
	}
	out->xattrs = c->stored;
	out->xattr_count = count;
	out->has |= count ? ITEM_XATTRS : 0;
	return 0;
}

static const struct xattr_entry *find_xattr(const struct xattr_list *list, const char *name)
{
	for (size_t i = 0; i < list->count; i++)
		if (bytes_is(list->v[i].name, name))
			return &list->v[i];
	return NULL;
}

static int acl_text(struct collector *c, const struct xattr_entry *x, uint32_t mode,
		    struct buf *out, struct err *e)
{
	if (x)
		return acl_text_of(x->value, c->options.numeric_ids, c->owners, out, e);
	return acl_text_of_mode(mode, out) < 0 ? err_nomem(e, "ACL") : 0;
}

/* Where there is an extended ACL or a default one, the access ACL is stored, and of a folder the
 * default ACL too, though it be empty. */
static int store_acls(struct collector *c, const struct xattr_list *list, const struct node *n,
		      struct item *out, struct err *e)
{
	const struct xattr_entry *access = find_xattr(list, access_name);
	const struct xattr_entry *dflt = find_xattr(list, default_name);
	int rc;

	if (!access && !dflt)
		return 0;
	rc = acl_text(c, access, n->st.st_mode, &c->access, e);
	if (rc < 0)
		return rc;
	out->acl_access = buf_bytes(&c->access);
	out->has |= ITEM_ACL_ACCESS;
	if (!S_ISDIR(n->st.st_mode))
		return 0;
	c->dflt.len = 0;
	if (dflt)
		rc = acl_text(c, dflt, n->st.st_mode, &c->dflt, e);
	out->acl_default = buf_bytes(&c->dflt);
	out->has |= ITEM_ACL_DEFAULT;
	return rc;
}

int collect_given(struct collector *c, const struct xattr_list *given, const struct node *n,
		  struct item *out, struct err *e)
{
	if (given->count == 0)
		return 0;
	if (!c->options.noxattrs && store_xattrs(c, given, out) < 0)
		return err_nomem(e, "attributes");
	return c->options.noacls || S_ISLNK(n->st.st_mode) ? 0
							   : store_acls(c, given, n, out, e);
}

int collect_extended(struct collector *c, int fd, const char *name, const struct node *n,
		     struct item *out, int *refused, struct err *e)
{
	int rc;

	*refused = 0;
	if (c->options.noxattrs && c->options.noacls)
		return 0;
	rc = xattr_read(fd, name, &c->xattrs);
	if (rc < 0)
		return err_set(e, -rc, "%s", strerror(-rc));
	*refused = c->xattrs.refused;
	return collect_given(c, &c->xattrs, n, out, e);
}

/* --- hard links --- */

/* Symbolic links with several names are stored as so many. */
static bool has_links(const struct node *n)
{
	return n->st.st_nlink > 1 && !S_ISDIR(n->st.st_mode) && !S_ISLNK(n->st.st_mode);
}

bool collect_hardlink(struct collector *c, const struct node *n, struct item *out)
{
	struct inode key = { n->st.st_dev, n->st.st_ino };
	const struct bytes *master = has_links(n) ? table_get(&c->masters, &key) : NULL;

	if (master) {
		out->source = *master;
		out->has |= ITEM_SOURCE;
		return true;
	}
	if (!S_ISDIR(n->st.st_mode) && !S_ISLNK(n->st.st_mode)) {
		out->hardlink_master = n->st.st_nlink > 1;
		out->has |= ITEM_HARDLINK_MASTER;
	}
	return false;
}

int collect_archived(struct collector *c, const struct node *n, struct bytes path,
		     struct err *e)
{
	struct inode key = { n->st.st_dev, n->st.st_ino };
	struct bytes *master;
	bool created;

	if (!has_links(n))
		return 0;
	master = table_put(&c->masters, &key, &created);
	if (!master)
		return err_nomem(e, "hard links");
	if (created)
		*master =
			(struct bytes){ (const uint8_t *)arena_dup(&c->paths, path), path.len };
	return master->p ? 0 : err_nomem(e, "hard links");
}

struct bytes collect_stored_path(struct bytes path)
{
	static const char dot[] = ".";

	for (;;) {
		size_t n = path.len >= 2 && path.p[0] == '.' && path.p[1] == '.' ? 2 : 0;

		if (path.len <= n || path.p[n] != '/')
			break;
		while (path.len > n && path.p[n] == '/')
			n++;
		path = (struct bytes){ path.p + n, path.len - n };
	}
	return path.len ? path : bytes_str(dot);
}
