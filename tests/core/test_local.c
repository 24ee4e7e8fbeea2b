/*
 * test_local.c - what borg wrote is read back whole, also where the index is missing, lies or is
 * damaged; what is damaged is named; and nothing is ever written into the repository.
 *
 * Known content: the objects of an unencrypted, uncompressed repository are their key type, two
 * zero bytes and a text whose SHA-256 is their id.  Entries are found in the segments by a walk of
 * the test's own.
 */

#include "tests/support/golden.h"
#include "tests/support/tap.h"

#include "core/base/io.h"
#include "core/base/thread.h"
#include "core/repo/repo.h"

#include <fcntl.h>
#include <openssl/sha.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ENTRY_HEAD = 41 };

/* A golden repository, opened, with a cache folder of its own. */
struct sandbox {
	struct golden *golden;
	char *cache;
	struct repo *repo;
	char *before; /* listing of the repository's folder */
};

static char *output_of(const char *dir, const char *command)
{
	char *line = NULL;
	struct buf out = BUF_INIT;
	FILE *f;

	assert_true(asprintf(&line, "cd '%s' && { %s; } 2>/dev/null", dir, command) > 0);
	f = popen(line, "re");
	assert_non_null(f);
	assert_int_equal(read_to_end(fileno(f), 1 << 24, &out), 0);
	pclose(f);
	free(line);
	assert_int_equal(buf_append_byte(&out, 0), 0);
	return (char *)out.p;
}

static char *listing(const char *repo)
{
	return output_of(repo, "find . -printf '%p %s %m %T@ %C@\\n' | sort; "
			       "find . -type f -exec sha256sum {} + | sort");
}

static void shell(const char *dir, const char *command)
{
	char *line = NULL;

	assert_true(asprintf(&line, "cd '%s' && { %s; } >/dev/null 2>&1", dir, command) > 0);
	assert_int_equal(system(line), 0);
	free(line);
}

static void sandbox_init(struct sandbox *s, const char *name)
{
	*s = (struct sandbox){ .golden = golden_open(name) };
	s->cache = path_join(s->golden->dir, "cache");
}

static int sandbox_open(struct sandbox *s, bool with_cache, struct err *e)
{
	struct repo_options options = { .cache_dir = with_cache ? s->cache : NULL };
	struct location where;
	int rc;

	assert_int_equal(location_parse(&where, s->golden->repo, NULL, NULL), 0);
	s->before = listing(s->golden->repo);
	rc = repo_open(&s->repo, &where, &options, e);
	location_fini(&where);
	return rc;
}

static void sandbox_fini(struct sandbox *s)
{
	char *after = listing(s->golden->repo);

	repo_close(s->repo);
	if (s->before)
		assert_string_equal(after, s->before);
	free(after);
	free(s->before);
	free(s->cache);
	golden_close(s->golden);
}

/* --- ids --- */

struct ids {
	struct chunk_id *p;
	size_t count;
};

static int add_id(void *arg, const struct chunk_id *id)
{
	struct ids *ids = arg;

	ids->p = realloc(ids->p, (ids->count + 1) * sizeof(*ids->p));
	assert_non_null(ids->p);
	ids->p[ids->count++] = *id;
	return 0;
}

static struct ids ids_of(struct repo *r)
{
	struct ids ids = { 0 };

	assert_int_equal(repo_scan(r, add_id, &ids, NULL), 0);
	return ids;
}

static void good_object(const struct chunk_id *id, struct bytes object)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];

	assert_true(object.len >= 3);
	if (memcmp(id->b, (const uint8_t[32]){ 0 }, 32) == 0)
		return; /* the manifest has a place, not a digest */
	if (object.p[0] != 2 || object.p[1] != 0 || object.p[2] != 0)
		return; /* encrypted or compressed: the checksum must do */
	SHA256(object.p + 3, object.len - 3, digest);
	assert_memory_equal(digest, id->b, sizeof(digest));
}

struct outcome {
	const struct chunk_id *ids;
	size_t delivered, bad;
	int rc;
	char says[512];
};

static int note(void *arg, size_t index, int rc, struct bytes object, const struct err *why)
{
	struct outcome *o = arg;

	assert_int_equal(index, o->delivered);
	o->delivered++;
	if (rc == 0) {
		good_object(&o->ids[index], object);
		return 0;
	}
	assert_int_equal(why->code, -rc);
	o->rc = rc;
	o->bad++;
	snprintf(o->says, sizeof(o->says), "%s", why->msg);
	return 0;
}

