/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work that a signal may end, without a trace of it.
 *
 * The work is done in a child, which keeps nothing from dying: what it makes is under locked
 * temporary names until it is whole. The parent waits, passes the end on, and takes away what was
 * left when the child is gone. Killed itself, it takes the child along (PR_SET_PDEATHSIG); then the
 * next command cleans up.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "cli/enroot/enroot.h"

static const int endings[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };

void enroot_end_with_parent(void)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void __attribute__((noreturn))
be_child(int (*work)(void *arg), void *arg, const sigset_t *mask, pid_t parent)
{
	int status;

	enroot_end_with_parent();
	/* It may have died before it could be watched. */
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
	(void)sigprocmask(SIG_SETMASK, mask, NULL);
	status = work(arg);
	(void)fflush(NULL);
	_exit(status);
}

/* Waits for the child; the signal to die of in *ret_signal, 0 if none came. */
static int wait_for(pid_t child, const sigset_t *watched, int *ret_signal)
{
	int status = EXIT_FAILURE << 8, sig; /* as wait(2) has it */

	*ret_signal = 0;
	while (waitpid(child, &status, WNOHANG) == 0) {
		sig = sigwaitinfo(watched, NULL);
		if (sig <= 0 || sig == SIGCHLD)
			continue;
		*ret_signal = sig;
		(void)kill(child, SIGKILL);
		(void)waitpid(child, &status, 0);
		break;
	}
	if (!*ret_signal && WIFSIGNALED(status))
		*ret_signal = WTERMSIG(status);
	return status;
}

static void die_of(int sig)
{
	sigset_t set;

	(void)signal(sig, SIG_DFL);
	(void)raise(sig);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, sig);
	(void)sigprocmask(SIG_UNBLOCK, &set, NULL);
}

int enroot_supervise(int (*work)(void *arg), void *arg, const char *place)
{
	pid_t parent = getpid(), child;
	struct sigaction action;
	sigset_t watched, before;
	size_t i;
	int status, sig, r;

	(void)sigemptyset(&watched);
	(void)sigaddset(&watched, SIGCHLD);
	for (i = 0; i < ARRAY_LEN(endings); i++) {
		/* nohup and background jobs: what is ignored stays so. */
		if (sigaction(endings[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			(void)sigaddset(&watched, endings[i]);
	}
	/* Who ignores it would never hear of the child. */
	(void)signal(SIGCHLD, SIG_DFL);
	(void)sigprocmask(SIG_BLOCK, &watched, &before);
	(void)fflush(NULL);
	child = fork();
	if (child == 0)
		be_child(work, arg, &before, parent);
	if (child < 0)
		return enroot_error("no process: %m");
	status = wait_for(child, &watched, &sig);
	if (sig) {
		r = imbrex_rootfs_recover(place, NULL);
		(void)r; /* whoever comes next tries again */
		die_of(sig);
	}
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}
