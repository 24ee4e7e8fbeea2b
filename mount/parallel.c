/* parallel.c - see parallel.h. */

#include "mount/parallel.h"

#include <errno.h>
#include <linux/fuse.h>
#include <sys/uio.h>
#include <unistd.h>

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

static ssize_t receive_request(int fd, void *buf, size_t len, void *userdata)
{
	(void)userdata;
	return read(fd, buf, len);
}

int parallel_listen(struct mount *m)
{
	static const struct fuse_custom_io io = { .writev = send_reply,
						  .read = receive_request };

	return fuse_session_custom_io(m->session, &io, fuse_session_fd(m->session));
}
