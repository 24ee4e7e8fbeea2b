/*
 * passphrase.c - see passphrase.h.
 *
 * The passphrase is read from /dev/tty with echo off, or from standard input where there is no
 * terminal.  The terminal's settings are kept outside the function that changes them, because a
 * signal may have to restore them from another thread.
 */

#include "tools/passphrase.h"

#include "core/base/bytes.h"
#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "core/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4096 };

static struct { /* how the terminal was before echo went off */
	atomic_int fd;
	struct termios before;
} silenced = { .fd = -1 };

void terminal_restore(void)
{
	int fd = atomic_exchange(&silenced.fd, -1);

	if (fd >= 0)
		(void)tcsetattr(fd, TCSAFLUSH, &silenced.before);
}

static void echo_off(int fd)
{
	struct termios quiet;

	if (tcgetattr(fd, &silenced.before) < 0)
		return;
	quiet = silenced.before;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	atomic_store(&silenced.fd, fd);
	(void)tcsetattr(fd, TCSAFLUSH, &quiet);
}

/* One line without its newline, byte by byte so that nothing behind it is taken from the
 * stream; the length, or -1 at the end of the file. */
static ssize_t read_line(int fd, char *out, size_t size)
{
	size_t len = 0;

	for (;;) {
		char c;
		ssize_t n = read(fd, &c, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return len > 0 ? (ssize_t)len : -1;
		if (c == '\n')
			return (ssize_t)len;
		if (len < size)
			out[len++] = c;
	}
}

static void say(int fd, const char *text)
{
	(void)write_all(fd, text, strlen(text));
}

static int ask_passphrase(void *arg, const char *text, struct secret **out, struct err *e)
{
	CLEANUP(secret_freep) struct secret *typed = secret_new(LINE_MAX_BYTES);
	CLEANUP(cleanup_closep) int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	int in = tty >= 0 ? tty : STDIN_FILENO;
	ssize_t n;

	(void)arg;
	if (!typed)
		return err_nomem(e, "passphrase");
	say(tty >= 0 ? tty : STDERR_FILENO, text);
	echo_off(in);
	n = read_line(in, (char *)typed->p, typed->len);
	terminal_restore();
	say(tty >= 0 ? tty : STDERR_FILENO, "\n");
	if (n < 0)
		return -ENOTTY;
	*out = secret_copy((struct bytes){ typed->p, (size_t)n });
	return *out ? 0 : err_nomem(e, "passphrase");
}

/* --- yes or no --- */

enum answer { ANSWER_TRUE, ANSWER_FALSE, ANSWER_DEFAULT, ANSWER_INVALID };

static bool is_one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(text, *words) == 0)
			return true;
	return false;
}

static enum answer understand(const char *text)
{
	static const char *const yes[] = { "Yes", "YES", "yes", "Y", "y", "1", NULL };
	static const char *const no[] = { "No", "NO", "no", "N", "n", "0", NULL };
	static const char *const dflt[] = {
		"Default", "DEFAULT", "default", "D", "d", "", NULL
	};

	if (is_one_of(text, yes))
		return ANSWER_TRUE;
	if (is_one_of(text, no))
		return ANSWER_FALSE;
	return is_one_of(text, dflt) ? ANSWER_DEFAULT : ANSWER_INVALID;
}

static void report(const char *type, const char *msgid, const char *message,
		   const char *env_var, bool newline)
{
	CLEANUP(cleanup_freep) char *line = NULL;
	json_t *o;

	if (!message)
		return;
	if (!log_is_json()) {
		say(STDERR_FILENO, message);
		if (newline)
			say(STDERR_FILENO, "\n");
		return;
	}
	o = json_object();
	if (env_var)
		json_object_set_new(o, "env_var", json_string(env_var));
	json_object_set_new(o, "type", json_string(type));
	json_object_set_new(o, "msgid", msgid ? json_string(msgid) : json_null());
	json_object_set_new(o, "message", json_string(message));
	line = json_dumps(o, 0);
	json_decref(o);
	if (line)
		log_raw_line(line);
}

