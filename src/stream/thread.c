/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Helper threads of stages. The library does not touch signals: a mask given by attribute leaves
 * the caller's own mask alone even for a moment.
 */
#include "stream/thread.h"

#include <signal.h>

static int start(pthread_t *ret, const pthread_attr_t *attr, void *(*run)(void *arg), void *arg)
{
	pthread_t thread;
	int e;

	e = pthread_create(&thread, attr, run, arg);
	if (e)
		return -e;
	*ret = thread;
	return 0;
}

int thread_start(pthread_t *ret, void *(*run)(void *arg), void *arg)
{
	pthread_attr_t attr;
	sigset_t all;
	int r;

	r = pthread_attr_init(&attr);
	if (r)
		return -r;
	(void)sigfillset(&all); /* cannot fail on a valid pointer */
	r = -pthread_attr_setsigmask_np(&attr, &all);
	if (r == 0)
		r = start(ret, &attr, run, arg);
	(void)pthread_attr_destroy(&attr);
	return r;
}
