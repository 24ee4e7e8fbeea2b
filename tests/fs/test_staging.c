/*
 * test_staging.c - the staging directory without a kernel: what is made in it is an archive once it is
 * published, a checkpoint until then, and a staged tree again when the next mount begins.
 *
 * Method: a real repository; what a commit has left is read by a reader of its own.
 */

#include "tests/support/tap.h"

#include "core/archive/item_stream.h"
#include "core/base/io.h"
#include "core/codec/compress.h"
#include "core/repo/create.h"
#include "fs/archives.h"
#include "fs/workspace.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const struct stage_maker somebody = { .uid = 7, .gid = 8, .privileged = true };

static int no_person(void *arg, const char *text, struct secret **out, struct err *e)
{
	(void)arg, (void)text, (void)out, (void)e;
	return -ENOTTY;
}

static bool yes(void *arg, const char *msgid, const char *text, const char *false_text,
		const char *env_name)
{
	(void)arg, (void)msgid, (void)text, (void)false_text, (void)env_name;
	return true;
}

static const struct prompt prompt = { .passphrase = no_person, .confirm = yes };

static char *dir;
static struct location where = { .proto = LOCATION_FILE };

static void good(int rc, const struct err *e)
{
	if (rc < 0)
		fail_msg("%d: %s", rc, e->msg);
}

static int set_up(void **state)
{
	struct repo_creation how = { 0 };
	struct repo *repo = NULL;
	struct key *key = NULL;
	struct err e = ERR_INIT;

	(void)state;
	dir = test_dir_make();
	setenv("BORG_BASE_DIR", dir, 1);
	unsetenv("ALCOVE_CACHE_DIR");
	where.path = path_join(dir, "repo");
	good(repo_create(&where, &how, &e), &e);
	good(repo_open(&repo, &where, NULL, &e), &e);
	good(repo_lock(repo, 0, &e), &e);
	good(key_open_plaintext(&key, &e), &e);
	good(session_initialize(repo, key, &e), &e);
	good(repo_unlock(repo, &e), &e);
	key_close(key);
	repo_close(repo);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(where.path);
	test_dir_remove(dir);
	return 0;
}

/* --- a mount without a kernel --- */

struct scene {
	struct owner_cache *owners;
	struct attr_policy policy;
	struct reader *reader;
	struct staging *staging;
	struct stage *stage;
	struct view *view;
};

static struct reader *open_reader(void)
{
	struct reader_options options = { .prompt = &prompt };
	struct reader *r = NULL;
	struct err e = ERR_INIT;

	good(reader_open(&r, &where, &options, &e), &e);
	return r;
}

static void open_scene(struct scene *s)
{
	struct workspace_options names = { .name = "new" };
	struct staging_options options = { .prompt = &prompt,
					   .compression = COMPRESSION_DEFAULT,
					   .chunker = CHUNKER_DEFAULT,
					   .lock_wait = 1,
					   .checkpoint_s = 300,
					   .acls = true,
					   .spill_dir = dir };
	struct archives_options archives = { .uid = 1 };
	struct view *below = NULL;
	struct err e = ERR_INIT;

	*s = (struct scene){ .owners = owner_cache_new(), .reader = open_reader() };
	s->policy = (struct attr_policy){ .numeric_ids = true, .owners = s->owners };
	options.reader = s->reader;
	archives.shelf = (struct shelf_options){ .reader = s->reader, .policy = &s->policy };
	good(archives_open(&below, &archives, &e), &e);
	good(staging_open(&s->staging, &options, &e), &e);
	good(staging_resume(s->staging, &s->policy, NULL, &e), &e);
	good(workspace_open(&s->view, below, s->staging, &names, &e), &e);
	s->stage = staging_stage(s->staging);
}

struct heard {
	char text[500];
};

static void hear(void *arg, bool published, const char *text)
{
	struct heard *h = arg;
	size_t len = strlen(h->text);

	snprintf(h->text + len, sizeof(h->text) - len, "%c%s;", published ? '+' : '-', text);
}

