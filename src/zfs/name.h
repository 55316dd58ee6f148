/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of datasets and snapshots, checked once and then a type: whoever has a struct zfs_name has
 * one that ZFS would accept, that is one word of a command line, and that is no option.
 *
 * Threading: no state. Errors: err; messages quote the name.
 * Source: zfsconcepts(7), "ZFS Component Naming Requirements"; OpenZFS
 * module/zcommon/zfs_namecheck.c.
 */
#ifndef ZFS_NAME_H
#define ZFS_NAME_H

#include <stdbool.h>

#include "base/macros.h"
#include "imbrex/error.h"

/* Of a whole name, with its snapshot and the NUL: ZFS_MAX_DATASET_NAME_LEN. */
#define ZFS_NAME_BYTES 256

/* "pool/a/b" or "pool/a/b@snapshot". */
struct zfs_name {
	char text[ZFS_NAME_BYTES];
};

/*
 * Letters, digits, "-_.:" and, inside a component, spaces. `%` is ZFS's own, `#` a bookmark.
 *
 * Errors EINVAL; ELIMIT if it is too long or too deep.
 */
int zfs_name_dataset(struct zfs_name *ret, const char *text, struct imbrex_error *err) MUST_CHECK;
int zfs_name_child(struct zfs_name *ret, const struct zfs_name *parent, const char *component,
	struct imbrex_error *err) MUST_CHECK;
int zfs_name_snapshot(struct zfs_name *ret, const struct zfs_name *dataset, const char *component,
	struct imbrex_error *err) MUST_CHECK;

bool zfs_name_is_snapshot(const struct zfs_name *name);
/* The component below `parent`: "b" of "a/b"; NULL if it is not exactly one below. Borrowed. */
const char *zfs_name_below(const char *name, const struct zfs_name *parent);

#endif
