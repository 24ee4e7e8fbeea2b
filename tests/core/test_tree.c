/*
 * test_tree.c - items in, a tree out: what stands where, whatever the items say.
 *
 * Method: each row's items are built into a tree, which is written down as text by walking it,
 * once from memory and once from a sealed file; on the way every entry must be found by its
 * name and have its path.  Random names are compared with a sorted list of them.
 */

#include "tests/support/tap.h"

#include "core/archive/tree_builder.h"
#include "core/archive/tree_internal.h"
#include "core/base/io.h"

#include <stdio.h>
#include <sys/stat.h>

enum { CHUNK = 10 /* bytes of a test file's chunk */, CHUNKS_MAX = 8 };

struct row {
	const char *name;
	/* One line an item: its kind d f l(ink) p(ipe) c(har device); a letter where it is a
	 * hard-link m(aster), a P(art file) or h(as chunks_healthy); its path, "> source" of
	 * symlinks and hard links, number of chunks.  A lone blank stands for no path. */
	const char *items;
	/* One line an entry: kind, path, then d: links; f and p: links and size, "=path" of the
	 * entry that stands for it; l: target; c: numbers.  "*" is made up, "!" damaged. */
	const char *expect;
	size_t refused;
	unsigned strip;
	bool parts;
};

static const struct row rows[] = {
	{ .name = "nothing", .items = "", .expect = "d* 2\n" },
	{ .name = "the root", .items = "d .\n", .expect = "d 2\n" },
	{ .name = "files in order of their names",
	  .items = "d .\nf b\nf a 2\nf B\n",
	  .expect = "d 2\nf B 1 0\nf a 1 20\nf b 1 0\n" },
	{ .name = "names that are others' beginnings",
	  .items = "f Makefile.am\nf Makefile\nf Makefil\nf Makefile2\n",
	  .expect =
		  "d* 2\nf Makefil 1 0\nf Makefile 1 0\nf Makefile.am 1 0\nf Makefile2 1 0\n" },
	{ .name = "bytes above 127 come last",
	  .items = "f \xff\nf z\nf \x80long-enough\n",
	  .expect = "d* 2\nf z 1 0\nf \x80long-enough 1 0\nf \xff 1 0\n" },
	{ .name = "parents made up",
	  .items = "f a/b/c\n",
	  .expect = "d* 3\nd* a 3\nd* a/b 2\nf a/b/c 1 0\n" },
	{ .name = "a parent that comes after its child",
	  .items = "f a/b\nd a\n",
	  .expect = "d* 3\nd a 2\nf a/b 1 0\n" },
	{ .name = "depth first",
	  .items = "d a\nd b\nd a/x\nf b/y\nf a/x/z\n",
	  .expect = "d* 4\nd a 3\nd a/x 2\nf a/x/z 1 0\nd b 2\nf b/y 1 0\n" },
	{ .name = "slashes and dots in paths",
	  .items = "f ./a//b/./c/\nd a/b\nf a/./b/d\n",
	  .expect = "d* 3\nd* a 3\nd a/b 2\nf a/b/c 1 0\nf a/b/d 1 0\n" },
	{ .name = "paths no tree can hold",
	  .items = "f /etc\nf ../a\nf a/../b\nf .\nf \nf ok\n",
	  .expect = "d* 2\nf ok 1 0\n",
	  .refused = 5 },
	{ .name = "dots that are names",
	  .items = "f ...\nf ..a\nf .b\n",
	  .expect = "d* 2\nf ... 1 0\nf ..a 1 0\nf .b 1 0\n" },
	{ .name = "the later file of a name",
	  .items = "f a 3\nf a 1\n",
	  .expect = "d* 2\nf a 1 10\n" },
	{ .name = "a later symlink", .items = "f a 3\nl a > x\n", .expect = "d* 2\nl a x\n" },
	{ .name = "a file that becomes a directory",
	  .items = "f a 1\nf a/b\n",
	  .expect = "d* 3\nd* a 2\nf a/b 1 0\n" },
	{ .name = "an empty directory that becomes a file",
	  .items = "d a\nf a 1\n",
	  .expect = "d* 2\nf a 1 10\n" },
	{ .name = "a file in the way of what a directory holds",
	  .items = "f a/b\nf a 1\n",
	  .expect = "d* 3\nd* a 2\nf a/b 1 0\n" },
	{ .name = "file, directory, file, and a child at last",
	  .items = "f a\nd a\nf a\nf a/b\n",
	  .expect = "d* 3\nd a 2\nf a/b 1 0\n" },
	{ .name = "hard links",
	  .items = "fm m 2\nf s > m\nf a/t > m\n",
	  .expect = "d* 3\nd* a 2\nf a/t =m 3 20\nf m 3 20\nf s =m 3 20\n" },
	{ .name = "links to a pipe",
	  .items = "pm b\np a > b\n",
	  .expect = "d* 2\np a 2 0\np b =a 2 0\n" },
	{ .name = "links to what is not there",
	  .items = "f b > x\nf a > x\nf c > y\n",
	  .expect = "d* 2\nf a 2 0\nf b =a 2 0\nf c 1 0\n" },
	{ .name = "a link to itself", .items = "f a > a\n", .expect = "d* 2\nf a 1 0\n" },
	{ .name = "links in a circle",
	  .items = "f a > b\nf b > c\nf c > a\n",
	  .expect = "d* 2\nf a 1 0\nf b 1 0\nf c 1 0\n" },
	{ .name = "a link before its master",
	  .items = "f a > m\nfm m 2\nf z > m\n",
	  .expect = "d* 2\nf a 1 0\nf m 2 20\nf z =m 2 20\n" },
	{ .name = "a link to a link",
	  .items = "fm m 1\nf a > m\nf b > a\n",
	  .expect = "d* 2\nf a 2 10\nf b 1 0\nf m =a 2 10\n" },
	{ .name = "a master that was replaced",
	  .items = "fm m 2\nf s > m\nf m 1\n",
	  .expect = "d* 2\nf m 1 10\nf s 1 20\n" },
	{ .name = "a link replaces its master",
	  .items = "fm m 2\nf m > m\n",
	  .expect = "d* 2\nf m 1 20\n" },
	{ .name = "a link replaced by a directory",
	  .items = "fm m 2\nf s > m\nf s/x\n",
	  .expect = "d* 3\nf m 1 20\nd* s 2\nf s/x 1 0\n" },
	{ .name = "a master not asked for",
	  .items = "fm no/m 2\nf a > no/m\nf b > no/m\n",
	  .expect = "d* 2\nf a 2 20\nf b =a 2 20\n" },
	{ .name = "a symlink's source is its target",
	  .items = "fm m 1\nl l > m\n",
	  .expect = "d* 2\nl l m\nf m 1 10\n" },
	{ .name = "part files are hidden",
	  .items = "fP a.borg_part_1 1\nf a 1\n",
	  .expect = "d* 2\nf a 1 10\n" },
	{ .name = "part files asked for",
	  .items = "fP a.borg_part_1 1\n",
	  .expect = "d* 2\nf a.borg_part_1 1 10\n",
	  .parts = true },
	{ .name = "zeros in place of lost chunks",
	  .items = "fh a 1\n",
	  .expect = "d* 2\nf! a 1 10\n" },
	{ .name = "leading components stripped",
	  .items = "d x\nd x/y\nfm x/y/m 1\nf x/y/s > x/y/m\nf x/f\n",
	  .expect = "d* 2\nf m 2 10\nf s =m 2 10\n",
	  .strip = 2 },
	{ .name = "devices", .items = "c a\n", .expect = "d* 2\nc a 5:1\n" },
};

