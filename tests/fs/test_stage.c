/*
 * test_stage.c - a staged tree behaves as the file system this machine has.
 *
 * Method: random operations are done to a stage and, by system calls, to a folder; each must have the same
 * result, and now and then all of both trees is compared: kinds, modes, owners, link counts, targets,
 * attributes and ACLs.  What has no counterpart there (numbers, holds, cookies) is tested by hand.
 */

#include "tests/support/tap.h"

#include "core/base/io.h"
#include "fs/stage.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { NAMES = 4, DEPTH = 3, DISPOSED_MAX = 100 };

static const struct stage_maker root_user = { 0, 0, 022, true };

static struct stage_content *disposed[DISPOSED_MAX];
static size_t disposed_count;

static void dispose(void *arg, struct stage_content *content)
{
	(void)arg;
	if (disposed_count < DISPOSED_MAX)
		disposed[disposed_count] = content;
	disposed_count++;
}

static struct stage *new_stage(void)
{
	struct stage_options options = { .acls = true, .dispose = dispose };
	struct stage *s = NULL;

	disposed_count = 0;
	assert_int_equal(stage_new(&s, &options), 0);
	return s;
}

static uint64_t random_state;

static unsigned pick(unsigned n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned)(random_state >> 33) % n;
}

/* --- paths --- */

struct path { /* of one to DEPTH names */
	unsigned count;
	char text[64];
	char names[DEPTH][8];
};

static struct path some_path(void)
{
	struct path p = { .count = 1 + pick(DEPTH) };
	size_t len = 0;

	for (unsigned i = 0; i < p.count; i++) {
		snprintf(p.names[i], sizeof(p.names[i]), "n%u", pick(NAMES));
		len += (size_t)snprintf(p.text + len, sizeof(p.text) - len, "%s%s",
					i ? "/" : "", p.names[i]);
	}
	return p;
}

/* The one archive in which it all happens. */
static uint64_t top_of(struct stage *s)
{
	struct stage_node n;

	assert_int_equal(stage_lookup(s, stage_root(s), bytes_str("top"), &n), 0);
	return n.st.st_ino;
}

/* The directory a path's last name is in: 0 or -errno. */
static int resolve(struct stage *s, const struct path *p, uint64_t *dir, struct bytes *last)
{
	struct stage_node n;

	*dir = top_of(s);
	*last = bytes_str(p->names[p->count - 1]);
	for (unsigned i = 0; i + 1 < p->count; i++) {
		int rc = stage_lookup(s, *dir, bytes_str(p->names[i]), &n);

		if (rc < 0)
			return rc;
		if (!S_ISDIR(n.st.st_mode))
			return S_ISLNK(n.st.st_mode) ? -ENOENT : -ENOTDIR;
		*dir = n.st.st_ino;
	}
	return 0;
}

static int find(struct stage *s, const struct path *p, struct stage_node *out)
{
	struct bytes last;
	uint64_t dir;
	int rc = resolve(s, p, &dir, &last);

	return rc == 0 ? stage_lookup(s, dir, last, out) : rc;
}

/* --- the same done to both --- */

struct pair {
	struct stage *s;
	int top; /* the folder */
};

static int result(int rc)
{
	return rc < 0 ? -errno : 0;
}

static int ours_make(struct pair *p, const struct path *path, mode_t mode, const char *target)
{
	struct stage_making what = { .mode = mode, .target = bytes_str(target) };
	struct stage_node out;
	struct bytes last;
	uint64_t dir;
	int rc = resolve(p->s, path, &dir, &last);

	return rc == 0 ? stage_make(p->s, dir, last, &root_user, &what, &out) : rc;
}

static void make(struct pair *p)
{
	struct path path = some_path();
	mode_t mode = pick(010000) & 07777;
	int theirs, ours;

	switch (pick(4)) {
	case 0:
	case 1:
		theirs = result(mkdirat(p->top, path.text, mode & 01777));
		ours = ours_make(p, &path, S_IFDIR | (mode & 01777), "");
		break;
	case 2:
		theirs = result(mknodat(p->top, path.text, S_IFREG | mode, 0));
		ours = ours_make(p, &path, S_IFREG | mode, "");
		break;
	default:
		theirs = result(symlinkat("nowhere", p->top, path.text));
		ours = ours_make(p, &path, S_IFLNK | 0777, "nowhere");
	}
	if (ours != theirs)
		fail_msg("make %s: ours %d, theirs %d", path.text, ours, theirs);
}