static void close_scene(struct scene *s, bool publish, const char *said)
{
	struct heard heard = { "" };
	struct err e = ERR_INIT;

	view_free(s->view);
	good(staging_close(s->staging, publish, hear, &heard, &e), &e);
	reader_close(s->reader);
	owner_cache_free(s->owners);
	assert_string_equal(heard.text, said);
}

/* --- making things --- */

static uint64_t make(struct scene *s, uint64_t in, const char *name, mode_t mode,
		     const char *target)
{
	struct stage_making what = { .mode = mode, .target = bytes_str(target) };
	struct stage_node out;
	struct err e = ERR_INIT;

	good(staging_begin_change(s->staging, true, &e), &e);
	if (S_ISREG(mode))
		good(staging_new_content(s->staging, in, &what.content), &e);
	good(stage_make(s->stage, in, bytes_str(name), &somebody, &what, &out), &e);
	staging_end_change(s->staging, (uint64_t[2]){ out.st.st_ino }, 0);
	return out.st.st_ino;
}

static uint64_t top(struct scene *s, const char *name)
{
	return make(s, stage_root(s->stage), name, S_IFDIR | 0755, "");
}

static void write_to(struct scene *s, uint64_t node, const char *text)
{
	struct err e = ERR_INIT;

	good(staging_begin_change(s->staging, true, &e), &e);
	good(staging_write(s->staging, node, 0, bytes_str(text), true, &e), &e);
	staging_end_change(s->staging, (uint64_t[2]){ node }, 0);
}

static uint64_t find(struct scene *s, uint64_t in, const char *name)
{
	struct stage_node n;

	assert_int_equal(stage_lookup(s->stage, in, bytes_str(name), &n), 0);
	return n.st.st_ino;
}

/* "a/": a folder with a file "f" of this text, another name of it, and a symbolic link. */
static uint64_t some_tree(struct scene *s, const char *name, const char *text)
{
	uint64_t a = top(s, name), d = make(s, a, "d", S_IFDIR | 0700, "");
	uint64_t f = make(s, d, "f", S_IFREG | 0640, "");
	struct stage_node out;
	struct err e = ERR_INIT;

	write_to(s, f, text);
	make(s, a, "l", S_IFLNK | 0777, "d/f");
	good(staging_begin_change(s->staging, true, &e), &e);
	assert_int_equal(stage_link(s->stage, f, a, bytes_str("g"), &out), 0);
	staging_end_change(s->staging, (uint64_t[2]){ a }, 0);
	return a;
}

/* --- what others see --- */

static void expect_archives(const char *names)
{
	struct reader *r = open_reader();
	struct manifest *m = reader_manifest(r);
	struct buf got = BUF_INIT;

	for (size_t i = 0; i < m->count; i++) {
		buf_append(&got, m->entries[i].name.p, m->entries[i].name.len);
		buf_append_byte(&got, ' ');
	}
	buf_append_byte(&got, 0);
	assert_string_equal((const char *)got.p, names);
	buf_fini(&got);
	reader_manifest_unref(r, m);
	reader_close(r);
}

static void tell_content(struct reader *r, const struct item *it, struct buf *out)
{
	for (size_t i = 0; i < it->chunk_count; i++) {
		struct chunk_want want = { it->chunks[i].id, it->chunks[i].size };
		struct chunk *c = NULL;
		struct err e = ERR_INIT;

		good(fetch_chunk(r->fetch, &want, &c, &e), &e);
		buf_append(out, c->p, c->len);
		chunk_unref(c);
	}
}

/* "PATH MODE CONTENT->SOURCE;" for each item of the archive. */
static void expect_items(const char *name, const char *want)
{
	struct item_reader_options strict = { .robust = false };
	struct reader *r = open_reader();
	struct manifest *m = reader_manifest(r);
	const struct manifest_entry *entry = manifest_find(m, bytes_str(name));
	struct item_reader *items = NULL;
	struct archive *a = NULL;
	struct buf got = BUF_INIT;
	struct err e = ERR_INIT;
	struct item it;
	char mode[20];

	assert_non_null(entry);
	good(archive_load(&a, r, &entry->id, &e), &e);
	good(item_reader_open(&items, r, a, &strict, &e), &e);
	while (item_reader_next(items, &it, &e) > 0) {
		assert_true(it.uid == 7 && it.gid == 8);
		buf_append(&got, it.path.p, it.path.len);
		snprintf(mode, sizeof(mode), " %o ", it.mode);
		buf_append_str(&got, mode);
		tell_content(r, &it, &got);
		if (it.has & ITEM_SOURCE) {
			buf_append_str(&got, "->");
			buf_append(&got, it.source.p, it.source.len);
		}
		buf_append_byte(&got, ';');
	}
	buf_append_byte(&got, 0);
	assert_string_equal((const char *)got.p, want);
	buf_fini(&got);
	item_reader_close(items);
	archive_free(a);
	reader_manifest_unref(r, m);
	reader_close(r);
}

