/*
 * test_config.c - the repository's config as borg writes it, as Python's configparser reads it,
 * and as it must not be.
 *
 * A good file's lines are those of `borg init` 1.2.4; each row puts one text in place of another.
 */

#include "tests/support/tap.h"

#include "core/base/io.h"
#include "core/base/log.h"
#include "core/repo/config.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define ID "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef"

static const char good[] = "[repository]\n"
			   "version = 1\n"
			   "segments_per_dir = 1000\n"
			   "max_segment_size = 524288000\n"
			   "append_only = 0\n"
			   "storage_quota = 0\n"
			   "additional_free_space = 0\n"
			   "id = " ID "\n"
			   "\n";

static const struct row {
	const char *name;
	const char *was, *now; /* the first `was` of the good file becomes `now` */
	int want;
	const char *says; /* part of the message */
	/* What is not as in the good file. */
	bool append_only;
	uint32_t segments_per_dir;
	uint64_t storage_quota;
	const char *key;
} rows[] = {
	{ "as written by borg", "", "", .want = 0 },
	{ "without optional lines",
	  "append_only = 0\nstorage_quota = 0\nadditional_free_space = 0\n", "", .want = 0 },
	{ "colons and no blanks", "version = 1", "version:1", .want = 0 },
	{ "names in capitals", "version", "VERSION", .want = 0 },
	{ "lines of other systems", "version = 1\n", "version = 1\r\n", .want = 0 },
	{ "comments", "version = 1\n", "# a\n; b\n\t# c\nversion = 1\n", .want = 0 },
	{ "another section first", "[repository]", "[x]\nversion = 2\n[repository]",
	  .want = 0 },
	{ "another section last", "\n\n", "\n[cache]\nversion = 2\nno value\n", .want = 0 },
	{ "a comment behind the section", "[repository]", "[repository] ; x", .want = 0 },
	{ "unknown options", "id = ", "later = \xff\nid = ", .want = 0 },
	{ "an indented first option", "version", "  version", .want = 0 },
	{ "append only", "append_only = 0", "append_only = Yes", .append_only = true },
	{ "few segments in a folder", "= 1000", "= 2", .segments_per_dir = 2 },
	{ "a quota with a suffix", "storage_quota = 0", "storage_quota = 1.5T",
	  .storage_quota = 1500000000000 },
	{ "a quota with a blank", "storage_quota = 0", "storage_quota = 10 M",
	  .storage_quota = 10000000 },
	{ "a key of two lines", "\n\n", "\nkey = hqlh\n\tbGdv\n", .key = "hqlh\nbGdv" },
	{ "a key below its name", "\n\n", "\nkey = \n\thqlh\n", .key = "hqlh" },
	{ "a key with a bracket line", "\n\n", "\nkey = a\n [x]\n", .key = "a\n[x]" },
	{ "an empty key", "\n\n", "\nkey =\n", .key = NULL },
	{ "no newline at the end", "\n\n", "", .want = 0 },
	{ "another section", "[repository]", "[other]", .want = -EBADMSG,
	  .says = "no repository section found" },
	{ "the section twice", "id = ", "[repository]\nid = ", .want = -EBADMSG,
	  .says = "a section twice" },
	{ "an option twice", "id = ", "version = 1\nid = ", .want = -EBADMSG,
	  .says = "an option twice" },
	{ "a later version", "version = 1", "version = 2", .want = -ENOTSUP,
	  .says = "repository version 2 is not supported by this borg version" },
	{ "no version", "version = 1\n", "", .want = -EBADMSG, .says = "version is missing" },
	{ "a version in words", "version = 1", "version = one", .want = -EBADMSG,
	  .says = "version is missing" },
	{ "no id", "id = ", "ie = ", .want = -EBADMSG, .says = "id is missing" },
	{ "an id too short", "id = 01", "id = ", .want = -EBADMSG, .says = "64 hex digits" },
	{ "an id not hex", "id = 01", "id = 0x", .want = -EBADMSG, .says = "64 hex digits" },
	{ "no segments in a folder", "= 1000", "= 0", .want = -EBADMSG,
	  .says = "segments_per_dir is 0" },
	{ "negative segments", "= 1000", "= -1", .want = -EBADMSG, .says = "segments_per_dir" },
	{ "too many segments", "= 1000", "= 4294967296", .want = -EBADMSG,
	  .says = "segments_per_dir" },
	{ "no segment size", "max_segment_size = 524288000\n", "", .want = -EBADMSG,
	  .says = "max_segment_size" },
	{ "a hexadecimal size", "524288000", "0x10", .want = -EBADMSG,
	  .says = "max_segment_size" },
	{ "an infinite size", "524288000", "inf", .want = -EBADMSG,
	  .says = "max_segment_size" },
	{ "a size in small letters", "524288000", "500m", .want = -EBADMSG,
	  .says = "max_segment_size" },
	{ "a size with two suffixes", "524288000", "5MB", .want = -EBADMSG,
	  .says = "max_segment_size" },
	{ "a size of 90 bits", "524288000", "1000000000000P", .want = -EBADMSG,
	  .says = "max_segment_size" },
	{ "a negative quota", "storage_quota = 0", "storage_quota = -1", .want = -EBADMSG,
	  .says = "quota" },
	{ "neither yes nor no", "append_only = 0", "append_only = 2", .want = -EBADMSG,
	  .says = "append_only" },
	{ "a line without a value", "id = ", "what\nid = ", .want = -EBADMSG,
	  .says = "without a value" },
	{ "a value without a name", "id = ", "= what\nid = ", .want = -EBADMSG,
	  .says = "without a value" },
};

