/*
 * test_keyring.c - from the type of the manifest object to an unlocked key.
 *
 * Keys and key files are those stock borg wrote into the golden repositories; their passphrase is
 * "test".  A scripted person answers the questions.
 */

#include "tests/support/tap.h"

#include "core/base/io.h"
#include "core/store/keyring.h"
#include "tests/support/golden.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCATION "/srv/backup"

struct person {
	const char *const *answers; /* NULL-terminated; none left: nobody is there */
	const char *text;
	unsigned asked;
};

static int type_passphrase(void *arg, const char *text, struct secret **out, struct err *e)
{
	struct person *p = arg;

	(void)e;
	assert_string_equal(text, p->text);
	if (!p->answers || !p->answers[p->asked])
		return -ENOTTY;
	*out = secret_copy(bytes_str(p->answers[p->asked++]));
	return 0;
}

/* The option `key` of the repository's configuration, lines joined as Borg's parser does. */
static char *config_key(const char *repo)
{
	char *path = path_join(repo, "config");
	struct buf text = BUF_INIT;
	char *key, *at;

	assert_int_equal(file_read(AT_FDCWD, path, 1 << 20, &text, NULL), 0);
	assert_int_equal(buf_append(&text, "", 1), 0);
	at = strstr((char *)text.p, "\nkey = ");
	key = at ? strdup(at + strlen("\nkey = ")) : NULL;
	for (char *from = key, *to = key; key; from++) {
		if (*from != '\t')
			*to++ = *from;
		if (!*from)
			break;
	}
	buf_fini(&text);
	free(path);
	return key;
}

static struct repo repo_of(const struct golden *g)
{
	static char location[] = LOCATION;
	struct repo r = { .canonical = location };
	const char *id = json_string_value(json_object_get(g->repository, "repository_id"));

	assert_int_equal(id_parse(&r.config.id, bytes_str(id)), 0);
	r.config.key = config_key(g->repo);
	return r;
}

static void no_sources(void)
{
	unsetenv("BORG_PASSPHRASE");
	unsetenv("BORG_PASSCOMMAND");
	unsetenv("BORG_PASSPHRASE_FD");
	unsetenv("BORG_WORKAROUNDS");
	unsetenv("BORG_KEY_FILE");
}

static int unlock(struct repo *r, uint8_t type, struct person *person, struct key **key,
		  struct err *e)
{
	struct prompt prompt = { .arg = person, .passphrase = type_passphrase };

	return keyring_unlock(key, r, (struct bytes){ &type, 1 }, &prompt, e);
}

#define NOBODY                                                                                 \
	"can not acquire a passphrase: BORG_PASSPHRASE is not set. BORG_PASSCOMMAND is not "   \
	"set. Interactive password query failed."
#define WRONG                                                                                  \
	"passphrase supplied in BORG_PASSPHRASE, by BORG_PASSCOMMAND or via "                  \
	"BORG_PASSPHRASE_FD is incorrect."