static void remove_one(struct pair *p)
{
	struct path path = some_path();
	bool folder = pick(2);
	int theirs = result(unlinkat(p->top, path.text, folder ? AT_REMOVEDIR : 0));
	struct bytes last;
	uint64_t dir;
	int ours = resolve(p->s, &path, &dir, &last);

	if (ours == 0)
		ours = folder ? stage_rmdir(p->s, dir, last) : stage_unlink(p->s, dir, last);
	if (ours != theirs)
		fail_msg("remove %s: ours %d, theirs %d", path.text, ours, theirs);
}

static void link_one(struct pair *p)
{
	struct path from = some_path(), to = some_path();
	int theirs = result(linkat(p->top, from.text, p->top, to.text, 0)), ours;
	struct stage_node node, out;
	struct bytes last;
	uint64_t dir;

	ours = find(p->s, &from, &node);
	if (ours == 0)
		ours = resolve(p->s, &to, &dir, &last);
	if (ours == 0)
		ours = stage_link(p->s, node.st.st_ino, dir, last, &out);
	/* Of two reasons either will do. */
	if ((ours == 0) != (theirs == 0))
		fail_msg("link %s %s: ours %d, theirs %d", from.text, to.text, ours, theirs);
}

static void rename_one(struct pair *p)
{
	static const unsigned flags[] = { 0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE };
	struct path from = some_path(), to = some_path();
	unsigned how = flags[pick(5)];
	int theirs = result(renameat2(p->top, from.text, p->top, to.text, how)), ours;
	struct bytes last, new_last;
	uint64_t dir, new_dir;

	ours = resolve(p->s, &from, &dir, &last);
	if (ours == 0)
		ours = resolve(p->s, &to, &new_dir, &new_last);
	if (ours == 0)
		ours = stage_rename(p->s, dir, last, new_dir, new_last, how);
	if ((ours == 0) != (theirs == 0))
		fail_msg("rename %s %s %u: ours %d, theirs %d", from.text, to.text, how, ours,
			 theirs);
}

static void change_mode(struct pair *p)
{
	struct path path = some_path();
	struct stat st = { .st_mode = pick(010000) & 07777 };
	struct stage_node node;
	int ours = find(p->s, &path, &node), theirs;

	if (ours == 0 && S_ISLNK(node.st.st_mode))
		return; /* nobody can */
	theirs = result(fchmodat(p->top, path.text, st.st_mode, 0));
	if (ours == 0)
		ours = stage_set(p->s, node.st.st_ino, STAGE_MODE, &st, &node);
	if (ours != theirs)
		fail_msg("chmod %s: ours %d, theirs %d", path.text, ours, theirs);
}

/* An ACL, good or not quite. */
static size_t some_acl(uint8_t *out)
{
	static const struct {
		uint16_t tag;
		bool named;
	} entries[] = { { 0x01, false }, { 0x02, true },  { 0x04, false },
			{ 0x08, true },  { 0x10, false }, { 0x20, false } };
	size_t len = 4;

	put_le32(out, 2);
	for (size_t i = 0; i < 6; i++) {
		if ((entries[i].named || entries[i].tag == 0x10) && pick(2))
			continue;
		if (pick(40) == 0)
			continue;
		put_le16(out + len, entries[i].tag);
		put_le16(out + len + 2, (uint16_t)pick(8));
		put_le32(out + len + 4, entries[i].named ? 1 + pick(9) : UINT32_MAX);
		len += 8;
	}
	return len;
}

