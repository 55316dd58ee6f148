/* SPDX-License-Identifier: Apache-2.0 */
/* Run a list of jobs on a few threads; see the header. */
#include "os/pool.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "base/error.h"

struct pool {
	pool_job job;
	void *ctx;
	size_t n_jobs;
	struct imbrex_error *err; /* caller's; filled once, under the lock */
	pthread_mutex_t lock;
	size_t next; /* under the lock: first job that was not started */
	int first;   /* under the lock: status of the first failure, not ECANCELED if there is
			another; 0 if none */
};

static void *work(void *arg)
{
	struct pool *p = arg;

	for (;;) {
		struct imbrex_error err = { 0 };
		size_t index;
		int r;

		(void)pthread_mutex_lock(&p->lock);
		index = p->first < 0 ? p->n_jobs : p->next;
		if (index < p->n_jobs)
			p->next++;
		(void)pthread_mutex_unlock(&p->lock);
		if (index >= p->n_jobs)
			return NULL;
		r = p->job(p->ctx, index, &err);
		if (r >= 0)
			continue;
		(void)pthread_mutex_lock(&p->lock);
		/* A job that stopped because of another's failure is not what failed. */
		if (p->first == 0 || (p->first == IMBREX_ECANCELED && r != IMBREX_ECANCELED)) {
			p->first = r;
			if (p->err)
				*p->err = err;
		}
		(void)pthread_mutex_unlock(&p->lock);
		return NULL;
	}
}

int pool_run(size_t n_jobs, size_t n_threads, pool_job job, void *ctx, struct imbrex_error *err)
{
	struct pool p = {
		.job = job,
		.ctx = ctx,
		.n_jobs = n_jobs,
		.err = err,
		.lock = PTHREAD_MUTEX_INITIALIZER,
	};
	AUTO_FREE pthread_t *threads = NULL;
	size_t n_started = 0;
	size_t n;

	n = MIN(n_threads ? n_threads : pool_n_cpus(), n_jobs);
	if (n > 1) {
		threads = calloc(n - 1, sizeof(*threads));
		if (!threads)
			return fail_nomem(err);
	}
	/* The caller is a worker too, so a machine out of threads is only slower. */
	while (n_started + 1 < n && pthread_create(&threads[n_started], NULL, work, &p) == 0)
		n_started++;
	(void)work(&p);
	while (n_started)
		(void)pthread_join(threads[--n_started], NULL);
	(void)pthread_mutex_destroy(&p.lock);
	return p.first;
}

size_t pool_n_cpus(void)
{
	cpu_set_t set;
	int n;

	if (sched_getaffinity(0, sizeof(set), &set) == 0) {
		n = CPU_COUNT(&set);
		if (n > 0)
			return (size_t)n;
	}
	return 1;
}
