/*
 * test_view.c - the plain view of a repository that stock borg wrote, asked without a kernel.
 *
 * Method: a golden repository, the view over it, and questions whose answers are in
 * manifest.jsonl.  What would need a loaded archive is asked before and after it was awaited.
 */

#include "tests/support/tap.h"

#include "fs/archives.h"

#include "tests/support/golden.h"

#include <semaphore.h>
#include <stdio.h>

struct scene {
	struct golden *golden;
	struct owner_cache *owners;
	struct attr_policy policy;
	struct reader *reader;
	struct view *view;
};

static bool agree(void *arg, const char *msgid, const char *text, const char *false_text,
		  const char *env_name)
{
	(void)arg, (void)msgid, (void)text, (void)false_text, (void)env_name;
	return true;
}

static void scene_open(struct scene *s, const char *archive, const char *subdir, int want)
{
	const struct prompt prompt = { .confirm = agree };
	struct reader_options reader = { .prompt = &prompt };
	struct location where = { .proto = LOCATION_FILE };
	struct archives_options options = { .archive = archive, .subdir = subdir, .uid = 7 };
	struct err e = ERR_INIT;

	*s = (struct scene){ .golden = golden_open("enc-repokey") };
	s->owners = owner_cache_new();
	s->policy = (struct attr_policy){ .numeric_ids = true, .owners = s->owners };
	where.path = s->golden->repo;
	assert_int_equal(reader_open(&s->reader, &where, &reader, &e), 0);
	options.shelf = (struct shelf_options){ .reader = s->reader, .policy = &s->policy };
	assert_int_equal(archives_open(&s->view, &options, &e), want);
}

static void scene_close(struct scene *s)
{
	view_free(s->view);
	reader_close(s->reader);
	owner_cache_free(s->owners);
	golden_close(s->golden);
}

static void post(void *arg)
{
	sem_post(arg);
}

static void wait_for(struct view *v, uint64_t node)
{
	sem_t ready;

	sem_init(&ready, 0, 0);
	if (view_await(v, node, post, &ready))
		sem_wait(&ready);
	sem_destroy(&ready);
}

static struct view_entry look_up(struct view *v, uint64_t dir, const char *name)
{
	struct view_entry entry;
	struct err e = ERR_INIT;
	int rc = view_lookup(v, dir, bytes_str(name), &entry, &e);

	if (rc == -EINPROGRESS) {
		wait_for(v, dir);
		rc = view_lookup(v, dir, bytes_str(name), &entry, &e);
	}
	assert_int_equal(rc, 1);
	return entry;
}

struct listed {
	char names[256][80];
	uint64_t cookies[256];
	size_t count, stop_at;
};

static int note(void *arg, struct bytes name, const struct view_entry *entry, uint64_t cookie)
{
	struct listed *l = arg;

	(void)entry;
	assert_int_equal(name.p[name.len], 0);
	assert_true(cookie != 0);
	if (l->count == l->stop_at)
		return 1;
	snprintf(l->names[l->count], sizeof(l->names[0]), "%s", (const char *)name.p);
	l->cookies[l->count++] = cookie;
	return 0;
}

/* The root shows both archives, and looking at them opens none. */
static void root_loads_nothing(void **state)
{
	struct scene s;
	struct listed l = { .stop_at = 256 };
	struct view_entry a1, entry;
	struct err e = ERR_INIT;

	(void)state;
	scene_open(&s, NULL, NULL, 0);
	assert_int_equal(view_list(s.view, VIEW_ROOT, 0, note, &l, &e), 0);
	assert_int_equal(l.count, 2);
	a1 = look_up(s.view, VIEW_ROOT, "a1");
	assert_false(a1.settled);
	assert_int_equal(a1.st.st_mode, S_IFDIR | 0755);
	assert_int_equal(a1.st.st_uid, 7);
	assert_int_equal(a1.st.st_mtim.tv_sec, 1612325106); /* 2021-02-03 04:05:06 UTC */
	assert_int_equal(view_lookup(s.view, VIEW_ROOT, bytes_str("a3"), &entry, &e), 0);
	assert_false(entry.name_settled);
	assert_int_equal(view_lookup(s.view, a1.st.st_ino, bytes_str("hello.txt"), &entry, &e),
			 -EINPROGRESS);
	wait_for(s.view, a1.st.st_ino);
	entry = look_up(s.view, a1.st.st_ino, "hello.txt");
	assert_true(entry.settled);
	assert_int_equal(entry.st.st_size, 12);
	assert_int_equal(entry.st.st_blocks, 1);
	assert_int_equal(view_lookup(s.view, a1.st.st_ino, bytes_str("nope"), &entry, &e), 0);
	assert_true(entry.name_settled);
	assert_true(look_up(s.view, VIEW_ROOT, "a1").settled);
	scene_close(&s);
}

