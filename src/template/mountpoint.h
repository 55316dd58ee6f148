/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datasets as directories. A dataset below STORE belongs at the same name below the data path,
 * whatever its property mountpoint says.
 *
 * What is filled is mounted for this process alone where it may mount: nobody sees it, and it ends
 * with its descriptor. Who may not mount asks the mount helper, enroot-zfs-mount(8), which mounts
 * where everybody sees it. Errors: err.
 */
#ifndef TEMPLATE_MOUNTPOINT_H
#define TEMPLATE_MOUNTPOINT_H

#include "template/store.h"

struct template_view {
	int fd;     /* owned; the root directory of the dataset, for reading */
	int mount;  /* owned; -EBADF: the helper mounted it */
	bool asked; /* the helper is to unmount it */
	struct zfs_name name;
};
#define TEMPLATE_VIEW_INIT                    \
	{                                     \
		.fd = -EBADF, .mount = -EBADF \
	}

int template_view_open(struct imbrex_templates *t, const struct zfs_name *name,
	struct template_view *ret, struct imbrex_error *err) MUST_CHECK;
/* All that was written is on its way to the disk; a failure to unmount is one. */
int template_view_close(
	struct imbrex_templates *t, struct template_view *v, struct imbrex_error *err) MUST_CHECK;

/* At its place, unless it is there already. */
int template_mount(struct imbrex_templates *t, const struct zfs_name *name,
	struct imbrex_error *err) MUST_CHECK;
/* Nothing to do if it is not mounted. */
int template_unmount(struct imbrex_templates *t, const struct zfs_name *name,
	struct imbrex_error *err) MUST_CHECK;
/* The empty directory that it was mounted at; anything else stays. */
void template_remove_place(struct imbrex_templates *t, const struct zfs_name *name);
/* Is the dataset mounted at its place? 1, 0. */
int template_is_mounted(struct imbrex_templates *t, const struct zfs_name *name,
	struct imbrex_error *err) MUST_CHECK;

#endif
