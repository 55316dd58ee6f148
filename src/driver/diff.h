/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a layer holds, or how one tree differs from another: as entries, as changes, as a number.
 *
 * All walk a directory before what is in it, names of one directory in byte order. Those that push
 * entries finish the sink. Threading: no state. Errors: err.
 * Source: docs/formats/overlay-layer.md, "Content on the way out".
 */
#ifndef DRIVER_DIFF_H
#define DRIVER_DIFF_H

#include "driver/driver.h"
#include "driver/emit.h"
#include "driver/lower.h"

/* The upper directory of an overlay, where char devices 0:0 are whiteouts. */
struct upper_tree {
	int fd;                   /* borrowed */
	const char *opaque_xattr; /* of directories in it */
	struct lower_tree *below; /* borrowed */
};

/*
 * Everything in it. An opaque directory is only said to be one if something below is hidden by it.
 */
int diff_upper(const struct upper_tree *u, const struct emit_opts *opts, struct entry_sink *to,
	struct imbrex_error *err) MUST_CHECK;
/*
 * The same as changes, as containers/storage counts them: what is below already is modified, a
 * directory only if its mode, owner, size or time are others; parents of what was added or deleted
 * are modified; an opaque directory that hides something is deleted.
 */
int changes_upper(const struct upper_tree *u, driver_change_fn fn, void *ctx,
	struct imbrex_error *err) MUST_CHECK;
/* Bytes of everything in a directory but directories, hard links once. */
int size_of_tree(int fd, int64_t *ret, struct imbrex_error *err) MUST_CHECK;

/* Two whole trees. */
struct tree_pair {
	int new;                    /* borrowed */
	int old;                    /* borrowed; negative: compare with nothing */
	const struct id_maps *maps; /* of new; NULL: ids as they are */
	const struct id_maps *old_maps;
	bool override_stat; /* see emit_opts */
};

/* What makes `new` of `old`. Changed things bring their parents, deleted ones are whiteouts. */
int diff_trees(
	const struct tree_pair *p, struct entry_sink *to, struct imbrex_error *err) MUST_CHECK;
int changes_trees(const struct tree_pair *p, driver_change_fn fn, void *ctx,
	struct imbrex_error *err) MUST_CHECK;
/* Bytes of what was added or modified but directories, hard links once. */
int size_of_difference(
	const struct tree_pair *p, int64_t *ret, struct imbrex_error *err) MUST_CHECK;

#endif
