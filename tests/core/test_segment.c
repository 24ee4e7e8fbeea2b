/*
 * test_segment.c - segment_read() and segment_next_head() take the good bytes and name the bad.
 *
 * Method: lay out a PUT, a DELETE and a COMMIT by hand, sharing no code with the module; each
 * row changes one thing about the file and says what must come back.  The COMMIT's bytes are
 * those of docs/format.md, the same in every repository.
 */

#include "tests/support/tap.h"

#include "core/base/bytes.h"
#include "core/repo/segment.h"

#include <zlib.h>

enum {
	AT = SEGMENT_FIRST,
	SIZE = 41 + 5,
	DELETE_AT = AT + SIZE,
	COMMIT_AT = DELETE_AT + 41,
	END = COMMIT_AT + 9,
};

static const struct row {
	const char *name;
	size_t keep;      /* bytes of the file that exist */
	size_t at;        /* the byte to change ... */
	uint8_t to;       /* ... and its new value */
	bool reseal;      /* make the checksum agree again */
	int want;         /* result of segment_read() */
	const char *says; /* part of the message */
} rows[] = {
	{ "good entry", END, AT + 8, SEGMENT_PUT, true, 1, "" },
	{ "clean end of file", AT, 0, 'B', false, 0, "" },
	{ "cut in the header", AT + 3, 0, 'B', false, -EBADMSG, "segment 17: entry at 8: " },
	{ "cut before the id", AT + 9, 0, 'B', false, -EBADMSG, "truncated header" },
	{ "cut in the payload", DELETE_AT - 2, 0, 'B', false, -EBADMSG, "truncated entry" },
	{ "flipped checksum byte", END, AT, 0, false, -EBADMSG, "checksum" },
	{ "flipped id byte", END, AT + 9, 0, false, -EBADMSG, "checksum" },
	{ "flipped payload byte", END, AT + 41, '?', false, -EBADMSG, "checksum" },
	{ "unknown tag", END, AT + 8, 9, true, -EBADMSG, "unknown tag" },
	{ "tag of a later format", END, AT + 8, 3, true, -EBADMSG, "unknown tag" },
	{ "size 0", END, AT + 4, 0, false, -EBADMSG, "impossible size" },
	{ "size below the header", END, AT + 4, 40, false, -EBADMSG, "impossible size" },
	{ "size over the maximum", END, AT + 7, 0x7f, false, -EBADMSG, "impossible size" },
	{ "size beyond the end", END, AT + 5, 0x7f, false, -EBADMSG, "truncated entry" },
	{ "DELETE with a payload", END, AT + 8, SEGMENT_DELETE, true, -EBADMSG, "impossible" },
	{ "COMMIT with an id", END, AT + 8, SEGMENT_COMMIT, true, -EBADMSG, "impossible" },
};

static void seal(uint8_t *entry, size_t size)
{
	put_le32(entry, (uint32_t)crc32_z(0, entry + 4, size - 4));
}

static void lay_out(uint8_t file[static END])
{
	static const uint8_t commit[9] = { 0x40, 0xf4, 0x3c, 0x25, 9, 0, 0, 0, 2 };

	memset(file, 0, END);
	memcpy(file, "BORG_SEG", 8);
	put_le32(file + AT + 4, SIZE);
	memset(file + AT + 9, 0xab, 32);
	memcpy(file + AT + 41, "hello", 5);
	seal(file + AT, SIZE);
	put_le32(file + DELETE_AT + 4, 41);
	file[DELETE_AT + 8] = 1;
	memset(file + DELETE_AT + 9, 0xcd, 32);
	seal(file + DELETE_AT, 41);
	memcpy(file + COMMIT_AT, commit, sizeof(commit));
}

static struct segment *open_bytes(const uint8_t *file, size_t len)
{
	struct segment *s = NULL;

	assert_int_equal(segment_open(&s, memory_file(file, len), 17, NULL), 0);
	return s;
}

static void read_one(const void *arg)
{
	const struct row *row = arg;
	struct segment_entry entry = { 0 };
	struct buf scratch = BUF_INIT;
	struct err e = ERR_INIT;
	uint8_t file[END];
	struct segment *s;

	lay_out(file);
	file[row->at] = row->to;
	if (row->reseal)
		seal(file + AT, SIZE);
	s = open_bytes(file, row->keep);
	assert_int_equal(segment_read(s, AT, &scratch, &entry, &e), row->want);
	assert_non_null(strstr(e.msg, row->says));
	if (row->want == 1) {
		assert_int_equal(entry.tag, SEGMENT_PUT);
		assert_int_equal(entry.size, SIZE);
		assert_memory_equal(entry.id.b, file + AT + 9, 32);
		assert_int_equal(entry.payload.len, 5);
		assert_memory_equal(entry.payload.p, "hello", 5);
	}
	buf_fini(&scratch);
	segment_close(s);
}

