/* reply.c - see reply.h. */

#include "mount/mount_internal.h"

#include "core/base/log.h"
#include "core/base/thread.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	SAID_MAX = 64,    /* sentences remembered */
	SAY_AGAIN_S = 60, /* for so long */
	SAY_PER_S = 20,   /* at most, whatever they are: a damaged disk must not fill another */
};

/* --- calls that go on elsewhere --- */

/*
 * Who answers a parked call.  While it is REGISTERING its interruption is only noted: libfuse
 * may then call interrupted() with the request in a state in which it must not be answered.
 */
enum claim { REGISTERING, FREE, TAKEN, INTERRUPTED };

struct moved { /* a call on the heap */
	struct call call;
	_Atomic int claim;
	char name[];
};

static bool claim(struct moved *m, int from, int to)
{
	return atomic_compare_exchange_strong(&m->claim, &from, to);
}

static struct moved *move(const struct call *c)
{
	struct moved *m = malloc(sizeof(*m) + c->name.len + 1);

	if (!m)
		return NULL;
	m->call = *c;
	m->call.deferred = true;
	atomic_init(&m->claim, REGISTERING);
	if (c->name.len > 0)
		memcpy(m->name, c->name.p, c->name.len);
	m->name[c->name.len] = 0;
	m->call.name.p = (const uint8_t *)m->name;
	return m;
}

static void run_moved(void *arg)
{
	struct moved *m = arg;

	m->call.run(&m->call);
	free(m);
}

void call_defer(const struct call *c)
{
	struct moved *m = move(c);

	if (!m)
		fuse_reply_err(c->req, ENOMEM);
	else if (!pool_try_submit(c->mount->workers, run_moved, m))
		run_moved(m); /* so many wait that the kernel may well be kept waiting too */
}

/* The process that asked was killed or interrupted: it need not wait for the archive. */
static void interrupted(fuse_req_t req, void *arg)
{
	struct moved *m = arg;

	if (claim(m, FREE, INTERRUPTED))
		fuse_reply_err(req, EINTR);
	else
		claim(m, REGISTERING, INTERRUPTED);
}

static void unpark(void *arg)
{
	struct moved *m = arg;

	if (claim(m, FREE, TAKEN)) {
		/* Behind this call interrupted() neither runs nor will. */
		fuse_req_interrupt_func(m->call.req, NULL, NULL);
		m->call.run(&m->call);
	}
	free(m);
}

void call_park(struct call *c)
{
	struct moved *m = move(c);

	if (!m) {
		fuse_reply_err(c->req, ENOMEM);
		return;
	}
	fuse_req_interrupt_func(m->call.req, interrupted, m);
	if (!claim(m, REGISTERING, FREE)) {
		fuse_reply_err(c->req, EINTR);
		free(m);
		return;
	}
	if (!view_await(c->mount->view, c->node, unpark, m))
		unpark(m);
}

/* --- failures --- */

struct reply_log {
	struct mutex lock; /* guards everything below */
	struct said {
		uint64_t hash;
		time_t when;
	} said[SAID_MAX];
	size_t next;
	time_t second;
	unsigned in_second;
};

struct reply_log *reply_log_new(void)
{
	struct reply_log *l = calloc(1, sizeof(*l));

	if (l)
		mutex_init(&l->lock);
	return l;
}

void reply_log_free(struct reply_log *l)
{
	if (!l)
		return;
	mutex_fini(&l->lock);
	free(l);
}

static uint64_t hash_text(const char *text)
{
	uint64_t h = 14695981039346656037u; /* FNV-1a */

	for (; *text; text++)
		h = (h ^ (uint8_t)*text) * 1099511628211u;
	return h;
}

static bool is_news_locked(struct reply_log *l, uint64_t hash, time_t now)
{
	for (size_t i = 0; i < SAID_MAX; i++)
		if (l->said[i].hash == hash && now - l->said[i].when < SAY_AGAIN_S)
			return false;
	if (now != l->second) {
		l->second = now;
		l->in_second = 0;
	}
	if (l->in_second++ >= SAY_PER_S)
		return false;
	l->said[l->next] = (struct said){ hash, now };
	l->next = (l->next + 1) % SAID_MAX;
	return true;
}

void reply_log_error(struct reply_log *l, const char *text)
{
	struct timespec now;
	bool news;

	clock_gettime(CLOCK_MONOTONIC, &now);
	mutex_lock(&l->lock);
	news = is_news_locked(l, hash_text(text), now.tv_sec);
	mutex_unlock(&l->lock);
	if (news)
		log_error("borg.fuse", "%s", text);
}

/*
 * What a program is told: errors that its calls are documented to have, else EIO.  ENOENT is not
 * among them: here it means an object that the repository has not, while a name that is absent is
 * an answer and no failure (run_lookup).  Told ENOENT, libc takes a folder for an empty one, and a
 * program that mirrors would empty its copy.
 */
static int errno_for(int code)
{
	switch (code) {
	case ENOTDIR:
	case EISDIR:
	case EINVAL:
	case ENODATA:
	case ERANGE:
	case E2BIG:
	case ENOTTY:
	case ENOSYS:
	case ESTALE:
	case EINTR:
	case ENOMEM: return code;
	default: return EIO;
	}
}

void reply_failure(struct call *c, int rc, const struct err *e)
{
	int code = errno_for(-rc);

	if (rc == -EINPROGRESS) {
		call_park(c);
		return;
	}
	if (code == EIO && e->msg[0])
		reply_log_error(c->mount->log, e->msg);
	fuse_reply_err(c->req, code);
}
