/* farewell.c - see farewell.h. */

#include "mount/farewell.h"

#include "mount/mount_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { PEERS_MAX = 16 };

struct farewell {
	int listener;
	int peers[PEERS_MAX];
	size_t count;
};

/* The address that belongs to what is mounted at `point`: its length, or 0. */
static socklen_t address_of(const char *point, struct sockaddr_un *out)
{
	unsigned major, minor;
	int n;

	if (mount_device(point, &major, &minor) < 0)
		return 0;
	*out = (struct sockaddr_un){ .sun_family = AF_UNIX };
	n = snprintf(out->sun_path + 1, sizeof(out->sun_path) - 1, "alcove-farewell-%u:%u",
		     major, minor);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

struct farewell *farewell_listen(const char *point)
{
	struct farewell *f = calloc(1, sizeof(*f));
	struct sockaddr_un address;
	socklen_t len = address_of(point, &address);

	if (!f)
		return NULL;
	f->listener = len ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;
	if (f->listener < 0 || bind(f->listener, (struct sockaddr *)&address, len) < 0 ||
	    listen(f->listener, PEERS_MAX) < 0) {
		farewell_close(f);
		return NULL;
	}
	return f;
}

static void accept_all(struct farewell *f)
{
	int fd;

	while (f->count < PEERS_MAX &&
	       (fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		f->peers[f->count++] = fd;
}

static void send_line(struct farewell *f, char kind, const char *text)
{
	char line[700];
	int n = snprintf(line, sizeof(line), "%c%s\n", kind, text);

	if ((size_t)n >= sizeof(line)) {
		n = (int)sizeof(line) - 1;
		line[n - 1] = '\n';
	}
	accept_all(f);
	for (size_t i = 0; i < f->count; i++) /* who no longer listens need not hear it */
		(void)!send(f->peers[i], line, (size_t)n, MSG_NOSIGNAL);
}

void farewell_tell(struct farewell *f, bool published, const char *text)
{
	if (f)
		send_line(f, published ? '+' : '-', text);
}

void farewell_done(struct farewell *f)
{
	if (f)
		send_line(f, '.', "");
}

void farewell_close(struct farewell *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->count; i++)
		close(f->peers[i]);
	if (f->listener >= 0)
		close(f->listener);
	free(f);
}

/* --- who unmounts --- */

/* The mount's process is ours, or root's; root believes everybody. */
static bool is_believable(int fd)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
		return false;
	return geteuid() == 0 || who.uid == 0 || who.uid == geteuid();
}

int farewell_connect(const char *point)
{
	CLEANUP(cleanup_freep) char *real = realpath(point, NULL);
	struct sockaddr_un address;
	socklen_t len = real ? address_of(real, &address) : 0;
	int fd = len ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;

	if (fd >= 0 &&
	    (connect(fd, (struct sockaddr *)&address, len) < 0 || !is_believable(fd))) {
		close(fd);
		return -1;
	}
	return fd;
}

int farewell_wait(int fd, struct err *e)
{
	CLEANUP(cleanup_freep) char *line = NULL;
	FILE *f = fdopen(fd, "r");
	bool done = false;
	size_t cap = 0;

	if (!f) {
		close(fd);
		return err_nomem(e, "umount");
	}
	while (getline(&line, &cap, f) > 0) {
		done |= line[0] == '.';
		if (line[0] != '.')
			fputs(line + 1, stdout);
	}
	fclose(f);
	return done ? 0
		    : err_set(e, EIO,
			      "the mount's process has ended before all was stored: what is "
			      "missing is in the last checkpoint");
}
