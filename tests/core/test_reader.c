/*
 * test_reader.c - what stock borg stored comes out of reader, archive and item stream.
 *
 * Method: every golden repository, each archive of each, compared with manifest.jsonl, which was
 * made from the source tree and not from the repository.
 */

#include "tests/support/golden.h"
#include "tests/support/tap.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "core/archive/item_stream.h"
#include "core/base/table.h"
#include "core/codec/chunker.h"

static bool answer_from_environment(void *arg, const char *msgid, const char *text,
				    const char *false_text, const char *env_name)
{
	const char *answer = getenv(env_name);

	(void)arg, (void)msgid, (void)text, (void)false_text;
	return answer && strcmp(answer, "yes") == 0;
}

static int no_person(void *arg, const char *text, struct secret **out, struct err *e)
{
	(void)arg, (void)text, (void)out, (void)e;
	return -ENOTTY;
}

static const struct prompt prompt = { .passphrase = no_person,
				      .confirm = answer_from_environment };

static struct reader *open_reader(const struct golden *g)
{
	struct location where = { .proto = LOCATION_FILE, .path = g->repo };
	struct reader_options options = { .prompt = &prompt };
	struct reader *r = NULL;
	struct err e = ERR_INIT;

	if (reader_open(&r, &where, &options, &e) < 0)
		fail_msg("%s: %s", g->name, e.msg);
	return r;
}

static struct archive *open_archive(struct reader *r, const struct manifest_entry *entry)
{
	struct archive *a = NULL;
	struct err e = ERR_INIT;

	if (archive_load(&a, r, &entry->id, &e) < 0)
		fail_msg("%s: %s", (const char *)entry->name.p, e.msg);
	return a;
}

static const json_t *expected_item(const struct golden *g, struct bytes path)
{
	char *hex = malloc(2 * path.len + 1);
	const json_t *found = NULL, *item;
	size_t i;

	hex_encode(path.p, path.len, hex);
	json_array_foreach(
		g->items, i,
		item) if (strcmp(json_string_value(json_object_get(item, "path_hex")), hex) ==
			  0) found = item;
	free(hex);
	return found;
}

static int64_t integer(const json_t *item, const char *field)
{
	return json_integer_value(json_object_get(item, field));
}

static void check_target(const struct item *it, const json_t *want)
{
	size_t len;
	uint8_t *target = golden_bytes(want, "target_hex", &len);

	assert_int_equal(it->source.len, len);
	assert_memory_equal(it->source.p, target, len);
	free(target);
}

static void check_xattrs(const struct item *it, const json_t *want)
{
	const json_t *xattrs = json_object_get(want, "xattrs_hex"), *value;
	const char *name;

	json_object_foreach((json_t *)(uintptr_t)xattrs, name, value)
	{
		bool found = false;

		for (size_t i = 0; i < it->xattr_count; i++) {
			char hex[4096];

			hex_encode(it->xattrs[i].name.p, it->xattrs[i].name.len, hex);
			if (strcmp(hex, name) != 0)
				continue;
			assert_true(it->xattrs[i].value.len < 2000);
			hex_encode(it->xattrs[i].value.p, it->xattrs[i].value.len, hex);
			assert_string_equal(hex, json_string_value(value));
			found = true;
		}
		assert_true(found);
	}
}

/* In full trees: names of one file share a group in the description, and a master here. */
static void check_link(const struct golden *g, const struct item *it, const json_t *want)
{
	const char *group = json_string_value(json_object_get(want, "hardlink_group_hex"));
	const json_t *master;

	if (!item_is_hardlink_slave(it)) {
		if (group && !S_ISLNK(it->mode))
			assert_true(it->hardlink_master);
		return;
	}
	master = expected_item(g, it->source);
	assert_non_null(group);
	assert_non_null(master);
	assert_string_equal(group,
			    json_string_value(json_object_get(master, "hardlink_group_hex")));
	assert_false(it->has & ITEM_CHUNKS);
}

