#ifndef TOOLS_COMMANDS_H
#define TOOLS_COMMANDS_H

/* commands.h - the rows of main.c's table; each is in its cmd_*.c. */

#include "tools/command.h"

extern const struct command command_break_lock;
extern const struct command command_check;
extern const struct command command_compact;
extern const struct command command_config;
extern const struct command command_create;
extern const struct command command_delete;
extern const struct command command_export_tar;
extern const struct command command_extract;
extern const struct command command_help;
extern const struct command command_import_tar;
extern const struct command command_info;
extern const struct command command_init;
extern const struct command command_key;
extern const struct command command_list;
extern const struct command command_mount;
extern const struct command command_prune;
extern const struct command command_rename;
extern const struct command command_umount;
extern const struct command command_with_lock;

#endif