/* All of them in one call, and again one by one. */
static struct outcome read_all(struct repo *r, struct ids ids)
{
	struct outcome o = { .ids = ids.p };
	struct buf out = BUF_INIT;
	size_t bad = 0;

	assert_int_equal(repo_get_many(r, ids.p, ids.count, note, &o, NULL), 0);
	assert_int_equal(o.delivered, ids.count);
	for (size_t i = 0; i < ids.count; i++) {
		unsigned flags = i % 2 ? REPO_GET_FRESH : 0;

		if (repo_get(r, &ids.p[i], flags, &out, NULL) < 0)
			bad++;
		else
			good_object(&ids.p[i], buf_bytes(&out));
	}
	assert_int_equal(bad, o.bad);
	buf_fini(&out);
	return o;
}

/* The number of entries that the header of the newest index names. */
static uint32_t entries_in_index(const struct golden *g)
{
	char *text = output_of(g->repo, "od -An -tu4 -j8 -N4 index.*");
	uint32_t n = (uint32_t)strtoul(text, NULL, 10);

	free(text);
	assert_true(n > 0);
	return n;
}

/* --- every golden repository --- */

static void one_golden(const char *name, void *arg)
{
	struct sandbox s;
	struct outcome o;
	struct ids ids;

	(void)arg;
	sandbox_init(&s, name);
	assert_int_equal(sandbox_open(&s, true, NULL), 0);
	ids = ids_of(s.repo);
	assert_int_equal(ids.count, entries_in_index(s.golden));
	o = read_all(s.repo, ids);
	assert_int_equal(o.bad, 0);
	assert_int_equal(access(s.cache, F_OK), -1); /* a good index is not copied */
	free(ids.p);
	sandbox_fini(&s);
}

static void every_golden_repository_is_read(void **state)
{
	(void)state;
	golden_each(one_golden, NULL);
}

/* --- changes of the folder --- */

/* Overwrite bytes of a file. */
static void poke(const struct golden *g, const char *file, uint64_t off, const void *p,
		 size_t len)
{
	char *path = path_join(g->repo, file);
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write_all_at(fd, p, len, off), 0);
	close(fd);
	free(path);
}

static void read_file(const struct golden *g, const char *file, struct buf *out)
{
	char *path = path_join(g->repo, file);

	assert_int_equal(file_read(AT_FDCWD, path, 1 << 24, out, NULL), 0);
	free(path);
}

enum index_change { EMPTIED, SHIFTED, ELSEWHERE, OTHER_IDS, SWAPPED, WILD };

/* Every bucket in use says something else; header and length stay good. */
static void change_index(const struct golden *g, enum index_change change)
{
	struct buf file = BUF_INIT;
	uint8_t *other = NULL;

	read_file(g, "index.9", &file);
	for (uint8_t *b = file.p + 18; b < file.p + file.len; b += 40) {
		uint8_t place[8];

		if (get_le32(b + 32) >= 0xfffffffe)
			continue;
		switch (change) {
		case EMPTIED: memset(b, 0xff, 40); break;
		case SHIFTED: put_le32(b + 36, get_le32(b + 36) + 1); break;
		case ELSEWHERE: put_le32(b + 32, 77); break;
		case OTHER_IDS: b[31] ^= 1; break;
		case WILD: put_le32(b + 36, 3); break;
		case SWAPPED:
			if (other) {
				memcpy(place, b + 32, 8);
				memcpy(b + 32, other + 32, 8);
				memcpy(other + 32, place, 8);
			}
			other = b;
			break;
		}
	}
	poke(g, "index.9", 0, file.p, file.len);
	buf_fini(&file);
}

