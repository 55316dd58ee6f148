/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system call filter of a run: a short list of calls that are refused, all others allowed.
 *
 * A list of refusals is not a sandbox: it takes away calls that act on the whole machine, or that
 * have been a road into the kernel and that programs live without. docs/run.md shows the list.
 * Errors: fills err.
 */
#ifndef RUN_SECCOMP_H
#define RUN_SECCOMP_H

#include <linux/filter.h>
#include <stddef.h>

#include "base/macros.h"
#include "imbrex/error.h"

/* The program for this machine, *ret_len instructions. Static storage. */
const struct sock_filter *run_seccomp_program(size_t *ret_len);

/* Install it; needs CAP_SYS_ADMIN in our user namespace, or no_new_privs. */
int run_seccomp_install(struct imbrex_error *err) MUST_CHECK;

#endif
