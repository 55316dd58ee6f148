/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding and executing the program, after the pivot and with the program's own rights.
 *
 * Threading: none. Errors: fills err; ret_status gets what a shell would return.
 */
#ifndef RUN_PROGRAM_H
#define RUN_PROGRAM_H

#include "base/macros.h"
#include "base/strv.h"
#include "imbrex/error.h"

/*
 * Replaces the process; returns only on failure, a negative status, with *ret_status 127 if there
 * is no such program and 126 if it cannot be executed.
 *
 * rootfd  "/" of the program
 */
int run_program(int rootfd, const char *const *argv, const struct strv *env, int *ret_status,
	struct imbrex_error *err) MUST_CHECK;

#endif
