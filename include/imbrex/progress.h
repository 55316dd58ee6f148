/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Progress of long work: one event struct, one callback type.
 *
 * The library calls back from whichever thread does the work, never from two at once for one
 * operation. The callback must be quick and must not call the library. Events of one item come in
 * order START, BYTES*, DONE.
 */
#ifndef IMBREX_PROGRESS_H
#define IMBREX_PROGRESS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum imbrex_progress_kind {
	IMBREX_PROGRESS_START = 1, /* an item begins; total_bytes is known or 0 */
	IMBREX_PROGRESS_BYTES = 2, /* done_bytes grew */
	IMBREX_PROGRESS_DONE = 3,  /* the item is complete */
	IMBREX_PROGRESS_SKIP = 4,  /* the item is here already; nothing will be moved */
	IMBREX_PROGRESS_NOTE = 5   /* a step with no size ("writing the image record") or a retry */
};

struct imbrex_progress {
	enum imbrex_progress_kind kind;
	const char *item;     /* what: "sha256:ab12..." of a layer; borrowed */
	const char *text;     /* for NOTE: one line for people; else NULL */
	uint64_t done_bytes;  /* of this item, compressed as transferred */
	uint64_t total_bytes; /* of this item; 0 if unknown */
};

typedef void (*imbrex_progress_fn)(void *userdata, const struct imbrex_progress *event);

/* Steps on the way to an image, for those who tell a story of them. */
enum imbrex_rootfs_step {
	IMBREX_ROOTFS_QUERY = 1,  /* the source is opened */
	IMBREX_ROOTFS_MANIFEST,   /* its documents are here */
	IMBREX_ROOTFS_DOWNLOAD,   /* `n` layers are not in the cache; 0: all are */
	IMBREX_ROOTFS_UNPACK,     /* layers become a tree */
	IMBREX_ROOTFS_OTHER_ARCH, /* the image is not for the platform asked for: `text` is what it
				     is for */
	IMBREX_ROOTFS_GRANTED,    /* a registry asks for no authorization */
	IMBREX_ROOTFS_AUTH,       /* it does; `text` is the user, NULL: nobody by name */
	IMBREX_ROOTFS_AUTH_DONE,  /* and lets us in */
	IMBREX_ROOTFS_REFUSED,    /* it answers the URL `text` with HTTP status `n` */
	IMBREX_ROOTFS_PACK        /* a tree becomes a file */
};
/* From the calling thread. */
typedef void (*imbrex_rootfs_step_fn)(
	void *userdata, enum imbrex_rootfs_step step, size_t n, const char *text);

#ifdef __cplusplus
}
#endif
#endif
