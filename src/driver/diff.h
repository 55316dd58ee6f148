/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories become entries: what a layer holds, or how one tree differs from another.
 *
 * Both push a directory before what is in it, names of one directory in byte order, and finish
 * the sink. Sockets are left out. Xattrs: security.capability, security.ima and user.* but what
 * the overlay file system and this library keep there. Threading: no state. Errors: err.
 * Source: docs/formats/overlay-layer.md, "Content on the way out".
 */
#ifndef DRIVER_DIFF_H
#define DRIVER_DIFF_H

#include <stdbool.h>

#include "tree/entry_sink.h"

struct diff_opts {
	const char *opaque_xattr; /* that of an overlay's upper directory */
	/* Does a layer below show a directory at this path? Asked of opaque directories: only then
	 * does the layer say so in its entries. */
	bool (*lower_has_dir)(void *ctx, const char *path);
	void *ctx;
	bool override_stat; /* believe the override xattr (stores with force_mask) */
};

/* Everything in the upper directory of an overlay; char devices 0:0 are whiteouts. */
int diff_upper(int rootfd, const struct diff_opts *opts, struct entry_sink *to,
	struct imbrex_error *err) MUST_CHECK;

/* What makes `newfd` of `oldfd`; everything if oldfd < 0. Changed things bring their parents. */
int diff_trees(int newfd, int oldfd, bool override_stat, struct entry_sink *to,
	struct imbrex_error *err) MUST_CHECK;

#endif
