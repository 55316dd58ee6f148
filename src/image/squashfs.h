/* SPDX-License-Identifier: Apache-2.0 */
/* Squashfs images for other modules: into a directory that is there. Any thread. Errors: err. */
#ifndef IMAGE_SQUASHFS_H
#define IMAGE_SQUASHFS_H

#include "base/macros.h"
#include "imbrex/error.h"

/*
 * As imbrex_squashfs_extract(), into an empty directory of the caller's, who syncs it or throws it
 * away.
 */
int squashfs_extract_into(
	const char *file, int dirfd, unsigned int processors, struct imbrex_error *err) MUST_CHECK;

#endif
