/*
 * test_acl.c - ACL text becomes the kernel's binary form.
 *
 * Expected bytes are written by hand from linux/posix_acl_xattr.h; the texts of the first rows
 * are those Borg stored (docs/format.md "ACL text").  The last test lets libacl put random ACLs
 * on a real file and compares what the kernel then returns.
 */

#include "tests/support/tap.h"

#include "core/platform/acl.h"

#include <acl/libacl.h>
#include <stdio.h>
#include <sys/acl.h>
#include <sys/xattr.h>
#include <unistd.h>

#define VERSION   "02000000 "
#define U(perm)   "0100" perm "00ffffffff "
#define G(perm)   "0400" perm "00ffffffff "
#define M(perm)   "1000" perm "00ffffffff "
#define O(perm)   "2000" perm "00ffffffff "
#define BASE_TEXT "user::rw-\ngroup::r--\nother::r--"

static const struct row {
	const char *name;
	const char *text;
	bool numeric_ids;
	const char *hex; /* NULL: -EINVAL */
} rows[] = {
	{ "Borg's example",
	  "user::rw-\nuser:daemon:r--:1\ngroup::r--\ngroup:daemon:rw-:1\n"
	  "mask::rw-\nother::r--",
	  false,
	  VERSION U("06") "0200040001000000 " G("04") "0800060001000000 " M("06") O("04") },
	{ "unknown name: its stored number",
	  "user::rw-\nuser:no-such-user-here:rwx:77777\ngroup::r--\nmask::rwx\nother::---",
	  false, VERSION U("06") "02000700d12f0100 " G("04") M("07") O("00") },
	{ "a number for a name",
	  "user::rw-\nuser:77777:rwx:77777\ngroup::r--\nmask::rwx\nother::---", false,
	  VERSION U("06") "02000700d12f0100 " G("04") M("07") O("00") },
	{ "a blank where the effective permission was",
	  "user::rw-\nuser:77777:rwx\t:77777\ngroup::r--\nmask::r--\nother::---", false,
	  VERSION U("06") "02000700d12f0100 " G("04") M("04") O("00") },
	{ "names map to local numbers",
	  "user::rw-\nuser:root:r--:4711\ngroup::r--\nmask::r--\nother::---", false,
	  VERSION U("06") "0200040000000000 " G("04") M("04") O("00") },
	{ "numeric ids use the stored number",
	  "user::rw-\nuser:root:r--:4711\ngroup::r--\nmask::r--\nother::---", true,
	  VERSION U("06") "0200040067120000 " G("04") M("04") O("00") },
	{ "base entries only", BASE_TEXT, false, VERSION U("06") G("04") O("04") },
	{ "in the kernel's order, users by number",
	  "other::r--\nmask::rwx\ngroup:9:r--:9\nuser:8:r--:8\ngroup::r--\nuser:7:rw-:7\nuser::"
	  "rwx",
	  true,
	  VERSION U("07") "0200060007000000 0200040008000000 " G("04") "0800040009000000 " M(
		  "07") O("04") },
	{ "no text", "", false, "" },
	{ "comments, blanks and line ends",
	  "# file: x\n user::rw- # me\n\ngroup::r--\nother::r--\n", false,
	  VERSION U("06") G("04") O("04") },
	{ "no fourth field for a number",
	  "user::r--\nuser:5:r--\ngroup::r--\nmask::r--\nother::r--", false,
	  VERSION U("04") "0200040005000000 " G("04") M("04") O("04") },
	{ "unknown name without number",
	  "user::r--\nuser:no-such-user-here:r--\ngroup::r--\nmask::r--\nother::r--", false,
	  NULL },
	{ "number out of range",
	  "user::r--\nuser:x-x-x:r--:4294967295\ngroup::r--\nmask::r--\nother::r--", false,
	  NULL },
	{ "number of ten digits too large",
	  "user::r--\nuser:x-x-x:r--:9999999999\ngroup::r--\nmask::r--\nother::r--", false,
	  NULL },
	{ "negative number", "user::r--\nuser:x-x-x:r--:-1\ngroup::r--\nmask::r--\nother::r--",
	  false, NULL },
	{ "no others", "user::rw-\ngroup::r--", false, NULL },
	{ "two owners", BASE_TEXT "\nuser::r--", false, NULL },
	{ "two masks", BASE_TEXT "\nmask::r--\nmask::r--", false, NULL },
	{ "a user without mask", BASE_TEXT "\nuser:1:r--:1", false, NULL },
	{ "unknown type", BASE_TEXT "\nrobot::r--", false, NULL },
	{ "a mask for somebody", BASE_TEXT "\nmask:1:r--:1", false, NULL },
	{ "unknown permission", "user::rwt\ngroup::r--\nother::r--", false, NULL },
	{ "four permissions", "user::rwxr\ngroup::r--\nother::r--", false, NULL },
	{ "two fields", "user:rw-\ngroup::r--\nother::r--", false, NULL },
	{ "five fields", BASE_TEXT "\nmask::r--\nuser:a:r--:1:2", false, NULL },
	{ "colons", "::::::::", false, NULL },
	{ "a NUL in a name is none", "user::r--\nuser:ro", false, NULL },
};

