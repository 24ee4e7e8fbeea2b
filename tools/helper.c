/*
 * helper.c - see helper.h.
 *
 * mount(8) calls `mount.TYPE SPEC DIR [-sfnvrw] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]` and
 * umount(8) `umount.TYPE DIR [-nlfvr] [-N NAMESPACE] [-t TYPE]`: see "EXTERNAL HELPERS" in their
 * manual pages.
 */

#include "tools/helper.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

enum { USAGE = 1, FAILED = 32 }; /* mount(8)'s exit codes */

static bool is_one_of(const char *name, const char *const *names)
{
	for (; *names; names++)
		if (strcmp(name, *names) == 0)
			return true;
	return false;
}

/* `mount` with these arguments.  The strings stay where they are, so that the list of processes
 * shows the command line as it was given. */
static int mount_with(const struct command *const *commands, char *program,
		      char *const *arguments, size_t count)
{
	char **argv = calloc(count + 3, sizeof(argv[0]));
	char word[] = "mount";
	int status;

	if (!argv)
		return FAILED;
	argv[0] = program;
	argv[1] = word;
	for (size_t i = 0; i < count; i++)
		argv[i + 2] = arguments[i];
	status = command_main(commands, (int)count + 2, argv);
	free(argv);
	return status;
}

static int run_borgfs(const struct command *const *commands, int argc, char **argv)
{
	/* -V is not an option of `mount` itself. */
	if (argc == 2 && (strcmp(argv[1], "-V") == 0 || strcmp(argv[1], "--version") == 0))
		return command_main(commands, argc, argv);
	return mount_with(commands, argv[0], argv + 1, argc > 0 ? (size_t)argc - 1 : 0);
}

static int run_mount_helper(const struct command *const *commands, int argc, char **argv)
{
	char *arguments[6], dash_o[] = "-o", options_end[] = "--";
	char *options = NULL;
	size_t count = 0;
	int c;

	while ((c = getopt(argc, argv, "sfnvrwN:o:t:")) != -1) {
		if (c == '?')
			return USAGE;
		if (c == 'f')
			return 0; /* pretend */
		if (c == 'o')
			options = optarg;
	}
	if (argc - optind != 2) {
		fprintf(stderr, "usage: %s REPOSITORY[::ARCHIVE] DIRECTORY [-o OPTIONS]\n",
			argv[0]);
		return USAGE;
	}
	if (options) {
		arguments[count++] = dash_o;
		arguments[count++] = options;
	}
	arguments[count++] = options_end;
	arguments[count++] = argv[optind];
	arguments[count++] = argv[optind + 1];
	return mount_with(commands, argv[0], arguments, count) == 0 ? 0 : FAILED;
}

static int run_umount_helper(int argc, char **argv)
{
	int c, flags = UMOUNT_NOFOLLOW;

	while ((c = getopt(argc, argv, "nlfvrN:t:")) != -1) {
		if (c == '?')
			return USAGE;
		if (c == 'l')
			flags |= MNT_DETACH;
		if (c == 'f')
			flags |= MNT_FORCE;
	}
	if (argc - optind != 1) {
		fprintf(stderr, "usage: %s [-l] [-f] DIRECTORY\n", argv[0]);
		return USAGE;
	}
	/* Not through umount(8), which would call us again. */
	if (umount2(argv[optind], flags) == 0)
		return 0;
	fprintf(stderr, "%s: %s: %s\n", argv[0], argv[optind], strerror(errno));
	return FAILED;
}

bool helper_main(const struct command *const *commands, int argc, char **argv, int *status)
{
	static const char *const plain[] = { "borgfs", "alcovefs", NULL };
	static const char *const mounts[] = { "mount.alcove", "mount.fuse.alcove", NULL };
	static const char *const umounts[] = { "umount.alcove", "umount.fuse.alcove", NULL };
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	const char *name = slash ? slash + 1 : argc > 0 ? argv[0] : "";

	if (is_one_of(name, plain))
		*status = run_borgfs(commands, argc, argv);
	else if (is_one_of(name, mounts))
		*status = run_mount_helper(commands, argc, argv);
	else if (is_one_of(name, umounts))
		*status = run_umount_helper(argc, argv);
	else
		return false;
	return true;
}
