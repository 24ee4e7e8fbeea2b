/* cmd_create.c - `create`: files, what programs say, or standard input become an archive. */

#include "tools/creation.h"

#include "core/base/io.h"
#include "core/base/log.h"
#include "core/platform/command.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct source { /* of one run */
	const struct create_args *args;
	struct creation *creation;
	struct create *create;
};

static int stream_owner(const struct create_args *args, struct create_stream *out,
			struct err *e)
{
	const struct passwd *user = args->stdin_user ? getpwnam(args->stdin_user) : getpwuid(0);
	const struct group *group;

	if (!user)
		return err_set_id(e, ENOENT, "Error", "no such user: %s", args->stdin_user);
	out->uid = user->pw_uid;
	out->user = args->stdin_user ? args->stdin_user : "root";
	group = args->stdin_group ? getgrnam(args->stdin_group) : getgrgid(0);
	if (!group)
		return err_set_id(e, ENOENT, "Error", "no such group: %s", args->stdin_group);
	out->gid = group->gr_gid;
	out->group = args->stdin_group ? args->stdin_group : "root";
	return 0;
}

static int add_stream(struct source *s, int fd, struct err *e)
{
	struct create_stream stream = {
		.name = s->args->stdin_name ? s->args->stdin_name : "stdin",
		.mode = s->args->stdin_mode.given ? s->args->stdin_mode.bits : 0660,
	};
	int rc;

	if (s->args->dry_run) {
		creation_status(s->creation, '-', stream.name);
		return 0;
	}
	rc = stream_owner(s->args, &stream, e);
	if (rc == 0)
		rc = create_stream(s->create, fd, &stream, e);
	return rc < 0 ? rc : 0;
}

/* Run the words; their standard output is *fd. */
static int start_program(const struct arg_list *paths, pid_t *pid, int *fd, struct err *e)
{
	CLEANUP(cleanup_freep) char **words = calloc(paths->count + 1, sizeof(*words));
	int rc;

	if (!words)
		return err_nomem(e, "command");
	if (paths->count == 0)
		return err_set_id(e, EINVAL, "CommandError", "No command given.");
	memcpy(words, paths->v, paths->count * sizeof(*words));
	rc = command_start_reading(words, pid, fd, e);
	return rc < 0 ? err_wrap(e, rc, "Failed to execute command") : 0;
}

static int end_program(const struct arg_list *words, pid_t pid, struct err *e)
{
	CLEANUP(buf_fini) struct buf shown = BUF_INIT;
	int status = 0, code;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
	if (code == 0)
		return 0;
	args_repr(words->v[0], &shown);
	return err_set_id(e, ECANCELED, "CommandError", "Command %.*s exited with status %d",
			  (int)shown.len, (const char *)shown.p, code);
}

/* Paths that fd gives, each alone. */
static int add_listed(struct source *s, int fd, struct err *e)
{
	char delimiter = s->args->paths_delimiter.given ? s->args->paths_delimiter.c : '\n';
	FILE *in = fdopen(dup(fd), "r");
	char *path = NULL;
	size_t cap = 0;
	ssize_t n;
	int rc = 0;

	if (!in)
		return err_set(e, errno, "paths: %s", strerror(errno));
	while (rc == 0 && (n = getdelim(&path, &cap, delimiter, in)) > 0) {
		if (path[n - 1] == delimiter)
			path[n - 1] = '\0';
		rc = create_one(s->create, path, e);
	}
	if (rc == 0 && ferror(in))
		rc = err_set(e, EIO, "paths: cannot be read");
	free(path);
	fclose(in);
	return rc;
}

static int add_from_program(struct source *s, struct err *e)
{
	CLEANUP(cleanup_closep) int fd = -1;
	pid_t pid;
	int rc = start_program(&s->args->paths, &pid, &fd, e), ended;

	if (rc < 0)
		return rc;
	rc = s->args->content_from_command ? add_stream(s, fd, e) : add_listed(s, fd, e);
	close(fd);
	fd = -1;
	ended = end_program(&s->args->paths, pid, rc < 0 ? NULL : e);
	return rc < 0 ? rc : ended;
}

static int add_roots(struct source *s, struct err *e)
{
	const struct arg_list *paths = &s->args->paths;
	const char *root;
	int rc = 0;

	for (size_t i = 0;
	     rc == 0 && s->args->matcher && (root = matcher_root(s->args->matcher, i)); i++)
		rc = create_root(s->create, root, e);
	for (size_t i = 0; rc == 0 && i < paths->count; i++)
		rc = strcmp(paths->v[i], "-") == 0 ? add_stream(s, STDIN_FILENO, e)
						   : create_root(s->create, paths->v[i], e);
	return rc;
}

static int add_all(void *arg, struct creation *creation, struct create *create, struct err *e)
{
	struct source source = { .args = arg, .creation = creation, .create = create },
		      *s = &source;

	if (s->args->paths_from_stdin)
		return add_listed(s, STDIN_FILENO, e);
	if (s->args->content_from_command || s->args->paths_from_command)
		return add_from_program(s, e);
	return add_roots(s, e);
}

/* What the parser of arguments cannot know.  Negative: refused. */
static int check_paths(struct run *run, const struct create_args *args)
{
	bool roots = args->paths.count || (args->matcher && matcher_root(args->matcher, 0));
	const char *why = NULL;

	if (args->paths_from_stdin && args->paths.count)
		why = "Must not pass PATH with ``--paths-from-stdin``.";
	else if (!roots && (args->content_from_command || args->paths_from_command))
		why = "No command given.";
	else if (!roots && !args->paths_from_stdin)
		why = "Need at least one PATH argument.";
	if (why)
		run->exit_code = run_usage_error(run, why);
	return why ? -1 : 0;
}

static void say_where(const struct location *where)
{
	CLEANUP(cleanup_freep) char *canonical = location_canonical(where);

	log_info("borg.archiver", "Creating archive at \"%s::%s\"",
		 canonical ? canonical : where->path, where->archive);
}

int run_create(struct run *run, void *arg, struct err *e)
{
	int rc = check_paths(run, arg);

	const struct create_args *args = arg;

	if (rc < 0)
		return 0;
	say_where(&args->where);
	return creation_run(run, args, add_all, arg, e);
}
