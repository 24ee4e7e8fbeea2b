/*
 * cmd_with_lock.c - `with-lock`: another program runs while the repository is locked.
 *
 * The lock lasts as long as the program.  A signal that this process alone got is handed on, and
 * one from the terminal has reached the program already; either way its end is awaited.
 */

#include "tools/commands.h"

#include "core/platform/command.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { KILLED = 128 }; /* plus the signal: a shell's status of a program that one has ended */

struct with_lock_args {
	struct location where;
	char *program;
	struct arg_list rest;
};

/* The words are the command line's own. */
static char **command_of(const struct with_lock_args *args)
{
	char **words = calloc(args->rest.count + 2, sizeof(*words));

	if (!words)
		return NULL;
	words[0] = args->program;
	if (args->rest.count)
		memcpy(words + 1, args->rest.v, args->rest.count * sizeof(*words));
	return words;
}

static sigset_t awaited_signals(void)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGCHLD };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaddset(&set, numbers[i]);
	return set;
}

/* The program's status; *signal_number is the first one that we got. */
static int await(pid_t pid, const sigset_t *signals, int *signal_number)
{
	siginfo_t info;
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (sigwaitinfo(signals, &info) < 0 || info.si_signo == SIGCHLD)
			continue;
		if (*signal_number == 0)
			*signal_number = info.si_signo;
		if (info.si_code != SI_KERNEL)
			kill(pid, info.si_signo);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : KILLED + WTERMSIG(status);
}

static int run_command(struct run *run, const struct with_lock_args *args, struct err *e)
{
	CLEANUP(cleanup_freep) char **words = command_of(args);
	const sigset_t signals = awaited_signals();
	struct err why = ERR_INIT;
	int status, signal_number = 0, rc;
	pid_t pid;

	if (!words)
		return err_nomem(e, args->program);
	run_take_signals(run);
	signal(SIGCHLD, SIG_DFL); /* where it is ignored there is no status */
	sigprocmask(SIG_BLOCK, &signals, NULL);
	rc = command_start(words, &pid, &why);
	if (rc < 0)
		return err_set_id(e, -rc, "CommandError",
				  "Command Error: Error while trying to run '%s': %s",
				  args->program, why.msg);
	status = await(pid, &signals, &signal_number);
	run->exit_code = signal_number ? run_ended_by(signal_number) : status;
	return 0;
}

static int run_with_lock(struct run *run, void *arg, struct err *e)
{
	const struct with_lock_args *args = arg;
	const struct repo_options options = { .config_only = true };
	CLEANUP(repo_closep) struct repo *repo = NULL;
	int rc = repo_open(&repo, &args->where, &options, e), unlocked;

	if (rc == 0)
		rc = run_lock(run, repo, e);
	if (rc < 0)
		return rc;
	rc = run_command(run, args, e);
	unlocked = repo_unlock(repo, rc < 0 ? NULL : e);
	return rc < 0 ? rc : unlocked;
}

static void with_lock_args_fini(void *arg)
{
	struct with_lock_args *args = arg;

	location_fini(&args->where);
}

static const struct arg_positional with_lock_positionals[] = {
	{ "REPOSITORY", ARG_ONE, offsetof(struct with_lock_args, where), arg_repository,
	  "repository to lock" },
	{ "COMMAND", ARG_ONE, offsetof(struct with_lock_args, program), NULL,
	  "command to run" },
	{ "ARGS", ARG_REST, offsetof(struct with_lock_args, rest), NULL, "command arguments" },
};

const struct command command_with_lock = {
	.name = "with-lock",
	.summary = "run user command with lock held",
	.description =
		"This command runs another one while the repository is locked: nobody else "
		"changes it meanwhile.  It waits for the lock, runs the command, waits for its "
		"end, and returns its exit status.\n"
		"\n"
		"A repository that is copied by the command has the lock in its copy.  Before "
		"the copy is used on another machine, `break-lock` has to remove it there.\n",
	COMMAND_POSITIONALS(with_lock_positionals),
	.args_size = sizeof(struct with_lock_args),
	.args_fini = with_lock_args_fini,
	.run = run_with_lock,
};
