/* main.c - the program: the table of its commands. */

#include "tools/commands.h"

static const struct command *const commands[] = {
	&command_extract, &command_help, &command_info, &command_list, NULL,
};

int main(int argc, char **argv)
{
	return command_main(commands, argc, argv);
}
