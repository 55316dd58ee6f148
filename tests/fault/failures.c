/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each call that changes the disk fails once. The operation says so in one line or does without
 * the call; nothing leaks; the store is as before, or as after; and the next try works.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "modes.h"
#include "operations.h"
#include "seam.h"

/* No operation on these images takes as long; a deadlock does. */
#define ROUND_SEC 240

/* False when the operation has fewer than n calls. */
static bool fail_nth(const struct world *w, const struct operation *o,
	const struct outcome *outcome, unsigned int n, int errnum)
{
	const struct seam_plan plan = { .action = SEAM_FAIL, .n = n, .errnum = errnum };
	unsigned int n_fds = count_fds();
	struct imbrex_error err = { 0 };
	struct imbrex_store *s;
	const char *call;
	int r;

	(void)alarm(ROUND_SEC);
	s = operation_begin(w, o, "round");
	if (!s && o->from)
		return true;
	seam_arm(&plan);
	r = operation_run(w, o, "round", &s, &err);
	(void)seam_disarm();
	call = seam_failed();
	context("%s %s: %s of call %u, %s()", w->driver, o->name, strerrorname_np(errnum), n,
		call ? call : "none");
	if (r < 0)
		expect_message(r, &err);
	if (r < 0 && getenv("IMBREX_FAULT_VERBOSE"))
		printf("%s(): %s: %s\n", call, o->name, err.message);
	imbrex_store_close(s);
	if (!call) {
		if (r < 0)
			problem("nothing failed but the operation: %s", err.message);
		return false;
	}
	operation_recover(w, o, "round", outcome, r == 0);
	if (count_fds() != n_fds)
		problem("%u open files, not %u", count_fds(), n_fds);
	return true;
}

/* In a process of its own, whose leaks are looked for when it ends. */
static void __attribute__((noreturn)) fail_each(const struct world *w, const struct operation *o)
{
	static const int errnums[] = { EIO, ENOSPC };
	struct outcome outcome = operation_outcome(w, o);
	unsigned int rounds = 0;
	unsigned int n;
	unsigned int n_problems = problems();
	bool more = true;

	for (n = 1; more; n += operation_stride(w, o)) {
		more = fail_nth(w, o, &outcome, n, errnums[n % 2]);
		if (w->full && more)
			(void)fail_nth(w, o, &outcome, n, errnums[(n + 1) % 2]);
		rounds += w->full ? 2 : 1;
	}
	printf("%s %s: %u calls, %u rounds\n", w->driver, o->name, outcome.n_calls, rounds);
	outcome_done(&outcome);
	exit(problems() > n_problems ? 1 : 0);
}

void test_failures(const struct world *w)
{
	int status;
	size_t i;
	pid_t pid;

	seam_skip_syncs(true);
	operations_prepare(w);
	for (i = 0; i < n_operations; i++) {
		if (!operation_is_wanted(&operations[i]))
			continue;
		(void)fflush(stdout);
		pid = fork();
		if (pid == 0)
			fail_each(w, &operations[i]);
		context("%s %s", w->driver, operations[i].name);
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			problem("no process: %s", strerror(errno));
		else if (WIFSIGNALED(status))
			problem("killed by signal %d", WTERMSIG(status));
		else if (WEXITSTATUS(status))
			problem("exit status %d", WEXITSTATUS(status));
	}
}
