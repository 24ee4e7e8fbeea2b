/*
 * test_collect.c - what is stored of a file beside its content: times within what every system can set, owners, flags and
 * times as asked for, attributes apart from ACLs, hard links by what was archived first, paths without a way out.
 */

#include "tests/support/tap.h"

#include "core/archive/collect.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SECOND  INT64_C(1000000000)
#define LATEST  ((INT64_C(0x7fffffff) - 172800) * SECOND) /* Borg's MAX_S - 2 days */
#define NOBODYS 3999999999u                               /* a number without a name */

static const struct time_row {
	const char *name;
	struct timespec t;
	int64_t want;
} times[] = {
	{ "ordinary", { 1700000000, 123456789 }, INT64_C(1700000000123456789) },
	{ "the epoch", { 0, 0 }, 0 },
	{ "a nanosecond before", { -1, 999999999 }, 0 },
	{ "long before", { INT64_MIN, 0 }, 0 },
	{ "the last second", { 0x7fffffff - 172801, 999999999 }, LATEST - 1 },
	{ "the latest", { 0x7fffffff - 172800, 0 }, LATEST },
	{ "behind it", { 0x7fffffff - 172800, 1 }, LATEST },
	{ "2038", { 0x7fffffff, 0 }, LATEST },
	{ "would overflow", { INT64_MAX, 999999999 }, LATEST },
};

static void one_time(const void *arg)
{
	const struct time_row *row = arg;

	assert_int_equal(collect_time(&row->t), row->want);
}

static const struct path_row {
	const char *name, *path, *want;
} paths[] = {
	{ "relative", "a/b", "a/b" },
	{ "absolute", "/a/b", "a/b" },
	{ "slashes", "///a//b", "a//b" },
	{ "the root", "/", "." },
	{ "nothing", "", "." },
	{ "here", ".", "." },
	{ "up", "../a", "a" },
	{ "up alone", "..", ".." },
	{ "up twice", "../../a", "a" },
	{ "up behind the root", "/../..//../a", "a" },
	{ "a name of dots", "..a/b", "..a/b" },
	{ "three dots", ".../b", ".../b" },
	{ "hidden", ".a", ".a" },
	{ "up within", "a/../b", "a/../b" },
};

static void one_path(const void *arg)
{
	const struct path_row *row = arg;
	struct bytes got = collect_stored_path(bytes_str(row->path));

	assert_int_equal(got.len, strlen(row->want));
	assert_memory_equal(got.p, row->want, got.len);
}

static void tables(void **state)
{
	(void)state;
	assert_int_equal(run_table(times, one_time), 0);
	assert_int_equal(run_table(paths, one_path), 0);
}

static struct collector *collector(struct collect_options options)
{
	struct collector *c = NULL;
	struct err e = ERR_INIT;

	assert_int_equal(collector_new(&c, &options, &e), 0);
	return c;
}

static bool is(struct bytes b, const char *text)
{
	return bytes_is(b, text);
}

static struct node made_up(mode_t mode, uid_t uid, gid_t gid)
{
	return (struct node){ .st = { .st_mode = mode,
				      .st_uid = uid,
				      .st_gid = gid,
				      .st_nlink = 1,
				      .st_mtim = { 100, 1 },
				      .st_atim = { 200, 2 },
				      .st_ctim = { 300, 3 } },
			      .bsdflags = 1 };
}

static void attributes(void **state)
{
	struct node n = made_up(S_IFREG | 04751, 0, NOBODYS),
		    other = made_up(S_IFREG, NOBODYS, 0);
	struct collector *c = collector((struct collect_options){ 0 });
	const char *root = getpwuid(0)->pw_name, *group = getgrgid(0)->gr_name;
	struct item it = { 0 }, second = { 0 }, third = { 0 };

	(void)state;
	collect_attrs(c, &n, &it);
	assert_int_equal(it.mode, S_IFREG | 04751);
	assert_int_equal(it.uid, 0);
	assert_int_equal(it.gid, NOBODYS);
	assert_true(is(it.user, root));
	assert_int_equal(it.group.len, 0);
	assert_int_equal(it.mtime_ns, 100 * SECOND + 1);
	assert_int_equal(it.ctime_ns, 300 * SECOND + 3);
	assert_int_equal(it.bsdflags, 1);
	assert_int_equal(it.has, ITEM_USER | ITEM_CTIME | ITEM_BSDFLAGS);
	/* the owner before is kept at hand, and must not become this one's */
	collect_attrs(c, &other, &second);
	assert_true(is(second.group, group));
	assert_int_equal(second.user.len, 0);
	assert_int_equal(second.has & (ITEM_USER | ITEM_GROUP), ITEM_GROUP);
	collect_attrs(c, &n, &third);
	assert_true(is(third.user, root));
	assert_int_equal(third.has, it.has);
	assert_true(is(it.user, root)); /* lives as long as the collector */
	collector_free(c);
}

