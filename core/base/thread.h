#ifndef BASE_THREAD_H
#define BASE_THREAD_H

/*
 * thread.h - mutexes that check themselves, a bounded queue, a pool of workers.
 *
 * A failing lock is a bug and aborts.  Queues block the producer when full.  Shutdown:
 * stop the producers, close the queue (consumers drain it), join.
 */

#include "core/base/cleanup.h"
#include "core/base/err.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct mutex {
	pthread_mutex_t m;
};

struct cond {
	pthread_cond_t c;
};

void mutex_init(struct mutex *m);
void mutex_fini(struct mutex *m);
void mutex_lock(struct mutex *m);
void mutex_unlock(struct mutex *m);

/* Many read, one writes. */
struct rwlock {
	pthread_rwlock_t l;
};

void rwlock_init(struct rwlock *l);
void rwlock_fini(struct rwlock *l);
void rwlock_read(struct rwlock *l);
void rwlock_write(struct rwlock *l);
void rwlock_unlock(struct rwlock *l);

void cond_init(struct cond *c); /* on the monotonic clock */
void cond_fini(struct cond *c);
void cond_wait(struct cond *c, struct mutex *m);
bool cond_wait_ms(struct cond *c, struct mutex *m, unsigned timeout_ms); /* false: timed out */
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);

unsigned cpu_count(void); /* processors this process may use; at least 1 */

/* Start a thread with all signals blocked, so that they reach the main thread. */
int thread_start(pthread_t *out, void *(*run)(void *), void *arg, const char *name,
		 struct err *e);
void thread_join(pthread_t thread);

/* A pool runs tasks on its threads; submitting blocks while `queue_max` tasks wait. */
struct pool;
typedef void pool_task(void *arg);

int pool_open(struct pool **out, const char *name, unsigned threads, size_t queue_max,
	      struct err *e);
void pool_submit(struct pool *p, pool_task *task, void *arg);
/* Like pool_submit, but false instead of waiting when the queue is full. */
bool pool_try_submit(struct pool *p, pool_task *task, void *arg);
void pool_close(struct pool *p); /* runs what is queued, joins; does nothing for NULL */
DEFINE_CLEANUP(struct pool *, pool_close);

#endif