static char *replaced(const struct row *row)
{
	const char *at = strstr(good, row->was);
	char *text;

	assert_non_null(at);
	text = malloc(sizeof(good) + strlen(row->now));
	assert_non_null(text);
	sprintf(text, "%.*s%s%s", (int)(at - good), good, row->now, at + strlen(row->was));
	return text;
}

static void same_config(const struct repo_config *is, const struct row *but)
{
	char hex[CHUNK_ID_HEX];

	assert_string_equal(id_hex(&is->id, hex),
			    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
	assert_int_equal(is->append_only, but->append_only);
	assert_int_equal(is->segments_per_dir,
			 but->segments_per_dir ? but->segments_per_dir : 1000);
	assert_int_equal(is->max_segment_size, 524288000);
	assert_int_equal(is->storage_quota, but->storage_quota);
	assert_int_equal(is->additional_free_space, 0);
	assert_string_equal(is->key ? is->key : "(none)", but->key ? but->key : "(none)");
}

static void parse_one(const void *arg)
{
	const struct row *row = arg;
	char *text = replaced(row);
	struct repo_config config;
	struct err e = ERR_INIT;

	assert_int_equal(config_parse(&config, bytes_str(text), &e), row->want);
	if (row->want == 0)
		same_config(&config, row);
	else
		assert_non_null(strstr(e.msg, row->says));
	config_fini(&config);
	free(text);
}

static void hostile_texts(void **state)
{
	static const char zero[] = "[repository]\nversion = 1\0\n";
	struct buf many = BUF_INIT;
	struct repo_config config;

	(void)state;
	assert_int_equal(
		config_parse(&config, (struct bytes){ (const uint8_t *)zero, 26 }, NULL),
		-EBADMSG);
	buf_append_str(&many, "[repository]\n");
	for (unsigned i = 0; i < 1000; i++) {
		char line[32];

		snprintf(line, sizeof(line), "a%u = 1\n", i);
		buf_append_str(&many, line);
	}
	assert_int_equal(config_parse(&config, buf_bytes(&many), NULL), -EBADMSG);
	buf_fini(&many);
}

static void cut_at_every_byte(void **state)
{
	size_t whole = strlen(good) - 2; /* the newlines at the end say nothing */

	(void)state;
	for (size_t len = 0; len < whole; len++) {
		char *text = malloc(len + 1); /* exact, for the address sanitizer */
		struct repo_config config;

		assert_non_null(text);
		memcpy(text, good, len);
		assert_int_equal(
			config_parse(&config, (struct bytes){ (uint8_t *)text, len }, NULL),
			-EBADMSG);
		free(text);
	}
}

/* --- writing --- */

struct files {
	char *dir, *config, *old, *copy;
};

static void put_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write_all(fd, text, strlen(text)), 0);
	close(fd);
}

