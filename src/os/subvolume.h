/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subvolumes of btrfs: directories that are made, copied and removed as one.
 *
 * A subvolume's root is an ordinary directory with inode number 256; rename(2) and, where it is
 * empty, rmdir(2) work on it. What is here are the calls that only btrfs has, each by a directory's
 * descriptor and one name in it, so no path is resolved.
 *
 * Threading: no state. Errors: leaf tier (0 or -errno).
 * Source: linux/btrfs.h; kernel, fs/btrfs/ioctl.c; docs/decisions/012-btrfs-by-ioctl.md.
 */
#ifndef OS_SUBVOLUME_H
#define OS_SUBVOLUME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"

/* Is it the root directory of a subvolume? */
bool subvolume_is(int fd);

/* A new one, empty, 0755 less the umask, owned by who makes it. -EEXIST. */
int subvolume_create(int dirfd, const char *name) MUST_CHECK;

/*
 * A writable snapshot of the subvolume whose root is `source`; those nested in it become empty
 * directories. On disk on return. A user may only take those of subvolumes that are his (-EPERM).
 */
int subvolume_snapshot(int dirfd, const char *name, int source) MUST_CHECK;

/*
 * Remove the subvolume `name` with all in it, nested ones too, and its quota group. Needs root, or
 * the mount option user_subvol_rm_allowed: -EPERM. -ENOTEMPTY when others are nested deeper than
 * is tried here. Whoever gets an error can still empty it and rmdir it.
 */
int subvolume_destroy(int dirfd, const char *name) MUST_CHECK;

/* Take the read-only mark off, if there is one. */
int subvolume_make_writable(int fd) MUST_CHECK;

struct subvolume_facts {
	uint64_t id;              /* of its tree */
	uint64_t parent_id;       /* of the tree that holds its name */
	uint64_t created_transid; /* transaction in which it was made */
	uint64_t changed_transid; /* transaction of the last change in it */
	unsigned char uuid[16];
	unsigned char origin_uuid[16]; /* of what it is a snapshot of; zeros: of nothing */
};
/* Of the subvolume that fd lies in. Linux 4.18; needs no privilege. */
int subvolume_read(int fd, struct subvolume_facts *ret) MUST_CHECK;

#endif
