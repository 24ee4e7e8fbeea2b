#ifndef TOOLS_HELPER_H
#define TOOLS_HELPER_H

/*
 * helper.h - the program under its other names.
 *
 *   borgfs, alcovefs                      `mount` without the word, as Borg's borgfs
 *   mount.alcove, mount.fuse.alcove       what mount(8) runs for fstab's fuse.alcove
 *   umount.alcove, umount.fuse.alcove     what umount(8) runs
 */

#include "tools/command.h"

/* True where argv[0] is one of these: *status is the exit status. */
bool helper_main(const struct command *const *commands, int argc, char **argv, int *status);

#endif
