/* cmd_break_lock.c - `break-lock`: the locks of a repository and of Borg's cache of it go, whoever
 * has them. */

#include "tools/commands.h"

#include "core/base/io.h"
#include "core/platform/dirs.h"
#include "core/repo/lock.h"

struct break_lock_args {
	struct location where;
};

static int break_cache_lock(const struct repo *repo, struct err *e)
{
	CLEANUP(cleanup_freep) char *cache = NULL;
	CLEANUP(cleanup_freep) char *lock = NULL;
	int rc = dirs_borg_cache(&repo_config(repo)->id, &cache, e);

	if (rc < 0)
		return rc;
	lock = path_join(cache, "lock");
	return lock ? lock_break(lock, e) : err_nomem(e, "lock");
}

static int run_break_lock(struct run *run, void *arg, struct err *e)
{
	const struct break_lock_args *args = arg;
	const struct repo_options options = { .config_only = true };
	CLEANUP(repo_closep) struct repo *repo = NULL;
	int rc = repo_open(&repo, &args->where, &options, e);

	(void)run;
	if (rc == 0)
		rc = repo_break_lock(repo, e);
	return rc == 0 ? break_cache_lock(repo, e) : rc;
}

static void break_lock_args_fini(void *arg)
{
	struct break_lock_args *args = arg;

	location_fini(&args->where);
}

static const struct arg_positional break_lock_positionals[] = {
	{ "REPOSITORY", ARG_OPTIONAL, offsetof(struct break_lock_args, where), arg_repository,
	  "repository for which to break the locks" },
};

const struct command command_break_lock = {
	.name = "break-lock",
	.summary = "break repository and cache locks",
	.description =
		"This command breaks the repository and cache locks.  Use it only while no "
		"other "
		"program, on any machine, works with the repository or the cache.\n"
		"\n"
		"Locks that a program of this machine left when it died need no help: the next "
		"one that wants the lock removes them.\n",
	COMMAND_POSITIONALS(break_lock_positionals),
	.args_size = sizeof(struct break_lock_args),
	.args_fini = break_lock_args_fini,
	.run = run_break_lock,
};