static mode_t mode_of(char kind)
{
	switch (kind) {
	case 'd': return S_IFDIR | 0750;
	case 'l': return S_IFLNK | 0777;
	case 'p': return S_IFIFO | 0600;
	case 'c': return S_IFCHR | 0600;
	default: return S_IFREG | 0640;
	}
}

/* The item of one line, which is taken apart for it. */
static struct item item_of(char *line, struct item_chunk chunks[CHUNKS_MAX])
{
	char *rest = strchr(line, ' '), *path = strsep(&rest, " "), *word;
	struct item it = { .mode = mode_of(line[0]) };

	path = strsep(&rest, " ");
	it.path = bytes_str(path);
	it.hardlink_master = line[1] == 'm';
	it.has |= line[1] == 'P' ? ITEM_PART : 0;
	it.has |= line[1] == 'h' ? ITEM_CHUNKS_HEALTHY : 0;
	it.rdev = line[0] == 'c' ? 5 << 8 | 1 : 0;
	while ((word = strsep(&rest, " "))) {
		if (*word == '>') {
			it.has |= ITEM_SOURCE;
			it.source = bytes_str(strsep(&rest, " "));
		} else {
			it.chunk_count = strtoul(word, NULL, 10);
		}
	}
	for (size_t i = 0; i < it.chunk_count; i++)
		chunks[i] = (struct item_chunk){ .size = CHUNK };
	it.chunks = chunks;
	it.chunks_size = it.size = it.chunk_count * CHUNK;
	return it;
}

