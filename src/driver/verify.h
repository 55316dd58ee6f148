/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does a tree look as its entries say: are all inodes there, and type, mode, owner, size, times and
 * xattrs what they were?
 *
 * Left out, because they change without harm: times of directories, which every mount point that a
 * runtime makes touches; times of empty files; directories and empty files that no entry names,
 * which are such mount points. Threading: no state. Errors: err.
 */
#ifndef DRIVER_VERIFY_H
#define DRIVER_VERIFY_H

#include "driver/driver.h"
#include "driver/expected.h"

struct verify_opts {
	const struct id_maps *maps; /* owners are ids inside of these; NULL: of the host */
	const char *opaque_xattr;   /* NULL: no directory of this tree hides anything */
	bool any_owner;             /* chown was not expected to work */
	bool any_meta;   /* force_mask: neither mode nor owner nor type of special files */
	bool no_devices; /* they could not be made */
};

/* Negative ends the comparison with that status. */
int verify_tree(int rootfd, struct expected *x, const struct verify_opts *opts,
	driver_problem_fn fn, void *ctx, struct imbrex_error *err) MUST_CHECK;

#endif
