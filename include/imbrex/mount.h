/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts of layer chains, counted across all processes that use the store.
 */
#ifndef IMBREX_MOUNT_H
#define IMBREX_MOUNT_H

#include "imbrex/object.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Zero means default everywhere. */
struct imbrex_mount_opts {
	bool read_only;      /* always so for images */
	const char *options; /* comma separated, replace the configured ones; NULL: keep */
	const char *label;   /* SELinux mount label; NULL: the recorded one */
	unsigned int kinds;  /* 0: container, then image; layers only if asked for */
	bool exact;          /* names as they stand; nothing is completed */
};
/*
 * Mount a container's or layer's tree, or an image's (read-only). ret_path: free(). opts may be
 * NULL.
 */
IMBREX_API int imbrex_mount(struct imbrex_store *s, const char *object,
	const struct imbrex_mount_opts *opts, char **ret_path, struct imbrex_error *err)
	__attribute__((warn_unused_result));
/* Undo one mount, or all of them if `all`. *ret_still: mounts left; may be NULL.
 * EINVAL (reason LAYER_NOT_MOUNTED) if there is nothing to undo, unless `all`. */
IMBREX_API int imbrex_unmount(struct imbrex_store *s, const char *object, bool all, int *ret_still,
	struct imbrex_error *err) __attribute__((warn_unused_result));
/* The same for an object of certain kinds, named exactly (see imbrex_mount_opts). */
IMBREX_API int imbrex_unmount_kind(struct imbrex_store *s, const char *object, unsigned int kinds,
	bool all, int *ret_still, struct imbrex_error *err) __attribute__((warn_unused_result));
/* How often the object is mounted; 0: not. */
IMBREX_API int imbrex_mounted(struct imbrex_store *s, const char *object, unsigned int kinds,
	int *ret_count, struct imbrex_error *err) __attribute__((warn_unused_result));

#ifdef __cplusplus
}
#endif
#endif