/* A checkpoint has what is in a directory before the directories in it. */
#define DRAFT(text) ". 40755 ;l 120777 ->d/f;g 100640 " text ";d 40700 ;d/f 100640 ->g;"
#define TREE(text)  ". 40755 ;d 40700 ;d/f 100640 " text ";l 120777 ->d/f;g 100640 ->d/f;"

/* --- tests --- */

static void published(void **state)
{
	struct stage_making folder = { .mode = S_IFDIR };
	struct view_entry entry;
	struct stage_node out;
	struct err e = ERR_INIT;
	struct scene s;
	uint64_t a;

	(void)state;
	open_scene(&s);
	a = some_tree(&s, "a", "hello");
	assert_int_equal(stage_hold(s.stage, a, 1), 0); /* the kernel knows it */
	assert_int_equal(view_lookup(s.view, VIEW_ROOT, bytes_str("one"), &entry, &e), 0);
	good(staging_publish(s.staging, a, bytes_str("one"), &e), &e);
	expect_archives("one ");
	expect_items("one", TREE("hello"));
	good(workspace_follow(s.view, &e), &e);
	assert_int_equal(view_lookup(s.view, VIEW_ROOT, bytes_str("one"), &entry, &e), 1);
	assert_false(is_staged(entry.st.st_ino));
	assert_int_equal(view_entry(s.view, a, &entry, &e), 0); /* under its old number, too */
	assert_int_equal(stage_make(s.stage, a, bytes_str("x"), &somebody, &folder, &out),
			 -EROFS);
	assert_int_equal(staging_check_name(s.staging, bytes_str("one")), -EEXIST);
	assert_int_equal(staging_check_name(s.staging, bytes_str("x.checkpoint")), -EINVAL);
	assert_int_equal(staging_check_name(s.staging, bytes_str("x.checkpoint.12")), -EINVAL);
	assert_int_equal(staging_check_name(s.staging, bytes_str("two")), 0);
	a = some_tree(&s, "b", "more");
	assert_int_equal(staging_publish(s.staging, a, bytes_str("one"), &e), -EEXIST);
	close_scene(&s, true, "+b: published;");
	expect_archives("b one ");
	expect_items("b", TREE("more"));
}

static void checkpoints(void **state)
{
	struct err e = ERR_INIT;
	struct scene s;
	uint64_t a, transaction;

	(void)state;
	open_scene(&s);
	a = some_tree(&s, "a", "hello");
	top(&s, "b");
	good(staging_checkpoint(s.staging, &e), &e);
	expect_archives("a.checkpoint b.checkpoint ");
	expect_items("a.checkpoint", DRAFT("hello"));
	transaction = repo_transaction(s.reader->repo);
	good(staging_checkpoint(s.staging, &e), &e); /* nothing has changed */
	assert_int_equal(repo_transaction(s.reader->repo), transaction);
	write_to(&s, find(&s, find(&s, a, "d"), "f"), "HE");
	good(staging_checkpoint(s.staging, &e), &e);
	expect_items("a.checkpoint", DRAFT("HEllo"));
	good(staging_begin_change(s.staging, true, &e), &e);
	assert_int_equal(stage_rmdir(s.stage, stage_root(s.stage), bytes_str("b")), 0);
	assert_int_equal(stage_rename(s.stage, stage_root(s.stage), bytes_str("a"),
				      stage_root(s.stage), bytes_str("c"), 0),
			 0);
	staging_end_change(s.staging, (uint64_t[2]){ 0 }, 0);
	good(staging_checkpoint(s.staging, &e), &e);
	expect_archives("c.checkpoint ");
	close_scene(&s, false, "-c: left as a checkpoint: the mount was not simply unmounted;");
	expect_archives("c.checkpoint ");
}

