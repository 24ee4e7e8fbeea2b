/*
 * test_walk.c - everything below a folder is found once, in its order, whatever the queue holds;
 * what the options leave out is left out; an end before the end leaves nothing open.
 *
 * The expected order comes from readdir(3) and a sort by inode number in this file.
 */

#include "tests/support/tap.h"

#include "core/archive/walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/xattr.h>
#include <unistd.h>

/* --- a tree --- */

struct tree {
	char *dir;
	int dirfd;
};

static void make_file(const struct tree *t, const char *path, const char *content)
{
	int fd = openat(t->dirfd, path, O_CREAT | O_WRONLY, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, strlen(content)), strlen(content));
	close(fd);
}

static void make_dir(const struct tree *t, const char *path)
{
	assert_int_equal(mkdirat(t->dirfd, path, 0700), 0);
}

static const char tag[] = "Signature: 8a477f597d28d172789f06886806bc55 and more";

static int setup(void **state)
{
	static struct tree t;
	char path[2000] = "deep";

	t.dir = test_dir_make();
	t.dirfd = open(t.dir, O_RDONLY | O_DIRECTORY);
	make_dir(&t, "wide");
	for (int i = 0; i < 2600; i++) { /* more than the queue holds */
		snprintf(path, sizeof(path), "wide/%d", i);
		make_file(&t, path, "");
	}
	make_dir(&t, "folders");
	for (int i = 0; i < 600; i++) { /* more than are open at once */
		snprintf(path, sizeof(path), "folders/%d", i);
		make_dir(&t, path);
		if (i % 3 == 0) {
			strcat(path, "/file");
			make_file(&t, path, "x");
		}
	}
	strcpy(path, "deep");
	for (int i = 0; i < 200; i++) {
		make_dir(&t, path);
		strcat(path, "/d");
	}
	make_dir(&t, "small");
	make_dir(&t, "small/cache");
	make_file(&t, "small/cache/CACHEDIR.TAG", tag);
	make_file(&t, "small/cache/inside", "");
	make_dir(&t, "small/no-cache");
	make_file(&t, "small/no-cache/CACHEDIR.TAG", "Signature: another");
	make_dir(&t, "small/marked");
	make_file(&t, "small/marked/.nobackup", "");
	make_file(&t, "small/marked/inside", "");
	make_file(&t, "small/file", "");
	assert_int_equal(symlinkat("file", t.dirfd, "small/link"), 0);
	*state = &t;
	return 0;
}

static int teardown(void **state)
{
	struct tree *t = *state;

	close(t->dirfd);
	test_dir_remove(t->dir);
	return 0;
}

/* --- what is expected --- */

struct name {
	ino_t inode;
	char name[256];
};

static int by_inode(const void *a, const void *b)
{
	const struct name *x = a, *y = b;

	return (x->inode > y->inode) - (x->inode < y->inode);
}

static void expect(int dirfd, const char *name, const char *path, FILE *out)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct name *names = NULL;
	struct dirent *entry;
	size_t count = 0;

	if (!d) {
		fprintf(out, "o %s\n", path);
		return;
	}
	fprintf(out, "+ %s\n", path);
	while ((entry = readdir(d))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		names = realloc(names, (count + 1) * sizeof(*names));
		names[count].inode = entry->d_ino;
		strcpy(names[count++].name, entry->d_name);
	}
	if (count)
		qsort(names, count, sizeof(*names), by_inode);
	for (size_t i = 0; i < count; i++) {
		char *below = NULL;

		assert_true(asprintf(&below, "%s/%s", path, names[i].name) > 0);
		expect(fd, names[i].name, below, out);
		free(below);
	}
	free(names);
	closedir(d);
	fprintf(out, "- %s\n", path);
}

/* --- what is found --- */

static void print(const struct walk_found *f, FILE *out)
{
	static const char letters[] = {
		[WALK_OBJECT] = 'o',   [WALK_FOLDER] = '+',  [WALK_LEFT] = '-',
		[WALK_EXCLUDED] = 'x', [WALK_SKIPPED] = 's', [WALK_FAILED] = 'f'
	};
	struct stat st;

	fprintf(out, "%c %s", letters[f->kind], f->path);
	if (f->kind == WALK_FAILED)
		fprintf(out, ": %s %d", f->what, f->code);
	fprintf(out, "\n");
	assert_true(strlen(f->name) <= strlen(f->path));
	assert_string_equal(f->path + strlen(f->path) - strlen(f->name), f->name);
	if (f->kind == WALK_OBJECT || f->kind == WALK_FOLDER) {
		assert_int_equal(fstatat(f->dirfd, f->name, &st, AT_SYMLINK_NOFOLLOW), 0);
		assert_int_equal(st.st_ino, f->node.st.st_ino);
	}
	if (f->kind == WALK_FOLDER || f->kind == WALK_LEFT)
		assert_int_equal(fcntl(f->fd, F_GETFD), FD_CLOEXEC);
}

