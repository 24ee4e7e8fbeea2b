/*
 * test_command.c - words as a POSIX shell would see them; programs run without one.
 *
 * The expected words are what Python's shlex.split() gives, which is what Borg uses.
 */

#include "tests/support/tap.h"

#include "core/platform/command.h"

static const struct row {
	const char *name;
	const char *text;
	const char *words[5];
	const char *fails; /* part of the sentence */
} rows[] = {
	{ "plain words", "cat  /etc/x\t-n\n", { "cat", "/etc/x", "-n" }, NULL },
	{ "nothing", " \t\n", { NULL }, NULL },
	{ "single quotes are literal", "a 'b \\ \" c'd", { "a", "b \\ \" cd" }, NULL },
	{ "double quotes know two escapes",
	  "\"a\\\"b\\\\c\\n $x\"",
	  { "a\"b\\c\\n $x" },
	  NULL },
	{ "backslash outside quotes", "a\\ b\\'c", { "a b'c" }, NULL },
	{ "an empty word", "a '' \"\"b", { "a", "", "b" }, NULL },
	{ "no comments", "a #b", { "a", "#b" }, NULL },
	{ "nothing is expanded",
	  "$HOME ~ * `x` a;b|c",
	  { "$HOME", "~", "*", "`x`", "a;b|c" },
	  NULL },
	{ "open single quote", "a 'b", { NULL }, "No closing quotation" },
	{ "open double quote", "\"b\\\"", { NULL }, "No closing quotation" },
	{ "backslash at the end", "a\\", { NULL }, "No escaped character" },
};

static void split(const void *arg)
{
	const struct row *row = arg;
	char **words = NULL;
	struct err e = ERR_INIT;
	size_t i = 0;

	assert_int_equal(command_split(row->text, &words, &e), row->fails ? -EINVAL : 0);
	if (row->fails) {
		assert_string_equal(e.msg, row->fails);
		return;
	}
	for (; i < 5 && row->words[i]; i++)
		assert_string_equal(words[i], row->words[i]);
	assert_null(words[i]);
	command_words_free(words);
}

static const struct run {
	const char *name;
	const char *text;
	size_t max;
	const char *output; /* or NULL */
	int rc;
	const char *says;
} runs[] = {
	{ "output", "printf 'a b\\n'", 64, "a b\n", 0, "" },
	{ "just enough room", "printf 1234", 4, "1234", 0, "" },
	{ "too much output", "printf 12345", 4, NULL, -EFBIG, "printf" },
	{ "endless output", "yes", 100, NULL, -EFBIG, "yes" },
	{ "status", "sh -c 'exit 3'", 64, NULL, -ECANCELED,
	  "Command '['sh', '-c', 'exit 3']' returned non-zero exit status 3." },
	{ "no such program", "/nonexistent/x", 64, NULL, -ENOENT,
	  "[Errno 2] No such file or directory: '/nonexistent/x'" },
	{ "killed", "sh -c 'kill -9 $$'", 64, NULL, -ECANCELED,
	  "Command '['sh', '-c', 'kill -9 $$']' died with <Signals.SIGKILL: 9>." },
	{ "no word", "", 64, NULL, -EINVAL, "empty" },
	{ "the passphrase stays here", "sh -c 'echo ${BORG_PASSPHRASE-none} $OTHER'", 64,
	  "none kept\n", 0, "" },
};

static void run(const void *arg)
{
	const struct run *row = arg;
	char **words = NULL;
	struct secret *out = NULL;
	struct err e = ERR_INIT;

	setenv("BORG_PASSPHRASE", "secret", 1);
	setenv("OTHER", "kept", 1);
	assert_int_equal(command_split(row->text, &words, &e), 0);
	assert_int_equal(command_output(words, row->max, &out, &e), row->rc);
	assert_non_null(strstr(e.msg, row->says));
	if (row->output) {
		assert_int_equal(out->len, strlen(row->output));
		assert_memory_equal(out->p, row->output, out->len);
	}
	secret_free(out);
	command_words_free(words);
}

int main(void)
{
	int failed = run_table(rows, split);

	return failed | run_table(runs, run);
}