static void change_xattr(struct pair *p)
{
	static const char *const names[] = { "system.posix_acl_access",
					     "system.posix_acl_default", "trusted.a",
					     "trusted.b" };
	struct path path = some_path();
	const char *name = names[pick(4)];
	static const int flags[] = { 0, 0, XATTR_CREATE, XATTR_REPLACE };
	int how = name[0] == 't' ? flags[pick(4)] : 0, ours, theirs;
	struct stage_node node;
	uint8_t value[100];
	size_t len = name[0] == 't' ? pick(20) : some_acl(value);
	char full[1024];

	if (name[0] == 't')
		memset(value, 'x', len);
	snprintf(full, sizeof(full), "/proc/self/fd/%d/%s", p->top, path.text);
	ours = find(p->s, &path, &node);
	if (pick(4) == 0) {
		theirs = result(lremovexattr(full, name));
		if (ours == 0)
			ours = stage_remove_xattr(p->s, node.st.st_ino, bytes_str(name));
		/* To take away an ACL that is not there is fine on some file systems. */
		if (name[0] == 's')
			return;
	} else {
		theirs = result(lsetxattr(full, name, value, len, how));
		if (ours == 0)
			ours = stage_set_xattr(p->s, node.st.st_ino, bytes_str(name),
					       (struct bytes){ value, len }, how);
	}
	if ((ours == 0) != (theirs == 0))
		fail_msg("xattr %s %s: ours %d, theirs %d", path.text, name, ours, theirs);
}

/* --- comparing --- */

static void describe(struct buf *out, const char *path, const struct stat *st,
		     const char *target, struct bytes xattrs)
{
	char line[2048];

	snprintf(line, sizeof(line), "%s %o %u:%u %u %s ", path, st->st_mode, st->st_uid,
		 st->st_gid, (unsigned)st->st_nlink, target);
	buf_append_str(out, line);
	buf_append(out, xattrs.p, xattrs.len);
	buf_append_byte(out, '\n');
}

static void put_xattr_hex(struct buf *out, const char *name, const uint8_t *value, size_t len)
{
	char hex[3];

	buf_append_str(out, name);
	buf_append_byte(out, '=');
	for (size_t i = 0; i < len; i++) {
		snprintf(hex, sizeof(hex), "%02x", value[i]);
		buf_append_str(out, hex);
	}
	buf_append_byte(out, ' ');
}

static const char *const compared[] = { "system.posix_acl_access", "system.posix_acl_default",
					"trusted.a", "trusted.b" };

static void tell_theirs(int top, const char *path, struct buf *out);

static void tell_their_folder(int top, const char *path, struct buf *out)
{
	struct dirent **list = NULL;
	char full[1024];
	int n;

	snprintf(full, sizeof(full), "/proc/self/fd/%d/%s", top, path);
	n = scandir(full, &list, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		char *child =
			*path ? path_join(path, list[i]->d_name) : strdup(list[i]->d_name);

		if (list[i]->d_name[0] != '.')
			tell_theirs(top, child, out);
		free(child);
		free(list[i]);
	}
	free(list);
}

