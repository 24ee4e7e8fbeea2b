/* filter.c - see filter.h. */

#include "tools/filter.h"

#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "core/base/log.h"
#include "core/platform/command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
	const char *ending, *compress, *decompress;
} by_name[] = {
	{ ".tar.gz", "gzip", "gzip -d" },    { ".tgz", "gzip", "gzip -d" },
	{ ".tar.bz2", "bzip2", "bzip2 -d" }, { ".tbz", "bzip2", "bzip2 -d" },
	{ ".tar.xz", "xz", "xz -d" },        { ".txz", "xz", "xz -d" },
	{ ".tar.lz4", "lz4", "lz4 -d" },     { ".tar.zstd", "zstd", "zstd -d" },
	{ ".tar.zst", "zstd", "zstd -d" },
};

const char *filter_of_name(const char *path, bool decompress)
{
	size_t len = strlen(path);

	for (size_t i = 0; i < sizeof(by_name) / sizeof(by_name[0]); i++) {
		size_t ending = strlen(by_name[i].ending);

		if (len >= ending && strcmp(path + len - ending, by_name[i].ending) == 0)
			return decompress ? by_name[i].decompress : by_name[i].compress;
	}
	return NULL;
}

static int not_started(const char *command, const char *program, int code, struct err *e)
{
	log_error("borg.helpers.process", "filter-process: %s: %s",
		  code == ENOENT ? "executable not found" : "executable cannot be run",
		  program);
	return err_set_id(e, code, "Error", "filter %s: process creation failed", command);
}

static int spawn(struct filter *f, int file, int pipe_end, struct err *e)
{
	CLEANUP(command_words_freep) char **words = NULL;
	struct err why = ERR_INIT;
	int rc = command_split(f->command, &words, e);

	if (rc < 0)
		return rc;
	if (!words[0])
		return err_set_id(e, EINVAL, "Error", "filter: the command is empty");
	rc = command_start_between(words, f->inbound ? file : pipe_end,
				   f->inbound ? pipe_end : file, &f->pid, &why);
	return rc < 0 ? not_started(f->command, words[0], -rc, e) : 0;
}

int filter_start(struct filter *out, const char *command, int file, bool inbound, struct err *e)
{
	int fds[2], ours = inbound ? 0 : 1, rc;

	*out = (struct filter){ .fd = file, .inbound = inbound, .pid = -1 };
	if (!command || !*command)
		return 0;
	out->fd = -1;
	out->command = strdup(command);
	if (!out->command || pipe2(fds, O_CLOEXEC) < 0) {
		rc = out->command ? err_set(e, errno, "filter: %s", strerror(errno))
				  : err_nomem(e, "filter");
		close(file);
		return rc;
	}
	rc = spawn(out, file, fds[!ours], e);
	close(fds[!ours]);
	close(file);
	out->fd = fds[ours];
	return rc;
}

/* What stands behind the end of a tar: a writer whose reader has gone would fail. */
static void drain(int fd)
{
	char scratch[65536];

	while (read(fd, scratch, sizeof(scratch)) > 0 || errno == EINTR)
		errno = 0;
}

static int wait_for(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int close_ours(struct filter *f, struct err *e)
{
	int rc = f->fd >= 0 && close(f->fd) < 0 ? errno : 0;

	f->fd = -1;
	return rc ? err_set(e, rc, "cannot write the tar stream: %s", strerror(rc)) : 0;
}

int filter_finish(struct filter *f, struct err *e)
{
	CLEANUP(cleanup_freep) char *command = f->command;
	pid_t pid = f->pid;
	int rc, status;

	if (f->inbound && command)
		drain(f->fd);
	rc = close_ours(f, e);
	f->command = NULL;
	f->pid = -1;
	if (!command)
		return rc;
	status = wait_for(pid);
	if (rc == 0 && status != 0)
		rc = err_set_id(e, ECANCELED, "Error", "filter %s failed, rc=%d", command,
				status);
	return rc;
}

void filter_abort(struct filter *f)
{
	close_ours(f, NULL);
	if (f->pid > 0) {
		kill(f->pid, SIGKILL);
		wait_for(f->pid);
	}
	f->pid = -1;
	free(f->command);
	f->command = NULL;
}
