/* channel.c - see channel.h. */

#include "mount/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sched.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_NS = 40000 }; /* about what it takes to sleep and to be woken */

/* Nothing but INIT is answered first; a notification (its number is 0) is no answer. */
static struct fuse_init_out *init_reply(const struct iovec *iov, int count)
{
	const struct fuse_out_header *head = iov[0].iov_base;

	if (count != 2 || iov[0].iov_len != sizeof(*head) || head->unique == 0 ||
	    head->error != 0 || iov[1].iov_len < sizeof(struct fuse_init_out))
		return NULL;
	return iov[1].iov_base;
}

static ssize_t send_reply(int fd, struct iovec *iov, int count, void *userdata)
{
	struct mount *m = userdata;

	if (!atomic_load_explicit(&m->begun, memory_order_relaxed)) {
		struct fuse_init_out *init = init_reply(iov, count);

		if (init && m->parallel_dirops)
			init->flags |= FUSE_PARALLEL_DIROPS;
		if (init)
			atomic_store(&m->begun, true);
	}
	return writev(fd, iov, count);
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static ssize_t receive_request(int fd, void *buf, size_t len, void *userdata)
{
	struct pollfd sleeping = { .fd = fd, .events = POLLIN };
	int64_t until = now_ns() + PATIENCE_NS;
	ssize_t got;

	(void)userdata;
	while ((got = read(fd, buf, len)) < 0 && errno == EAGAIN) {
		if (now_ns() < until)
			sched_yield();
		else if (poll(&sleeping, 1, -1) < 0)
			return -1;
	}
	return got;
}

int channel_open(struct mount *m)
{
	static const struct fuse_custom_io io = { .writev = send_reply,
						  .read = receive_request };
	int fd = fuse_session_fd(m->session);
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return fuse_session_custom_io(m->session, &io, fd);
}