static bool file_is(int fd, const char *text)
{
	char got[1024] = { 0 };
	ssize_t n = pread(fd, got, sizeof(got) - 1, 0);

	return n == (ssize_t)strlen(text) && memcmp(got, text, (size_t)n) == 0;
}

static bool path_is(const char *path, const char *text)
{
	int fd = open(path, O_RDONLY);
	bool is = fd >= 0 && file_is(fd, text);

	close(fd);
	return is;
}

static int make_files(void **state)
{
	struct files *f = calloc(1, sizeof(*f));

	f->dir = test_dir_make();
	f->config = path_join(f->dir, "config");
	f->old = path_join(f->dir, "config.old");
	f->copy = path_join(f->dir, "copy");
	put_file(f->config, good);
	*state = f;
	return 0;
}

static int remove_files(void **state)
{
	struct files *f = *state;

	test_dir_remove(f->dir);
	free(f->config);
	free(f->old);
	free(f->copy);
	free(f);
	return 0;
}

static const char with_key[] = "[repository]\n"
			       "version = 1\n"
			       "segments_per_dir = 1000\n"
			       "max_segment_size = 524288000\n"
			       "append_only = 0\n"
			       "storage_quota = 0\n"
			       "additional_free_space = 0\n"
			       "id = " ID "\n"
			       "key = hqlh\n"
			       "\tbGdv\n"
			       "\n";

static void the_old_text_is_overwritten(void **state)
{
	const struct files *f = *state;
	int fd = open(f->config, O_RDONLY);
	struct stat st;

	assert_int_equal(config_change(f->config, "key", "hqlh\nbGdv", NULL), 0);
	assert_true(path_is(f->config, with_key));
	assert_int_equal(access(f->old, F_OK), -1);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_nlink, 0);
	assert_int_equal(st.st_size, sizeof(good) - 1);
	assert_false(file_is(fd, good));
	close(fd);
	assert_int_equal(config_change(f->config, "key", NULL, NULL), 0);
	assert_true(path_is(f->config, good));
}

static void a_linked_copy_is_not_overwritten(void **state)
{
	const struct files *f = *state;

	assert_int_equal(link(f->config, f->copy), 0);
	assert_int_equal(config_change(f->config, "key", "hqlh\nbGdv", NULL), 0);
	assert_true(path_is(f->config, with_key));
	assert_true(path_is(f->copy, good));
	assert_int_equal(access(f->old, F_OK), -1);
}

/* What a program that was killed after its rename leaves, and after its link. */
static void what_an_earlier_change_left_goes(void **state)
{
	const struct files *f = *state;
	int fd;

	put_file(f->old, with_key);
	fd = open(f->old, O_RDONLY);
	assert_int_equal(config_change(f->config, "append_only", "1", NULL), 0);
	assert_false(file_is(fd, with_key));
	close(fd);
	assert_int_equal(access(f->old, F_OK), -1);
	assert_int_equal(link(f->config, f->old), 0);
	assert_int_equal(config_change(f->config, "append_only", "0", NULL), 0);
	assert_true(path_is(f->config, good));
	assert_int_equal(access(f->old, F_OK), -1);
}

static void a_change_that_fails_changes_nothing(void **state)
{
	const struct files *f = *state;
	struct err e = ERR_INIT;

	assert_int_equal(config_change(f->copy, "key", "x", &e), -ENOENT);
	assert_int_equal(mkdir(f->old, 0700), 0);
	assert_int_equal(config_change(f->config, "key", "x", &e), -EISDIR);
	assert_non_null(strstr(e.msg, f->old));
	assert_true(path_is(f->config, good));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hostile_texts),
		cmocka_unit_test(cut_at_every_byte),
		cmocka_unit_test_setup_teardown(the_old_text_is_overwritten, make_files,
						remove_files),
		cmocka_unit_test_setup_teardown(a_linked_copy_is_not_overwritten, make_files,
						remove_files),
		cmocka_unit_test_setup_teardown(what_an_earlier_change_left_goes, make_files,
						remove_files),
		cmocka_unit_test_setup_teardown(a_change_that_fails_changes_nothing, make_files,
						remove_files),
	};
	int rc;

	log_setup(LOG_LEVEL_CRITICAL, false);
	rc = run_table(rows, parse_one);

	return rc + cmocka_run_group_tests(tests, NULL, NULL);
}