static const struct row {
	const char *name;
	const char *golden;
	uint8_t type;
	const char *passphrase, *command, *descriptor; /* its content, or NULL */
	const char *descriptor_text;                   /* the variable instead, or NULL */
	const char *answers[5];
	unsigned asked;
	const char *msgid, *says; /* NULL: unlocked */
} rows[] = {
	{ "repokey, passphrase", "enc-repokey", 3, .passphrase = "test" },
	{ "repokey-blake2", "enc-repokey-blake2", 5, .passphrase = "test" },
	{ "keyfile", "enc-keyfile", 0, .passphrase = "test" },
	{ "keyfile-blake2", "enc-keyfile-blake2", 4, .passphrase = "test" },
	{ "authenticated", "enc-authenticated", 7, .passphrase = "test" },
	{ "authenticated-blake2", "enc-authenticated-blake2", 6, .passphrase = "test" },
	{ "legacy objects after migration", "enc-repokey", 1, .passphrase = "test" },
	{ "wrong passphrase: no question", "enc-repokey", 3, .passphrase = "nope",
	  .answers = { "test" }, .msgid = "PassphraseWrong", .says = WRONG },
	{ "empty passphrase counts as given", "enc-repokey", 3, .passphrase = "",
	  .command = "echo test", .msgid = "PassphraseWrong", .says = WRONG },
	{ "command", "enc-repokey", 3, .command = "printf 'te%s' st" },
	{ "line ends of a command's output go", "enc-repokey", 3,
	  .command = "printf 'test\\r\\n\\n'" },
	{ "blanks of a command's output stay", "enc-repokey", 3, .command = "echo 'test '",
	  .msgid = "PassphraseWrong", .says = WRONG },
	{ "the passphrase wins over the command", "enc-repokey", 3, .passphrase = "test",
	  .command = "false" },
	{ "failing command", "enc-repokey", 3, .command = "false 'a b' \"c'd\"",
	  .msgid = "PasscommandFailure",
	  .says = "passcommand supplied in BORG_PASSCOMMAND failed: Command '['false', 'a b', "
		  "\"c'd\"]' returned non-zero exit status 1." },
	{ "missing command", "enc-repokey", 3, .command = "/nonexist",
	  .msgid = "PasscommandFailure",
	  .says = "passcommand supplied in BORG_PASSCOMMAND failed: [Errno 2] No such file or "
		  "directory: '/nonexist'" },
	{ "command with an open quote", "enc-repokey", 3, .command = "echo 'test",
	  .msgid = "PasscommandFailure",
	  .says = "passcommand supplied in BORG_PASSCOMMAND failed: No closing quotation" },
	{ "empty command", "enc-repokey", 3, .command = "", .msgid = "PasscommandFailure",
	  .says = "empty" },
	{ "descriptor", "enc-repokey", 3, .descriptor = "test\n\n" },
	{ "wrong descriptor", "enc-repokey", 3, .descriptor = "tset\n",
	  .msgid = "PassphraseWrong", .says = WRONG },
	{ "closed descriptor", "enc-repokey", 3, .descriptor_text = "987", .msgid = NULL,
	  .says = "BORG_PASSPHRASE_FD: cannot read from 987" },
	{ "no number is no descriptor", "enc-repokey", 3, .descriptor_text = "3x",
	  .answers = { "test" }, .asked = 1 },
	{ "the third answer is right", "enc-repokey", 3, .answers = { "a", "", "test" },
	  .asked = 3 },
	{ "three wrong answers", "enc-repokey", 3, .answers = { "a", "b", "c", "test" },
	  .asked = 3, .msgid = "PasswordRetriesExceeded",
	  .says = "exceeded the maximum password retries" },
	{ "nobody there", "enc-repokey", 3, .msgid = "NoPassphraseFailure", .says = NOBODY },
	{ "nobody any more", "enc-repokey", 3, .answers = { "a" }, .asked = 1,
	  .msgid = "NoPassphraseFailure", .says = NOBODY },
	{ "no encryption", "enc-none", 2, .passphrase = NULL },
	{ "a repokey type where there is none", "enc-none", 3, .passphrase = "test",
	  .msgid = "RepoKeyNotFoundError",
	  .says = "No key entry found in the config of repository " LOCATION "." },
	{ "unknown type", "enc-repokey", 0x55, .passphrase = "test",
	  .msgid = "UnsupportedPayloadError",
	  .says = "Unsupported payload type 85. A newer version is required to access this "
		  "repository." },
};

static void set_sources(const struct row *row)
{
	char number[16];

	no_sources();
	if (row->passphrase)
		setenv("BORG_PASSPHRASE", row->passphrase, 1);
	if (row->command)
		setenv("BORG_PASSCOMMAND", row->command, 1);
	if (row->descriptor) {
		snprintf(number, sizeof(number), "%d",
			 memory_file(row->descriptor, strlen(row->descriptor)));
		setenv("BORG_PASSPHRASE_FD", number, 1);
	}
	if (row->descriptor_text)
		setenv("BORG_PASSPHRASE_FD", row->descriptor_text, 1);
}

static void source(const void *arg)
{
	const struct row *row = arg;
	struct golden *g = golden_open(row->golden);
	struct repo r = repo_of(g);
	struct person person = { .answers = row->answers,
				 .text = "Enter passphrase for key " LOCATION ": " };
	struct key *key = NULL;
	struct err e = ERR_INIT;
	int rc;

	set_sources(row);
	rc = unlock(&r, row->type, &person, &key, &e);
	assert_int_equal(person.asked, row->asked);
	if (row->says) {
		assert_true(rc < 0);
		assert_non_null(strstr(e.msg, row->says));
		if (row->msgid)
			assert_string_equal(e.msgid, row->msgid);
	} else {
		assert_int_equal(rc, 0);
		assert_int_equal(key->traits->type, row->type == 1 ? 3 : row->type);
		if (row->type != KEY_PLAINTEXT)
			assert_true(id_equal(&key->repository_id, &r.config.id));
	}
	key_close(key);
	free(r.config.key);
	golden_close(g);
}

