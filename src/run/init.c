/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals are blocked and taken with sigwaitinfo(2): no handlers, no races, and a signal that
 * process 1 has no handler for is not dropped by the kernel as long as it is blocked.
 */
#include "run/init.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/wait.h>

#include "base/macros.h"

static const int passed_on[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM,
	SIGWINCH };

static int exit_status(int wait_status)
{
	return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

/* Collect children (`which` as of waitpid). True once `child` is among them. */
static bool reap(pid_t which, pid_t child, int *ret_status)
{
	bool found = false;
	pid_t pid;
	int status;

	for (;;) {
		pid = waitpid(which, &status, WNOHANG);
		if (pid < 0 && errno == EINTR)
			continue;
		if (pid <= 0)
			return found;
		if (pid == child) {
			*ret_status = exit_status(status);
			found = true;
		}
	}
}

static int wait_for(pid_t which, pid_t child)
{
	siginfo_t info;
	sigset_t set;
	int status = 0;
	int sig;

	run_signals(&set);
	for (;;) {
		if (reap(which, child, &status))
			return status;
		sig = sigwaitinfo(&set, &info);
		if (sig < 0 && errno != EINTR)
			return -errno;
		if (sig > 0 && sig != SIGCHLD && info.si_code != SI_KERNEL)
			(void)kill(child, sig); /* fails only if it has just ended */
	}
}

void run_signals(sigset_t *ret)
{
	size_t i;
	int sig;

	(void)sigemptyset(ret);
	(void)sigaddset(ret, SIGCHLD);
	for (i = 0; i < ARRAY_LEN(passed_on); i++)
		(void)sigaddset(ret, passed_on[i]);
	for (sig = SIGRTMIN; sig <= SIGRTMAX; sig++)
		(void)sigaddset(ret, sig);
}

int run_init(pid_t child)
{
	int status = wait_for(-1, child);

	return status < 0 ? 255 : status;
}

int run_wait(pid_t child)
{
	return wait_for(child, child);
}
