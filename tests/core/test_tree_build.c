/*
 * test_tree_build.c - trees of real archives: built, kept in the cache folder, found there again.
 *
 * Method: every archive of the golden repositories is opened as a tree; its nodes must say what
 * tests/golden/manifest.jsonl says of the files that Borg put in.
 */

#include "tests/support/golden.h"
#include "tests/support/tap.h"

#include "core/archive/tree_build.h"
#include "core/base/io.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

static bool yes(void *arg, const char *msgid, const char *text, const char *false_text,
		const char *env_name)
{
	(void)arg, (void)msgid, (void)text, (void)false_text, (void)env_name;
	return true;
}

static const struct prompt prompt = { .confirm = yes };
static const struct tree_options everything = { 0 };

struct scene {
	struct golden *golden;
	struct reader *reader;
};

static void scene_open(struct scene *s, const char *name)
{
	struct reader_options options = { .prompt = &prompt };
	struct location where = { .proto = LOCATION_FILE };
	struct err e = ERR_INIT;

	s->golden = golden_open(name);
	where.path = s->golden->repo;
	if (reader_open(&s->reader, &where, &options, &e) < 0)
		fail_msg("%s: %s", name, e.msg);
	assert_non_null(s->reader->cache_dir);
}

static void scene_close(struct scene *s)
{
	reader_close(s->reader);
	golden_close(s->golden);
}

static struct archive *load(struct scene *s, const char *name)
{
	struct manifest *m = reader_manifest(s->reader);
	const struct manifest_entry *entry = manifest_find(m, bytes_str(name));
	struct archive *a = NULL;
	struct err e = ERR_INIT;

	assert_non_null(entry);
	if (archive_load(&a, s->reader, &entry->id, &e) < 0)
		fail_msg("%s: %s", name, e.msg);
	reader_manifest_unref(s->reader, m);
	return a;
}

static struct tree *open_tree(struct scene *s, const struct archive *a,
			      const struct tree_options *options)
{
	struct tree *t = NULL;
	struct err e = ERR_INIT;

	if (tree_open(&t, s->reader, a, options, &e) < 0)
		fail_msg("%s", e.msg);
	return t;
}

/* --- nodes and the list of what is in them --- */

static bool find(struct tree *t, struct bytes path, struct tree_node *out)
{
	uint32_t index = TREE_ROOT;

	while (path.len && !bytes_is(path, ".")) {
		const uint8_t *slash = memchr(path.p, '/', path.len);
		struct bytes name = { path.p, slash ? (size_t)(slash - path.p) : path.len };

		if (tree_lookup(t, index, name, &index, NULL) != 1)
			return false;
		path.p += name.len + (slash != NULL);
		path.len -= name.len + (slash != NULL);
	}
	return tree_node(t, index, out, NULL) == 0;
}

static bool find_hex(struct tree *t, const json_t *item, const char *field,
		     struct tree_node *out)
{
	size_t len;
	uint8_t *path = golden_bytes(item, field, &len);
	bool found = find(t, (struct bytes){ path, len }, out);

	free(path);
	return found;
}

static uint64_t number(const json_t *item, const char *field)
{
	return (uint64_t)json_integer_value(json_object_get(item, field));
}

struct wanted {
	const json_t *xattrs;
	size_t right;
};

static int compare_xattr(void *arg, struct bytes name, struct bytes value)
{
	struct wanted *w = arg;
	char *key = malloc(2 * name.len + 1), *text = malloc(2 * value.len + 1);
	const char *want;

	hex_encode(name.p, name.len, key);
	hex_encode(value.p, value.len, text);
	want = json_string_value(json_object_get(w->xattrs, key));
	w->right += want && strcmp(want, text) == 0;
	free(key);
	free(text);
	return 0;
}

static void check_extras(struct tree *t, const struct tree_node *n, const json_t *item)
{
	struct wanted w = { json_object_get(item, "xattrs_hex"), 0 };
	struct buf acl = BUF_INIT;
	bool access = json_object_get(item, "acl_access"),
	     inherit = json_object_get(item, "acl_default");

	assert_int_equal(tree_xattrs(t, n->index, compare_xattr, &w, NULL), 0);
	assert_int_equal(w.right, json_object_size(w.xattrs));
	assert_int_equal(n->has_xattrs, w.right > 0);
	assert_int_equal(n->has_acl_access, access);
	assert_int_equal(n->has_acl_default, inherit);
	assert_int_equal(tree_acl(t, n->index, false, &acl, NULL), access);
	assert_int_equal(tree_acl(t, n->index, true, &acl, NULL), inherit);
	buf_fini(&acl);
}