static const struct index_row {
	const char *name;
	const char *command; /* in the repository's folder, or else ... */
	enum index_change change;
	bool rebuilt; /* at once, not at the first failure */
} index_rows[] = {
	{ "no index", "rm index.9", .rebuilt = true },
	{ "no index, hints and integrity data", "rm index.9 hints.9 integrity.9",
	  .rebuilt = true },
	{ "index of no length", ": >index.9", .rebuilt = true },
	{ "index newer than the log", "mv index.9 index.99", .rebuilt = true },
	{ "index cut short", "truncate -s -1 index.9", .rebuilt = true },
	{ "index of zeros", "truncate -s 0 index.9; truncate -s 41258 index.9",
	  .rebuilt = true },
	{ "index of an impossible number", "cp index.9 index.99999999999", .rebuilt = false },
	{ "index with a zero before its number", "mv index.9 index.09", .rebuilt = true },
	{ "index under another name", "mv index.9 index.09x", .rebuilt = true },
	{ "no index, and a segment's name is a folder's",
	  "rm index.9; rm data/0/7; mkdir data/0/7", .rebuilt = true },
	{ "index of an older transaction", "mv index.9 index.3", .rebuilt = false },
	{ "all buckets empty", NULL, EMPTIED, .rebuilt = false },
	{ "offsets off by one", NULL, SHIFTED, .rebuilt = false },
	{ "offsets before the first entry", NULL, WILD, .rebuilt = false },
	{ "another segment", NULL, ELSEWHERE, .rebuilt = false },
	{ "other ids", NULL, OTHER_IDS, .rebuilt = false },
	{ "places swapped", NULL, SWAPPED, .rebuilt = false },
};

static void known_ids(const char *name, struct ids *out)
{
	struct sandbox s;

	sandbox_init(&s, name);
	assert_int_equal(sandbox_open(&s, false, NULL), 0);
	*out = ids_of(s.repo);
	sandbox_fini(&s);
}

static void read_despite_index(const struct index_row *row, bool with_cache)
{
	struct sandbox s;
	struct outcome o;
	struct ids want, is;

	known_ids("comp-none", &want);
	sandbox_init(&s, "comp-none");
	if (row->command)
		shell(s.golden->repo, row->command);
	else
		change_index(s.golden, row->change);
	for (unsigned again = 0; again < 2; again++) {
		char hex[CHUNK_ID_HEX];
		char *sub, *index;

		free(s.before);
		assert_int_equal(sandbox_open(&s, with_cache, NULL), 0);
		assert_int_equal(repo_transaction(s.repo), 9);
		sub = path_join(s.cache, id_hex(&repo_config(s.repo)->id, hex));
		index = path_join(sub, "index.9");
		if (again == 0)
			assert_int_equal(access(index, F_OK) == 0, row->rebuilt && with_cache);
		o = read_all(s.repo, want);
		assert_int_equal(o.bad, 0);
		is = ids_of(s.repo);
		assert_int_equal(is.count, want.count);
		assert_int_equal(repo_refresh(s.repo, NULL), 0);
		o = read_all(s.repo, want);
		assert_int_equal(o.bad, 0);
		free(is.p);
		free(sub);
		free(index);
		if (again == 0) {
			repo_close(s.repo);
			s.repo = NULL;
		}
	}
	free(want.p);
	sandbox_fini(&s);
}

static void index_changed_one(const void *arg)
{
	read_despite_index(arg, true);
	read_despite_index(arg, false);
}

/* --- damage in the log --- */

/* Place of the n-th PUT of a segment with its size; the walk is the test's own. */
static uint32_t nth_put(const struct golden *g, const char *file, unsigned n, uint32_t *size)
{
	struct buf segment = BUF_INIT;
	uint32_t off = 8;

	read_file(g, file, &segment);
	for (;; off += *size) {
		assert_true(off + ENTRY_HEAD <= segment.len);
		*size = get_le32(segment.p + off + 4);
		if (segment.p[off + 8] == 0 && n-- == 0)
			break;
	}
	buf_fini(&segment);
	return off;
}

static const struct damage_row {
	const char *name;
	uint32_t at; /* byte of the entry's */
	uint8_t to;
	bool no_index; /* and the index is gone: what follows is lost */
	const char *says;
	int want;
} damage_rows[] = {
	{ "payload", 43, 0xee, false, "checksum mismatch", -EBADMSG },
	{ "checksum", 0, 0xee, false, "checksum mismatch", -EBADMSG },
	{ "size", 5, 0xee, false, "segment 2: entry at 64: checksum mismatch", -EBADMSG },
	{ "size beyond all", 7, 0xee, false, "impossible size", -EBADMSG },
	{ "tag", 8, 0xee, false, "unknown tag", -EBADMSG },
	{ "id", 20, 0xee, false, "checksum mismatch", -EBADMSG },
	{ "payload, no index", 43, 0xee, true, "checksum mismatch", -EBADMSG },
	{ "id, no index", 20, 0xee, true, "not found in repository", -ENOENT },
};