static const struct attrs_row {
	const char *name;
	struct collect_options options;
	uint32_t has;
} choices[] = {
	{ "all that is usual", { 0 }, ITEM_USER | ITEM_GROUP | ITEM_CTIME | ITEM_BSDFLAGS },
	{ "atime",
	  { .atime = true },
	  ITEM_USER | ITEM_GROUP | ITEM_CTIME | ITEM_BSDFLAGS | ITEM_ATIME },
	{ "no names", { .numeric_ids = true }, ITEM_CTIME | ITEM_BSDFLAGS },
	{ "no ctime", { .noctime = true }, ITEM_USER | ITEM_GROUP | ITEM_BSDFLAGS },
	{ "no flags", { .noflags = true }, ITEM_USER | ITEM_GROUP | ITEM_CTIME },
};

static void one_choice(const void *arg)
{
	const struct attrs_row *row = arg;
	struct node n = made_up(S_IFDIR | 0755, 0, 0);
	struct collector *c = collector(row->options);
	struct item it = { 0 };

	collect_attrs(c, &n, &it);
	assert_int_equal(it.has, row->has);
	if (row->options.atime)
		assert_int_equal(it.atime_ns, 200 * SECOND + 2);
	collector_free(c);
}

static void chosen(void **state)
{
	(void)state;
	assert_int_equal(run_table(choices, one_choice), 0);
}

/* --- extended attributes --- */

/* user::rw- user:0:rwx mask::r-x ... as the kernel has it: version 2, (tag, permissions, id). */
static const uint8_t acl[] = {
	2, 0,    0,    0,    1,    0,    6,    0, 0xff, 0xff, 0xff, 0xff, 2,    0,    7,
	0, 0x01, 0xee, 0x6b, 0xee, 4,    0,    4, 0,    0xff, 0xff, 0xff, 0xff, 0x10, 0,
	5, 0,    0xff, 0xff, 0xff, 0xff, 0x20, 0, 0,    0,    0xff, 0xff, 0xff, 0xff
};

struct place {
	char *dir;
	int dirfd;
};

static struct place place(void)
{
	struct place p = { .dir = test_dir_make() };

	p.dirfd = open(p.dir, O_RDONLY | O_DIRECTORY);
	assert_true(p.dirfd >= 0);
	return p;
}

static void leave(struct place *p)
{
	close(p->dirfd);
	test_dir_remove(p->dir);
}

static int make_file(const struct place *p, const char *name)
{
	int fd = openat(p->dirfd, name, O_RDWR | O_CREAT, 0640);

	assert_true(fd >= 0);
	return fd;
}

static uint32_t extended(struct collect_options options, int fd, struct item *it)
{
	struct collector *c = collector(options);
	struct node n;
	struct err e = ERR_INIT;
	int refused = -1;

	*it = (struct item){ 0 };
	assert_int_equal(node_stat(fd, NULL, &n), 0);
	assert_int_equal(collect_extended(c, fd, NULL, &n, it, &refused, &e), 0);
	assert_int_equal(refused, 0);
	if (it->has & ITEM_XATTRS) { /* they live until the next call */
		assert_int_equal(it->xattr_count, 2);
		for (size_t i = 0; i < 2; i++) {
			bool tag = is(it->xattrs[i].name, "user.tag");

			assert_true(tag || is(it->xattrs[i].name, "user.empty"));
			assert_int_equal(it->xattrs[i].value.len, tag ? 5 : 0);
			assert_true(!tag || is(it->xattrs[i].value, "value"));
		}
	}
	if (it->has & ITEM_ACL_ACCESS) {
		assert_non_null(memmem(it->acl_access.p, it->acl_access.len, "mask::r-x", 9));
		assert_non_null(memmem(it->acl_access.p, it->acl_access.len, "other::---", 10));
	}
	collector_free(c);
	return it->has;
}

