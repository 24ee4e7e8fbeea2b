/*
 * mount.c - see mount.h: session, threads, signals.
 *
 *   receiver   the caller: receives requests, answers what is in memory
 *   workers    wait for chunks; answer
 *   follower   looks at the repository each second, tells the kernel what changed; takes signals
 *
 * The follower notifies the kernel, which may have to wait for a lock that is held by a process
 * that waits for our answer: so it is never the receiver who notifies, and the receiver serves
 * until the follower has ended or the kernel has hung up.
 */

#include "mount/mount_internal.h"

#include "core/base/log.h"
#include "mount/channel.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum {
	WORKERS_MIN = 4, /* more than processors: they mostly wait for a chunk */
	WORKERS_QUEUE = 4096,
	WRITERS = 4,
	READ_AHEAD_KIB = 1024,
	FOLLOW_MS = 1000, /* between two looks at the repository */
	LAZY_LOOKS = 5,
	KICK_MS = 20,
	KICK_SIGNAL = SIGUSR1, /* wakes the receiver from poll(2) */
};

/* --- opening --- */

/* What libfuse says goes into the error, or the log, not to standard error. */
__attribute__((format(printf, 2, 0))) static void fuse_says(enum fuse_log_level level,
							    const char *fmt, va_list args)
{
	char text[400];

	vsnprintf(text, sizeof(text), fmt, args);
	text[strcspn(text, "\n")] = 0;
	if (level <= FUSE_LOG_WARNING)
		log_error("borg.fuse", "%s", text);
	else
		log_debug("borg.fuse", "%s", text);
}

static int add_escaped(struct buf *out, const char *name, const char *value)
{
	int rc = buf_append_str(out, name);

	for (; rc == 0 && *value; value++) {
		if (*value == ',' || *value == '\\')
			rc = buf_append_byte(out, '\\');
		if (rc == 0)
			rc = buf_append_byte(out, (uint8_t)*value);
	}
	return rc;
}

/* The list for libfuse and the kernel. */
static int session_options(const struct mount_options *o, bool writable, struct buf *out)
{
	int rc = buf_append_str(out, writable ? "-omax_read=1048576" : "-oro,max_read=1048576");

	if (rc == 0)
		rc = add_escaped(out, ",fsname=", o->fsname ? o->fsname : "borgfs");
	if (rc == 0)
		rc = add_escaped(out, ",subtype=", o->subtype ? o->subtype : "alcove");
	if (rc == 0 && !o->ignore_permissions)
		rc = buf_append_str(out, ",default_permissions");
	if (rc == 0 && o->allow_other)
		rc = buf_append_str(out, ",allow_other");
	if (rc == 0 && o->allow_root)
		rc = buf_append_str(out, ",allow_root");
	if (rc == 0 && o->auto_unmount)
		rc = buf_append_str(out, ",auto_unmount");
	if (rc == 0 && o->debug)
		rc = buf_append_str(out, ",debug");
	if (rc == 0)
		rc = buf_append(out, o->kernel.p, o->kernel.len);
	return rc == 0 ? buf_append_byte(out, 0) : rc;
}

static int open_session(struct mount *m, const struct mount_options *o, const char *point,
			struct err *e)
{
	CLEANUP(buf_fini) struct buf text = BUF_INIT;
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	int rc;

	if (session_options(o, m->staging, &text) < 0 ||
	    fuse_opt_add_arg(&args, "alcove") < 0 ||
	    fuse_opt_add_arg(&args, (const char *)text.p) < 0) {
		fuse_opt_free_args(&args);
		return err_nomem(e, point);
	}
	fuse_set_log_func(fuse_says);
	m->session = fuse_session_new(&args, &mount_ops, sizeof(mount_ops), m);
	fuse_opt_free_args(&args);
	if (!m->session)
		return err_set(e, EINVAL, "%s: the mount options were refused", point);
	if (access("/dev/fuse", F_OK) < 0)
		return err_set(e, ENODEV,
			       "%s: cannot mount: there is no FUSE here (/dev/fuse is missing)",
			       point);
	if (fuse_session_mount(m->session, point) < 0)
		return err_set(e, EIO, "%s: cannot mount", point);
	m->mounted = true;
	rc = channel_open(m);
	return rc < 0 ? err_set(e, -rc, "%s: cannot mount: %s", point, strerror(-rc)) : 0;
}

/*
 * The kernel reads ahead by 128 KiB on a FUSE mount, whatever is agreed at the start; with
 * requests of 1 MiB a large file costs half as much.  Only root may say so: for others, and
 * where a blank in the mount point's name hides it, nothing is lost but that.
 */
static void widen_readahead(const char *point)
{
	unsigned major, minor;
	char path[64];
	FILE *f;

	if (mount_device(point, &major, &minor) < 0)
		return;
	snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb", major, minor);
	f = fopen(path, "we");
	if (!f)
		return;
	fprintf(f, "%d\n", READ_AHEAD_KIB);
	fclose(f);
}

int mount_open(struct mount **out, struct view *view, struct staging *staging,
	       const struct mount_options *options, const char *point, bool foreground,
	       struct err *e)
{
	CLEANUP(mount_closep) struct mount *m = calloc(1, sizeof(*m));
	unsigned major, minor;
	int rc;

