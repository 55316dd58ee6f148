/* SPDX-License-Identifier: Apache-2.0 */
/* One call on a thread of its own; see the header. */
#include "template/task.h"

#include "base/error.h"
#include "stream/thread.h"

static void *run(void *arg)
{
	struct task *task = arg;

	task->r = task->fn(task->ctx, &task->err);
	return NULL;
}

int task_start(struct task *task, int (*fn)(void *ctx, struct imbrex_error *err), void *ctx,
	struct imbrex_error *err)
{
	int r;

	*task = (struct task){ .fn = fn, .ctx = ctx };
	r = thread_start(&task->thread, run, task);
	if (r < 0)
		return fail_code(err, r, "start a thread");
	task->runs = true;
	return 0;
}

int task_join(struct task *task, struct imbrex_error *err)
{
	if (task->runs) {
		(void)pthread_join(task->thread, NULL);
		task->runs = false;
	}
	if (task->r < 0 && err)
		*err = task->err;
	return task->r;
}

int task_run(int (*fn)(void *ctx, struct imbrex_error *err), void *ctx, struct imbrex_error *err)
{
	struct task task;
	int r = task_start(&task, fn, ctx, err);

	return r < 0 ? r : task_join(&task, err);
}