static void xattrs_and_acls(void **state)
{
	struct place p = place();
	int fd = make_file(&p, "file");
	struct item it;

	(void)state;
	assert_int_equal(extended((struct collect_options){ 0 }, fd, &it), 0);
	if (fsetxattr(fd, "user.tag", "value", 5, 0) < 0 ||
	    fsetxattr(fd, "system.posix_acl_access", acl, sizeof(acl), 0) < 0) {
		close(fd);
		leave(&p);
		skip();
	}
	assert_int_equal(fsetxattr(fd, "user.empty", "", 0, 0), 0);
	assert_int_equal(extended((struct collect_options){ 0 }, fd, &it),
			 ITEM_XATTRS | ITEM_ACL_ACCESS);
	assert_int_equal(extended((struct collect_options){ .noacls = true }, fd, &it),
			 ITEM_XATTRS);
	assert_int_equal(extended((struct collect_options){ .noxattrs = true }, fd, &it),
			 ITEM_ACL_ACCESS);
	assert_int_equal(
		extended((struct collect_options){ .noxattrs = true, .noacls = true }, fd, &it),
		0);
	close(fd);
	leave(&p);
}

/* A folder with a default ACL only: its permissions are the access ACL; the other way round an empty default one. */
static void acls_of_folders(void **state)
{
	static const char *const attribute[] = { "system.posix_acl_default",
						 "system.posix_acl_access" };
	struct place p = place();

	(void)state;
	assert_int_equal(mkdirat(p.dirfd, "0", 0750), 0);
	assert_int_equal(mkdirat(p.dirfd, "1", 0750), 0);
	for (int i = 0; i < 2; i++) {
		struct collector *c = collector((struct collect_options){ 0 });
		int fd = openat(p.dirfd, i ? "1" : "0", O_RDONLY | O_DIRECTORY), refused;
		struct item it = { 0 };
		struct err e = ERR_INIT;
		struct node n;

		if (fsetxattr(fd, attribute[i], acl, sizeof(acl), 0) < 0)
			skip();
		assert_int_equal(node_stat(fd, NULL, &n), 0);
		assert_int_equal(collect_extended(c, fd, NULL, &n, &it, &refused, &e), 0);
		assert_int_equal(it.has, ITEM_ACL_ACCESS | ITEM_ACL_DEFAULT);
		if (i == 0) {
			assert_true(is(it.acl_access, "user::rwx\ngroup::r-x\nother::---"));
			assert_non_null(
				memmem(it.acl_default.p, it.acl_default.len, "mask::r-x", 9));
		} else {
			assert_non_null(
				memmem(it.acl_access.p, it.acl_access.len, "mask::r-x", 9));
			assert_int_equal(it.acl_default.len, 0);
		}
		collector_free(c);
		close(fd);
	}
	leave(&p);
}

/* --- hard links --- */

static struct node linked(mode_t type, uint64_t device, uint64_t number, unsigned names)
{
	return (struct node){ .st = { .st_mode = type | 0644,
				      .st_dev = device,
				      .st_ino = number,
				      .st_nlink = names } };
}

static bool link_of(struct collector *c, const struct node *n, struct item *it)
{
	*it = (struct item){ 0 };
	return collect_hardlink(c, n, it);
}

