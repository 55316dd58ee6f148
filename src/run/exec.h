/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carrying out a plan, inside the child.
 *
 * Threading: none; the process is a fresh child with one thread. Errors: fills err.
 */
#ifndef RUN_EXEC_H
#define RUN_EXEC_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/macros.h"
#include "base/strv.h"
#include "run/passwd.h"
#include "run/plan.h"

struct run_exec {
	const struct run_plan *plan;   /* borrowed */
	const struct run_facts *facts; /* borrowed */
	const sigset_t *signals;       /* borrowed; mask the program starts with */
	int root;                      /* owned; O_PATH of the rootfs, then its mount */
	int empty;                     /* owned; an empty read-only directory; -EBADF before */
	struct run_user user;          /* owned; valid after IDENTITY */
	struct strv env;               /* owned; valid after IDENTITY */
	bool is_init_child;            /* behind FORK_INIT */
	int exit_status;               /* 126 or 127 once EXEC has failed; else 0 */
};

/* Applies every operation. Does not return if the program starts, or in process 1. */
int run_exec(struct run_exec *x, struct imbrex_error *err) MUST_CHECK;

#endif