static void damaged_one(const void *arg)
{
	const struct damage_row *row = arg;
	struct sandbox s;
	struct outcome o;
	struct ids ids;
	uint32_t size;

	known_ids("comp-none", &ids);
	sandbox_init(&s, "comp-none");
	poke(s.golden, "data/0/2", nth_put(s.golden, "data/0/2", 1, &size) + row->at, &row->to,
	     1);
	if (row->no_index)
		shell(s.golden->repo, "rm index.9");
	assert_int_equal(sandbox_open(&s, true, NULL), 0);
	o = read_all(s.repo, ids);
	assert_int_equal(o.bad, 1);
	assert_int_equal(o.rc, row->want);
	assert_non_null(strstr(o.says, row->says));
	free(ids.p);
	sandbox_fini(&s);
}

/* What follows a damaged size is lost where only the log says where things are. */
static void a_lost_size_loses_what_follows(void **state)
{
	const uint8_t zero = 0;
	struct sandbox s;
	struct outcome o;
	struct ids ids, found;
	uint32_t size;

	(void)state;
	known_ids("comp-none", &ids);
	sandbox_init(&s, "comp-none");
	poke(s.golden, "data/0/2", nth_put(s.golden, "data/0/2", 10, &size) + 4, &zero, 1);
	shell(s.golden->repo, "rm index.9");
	assert_int_equal(sandbox_open(&s, true, NULL), 0);
	found = ids_of(s.repo);
	o = read_all(s.repo, ids);
	assert_true(o.bad >= 1 && o.bad < ids.count);
	assert_int_equal(o.rc, -ENOENT);
	assert_int_equal(found.count, ids.count - o.bad + 1); /* the damaged one has its head */
	free(found.p);
	free(ids.p);
	sandbox_fini(&s);
}

static const struct log_row {
	const char *name;
	const char *command;
	unsigned transaction;
	size_t bad; /* objects of transaction 9 that are missing or damaged then */
} log_rows[] = {
	{ "garbage behind the log", "head -c 1000 data/0/2 >data/0/10", 9, 0 },
	{ "an uncommitted segment", "cp data/0/6 data/0/10", 9, 0 },
	{ "uncommitted deletes", "cp data/0/3 data/0/10", 9, 0 },
	{ "an empty segment", ": >data/0/10", 9, 0 },
	{ "magic alone", "head -c 8 data/0/2 >data/0/10", 9, 0 },
	{ "a COMMIT in a payload", "{ head -c 300 data/0/2; tail -c 9 data/0/9; } >data/0/10",
	  9, 0 },
	{ "entries behind a COMMIT", "{ cat data/0/9; tail -c +9 data/0/6; } >data/0/10", 9,
	  0 },
	{ "another COMMIT", "cp data/0/9 data/0/12", 12, 0 },
	{ "stray names", "touch data/0/x data/y data/0/12.tmp data/7; mkdir data/9 data/0/13",
	  9, 0 },
	{ "a segment in another's folder", "mkdir data/1; cp data/0/9 data/1/12", 9, 0 },
	{ "a segment number that an index cannot name",
	  "mkdir data/4294967; cp data/0/9 data/4294967/4294967295", 9, 0 },
	{ "the last COMMIT flipped", "printf x | dd of=data/0/9 bs=1 seek=9 conv=notrunc", 5,
	  2 },
	{ "the last COMMIT cut", "truncate -s -1 data/0/9", 5, 2 },
	{ "the last COMMIT gone", "rm data/0/9", 5, 2 },
	{ "the last segment of data cut", "truncate -s -1 data/0/8", 9, 1 },
	{ "a segment cut to its magic", "truncate -s 8 data/0/6", 9, 2 },
	{ "a segment without magic", "printf x | dd of=data/0/6 bs=1 conv=notrunc", 9, 2 },
	{ "a segment gone", "rm data/0/6", 9, 2 },
	{ "a segment that is a folder", "rm data/0/6; mkdir data/0/6", 9, 2 },
	{ "a segment that is a pipe", "rm data/0/6; mkfifo data/0/6", 9, 2 },
};

static void log_changed_one(const void *arg)
{
	const struct log_row *row = arg;
	struct sandbox s;
	struct outcome o;
	struct ids ids;

	known_ids("comp-none", &ids);
	sandbox_init(&s, "comp-none");
	shell(s.golden->repo, row->command);
	assert_int_equal(sandbox_open(&s, true, NULL), 0);
	assert_int_equal(repo_transaction(s.repo), row->transaction);
	o = read_all(s.repo, ids);
	assert_int_equal(o.bad, row->bad);
	assert_int_equal(repo_refresh(s.repo, NULL), 0);
	free(ids.p);
	sandbox_fini(&s);
}