static void convert(const void *arg)
{
	const struct row *row = arg;
	struct owner_cache *owners = owner_cache_new();
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;
	int rc = acl_to_binary(bytes_str(row->text), row->numeric_ids, owners, &out, &e);

	if (row->hex) {
		size_t len;
		uint8_t *want = unhex(row->hex, &len);

		assert_int_equal(rc, 0);
		assert_int_equal(out.len, len);
		assert_memory_equal(out.p ? out.p : (const uint8_t *)"", want, len);
		free(want);
	} else {
		assert_int_equal(rc, -EINVAL);
		assert_non_null(strstr(e.msg, "ACL: "));
	}
	buf_fini(&out);
	owner_cache_free(owners);
}

static uint64_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 33;
}

static void append(struct buf *b, uint64_t *seed, const char *type, int id)
{
	char line[64], qualifier[16] = "", number[16] = "";
	uint64_t perm = next_random(seed);

	if (id >= 0) {
		snprintf(qualifier, sizeof(qualifier), "%d", id);
		snprintf(number, sizeof(number), ":%d", id);
	}
	snprintf(line, sizeof(line), "%s:%s:%c%c%c%s\n", type, qualifier, perm & 1 ? 'r' : '-',
		 perm & 2 ? 'w' : '-', perm & 4 ? 'x' : '-', number);
	buf_append_str(b, line);
}

/* The same text for libacl, which knows no fourth field. */
static char *for_libacl(const char *text)
{
	char *out = calloc(1, strlen(text) + 1), *to = out;
	int colons = 0;

	for (const char *p = text; *p; p++) {
		if (*p == '\n')
			colons = 0;
		if (*p == ':')
			colons++;
		if (colons < 3)
			*to++ = *p;
	}
	return out;
}

static void agrees_with_libacl(void **state)
{
	uint64_t seed = test_seed();
	size_t count = test_count(50, 5000);
	struct owner_cache *owners = owner_cache_new();
	char path[] = "/tmp/alcove-acl-XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	for (size_t i = 0; i < count; i++) {
		struct buf text = BUF_INIT, ours = BUF_INIT;
		uint8_t kernels[4096];
		char *plain;
		acl_t acl;
		ssize_t len;

		append(&text, &seed, "other", -1);
		append(&text, &seed, "user", -1);
		for (uint64_t n = next_random(&seed) % 5, id = 1000; n > 0; n--)
			append(&text, &seed, "user", (int)(id += 1 + next_random(&seed) % 9));
		append(&text, &seed, "group", -1);
		for (uint64_t n = next_random(&seed) % 5, id = 1000; n > 0; n--)
			append(&text, &seed, "group", (int)(id += 1 + next_random(&seed) % 9));
		append(&text, &seed, "mask", -1);
		buf_append(&text, "", 1);

		assert_int_equal(
			acl_to_binary(bytes_str((char *)text.p), true, owners, &ours, NULL), 0);
		plain = for_libacl((char *)text.p);
		acl = acl_from_text(plain);
		assert_non_null(acl);
		if (acl_set_fd(fd, acl) < 0) {
			print_message("# this file system has no ACLs: libacl not compared\n");
			i = count;
		} else {
			len = fgetxattr(fd, "system.posix_acl_access", kernels,
					sizeof(kernels));
			assert_int_equal(len, ours.len);
			assert_memory_equal(kernels, ours.p, ours.len);
		}
		acl_free(acl);
		free(plain);
		buf_fini(&text);
		buf_fini(&ours);
	}
	close(fd);
	unlink(path);
	owner_cache_free(owners);
}

static void hostile_text_is_refused_or_taken(void **state)
{
	static const char alphabet[] = "user:groupmskth::rwx-\n\n#0123456789 ";
	uint64_t seed = test_seed();
	size_t count = test_count(20000, 2000000);
	struct owner_cache *owners = owner_cache_new();
	struct buf out = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < count; i++) {
		uint8_t text[64];
		size_t len = next_random(&seed) % sizeof(text);
		int rc;

		for (size_t j = 0; j < len; j++)
			text[j] = (uint8_t)alphabet[next_random(&seed) % sizeof(alphabet)];
		rc = acl_to_binary((struct bytes){ text, len }, true, owners, &out, NULL);
		assert_true(rc == 0 || rc == -EINVAL);
	}
	buf_fini(&out);
	owner_cache_free(owners);
}

