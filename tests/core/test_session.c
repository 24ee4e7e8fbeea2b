/*
 * test_session.c - a session's changes are there for everybody after its commit, and for nobody before; and archive_writer's
 * items come out as they went in, in their order, with chunks that are stored.
 *
 * Method: a real repository without encryption; after each step it is opened anew and read.
 */

#include "tests/support/tap.h"

#include "core/archive/item_stream.h"
#include "core/archive/session.h"
#include "core/base/io.h"
#include "core/codec/compress.h"
#include "core/repo/create.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SLAB = 1 << 20 };

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

/* --- the repository --- */

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

static struct reader *open_reader(void)
{
	struct reader_options options = { .prompt = &prompt };
	struct reader *r = NULL;
	struct err e = ERR_INIT;

	good(reader_open(&r, &where, &options, &e), &e);
	return r;
}

/* --- a writer at work --- */

struct work {
	struct reader *reader;
	struct session *session;
	struct put *put;
	struct archive_writer *writer;
};

static void begin(struct work *w)
{
	struct session_options options = { .prompt = &prompt, .operation = MANIFEST_WRITE };
	struct err e = ERR_INIT;

	*w = (struct work){ .reader = open_reader() };
	good(session_begin(&w->session, w->reader, &options, &e), &e);
}

static void begin_archive(struct work *w)
{
	struct archive_writer_options options = { .refs = session_refs(w->session) };
	struct err e = ERR_INIT;

	good(session_put(w->session, &COMPRESSION_DEFAULT, SLAB, &w->put, &e), &e);
	good(archive_writer_new(&w->writer, w->put, w->reader->key, &options, &e), &e);
}

static void end_archive(struct work *w)
{
	archive_writer_free(TAKE(w->writer));
	put_close(TAKE(w->put));
}

static void end(struct work *w)
{
	struct err e = ERR_INIT;

	end_archive(w);
	good(session_end(TAKE(w->session), &e), &e);
	reader_close(w->reader);
}

static void drop(struct work *w)
{
	end_archive(w);
	session_drop(TAKE(w->session));
	reader_close(w->reader);
}

static struct item item_named(const char *path)
{
	return (struct item){ .path = bytes_str(path), .mode = S_IFREG | 0644, .uid = 7 };
}

/* A file whose content is its path, `chunks` times, each of them a chunk with its number. */
static void add_file(struct work *w, const char *path, unsigned chunks)
{
	struct item it = item_named(path);
	struct err e = ERR_INIT;
	char text[100];

	for (unsigned i = 0; i < chunks; i++) {
		snprintf(text, sizeof(text), "%s %u", path, i);
		good(archive_writer_copied_chunk(w->writer, bytes_str(text), &e), &e);
	}
	good(archive_writer_item(w->writer, &it, true, NULL, &e), &e);
}

static struct chunk_id save(struct work *w, const char *name,
			    char time_text[MANIFEST_TIME_TEXT])
{
	struct archive_facts facts = { .name = bytes_str(name),
				       .time_ns = 1700000000000000000,
				       .time_end_ns = 1700000001000000000,
				       .chunker_params = CHUNKER_DEFAULT };
	struct chunk_id id;
	struct err e = ERR_INIT;

	good(archive_writer_save(w->writer, &facts, &id, &e), &e);
	manifest_format_time(facts.time_ns, time_text);
	return id;
}

static void save_as(struct work *w, const char *name)
{
	char time_text[MANIFEST_TIME_TEXT];
	struct chunk_id id = save(w, name, time_text);
	struct err e = ERR_INIT;

	good(session_add_archive(w->session, bytes_str(name), &id, bytes_str(time_text),
				 archive_writer_take_refs(w->writer), &e),
	     &e);
}

static void commit(struct work *w)
{
	struct err e = ERR_INIT;

	good(session_commit(w->session, &e), &e);
}

/* --- what others see --- */

/* The names of the archives, each with a blank behind it. */
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

static size_t has_content(struct reader *r, const struct item *it, char *out, size_t room)
{
	struct err e = ERR_INIT;
	size_t len = 0;

	for (size_t i = 0; i < it->chunk_count; i++) {
		struct chunk_want want = { it->chunks[i].id, it->chunks[i].size };
		struct chunk *c = NULL;

		good(fetch_chunk(r->fetch, &want, &c, &e), &e);
		assert_int_equal(c->len, it->chunks[i].size);
		len += (size_t)snprintf(out + len, room - len, "%s%.*s", i ? "," : "",
					(int)c->len, (const char *)c->p);
		chunk_unref(c);
	}
	return len;
}

