/* point.c - see mount.h: the mount point, before and after. */

#include "mount/mount_internal.h"

#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Is absolute path `inner` the folder `outer` or below it? */
static bool is_within(const char *inner, const char *outer)
{
	size_t n = strlen(outer);

	while (n > 0 && outer[n - 1] == '/')
		n--;
	return strncmp(inner, outer, n) == 0 && (inner[n] == '/' || inner[n] == 0);
}

static int check_place(const char *point, const char *repository, struct err *e)
{
	if (is_within(point, repository))
		return err_set(e, EINVAL, "%s: Mountpoint must not be inside the repository %s",
			       point, repository);
	if (is_within(repository, point))
		return err_set(e, EINVAL, "%s: Mountpoint must not contain the repository %s",
			       point, repository);
	return 0;
}

int mount_check_point(const char *point, const char *repository, char **out, struct err *e)
{
	CLEANUP(cleanup_freep) char *real = NULL;
	struct statfs fs;
	struct stat st;
	int rc;

	/* Not stat(2), which the kernel may answer from what it remembers. */
	if (statfs(point, &fs) < 0 && errno == ENOTCONN)
		return err_set(e, ENOTCONN,
			       "%s: a mount whose program has ended is still there: unmount it",
			       point);
	real = realpath(point, NULL);
	if (!real || stat(real, &st) < 0 || !S_ISDIR(st.st_mode) ||
	    access(real, R_OK | W_OK | X_OK) < 0)
		return err_set(e, EINVAL, "%s: Mountpoint must be a writable directory", point);
	rc = repository ? check_place(real, repository, e) : 0;
	if (rc == 0)
		*out = TAKE(real);
	return rc;
}

/* --- what is mounted --- */

int mount_device(const char *point, unsigned *major, unsigned *minor)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[8192], place[4096];
	unsigned a, b;
	int rc = -ENOENT;

	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*d %*d %u:%u %*s %4095s", &a, &b, place) != 3 ||
		    strcmp(place, point) != 0)
			continue;
		*major = a; /* the last one is on top */
		*minor = b;
		rc = 0;
	}
	fclose(f);
	return rc;
}

/* Run a program found in PATH: its exit status; -ENOENT there is none; -errno. */
static int run_helper(const char *const argv[])
{
	char *args[6] = { 0 };
	pid_t pid;
	int rc, status;

	for (size_t i = 0; i < 5 && argv[i]; i++)
		args[i] = (char *)(uintptr_t)argv[i]; /* posix_spawnp() does not write there */
	rc = posix_spawnp(&pid, args[0], NULL, NULL, args, environ);
	if (rc != 0)
		return -rc;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/*
 * fusermount takes no symbolic link for a mount point.  On the heap; NULL: none, or it leads nowhere.
 * stat(2) would ask the mount, which may not answer before it has read an archive.
 */
static char *behind_link(const char *point)
{
	char some;

	return readlink(point, &some, 1) > 0 ? realpath(point, NULL) : NULL;
}

int mount_unmount(const char *point, bool lazy, struct err *e)
{
	CLEANUP(cleanup_freep) char *real = behind_link(point);
	const char *at = real ? real : point;
	/* Borg's order: scripts know the first one's words and exit status. */
	const char *const helpers[][6] = {
		{ "fusermount", "-u", lazy ? "-z" : "--", lazy ? "--" : at, lazy ? at : NULL,
		  NULL },
		{ "fusermount3", "-u", lazy ? "-z" : "--", lazy ? "--" : at, lazy ? at : NULL,
		  NULL },
		{ "umount", lazy ? "-l" : "--", lazy ? "--" : at, lazy ? at : NULL, NULL },
	};
	int rc = -ENOENT;

	for (size_t i = 0; i < 3 && rc == -ENOENT; i++)
		rc = run_helper(helpers[i]);
	if (rc < 0)
		return err_set(e, -rc, "%s: cannot run a program to unmount it: %s", point,
			       strerror(-rc));
	return rc;
}
