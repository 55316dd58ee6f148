/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Run a helper program and wait for it: newuidmap, fuse-overlayfs, credential helpers.
 *
 * Nothing of this process leaks into the helper: an absolute path, the environment given and no
 * other, no fds but those named, no blocked signals. Threading: safe. Errors: err.
 */
#ifndef OS_PROC_H
#define OS_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "base/str.h"
#include "imbrex/error.h"

struct proc_fd {
	int fd;     /* borrowed: ours */
	int target; /* its number in the helper; >= 3 */
};

struct proc_spec {
	const char *const *argv;   /* argv[0] is an absolute path; NULL terminated */
	const char *const *env;    /* "K=V", NULL terminated; NULL means empty */
	const void *input;         /* what the helper reads on stdin */
	size_t input_len;          /* 0 means /dev/null */
	int stdin_fd;              /* > 0: stdin instead of `input`; borrowed */
	int stdout_fd;             /* > 0: stdout, if no string is given for it; borrowed */
	const struct proc_fd *fds; /* passed on as they are */
	size_t n_fds;
	unsigned int timeout_ms; /* killed after it; 0 means wait for ever */
	bool cause_is_last;      /* it warns before it fails: proc_check quotes the last line */
};

/*
 * Run to the end.
 *
 * out         its stdout is appended, up to the string's maximum; NULL means /dev/null
 * ret_status  exit code, or 128 + signal number. Not zero is not a failure of this function
 * Errors      ENOENT if there is no such program; ELIMIT if it says more than `out` may hold
 *             (it is killed then); EFAIL after the timeout
 */
int proc_run(const struct proc_spec *spec, struct str *out, int *ret_status,
	struct imbrex_error *err) MUST_CHECK;

/* The same, and the beginning of what it complains of goes to `said`, up to the string's maximum.
 */
int proc_hear(const struct proc_spec *spec, struct str *out, struct str *said, int *ret_status,
	struct imbrex_error *err) MUST_CHECK;

/* The same, but an exit status other than 0 is EFAIL, with the first (or last) line of its stderr.
 */
int proc_check(const struct proc_spec *spec, struct str *out, struct imbrex_error *err) MUST_CHECK;

/* Wait for a child: exit code, or 128 + signal number; or -errno. */
int proc_wait(pid_t pid) MUST_CHECK;

/* First of the NULL terminated absolute paths that is executable; NULL if none. */
const char *proc_find(const char *const *paths);

#endif