static void check_kind(struct tree *t, const struct tree_node *n, const json_t *item)
{
	struct buf target = BUF_INIT;
	uint8_t *want;
	size_t len;

	if (S_ISREG(n->mode))
		assert_int_equal(n->size, number(item, "size"));
	if (S_ISCHR(n->mode) || S_ISBLK(n->mode)) {
		assert_int_equal(major(n->rdev), number(item, "major"));
		assert_int_equal(minor(n->rdev), number(item, "minor"));
	}
	if (!S_ISLNK(n->mode))
		return;
	want = golden_bytes(item, "target_hex", &len);
	assert_int_equal(tree_link_target(t, n->index, &target, NULL), 0);
	assert_int_equal(target.len, len);
	assert_memory_equal(target.p, want, len);
	free(want);
	buf_fini(&target);
}

/* All names of the archive that share the file share a node, which counts them. */
static void check_links(struct tree *t, const struct tree_node *n, const json_t *items,
			const json_t *archive, const char *group)
{
	const json_t *other;
	uint32_t names = 0;
	size_t i;

	json_array_foreach(items, i, other)
	{
		const char *its =
			json_string_value(json_object_get(other, "hardlink_group_hex"));
		struct tree_node o;

		if (!its || strcmp(its, group) != 0 || !golden_archive_has(archive, other))
			continue;
		assert_true(find_hex(t, other, "path_hex", &o));
		assert_int_equal(o.file, n->file);
		names++;
	}
	assert_int_equal(n->nlink, names);
}

static void check_item(struct tree *t, const json_t *item, const json_t *items,
		       const json_t *archive)
{
	const char *group = json_string_value(json_object_get(item, "hardlink_group_hex"));
	struct tree_node n;

	assert_true(find_hex(t, item, "path_hex", &n));
	assert_false(n.made_up);
	assert_int_equal(n.mode,
			 strtoul(json_string_value(json_object_get(item, "mode")), NULL, 8));
	assert_int_equal(n.uid, number(item, "uid"));
	assert_int_equal(n.gid, number(item, "gid"));
	assert_int_equal(n.mtime_ns, number(item, "mtime_ns"));
	check_kind(t, &n, item);
	check_extras(t, &n, item);
	if (group)
		check_links(t, &n, items, archive, group);
	else if (!S_ISDIR(n.mode))
		assert_int_equal(n.nlink, 1);
}

static void check_tree(struct scene *s, struct tree *t, const char *archive_name)
{
	const json_t *archive = golden_archive(s->golden, archive_name), *item;
	size_t i, checked = 0;
	struct tree_info info;

	json_array_foreach(s->golden->items, i, item)
	{
		if (!golden_archive_has(archive, item))
			continue;
		check_item(t, item, s->golden->items, archive);
		checked++;
	}
	tree_info(t, &info);
	assert_false(info.damaged);
	if (strcmp(json_string_value(json_object_get(archive, "items_tree")), "full") == 0)
		assert_int_equal(info.node_count, checked);
}

/* --- every golden archive --- */

static void built_and_found_again(struct scene *s, const char *name)
{
	struct archive *a = load(s, name);
	struct tree *t = NULL;

	assert_int_equal(tree_open_known(&t, s->reader, &a->id, NULL), 0);
	t = open_tree(s, a, &everything);
	check_tree(s, t, name);
	tree_close(t); /* waits until it is in its file */
	assert_int_equal(tree_open_known(&t, s->reader, &a->id, NULL), 1);
	check_tree(s, t, name);
	tree_close(t);
	archive_free(a);
}

static void check_repository(const char *name, void *arg)
{
	size_t *checked = arg;
	struct scene s;
	const char *archive;
	json_t *description;

	scene_open(&s, name);
	json_object_foreach(json_object_get(s.golden->repository, "archives"), archive,
			    description)
	{
		if (!json_is_true(json_object_get(description, "tam_valid")))
			continue;
		built_and_found_again(&s, archive);
		(*checked)++;
	}
	scene_close(&s);
}