static void tell_theirs(int top, const char *path, struct buf *out)
{
	struct buf xattrs = BUF_INIT;
	char full[1024], target[64] = "";
	uint8_t value[200];
	struct stat st;

	assert_int_equal(fstatat(top, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	if (S_ISLNK(st.st_mode))
		assert_true(readlinkat(top, path, target, sizeof(target) - 1) > 0);
	snprintf(full, sizeof(full), "/proc/self/fd/%d/%s", top, path);
	for (size_t i = 0; i < 4; i++) {
		ssize_t n = lgetxattr(full, compared[i], value, sizeof(value));

		if (n >= 0)
			put_xattr_hex(&xattrs, compared[i], value, (size_t)n);
	}
	describe(out, path, &st, target, buf_bytes(&xattrs));
	buf_fini(&xattrs);
	if (S_ISDIR(st.st_mode))
		tell_their_folder(top, path, out);
}

static void tell_ours(struct stage *s, uint64_t node, const char *path, struct buf *out)
{
	struct buf xattrs = BUF_INIT, value = BUF_INIT, target = BUF_INIT;
	struct stage_node n, child;
	char full[1024], name[8];

	assert_int_equal(stage_get(s, node, &n), 0);
	if (S_ISLNK(n.st.st_mode))
		assert_int_equal(stage_link_target(s, node, &target), 0);
	buf_append_byte(&target, 0);
	for (size_t i = 0; i < 4; i++)
		if (stage_xattr(s, node, bytes_str(compared[i]), &value) == 1)
			put_xattr_hex(&xattrs, compared[i], value.p, value.len);
	if (*path)
		describe(out, path, &n.st, (const char *)target.p, buf_bytes(&xattrs));
	for (unsigned i = 0; S_ISDIR(n.st.st_mode) && i < NAMES; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		snprintf(full, sizeof(full), "%s%s%s", path, *path ? "/" : "", name);
		if (stage_lookup(s, node, bytes_str(name), &child) == 0)
			tell_ours(s, child.st.st_ino, full, out);
	}
	buf_fini(&xattrs);
	buf_fini(&value);
	buf_fini(&target);
}

static void compare(struct pair *p)
{
	struct buf ours = BUF_INIT, theirs = BUF_INIT;

	tell_their_folder(p->top, "", &theirs);
	tell_ours(p->s, top_of(p->s), "", &ours);
	buf_append_byte(&ours, 0);
	buf_append_byte(&theirs, 0);
	assert_string_equal((const char *)ours.p, (const char *)theirs.p);
	buf_fini(&ours);
	buf_fini(&theirs);
}

/* A round of its own: what is moved below the reach of some_path() would pile up. */
static void live(size_t operations_count)
{
	static void (*const operations[])(struct pair *) = {
		make,       make,       make,        remove_one,   link_one,
		rename_one, rename_one, change_mode, change_xattr, change_xattr,
	};
	struct stage_making top = { .mode = S_IFDIR | 0755 };
	struct stage_node made;
	char *dir = test_dir_make();
	struct pair p = { .s = new_stage(),
			  .top = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };

	assert_true(p.top >= 0);
	assert_int_equal(
		stage_make(p.s, stage_root(p.s), bytes_str("top"), &root_user, &top, &made), 0);
	for (size_t i = 0; i < operations_count; i++) {
		operations[pick(10)](&p);
		if (i % 100 == 99)
			compare(&p);
	}
	stage_free(p.s);
	close(p.top);
	test_dir_remove(dir);
}

static void as_the_file_system(void **state)
{
	(void)state;
	random_state = test_seed() | 1;
	umask(022);
	for (size_t i = 0; i < test_count(4, 300); i++)
		live(1000);
}

/* --- by hand --- */

static uint64_t make_file(struct stage *s, uint64_t dir, const char *name, uintptr_t content)
{
	struct stage_making what = { .mode = S_IFREG | 0644,
				     .content = (struct stage_content *)content };
	struct stage_node out;

	assert_int_equal(stage_make(s, dir, bytes_str(name), &root_user, &what, &out), 0);
	return out.st.st_ino;
}

static void held_without_a_name(void **state)
{
	struct stage *s = new_stage();
	uint64_t a = make_file(s, stage_root(s), "a", 1), b;
	struct stage_node n;

	(void)state;
	assert_int_equal(stage_hold(s, a, 2), 0);
	assert_int_equal(stage_unlink(s, stage_root(s), bytes_str("a")), 0);
	assert_int_equal(stage_get(s, a, &n), 0);
	assert_int_equal(n.st.st_nlink, 0);
	assert_int_equal(stage_link(s, a, stage_root(s), bytes_str("b"), &n), -ENOENT);
	stage_release(s, a, 1);
	assert_int_equal(disposed_count, 0);
	stage_release(s, a, 1);
	assert_int_equal(disposed_count, 1);
	assert_ptr_equal(disposed[0], (void *)1);
	assert_int_equal(stage_get(s, a, &n), -ESTALE);
	b = make_file(s, stage_root(s), "a", 2);
	assert_true(b != a); /* the number is not given again */
	assert_int_equal(stage_get(s, a, &n), -ESTALE);
	stage_free(s);
	assert_int_equal(disposed_count, 2);
}

struct listed {
	char names[200];
	uint64_t last;
	unsigned most;
};

static int take(void *arg, struct bytes name, const struct stage_node *node, uint64_t cookie)
{
	struct listed *l = arg;
	size_t len = strlen(l->names);

	assert_true(cookie > l->last && node->st.st_ino & STAGE_BIT);
	snprintf(l->names + len, sizeof(l->names) - len, "%.*s ", (int)name.len,
		 (const char *)name.p);
	l->last = cookie;
	return l->most && --l->most == 0;
}

/* What goes and comes between two pages costs no other name its place. */
static void listed_in_pages(void **state)
{
	struct stage *s = new_stage();
	struct listed l = { .most = 3 };
	char name[8];

	(void)state;
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "%d", i);
		make_file(s, stage_root(s), name, 0);
	}
	for (int i = 4; i < 98; i++) {
		snprintf(name, sizeof(name), "%d", i);
		if (i == 50) {
			assert_int_equal(stage_list(s, stage_root(s), 0, take, &l), 0);
			assert_string_equal(l.names, "0 1 2 ");
		}
		assert_int_equal(stage_unlink(s, stage_root(s), bytes_str(name)), 0);
	}
	make_file(s, stage_root(s), "new", 0);
	assert_int_equal(stage_list(s, stage_root(s), l.last, take, &l), 0);
	assert_string_equal(l.names, "0 1 2 3 98 99 new ");
	stage_free(s);
}