static void resumed(void **state)
{
	struct err e = ERR_INIT;
	struct stage_node n;
	struct buf text = BUF_INIT;
	struct scene s;
	uint64_t a, f;

	(void)state;
	open_scene(&s);
	a = some_tree(&s, "a", "hello");
	good(staging_begin_change(s.staging, true, &e), &e);
	assert_int_equal(staging_set_own_xattr(s.staging, a, bytes_str("user.alcove.comment"),
					       bytes_str("why")),
			 0);
	staging_end_change(s.staging, (uint64_t[2]){ a }, 0);
	close_scene(&s, false, "-a: left as a checkpoint: the mount was not simply unmounted;");
	open_scene(&s);
	a = find(&s, stage_root(s.stage), "a");
	f = find(&s, find(&s, a, "d"), "f");
	assert_int_equal(f, find(&s, a, "g"));
	assert_int_equal(stage_get(s.stage, f, &n), 0);
	assert_true(n.st.st_uid == 7 && n.st.st_nlink == 2 && n.st.st_size == 5);
	assert_int_equal(
		staging_own_xattr(s.staging, a, bytes_str("user.alcove.comment"), &text, &e),
		1);
	assert_true(bytes_is(buf_bytes(&text), "why"));
	buf_fini(&text);
	close_scene(&s, true, "-a: left as a checkpoint: nothing was written to it;");
	expect_items("a.checkpoint", DRAFT("hello"));
	open_scene(&s);
	a = find(&s, stage_root(s.stage), "a");
	write_to(&s, find(&s, a, "g"), "HELLO!");
	good(staging_publish(s.staging, a, bytes_str("b"), &e), &e);
	close_scene(&s, true, "");
	expect_archives("b ");
	expect_items("b", ". 40755 ;d 40700 ;d/f 100640 HELLO!;g 100640 ->d/f;l 120777 ->d/f;");
}

static void expect_own(struct scene *s, uint64_t node, const char *name, const char *want)
{
	CLEANUP(buf_fini) struct buf text = BUF_INIT;
	struct err e = ERR_INIT;

	assert_int_equal(staging_own_xattr(s->staging, node, bytes_str(name), &text, &e), 1);
	if (!bytes_is(buf_bytes(&text), want))
		fail_msg("%s: %.*s instead of %s", name, (int)text.len, (char *)text.p, want);
}

static int set_own(struct scene *s, uint64_t node, const char *name, const char *value)
{
	struct err e = ERR_INIT;
	int rc;

	good(staging_begin_change(s->staging, true, &e), &e);
	rc = value ? staging_set_own_xattr(s->staging, node, bytes_str(name), bytes_str(value))
		   : staging_remove_own_xattr(s->staging, node, bytes_str(name));
	staging_end_change(s->staging, (uint64_t[2]){ node }, rc);
	return rc;
}

static void expect_chunker(const char *name, const char *want)
{
	struct reader *r = open_reader();
	struct manifest *m = reader_manifest(r);
	struct archive *a = NULL;
	struct chunker_params params;
	char text[CHUNKER_PARAMS_TEXT];
	struct err e = ERR_INIT;

	good(archive_load(&a, r, &manifest_find(m, bytes_str(name))->id, &e), &e);
	assert_int_equal(archive_chunker_params(a, &params), 0);
	assert_string_equal(chunker_params_format(&params, text), want);
	archive_free(a);
	reader_manifest_unref(r, m);
	reader_close(r);
}

static const char chunker[] = "user.alcove.chunker_params",
		  compression[] = "user.alcove.compression";

