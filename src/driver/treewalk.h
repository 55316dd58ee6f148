/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything below a directory, parents before children, names of one directory in byte order.
 *
 * new -> next* -> free. Never follows a symbolic link; any depth with a bounded number of fds;
 * memory grows with the directories on the current path only. What vanishes meanwhile is passed
 * over: whoever must know whether the whole tree was taken away looks afterwards.
 * Threading: one thread per object. Errors: err.
 */
#ifndef DRIVER_TREEWALK_H
#define DRIVER_TREEWALK_H

#include <stdbool.h>
#include <sys/stat.h>

#include "base/macros.h"
#include "imbrex/error.h"

struct tree_walk;

/* Valid until the next call. */
struct tree_item {
	const char *path; /* relative to the root, clean */
	const char *name; /* its last component */
	int dirfd;        /* the directory that holds it */
	struct stat st;   /* of the item itself */
};

/* rootfd is borrowed until free. */
int tree_walk_new(int rootfd, struct tree_walk **ret, struct imbrex_error *err) MUST_CHECK;
/* 1: an item; 0: the end. A directory is entered by the call after the one that returned it. */
int tree_walk_next(struct tree_walk *w, struct tree_item *ret, struct imbrex_error *err) MUST_CHECK;
/* Do not enter the directory that next() has just returned. */
void tree_walk_skip(struct tree_walk *w);
void tree_walk_free(struct tree_walk *w);
DEFINE_CLEANUP(tree_walk, struct tree_walk, tree_walk_free)
#define AUTO_TREE_WALK AUTO(tree_walk) struct tree_walk

/* Does a layer hold what only fuse-overlayfs leaves: names with .wh., its xattrs? */
bool tree_has_fuse_traces(int dirfd, const char *name);

#endif
