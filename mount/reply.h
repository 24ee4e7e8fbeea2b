#ifndef MOUNT_REPLY_H
#define MOUNT_REPLY_H

/*
 * reply.h - one request of the kernel on its way through the mount, and its one answer.
 *
 * A call begins on the receiving thread and on its stack.  It is answered there, or it moves to
 * the heap and goes on elsewhere: on a worker (call_defer), or when an archive has been opened
 * (call_park).  Its function runs again from the start there.
 *
 * Threads: a call is in one hand at a time, except while parked: then the receiving thread may
 * answer it with EINTR, and whoever comes second finds it answered.
 */

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "core/base/bytes.h"
#include "core/base/err.h"

#include <stdbool.h>

struct mount;
struct call;
typedef void call_fn(struct call *c); /* answers once, or hands the call on */

struct call {
	fuse_req_t req;
	struct mount *mount;
	call_fn *run;
	uint64_t node;
	uint64_t off;
	size_t size;
	unsigned cmd;
	bool privileged;   /* asked by root */
	bool deferred;     /* off the receiving thread: may wait */
	struct bytes name; /* a NUL behind it */
};

/* Run c->run on a worker.  c is copied. */
void call_defer(const struct call *c);
/* Run c->run again when the archive of c->node has been opened.  c is copied. */
void call_park(struct call *c);

/*
 * Answer with what went wrong: rc is -errno, e the sentence.  What is damaged (EBADMSG) or
 * failed (EIO and all that programs do not expect) reaches them as EIO and the log once; a
 * sentence that comes again within a minute is not logged again.
 * -EINPROGRESS parks the call.
 */
void reply_failure(struct call *c, int rc, const struct err *e);

/* The log's memory of what it has said. */
struct reply_log;
struct reply_log *reply_log_new(void); /* NULL when out of memory */
void reply_log_free(struct reply_log *l);
/* Log a sentence unless it was said a minute ago or less. */
void reply_log_error(struct reply_log *l, const char *text);

#endif