/* --- a tree as text --- */

static void say(struct buf *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct buf *out, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	assert_int_equal(buf_append_str(out, text), 0);
}

static const char *path_of(struct tree *t, uint32_t index, struct buf *scratch)
{
	assert_int_equal(tree_path(t, index, scratch, NULL), 0);
	assert_int_equal(buf_append_byte(scratch, 0), 0);
	return (const char *)scratch->p;
}

/* Found by its name in its parent, and the path ends in that name. */
static void check_place(struct tree *t, const struct tree_node *n)
{
	CLEANUP(buf_fini) struct buf name = BUF_INIT, path = BUF_INIT;
	uint32_t found;

	if (n->index == TREE_ROOT)
		return;
	assert_int_equal(tree_entry_name(t, n->index, &name, NULL), 0);
	assert_int_equal(tree_lookup(t, n->parent, buf_bytes(&name), &found, NULL), 1);
	assert_int_equal(found, n->index);
	assert_int_equal(tree_path(t, n->index, &path, NULL), 0);
	assert_true(path.len >= name.len);
	assert_memory_equal(path.p + path.len - name.len, name.p, name.len);
	assert_int_equal(buf_append_byte(&name, 'x'), 0);
	if (tree_lookup(t, n->parent, buf_bytes(&name), &found, NULL) == 1)
		assert_int_not_equal(found, n->index);
}

static void describe(struct tree *t, uint32_t index, struct buf *out)
{
	CLEANUP(buf_fini) struct buf scratch = BUF_INIT;
	static const char kinds[] = { [S_IFDIR >> 12] = 'd',
				      [S_IFREG >> 12] = 'f',
				      [S_IFLNK >> 12] = 'l',
				      [S_IFIFO >> 12] = 'p',
				      [S_IFCHR >> 12] = 'c' };
	struct tree_node n;
	char kind;

	assert_int_equal(tree_node(t, index, &n, NULL), 0);
	assert_int_equal(n.index, index);
	check_place(t, &n);
	kind = kinds[(n.mode & S_IFMT) >> 12];
	say(out, "%c%s%s", kind, n.made_up ? "*" : "", n.damaged ? "!" : "");
	if (index != TREE_ROOT)
		say(out, " %s", path_of(t, index, &scratch));
	if (n.file != index)
		say(out, " =%s", path_of(t, n.file, &scratch));
	if (kind == 'd')
		say(out, " %u", n.nlink);
	if (kind == 'c')
		say(out, " %u:%u", (unsigned)n.rdev >> 8, (unsigned)n.rdev & 255);
	if (kind == 'f' || kind == 'p')
		say(out, " %u %u", n.nlink, (unsigned)n.size);
	if (kind == 'l') {
		assert_int_equal(tree_link_target(t, index, &scratch, NULL), 0);
		assert_int_equal(buf_append_byte(&scratch, 0), 0);
		say(out, " %s", (const char *)scratch.p);
	}
	say(out, "\n");
	for (uint32_t i = 0; i < n.child_count; i++) {
		struct tree_node child;

		assert_int_equal(tree_node(t, n.first_child + i, &child, NULL), 0);
		assert_int_equal(child.parent, index);
		describe(t, n.first_child + i, out);
	}
}

