/*
 * test_security.c - what the security directory makes of a repository.
 *
 * Method: rows write the files by hand as Borg does (docs/format.md "Local state directories"),
 * check, and name the error, the question asked and the files afterwards.
 */

#include "tests/support/tap.h"

#include "core/base/io.h"
#include "core/store/security.h"

#include <stdio.h>
#include <sys/stat.h>

#define HERE "/srv/repo"
#define THEN "2024-05-06T07:08:09.000000"
#define SOON "2024-05-06T07:08:09.000001"

/* In place of repo.c. */
const struct repo_config *repo_config(const struct repo *r)
{
	return &r->config;
}

const char *repo_canonical(const struct repo *r)
{
	return r->canonical;
}

#define UNKNOWN   "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK"
#define RELOCATED "BORG_RELOCATED_REPO_ACCESS_IS_OK"

static const struct row {
	const char *name;
	enum key_type type;
	bool passphrase_empty;
	const char *location, *key_type, *timestamp; /* files before; NULL: none */
	const char *question;                        /* the variable, or NULL */
	bool answer;
	const char *msgid; /* NULL: accepted */
	const char *location_after, *key_type_after, *timestamp_after;
} rows[] = {
	{ "unknown, encrypted: remembered", KEY_REPOKEY, false, NULL, NULL, NULL, NULL, false,
	  NULL, HERE, "3", THEN },
	{ "known", KEY_REPOKEY, false, HERE, "3", THEN, NULL, false, NULL, HERE, "3", THEN },
	{ "known and newer: only remembered with a commit", KEY_REPOKEY, false, HERE, "3",
	  "2020-01-01T00:00:00.000000", NULL, false, NULL, HERE, "3",
	  "2020-01-01T00:00:00.000000" },
	{ "unknown, no encryption, yes", KEY_PLAINTEXT, true, NULL, NULL, NULL, UNKNOWN, true,
	  NULL, HERE, "2", THEN },
	{ "unknown, no encryption, no", KEY_PLAINTEXT, true, NULL, NULL, NULL, UNKNOWN, false,
	  "Cache.CacheInitAbortedError", NULL, NULL, NULL },
	{ "unknown, authenticated with a passphrase", KEY_BLAKE2_AUTHENTICATED, false, NULL,
	  NULL, NULL, UNKNOWN, true, NULL, HERE, "6", THEN },
	{ "unknown, repokey without a passphrase", KEY_REPOKEY, true, NULL, NULL, NULL, UNKNOWN,
	  false, "Cache.CacheInitAbortedError", NULL, NULL, NULL },
	{ "unknown, key file without a passphrase", KEY_BLAKE2_KEYFILE, true, NULL, NULL, NULL,
	  NULL, false, NULL, HERE, "4", THEN },
	{ "half known is unknown", KEY_PLAINTEXT, true, HERE, "2", NULL, UNKNOWN, false,
	  "Cache.CacheInitAbortedError", HERE, "2", NULL },
	{ "half known, encrypted: completed", KEY_REPOKEY, false, HERE, NULL, NULL, NULL, false,
	  NULL, HERE, "3", THEN },
	{ "moved, yes", KEY_REPOKEY, false, "/old", "3", THEN, RELOCATED, true, NULL, HERE, "3",
	  THEN },
	{ "moved, no", KEY_REPOKEY, false, "/old", "3", THEN, RELOCATED, false,
	  "Cache.RepositoryAccessAborted", "/old", "3", THEN },
	{ "moved and replayed: the place is asked first and kept", KEY_REPOKEY, false, "/old",
	  "3", SOON, RELOCATED, true, "Cache.RepositoryReplay", HERE, "3", SOON },
	{ "an empty location says nothing", KEY_REPOKEY, false, "", "3", THEN, NULL, false,
	  NULL, "", "3", THEN },
	{ "another type of key", KEY_REPOKEY, false, HERE, "5", THEN, NULL, false,
	  "Cache.EncryptionMethodMismatch", HERE, "5", THEN },
	{ "encryption gone", KEY_PLAINTEXT, true, HERE, "3", THEN, NULL, false,
	  "Cache.EncryptionMethodMismatch", HERE, "3", THEN },
	{ "type of key and time wrong: type first", KEY_REPOKEY, false, HERE, "5", SOON, NULL,
	  false, "Cache.EncryptionMethodMismatch", HERE, "5", SOON },
	{ "damaged type", KEY_REPOKEY, false, HERE, "3\n", THEN, NULL, false,
	  "Cache.EncryptionMethodMismatch", HERE, "3\n", THEN },
	{ "older than remembered", KEY_REPOKEY, false, HERE, "3", SOON, NULL, false,
	  "Cache.RepositoryReplay", HERE, "3", SOON },
	{ "older than remembered, no encryption", KEY_PLAINTEXT, true, HERE, "2", SOON, NULL,
	  false, "Cache.RepositoryIDNotUnique", HERE, "2", SOON },
	{ "half known, but older", KEY_REPOKEY, false, NULL, NULL, SOON, NULL, false,
	  "Cache.RepositoryReplay", NULL, NULL, SOON },
};

