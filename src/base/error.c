/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The error object. Nothing here allocates or can fail; messages are cut at the size of the
 * caller's storage and cleaned of control bytes, because nouns in them may come from outside.
 */
#include "base/error.h"

#include <stdio.h>
#include <string.h>

/* Names from outside reach a terminal through messages: no escape sequences, no newlines. */
static void clean(char *s)
{
	for (; *s; s++) {
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
	}
}

PRINTF_LIKE(4, 0)
static int fill(struct imbrex_error *err, int status, int errnum, const char *fmt, va_list ap)
{
	int n;

	if (!err)
		return status;
	err->status = status;
	err->errnum = errnum;
	err->reason = 0;
	err->hint[0] = '\0';
	n = vsnprintf(err->message, sizeof(err->message), fmt, ap);
	if (n < 0)
		err->message[0] = '\0';
	if (errnum && n >= 0 && (size_t)n < sizeof(err->message))
		(void)snprintf(err->message + n, sizeof(err->message) - (size_t)n, ": %s",
			strerrordesc_np(errnum) ? strerrordesc_np(errnum) : "unknown error");
	clean(err->message);
	return status;
}

int fail(struct imbrex_error *err, int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)fill(err, status, 0, fmt, ap);
	va_end(ap);
	return status;
}

int fail_reason(struct imbrex_error *err, int status, int reason, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)fill(err, status, 0, fmt, ap);
	va_end(ap);
	if (err)
		err->reason = reason;
	return status;
}

int fail_errno(struct imbrex_error *err, const char *fmt, ...)
{
	int errnum = errno;
	va_list ap;

	va_start(ap, fmt);
	(void)fill(err, status_of_errno(errnum), errnum, fmt, ap);
	va_end(ap);
	return status_of_errno(errnum);
}

int fail_code(struct imbrex_error *err, int errnum, const char *fmt, ...)
{
	va_list ap;

	if (errnum < 0)
		errnum = -errnum;
	va_start(ap, fmt);
	(void)fill(err, status_of_errno(errnum), errnum, fmt, ap);
	va_end(ap);
	return status_of_errno(errnum);
}

int wrap(struct imbrex_error *err, int r, const char *fmt, ...)
{
	char lower[IMBREX_ERROR_MESSAGE_MAX];
	va_list ap;
	int n;

	if (!err)
		return r;
	memcpy(lower, err->message, sizeof(lower));
	va_start(ap, fmt);
	n = vsnprintf(err->message, sizeof(err->message), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(err->message))
		(void)snprintf(err->message + n, sizeof(err->message) - (size_t)n, ": %s", lower);
	clean(err->message);
	return r;
}

int hint(struct imbrex_error *err, int r, const char *fmt, ...)
{
	va_list ap;

	if (!err || err->hint[0])
		return r;
	va_start(ap, fmt);
	(void)vsnprintf(err->hint, sizeof(err->hint), fmt, ap);
	va_end(ap);
	clean(err->hint);
	return r;
}

int status_of_errno(int errnum)
{
	switch (errnum) {
	case ENOENT:
		return IMBREX_ENOENT;
	case EEXIST:
	case ENOTEMPTY:
		return IMBREX_EEXIST;
	case EACCES:
	case EPERM:
	case EROFS:
		return IMBREX_EPERM;
	case EBUSY:
	case ETXTBSY:
		return IMBREX_EBUSY;
	case ENOSPC:
	case EDQUOT:
		return IMBREX_ENOSPC;
	case EIO:
		return IMBREX_EIO;
	case ENOMEM:
		return IMBREX_ENOMEM;
	case EOPNOTSUPP:
	case ENOSYS:
		return IMBREX_ENOTSUP;
	case EINVAL:
		return IMBREX_EINVAL;
	case ECANCELED:
		return IMBREX_ECANCELED;
	case ENAMETOOLONG:
	case EFBIG:
	case EMFILE:
	case ENFILE:
		return IMBREX_ELIMIT;
	default:
		return IMBREX_EFAIL;
	}
}

PUBLIC const char *imbrex_status_name(int status)
{
	static const struct {
		int status;
		const char *name;
	} names[] = {
		{ IMBREX_OK, "ok" },
		{ IMBREX_EFAIL, "failed" },
		{ IMBREX_EINVAL, "invalid argument" },
		{ IMBREX_ENOENT, "not found" },
		{ IMBREX_EEXIST, "exists already" },
		{ IMBREX_EFORMAT, "malformed input" },
		{ IMBREX_EDIGEST, "digest mismatch" },
		{ IMBREX_ELIMIT, "limit exceeded" },
		{ IMBREX_EPERM, "not permitted" },
		{ IMBREX_EBUSY, "busy" },
		{ IMBREX_ENOSPC, "no space" },
		{ IMBREX_EIO, "input/output error" },
		{ IMBREX_ENET, "network failure" },
		{ IMBREX_ENOTSUP, "not supported" },
		{ IMBREX_ENOMEM, "out of memory" },
		{ IMBREX_ECANCELED, "canceled" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++) {
		if (names[i].status == status)
			return names[i].name;
	}
	return "unknown status";
}
