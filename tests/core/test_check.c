/*
 * test_check.c - each harm to the archives of a repository is found, and nothing is changed; a repair leaves what is stated
 * here, and nothing is found afterwards; a chunk that comes back is put where it was.
 *
 * Method: a real repository without encryption with two archives, which share a file; objects are taken away or spoiled
 * one at a time.  Every archive is read again by opening the repository anew.
 */

#include "tests/support/tap.h"

#include "core/archive/check.h"
#include "core/archive/item_stream.h"
#include "core/archive/session.h"
#include "core/base/io.h"
#include "core/base/log.h"
#include "core/codec/compress.h"
#include "core/repo/create.h"

#include <sys/stat.h>

enum { SLAB = 1 << 20 };

static bool yes(void *arg, const char *msgid, const char *text, const char *false_text,
		const char *env_name)
{
	(void)arg, (void)msgid, (void)text, (void)false_text, (void)env_name;
	return true;
}

static const struct prompt prompt = { .confirm = yes };

static char *dir;
static struct location where = { .proto = LOCATION_FILE };

static void good(int rc, const struct err *e)
{
	if (rc < 0)
		fail_msg("%d: %s", rc, e->msg);
}

/* --- the repository --- */

static struct reader *open_reader(void)
{
	struct reader_options options = { .prompt = &prompt };
	struct reader *r = NULL;
	struct err e = ERR_INIT;

	good(reader_open(&r, &where, &options, &e), &e);
	return r;
}

static struct repo *open_locked(void)
{
	struct repo *repo = NULL;
	struct err e = ERR_INIT;

	good(repo_open(&repo, &where, NULL, &e), &e);
	good(repo_lock(repo, 0, &e), &e);
	return repo;
}

static void close_locked(struct repo *repo)
{
	struct err e = ERR_INIT;

	good(repo_unlock(repo, &e), &e);
	repo_close(repo);
}

/* A file of chunks of one letter each, of the length of its place. */
static void add_file(struct archive_writer *w, const char *path, const char *letters)
{
	struct item it = { .path = bytes_str(path), .mode = S_IFREG | 0644, .uid = 7 };
	struct err e = ERR_INIT;
	char text[20];

	for (size_t i = 0; letters[i]; i++) {
		memset(text, letters[i], sizeof(text));
		good(archive_writer_copied_chunk(
			     w, (struct bytes){ (const uint8_t *)text, i + 3 }, &e),
		     &e);
	}
	good(archive_writer_item(w, &it, true, NULL, &e), &e);
}

static void make_archive(struct session *s, const char *name, const char *own)
{
	struct archive_writer_options options = { 0 };
	struct archive_facts facts = { .name = bytes_str(name),
				       .time_ns = 1700000000000000000,
				       .time_end_ns = 1700000001000000000,
				       .chunker_params = CHUNKER_DEFAULT };
	struct archive_writer *w = NULL;
	char time_text[MANIFEST_TIME_TEXT];
	struct put *put = NULL;
	struct err e = ERR_INIT;
	struct chunk_id id;

	good(session_put(s, &COMPRESSION_DEFAULT, SLAB, &put, &e), &e);
	good(archive_writer_new(&w, put, s->reader->key, &options, &e), &e);
	add_file(w, "shared", "xy");
	add_file(w, own, own);
	good(archive_writer_save(w, &facts, &id, &e), &e);
	manifest_format_time(facts.time_ns, time_text);
	good(session_add_archive(s, bytes_str(name), &id, bytes_str(time_text), NULL, &e), &e);
	good(session_commit(s, &e), &e);
	archive_writer_free(w);
	put_close(put);
}

static void make_repository(void)
{
	struct session_options options = { .prompt = &prompt, .operation = MANIFEST_WRITE };
	struct repo_creation how = { 0 };
	struct session *s = NULL;
	struct reader *r;
	struct key *key = NULL;
	struct err e = ERR_INIT;
	struct repo *repo;

	dir = test_dir_make();
	setenv("BORG_BASE_DIR", dir, 1);
	unsetenv("ALCOVE_CACHE_DIR");
	where.path = path_join(dir, "repo");
	good(repo_create(&where, &how, &e), &e);
	repo = open_locked();
	good(key_open_plaintext(&key, &e), &e);
	good(session_initialize(repo, key, &e), &e);
	close_locked(repo);
	key_close(key);
	r = open_reader();
	good(session_begin(&s, r, &options, &e), &e);
	make_archive(s, "one", "abc");
	make_archive(s, "two", "d");
	good(session_end(s, &e), &e);
	reader_close(r);
}

static void remove_repository(void)
{
	free(where.path);
	test_dir_remove(dir);
}

/* --- what is there --- */

static struct archive *load(struct reader *r, const char *name)
{
	struct manifest *m = reader_manifest(r);
	const struct manifest_entry *entry = manifest_find(m, bytes_str(name));
	struct archive *a = NULL;
	struct err e = ERR_INIT;

