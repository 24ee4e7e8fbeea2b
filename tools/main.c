/* main.c - the program: the table of its commands. */

#include "tools/commands.h"
#include "tools/helper.h"

static const struct command *const commands[] = {
	&command_break_lock, &command_check,      &command_compact,    &command_config,
	&command_create,     &command_delete,     &command_export_tar, &command_extract,
	&command_help,       &command_import_tar, &command_info,       &command_init,
	&command_key,        &command_list,       &command_mount,      &command_prune,
	&command_rename,     &command_umount,     &command_with_lock,  NULL,
};

int main(int argc, char **argv)
{
	int status;

	if (helper_main(commands, argc, argv, &status))
		return status;
	return command_main(commands, argc, argv);
}
