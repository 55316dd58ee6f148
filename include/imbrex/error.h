/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Status codes and the error object of libimbrex.
 *
 * Every fallible function returns 0 (or a count, where it says so) on success and a negative
 * enum imbrex_status on failure, and takes a trailing `struct imbrex_error *err`. The object is
 * the caller's storage, is written on failure only, may be NULL, owns nothing and needs no
 * freeing. Zero-initialise it; reuse it freely.
 */
#ifndef IMBREX_ERROR_H
#define IMBREX_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

/* What a caller can act on. Negative, so that results >= 0 stay free for counts. */
enum imbrex_status {
	IMBREX_OK = 0,
	IMBREX_EFAIL = -1001,    /* anything without a better name; the message says what */
	IMBREX_EINVAL = -1002,   /* the caller's argument or option is not acceptable */
	IMBREX_ENOENT = -1003,   /* the named thing does not exist */
	IMBREX_EEXIST = -1004,   /* a thing of that name exists already */
	IMBREX_EFORMAT = -1005,  /* input does not follow its format */
	IMBREX_EDIGEST = -1006,  /* content does not match its digest or size */
	IMBREX_ELIMIT = -1007,   /* input is well formed but beyond a named limit */
	IMBREX_EPERM = -1008,    /* not enough rights, on this machine or at a registry */
	IMBREX_EBUSY = -1009,    /* in use: a mount, a child layer, a container */
	IMBREX_ENOSPC = -1010,   /* disk or quota full */
	IMBREX_EIO = -1011,      /* the operating system failed a read or write */
	IMBREX_ENET = -1012,     /* the network or the remote side failed; trying again may help */
	IMBREX_ENOTSUP = -1013,  /* known, but not supported here (kernel, file system, build) */
	IMBREX_ENOMEM = -1014,   /* out of memory */
	IMBREX_ECANCELED = -1015 /* stopped, because the caller or a sibling job asked for it */
};

#define IMBREX_ERROR_MESSAGE_MAX 1024
#define IMBREX_ERROR_HINT_MAX    256

struct imbrex_error {
	int status;                             /* enum imbrex_status */
	int errnum;                             /* errno of the failed system call; 0 if none */
	char message[IMBREX_ERROR_MESSAGE_MAX]; /* one line, no newline, UTF-8 not promised */
	char hint[IMBREX_ERROR_HINT_MAX];       /* next step for a person; "" if none */
};

/* A short English name of a status ("not found"); never NULL. Static storage. */
__attribute__((visibility("default"))) const char *imbrex_status_name(int status);

#ifdef __cplusplus
}
#endif
#endif