static void hard_links(void **state)
{
	struct collector *c = collector((struct collect_options){ 0 });
	struct node file = linked(S_IFREG, 1, 7, 2), elsewhere = linked(S_IFREG, 2, 7, 2),
		    single = linked(S_IFREG, 1, 8, 1), folder = linked(S_IFDIR, 1, 9, 3),
		    symlink = linked(S_IFLNK, 1, 10, 2), fifo = linked(S_IFIFO, 1, 11, 2);
	char path[] = "a/first";
	struct item it;
	struct err e = ERR_INIT;

	(void)state;
	assert_false(link_of(c, &file, &it));
	assert_true(it.hardlink_master && (it.has & ITEM_HARDLINK_MASTER));
	/* it could not be read: the next name is the first one again */
	assert_false(link_of(c, &file, &it));
	assert_int_equal(collect_archived(c, &file, bytes_str(path), &e), 0);
	memset(path, 'x', sizeof(path) - 1); /* the path was copied */
	assert_true(link_of(c, &file, &it));
	assert_true(is(it.source, "a/first"));
	assert_int_equal(it.has, ITEM_SOURCE);
	/* who comes second does not take its place */
	assert_int_equal(collect_archived(c, &file, bytes_str("b/second"), &e), 0);
	assert_true(link_of(c, &file, &it) && is(it.source, "a/first"));
	assert_false(link_of(c, &elsewhere, &it)); /* the same number on another device */

	assert_int_equal(collect_archived(c, &single, bytes_str("single"), &e), 0);
	assert_false(link_of(c, &single, &it));
	assert_false(it.hardlink_master);
	assert_int_equal(collect_archived(c, &folder, bytes_str("folder"), &e), 0);
	assert_false(link_of(c, &folder, &it));
	assert_int_equal(it.has, 0);
	assert_int_equal(collect_archived(c, &symlink, bytes_str("symlink"), &e), 0);
	assert_false(link_of(c, &symlink, &it));
	assert_int_equal(it.has, 0);
	assert_int_equal(collect_archived(c, &fifo, bytes_str("fifo"), &e), 0);
	assert_true(link_of(c, &fifo, &it) && is(it.source, "fifo"));
	collector_free(c);
}

/* --- node --- */

static void names_of_a_folder(void **state)
{
	struct place p = place();
	struct node_names names = { 0 };
	char name[300];
	bool seen[500] = { false };

	(void)state;
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "%d-%0*d", i, i % 200 + 1, 0);
		close(make_file(&p, name));
	}
	assert_int_equal(node_list(p.dirfd, &names), 0);
	assert_int_equal(names.count, 500);
	for (size_t i = 0; i < names.count; i++) {
		struct stat st;
		int number = atoi(names.v[i].name);

		assert_true(i == 0 || names.v[i - 1].inode <= names.v[i].inode);
		assert_int_equal(fstatat(p.dirfd, names.v[i].name, &st, 0), 0);
		assert_int_equal(st.st_ino, names.v[i].inode);
		assert_false(seen[number]);
		seen[number] = true;
	}
	node_names_fini(&names);
	leave(&p);
}

static void opened_without_waiting(void **state)
{
	struct place p = place();
	struct node n;
	int fd;

	(void)state;
	close(make_file(&p, "file"));
	assert_int_equal(symlinkat("file", p.dirfd, "link"), 0);
	assert_int_equal(mkdirat(p.dirfd, "folder", 0755), 0);
	assert_int_equal(mkfifoat(p.dirfd, "fifo", 0644), 0);
	assert_int_equal(node_open(p.dirfd, "link", 0), -ELOOP);
	assert_int_equal(node_open(p.dirfd, "file", NODE_DIRECTORY), -ENOTDIR);
	assert_int_equal(node_open(p.dirfd, "nothing", 0), -ENOENT);
	fd = node_open(p.dirfd, "link", NODE_FOLLOW);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	fd = node_open(p.dirfd, "folder", NODE_DIRECTORY);
	assert_true(fd >= 0);
	close(fd);
	fd = node_open(p.dirfd, "fifo", 0); /* nobody writes there */
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(node_stat(p.dirfd, "link", &n), 0);
	assert_true(S_ISLNK(n.st.st_mode));
	assert_int_equal(n.bsdflags, 0);
	assert_int_equal(node_stat(p.dirfd, "nothing", &n), -ENOENT);
	leave(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables),
		cmocka_unit_test(attributes),
		cmocka_unit_test(chosen),
		cmocka_unit_test(xattrs_and_acls),
		cmocka_unit_test(acls_of_folders),
		cmocka_unit_test(hard_links),
		cmocka_unit_test(names_of_a_folder),
		cmocka_unit_test(opened_without_waiting),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