/* The first `most` of what is found, a line each; on the heap. */
static char *find(const struct tree *t, const char *name, const struct walk_options *options,
		  size_t most)
{
	const struct walk_found *found;
	struct walk *w = NULL;
	struct stat st = { .st_mode = S_IFREG };
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)fstatat(t->dirfd, name, &st, AT_SYMLINK_NOFOLLOW);
	assert_int_equal(walk_new(&w, options, NULL), 0);
	assert_int_equal(walk_begin(w, t->dirfd, name, name, &st, NULL), 0);
	for (size_t i = 0; i < most && walk_next(w, &found, NULL) == 1; i++)
		print(found, out);
	walk_free(w);
	fclose(out);
	return text;
}

static size_t open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static const char *const trees[] = { "wide", "folders", "deep", "small", "small/link" };

static void all_in_order(void **state)
{
	const struct walk_options options = { .attributes = true };
	struct tree *t = *state;
	size_t open_before = open_files();

	for (size_t i = 0; i < 4; i++) {
		char *want = NULL, *got = find(t, trees[i], &options, SIZE_MAX);
		size_t len;
		FILE *out = open_memstream(&want, &len);

		expect(t->dirfd, trees[i], trees[i], out);
		fclose(out);
		assert_string_equal(got, want);
		free(got);
		free(want);
	}
	assert_int_equal(open_files(), open_before);
}

static void an_end_before_the_end(void **state)
{
	static const size_t counts[] = { 0, 1, 2, 3, 100, 255, 256, 257, 300, 513, 2048, 2300 };
	const struct walk_options options = { .attributes = true };
	struct tree *t = *state;
	size_t open_before = open_files();

	for (size_t i = 0; i < 4; i++)
		for (size_t k = 0; k < sizeof(counts) / sizeof(counts[0]); k++) {
			free(find(t, trees[i], &options, counts[k]));
			assert_int_equal(open_files(), open_before);
		}
}

/* The same walker again, after a whole walk and after half of one. */
static void again(void **state)
{
	const struct walk_options options = { .attributes = true };
	const struct walk_found *found;
	struct tree *t = *state;
	struct walk *w = NULL;
	size_t open_before = open_files();

	assert_int_equal(walk_new(&w, &options, NULL), 0);
	for (size_t turn = 0; turn < 12; turn++) {
		size_t count = 0, most = turn % 2 ? SIZE_MAX : 400 * turn;
		struct stat st;

		assert_int_equal(fstatat(t->dirfd, trees[turn % 4], &st, 0), 0);
		assert_int_equal(walk_begin(w, t->dirfd, trees[turn % 4], "p", &st, NULL), 0);
		while (count < most && walk_next(w, &found, NULL) == 1)
			count++;
		if (turn % 2)
			assert_int_equal(count, turn % 4 == 1 ? 1402 : 15);
	}
	walk_end(w);
	assert_int_equal(open_files(), open_before);
	walk_free(w);
}

/* As many folders may be open as the walk is in, and some: it goes on, if slower. */
static void few_descriptors(void **state)
{
	const struct walk_options options = { .attributes = true };
	struct tree *t = *state;
	struct rlimit before, few;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	for (size_t i = 1; i < 3; i++) {
		char *free_of_limit = find(t, trees[i], &options, SIZE_MAX), *got;

		few = before;
		few.rlim_cur = open_files() + (i == 2 ? 210 : 10);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		got = find(t, trees[i], &options, SIZE_MAX);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
		assert_string_equal(got, free_of_limit);
		free(free_of_limit);
		free(got);
	}
}

/* --- what is left out --- */

static bool is_link(void *arg, const struct stat *st)
{
	(void)arg;
	return S_ISLNK(st->st_mode);
}

static char marker[] = ".nobackup";
static char *const markers[] = { marker };

