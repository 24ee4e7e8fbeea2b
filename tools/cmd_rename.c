/* cmd_rename.c - `rename`: another name for an archive. */

#include "tools/commands.h"

#include <stdlib.h>

struct rename_args {
	struct location where;
	char *name;
};

static int run_rename(struct run *run, void *arg, struct err *e)
{
	const struct rename_args *args = arg;
	CLEANUP(reader_closep) struct reader *reader = NULL;
	CLEANUP(session_dropp) struct session *session = NULL;
	int rc = run_open_session(run, &args->where, MANIFEST_CHECK, &reader, &session, e);

	if (rc == 0)
		rc = session_rename_archive(session, bytes_str(args->where.archive),
					    bytes_str(args->name), e);
	if (rc == 0)
		rc = session_commit(session, e);
	return rc == 0 ? session_end(TAKE(session), e) : rc;
}

static void rename_args_fini(void *arg)
{
	struct rename_args *args = arg;

	location_fini(&args->where);
	free(args->name);
}

static const struct arg_positional rename_positionals[] = {
	{ "ARCHIVE", ARG_OPTIONAL, offsetof(struct rename_args, where), arg_archive,
	  "archive to rename" },
	{ "NEWNAME", ARG_ONE, offsetof(struct rename_args, name), arg_archive_name,
	  "the new archive name to use" },
};

const struct command command_rename = {
	.name = "rename",
	.summary = "rename archive",
	.description = "This command gives an archive of the repository another name.\n"
		       "\n"
		       "The archive's identity changes with its name; what it holds stays.\n",
	COMMAND_POSITIONALS(rename_positionals),
	.args_size = sizeof(struct rename_args),
	.args_fini = rename_args_fini,
	.run = run_rename,
};
