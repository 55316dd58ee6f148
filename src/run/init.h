/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for a program: as process 1 of its namespace, and as the caller outside.
 *
 * Both pass signals on and stay in the program's process group. What the terminal sends goes to
 * the whole group at once, so signals made by the kernel are not passed on a second time, and
 * stopping and continuing need no help.
 * Threading: single-threaded processes only.
 */
#ifndef RUN_INIT_H
#define RUN_INIT_H

#include <signal.h>
#include <sys/types.h>

/* SIGCHLD and the signals that are passed on; to be blocked before the child is made. */
void run_signals(sigset_t *ret);

/* As process 1: reap everything until `child` ends; returns its status, 128 + N for signal N. */
int run_init(pid_t child);

/* As the caller: wait for `child` only. Status as above, or -errno. */
int run_wait(pid_t child);

#endif
