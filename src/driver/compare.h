/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How one whole tree differs from another, told one path at a time.
 *
 * Threading: no state. Errors: err.
 * Source: docs/formats/overlay-layer.md, "Content on the way out".
 */
#ifndef DRIVER_COMPARE_H
#define DRIVER_COMPARE_H

#include "driver/driver.h"
#include "driver/treewalk.h"

struct tree_difference {
	int kind; /* of struct driver_change */
	const struct tree_item
		*item; /* as the new tree has it; CHANGE_DELETE: as the old one had */
};
/* Negative ends the walk with that status. */
typedef int (*tree_difference_fn)(
	void *ctx, const struct tree_difference *d, struct imbrex_error *err);

/*
 * What makes `newfd` of `oldfd`; everything if oldfd < 0. Sorted, directories before what is in
 * them; a directory that something changed below is told as modified right before that.
 *
 * maps, old_maps  owners are compared as inside of these; NULL: as on the host
 */
int compare_trees(int newfd, const struct id_maps *maps, int oldfd, const struct id_maps *old_maps,
	tree_difference_fn fn, void *ctx, struct imbrex_error *err) MUST_CHECK;

#endif