/* A list that is taken up again at any place goes on with the next name. */
static void lists_resume(void **state)
{
	struct scene s;
	struct listed all = { .stop_at = 256 };
	struct err e = ERR_INIT;

	(void)state;
	scene_open(&s, "a1", NULL, 0);
	wait_for(s.view, VIEW_ROOT);
	assert_int_equal(view_list(s.view, VIEW_ROOT, 0, note, &all, &e), 0);
	assert_true(all.count > 40);
	for (size_t i = 0; i < all.count; i++) {
		struct listed one = { .stop_at = 1 };
		uint64_t after = i == 0 ? 0 : all.cookies[i - 1];

		assert_int_equal(view_list(s.view, VIEW_ROOT, after, note, &one, &e), 0);
		assert_int_equal(one.count, 1);
		assert_string_equal(one.names[0], all.names[i]);
	}
	scene_close(&s);
}

/* Hard links are one node; ".." leads back; a symbolic link has its target's length. */
static void nodes(void **state)
{
	struct scene s;
	struct view_entry a, b, dir, up, link;
	struct buf target = BUF_INIT;
	struct err e = ERR_INIT;

	(void)state;
	scene_open(&s, "a1", NULL, 0);
	wait_for(s.view, VIEW_ROOT);
	a = look_up(s.view, VIEW_ROOT, "hl_a");
	b = look_up(s.view, VIEW_ROOT, "hl_b");
	assert_int_equal(a.st.st_ino, b.st.st_ino);
	assert_int_equal(a.st.st_nlink, 3);
	dir = look_up(s.view, VIEW_ROOT, "dir");
	assert_int_equal(view_parent(s.view, dir.st.st_ino, &up, &e), 0);
	assert_int_equal(up.st.st_ino, VIEW_ROOT);
	link = look_up(s.view, VIEW_ROOT, "sym_dangling");
	assert_int_equal(link.st.st_size, 19);
	assert_int_equal(view_link_target(s.view, link.st.st_ino, &target, &e), 0);
	assert_int_equal(target.len, 19);
	assert_memory_equal(target.p, "/nonexistent/target", 19);
	assert_int_equal(view_link_target(s.view, dir.st.st_ino, &target, &e), -EINVAL);
	assert_int_equal(view_lookup(s.view, a.st.st_ino, bytes_str("x"), &b, &e), -ENOTDIR);
	assert_int_equal(view_entry(s.view, UINT64_C(5) << 32, &b, &e), -ESTALE);
	buf_fini(&target);
	scene_close(&s);
}

static void subdir(void **state)
{
	struct scene s;

	(void)state;
	scene_open(&s, NULL, "a1/dir/", 0);
	assert_true(S_ISDIR(look_up(s.view, VIEW_ROOT, "sub").st.st_mode));
	scene_close(&s);
	scene_open(&s, "a1", "nope", -ENOENT);
	scene_close(&s);
	scene_open(&s, "a1", "hello.txt", -ENOTDIR);
	scene_close(&s);
	scene_open(&s, "missing", NULL, -ENOENT);
	scene_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(root_loads_nothing),
		cmocka_unit_test(lists_resume),
		cmocka_unit_test(nodes),
		cmocka_unit_test(subdir),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
