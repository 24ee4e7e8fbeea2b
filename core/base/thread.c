/* thread.c - see thread.h. */

#include "core/base/thread.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct task {
	pool_task *run;
	void *arg;
};

struct pool {
	struct mutex lock; /* guards everything below but threads */
	struct cond changed;
	struct task *ring;
	size_t head, count, max;
	bool closing;
	unsigned thread_count;
	pthread_t threads[];
};

static void check(int rc)
{
	if (rc != 0)
		abort(); /* a lock that fails is our own bug; going on would lose data */
}

void mutex_init(struct mutex *m)
{
	pthread_mutexattr_t attr;

	/* Locking twice, or unlocking another's, is an error that check() sees, not a hang. */
	check(pthread_mutexattr_init(&attr));
	check(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK));
	check(pthread_mutex_init(&m->m, &attr));
	check(pthread_mutexattr_destroy(&attr));
}

void mutex_fini(struct mutex *m)
{
	check(pthread_mutex_destroy(&m->m));
}

void mutex_lock(struct mutex *m)
{
	check(pthread_mutex_lock(&m->m));
}

void mutex_unlock(struct mutex *m)
{
	check(pthread_mutex_unlock(&m->m));
}

void rwlock_init(struct rwlock *l)
{
	check(pthread_rwlock_init(&l->l, NULL));
}

void rwlock_fini(struct rwlock *l)
{
	check(pthread_rwlock_destroy(&l->l));
}

void rwlock_read(struct rwlock *l)
{
	check(pthread_rwlock_rdlock(&l->l));
}

void rwlock_write(struct rwlock *l)
{
	check(pthread_rwlock_wrlock(&l->l));
}

void rwlock_unlock(struct rwlock *l)
{
	check(pthread_rwlock_unlock(&l->l));
}

void cond_init(struct cond *c)
{
	pthread_condattr_t attr;

	check(pthread_condattr_init(&attr));
	check(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
	check(pthread_cond_init(&c->c, &attr));
	check(pthread_condattr_destroy(&attr));
}

void cond_fini(struct cond *c)
{
	check(pthread_cond_destroy(&c->c));
}

void cond_wait(struct cond *c, struct mutex *m)
{
	check(pthread_cond_wait(&c->c, &m->m));
}

bool cond_wait_ms(struct cond *c, struct mutex *m, unsigned timeout_ms)
{
	struct timespec until;
	int rc;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	rc = pthread_cond_timedwait(&c->c, &m->m, &until);
	if (rc == ETIMEDOUT)
		return false;
	check(rc);
	return true;
}

void cond_signal(struct cond *c)
{
	check(pthread_cond_signal(&c->c));
}

void cond_broadcast(struct cond *c)
{
	check(pthread_cond_broadcast(&c->c));
}

unsigned cpu_count(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	return CPU_COUNT(&set) > 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

int thread_start(pthread_t *out, void *(*run)(void *), void *arg, const char *name,
		 struct err *e)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	check(pthread_sigmask(SIG_SETMASK, &all, &before));
	rc = pthread_create(out, NULL, run, arg);
	check(pthread_sigmask(SIG_SETMASK, &before, NULL));
	if (rc != 0)
		return err_set(e, rc, "cannot start thread %s: %s", name, strerror(rc));
	pthread_setname_np(*out, name); /* a name over 15 bytes is refused: no harm */
	return 0;
}

void thread_join(pthread_t thread)
{
	check(pthread_join(thread, NULL));
}

static void *pool_run(void *arg)
{
	struct pool *p = arg;

	mutex_lock(&p->lock);
	for (;;) {
		struct task task;

		while (p->count == 0 && !p->closing)
			cond_wait(&p->changed, &p->lock);
		if (p->count == 0)
			break;
		task = p->ring[p->head];
		p->head = (p->head + 1) % p->max;
		p->count--;
		cond_broadcast(&p->changed);
		mutex_unlock(&p->lock);
		task.run(task.arg);
		mutex_lock(&p->lock);
	}
	mutex_unlock(&p->lock);
	return NULL;
}

int pool_open(struct pool **out, const char *name, unsigned threads, size_t queue_max,
	      struct err *e)
{
	CLEANUP(pool_closep) struct pool *p = NULL;

	assert(threads > 0);
	assert(queue_max > 0);
	p = calloc(1, sizeof(*p) + threads * sizeof(p->threads[0]));
	if (!p)
		return err_nomem(e, name);
	mutex_init(&p->lock);
	cond_init(&p->changed);
	p->max = queue_max;
	p->ring = calloc(queue_max, sizeof(p->ring[0]));
	if (!p->ring)
		return err_nomem(e, name);
	for (unsigned i = 0; i < threads; i++) {
		int rc = thread_start(&p->threads[i], pool_run, p, name, e);

		if (rc < 0)
			return rc;
		p->thread_count++;
	}
	*out = TAKE(p);
	return 0;
}

static void push_locked(struct pool *p, pool_task *run, void *arg)
{
	assert(!p->closing);
	p->ring[(p->head + p->count) % p->max] = (struct task){ run, arg };
	p->count++;
	cond_broadcast(&p->changed);
}

void pool_submit(struct pool *p, pool_task *task, void *arg)
{
	mutex_lock(&p->lock);
	while (p->count == p->max)
		cond_wait(&p->changed, &p->lock);
	push_locked(p, task, arg);
	mutex_unlock(&p->lock);
}

bool pool_try_submit(struct pool *p, pool_task *task, void *arg)
{
	bool room;

	mutex_lock(&p->lock);
	room = p->count < p->max;
	if (room)
		push_locked(p, task, arg);
	mutex_unlock(&p->lock);
	return room;
}

void pool_close(struct pool *p)
{
	if (!p)
		return;
	mutex_lock(&p->lock);
	p->closing = true;
	cond_broadcast(&p->changed);
	mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->thread_count; i++)
		thread_join(p->threads[i]);
	cond_fini(&p->changed);
	mutex_fini(&p->lock);
	free(p->ring);
	free(p);
}