static void names_that_no_file_has(void **state)
{
	static const struct {
		const char *name;
		size_t len;
		int want;
	} rows[] = { { "", 0, -EINVAL },    { ".", 1, -EINVAL },    { "..", 2, -EINVAL },
		     { "a/b", 3, -EINVAL }, { "a\0b", 3, -EINVAL }, { "\xff\xfe", 2, 0 } };
	struct stage_making what = { .mode = S_IFREG };
	struct stage *s = new_stage();
	struct stage_node out;
	uint8_t longest[300];

	(void)state;
	memset(longest, 'x', sizeof(longest));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(
			stage_make(s, stage_root(s),
				   (struct bytes){ (const uint8_t *)rows[i].name, rows[i].len },
				   &root_user, &what, &out),
			rows[i].want);
	assert_int_equal(stage_make(s, stage_root(s), (struct bytes){ longest, 255 },
				    &root_user, &what, &out),
			 0);
	assert_int_equal(stage_make(s, stage_root(s), (struct bytes){ longest, 256 },
				    &root_user, &what, &out),
			 -ENAMETOOLONG);
	stage_free(s);
}

static uint64_t make_dir(struct stage *s, uint64_t dir, const char *name)
{
	struct stage_making what = { .mode = S_IFDIR | 0755 };
	struct stage_node out;

	assert_int_equal(stage_make(s, dir, bytes_str(name), &root_user, &what, &out), 0);
	return out.st.st_ino;
}

static int move(struct stage *s, uint64_t from, const char *name, uint64_t to, const char *new)
{
	return stage_rename(s, from, bytes_str(name), to, bytes_str(new), 0);
}

static uint64_t archive_now(struct stage *s, uint64_t node)
{
	uint64_t which = 0;

	assert_int_equal(stage_archive(s, node, &which), 0);
	return which;
}

