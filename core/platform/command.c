/* command.c - see command.h. */

#include "core/platform/command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/bytes.h"
#include "core/base/version.h"

extern char **environ;

void command_words_free(char **words)
{
	for (char **w = words; w && *w; w++)
		free(*w);
	free(words);
}

static const char *skip_blanks(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

/* One word from p into out; where it ends, or NULL with *why for text no shell would take. */
static const char *word(const char *p, char *out, const char **why)
{
	char quote = 0;

	for (; *p && (quote || !strchr(" \t\r\n", *p)); p++) {
		if (quote && *p == quote) {
			quote = 0;
		} else if (!quote && (*p == '\'' || *p == '"')) {
			quote = *p;
		} else if (*p == '\\' && quote != '\'') {
			if (!p[1]) {
				*why = "No escaped character";
				return NULL;
			}
			if (quote && p[1] != '"' && p[1] != '\\')
				*out++ = *p;
			*out++ = *++p;
		} else {
			*out++ = *p;
		}
	}
	*out = '\0';
	if (!quote)
		return p;
	*why = "No closing quotation";
	return NULL;
}

int command_split(const char *text, char ***out, struct err *e)
{
	size_t most = strlen(text) / 2 + 2; /* words and the NULL behind them */
	CLEANUP(command_words_freep) char **words = calloc(most, sizeof(*words));
	size_t count = 0;

	if (!words)
		return err_nomem(e, "command");
	for (const char *p = skip_blanks(text); *p; p = skip_blanks(p)) {
		const char *why = NULL;

		words[count] = malloc(strlen(p) + 1);
		if (!words[count])
			return err_nomem(e, "command");
		p = word(p, words[count++], &why);
		if (!p)
			return err_set(e, EINVAL, "%s", why);
	}
	*out = TAKE(words);
	return 0;
}

static bool begins(const char *variable, const char *name)
{
	return strncmp(variable, name, strlen(name)) == 0;
}

/* The environment without BORG_PASSPHRASE; the strings stay where they are. */
static char **child_environment(void)
{
	static char version[] = "BORG_VERSION=" BORG_VERSION;
	size_t count = 0, kept = 0;
	char **env;

	while (environ && environ[count])
		count++;
	env = calloc(count + 2, sizeof(*env));
	for (size_t i = 0; env && i < count; i++) {
		if (!begins(environ[i], "BORG_PASSPHRASE=") &&
		    !begins(environ[i], "BORG_VERSION="))
			env[kept++] = environ[i];
	}
	if (env)
		env[kept] = version;
	return env;
}

/* What this program ignores; the child has to be ended by these as usual. */
static sigset_t ignored_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	return set;
}

struct streams { /* of the child; negative: ours */
	int in, out;
	bool interruptible;
};

static int redirect(posix_spawn_file_actions_t *actions, const struct streams *s)
{
	int rc = s->in < 0 ? 0 : posix_spawn_file_actions_adddup2(actions, s->in, STDIN_FILENO);

	if (rc == 0 && s->out >= 0)
		rc = posix_spawn_file_actions_adddup2(actions, s->out, STDOUT_FILENO);
	return rc;
}

