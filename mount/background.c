/* background.c - see background.h. */

#include "mount/background.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The child's word, or how it ended without one. */
static int wait_for_word(int fd, pid_t child)
{
	uint8_t word;
	ssize_t n;
	int status;

	do {
		n = read(fd, &word, 1);
	} while (n < 0 && errno == EINTR);
	if (n == 1)
		return word;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return 2;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int background_fork(struct background *out, int *status, struct err *e)
{
	int ends[2];
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(e, errno, "cannot go to the background: %s", strerror(errno));
	child = fork();
	if (child < 0) {
		close(ends[0]);
		close(ends[1]);
		return err_set(e, EAGAIN, "cannot go to the background: fork failed");
	}
	if (child == 0) {
		close(ends[0]);
		out->pipe = ends[1];
		return 1;
	}
	close(ends[1]);
	*status = wait_for_word(ends[0], child);
	close(ends[0]);
	return 0;
}

int background_ready(struct background *b, int status, struct err *e)
{
	uint8_t word = (uint8_t)status;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int rc = 0;

	if (null < 0 || chdir("/") < 0)
		return err_set(e, errno, "cannot go to the background: %s", strerror(errno));
	(void)setsid();
	/* Whoever started us reads our output to its end: it must end now. */
	for (int fd = 0; fd <= 2; fd++)
		if (dup2(null, fd) < 0)
			rc = -errno;
	if (null > 2)
		close(null);
	if (rc < 0)
		return err_set(e, -rc, "cannot go to the background: %s", strerror(-rc));
	if (write(b->pipe, &word, 1) != 1)
		rc = err_set(e, EPIPE, "the parent has ended");
	close(b->pipe);
	b->pipe = -1;
	return rc < 0 ? rc : 0;
}