/* What the mount has, until an archive has its own; a checkpoint keeps its chunker. */
static void parameters_of_its_own(void **state)
{
	struct err e = ERR_INIT;
	struct scene s;
	uint64_t a, b, d;

	(void)state;
	open_scene(&s);
	a = some_tree(&s, "a", "hello");
	b = some_tree(&s, "b", "hello");
	d = find(&s, a, "d");
	expect_own(&s, a, chunker, "buzhash,19,23,21,4095");
	expect_own(&s, a, compression, "lz4");
	assert_int_equal(set_own(&s, a, chunker, "fixed,4096"), 0);
	assert_int_equal(set_own(&s, a, compression, "zstd"), 0);
	expect_own(&s, a, chunker, "fixed,4096");
	expect_own(&s, a, compression, "zstd,3");
	expect_own(&s, b, chunker, "buzhash,19,23,21,4095");
	expect_own(&s, b, compression, "lz4");
	assert_int_equal(set_own(&s, a, chunker, "fixed,1"), -EINVAL);
	assert_int_equal(set_own(&s, a, chunker, "10,11"), -EINVAL);
	assert_int_equal(set_own(&s, a, chunker, ""), -EINVAL);
	assert_int_equal(set_own(&s, a, compression, "zstd,99"), -EINVAL);
	assert_int_equal(set_own(&s, d, chunker, "default"), -EINVAL);
	assert_int_equal(set_own(&s, d, compression, NULL), -EINVAL);
	expect_own(&s, a, chunker, "fixed,4096");
	assert_int_equal(set_own(&s, a, compression, NULL), 0);
	assert_int_equal(set_own(&s, a, "user.alcove.comment", "why"), 0);
	expect_own(&s, a, "user.alcove.comment", "why");
	assert_int_equal(set_own(&s, a, "user.alcove.comment", NULL), 0);
	expect_own(&s, a, "user.alcove.comment", "");
	expect_own(&s, a, compression, "lz4");
	close_scene(&s, false,
		    "-a: left as a checkpoint: the mount was not simply unmounted;"
		    "-b: left as a checkpoint: the mount was not simply unmounted;");
	expect_chunker("a.checkpoint", "fixed,4096");
	expect_chunker("b.checkpoint", "buzhash,19,23,21,4095");
	open_scene(&s);
	a = find(&s, stage_root(s.stage), "a");
	expect_own(&s, a, chunker, "fixed,4096");
	expect_own(&s, find(&s, stage_root(s.stage), "b"), chunker, "buzhash,19,23,21,4095");
	assert_int_equal(set_own(&s, a, chunker, NULL), 0);
	expect_own(&s, a, chunker, "buzhash,19,23,21,4095");
	assert_int_equal(set_own(&s, a, chunker, "fixed,8192,512"), 0);
	assert_int_equal(stage_hold(s.stage, a, 1), 0);
	good(staging_publish(s.staging, a, bytes_str("a"), &e), &e);
	assert_int_equal(set_own(&s, a, chunker, "default"), -EROFS);
	stage_release(s.stage, a, 1);
	close_scene(&s, true, "-b: left as a checkpoint: nothing was written to it;");
	expect_chunker("a", "fixed,8192,512");
}

static void post(void *arg)
{
	sem_post(arg);
}

static void await_archive(struct view *v, uint64_t archive)
{
	sem_t ready;

	sem_init(&ready, 0, 0);
	if (view_await(v, archive, post, &ready))
		sem_wait(&ready);
	sem_destroy(&ready);
}

static void linked_out_of_an_archive(void **state)
{
	struct err e = ERR_INIT;
	struct view_entry entry;
	struct stage_node out;
	struct scene s;
	uint64_t archive, b;
	int rc;

	(void)state;
	open_scene(&s);
	good(staging_publish(s.staging, some_tree(&s, "a", "hello"), bytes_str("a"), &e), &e);
	good(workspace_follow(s.view, &e), &e);
	assert_int_equal(view_lookup(s.view, VIEW_ROOT, bytes_str("a"), &entry, &e), 1);
	archive = entry.st.st_ino;
	while ((rc = view_lookup(s.view, archive, bytes_str("g"), &entry, &e)) == -EINPROGRESS)
		await_archive(s.view, archive);
	assert_int_equal(rc, 1);
	b = top(&s, "b");
	good(staging_begin_change(s.staging, true, &e), &e);
	good(workspace_link(s.view, entry.st.st_ino, b, bytes_str("h"), true, &out, &e), &e);
	assert_int_equal(
		workspace_link(s.view, entry.st.st_ino, b, bytes_str("h"), true, &out, &e),
		-EEXIST);
	staging_end_change(s.staging, (uint64_t[2]){ b }, 0);
	close_scene(&s, true, "+b: published;");
	expect_items("b", ". 40755 ;h 100640 hello;");
}

