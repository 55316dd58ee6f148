/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Run a list of jobs on a few threads. Parallelism stays outside the logic: a job is one plain
 * function that shares nothing it does not lock itself.
 *
 * Threading: pool_run() may be called from any thread; it returns when all its threads are done.
 * Errors: err.
 */
#ifndef OS_POOL_H
#define OS_POOL_H

#include <stddef.h>

#include "base/macros.h"
#include "imbrex/error.h"

/* 0 or a negative status with err filled. */
typedef int (*pool_job)(void *ctx, size_t index, struct imbrex_error *err);

/*
 * Start jobs 0 .. n_jobs-1 in order, at most n_threads (0 means pool_n_cpus()) at a time. After
 * the first failure no further job starts; those that run are waited for. With one thread the
 * jobs run in the caller.
 *
 * Errors the status and text of the job that failed first in time, but for one that was canceled.
 */
int pool_run(size_t n_jobs, size_t n_threads, pool_job job, void *ctx,
	struct imbrex_error *err) MUST_CHECK;

/* CPUs this process may use; at least 1. */
size_t pool_n_cpus(void);

#endif