static void golden_archives(void **state)
{
	size_t checked = 0;

	(void)state;
	golden_each(check_repository, &checked);
	assert_true(checked > 40);
}

/* --- the cache folder --- */

static char *tree_path_of(const struct scene *s, const struct archive *a)
{
	char hex[CHUNK_ID_HEX], name[CHUNK_ID_HEX + 5];

	snprintf(name, sizeof(name), "tree.%s", id_hex(&a->id, hex));
	return path_join(s->reader->cache_dir, name);
}

static off_t length_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_size : -1;
}

static void flip(const char *path, off_t at)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint8_t byte;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

static void spoil_header(const char *path)
{
	flip(path, 0);
}

static void spoil_content(const char *path)
{
	flip(path, 100);
}

static void cut(const char *path)
{
	assert_int_equal(truncate(path, length_of(path) / 2), 0);
}

static void empty(const char *path)
{
	assert_int_equal(truncate(path, 0), 0);
}

static void make_folder(const char *path)
{
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
}

static void make_link(const char *path)
{
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/dev/zero", path), 0);
}

static const struct spoil_row {
	const char *name;
	void (*spoil)(const char *path);
	bool stays; /* what is in the way cannot be replaced by a file */
} spoils[] = {
	{ "the file's header is damaged", spoil_header, false },
	{ "its content is damaged", spoil_content, false },
	{ "it is cut", cut, false },
	{ "it is empty", empty, false },
	{ "it is a folder", make_folder, true },
	{ "it is a symbolic link", make_link, false },
};

/* Whatever is in the folder, the tree is the same; and a good file is there afterwards. */
static void spoil_row(const void *arg)
{
	const struct spoil_row *row = arg;
	struct scene s;
	struct archive *a;
	struct tree *t;
	char *path;

	scene_open(&s, "enc-repokey");
	a = load(&s, "a1");
	path = tree_path_of(&s, a);
	tree_close(open_tree(&s, a, &everything));
	assert_true(length_of(path) > 0);
	row->spoil(path);
	assert_true(tree_open_known(&t, s.reader, &a->id, NULL) <= 0);
	t = open_tree(&s, a, &everything);
	check_tree(&s, t, "a1");
	tree_close(t);
	assert_int_equal(tree_open_known(&t, s.reader, &a->id, NULL) == 1, !row->stays);
	if (!row->stays)
		tree_close(t);
	else
		assert_int_equal(rmdir(path), 0);
	free(path);
	archive_free(a);
	scene_close(&s);
}

/* No cache folder, or one that cannot be written: the tree is served from memory. */
static void without_a_folder(void **state)
{
	static char missing[] = "/nonexistent/folder";
	char *const folders[] = { NULL, missing };
	struct scene s;
	struct archive *a;
	char *kept;

	(void)state;
	scene_open(&s, "enc-none");
	a = load(&s, "a1");
	kept = s.reader->cache_dir;
	for (size_t i = 0; i < 2; i++) {
		struct tree *t;

		s.reader->cache_dir = folders[i];
		t = open_tree(&s, a, &everything);
		check_tree(&s, t, "a1");
		tree_close(t);
		assert_int_equal(tree_open_known(&t, s.reader, &a->id, NULL), 0);
	}
	s.reader->cache_dir = kept;
	archive_free(a);
	scene_close(&s);
}

/* What is not the whole archive as it is must not be taken for it at the next visit. */
static void filtered_trees_are_not_kept(void **state)
{
	char *const paths[] = { (char[]){ "dir" } };
	struct matcher *matcher = NULL;
	struct tree_options options[3];
	struct scene s;
	struct archive *a;

	(void)state;
	assert_int_equal(matcher_new(&matcher, NULL), 0);
	assert_int_equal(matcher_include_paths(matcher, paths, 1, NULL), 0);
	options[0] = (struct tree_options){ .matcher = matcher };
	options[1] = (struct tree_options){ .strip_components = 1 };
	options[2] = (struct tree_options){ .consider_part_files = true };
	scene_open(&s, "enc-repokey");
	a = load(&s, "a1");
	for (size_t i = 0; i < 3; i++) {
		struct tree *t = open_tree(&s, a, &options[i]);
		struct tree_node n;

		assert_int_equal(find(t, bytes_str("dir/sub/inner"), &n), i != 1);
		assert_int_equal(find(t, bytes_str("sub/inner"), &n), i == 1);
		assert_int_equal(find(t, bytes_str("hello.txt"), &n), i == 2);
		tree_close(t);
		assert_int_equal(tree_open_known(&t, s.reader, &a->id, NULL), 0);
	}
	archive_free(a);
	scene_close(&s);
	matcher_free(matcher);
}

