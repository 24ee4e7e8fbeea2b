/* cmd_umount.c - `umount`: what the system's own helper does, and its exit status. */

#include "tools/commands.h"

#include "mount/farewell.h"
#include "mount/mount.h"

#include <unistd.h>

struct umount_args {
	const char *point;
};

static const struct arg_positional umount_positionals[] = {
	{ "MOUNTPOINT", ARG_ONE, offsetof(struct umount_args, point), NULL,
	  "mountpoint of the filesystem to umount" },
};

static int run_umount(struct run *run, void *arg, struct err *e)
{
	const struct umount_args *args = arg;
	int farewell = farewell_connect(args->point);
	int rc = mount_unmount(args->point, false, e);

	if (rc >= 0)
		run->exit_code = rc;
	if (rc == 0 && farewell >= 0)
		return farewell_wait(farewell, e);
	if (farewell >= 0)
		close(farewell);
	return rc < 0 ? rc : 0;
}

const struct command command_umount = {
	.name = "umount",
	.summary = "umount repository",
	.description = "Unmounts what `mount` has mounted.  Of a mount with a staging "
		       "directory it waits\n"
		       "until everything is stored, and says what was published.\n",
	COMMAND_POSITIONALS(umount_positionals),
	.args_size = sizeof(struct umount_args),
	.flags = COMMAND_BYPASS_LOCK,
	.run = run_umount,
};
