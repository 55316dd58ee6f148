/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process dies just before and just after each call that changes the disk. Whoever comes next
 * finds the store as before or as after, and nothing but garbage, which gc removes.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "modes.h"
#include "operations.h"
#include "seam.h"

#define ROUND_SEC 240

static void die_at(const struct world *w, const struct operation *o, const struct outcome *outcome,
	enum seam_action action, unsigned int n)
{
	const struct seam_plan plan = { .action = action, .n = n };
	struct imbrex_store *s = operation_begin(w, o, "round");
	struct imbrex_error err = { 0 };
	int status = 0;
	pid_t pid;

	context("%s %s: death %s call %u", w->driver, o->name,
		action == SEAM_BEFORE ? "before" : "after", n);
	/* Fork shares the files of locks; none is held here. */
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		(void)alarm(ROUND_SEC);
		seam_arm(&plan);
		_exit(operation_run(w, o, "round", &s, &err) < 0 ? 1 : 0);
	}
	imbrex_store_close(s);
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		problem("no process: %s", strerror(errno));
		return;
	}
	/* A thread may have written in smaller pieces this time, and larger ones now. */
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != SEAM_EXIT)
		problem("it ended with status %x", (unsigned int)status);
	(void)alarm(ROUND_SEC);
	operation_recover(w, o, "round", outcome, false);
	(void)alarm(0);
}

void test_crash(const struct world *w)
{
	unsigned int rounds;
	unsigned int n;
	size_t i;

	seam_skip_syncs(true);
	operations_prepare(w);
	for (i = 0; i < n_operations; i++) {
		const struct operation *o = &operations[i];
		struct outcome outcome;

		if (!operation_is_wanted(o))
			continue;
		outcome = operation_outcome(w, o);

		/* Sampled, the two take turns. */
		rounds = 0;
		for (n = 1; n <= outcome.n_calls; n += operation_stride(w, o)) {
			if (w->full || rounds % 2 == 0)
				die_at(w, o, &outcome, SEAM_BEFORE, n);
			if (w->full || rounds % 2 == 1)
				die_at(w, o, &outcome, SEAM_AFTER, n);
			rounds += w->full ? 2 : 1;
		}
		printf("%s %s: %u calls, %u rounds\n", w->driver, o->name, outcome.n_calls, rounds);
		outcome_done(&outcome);
	}
}