/* What was typed, or the variable says; line has room for LINE_MAX_BYTES and a NUL. */
static const char *ask(const char *msgid, const char *text, const char *env_name, char *line)
{
	const char *env = env_name ? getenv(env_name) : NULL;
	CLEANUP(cleanup_freep) char *shown = NULL;
	ssize_t n;

	report("question_prompt", msgid, text, NULL, false);
	if (env) {
		if (asprintf(&shown, "%s (from %s)", env, env_name) < 0)
			shown = NULL;
		report("question_env_answer", msgid, shown, env_name, true);
		return env;
	}
	n = read_line(STDIN_FILENO, line, LINE_MAX_BYTES);
	line[n > 0 ? n : 0] = 0;
	return n < 0 ? "No" : line;
}

static bool confirm(void *arg, const char *msgid, const char *text, const char *false_text,
		    const char *env_name)
{
	char line[LINE_MAX_BYTES + 1];

	(void)arg;
	switch (understand(ask(msgid, text, env_name, line))) {
	case ANSWER_TRUE: return true;
	case ANSWER_FALSE:
		report("question_accepted_false", msgid, false_text, NULL, true);
		return false;
	case ANSWER_DEFAULT:
	case ANSWER_INVALID: break;
	}
	return false;
}

bool terminal_confirm_danger(const char *text, const char *env_name)
{
	char line[LINE_MAX_BYTES + 1];
	const char *answer = ask(NULL, text, env_name, line);

	if (strcmp(answer, "YES") == 0)
		return true;
	if (understand(answer) == ANSWER_FALSE)
		report("question_accepted_false", NULL, "Aborting.", NULL, true);
	else if (understand(answer) != ANSWER_DEFAULT)
		report("question_invalid_answer", NULL, "Invalid answer, aborting.", NULL,
		       true);
	return false;
}

ssize_t terminal_line(char *out, size_t size)
{
	ssize_t n = read_line(STDIN_FILENO, out, size - 1);

	out[n > 0 ? n : 0] = 0;
	return n;
}

static bool wants_display(void)
{
	static const char var[] = "BORG_DISPLAY_PASSPHRASE";
	static const char question[] =
		"Do you want your passphrase to be displayed for verification? [yN]: ";
	char line[LINE_MAX_BYTES + 1];
	enum answer answer = understand(ask(var, question, var, line));

	while (answer == ANSWER_INVALID) {
		report("question_invalid_answer", var, "Invalid answer, try again.", NULL,
		       true);
		answer = understand(ask(var, question, NULL, line));
	}
	return answer == ANSWER_TRUE;
}

static void say_hex(struct bytes b)
{
	char hex[3];

	for (size_t i = 0; i < b.len; i++) {
		snprintf(hex, sizeof(hex), "%02x", b.p[i]);
		say(STDERR_FILENO, hex);
	}
	secret_wipe(hex, sizeof(hex));
}

/* Straight to the terminal, piece by piece: it is copied nowhere. */
static void display(void *arg, struct bytes passphrase)
{
	bool ascii = true;

	(void)arg;
	if (!wants_display())
		return;
	say(STDERR_FILENO, "Your passphrase (between double-quotes): \"");
	(void)write_all(STDERR_FILENO, passphrase.p, passphrase.len);
	say(STDERR_FILENO, "\"\nMake sure the passphrase displayed above is exactly what you "
			   "wanted.\n");
	for (size_t i = 0; i < passphrase.len; i++)
		ascii &= passphrase.p[i] < 0x80;
	if (ascii)
		return;
	say(STDERR_FILENO, "Your passphrase (UTF-8 encoding in hex): ");
	say_hex(passphrase);
	say(STDERR_FILENO,
	    "\nAs you have a non-ASCII passphrase, it is recommended to keep the "
	    "UTF-8 encoding in hex together with the passphrase at a safe "
	    "place.\n");
}

struct prompt terminal_prompt(void)
{
	return (struct prompt){ .passphrase = ask_passphrase,
				.confirm = confirm,
				.display = display };
}
