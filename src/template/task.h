/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call on a thread of its own, with every signal blocked there: a pipe whose reader has gone is
 * an error, and not the end of the program. Errors: err.
 */
#ifndef TEMPLATE_TASK_H
#define TEMPLATE_TASK_H

#include <pthread.h>
#include <stdbool.h>

#include "base/macros.h"
#include "imbrex/error.h"

struct task {
	int (*fn)(void *ctx, struct imbrex_error *err);
	void *ctx;
	pthread_t thread;
	bool runs;
	int r; /* of fn */
	struct imbrex_error err;
};

int task_start(struct task *task, int (*fn)(void *ctx, struct imbrex_error *err), void *ctx,
	struct imbrex_error *err) MUST_CHECK;
/* What it returned, its error copied; again and again. */
int task_join(struct task *task, struct imbrex_error *err);
/* Both at once. */
int task_run(int (*fn)(void *ctx, struct imbrex_error *err), void *ctx,
	struct imbrex_error *err) MUST_CHECK;

#endif