/* The texts are those that borg.platform.acl_get gave for these bytes. */
static const struct text_row {
	const char *name;
	const char *hex;
	bool numeric_ids;
	const char *text; /* NULL: -EINVAL */
} text_rows[] = {
	{ "named entries that the mask cuts",
	  VERSION U("06") "0200070001000000 " G("04") "08000600d12f0100 " M("04") O("04"),
	  false,
	  "user::rw-\nuser:daemon:rwx\t:1\ngroup::r--\ngroup:77777:rw-\t:77777\nmask::r--\n"
	  "other::r--" },
	{ "the same by number",
	  VERSION U("06") "0200070001000000 " G("04") "08000600d12f0100 " M("04") O("04"), true,
	  "user::rw-\nuser:1:rwx\t:1\ngroup::r--\ngroup:77777:rw-\t:77777\nmask::r--\n"
	  "other::r--" },
	{ "a mask that cuts nothing",
	  VERSION U("06") "02000500d12f0100 " G("04") M("05") O("04"), false,
	  "user::rw-\nuser:77777:r-x:77777\ngroup::r--\nmask::r-x\nother::r--" },
	{ "another version", "03000000 " U("06") G("04") O("04"), false, NULL },
	{ "half an entry", VERSION U("06") "0400", false, NULL },
	{ "an unknown kind", VERSION U("06") "40000400ffffffff ", false, NULL },
	{ "nothing", "", false, NULL },
};

static void tell(const void *arg)
{
	const struct text_row *row = arg;
	struct owner_cache *owners = owner_cache_new();
	struct buf out = BUF_INIT;
	size_t len;
	uint8_t *binary = unhex(row->hex, &len);
	int rc = acl_text_of((struct bytes){ binary, len }, row->numeric_ids, owners, &out,
			     NULL);

	assert_int_equal(rc, row->text ? 0 : -EINVAL);
	if (row->text) {
		assert_int_equal(buf_append_byte(&out, 0), 0);
		assert_string_equal((const char *)out.p, row->text);
	}
	free(binary);
	buf_fini(&out);
	owner_cache_free(owners);
}

static void text_of_a_mode(void **state)
{
	struct buf out = BUF_INIT;

	(void)state;
	assert_int_equal(acl_text_of_mode(04751, &out), 0);
	assert_int_equal(buf_append_byte(&out, 0), 0);
	assert_string_equal((const char *)out.p, "user::rwx\ngroup::r-x\nother::--x");
	buf_fini(&out);
}

static void minimal_is_what_a_mode_can_say(void **state)
{
	(void)state;
	assert_true(acl_is_minimal(bytes_str("")));
	assert_true(acl_is_minimal(bytes_str("user::rw-\ngroup::r--\nother::---")));
	assert_true(acl_is_minimal(bytes_str("# no\nuser::rw-\n\ngroup::r--\nother::---\n")));
	assert_false(
		acl_is_minimal(bytes_str("user::rw-\nuser:root:r--:0\ngroup::r--\nmask::r--\n"
					 "other::---")));
	assert_false(acl_is_minimal(bytes_str("user::rw-\ngroup::r--\nmask::r--\nother::---")));
}

static void names_are_looked_up_once(void **state)
{
	struct owner_cache *owners = owner_cache_new();
	uint8_t longest[300];

	(void)state;
	memset(longest, 'x', sizeof(longest));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(owner_uid(owners, bytes_str("root"), 7), 0);
		assert_int_equal(owner_gid(owners, bytes_str("root"), 7), 0);
		assert_int_equal(owner_uid(owners, bytes_str("no-such-user-here"), 7), 7);
		assert_int_equal(owner_gid(owners, bytes_str("no-such-user-here"), 8), 8);
		assert_int_equal(owner_uid(owners, bytes_str(""), 9), 9);
		assert_int_equal(
			owner_uid(owners, (struct bytes){ (const uint8_t *)"root\0x", 6 }, 5),
			5);
		assert_int_equal(
			owner_uid(owners, (struct bytes){ longest, sizeof(longest) }, 6), 6);
	}
	owner_cache_free(owners);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_libacl),
		cmocka_unit_test(hostile_text_is_refused_or_taken),
		cmocka_unit_test(text_of_a_mode),
		cmocka_unit_test(minimal_is_what_a_mode_can_say),
		cmocka_unit_test(names_are_looked_up_once),
	};
	int failed = run_table(rows, convert) | run_table(text_rows, tell);

	return failed | cmocka_run_group_tests(tests, NULL, NULL);
}