static void check_item(const struct golden *g, const struct item *it, const json_t *want)
{
	uint32_t mode =
		(uint32_t)strtoul(json_string_value(json_object_get(want, "mode")), NULL, 8);

	assert_int_equal(it->mode, mode);
	assert_int_equal(it->uid, integer(want, "uid"));
	assert_int_equal(it->gid, integer(want, "gid"));
	assert_true(it->mtime_ns == integer(want, "mtime_ns"));
	if (S_ISREG(mode) && !item_is_hardlink_slave(it)) {
		assert_true(it->has & ITEM_CHUNKS);
		assert_int_equal(it->size, integer(want, "size"));
		assert_int_equal(it->chunks_size, it->size);
	}
	if (S_ISLNK(mode))
		check_target(it, want);
	if (S_ISBLK(mode) || S_ISCHR(mode))
		assert_int_equal(it->rdev, integer(want, "rdev"));
	assert_int_equal(it->bsdflags, integer(want, "bsdflags"));
	check_xattrs(it, want);
	check_link(g, it, want);
}

static size_t check_items(const struct golden *g, struct reader *r, const struct archive *a,
			  const json_t *want)
{
	struct item_reader_options options = { .robust = false };
	struct item_reader *ir = NULL;
	struct err e = ERR_INIT;
	struct item it;
	bool full = strcmp(json_string_value(json_object_get(want, "items_tree")), "full") == 0;
	size_t count = 0;
	int rc;

	assert_int_equal(item_reader_open(&ir, r, a, &options, &e), 0);
	while ((rc = item_reader_next(ir, &it, &e)) == 1) {
		const json_t *expected = expected_item(g, it.path);

		count++;
		if (full && !(it.has & ITEM_PART)) {
			if (!expected)
				fail_msg("%s: not in the source: %.*s (item %zu, mode %o)",
					 g->name, (int)it.path.len, (const char *)it.path.p,
					 count, it.mode);
			check_item(g, &it, expected);
		}
	}
	if (rc < 0)
		fail_msg("%s: %s", g->name, e.msg);
	assert_int_equal(item_reader_damage(ir, NULL), 0);
	item_reader_close(ir);
	return count;
}

/* The same records through batches. */
static size_t count_by_batch(struct reader *r, const struct archive *a)
{
	struct item_reader_options options = { .robust = true };
	struct item_reader *ir = NULL;
	struct arena arena = ARENA_INIT;
	struct bytes records;
	struct err e = ERR_INIT;
	size_t count, total = 0;

	assert_int_equal(item_reader_open(&ir, r, a, &options, &e), 0);
	while (item_reader_next_batch(ir, &records, &count, &e) == 1) {
		struct mp m = mp_read(records);

		for (size_t i = 0; i < count; i++, total++) {
			struct item it;

			assert_int_equal(item_parse(&m, &arena, &it, &e), 1);
			arena_reset(&arena);
		}
		assert_ptr_equal(m.p, m.end);
	}
	item_reader_close(ir);
	arena_fini(&arena);
	return total;
}

static bool refused_by_tam(struct reader *r, const struct manifest_entry *entry)
{
	struct archive *a = NULL;
	struct err e = ERR_INIT;
	int rc = archive_load(&a, r, &entry->id, &e);

	assert_null(a);
	assert_int_equal(rc, -EBADMSG);
	assert_string_equal(e.msgid, "ArchiveTAMInvalid");
	assert_string_equal(e.msg,
			    "Data integrity error: Archive authentication did not verify");
	return true;
}

static void check_archive(const struct golden *g, struct reader *r,
			  const struct manifest_entry *entry)
{
	const json_t *want = golden_archive(g, (const char *)entry->name.p);
	char id[CHUNK_ID_HEX];
	struct archive *a;

	assert_non_null(want);
	assert_string_equal(id_hex(&entry->id, id),
			    json_string_value(json_object_get(want, "id")));
	if (json_is_false(json_object_get(want, "tam_valid")) && refused_by_tam(r, entry))
		return;
	a = open_archive(r, entry);
	assert_true(bytes_equal(a->name, entry->name));
	assert_true(bytes_equal(a->time_text, entry->time_text));
	assert_true(a->time_end_ns >= a->time_ns);
	assert_true(a->cmdline_count > 0);
	assert_int_equal(a->tam, TAM_VALID);
	assert_int_equal(check_items(g, r, a, want), integer(want, "nitems"));
	assert_int_equal(count_by_batch(r, a), integer(want, "nitems"));
	archive_free(a);
}