/* Of a file that is lost no archive is made; a checkpoint goes without it, and others are no worse for it. */
static void lost_content(void **state)
{
	struct err e = ERR_INIT;
	struct stage_node n;
	struct scene s;
	uint64_t a, f;

	(void)state;
	open_scene(&s);
	a = some_tree(&s, "a", "hello");
	some_tree(&s, "b", "fine");
	f = find(&s, a, "g");
	assert_int_equal(stage_get(s.stage, f, &n), 0);
	staged_lost(n.content);
	assert_int_equal(staging_failure(s.staging, f), -EIO);
	assert_int_equal(staging_publish(s.staging, a, bytes_str("a"), &e), -EIO);
	good(staging_checkpoint(s.staging, &e), &e);
	expect_archives("a.checkpoint b.checkpoint ");
	expect_items("a.checkpoint", ". 40755 ;l 120777 ->d/f;d 40700 ;");
	expect_items("b.checkpoint", DRAFT("fine"));
	good(staging_begin_change(s.staging, true, &e), &e);
	good(staging_truncate(s.staging, f, 0, true, true, &e), &e);
	staging_end_change(s.staging, (uint64_t[2]){ f }, 0);
	write_to(&s, f, "again");
	good(staging_publish(s.staging, a, bytes_str("a"), &e), &e);
	expect_items("a", TREE("again"));
	close_scene(&s, true, "+b: published;");
}

static void archives_renamed_and_removed(void **state)
{
	struct err e = ERR_INIT;
	struct scene s;

	(void)state;
	open_scene(&s);
	good(staging_publish(s.staging, some_tree(&s, "a", "hello"), bytes_str("a"), &e), &e);
	good(staging_publish(s.staging, some_tree(&s, "b", "hello"), bytes_str("b"), &e), &e);
	some_tree(&s, "c", "staged");
	good(staging_rename_archive(s.staging, bytes_str("a"), bytes_str("x"), &e), &e);
	assert_int_equal(staging_rename_archive(s.staging, bytes_str("a"), bytes_str("y"), &e),
			 -ENOENT);
	assert_int_equal(staging_rename_archive(s.staging, bytes_str("x"), bytes_str("b"), &e),
			 -EEXIST);
	good(staging_remove_archive(s.staging, bytes_str("b"), &e), &e);
	assert_int_equal(staging_remove_archive(s.staging, bytes_str("b"), &e), -ENOENT);
	expect_archives("c.checkpoint x ");
	expect_items("x", TREE("hello"));
	expect_items("c.checkpoint", DRAFT("staged"));
	close_scene(&s, true, "+c: published;");
}

/* Before the first change no lock is held; whoever may not wait is told so. */
static void opened_by_the_first_change(void **state)
{
	struct err e = ERR_INIT;
	struct scene s;
	char *lock = path_join(where.path, "lock.exclusive");
	struct stat st;

	(void)state;
	open_scene(&s);
	assert_int_equal(stat(lock, &st), -1);
	assert_int_equal(staging_begin_change(s.staging, false, &e), -EAGAIN);
	good(staging_begin_change(s.staging, true, &e), &e);
	assert_int_equal(stat(lock, &st), 0);
	staging_end_change(s.staging, (uint64_t[2]){ 0 }, 0);
	good(staging_begin_change(s.staging, false, &e), &e);
	staging_end_change(s.staging, (uint64_t[2]){ 0 }, 0);
	close_scene(&s, true, "");
	assert_int_equal(stat(lock, &st), -1);
	free(lock);
	expect_archives("");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		TEST(published),
		TEST(checkpoints),
		TEST(resumed),
		TEST(parameters_of_its_own),
		TEST(linked_out_of_an_archive),
		TEST(lost_content),
		TEST(archives_renamed_and_removed),
		TEST(opened_by_the_first_change),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