/* Hard links stay within one archive, whatever moves. */
static void links_in_one_archive(void **state)
{
	struct stage *s = new_stage();
	uint64_t root = stage_root(s), a = make_dir(s, root, "a"), b = make_dir(s, root, "b");
	uint64_t inner = make_dir(s, a, "inner"), f = make_file(s, inner, "f", 1);
	uint64_t alone = make_file(s, inner, "alone", 2);
	struct stage_node n;

	(void)state;
	assert_int_equal(stage_link(s, f, b, bytes_str("f"), &n), -EXDEV);
	assert_int_equal(stage_link(s, f, inner, bytes_str("g"), &n), 0);
	assert_int_equal(move(s, inner, "f", b, "f"), -EXDEV); /* g would stay behind */
	assert_int_equal(move(s, a, "inner", b, "inner"), 0);  /* both go along */
	assert_int_equal(archive_now(s, f), b);
	assert_int_equal(archive_now(s, alone), b);
	assert_int_equal(stage_link(s, f, a, bytes_str("h"), &n), -EXDEV);
	assert_int_equal(stage_link(s, f, b, bytes_str("h"), &n), 0);
	assert_int_equal(move(s, b, "inner", a, "inner"), -EXDEV);
	assert_int_equal(
		stage_rename(s, b, bytes_str("inner"), root, bytes_str("a"), RENAME_EXCHANGE),
		-EXDEV);
	assert_int_equal(stage_unlink(s, b, bytes_str("h")), 0);
	assert_int_equal(
		stage_rename(s, b, bytes_str("inner"), root, bytes_str("a"), RENAME_EXCHANGE),
		0);
	assert_int_equal(archive_now(s, f), inner);
	assert_int_equal(archive_now(s, a), b);
	assert_int_equal(move(s, root, "a", b, "whole"), 0); /* an archive into another */
	assert_int_equal(archive_now(s, alone), b);
	stage_free(s);
	assert_int_equal(disposed_count, 2);
}

/* What is frozen answers as it was, changes no more, and goes when nobody holds any of it. */
static void frozen(void **state)
{
	static const struct stat st = { .st_mode = 0600 };
	struct stage *s = new_stage();
	uint64_t root = stage_root(s), a = make_dir(s, root, "a"), d = make_dir(s, a, "d");
	uint64_t f = make_file(s, d, "f", 1), open_file = make_file(s, a, "gone", 2);
	struct stage_making folder = { .mode = S_IFDIR | 0755 };
	struct stage_node n;

	(void)state;
	make_file(s, d, "unheld", 3);
	assert_int_equal(stage_link(s, f, a, bytes_str("g"), &n), 0);
	assert_int_equal(stage_hold(s, a, 1), 0);
	assert_int_equal(stage_hold(s, f, 2), 0);
	assert_int_equal(stage_hold(s, open_file, 1), 0);
	assert_int_equal(stage_unlink(s, a, bytes_str("gone")), 0);
	assert_int_equal(stage_freeze(s, d), -ENOENT);
	assert_int_equal(stage_freeze(s, root), -ENOENT);
	assert_int_equal(stage_freeze(s, a), 0);
	assert_int_equal(stage_lookup(s, root, bytes_str("a"), &n), -ENOENT);
	assert_int_equal(stage_lookup(s, d, bytes_str("f"), &n), 0);
	assert_true(n.frozen && n.st.st_nlink == 2);
	assert_int_equal(stage_make(s, d, bytes_str("x"), &root_user, &folder, &n), -EROFS);
	assert_int_equal(stage_unlink(s, d, bytes_str("f")), -EROFS);
	assert_int_equal(stage_rmdir(s, a, bytes_str("d")), -EROFS);
	assert_int_equal(stage_link(s, f, d, bytes_str("h"), &n), -EROFS);
	assert_int_equal(move(s, d, "f", root, "f"), -EROFS);
	assert_int_equal(stage_set(s, f, STAGE_MODE, &st, &n), -EROFS);
	assert_int_equal(stage_set(s, open_file, STAGE_MODE, &st, &n), -EROFS);
	assert_int_equal(stage_set_xattr(s, f, bytes_str("user.a"), bytes_str("b"), 0), -EROFS);
	assert_int_equal(stage_set_flags(s, f, 0), -EROFS);
	make_dir(s, root, "a"); /* another of this name */
	assert_int_equal(disposed_count, 0);
	stage_release(s, open_file, 1);
	assert_int_equal(disposed_count, 1);
	stage_release(s, f, 2);
	assert_int_equal(stage_hold(s, d, 1), 0); /* looked up once more */
	stage_release(s, a, 1);
	assert_int_equal(disposed_count, 1);
	assert_int_equal(stage_get(s, f, &n), 0);
	stage_release(s, d, 1);
	assert_int_equal(disposed_count, 3);
	assert_int_equal(stage_get(s, f, &n), -ESTALE);
	assert_int_equal(stage_freeze(s, make_dir(s, root, "b")), 0);
	stage_free(s);
}