static void check_repository(const char *name, void *arg)
{
	struct golden *g = golden_open(name);
	struct reader *r = open_reader(g);
	struct manifest *m = reader_manifest(r);
	struct err e = ERR_INIT;

	print_message("# %s: %zu archives\n", name, m->count);
	assert_int_equal(m->count,
			 json_object_size(json_object_get(g->repository, "archives")));
	for (size_t i = 0; i < m->count; i++) {
		assert_ptr_equal(manifest_find(m, m->entries[i].name), &m->entries[i]);
		check_archive(g, r, &m->entries[i]);
	}
	assert_null(manifest_find(m, bytes_str("no such archive")));
	assert_int_equal(reader_refresh(r, &e), 0);
	reader_manifest_unref(r, m);
	reader_close(r);
	golden_close(g);
	++*(size_t *)arg;
}

static void golden_repositories(void **state)
{
	size_t count = 0;

	(void)state;
	golden_each(check_repository, &count);
	assert_true(count >= 25);
}

static void wrong_passphrase(void **state)
{
	struct golden *g = golden_open("enc-repokey");
	struct location where = { .proto = LOCATION_FILE, .path = g->repo };
	struct reader_options options = { .prompt = &prompt };
	struct reader *r = NULL;
	struct err e = ERR_INIT;

	(void)state;
	setenv("BORG_PASSPHRASE", "wrong", 1);
	assert_int_equal(reader_open(&r, &where, &options, &e), -EKEYREJECTED);
	assert_null(r);
	golden_close(g);
}

/* As Borg 1.1, 1.2 and 1.4 packed them, and what no Borg did. */
static void an_archive_tells_its_chunker(void **state)
{
	static const struct {
		const char *packed;
		size_t len;
		const char *want; /* NULL: none that is known */
	} rows[] = {
#define PACKED(text, want) { text, sizeof(text) - 1, want }
		PACKED("", NULL),
		PACKED("\x94\x13\x17\x15\xcd\x0f\xff", "buzhash,19,23,21,4095"),
		PACKED("\x95\xa7"
		       "buzhash\x0a\x17\x10\xcd\x0f\xff",
		       "buzhash,10,23,16,4095"),
		PACKED("\x93\xa5"
		       "fixed\xce\x00\x40\x00\x00\x00",
		       "fixed,4194304"),
		PACKED("\x93\xa5"
		       "fixed\xcd\x10\x00\xcd\x02\x00",
		       "fixed,4096,512"),
		PACKED("\x93\xa5"
		       "other\x01\x02",
		       NULL),
		PACKED("\x95\xa5"
		       "fixed\x13\x17\x15\x20",
		       NULL),
		PACKED("\x94\x13\x17\x15\xa1x", NULL),
		PACKED("\x94\x13\x17\x15\xcf\x00\x00\x00\x01\x00\x00\x00\x00", NULL),
		PACKED("\x94\x13\x17", NULL),
		PACKED("\x90", NULL),
#undef PACKED
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct archive a = { .chunker_params = { (const uint8_t *)rows[i].packed,
							 rows[i].len } };
		char text[CHUNKER_PARAMS_TEXT];
		struct chunker_params p;

		assert_int_equal(archive_chunker_params(&a, &p), rows[i].want ? 0 : -ENODATA);
		if (rows[i].want)
			assert_string_equal(chunker_params_format(&p, text), rows[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_repositories),
		cmocka_unit_test(an_archive_tells_its_chunker),
		cmocka_unit_test(wrong_passphrase),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