static void every_kind_of_entry_is_read(void **state)
{
	static const struct {
		size_t at, size;
		enum segment_tag tag;
	} want[] = { { AT, SIZE, SEGMENT_PUT },
		     { DELETE_AT, 41, SEGMENT_DELETE },
		     { COMMIT_AT, 9, SEGMENT_COMMIT } };
	struct segment_entry entry;
	struct buf scratch = BUF_INIT;
	uint8_t file[END];
	struct segment *s;

	(void)state;
	lay_out(file);
	s = open_bytes(file, END);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(segment_read(s, want[i].at, &scratch, &entry, NULL), 1);
		assert_int_equal(entry.tag, want[i].tag);
		assert_int_equal(entry.size, want[i].size);
		assert_int_equal(entry.payload.len, i == 0 ? 5 : 0);
	}
	assert_int_equal(segment_read(s, END, &scratch, &entry, NULL), 0);
	buf_fini(&scratch);
	segment_close(s);
}

/* Heads that a walk over the first `len` bytes finds, and how it ends. */
static int walk(const uint8_t *file, size_t len, size_t *found)
{
	struct segment *s = open_bytes(file, len);
	struct segment_walk *w = calloc(1, sizeof(*w));
	struct segment_entry entry;
	uint64_t off = SEGMENT_FIRST;
	struct err e = ERR_INIT;
	int rc;

	assert_non_null(w);
	for (*found = 0; (rc = segment_next_head(s, w, &off, len, &entry, &e)) == 1; ++*found)
		assert_true(off <= len);
	if (rc < 0)
		assert_non_null(strstr(e.msg, "segment 17: entry at "));
	free(w);
	segment_close(s);
	return rc;
}

static void cut_at_every_byte(void **state)
{
	static const size_t ends[] = { AT, DELETE_AT, COMMIT_AT, END };
	uint8_t file[END];

	(void)state;
	lay_out(file);
	for (size_t len = 0; len <= END; len++) {
		struct segment *s = NULL;
		struct err e = ERR_INIT;
		size_t found, whole = 0;

		if (len < AT) {
			assert_int_equal(segment_open(&s, memory_file(file, len), 17, &e),
					 -EBADMSG);
			assert_string_equal(e.msg, "segment 17: no segment magic");
			assert_null(s);
			continue;
		}
		while (whole < 3 && ends[whole + 1] <= len)
			whole++;
		assert_int_equal(walk(file, len, &found), len == ends[whole] ? 0 : -EBADMSG);
		assert_int_equal(found, whole);
	}
}

static void a_walk_crosses_its_window(void **state)
{
	enum { COUNT = 3000 }; /* times 41 bytes: almost two windows */
	size_t len = SEGMENT_FIRST + COUNT * 41, found;
	uint8_t *file = calloc(1, len);

	(void)state;
	assert_non_null(file);
	memcpy(file, "BORG_SEG", 8);
	for (size_t i = 0; i < COUNT; i++) {
		put_le32(file + 8 + i * 41 + 4, 41);
		file[8 + i * 41 + 8] = 1;
	}
	assert_int_equal(walk(file, len, &found), 0);
	assert_int_equal(found, COUNT);
	assert_int_equal(walk(file, len - 1, &found), -EBADMSG);
	assert_int_equal(found, COUNT - 1);
	free(file);
}

static void other_files_are_refused(void **state)
{
	struct segment *s = NULL;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(segment_open(&s, memory_file("ATTICSEG", 8), 3, &e), -ENOTSUP);
	assert_string_equal(e.msg, "segment 3: an attic segment");
	assert_int_equal(segment_open(&s, memory_file("BORG_IDX", 8), 3, &e), -EBADMSG);
	assert_null(s);
}

static void a_reference_outlives_the_first_owner(void **state)
{
	struct segment_entry entry;
	struct buf scratch = BUF_INIT;
	uint8_t file[END];
	struct segment *s;

	(void)state;
	lay_out(file);
	s = open_bytes(file, END);
	assert_ptr_equal(segment_ref(s), s);
	segment_close(s);
	assert_int_equal(segment_number(s), 17);
	assert_int_equal(segment_read(s, AT, &scratch, &entry, NULL), 1);
	segment_close(s);
	segment_close(NULL);
	buf_fini(&scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_of_entry_is_read),
		cmocka_unit_test(cut_at_every_byte),
		cmocka_unit_test(a_walk_crosses_its_window),
		cmocka_unit_test(other_files_are_refused),
		cmocka_unit_test(a_reference_outlives_the_first_owner),
	};
	int rc = run_table(rows, read_one);

	return rc + cmocka_run_group_tests(tests, NULL, NULL);
}