	if (entry)
		good(archive_load(&a, r, &entry->id, &e), &e);
	reader_manifest_unref(r, m);
	return a;
}

/* " PATH=LLLL", L the letter of each chunk, 0 where it is zeros, ? where it is not there; "!" the item knows that it was
 * another. */
static void show_item(struct reader *r, const struct item *it, struct buf *out)
{
	buf_append_byte(out, ' ');
	buf_append(out, it->path.p, it->path.len);
	buf_append_byte(out, '=');
	for (size_t i = 0; i < it->chunk_count; i++) {
		struct chunk_want want = { .id = it->chunks[i].id };
		struct chunk *c = NULL;

		if (fetch_chunk(r->fetch, &want, &c, NULL) < 0) {
			buf_append_byte(out, '?');
			continue;
		}
		assert_int_equal(c->len, i + 3);
		for (size_t k = 1; k < c->len; k++)
			assert_int_equal(c->p[k], c->p[0]);
		buf_append_byte(out, c->p[0] ? c->p[0] : '0');
		chunk_unref(c);
	}
	if (it->has & ITEM_CHUNKS_HEALTHY)
		buf_append_byte(out, '!');
}

static void show_archive(struct reader *r, const char *name, struct buf *out)
{
	static const struct item_reader_options strict = { .robust = false };
	struct archive *a = load(r, name);
	struct item_reader *items = NULL;
	struct err e = ERR_INIT;
	struct item it;

	if (!a)
		return;
	buf_append_str(out, name);
	buf_append_byte(out, ':');
	good(item_reader_open(&items, r, a, &strict, &e), &e);
	while (item_reader_next(items, &it, &e) > 0)
		show_item(r, &it, out);
	buf_append_byte(out, ';');
	item_reader_close(items);
	archive_free(a);
}

static void expect(const char *want)
{
	struct reader *r = open_reader();
	struct buf got = BUF_INIT;

	show_archive(r, "one", &got);
	show_archive(r, "two", &got);
	buf_append_byte(&got, 0);
	assert_string_equal((const char *)got.p, want);
	buf_fini(&got);
	reader_close(r);
}

static int sum_id(void *arg, const struct chunk_id *id)
{
	uint64_t *sum = arg;

	*sum += get_le64(id->b + 8) | 1;
	return 0;
}

/* Changes when an object comes or goes. */
static uint64_t objects(void)
{
	struct repo *repo = open_locked();
	struct err e = ERR_INIT;
	uint64_t sum = 0;

	good(repo_scan(repo, sum_id, &sum, &e), &e);
	close_locked(repo);
	return sum;
}

/* --- harm --- */

enum what { A_CHUNK, SHARED_CHUNK, ITEMS, ARCHIVE, MANIFEST, ORPHAN };
enum how { KEEP, LOSE, SPOIL };

/* What "one" has of it. */
static struct chunk_id find(enum what what)
{
	static const struct item_reader_options strict = { .robust = false };
	static const struct chunk_id orphan = { { 0xab } };
	struct reader *r = open_reader();
	struct archive *a = load(r, "one");
	struct item_reader *items = NULL;
	struct err e = ERR_INIT;
	struct chunk_id id = orphan;
	struct item it;

	good(item_reader_open(&items, r, a, &strict, &e), &e);
	while (item_reader_next(items, &it, &e) > 0)
		if (what == (bytes_is(it.path, "shared") ? SHARED_CHUNK : A_CHUNK))
			id = it.chunks[1].id;
	if (what == ITEMS)
		id = a->items[0];
	else if (what == ARCHIVE)
		id = a->id;
	else if (what == MANIFEST)
		id = MANIFEST_ID;
	item_reader_close(items);
	archive_free(a);
	reader_close(r);
	return id;
}

/* The object as it was goes to *was. */
static void harm(const struct chunk_id *id, enum how how, struct buf *was)
{
	struct repo *repo = open_locked();
	struct buf spoilt = BUF_INIT;
	struct err e = ERR_INIT;

	if (repo_get(repo, id, 0, was, NULL) < 0) /* an object that nobody needs */
		good(buf_append_str(was, "\2nothing"), &e);
	buf_append(&spoilt, was->p, was->len);
	spoilt.p[spoilt.len - 1] ^= 0xff;
	if (how == LOSE)
		good(repo_delete(repo, id, &e), &e);
	else
		good(repo_put(repo, id, buf_bytes(how == SPOIL ? &spoilt : was), &e), &e);
	good(repo_commit(repo, &e), &e);
	close_locked(repo);
	buf_fini(&spoilt);
}

static int check(bool repair, bool verify_data)
{
	struct archive_check_options options = { .repair = repair,
						 .verify_data = verify_data,
						 .prompt = &prompt };
	struct repo *repo = open_locked();
	struct err e = ERR_INIT;
	int rc = archive_check(repo, &options, &e);

	good(rc, &e);
	close_locked(repo);
	return rc;
}