static void what_is_not_committed_is_not_seen(void **state)
{
	struct sandbox s;
	char *newest;

	(void)state;
	sandbox_init(&s, "misc-checkpoint");
	newest = output_of(s.golden->repo, "ls data/0 | sort -n | tail -n 1");
	assert_true(strtoul(newest, NULL, 10) > 29);
	assert_int_equal(sandbox_open(&s, true, NULL), 0);
	assert_int_equal(repo_transaction(s.repo), 29);
	free(newest);
	sandbox_fini(&s);
}

/* --- refusals --- */

static const struct refuse_row {
	const char *name;
	const char *command; /* in the folder above the repository, which is repo */
	int want;
	const char *id;
	const char *says; /* %s: the repository's path */
} refuse_rows[] = {
	{ "no folder", "rm -r repo", -ENOENT, "Repository.DoesNotExist",
	  "Repository %s does not exist." },
	{ "a file", "rm -r repo; touch repo", -EINVAL, "Repository.InvalidRepository",
	  "%s is not a valid repository. Check repo config." },
	{ "an empty folder", "rm -r repo/*", -EINVAL, "Repository.InvalidRepository",
	  "%s is not a valid repository. Check repo config." },
	{ "no config", "rm repo/config", -EINVAL, "Repository.InvalidRepository",
	  "%s is not a valid repository. Check repo config." },
	{ "no data", "rm -r repo/data", -EINVAL, "Repository.InvalidRepository",
	  "%s is not a valid repository. Check repo config." },
	{ "another config", "echo >repo/config", -EINVAL, "Repository.InvalidRepositoryConfig",
	  "%s does not have a valid configuration. Check repo config [no repository section "
	  "found]." },
	{ "a later version", "sed -i 's/^version = 1/version = 7/' repo/config", -ENOTSUP,
	  "Repository.InvalidRepositoryConfig",
	  "%s does not have a valid configuration. Check repo config [repository version 7 is "
	  "not supported by this borg version]." },
	{ "attic segments",
	  "for f in repo/data/0/*; do printf ATTICSEG | dd of=$f conv=notrunc; done", -ENOTSUP,
	  "Repository.AtticRepository",
	  "Attic repository detected. Please run \"borg upgrade %s\"." },
	{ "no COMMIT anywhere", "rm repo/data/0/[159]", -EBADMSG, "Repository.CheckNeeded",
	  "Inconsistency detected. Please run \"borg check %s\"." },
	{ "no segments", "rm repo/data/0/*", -EBADMSG, "Repository.CheckNeeded",
	  "Inconsistency detected. Please run \"borg check %s\"." },
};

static void refused_one(const void *arg)
{
	const struct refuse_row *row = arg;
	const char *at = strstr(row->says, "%s");
	struct err e = ERR_INIT;
	char *want = NULL;
	struct sandbox s;

	sandbox_init(&s, "comp-none");
	shell(s.golden->dir, row->command);
	assert_int_equal(sandbox_open(&s, true, &e), row->want);
	assert_true(asprintf(&want, "%.*s%s%s", (int)(at - row->says), row->says,
			     s.golden->repo, at + 2) > 0);
	assert_string_equal(e.msg, want);
	assert_string_equal(e.msgid, row->id);
	assert_null(s.repo);
	free(want);
	sandbox_fini(&s);
}

static void other_hosts_are_refused(void **state)
{
	struct location where;
	struct repo *r = NULL;

	(void)state;
	assert_int_equal(location_parse(&where, "ssh://host/repo", NULL, NULL), 0);
	assert_int_equal(repo_open(&r, &where, NULL, NULL), -ENOTSUP);
	assert_null(r);
	location_fini(&where);
}