struct person {
	const struct row *row;
	unsigned asked;
};

static bool answer(void *arg, const char *msgid, const char *text, const char *false_text,
		   const char *env_name)
{
	struct person *p = arg;

	p->asked++;
	assert_non_null(p->row->question);
	assert_string_equal(env_name, p->row->question);
	assert_string_equal(msgid, p->row->question);
	assert_string_equal(false_text, "Aborting.");
	if (strcmp(env_name, UNKNOWN) == 0)
		assert_string_equal(text, "Warning: Attempting to access a previously unknown "
					  "unencrypted repository!\n"
					  "Do you want to continue? [yN] ");
	else
		assert_string_equal(text, "Warning: The repository at location " HERE
					  " was previously located at /old\n"
					  "Do you want to continue? [yN] ");
	return p->row->answer;
}

static char *file_in(const char *dir, const char *name)
{
	char *path;

	assert_true(asprintf(&path, "%s/%064d/%s", dir, 0, name) > 0);
	return path;
}

static void write_file(const char *dir, const char *name, const char *text)
{
	char *path = file_in(dir, name);

	if (text)
		assert_int_equal(file_replace(path, bytes_str(text), 0600, NULL), 0);
	free(path);
}

static void expect_file(const char *dir, const char *name, const char *text)
{
	char *path = file_in(dir, name);
	struct buf got = BUF_INIT;
	struct stat st;
	int rc = file_read(-1, path, 1000, &got, NULL);

	if (text) {
		assert_int_equal(rc, 0);
		assert_true(bytes_is(buf_bytes(&got), text));
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
	} else {
		assert_int_equal(rc, -ENOENT);
	}
	buf_fini(&got);
	free(path);
}

static void check(const void *arg)
{
	const struct row *row = arg;
	char here[] = HERE;
	struct repo repo = { .canonical = here };
	struct key key = { .traits = key_traits((uint8_t)row->type),
			   .passphrase_empty = row->passphrase_empty };
	struct person person = { .row = row };
	struct prompt prompt = { .arg = &person, .confirm = answer };
	char *dir = test_dir_make();
	char *inner = file_in(dir, "");
	struct err e = ERR_INIT;
	int rc;

	setenv("BORG_SECURITY_DIR", dir, 1);
	assert_int_equal(make_dirs(inner, 0700, NULL), 0);
	write_file(dir, "location", row->location);
	write_file(dir, "key-type", row->key_type);
	write_file(dir, "manifest-timestamp", row->timestamp);
	rc = security_check(&repo, &key, THEN, &prompt, &e);
	if (row->msgid) {
		assert_true(rc < 0);
		assert_string_equal(e.msgid, row->msgid);
	} else {
		assert_int_equal(rc, 0);
	}
	assert_int_equal(person.asked, row->question ? 1 : 0);
	expect_file(dir, "location", row->location_after);
	expect_file(dir, "key-type", row->key_type_after);
	expect_file(dir, "manifest-timestamp", row->timestamp_after);
	free(inner);
	test_dir_remove(dir);
}

static void nobody_to_ask_is_no(void **state)
{
	char here[] = HERE;
	struct repo repo = { .canonical = here };
	struct key key = { .traits = key_traits(KEY_PLAINTEXT) };
	char *dir = test_dir_make();
	struct err e = ERR_INIT;

	(void)state;
	setenv("BORG_SECURITY_DIR", dir, 1);
	assert_true(security_check(&repo, &key, THEN, NULL, &e) < 0);
	assert_string_equal(e.msg, "Cache initialization aborted");
	test_dir_remove(dir);
}

static void what_the_manifest_says_about_tams(void **state)
{
	char here[] = HERE;
	struct repo repo = { .canonical = here };
	char *dir = test_dir_make();

	(void)state;
	setenv("BORG_SECURITY_DIR", dir, 1);
	assert_int_equal(security_note_tam(&repo, false, NULL), 0);
	expect_file(dir, "tam_required", NULL);
	assert_int_equal(security_note_tam(&repo, true, NULL), 0);
	expect_file(dir, "tam_required", "");
	assert_int_equal(security_note_tam(&repo, true, NULL), 0);
	expect_file(dir, "tam_required", "");
	assert_int_equal(security_note_tam(&repo, false, NULL), 0);
	expect_file(dir, "tam_required", NULL);
	test_dir_remove(dir);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_to_ask_is_no),
		cmocka_unit_test(what_the_manifest_says_about_tams),
	};
	int failed = run_table(rows, check);

	return failed | cmocka_run_group_tests(tests, NULL, NULL);
}