static const struct row {
	const char *name;
	const char *root;
	struct walk_options options;
	const char *pattern;
	const char *want; /* lines, sorted */
} rows[] = {
	{ "a file alone", "small/file", { 0 }, NULL, "o small/file\n" },
	{ "nothing there", "small/gone", { 0 }, NULL, "f small/gone: stat 2\n" },
	{ "everything",
	  "small",
	  { 0 },
	  NULL,
	  "+ small\n+ small/cache\n+ small/marked\n+ small/no-cache\n- small\n- small/cache\n"
	  "- small/marked\n- small/no-cache\no small/cache/CACHEDIR.TAG\no small/cache/inside\n"
	  "o small/file\no small/link\no small/marked/.nobackup\no small/marked/inside\n"
	  "o small/no-cache/CACHEDIR.TAG\n" },
	{ "tags",
	  "small",
	  { .exclude_caches = true,
	    .exclude_if_present = markers,
	    .exclude_if_present_count = 1 },
	  NULL,
	  "+ small\n+ small/no-cache\n- small\n- small/no-cache\no small/file\no small/link\n"
	  "o small/no-cache/CACHEDIR.TAG\nx small/cache\nx small/marked\n" },
	{ "tags kept",
	  "small",
	  { .exclude_caches = true,
	    .exclude_if_present = markers,
	    .exclude_if_present_count = 1,
	    .keep_exclude_tags = true },
	  NULL,
	  "+ small\n+ small/cache\n+ small/marked\n+ small/no-cache\n- small\n- small/cache\n"
	  "- small/marked\n- small/no-cache\no small/cache/CACHEDIR.TAG\no small/file\n"
	  "o small/link\no small/marked/.nobackup\no small/no-cache/CACHEDIR.TAG\n" },
	{ "skipped",
	  "small",
	  { .skip = is_link },
	  "! small/*c*",
	  "+ small\n+ small/marked\n- small\n- small/marked\no small/file\n"
	  "o small/marked/.nobackup\no small/marked/inside\ns small/link\nx small/cache\n"
	  "x small/no-cache\n" },
	{ "excluded, and looked into",
	  "small",
	  { 0 },
	  "- small/*cache",
	  "+ small\n+ small/cache\n+ small/marked\n+ small/no-cache\n- small\n- small/cache\n"
	  "- small/marked\n- small/no-cache\no small/file\no small/link\n"
	  "o small/marked/.nobackup\no small/marked/inside\nx small/cache\n"
	  "x small/cache/CACHEDIR.TAG\nx small/cache/inside\nx small/no-cache\n"
	  "x small/no-cache/CACHEDIR.TAG\n" },
};

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *sort_lines(char *text)
{
	char *lines[64], *rest = NULL, *sorted = NULL;
	size_t count = 0, len;
	FILE *out = open_memstream(&sorted, &len);

	for (char *p = strtok_r(text, "\n", &rest); p; p = strtok_r(NULL, "\n", &rest))
		lines[count++] = p;
	qsort(lines, count, sizeof(*lines), by_text);
	for (size_t i = 0; i < count; i++)
		fprintf(out, "%s\n", lines[i]);
	fclose(out);
	free(text);
	return sorted;
}

static void left_out(void **state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct walk_options options = rows[i].options;
		struct matcher *m = NULL;
		char *got;

		if (rows[i].pattern) {
			assert_int_equal(matcher_new(&m, NULL), 0);
			assert_int_equal(matcher_pattern(m, rows[i].pattern, NULL), 0);
			options.matcher = m;
		}
		got = sort_lines(find(*state, rows[i].root, &options, SIZE_MAX));
		assert_string_equal(got, rows[i].want);
		free(got);
		matcher_free(m);
	}
}

static void begin_as(struct walk *w, const struct tree *t, struct stat st)
{
	assert_int_equal(walk_begin(w, t->dirfd, "small", "small", &st, NULL), 0);
}

/* Of another file system than the root was, and another kind of object than it was. */
static void what_the_root_was(void **state)
{
	const struct walk_options options = { .one_file_system = true };
	const struct walk_found *found;
	struct tree *t = *state;
	struct walk *w = NULL;
	struct stat st;

	assert_int_equal(fstatat(t->dirfd, "small", &st, 0), 0);
	st.st_dev++;
	assert_int_equal(walk_new(&w, &options, NULL), 0);
	begin_as(w, t, st);
	assert_int_equal(walk_next(w, &found, NULL), 1);
	assert_int_equal(found->kind, WALK_FOLDER);
	assert_int_equal(walk_next(w, &found, NULL), 1);
	assert_int_equal(found->kind, WALK_LEFT);
	assert_true(found->listed);
	assert_int_equal(walk_next(w, &found, NULL), 0);
	st.st_mode = S_IFREG;
	begin_as(w, t, st);
	assert_int_equal(walk_next(w, &found, NULL), 1);
	assert_int_equal(found->kind, WALK_FAILED);
	assert_string_equal(found->what, "type");
	assert_int_equal(walk_next(w, &found, NULL), 0);
	walk_free(w);
}

static void who_has_attributes(void **state)
{
	struct walk_options options = { .attributes = true };
	const struct walk_found *found;
	struct tree *t = *state;
	struct walk *w = NULL;
	struct stat st;
	int fd = openat(t->dirfd, "small/file", O_RDONLY);
	bool supported = fsetxattr(fd, "user.a", "1", 1, 0) == 0;
	size_t others = 0;

	close(fd);
	if (!supported)
		skip();
	assert_int_equal(fstatat(t->dirfd, "small", &st, 0), 0);
	assert_int_equal(walk_new(&w, &options, NULL), 0);
	begin_as(w, t, st);
	while (walk_next(w, &found, NULL) == 1) {
		if (strcmp(found->path, "small/file") == 0)
			assert_false(found->plain);
		else
			others += found->plain;
	}
	walk_free(w);
	assert_int_equal(others, 10 + 4); /* WALK_LEFT says it, too */
	options.attributes = false;
	assert_int_equal(walk_new(&w, &options, NULL), 0);
	begin_as(w, t, st);
	while (walk_next(w, &found, NULL) == 1)
		assert_false(found->plain);
	walk_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_in_order),
		cmocka_unit_test(an_end_before_the_end),
		cmocka_unit_test(again),
		cmocka_unit_test(few_descriptors),
		cmocka_unit_test(left_out),
		cmocka_unit_test(what_the_root_was),
		cmocka_unit_test(who_has_attributes),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, teardown);
}