/* Read by one who may write neither there nor in the cache folder (root may write anywhere). */
static void a_read_only_folder_is_enough(void **state)
{
	struct sandbox s;
	struct outcome o;
	struct ids ids;
	int rc;

	(void)state;
	sandbox_init(&s, "comp-none");
	shell(s.golden->dir, "rm repo/index.9; chmod -R a-w,a+rX repo; chmod a+rx .");
	if (geteuid() == 0)
		assert_int_equal(seteuid(65534), 0);
	rc = sandbox_open(&s, true, NULL);
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(rc, 0);
	ids = ids_of(s.repo);
	o = read_all(s.repo, ids);
	assert_int_equal(o.bad, 0);
	assert_int_equal(access(s.cache, F_OK), -1);
	free(ids.p);
	sandbox_fini(&s);
}

static void all_of_it_is_read(struct sandbox *s)
{
	struct ids ids = ids_of(s->repo);

	assert_int_equal(read_all(s->repo, ids).bad, 0);
	free(ids.p);
}

/* Where the newest segment cannot be opened, an older state would be a lie. */
static void an_unreadable_log_is_not_an_older_one(void **state)
{
	struct err e = ERR_INIT;
	struct sandbox s;
	int rc;

	(void)state;
	sandbox_init(&s, "comp-none");
	shell(s.golden->dir, "chmod -R a+rX repo; chmod a+rx .; chmod 000 repo/data/0/9");
	if (geteuid() == 0)
		assert_int_equal(seteuid(65534), 0);
	rc = sandbox_open(&s, true, &e);
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
	free(s.before); /* root's listing has digests of more files */
	s.before = NULL;
	assert_int_equal(rc, -EACCES);
	assert_non_null(strstr(e.msg, "segment 9: "));
	sandbox_fini(&s);
}

/* One index is kept, that of the newest transaction that needed one. */
static void kept_indexes_do_not_pile_up(void **state)
{
	struct sandbox s;
	char *kept;

	(void)state;
	sandbox_init(&s, "comp-none");
	shell(s.golden->repo, "rm index.9");
	assert_int_equal(sandbox_open(&s, true, NULL), 0);
	shell(s.golden->repo, "cp data/0/9 data/0/12");
	assert_int_equal(repo_refresh(s.repo, NULL), 1);
	kept = output_of(s.cache, "cd * && echo *");
	assert_string_equal(kept, "index.12 index.12.sum\n");
	all_of_it_is_read(&s);
	free(kept);
	free(s.before);
	s.before = NULL;
	sandbox_fini(&s);
}

/* The rebuilt index that is kept is believed as little as any other file. */
static void a_damaged_kept_index_is_thrown_away(void **state)
{
	static const char *const damages[] = {
		"printf x | dd of=index.9 bs=1 seek=2000 conv=notrunc",
		"truncate -s -40 index.9",
		": >index.9",
		"printf 12345678 >index.9.sum",
		"rm index.9.sum",
		"rm index.9; mkdir index.9",
	};
	char hex[CHUNK_ID_HEX];
	struct sandbox s;
	struct ids want;
	char *kept;

	(void)state;
	known_ids("comp-none", &want);
	sandbox_init(&s, "comp-none");
	shell(s.golden->repo, "rm index.9");
	assert_int_equal(sandbox_open(&s, true, NULL), 0);
	kept = path_join(s.cache, id_hex(&repo_config(s.repo)->id, hex));
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		repo_close(s.repo);
		s.repo = NULL;
		shell(kept, damages[i]);
		free(s.before);
		assert_int_equal(sandbox_open(&s, true, NULL), 0);
		assert_int_equal(read_all(s.repo, want).bad, 0);
	}
	free(kept);
	free(want.p);
	sandbox_fini(&s);
}

/* The log is another one with the same transaction: a copy put in its place, or a repair. */
static void a_kept_index_that_misleads_is_made_anew(void **state)
{
	struct sandbox s;
	struct ids want;

	(void)state;
	known_ids("comp-none", &want);
	sandbox_init(&s, "comp-none");
	shell(s.golden->repo, "rm index.9");
	assert_int_equal(sandbox_open(&s, true, NULL), 0);
	repo_close(s.repo);
	s.repo = NULL;
	free(s.before);
	shell(s.golden->repo, "{ head -c 8 data/0/2; tail -c +9 data/0/3 | head -c 41; "
			      "tail -c +9 data/0/2; } >x && mv x data/0/2");
	assert_int_equal(sandbox_open(&s, true, NULL), 0);
	assert_int_equal(read_all(s.repo, want).bad, 0);
	repo_close(s.repo);
	s.repo = NULL;
	free(s.before);
	assert_int_equal(sandbox_open(&s, true, NULL), 0);
	all_of_it_is_read(&s);
	free(want.p);
	sandbox_fini(&s);
}

