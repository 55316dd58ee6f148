/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How modules fill a struct imbrex_error. The lowest function that knows a noun puts it into the
 * message; wrap() only adds a noun the callee could not know. All take err == NULL.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdarg.h>

#include "base/macros.h"
#include "imbrex/error.h"

/* Fill err and return `status`. The message is cut, never overflowed; control bytes become '?'. */
int fail(struct imbrex_error *err, int status, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* As fail(), with the reason that tells apart what shares a status. */
int fail_reason(struct imbrex_error *err, int status, int reason, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

/* As fail(), with status and text from the current errno: "open 'x': Permission denied". */
int fail_errno(struct imbrex_error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* As fail_errno() with an errno value given (positive, or negative as leaf helpers return it). */
int fail_code(struct imbrex_error *err, int errnum, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Put "<noun>: " before the message of a failure that was already filled in; returns r. */
int wrap(struct imbrex_error *err, int r, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Set the next step for a person, unless a lower level has set one; returns r. */
int hint(struct imbrex_error *err, int r, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The one message for a failed allocation. */
static inline int fail_nomem(struct imbrex_error *err)
{
	(void)fail(err, IMBREX_ENOMEM, "out of memory");
	return IMBREX_ENOMEM;
}

/* enum imbrex_status that fits an errno value. */
int status_of_errno(int errnum);

#endif