	if (!m) {
		view_free(view);
		return err_nomem(e, point);
	}
	m->view = view;
	m->staging = staging;
	m->manage = staging && options->manage;
	m->foreground = foreground;
	m->posix_acl = !options->ignore_permissions;
	m->ahead = ahead_new();
	m->log = reply_log_new();
	if (!m->ahead || !m->log)
		return err_nomem(e, point);
	rc = open_session(m, options, point, e);
	if (rc < 0)
		return rc;
	widen_readahead(point);
	m->point = strdup(point);
	if (!m->point)
		return err_nomem(e, point);
	if (mount_device(point, &major, &minor) == 0)
		m->device = makedev(major, minor);
	*out = TAKE(m);
	return 0;
}

/* --- following the repository --- */

static void tell_kernel(void *arg, uint64_t dir, struct bytes name)
{
	struct mount *m = arg;

	/* Failure means that the kernel knows nothing of it, or is unmounting. */
	if (name.len > 0)
		fuse_lowlevel_notify_inval_entry(m->session, dir, (const char *)name.p,
						 name.len);
	else
		fuse_lowlevel_notify_inval_inode(m->session, dir, 0, 0);
}

/* Is it there, where it was mounted? */
static bool is_mounted(const struct mount *m)
{
	unsigned major, minor;

	return mount_device(m->point, &major, &minor) == 0 &&
	       makedev(major, minor) == m->device;
}

static void follow(struct mount *m)
{
	struct err err = ERR_INIT;

	/* Gone, and still in use: it was unmounted lazily.  Any unmounting takes a moment. */
	if (m->staging && !m->cut_off)
		m->looks_gone = is_mounted(m) ? 0 : m->looks_gone + 1;
	if (m->looks_gone >= LAZY_LOOKS)
		m->cut_off = true;

	if (view_refresh(m->view, tell_kernel, m, &err) < 0 && err.msg[0])
		reply_log_error(m->log, err.msg);
}

static void *follower(void *arg)
{
	struct mount *m = arg;
	struct timespec pause = { FOLLOW_MS / 1000, FOLLOW_MS % 1000 * 1000000 };
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	while (!atomic_load(&m->stop)) {
		int sig = sigtimedwait(&signals, NULL, &pause);

		if (sig > 0 && !atomic_load(&m->stop)) {
			atomic_store(&m->signal, sig);
			atomic_store(&m->stop, true);
		} else if (sig < 0 && errno == EAGAIN) {
			follow(m);
		}
	}
	fuse_session_exit(m->session);
	/* The receiver may be just about to wait: until it has seen the flag, wake it. */
	while (!atomic_load(&m->received)) {
		pthread_kill(m->receiver, KICK_SIGNAL);
		nanosleep(&(struct timespec){ 0, KICK_MS * 1000000 }, NULL);
	}
	return NULL;
}

/* --- serving --- */

static void receive(struct mount *m)
{
	struct fuse_buf buf = { 0 };

	while (!fuse_session_exited(m->session)) {
		int rc = fuse_session_receive_buf(m->session, &buf);

		if (rc == -EINTR || rc == -EAGAIN)
			continue;
		if (rc <= 0)
			break; /* unmounted, or the connection was aborted */
		fuse_session_process_buf(m->session, &buf);
	}
	free(buf.mem);
}

static void kicked(int sig)
{
	(void)sig; /* only poll(2) shall return */
}

/* Signals go to the follower; the receiver is only ever kicked. */
static void prepare_signals(void)
{
	struct sigaction kick = { .sa_handler = kicked };
	sigset_t blocked;

	sigemptyset(&kick.sa_mask);
	sigaction(KICK_SIGNAL, &kick, NULL);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGINT);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &blocked, NULL);
	sigemptyset(&blocked);
	sigaddset(&blocked, KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &blocked, NULL);
	signal(SIGPIPE, SIG_IGN);
}

int mount_serve(struct mount *m, struct err *e)
{
	unsigned workers = 2 * cpu_count();
	pthread_t thread;
	int rc;

	prepare_signals();
	rc = pool_open(&m->workers, "alcove-read",
		       workers > WORKERS_MIN ? workers : WORKERS_MIN, WORKERS_QUEUE, e);
	if (rc < 0)
		return rc;
	if (m->staging)
		rc = pool_open(&m->writers, "alcove-write", WRITERS, WORKERS_QUEUE, e);
	if (rc < 0)
		return rc;
	m->receiver = pthread_self();
	rc = thread_start(&thread, follower, m, "alcove-follow", e);
	if (rc < 0)
		return rc;
	receive(m);
	m->cut_off |= is_mounted(m); /* the connection was aborted */
	atomic_store(&m->received, true);
	if (!atomic_exchange(&m->stop, true))
		pthread_kill(thread, SIGTERM); /* it is waiting for one */
	thread_join(thread);
	return atomic_load(&m->signal);
}

bool mount_was_unmounted(const struct mount *m)
{
	return atomic_load(&m->signal) == 0 && !m->cut_off;
}

void mount_close(struct mount *m)
{
	if (!m)
		return;
	pool_close(m->workers);
	pool_close(m->writers);
	view_free(m->view);
	if (m->session && m->mounted && (m->foreground || atomic_load(&m->signal) == 0))
		fuse_session_unmount(m->session);
	if (m->session)
		fuse_session_destroy(m->session);
	ahead_free(m->ahead);
	reply_log_free(m->log);
	free(m->point);
	free(m);
}
