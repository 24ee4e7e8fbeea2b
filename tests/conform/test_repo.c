/*
 * test_repo.c - what repo.h promises, of every home of a repository.
 *
 * Each home is a maker that lays objects down and commits.  In a folder that is done by hand: one
 * segment for each transaction, PUTs and DELETEs and a COMMIT as docs/format.md has them, without
 * an index, so that the log alone says what is there.
 */

#include "tests/support/repo_memory.h"
#include "tests/support/tap.h"

#include "core/base/io.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

struct home;

struct maker {
	const char *name;
	void (*make)(struct home *h);
	void (*put)(struct home *h, const struct chunk_id *id, struct bytes object);
	void (*delete)(struct home *h, const struct chunk_id *id);
	void (*commit)(struct home *h);
	void (*damage)(struct home *h, const struct chunk_id *id);
};

struct home {
	const struct maker *maker;
	struct repo *repo;
	char *dir;          /* local */
	struct buf segment; /* local: of the transaction under way */
	uint32_t number;
};

/* --- in memory --- */

static void memory_make(struct home *h)
{
	h->repo = repo_memory_new();
}

static void memory_put(struct home *h, const struct chunk_id *id, struct bytes object)
{
	repo_memory_put(h->repo, id, object);
}

static void memory_delete(struct home *h, const struct chunk_id *id)
{
	repo_memory_delete(h->repo, id);
}

static void memory_commit(struct home *h)
{
	repo_memory_commit(h->repo);
	if (repo_transaction(h->repo) == 0)
		repo_refresh(h->repo, NULL);
}

static void memory_damage(struct home *h, const struct chunk_id *id)
{
	repo_memory_fail(h->repo, id, EBADMSG, REPO_MEMORY_ALWAYS);
}

/* --- in a folder --- */

static void write_file(const struct home *h, const char *name, struct bytes content)
{
	char *path = path_join(h->dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write_all(fd, content.p, content.len), 0);
	close(fd);
	free(path);
}

static void local_make(struct home *h)
{
	static const char config[] =
		"[repository]\nversion = 1\nsegments_per_dir = 2\n"
		"max_segment_size = 1000\nid = 0123456789abcdef0123456789ab"
		"cdef0123456789abcdef0123456789abcdef\n";
	char *data;

	h->dir = test_dir_make();
	data = path_join(h->dir, "data");
	assert_int_equal(mkdir(data, 0700), 0);
	free(data);
	write_file(h, "config", bytes_str(config));
}

static void add_entry(struct home *h, uint8_t tag, const struct chunk_id *id,
		      struct bytes payload)
{
	size_t at;
	uint8_t head[9] = { 0 };

	if (h->segment.len == 0)
		buf_append_str(&h->segment, "BORG_SEG");
	at = h->segment.len;
	put_le32(head + 4, (uint32_t)((id ? 41u : 9u) + payload.len));
	head[8] = tag;
	buf_append(&h->segment, head, sizeof(head));
	if (id)
		buf_append(&h->segment, id->b, sizeof(id->b));
	if (payload.len)
		buf_append(&h->segment, payload.p, payload.len);
	put_le32(h->segment.p + at,
		 (uint32_t)crc32_z(0, h->segment.p + at + 4, h->segment.len - at - 4));
}

static void local_put(struct home *h, const struct chunk_id *id, struct bytes object)
{
	add_entry(h, 0, id, object);
}

static void local_delete(struct home *h, const struct chunk_id *id)
{
	add_entry(h, 1, id, (struct bytes){ 0 });
}

static void local_commit(struct home *h)
{
	struct repo_options options = { .cache_dir = NULL };
	struct location where;
	char name[64], *data;

	add_entry(h, 2, NULL, (struct bytes){ 0 });
	snprintf(name, sizeof(name), "data/%u", h->number / 2);
	data = path_join(h->dir, name);
	mkdir(data, 0700);
	free(data);
	snprintf(name, sizeof(name), "data/%u/%u", h->number / 2, h->number);
	write_file(h, name, buf_bytes(&h->segment));
	h->segment.len = 0;
	h->number++;
	if (h->repo)
		return;
	assert_int_equal(location_parse(&where, h->dir, NULL, NULL), 0);
	assert_int_equal(repo_open(&h->repo, &where, &options, NULL), 0);
	location_fini(&where);
}

static void local_damage(struct home *h, const struct chunk_id *id)
{
	uint64_t place = repo_place(h->repo, id);
	char name[64], *path;
	int fd;

	snprintf(name, sizeof(name), "data/%u/%u", (unsigned)(place >> 32) / 2,
		 (unsigned)(place >> 32));
	path = path_join(h->dir, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write_all_at(fd, "?", 1, (uint32_t)place + 41), 0);
	close(fd);
	free(path);
}

static const struct maker makers[] = {
	{ "memory", memory_make, memory_put, memory_delete, memory_commit, memory_damage },
	{ "local", local_make, local_put, local_delete, local_commit, local_damage },
};

/* --- the suite --- */

static void home_init(struct home *h, const struct maker *maker)
{
	*h = (struct home){ .maker = maker };
	maker->make(h);
}

