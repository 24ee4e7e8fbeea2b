/* interrupt.c - see interrupt.h. */

#include "tools/interrupt.h"

#include "core/base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { GRACE_SECONDS = 20 };

struct interrupt {
	sigset_t signals;
	pthread_t thread;
	atomic_int asked;
	atomic_int fatal;
	atomic_bool stopping;
};

/* Nobody has reacted: the process ends where it is. */
static void end_by_force(const struct interrupt *i, int signal_number)
{
	for (int waited = 0; waited < GRACE_SECONDS * 10; waited++) {
		if (atomic_load(&i->stopping))
			return;
		usleep(100000);
	}
	_exit(run_ended_by(signal_number));
}

static void *wait_for_signals(void *arg)
{
	struct interrupt *i = arg;
	int signal_number = 0;

	for (;;) {
		if (sigwait(&i->signals, &signal_number) != 0)
			continue;
		if (atomic_load(&i->stopping))
			return NULL;
		if (signal_number == SIGINT && atomic_fetch_add(&i->asked, 1) == 0)
			continue;
		atomic_store(&i->fatal, signal_number);
		end_by_force(i, signal_number);
		return NULL;
	}
}

int interrupt_start(struct interrupt **out, struct run *run, struct err *e)
{
	static const int watched[] = { SIGINT, SIGTERM, SIGHUP };
	struct interrupt *i = calloc(1, sizeof(*i));
	int rc;

	if (!i)
		return err_nomem(e, "signals");
	run_take_signals(run);
	sigemptyset(&i->signals);
	for (size_t k = 0; k < sizeof(watched) / sizeof(watched[0]); k++)
		sigaddset(&i->signals, watched[k]);
	pthread_sigmask(SIG_BLOCK, &i->signals, NULL);
	rc = thread_start(&i->thread, wait_for_signals, i, "signals", e);
	if (rc < 0) {
		free(i);
		return rc;
	}
	*out = i;
	return 0;
}

void interrupt_stop(struct interrupt *i)
{
	if (!i)
		return;
	atomic_store(&i->stopping, true);
	pthread_kill(i->thread, SIGTERM);
	thread_join(i->thread);
	free(i);
}

bool interrupt_asked(const struct interrupt *i)
{
	return atomic_load(&i->asked) > 0;
}

int interrupt_fatal(const struct interrupt *i)
{
	return atomic_load(&i->fatal);
}

int interrupt_check(const struct interrupt *i, struct err *e)
{
	return interrupt_fatal(i) ? err_set(e, EINTR, "interrupted") : 0;
}

int interrupt_result(const struct interrupt *i, struct run *run, int rc)
{
	if (rc >= 0 || !interrupt_fatal(i))
		return rc;
	run->exit_code = run_ended_by(interrupt_fatal(i));
	return 0;
}