static void expect_text(struct tree *t, const char *expect)
{
	CLEANUP(buf_fini) struct buf text = BUF_INIT;

	describe(t, TREE_ROOT, &text);
	assert_int_equal(buf_append_byte(&text, 0), 0);
	assert_string_equal((const char *)text.p, expect);
}

/* --- building --- */

static struct tree_builder *builder(unsigned strip, bool parts, struct matcher *matcher)
{
	struct tree_builder_options options = {
		.made_up_ns = 12345,
		.made_up_uid = 7,
		.made_up_gid = 8,
		.matcher = matcher,
		.strip_components = strip,
		.consider_part_files = parts,
	};
	struct tree_builder *b = NULL;

	memset(options.archive_id.b, 0xa1, sizeof(options.archive_id.b));
	assert_int_equal(tree_builder_new(&b, &options, NULL), 0);
	return b;
}

static void add(struct tree_builder *b, const struct item *it)
{
	struct err e = ERR_INIT;

	if (tree_builder_add(b, it, &e) < 0)
		fail_msg("%s", e.msg);
}

static struct tree *finish(struct tree_builder *b)
{
	struct err e = ERR_INIT;
	struct tree *t = NULL;

	if (tree_builder_finish(b, false, &t, &e) < 0)
		fail_msg("%s", e.msg);
	tree_builder_free(b);
	return t;
}

struct sealed { /* a tree file of its own folder */
	char *dir, *path;
	struct tree_cache *cache;
	struct secret *secret;
	struct chunk_id id;
};

static void sealed_open(struct sealed *s)
{
	s->dir = test_dir_make();
	s->path = path_join(s->dir, "tree");
	s->cache = tree_cache_new(8 * 65536);
	s->secret = secret_new(32);
	memset(s->secret->p, 3, 32);
	memset(s->id.b, 0xa1, sizeof(s->id.b));
}

static void sealed_close(struct sealed *s)
{
	tree_cache_free(s->cache);
	secret_free(s->secret);
	free(s->path);
	test_dir_remove(s->dir);
}

static void settle(struct sealed *s, struct tree *t)
{
	struct tree_file *f = NULL;

	assert_int_equal(tree_file_write(s->path, s->secret, &s->id, tree_image(t), NULL), 0);
	assert_int_equal(tree_file_open(&f, s->path, s->secret, &s->id, s->cache, NULL), 0);
	tree_settle(t, f);
}

static void build_row(const void *arg)
{
	const struct row *r = arg;
	struct tree_builder *b;
	struct item_chunk chunks[CHUNKS_MAX];
	char *text = strdup(r->items), *rest = text, *line;
	struct matcher *matcher = NULL;
	struct sealed s;
	struct tree *t;

	assert_int_equal(matcher_new(&matcher, NULL), 0);
	assert_int_equal(matcher_exclude(matcher, "no", NULL), 0);
	b = builder(r->strip, r->parts, matcher);
	while ((line = strsep(&rest, "\n")) && *line) {
		struct item it = item_of(line, chunks);

		add(b, &it);
	}
	free(text);
	assert_int_equal(tree_builder_refused(b), r->refused);
	t = finish(b);
	expect_text(t, r->expect);
	sealed_open(&s);
	settle(&s, t);
	expect_text(t, r->expect);
	tree_close(t);
	sealed_close(&s);
	matcher_free(matcher);
}