static void empty_passphrase_is_tried_silently(void **state)
{
	(void)state;
	/* A key file is asked for by its path, and only after the empty passphrase failed. */
	struct golden *g = golden_open("enc-keyfile");
	struct repo r = repo_of(g);
	const char *const answers[] = { "test", NULL };
	char *text;
	struct person person = { .answers = answers };
	struct key *key = NULL;

	no_sources();
	assert_true(asprintf(&text, "Enter passphrase for key %s: ", g->key_file) > 0);
	person.text = text;
	assert_int_equal(unlock(&r, 0, &person, &key, NULL), 0);
	assert_int_equal(person.asked, 1);
	key_close(key);
	free(text);
	free(r.config.key);
	golden_close(g);
}

static void workaround_needs_no_key(void **state)
{
	struct golden *g = golden_open("enc-authenticated");
	struct repo r = repo_of(g);
	struct person person = { .text = "Enter passphrase for key " LOCATION ": " };
	struct key *key = NULL;

	(void)state;
	no_sources();
	setenv("BORG_WORKAROUNDS", "basesyncfile,xauthenticated_no_key", 1);
	assert_int_equal(unlock(&r, 7, &person, &key, NULL), -ENOTTY);
	setenv("BORG_WORKAROUNDS", "basesyncfile,authenticated_no_key", 1);
	assert_int_equal(unlock(&r, 7, &person, &key, NULL), 0);
	assert_int_equal(key->id_key.len, 0);
	key_close(key);
	free(r.config.key);
	golden_close(g);
}

static const struct config_row {
	const char *name;
	const char *key; /* the option's text; NULL: none */
	const char *msgid;
} config_rows[] = {
	{ "no option", NULL, "RepoKeyNotFoundError" },
	{ "empty", "", "RepoKeyNotFoundError" },
	{ "blanks", " \n\t", "RepoKeyNotFoundError" },
	{ "not base64", "A", "KeyfileInvalidError" },
	{ "short", "aGVsbG8=", "KeyfileInvalidError" },
	{ "not a map",
	  "aGVsbG8gd29ybGQsIGhlbGxvIHdvcmxkLCBoZWxsbyB3b3JsZA==", "KeyfileInvalidError" },
};

static void damaged_config(const void *arg)
{
	const struct config_row *row = arg;
	char location[] = LOCATION;
	struct repo r = { .canonical = location };
	struct key *key = NULL;
	struct err e = ERR_INIT;

	no_sources();
	setenv("BORG_PASSPHRASE", "test", 1);
	r.config.key = row->key ? strdup(row->key) : NULL;
	assert_true(unlock(&r, 3, NULL, &key, &e) < 0);
	assert_non_null(e.msgid);
	assert_string_equal(e.msgid, row->msgid);
	free(r.config.key);
}

/* --- key files --- */

static void put(const char *dir, const char *name, const void *p, size_t len)
{
	char *path = path_join(dir, name);

	assert_int_equal(file_replace(path, (struct bytes){ p, len }, 0600, NULL), 0);
	free(path);
}

static struct buf key_text(const struct golden *g)
{
	struct buf text = BUF_INIT;

	assert_int_equal(file_read(AT_FDCWD, g->key_file, 1 << 16, &text, NULL), 0);
	return text;
}

static void found_among_others(void **state)
{
	struct golden *g = golden_open("enc-keyfile");
	struct repo r = repo_of(g);
	char *dir = test_dir_make();
	struct buf text = key_text(g);
	uint8_t *other = malloc(text.len);
	char *path = NULL, *want = path_join(dir, "m-ours"), *fifo = path_join(dir, "f-fifo");
	struct err e = ERR_INIT;

	(void)state;
	setenv("BORG_KEYS_DIR", dir, 1);
	memcpy(other, text.p, text.len);
	other[20] = other[20] == '0' ? '1' : '0'; /* in the id */
	put(dir, "a-binary",
	    "\xff\x00\xfe"
	    "BORG_KEY ",
	    12);
	put(dir, "b-empty", "", 0);
	put(dir, "c-other", other, text.len);
	put(dir, "d-head-only", text.p, 9 + 64);
	put(dir, "z-cut-head", text.p, 40);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(keyring_find_file(&r, &path, &e), -ENOENT);
	assert_string_equal(e.msgid, "KeyfileNotFoundError");
	assert_non_null(strstr(e.msg, dir));
	put(dir, "m-ours", text.p, text.len);
	assert_int_equal(keyring_find_file(&r, &path, &e), 0);
	assert_string_equal(path, want);
	free(path);
	free(want);
	free(fifo);
	free(other);
	buf_fini(&text);
	test_dir_remove(dir);
	free(r.config.key);
	golden_close(g);
}