/* "PATH=CHUNK,CHUNK;" for each item of the archive. */
static void expect_items(const char *name, const char *want)
{
	struct item_reader_options strict = { .robust = false };
	struct reader *r = open_reader();
	struct manifest *m = reader_manifest(r);
	const struct manifest_entry *entry = manifest_find(m, bytes_str(name));
	struct item_reader *items = NULL;
	struct archive *a = NULL;
	struct err e = ERR_INIT;
	char got[2000];
	size_t len = 0;
	struct item it;

	assert_non_null(entry);
	good(archive_load(&a, r, &entry->id, &e), &e);
	assert_true(bytes_equal(a->name, bytes_str(name)));
	good(item_reader_open(&items, r, a, &strict, &e), &e);
	got[0] = '\0';
	while (item_reader_next(items, &it, &e) > 0) {
		len += (size_t)snprintf(got + len, sizeof(got) - len, "%.*s=", (int)it.path.len,
					(const char *)it.path.p);
		len += has_content(r, &it, got + len, sizeof(got) - len);
		len += (size_t)snprintf(got + len, sizeof(got) - len, ";");
	}
	assert_string_equal(got, want);
	item_reader_close(items);
	archive_free(a);
	reader_manifest_unref(r, m);
	reader_close(r);
}

static int try_lock(void)
{
	struct repo *repo = NULL;
	struct err e = ERR_INIT;
	int rc;

	good(repo_open(&repo, &where, NULL, &e), &e);
	rc = repo_lock(repo, 0, NULL);
	if (rc == 0)
		repo_unlock(repo, NULL);
	repo_close(repo);
	return rc;
}

/* --- tests --- */

static void seen_after_the_commit(void **state)
{
	struct work w;

	(void)state;
	begin(&w);
	begin_archive(&w);
	add_file(&w, "a", 2);
	add_file(&w, "empty", 0);
	add_file(&w, "b", 1);
	save_as(&w, "first");
	expect_archives("");
	commit(&w);
	expect_archives("first ");
	end(&w);
	assert_int_equal(try_lock(), 0);
	expect_items("first", "a=a 0,a 1;empty=;b=b 0;");
}

static void dropped_before_it(void **state)
{
	struct work w;

	(void)state;
	begin(&w);
	begin_archive(&w);
	add_file(&w, "a", 2);
	save_as(&w, "first");
	commit(&w);
	end_archive(&w);
	begin_archive(&w);
	add_file(&w, "lost", 3);
	save_as(&w, "second");
	drop(&w);
	expect_archives("first ");
	assert_int_equal(try_lock(), 0);
	begin(&w); /* and the next one goes on from there */
	begin_archive(&w);
	add_file(&w, "c", 1);
	save_as(&w, "third");
	commit(&w);
	end(&w);
	expect_archives("first third ");
	expect_items("first", "a=a 0,a 1;");
}

/* A checkpoint is saved while its archive goes on, and the archive takes its place. */
static void saved_twice(void **state)
{
	char time_text[MANIFEST_TIME_TEXT];
	struct err e = ERR_INIT;
	struct chunk_id id;
	struct work w;

	(void)state;
	begin(&w);
	begin_archive(&w);
	add_file(&w, "a", 1);
	save_as(&w, "x.checkpoint");
	commit(&w);
	expect_items("x.checkpoint", "a=a 0;");
	archive_writer_new_refs(w.writer, session_refs(w.session));
	add_file(&w, "b", 2);
	id = save(&w, "x", time_text);
	good(session_replace_archive(w.session, bytes_str("x.checkpoint"), bytes_str("x"), &id,
				     bytes_str(time_text), archive_writer_take_refs(w.writer),
				     &e),
	     &e);
	commit(&w);
	end(&w);
	expect_archives("x ");
	expect_items("x", "a=a 0;b=b 0,b 1;");
}

static void parts_and_dropped_chunks(void **state)
{
	struct item part = item_named("big.borg_part_1"), big = item_named("big");
	struct err e = ERR_INIT;
	size_t from = 0;
	struct work w;

	(void)state;
	part.has |= ITEM_PART;
	part.part = 1;
	begin(&w);
	begin_archive(&w);
	good(archive_writer_copied_chunk(w.writer, bytes_str("unreadable"), &e), &e);
	good(archive_writer_drop_chunks(w.writer, &e), &e);
	good(archive_writer_copied_chunk(w.writer, bytes_str("one"), &e), &e);
	good(archive_writer_copied_chunk(w.writer, bytes_str("two"), &e), &e);
	good(archive_writer_part(w.writer, &part, &from, &e), &e);
	assert_int_equal(from, 2);
	good(archive_writer_copied_chunk(w.writer, bytes_str("three"), &e), &e);
	good(archive_writer_item(w.writer, &big, true, NULL, &e), &e);
	save_as(&w, "parts");
	commit(&w);
	end(&w);
	expect_items("parts", "big.borg_part_1=one,two;big=one,two,three;");
}