static void home_fini(struct home *h)
{
	repo_close(h->repo);
	if (h->dir)
		test_dir_remove(h->dir);
	buf_fini(&h->segment);
}

static struct chunk_id id_of(unsigned n)
{
	struct chunk_id id;

	memset(id.b, 0x5a, sizeof(id.b));
	put_le32(id.b, n * 2654435761u);
	return id;
}

static void put_text(struct home *h, unsigned n, const char *text)
{
	struct chunk_id id = id_of(n);

	h->maker->put(h, &id, bytes_str(text));
}

/* The object's text, or what its error's code is. */
static void holds(struct repo *r, unsigned n, unsigned flags, const char *want, int code)
{
	struct chunk_id id = id_of(n);
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;

	buf_append_str(&out, "what was there before");
	assert_int_equal(repo_get(r, &id, flags, &out, &e), -code);
	if (code == 0) {
		assert_int_equal(out.len, strlen(want));
		assert_memory_equal(out.p, want, out.len);
	} else {
		assert_int_equal(e.code, code);
	}
	if (code == ENOENT)
		assert_string_equal(e.msgid, "Repository.ObjectNotFound");
	buf_fini(&out);
}

static void objects_come_back(struct home *h)
{
	struct repo_space space;
	struct chunk_id id = id_of(1), none = id_of(9);

	put_text(h, 1, "one");
	put_text(h, 2, "");
	h->maker->commit(h);
	holds(h->repo, 1, 0, "one", 0);
	holds(h->repo, 2, 0, "", 0);
	holds(h->repo, 1, REPO_GET_FRESH, "one", 0);
	holds(h->repo, 9, 0, NULL, ENOENT);
	holds(h->repo, 9, REPO_GET_FRESH, NULL, ENOENT);
	assert_int_equal(repo_has(h->repo, &id, NULL), 1);
	assert_int_equal(repo_has(h->repo, &none, NULL), 0);
	assert_true(repo_place(h->repo, &id) != UINT64_MAX);
	assert_true(repo_place(h->repo, &none) == UINT64_MAX);
	assert_int_equal(repo_space(h->repo, &space, NULL), 0);
	assert_true(space.block_size > 0);
	assert_true(space.available <= space.blocks);
}

static void a_refresh_shows_what_was_committed(struct home *h)
{
	struct chunk_id gone = id_of(1);
	uint64_t before;

	put_text(h, 1, "one");
	put_text(h, 2, "two");
	h->maker->commit(h);
	assert_int_equal(repo_refresh(h->repo, NULL), 0);
	before = repo_transaction(h->repo);
	put_text(h, 2, "two again");
	put_text(h, 3, "three");
	h->maker->delete (h, &gone);
	assert_int_equal(repo_refresh(h->repo, NULL), 0);
	holds(h->repo, 1, 0, "one", 0);
	h->maker->commit(h);
	holds(h->repo, 2, 0, "two", 0); /* a reader's view stands still */
	assert_int_equal(repo_refresh(h->repo, NULL), 1);
	assert_true(repo_transaction(h->repo) > before);
	holds(h->repo, 1, 0, NULL, ENOENT);
	holds(h->repo, 2, 0, "two again", 0);
	holds(h->repo, 3, 0, "three", 0);
	assert_int_equal(repo_refresh(h->repo, NULL), 0);
}

static void what_is_asked_for_fresh_is_fresh(struct home *h)
{
	put_text(h, 1, "one");
	h->maker->commit(h);
	put_text(h, 1, "one again");
	h->maker->commit(h);
	holds(h->repo, 1, 0, "one", 0);
	holds(h->repo, 1, REPO_GET_FRESH, "one again", 0);
}

static int count_id(void *arg, const struct chunk_id *id)
{
	unsigned *seen = arg;

	for (unsigned n = 0; n < 300; n++) {
		struct chunk_id known = id_of(n);

		if (id_equal(&known, id))
			seen[n]++;
	}
	return 0;
}

static int stop_at_once(void *arg, const struct chunk_id *id)
{
	(void)id;
	++*(unsigned *)arg;
	return 7;
}

static void a_scan_shows_each_id_once(struct home *h)
{
	unsigned seen[300] = { 0 }, calls = 0;

	for (unsigned n = 0; n < 300; n++)
		put_text(h, n, "first");
	h->maker->commit(h);
	for (unsigned n = 0; n < 300; n += 3) {
		struct chunk_id id = id_of(n);

		if (n % 2)
			h->maker->delete (h, &id);
		else
			put_text(h, n, "second");
	}
	h->maker->commit(h);
	repo_refresh(h->repo, NULL);
	assert_int_equal(repo_scan(h->repo, count_id, seen, NULL), 0);
	for (unsigned n = 0; n < 300; n++)
		assert_int_equal(seen[n], n % 3 != 0 || n % 2 == 0);
	assert_int_equal(repo_scan(h->repo, stop_at_once, &calls, NULL), 7);
	assert_int_equal(calls, 1);
}

struct delivery {
	size_t count, stop_at;
	int rc[600];
	size_t len[600];
};

