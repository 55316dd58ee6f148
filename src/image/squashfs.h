/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Squashfs images for other modules: of and into directories that are open, and may have no name of
 * their own. Any thread. Errors: err.
 */
#ifndef IMAGE_SQUASHFS_H
#define IMAGE_SQUASHFS_H

#include "base/macros.h"
#include "imbrex/rootfs.h"

/*
 * As imbrex_squashfs_extract(), into an empty directory of the caller's, who syncs it or throws it
 * away.
 */
int squashfs_extract_into(
	const char *file, int dirfd, unsigned int processors, struct imbrex_error *err) MUST_CHECK;
/* Will these options do? */
int squashfs_check(const struct imbrex_squashfs_opts *opts, struct imbrex_error *err) MUST_CHECK;
/*
 * As imbrex_squashfs_create().
 *
 * rootfd  borrowed; readable
 * dir     what messages call it; NULL: nothing
 */
int squashfs_create(int rootfd, const char *dir, const char *file,
	const struct imbrex_squashfs_opts *opts, struct imbrex_error *err) MUST_CHECK;

#endif