/* --- single tests --- */

static struct tree *tree_of(const struct item *items, size_t count)
{
	struct tree_builder *b = builder(0, false, NULL);

	for (size_t i = 0; i < count; i++)
		add(b, &items[i]);
	return finish(b);
}

static void attributes(void **state)
{
	struct item it = { .path = bytes_str("f"),
			   .mode = S_IFREG | 04711,
			   .has = ITEM_USER | ITEM_GROUP | ITEM_BSDFLAGS,
			   .uid = 1000,
			   .gid = UINT32_MAX,
			   .user = bytes_str("alice"),
			   .group = bytes_str(""),
			   .mtime_ns = -5,
			   .atime_ns = INT64_MAX,
			   .ctime_ns = INT64_MIN,
			   .bsdflags = 0x8010 };
	struct tree *t = tree_of(&it, 1);
	struct tree_node n;
	struct tree_info info;

	(void)state;
	assert_int_equal(tree_node(t, 1, &n, NULL), 0);
	assert_int_equal(n.mode, S_IFREG | 04711);
	assert_int_equal(n.uid, 1000);
	assert_int_equal(n.gid, UINT32_MAX);
	assert_true(bytes_is(tree_name(t, n.user), "alice"));
	assert_true(bytes_is(tree_name(t, n.group), ""));
	assert_true(n.mtime_ns == -5 && n.atime_ns == INT64_MAX && n.ctime_ns == INT64_MIN);
	assert_int_equal(n.bsdflags, 0x8010);
	assert_false(n.made_up || n.has_xattrs || n.has_acl_access || n.has_acl_default);
	assert_int_equal(tree_node(t, TREE_ROOT, &n, NULL), 0);
	assert_true(n.made_up && n.mtime_ns == 12345 && n.uid == 7 && n.gid == 8);
	assert_int_equal(n.user, UINT32_MAX);
	assert_int_equal(n.mode, S_IFDIR | 0755);
	assert_int_equal(tree_node(t, 2, &n, NULL), -EINVAL);
	tree_info(t, &info);
	assert_int_equal(info.node_count, 2);
	assert_int_equal(info.directory_count, 1);
	assert_int_equal(info.archive_id.b[5], 0xa1);
	assert_false(info.damaged);
	tree_close(t);
}

struct seen {
	size_t count, stop;
	char text[128];
};

static int see(void *arg, struct bytes name, struct bytes value)
{
	struct seen *s = arg;
	size_t at = strlen(s->text);

	snprintf(s->text + at, sizeof(s->text) - at, "%.*s=%.*s;", (int)name.len,
		 (const char *)name.p, (int)value.len, value.p ? (const char *)value.p : "");
	return ++s->count == s->stop ? 42 : 0;
}