static int note(void *arg, size_t index, int rc, struct bytes object, const struct err *why)
{
	struct delivery *d = arg;

	assert_int_equal(index, d->count);
	if (rc < 0)
		assert_int_equal(why->code, -rc);
	d->rc[index] = rc;
	d->len[index] = object.len;
	d->count++;
	return d->count == d->stop_at ? 5 : 0;
}

/* In order of the call, whatever order they lie in; missing and damaged ones among them. */
static void many_come_in_order(struct home *h)
{
	struct delivery d = { 0 };
	struct chunk_id ids[600], bad = id_of(7);
	char text[400];

	memset(text, 'x', sizeof(text));
	for (unsigned n = 0; n < 300; n++) {
		text[n + 1] = '\0';
		put_text(h, n, text);
		text[n + 1] = 'x';
		if (n % 100 == 50) {
			h->maker->commit(h);
			repo_refresh(h->repo, NULL);
		}
	}
	h->maker->commit(h);
	repo_refresh(h->repo, NULL);
	h->maker->damage(h, &bad);
	for (unsigned i = 0; i < 600; i++)
		ids[i] = id_of(i < 310 ? i : i * 7 % 300);
	assert_int_equal(repo_get_many(h->repo, ids, 600, note, &d, NULL), 0);
	assert_int_equal(d.count, 600);
	for (unsigned i = 0; i < 600; i++) {
		unsigned n = i < 310 ? i : i * 7 % 300;

		assert_int_equal(d.rc[i], n == 7 ? -EBADMSG : n >= 300 ? -ENOENT : 0);
		assert_int_equal(d.len[i], d.rc[i] == 0 ? n + 1 : 0);
	}
	d = (struct delivery){ .stop_at = 3 };
	assert_int_equal(repo_get_many(h->repo, ids, 600, note, &d, NULL), 5);
	assert_int_equal(d.count, 3);
	d = (struct delivery){ 0 };
	assert_int_equal(repo_get_many(h->repo, ids, 0, note, &d, NULL), 0);
	assert_int_equal(d.count, 0);
}

static void what_is_damaged_is_named(struct home *h)
{
	struct chunk_id id = id_of(1);

	put_text(h, 1, "one");
	put_text(h, 2, "two");
	h->maker->commit(h);
	h->maker->damage(h, &id);
	holds(h->repo, 1, 0, NULL, EBADMSG);
	holds(h->repo, 1, REPO_GET_FRESH, NULL, EBADMSG);
	holds(h->repo, 2, 0, "two", 0);
}

static void counters(struct repo *r, uint64_t want)
{
	uint64_t next = 0;

	assert_int_equal(repo_nonce_get(r, &next, NULL), 0);
	assert_true(next == want);
}

/* Who does not know what was reserved before cannot reserve, and nothing is given back. */
static void counters_are_reserved_once(struct home *h)
{
	struct err e = ERR_INIT;

	put_text(h, 1, "one");
	h->maker->commit(h);
	counters(h->repo, NONCE_NONE);
	assert_int_equal(repo_nonce_reserve(h->repo, 9, 5, &e), -EBUSY);
	assert_true(strlen(e.msg) > 0);
	counters(h->repo, NONCE_NONE);
	assert_int_equal(repo_nonce_reserve(h->repo, 9, NONCE_NONE, NULL), 0);
	counters(h->repo, 9);
	assert_int_equal(repo_nonce_reserve(h->repo, 12, NONCE_NONE, NULL), -EBUSY);
	assert_int_equal(repo_nonce_reserve(h->repo, 12, 8, NULL), -EBUSY);
	assert_int_equal(repo_nonce_reserve(h->repo, 9, 9, NULL), -EINVAL);
	assert_int_equal(repo_nonce_reserve(h->repo, 4, 9, NULL), -EINVAL);
	assert_int_equal(repo_nonce_reserve(h->repo, NONCE_NONE, 9, NULL), -EINVAL);
	counters(h->repo, 9);
	assert_int_equal(repo_nonce_reserve(h->repo, UINT64_MAX - 1, 9, NULL), 0);
	counters(h->repo, UINT64_MAX - 1);
}

static const struct row {
	const char *name;
	void (*run)(struct home *h);
} rows[] = {
	{ "objects come back", objects_come_back },
	{ "a refresh shows what was committed", a_refresh_shows_what_was_committed },
	{ "what is asked for fresh is fresh", what_is_asked_for_fresh_is_fresh },
	{ "a scan shows each id once", a_scan_shows_each_id_once },
	{ "many come in order", many_come_in_order },
	{ "what is damaged is named", what_is_damaged_is_named },
	{ "counters are reserved once", counters_are_reserved_once },
};

static void run_one(const void *arg)
{
	const struct row *row = arg;

	for (size_t i = 0; i < sizeof(makers) / sizeof(makers[0]); i++) {
		struct home h;

		print_message("%s: %s\n", makers[i].name, row->name);
		home_init(&h, &makers[i]);
		row->run(&h);
		home_fini(&h);
	}
}

int main(void)
{
	return run_table(rows, run_one);
}