static int spawn(pid_t *pid, char *const *words, const struct streams *streams)
{
	CLEANUP(cleanup_freep) char **env = child_environment();
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t blocked, ignored = ignored_signals();
	int rc;

	if (!env)
		return -ENOMEM;
	sigemptyset(&blocked);
	if (!streams->interruptible)
		sigaddset(&blocked, SIGINT);
	rc = posix_spawn_file_actions_init(&actions);
	if (rc != 0)
		return -rc;
	rc = posix_spawnattr_init(&attr);
	if (rc != 0) {
		posix_spawn_file_actions_destroy(&actions);
		return -rc;
	}
	rc = redirect(&actions, streams);
	if (rc == 0)
		rc = posix_spawnattr_setsigmask(&attr, &blocked);
	if (rc == 0)
		rc = posix_spawnattr_setsigdefault(&attr, &ignored);
	if (rc == 0)
		rc = posix_spawnattr_setflags(&attr,
					      POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (rc == 0)
		rc = posix_spawnp(pid, words[0], &actions, &attr, words, env);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return -rc;
}

/* Fill `into` from fd; the number of bytes, or -errno; -EFBIG where there is more. */
static ssize_t drain(int fd, struct secret *into)
{
	size_t len = 0;

	for (;;) {
		char more;
		bool full = len == into->len;
		ssize_t n =
			full ? read(fd, &more, 1) : read(fd, into->p + len, into->len - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return (ssize_t)len;
		if (full)
			return -EFBIG;
		len += (size_t)n;
	}
}

/* Python's repr() of a list of strings, as far as it matters for reading it. */
static int append_list(struct buf *b, char *const *words)
{
	int rc = buf_append_str(b, "[");

	for (size_t i = 0; rc == 0 && words[i]; i++) {
		const char *quote =
			strchr(words[i], '\'') && !strchr(words[i], '"') ? "\"" : "'";

		if (i > 0)
			rc = buf_append_str(b, ", ");
		if (rc == 0)
			rc = buf_append_str(b, quote);
		if (rc == 0)
			rc = buf_append_str(b, words[i]);
		if (rc == 0)
			rc = buf_append_str(b, quote);
	}
	return rc == 0 ? buf_append(b, "]", 2) : rc;
}

static int check_status(int status, char *const *words, struct err *e)
{
	CLEANUP(buf_fini) struct buf list = BUF_INIT;

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (append_list(&list, words) < 0)
		return err_nomem(e, words[0]);
	if (WIFSIGNALED(status)) {
		const char *name = sigabbrev_np(WTERMSIG(status));

		return err_set(e, ECANCELED, "Command '%s' died with <Signals.SIG%s: %d>.",
			       (const char *)list.p, name ? name : "?", WTERMSIG(status));
	}
	return err_set(e, ECANCELED, "Command '%s' returned non-zero exit status %d.",
		       (const char *)list.p, WEXITSTATUS(status));
}

static int cannot_start(int rc, const char *program, struct err *e)
{
	return err_set(e, -rc, "[Errno %d] %s: '%s'", -rc, strerror(-rc), program);
}

int command_start(char *const *words, pid_t *pid, struct err *e)
{
	int rc = spawn(pid, words, &(struct streams){ -1, -1, true });

	return rc < 0 ? cannot_start(rc, words[0], e) : 0;
}

int command_start_between(char *const *words, int in_fd, int out_fd, pid_t *pid, struct err *e)
{
	int rc = spawn(pid, words, &(struct streams){ in_fd, out_fd, false });

	return rc < 0 ? cannot_start(rc, words[0], e) : 0;
}

int command_start_reading(char *const *words, pid_t *pid, int *fd, struct err *e)
{
	int fds[2], rc;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_set(e, errno, "cannot make a pipe: %s", strerror(errno));
	rc = spawn(pid, words, &(struct streams){ -1, fds[1], true });
	close(fds[1]);
	if (rc < 0) {
		close(fds[0]);
		return cannot_start(rc, words[0], e);
	}
	*fd = fds[0];
	return 0;
}

int command_output(char *const *words, size_t max, struct secret **out, struct err *e)
{
	CLEANUP(secret_freep) struct secret *scratch = NULL;
	CLEANUP(cleanup_closep) int read_end = -1;
	int fds[2], status, rc;
	ssize_t len;
	pid_t pid;

	if (!words[0])
		return err_set(e, EINVAL, "the command is empty");
	scratch = secret_new(max);
	if (!scratch)
		return err_nomem(e, words[0]);
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_set(e, errno, "cannot make a pipe: %s", strerror(errno));
	read_end = fds[0];
	rc = spawn(&pid, words, &(struct streams){ -1, fds[1], true });
	close(fds[1]);
	if (rc < 0)
		return cannot_start(rc, words[0], e);
	len = drain(read_end, scratch);
	close(read_end); /* one that goes on writing gets SIGPIPE and ends */
	read_end = -1;
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return err_set(e, errno, "%s: cannot wait: %s", words[0],
				       strerror(errno));
	}
	if (len < 0)
		return err_set(e, (int)-len, "%s: output: %s", words[0], strerror((int)-len));
	rc = check_status(status, words, e);
	if (rc < 0)
		return rc;
	*out = secret_copy((struct bytes){ scratch->p, (size_t)len });
	return *out ? 0 : err_nomem(e, words[0]);
}