static void xattrs_and_acls(void **state)
{
	static const char acl[] = "user::rwx\nuser:1:r--\ngroup::---\nmask::r--\nother::---";
	struct item_xattr xattrs[] = { { bytes_str("user.a"), bytes_str("1") },
				       { bytes_str("user.empty"), { 0 } } };
	struct item items[] = {
		{ .path = bytes_str("a"),
		  .mode = S_IFREG,
		  .has = ITEM_XATTRS,
		  .xattrs = xattrs,
		  .xattr_count = 2 },
		{ .path = bytes_str("b"),
		  .mode = S_IFDIR,
		  .has = ITEM_ACL_ACCESS | ITEM_ACL_DEFAULT,
		  .acl_access = bytes_str(acl),
		  .acl_default = bytes_str("other::---") },
		{ .path = bytes_str("c"), /* what the mode says is no ACL */
		  .mode = S_IFREG,
		  .has = ITEM_ACL_ACCESS,
		  .acl_access = bytes_str("user::rw-\ngroup::r--\nother::r--") },
	};
	struct tree *t = tree_of(items, 3);
	struct seen all = { 0 }, one = { .stop = 1 }, none = { 0 };
	struct buf text = BUF_INIT;
	struct tree_node n;

	(void)state;
	assert_int_equal(tree_xattrs(t, 1, see, &all, NULL), 0);
	assert_string_equal(all.text, "user.a=1;user.empty=;");
	assert_int_equal(tree_xattrs(t, 1, see, &one, NULL), 42);
	assert_int_equal(one.count, 1);
	assert_int_equal(tree_acl(t, 1, false, &text, NULL), 0);
	assert_int_equal(tree_acl(t, 2, false, &text, NULL), 1);
	assert_true(bytes_is(buf_bytes(&text), acl));
	assert_int_equal(tree_acl(t, 2, true, &text, NULL), 1);
	assert_true(bytes_is(buf_bytes(&text), "other::---"));
	assert_int_equal(tree_xattrs(t, 2, see, &none, NULL), 0);
	assert_int_equal(tree_xattrs(t, 3, see, &none, NULL), 0);
	assert_int_equal(none.count, 0);
	assert_int_equal(tree_acl(t, 3, false, &text, NULL), 0);
	assert_int_equal(tree_node(t, 2, &n, NULL), 0);
	assert_true(n.has_acl_access && n.has_acl_default && !n.has_xattrs);
	assert_int_equal(tree_node(t, 1, &n, NULL), 0);
	assert_true(n.has_xattrs && !n.has_acl_access);
	buf_fini(&text);
	tree_close(t);
}

static void chunks_and_order(void **state)
{
	struct item_chunk chunks[] = {
		{ .size = 10, .csize = 4 }, { .size = 0 }, { .size = UINT32_MAX }, { .size = 1 }
	};
	struct item items[] = {
		{ .path = bytes_str("z"),
		  .mode = S_IFREG,
		  .chunks = chunks,
		  .chunk_count = 4,
		  .chunks_size = 11ull + UINT32_MAX },
		{ .path = bytes_str("m"), .mode = S_IFREG },
		{ .path = bytes_str("a"),
		  .mode = S_IFREG,
		  .chunks = chunks + 3,
		  .chunk_count = 1,
		  .chunks_size = 1 },
	};
	static const struct {
		uint64_t off;
		uint32_t chunk;
	} places[] = { { 0, 0 },
		       { 9, 0 },
		       { 10, 2 },
		       { 9ull + UINT32_MAX, 2 },
		       { 10ull + UINT32_MAX, 3 },
		       { 11ull + UINT32_MAX, 4 },
		       { UINT64_MAX, 4 } };
	struct tree *t;
	struct tree_node z, a;
	struct tree_chunk got[4];
	uint32_t index;

	(void)state;
	for (uint8_t i = 0; i < 4; i++)
		memset(chunks[i].id.b, i + 1, sizeof(chunks[i].id.b));
	t = tree_of(items, 3);
	assert_int_equal(tree_lookup(t, TREE_ROOT, bytes_str("z"), &index, NULL), 1);
	assert_int_equal(tree_node(t, index, &z, NULL), 0);
	assert_int_equal(tree_lookup(t, TREE_ROOT, bytes_str("a"), &index, NULL), 1);
	assert_int_equal(tree_node(t, index, &a, NULL), 0);
	assert_int_equal(z.size, 11ull + UINT32_MAX);
	assert_int_equal(tree_chunks(t, &z, 0, 4, got, NULL), 0);
	assert_int_equal(got[0].csize, 4);
	assert_int_equal(got[2].end, 10ull + UINT32_MAX);
	assert_int_equal(got[3].id.b[31], 4);
	assert_int_equal(tree_chunks(t, &z, 3, 2, got, NULL), -EINVAL);
	assert_int_equal(tree_chunks(t, &z, UINT32_MAX, 1, got, NULL), -EINVAL);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		assert_int_equal(tree_chunk_at(t, &z, places[i].off, &index, NULL), 0);
		assert_int_equal(index, places[i].chunk);
	}
	assert_int_equal(z.order, 0);
	assert_int_equal(a.order, 1);
	assert_int_equal(tree_by_order(t, 0, &index, NULL), 1);
	assert_int_equal(index, z.index);
	assert_int_equal(tree_by_order(t, 1, &index, NULL), 1);
	assert_int_equal(index, a.index);
	assert_int_equal(tree_by_order(t, 2, &index, NULL), 0);
	tree_close(t);
}

