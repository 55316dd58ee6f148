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

/*
 * Why, for callers that must tell apart what shares a status. Set where a call's description names
 * reasons, else 0. Source: the error values of containers/storage, one each.
 */
enum imbrex_reason {
	IMBREX_REASON_NONE = 0,
	IMBREX_REASON_CONTAINER_UNKNOWN,
	IMBREX_REASON_IMAGE_UNKNOWN,
	IMBREX_REASON_LAYER_UNKNOWN,
	IMBREX_REASON_NOT_CONTAINER,
	IMBREX_REASON_NOT_IMAGE,
	IMBREX_REASON_NOT_LAYER,
	IMBREX_REASON_NOT_ANY, /* neither layer nor image nor container */
	IMBREX_REASON_ID_IN_USE,
	IMBREX_REASON_NAME_IN_USE,
	IMBREX_REASON_IMAGE_USED_BY_CONTAINER,
	IMBREX_REASON_LAYER_HAS_CHILDREN,
	IMBREX_REASON_LAYER_USED_BY_IMAGE,
	IMBREX_REASON_LAYER_USED_BY_CONTAINER,
	IMBREX_REASON_LAYER_NOT_MOUNTED,
	IMBREX_REASON_LAYER_MOUNTED,
	IMBREX_REASON_PARENT_IS_CONTAINER,
	IMBREX_REASON_SIZE_UNKNOWN,
	IMBREX_REASON_DIGEST_UNKNOWN,
	IMBREX_REASON_BAD_DATA_NAME,
	IMBREX_REASON_DATA_UNKNOWN, /* no big data item of that name */
	IMBREX_REASON_READ_ONLY,    /* the object lies in an additional store */
	IMBREX_REASON_NOT_ENOUGH_IDS,
	IMBREX_REASON_DRIVER_UNKNOWN, /* no driver of that name */
	IMBREX_REASON_CUT_OFF,        /* a stream ends before its format does */
	IMBREX_REASON_NO_ARCHIVE,     /* no tar header where one must be */
	IMBREX_REASON_FILE_CHANGED,   /* a file of a layer is not what the layer came with */
	IMBREX_REASON_NET_NAME,       /* no address for a host's name */
	IMBREX_REASON_NET_CONNECT,    /* nobody answers there */
	IMBREX_REASON_NET_TIMEOUT,    /* it took longer than it may */
	IMBREX_REASON_NET_LOST,       /* the connection broke */
	IMBREX_REASON_NET_TLS,        /* no TLS session */
	IMBREX_REASON_NET_CERTIFICATE /* a certificate that is not accepted */
};

#define IMBREX_ERROR_MESSAGE_MAX 1024
#define IMBREX_ERROR_HINT_MAX    256

struct imbrex_error {
	int status;                             /* enum imbrex_status */
	int errnum;                             /* errno of the failed system call; 0 if none */
	int reason;                             /* enum imbrex_reason; 0 if none */
	char message[IMBREX_ERROR_MESSAGE_MAX]; /* one line, no newline, UTF-8 not promised */
	char hint[IMBREX_ERROR_HINT_MAX];       /* next step for a person; "" if none */
};

/* A short English name of a status ("not found"); never NULL. Static storage. */
__attribute__((visibility("default"))) const char *imbrex_status_name(int status);

#ifdef __cplusplus
}
#endif
#endif