#define WHOLE "one: shared=xy abc=abc;two: shared=xy d=d;"

static const struct row {
	const char *name;
	enum what what;
	enum how how;
	bool verify_data;
	int found;            /* by a check that repairs nothing */
	const char *repaired; /* what is left */
	const char *back; /* the same after the object came back; NULL: it is not put back */
} rows[] = {
	{ "nothing", A_CHUNK, KEEP, false, 0, WHOLE, NULL },
	{ "nothing, read too", A_CHUNK, KEEP, true, 0, WHOLE, NULL },
	{ "a chunk of one file is lost", A_CHUNK, LOSE, false, 1,
	  "one: shared=xy abc=a0c!;two: shared=xy d=d;", WHOLE },
	{ "a chunk of both archives is lost", SHARED_CHUNK, LOSE, false, 1,
	  "one: shared=x0! abc=abc;two: shared=x0! d=d;", WHOLE },
	{ "a chunk is spoilt, and nobody reads it", A_CHUNK, SPOIL, false, 0,
	  "one: shared=xy abc=a?c;two: shared=xy d=d;", NULL },
	{ "a chunk is spoilt", A_CHUNK, SPOIL, true, 1,
	  "one: shared=xy abc=a0c!;two: shared=xy d=d;", WHOLE },
	{ "the items are lost", ITEMS, LOSE, false, 1, "one:;two: shared=xy d=d;", NULL },
	{ "the items are spoilt", ITEMS, SPOIL, false, 1, "one:;two: shared=xy d=d;", NULL },
	{ "an archive is lost", ARCHIVE, LOSE, false, 1, "two: shared=xy d=d;", NULL },
	{ "an archive is spoilt", ARCHIVE, SPOIL, false, 1, "two: shared=xy d=d;", NULL },
	{ "the manifest is lost", MANIFEST, LOSE, false, 1, WHOLE, NULL },
	{ "the manifest is spoilt", MANIFEST, SPOIL, false, 1, WHOLE, NULL },
	{ "an object that nobody needs", ORPHAN, KEEP, false, 1, WHOLE, NULL },
};

static void one_harm(const void *arg)
{
	const struct row *row = arg;
	struct buf was = BUF_INIT, again = BUF_INIT;
	struct chunk_id id;
	uint64_t before;

	make_repository();
	id = find(row->what);
	harm(&id, row->how, &was);
	before = objects();
	assert_int_equal(check(false, row->verify_data), row->found);
	assert_int_equal(objects(), before);
	assert_int_equal(check(true, row->verify_data), 0);
	expect(row->repaired);
	assert_int_equal(check(false, row->verify_data), 0);
	before = objects();
	assert_int_equal(check(true, row->verify_data), 0); /* nothing is left to do */
	assert_int_equal(objects(), before);
	if (row->back) {
		struct repo *repo = open_locked();
		struct err e = ERR_INIT;

		good(repo_put(repo, &id, buf_bytes(&was), &e), &e);
		good(repo_commit(repo, &e), &e);
		close_locked(repo);
		assert_int_equal(check(true, false), 0);
		expect(row->back);
		assert_int_equal(check(false, true), 0);
	}
	if (row->what == ORPHAN) {
		struct repo *repo = open_locked();

		assert_int_equal(repo_get(repo, &id, 0, &again, NULL), -ENOENT);
		close_locked(repo);
	}
	buf_fini(&was);
	buf_fini(&again);
	remove_repository();
}

static void harms(void **state)
{
	(void)state;
	assert_int_equal(run_table(rows, one_harm), 0);
}

/* Only what was asked for is looked at: harm elsewhere is not found, and objects of others are no orphans. */
static void one_archive_only(void **state)
{
	struct archive_check_options options = { .prompt = &prompt,
						 .repair = true,
						 .archive = bytes_str("two") };
	struct buf was = BUF_INIT;
	struct err e = ERR_INIT;
	struct repo *repo;
	struct chunk_id id;

	(void)state;
	make_repository();
	id = find(A_CHUNK);
	harm(&id, LOSE, &was);
	repo = open_locked();
	assert_int_equal(archive_check(repo, &options, &e), 0);
	close_locked(repo);
	expect("one: shared=xy abc=a?c;two: shared=xy d=d;");
	options.repair = false;
	options.archive = bytes_str("one");
	repo = open_locked();
	assert_int_equal(archive_check(repo, &options, &e), 1);
	options.archive = bytes_str("three");
	assert_int_equal(archive_check(repo, &options, &e), 1);
	close_locked(repo);
	buf_fini(&was);
	remove_repository();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(harms),
		cmocka_unit_test(one_archive_only),
	};

	log_setup(LOG_LEVEL_CRITICAL, false);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