static void names_no_directory_holds(void **state)
{
	size_t len = TREE_NAME_MAX + 1;
	char *name = malloc(len);
	struct item longest = { .mode = S_IFREG }, with_nul = { .mode = S_IFREG };
	struct tree_builder *b = builder(0, false, NULL);
	struct tree *t;
	uint32_t index;

	(void)state;
	memset(name, 'n', len);
	longest.path = (struct bytes){ (uint8_t *)name, len };
	with_nul.path = (struct bytes){ (const uint8_t *)"a\0b", 3 };
	add(b, &longest);
	add(b, &with_nul);
	assert_int_equal(tree_builder_refused(b), 2);
	longest.path.len--;
	add(b, &longest);
	assert_int_equal(tree_builder_refused(b), 2);
	t = finish(b);
	assert_int_equal(tree_lookup(t, TREE_ROOT, longest.path, &index, NULL), 1);
	longest.path.len--;
	assert_int_equal(tree_lookup(t, TREE_ROOT, longest.path, &index, NULL), 0);
	assert_int_equal(tree_lookup(t, TREE_ROOT, bytes_str(""), &index, NULL), 0);
	assert_int_equal(tree_lookup(t, 1, bytes_str("x"), &index, NULL), -ENOTDIR);
	tree_close(t);
	free(name);
}

/* A path as deep as an archive may make it costs time in proportion to its length. */
static void very_deep(void **state)
{
	enum { DEPTH = 200000 };
	char *path = malloc(2 * DEPTH);
	struct item it = { .mode = S_IFREG };
	struct buf back = BUF_INIT;
	struct tree *t;

	(void)state;
	for (size_t i = 0; i < DEPTH; i++) {
		path[2 * i] = 'd';
		path[2 * i + 1] = '/';
	}
	it.path = (struct bytes){ (uint8_t *)path, 2 * DEPTH - 1 };
	t = tree_of(&it, 1);
	assert_int_equal(tree_path(t, DEPTH, &back, NULL), 0);
	assert_true(bytes_equal(buf_bytes(&back), it.path));
	buf_fini(&back);
	tree_close(t);
	free(path);
}

/* More distinct names than are kept: the others have none, and the tree still opens. */
static void users_without_end(void **state)
{
	enum { USERS = 70000 };
	struct tree_builder *b = builder(0, false, NULL);
	char path[16], *user = malloc(2000);
	struct tree_node n;
	struct tree *t;

	(void)state;
	memset(user, 'u', 2000);
	for (int i = 0; i < USERS; i++) {
		struct item it = { .mode = S_IFREG, .has = ITEM_USER };

		snprintf(path, sizeof(path), "%05d", i);
		memcpy(user, path, 5);
		it.path = bytes_str(path);
		it.user = (struct bytes){ (uint8_t *)user, 2000 };
		add(b, &it);
	}
	t = finish(b);
	assert_true(tree_name_count(t) <= 65536);
	assert_int_equal(tree_node(t, 1, &n, NULL), 0);
	assert_int_equal(n.user, 0);
	assert_int_equal(tree_node(t, USERS, &n, NULL), 0);
	assert_int_equal(n.user, UINT32_MAX);
	tree_close(t);
	free(user);
}

/* --- random names --- */

static uint64_t next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return *seed >> 33;
}