static void make_file(const struct scene *s, const char *name, time_t age)
{
	CLEANUP(cleanup_freep) char *path = path_join(s->reader->cache_dir, name);
	struct timespec times[2] = { { time(NULL) - age, 0 }, { time(NULL) - age, 0 } };
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(futimens(fd, times), 0);
	close(fd);
}

static bool has_file(const struct scene *s, const char *name)
{
	CLEANUP(cleanup_freep) char *path = path_join(s->reader->cache_dir, name);

	return access(path, F_OK) == 0;
}

static void trimming(void **state)
{
	static const char gone[] =
		"tree.00000000000000000000000000000000000000000000000000000000000000ff";
	static const char young[] = "tree.x.0123456789abcdef.tmp", old[] = "tree.x.0.tmp";
	struct timespec long_ago[2] = { { 1000000, 0 }, { 1000000, 0 } };
	struct archive *one, *two;
	char *first, *second;
	struct scene s;

	(void)state;
	scene_open(&s, "enc-repokey");
	one = load(&s, "a1");
	two = load(&s, "a2");
	first = tree_path_of(&s, one);
	second = tree_path_of(&s, two);
	tree_close(open_tree(&s, one, &everything));
	tree_close(open_tree(&s, two, &everything));
	assert_int_equal(utimensat(AT_FDCWD, first, long_ago, 0), 0);
	make_file(&s, gone, 0);
	make_file(&s, "tree.nonsense", 0);
	make_file(&s, young, 0);
	make_file(&s, old, 10000);
	make_file(&s, "other", 0);
	assert_int_equal(tree_cache_trim(s.reader, UINT64_MAX, NULL), 0);
	assert_false(has_file(&s, gone) || has_file(&s, "tree.nonsense") || has_file(&s, old));
	assert_true(has_file(&s, young) && has_file(&s, "other"));
	assert_true(length_of(first) > 0 && length_of(second) > 0);
	assert_int_equal(tree_cache_trim(s.reader, (uint64_t)length_of(second), NULL), 0);
	assert_int_equal(length_of(first), -1); /* the one not used for longest */
	assert_true(length_of(second) > 0);
	assert_int_equal(tree_cache_trim(s.reader, 0, NULL), 0);
	assert_true(length_of(second) > 0); /* the last one used stays */
	free(first);
	free(second);
	archive_free(one);
	archive_free(two);
	scene_close(&s);
}

/* A stream that lost a chunk: what is left, marked, and tried again each time. */
static void incomplete(void **state)
{
	struct chunk_id *real, *ids;
	struct tree *known = NULL;
	struct archive *a;
	struct scene s;
	size_t count;

	(void)state;
	scene_open(&s, "enc-repokey");
	a = load(&s, "a1");
	real = a->items;
	count = a->item_chunk_count;
	ids = calloc(count + 1, sizeof(*ids));
	memcpy(ids + 1, real, count * sizeof(*ids));
	memset(ids[0].b, 0x77, sizeof(ids[0].b));
	for (int round = 0; round < 3; round++) {
		bool whole = round == 2; /* the chunk is back */
		struct tree_info info;
		struct tree *t;

		a->items = whole ? real : ids;
		a->item_chunk_count = whole ? count : count + 1;
		t = open_tree(&s, a, &everything);
		tree_info(t, &info);
		assert_int_equal(info.damaged, !whole);
		assert_int_equal(info.node_count, json_array_size(s.golden->items));
		tree_close(t);
		assert_int_equal(tree_open_known(&known, s.reader, &a->id, NULL), whole);
	}
	tree_close(known);
	free(ids);
	archive_free(a);
	scene_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_archives),
		cmocka_unit_test(without_a_folder),
		cmocka_unit_test(filtered_trees_are_not_kept),
		cmocka_unit_test(trimming),
		cmocka_unit_test(incomplete),
	};
	int failed = run_table(spoils, spoil_row);

	return failed | cmocka_run_group_tests(tests, NULL, NULL);
}