static void counted(void **state)
{
	struct archive_stats stats, again;
	struct work w;

	(void)state;
	begin(&w);
	begin_archive(&w);
	add_file(&w, "a", 3);
	save_as(&w, "one");
	archive_writer_stats(w.writer, &stats);
	assert_int_equal(stats.nfiles, 1);
	assert_true(stats.size > 3 * strlen("a 0") && stats.new_csize == stats.csize);
	commit(&w);
	end_archive(&w);
	begin_archive(&w);
	add_file(&w, "a", 3);
	save_as(&w, "two");
	archive_writer_stats(w.writer, &again);
	/* Content and items are there already; only the archive's own object is new. */
	assert_true(again.new_csize < again.csize);
	commit(&w);
	end(&w);
	expect_items("two", "a=a 0,a 1,a 2;");
}

/* What only a removed archive named goes with the commit; what others name stays. */
static void removed(void **state)
{
	struct err e = ERR_INIT;
	struct work w;

	(void)state;
	begin(&w);
	begin_archive(&w);
	add_file(&w, "shared", 1);
	save_as(&w, "a");
	commit(&w);
	end_archive(&w);
	begin_archive(&w);
	add_file(&w, "shared", 1);
	add_file(&w, "own", 2);
	save_as(&w, "b");
	commit(&w);
	end(&w);
	begin(&w);
	assert_int_equal(session_remove_archive(w.session, bytes_str("c"), &e), -ENOENT);
	assert_string_equal(e.msgid, "Archive.DoesNotExist");
	good(session_remove_archive(w.session, bytes_str("b"), &e), &e);
	expect_archives("a b ");
	commit(&w);
	assert_int_equal(session_missing(w.session), 0);
	end(&w);
	expect_archives("a ");
	expect_items("a", "shared=shared 0;");
}

/* Its chunks may be those that only the removed one is known to need. */
static void not_counted_and_removed(void **state)
{
	struct chunk_id id = { { 7 } };
	struct err e = ERR_INIT;
	struct work w;

	(void)state;
	begin(&w);
	begin_archive(&w);
	add_file(&w, "a", 1);
	save_as(&w, "old");
	commit(&w);
	end_archive(&w);
	good(session_remove_archive(w.session, bytes_str("old"), &e), &e);
	good(session_add_archive(w.session, bytes_str("new"), &id,
				 bytes_str("2026-01-01T00:00:00.000000"), NULL, &e),
	     &e);
	assert_int_equal(session_commit(w.session, &e), -EINVAL);
	session_drop(TAKE(w.session));
	reader_close(w.reader);
	expect_archives("old ");
	expect_items("old", "a=a 0;");
}

static void renamed(void **state)
{
	struct err e = ERR_INIT;
	struct work w;

	(void)state;
	begin(&w);
	begin_archive(&w);
	add_file(&w, "a", 1);
	save_as(&w, "old");
	commit(&w);
	end_archive(&w);
	begin_archive(&w);
	save_as(&w, "other");
	commit(&w);
	assert_int_equal(
		session_rename_archive(w.session, bytes_str("none"), bytes_str("n"), &e),
		-ENOENT);
	assert_int_equal(
		session_rename_archive(w.session, bytes_str("old"), bytes_str("other"), &e),
		-EEXIST);
	assert_string_equal(e.msgid, "Archive.AlreadyExists");
	good(session_rename_archive(w.session, bytes_str("old"), bytes_str("new"), &e), &e);
	commit(&w);
	end(&w);
	expect_archives("new other ");
	expect_items("new", "a=a 0;");
	expect_items("other", "");
}

/* The other process: its exit status is what session_begin() said; it leaves no session. */
static int begin_and_end(char *path)
{
	struct session_options options = { .prompt = &prompt, .operation = MANIFEST_WRITE };
	struct reader *reader;
	struct session *s = NULL;
	struct err e = ERR_INIT;
	int rc;

	where.path = path;
	reader = open_reader();
	rc = session_begin(&s, reader, &options, &e);
	if (rc == -EBUSY && (s || strcmp(e.msgid, "LockTimeout") != 0))
		rc = -EINVAL;
	if (rc == 0)
		rc = session_end(s, &e);
	reader_close(reader);
	return -rc;
}

/* A program of its own, as a fork of this one would have its threads' locks without the threads. */
static int begun_by_another(void)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		execl("/proc/self/exe", "test_session", where.path, (char *)NULL);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
}

static void one_at_a_time(void **state)
{
	struct work w;

	(void)state;
	begin(&w);
	assert_int_equal(begun_by_another(), -EBUSY);
	end(&w);
	assert_int_equal(begun_by_another(), 0);
}

int main(int argc, char **argv)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		TEST(seen_after_the_commit),
		TEST(dropped_before_it),
		TEST(saved_twice),
		TEST(parts_and_dropped_chunks),
		TEST(counted),
		TEST(removed),
		TEST(renamed),
		TEST(not_counted_and_removed),
		TEST(one_at_a_time),
	};

	if (argc > 1)
		return begin_and_end(argv[1]);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
