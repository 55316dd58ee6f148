/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the layers below an overlay layer show at a path, without mounting them.
 *
 * init -> find* -> done. Questions about one directory after the other are cheap, in any order
 * they are right. Threading: one thread per object. Errors: err.
 */
#ifndef DRIVER_LOWER_H
#define DRIVER_LOWER_H

#include <stdbool.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "base/strv.h"
#include "imbrex/error.h"

struct lower_tree {
	const struct strv *dirs;  /* borrowed; absolute diff directories, topmost first */
	const char *opaque_xattr; /* borrowed */
	int *fds; /* owned; those of the directory `path` that add up to what is seen of it */
	size_t n_fds;
	bool valid; /* `path` and `fds` are */
	char path[LIMIT_PATH_BYTES + 1];
};

int lower_tree_init(struct lower_tree *t, const struct strv *dirs, const char *opaque_xattr,
	struct imbrex_error *err) MUST_CHECK;
void lower_tree_done(struct lower_tree *t);
#define AUTO_LOWER_TREE __attribute__((cleanup(lower_tree_done))) struct lower_tree

/* 1 and *ret_st: something is to be seen at `path` (clean, relative); 0: nothing. Symbolic links
 * are not followed, neither on the way. */
int lower_tree_find(struct lower_tree *t, const char *path, struct stat *ret_st,
	struct imbrex_error *err) MUST_CHECK;

#endif