/* --- others change the repository --- */

static void borg(const struct golden *g, const char *arguments)
{
	char *line = NULL;

	assert_true(asprintf(&line, "borg --lock-wait 60 %s", arguments) > 0);
	shell(g->dir, line);
	free(line);
}

/* A small segment size, so that compaction has whole segments to remove. */
static void live_init(struct sandbox *s)
{
	sandbox_init(s, "enc-none");
	shell(s->golden->repo,
	      "sed -i 's/^max_segment_size.*/max_segment_size = 20000/' config");
	shell(s->golden->dir, "mkdir src && head -c 300000 /dev/urandom >src/a && "
			      "head -c 100000 /dev/urandom >src/b");
	assert_int_equal(sandbox_open(s, true, NULL), 0);
	free(s->before); /* borg writes, so there is nothing to compare */
	s->before = NULL;
}

static void all_of_the_newest_is_read(struct sandbox *s)
{
	struct ids ids = ids_of(s->repo);

	assert_int_equal(ids.count, entries_in_index(s->golden));
	assert_int_equal(read_all(s->repo, ids).bad, 0);
	free(ids.p);
}

static void every_commit_is_followed(void **state)
{
	static const char *const steps[] = {
		"create -C none repo::more src",
		"create -C lz4 repo::again src",
		"delete repo::more",
		"compact --threshold 0 repo",
		"delete repo::again",
		"compact --threshold 0 repo",
	};
	struct sandbox s;

	(void)state;
	live_init(&s);
	assert_int_equal(repo_refresh(s.repo, NULL), 0);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		uint64_t before = repo_transaction(s.repo);

		borg(s.golden, steps[i]);
		assert_int_equal(repo_refresh(s.repo, NULL), 1);
		assert_true(repo_transaction(s.repo) > before);
		all_of_the_newest_is_read(&s);
		assert_int_equal(repo_refresh(s.repo, NULL), 0);
	}
	sandbox_fini(&s);
}

/* Without a call of refresh: the first read that fails makes the view a fresh one. */
static void a_stale_view_heals_itself(void **state)
{
	struct sandbox s;
	struct ids ids;
	uint64_t before;

	(void)state;
	live_init(&s);
	ids = ids_of(s.repo);
	before = repo_transaction(s.repo);
	borg(s.golden, "create -C none repo::more src");
	borg(s.golden, "delete repo::more");
	borg(s.golden, "compact --threshold 0 repo");
	/* The manifest that the old view knows is in a segment that is no more. */
	assert_int_equal(read_all(s.repo, ids).bad, 0);
	assert_true(repo_transaction(s.repo) > before);
	free(ids.p);
	sandbox_fini(&s);
}

struct readers {
	struct repo *repo;
	struct ids ids; /* of objects that stay */
	atomic_bool stop;
	atomic_size_t bad, rounds;
};

static int count_bad(void *arg, size_t index, int rc, struct bytes object,
		     const struct err *why)
{
	struct readers *r = arg;

	(void)index, (void)object;
	if (rc < 0) {
		fprintf(stderr, "# %s\n", why->msg);
		atomic_fetch_add(&r->bad, 1);
	}
	return 0;
}

static void *read_on(void *arg)
{
	struct readers *r = arg;

	while (!atomic_load(&r->stop)) {
		repo_get_many(r->repo, r->ids.p, r->ids.count, count_bad, r, NULL);
		atomic_fetch_add(&r->rounds, 1);
	}
	return NULL;
}

static void *refresh_on(void *arg)
{
	struct readers *r = arg;

	while (!atomic_load(&r->stop)) {
		struct err e = ERR_INIT;

		if (repo_refresh(r->repo, &e) < 0) {
			fprintf(stderr, "# %s\n", e.msg);
			atomic_fetch_add(&r->bad, 1);
		}
		usleep(2000);
	}
	return NULL;
}