/* As ext4 has it. */
static void immutable_and_append_only(void **state)
{
	static const struct stat st = { .st_mode = 0600 };
	struct stage *s = new_stage();
	uint64_t a = make_dir(s, stage_root(s), "a"), f = make_file(s, a, "f", 0);
	struct stage_node n;

	(void)state;
	for (int append = 0; append < 2; append++) {
		uint32_t flag = append ? 0x20 : 0x10;

		assert_int_equal(stage_set_flags(s, f, flag), 0);
		assert_int_equal(stage_unlink(s, a, bytes_str("f")), -EPERM);
		assert_int_equal(stage_link(s, f, a, bytes_str("g"), &n), -EPERM);
		assert_int_equal(move(s, a, "f", a, "g"), -EPERM);
		assert_int_equal(stage_set(s, f, STAGE_MODE, &st, &n), -EPERM);
		assert_int_equal(stage_set(s, f, STAGE_SIZE | STAGE_WRITTEN, &st, &n), 0);
		assert_int_equal(stage_set(s, f, STAGE_ATIME, &st, &n), 0);
		assert_int_equal(stage_set_xattr(s, f, bytes_str("user.a"), bytes_str("b"), 0),
				 -EPERM);
		assert_int_equal(stage_set_flags(s, f, 0), 0);
		assert_int_equal(stage_set_flags(s, a, flag), 0);
		assert_int_equal(stage_unlink(s, a, bytes_str("f")), -EPERM);
		assert_int_equal(stage_link(s, f, a, bytes_str(append ? "i" : "h"), &n),
				 append ? 0 : -EPERM);
		assert_int_equal(move(s, a, "f", stage_root(s), "x"), -EPERM);
		assert_int_equal(stage_set_flags(s, a, 0), 0);
	}
	stage_free(s);
}

static void archives_are_the_roots_folders(void **state)
{
	struct stage_making folder = { .mode = S_IFDIR | 0755 };
	struct stage *s = new_stage();
	struct stage_node a, b, c;
	uint64_t which;

	(void)state;
	assert_int_equal(stage_make(s, stage_root(s), bytes_str("a"), &root_user, &folder, &a),
			 0);
	assert_int_equal(stage_make(s, a.st.st_ino, bytes_str("b"), &root_user, &folder, &b),
			 0);
	assert_int_equal(stage_make(s, b.st.st_ino, bytes_str("c"), &root_user, &folder, &c),
			 0);
	assert_int_equal(stage_archive(s, c.st.st_ino, &which), 0);
	assert_int_equal(which, a.st.st_ino);
	assert_int_equal(stage_archive(s, a.st.st_ino, &which), 0);
	assert_int_equal(which, a.st.st_ino);
	assert_int_equal(stage_archive(s, stage_root(s), &which), -ENOENT);
	assert_int_equal(stage_parent(s, c.st.st_ino, &b), 0);
	assert_int_equal(
		stage_rename(s, b.st.st_ino, bytes_str("c"), stage_root(s), bytes_str("c"), 0),
		0);
	assert_int_equal(stage_archive(s, c.st.st_ino, &which), 0);
	assert_int_equal(which, c.st.st_ino);
	stage_free(s);
}

/* A staged tree is large: an entry costs at most about 300 bytes. */
static void small(void **state)
{
	enum { FILES = 20000 };
	struct stage *s = new_stage();
	struct stage_usage usage;
	char name[32];

	(void)state;
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "some file's name %d", i);
		make_file(s, stage_root(s), name, 0);
	}
	stage_usage(s, &usage);
	assert_int_equal(usage.nodes, FILES + 1);
	assert_true(usage.bytes < 300 * FILES);
	stage_free(s);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_the_file_system),
		cmocka_unit_test(held_without_a_name),
		cmocka_unit_test(listed_in_pages),
		cmocka_unit_test(names_that_no_file_has),
		cmocka_unit_test(archives_are_the_roots_folders),
		cmocka_unit_test(links_in_one_archive),
		cmocka_unit_test(frozen),
		cmocka_unit_test(immutable_and_append_only),
		cmocka_unit_test(small),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