static const struct file_row {
	const char *name;
	size_t keep;      /* bytes of the real key file; SIZE_MAX: all */
	size_t insert_at; /* where `insert` goes */
	const char *insert;
	size_t repeat;     /* how often */
	const char *msgid; /* NULL: found */
} file_rows[] = {
	{ "as Borg wrote it", SIZE_MAX, 0, "", 0, NULL },
	{ "blanks behind the id", SIZE_MAX, 73, " \t\r", 1, NULL },
	{ "more behind the id", SIZE_MAX, 73, "x", 1, "KeyfileInvalidError" },
	{ "something before", SIZE_MAX, 0, "#", 1, "KeyfileInvalidError" },
	{ "another id", SIZE_MAX, 9, "0", 1, "KeyfileMismatchError" },
	{ "empty", 0, 0, "", 0, "KeyfileInvalidError" },
	{ "cut in the id", 30, 0, "", 0, "KeyfileMismatchError" },
	{ "one line", 74, 0, "", 0, "KeyfileInvalidError" },
	{ "too short", 90, 0, "", 0, "KeyfileInvalidError" },
	{ "endless", SIZE_MAX, 73, "          ", 100000, "KeyfileInvalidError" },
};

static void named_file(const void *arg)
{
	const struct file_row *row = arg;
	struct golden *g = golden_open("enc-keyfile");
	struct repo r = repo_of(g);
	char *dir = test_dir_make();
	struct buf text = key_text(g), changed = BUF_INIT;
	char *path = NULL, *want = path_join(dir, "key"),
	     *named = path_join(dir, "x/..//./key");
	struct err e = ERR_INIT;
	int rc;

	if (row->keep < text.len)
		text.len = row->keep;
	buf_append(&changed, text.p, row->insert_at);
	for (size_t i = 0; i < row->repeat; i++)
		buf_append_str(&changed, row->insert);
	buf_append(&changed, text.p + row->insert_at, text.len - row->insert_at);
	put(dir, "key", changed.p, changed.len);
	setenv("BORG_KEY_FILE", named, 1);
	rc = keyring_find_file(&r, &path, &e);
	/* `x` need not exist: the name is shortened as text, as Borg does. */
	if (row->msgid) {
		assert_true(rc < 0);
		assert_string_equal(e.msgid, row->msgid);
	} else {
		assert_int_equal(rc, 0);
		assert_string_equal(path, want);
	}
	unsetenv("BORG_KEY_FILE");
	free(path);
	free(want);
	free(named);
	buf_fini(&text);
	buf_fini(&changed);
	test_dir_remove(dir);
	free(r.config.key);
	golden_close(g);
}

static void named_file_is_missing(void **state)
{
	struct golden *g = golden_open("enc-keyfile");
	struct repo r = repo_of(g);
	char *path = NULL;
	struct err e = ERR_INIT;

	(void)state;
	setenv("BORG_KEY_FILE", "/nonexistent/key", 1);
	assert_int_equal(keyring_find_file(&r, &path, &e), -ENOENT);
	assert_string_equal(e.msgid, "KeyfileNotFoundError");
	setenv("BORG_KEY_FILE", "/", 1);
	assert_true(keyring_find_file(&r, &path, &e) < 0);
	unsetenv("BORG_KEY_FILE");
	free(r.config.key);
	golden_close(g);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_passphrase_is_tried_silently),
		cmocka_unit_test(workaround_needs_no_key),
		cmocka_unit_test(found_among_others),
		cmocka_unit_test(named_file_is_missing),
	};
	int failed = run_table(rows, source);

	failed |= run_table(config_rows, damaged_config);
	failed |= run_table(file_rows, named_file);
	return failed | cmocka_run_group_tests(tests, NULL, NULL);
}