static void reading_goes_on_while_borg_writes(void **state)
{
	struct readers r = { 0 };
	pthread_t threads[4];
	struct sandbox s;

	(void)state;
	live_init(&s);
	r.repo = s.repo;
	r.ids = ids_of(s.repo);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(thread_start(&threads[i], i == 3 ? refresh_on : read_on, &r,
					      "reader", NULL),
				 0);
	for (size_t i = 0; i < test_count(1, 10); i++) {
		borg(s.golden, "create -C none repo::more src");
		borg(s.golden, "delete repo::more");
		borg(s.golden, "compact --threshold 0 repo");
	}
	atomic_store(&r.stop, true);
	for (size_t i = 0; i < 4; i++)
		thread_join(threads[i]);
	assert_int_equal(atomic_load(&r.bad), 0);
	assert_true(atomic_load(&r.rounds) > 0);
	repo_refresh(s.repo, NULL);
	all_of_the_newest_is_read(&s);
	free(r.ids.p);
	sandbox_fini(&s);
}

/* Several find the index bad at once: nobody is told that an object is missing. */
static void many_find_the_index_bad(void **state)
{
	struct readers r = { 0 };
	pthread_t threads[4];
	struct sandbox s;

	(void)state;
	known_ids("enc-none", &r.ids);
	sandbox_init(&s, "enc-none");
	change_index(s.golden, EMPTIED);
	assert_int_equal(sandbox_open(&s, true, NULL), 0);
	r.repo = s.repo;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(thread_start(&threads[i], read_on, &r, "reader", NULL), 0);
	while (atomic_load(&r.rounds) < 20)
		usleep(1000);
	atomic_store(&r.stop, true);
	for (size_t i = 0; i < 4; i++)
		thread_join(threads[i]);
	assert_int_equal(atomic_load(&r.bad), 0);
	free(r.ids.p);
	sandbox_fini(&s);
}

/* Without a log that could be read. */
static void a_configuration_alone(void **state)
{
	struct golden *g = golden_open("enc-repokey");
	struct location where = { .proto = LOCATION_FILE, .path = g->repo };
	struct repo_options options = { .config_only = true };
	struct repo *r = NULL, *another = NULL;
	struct err e = ERR_INIT;

	(void)state;
	shell(g->repo, "rm -r data/* index.* hints.* integrity.*");
	assert_int_equal(repo_open(&r, &where, &options, &e), 0);
	assert_int_equal(repo_lock(r, 0, &e), 0);
	shell(g->repo, "test -d lock.exclusive");
	assert_int_equal(repo_put(r, &(struct chunk_id){ 0 }, bytes_str("x"), &e), -ENOLCK);
	assert_int_equal(repo_save_key(r, "hqlh\nbGdv", &e), 0);
	assert_string_equal(repo_config(r)->key, "hqlh\nbGdv");
	assert_int_equal(repo_open(&another, &where, &options, &e), 0);
	assert_string_equal(repo_config(another)->key, "hqlh\nbGdv");
	assert_int_equal(repo_save_key(r, "", &e), 0);
	assert_null(repo_config(r)->key);
	assert_int_equal(repo_unlock(r, &e), 0);
	shell(g->repo, "test ! -e lock.exclusive && mkdir lock.exclusive && "
		       "touch lock.exclusive/elsewhere@1.7-0 lock.roster");
	assert_int_equal(repo_lock(another, 0, &e), -EBUSY);
	assert_int_equal(repo_break_lock(r, &e), 0);
	assert_int_equal(repo_lock(another, 0, &e), 0);
	repo_close(another); /* releases */
	shell(g->repo, "test ! -e lock.exclusive && test ! -e lock.roster");
	repo_close(r);
	golden_close(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_golden_repository_is_read),
		cmocka_unit_test(a_lost_size_loses_what_follows),
		cmocka_unit_test(what_is_not_committed_is_not_seen),
		cmocka_unit_test(other_hosts_are_refused),
		cmocka_unit_test(a_read_only_folder_is_enough),
		cmocka_unit_test(an_unreadable_log_is_not_an_older_one),
		cmocka_unit_test(kept_indexes_do_not_pile_up),
		cmocka_unit_test(a_damaged_kept_index_is_thrown_away),
		cmocka_unit_test(a_kept_index_that_misleads_is_made_anew),
		cmocka_unit_test(every_commit_is_followed),
		cmocka_unit_test(a_stale_view_heals_itself),
		cmocka_unit_test(reading_goes_on_while_borg_writes),
		cmocka_unit_test(many_find_the_index_bad),
		cmocka_unit_test(a_configuration_alone),
	};
	int rc = run_table(index_rows, index_changed_one);

	rc += run_table(damage_rows, damaged_one) + run_table(log_rows, log_changed_one);
	rc += run_table(refuse_rows, refused_one);
	return rc + cmocka_run_group_tests(tests, NULL, NULL);
}