static int by_bytes(const void *x, const void *y)
{
	return strcmp(x, y);
}

/* Names of a few letters and lengths around that of the record's head, so that most share it. */
static void random_names(void **state)
{
	enum { NAMES = 3000, LEN = 16 };
	static char names[NAMES][LEN];
	struct tree_builder *b = builder(0, false, NULL);
	uint64_t seed = test_seed();
	size_t distinct = 0;
	struct sealed s;
	struct tree *t;

	(void)state;
	for (size_t i = 0; i < NAMES; i++) {
		size_t len = 6 + next_random(&seed) % 6;
		struct item it = { .mode = S_IFREG };

		memset(names[i], 'a', len);
		for (int k = 0; k < 3; k++)
			names[i][next_random(&seed) % len] =
				(char)(unsigned char)"ab\xe9"[next_random(&seed) % 3];
		it.path = bytes_str(names[i]);
		add(b, &it);
	}
	t = finish(b);
	sealed_open(&s);
	settle(&s, t);
	qsort(names, NAMES, LEN, by_bytes);
	for (size_t i = 0; i < NAMES; i++) {
		uint32_t index;

		if (i == 0 || strcmp(names[i], names[i - 1]) != 0)
			distinct++;
		assert_int_equal(tree_lookup(t, TREE_ROOT, bytes_str(names[i]), &index, NULL),
				 1);
		assert_int_equal(index, distinct);
	}
	tree_close(t);
	sealed_close(&s);
}

/* --- readers while the tree moves to its file --- */

struct crowd {
	struct tree *tree;
	uint32_t nodes;
	_Atomic bool stop;
	_Atomic size_t wrong, right;
};

static void *read_on(void *arg)
{
	struct crowd *c = arg;
	CLEANUP(buf_fini) struct buf name = BUF_INIT;

	for (uint32_t i = 0; !c->stop; i = (i + 7919) % c->nodes) {
		struct tree_node n;
		uint32_t index = 0;

		if (tree_node(c->tree, i, &n, NULL) < 0 ||
		    tree_entry_name(c->tree, i, &name, NULL) < 0 ||
		    (i &&
		     tree_lookup(c->tree, n.parent, buf_bytes(&name), &index, NULL) != 1) ||
		    index != i)
			c->wrong++;
		else
			c->right++;
	}
	return NULL;
}

static void settling_under_readers(void **state)
{
	enum { READERS = 4, FILES = 20000 };
	struct tree_builder *b = builder(0, false, NULL);
	pthread_t readers[READERS];
	struct crowd c = { .nodes = FILES };
	struct sealed s;
	size_t before;

	(void)state;
	for (int i = 0; i < FILES; i++) {
		char path[48];
		struct item it = { .mode = S_IFREG };

		snprintf(path, sizeof(path), "folder-%03d/file-with-a-name-%d", i / 100, i);
		it.path = bytes_str(path);
		add(b, &it);
	}
	c.tree = finish(b);
	sealed_open(&s);
	for (int i = 0; i < READERS; i++)
		assert_int_equal(thread_start(&readers[i], read_on, &c, "test", NULL), 0);
	while (c.right < 1000)
		sched_yield();
	settle(&s, c.tree);
	before = c.right;
	while (c.right < before + 1000)
		sched_yield();
	c.stop = true;
	for (int i = 0; i < READERS; i++)
		thread_join(readers[i]);
	assert_int_equal(c.wrong, 0);
	tree_close(c.tree);
	sealed_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(attributes),       cmocka_unit_test(xattrs_and_acls),
		cmocka_unit_test(chunks_and_order), cmocka_unit_test(names_no_directory_holds),
		cmocka_unit_test(very_deep),        cmocka_unit_test(users_without_end),
		cmocka_unit_test(random_names),     cmocka_unit_test(settling_under_readers),
	};
	int failed = run_table(rows, build_row);

	return failed | cmocka_run_group_tests(tests, NULL, NULL);
}
