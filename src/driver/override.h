/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Permissions, owner and type of an inode, kept in an xattr instead of the inode (force_mask).
 * Threading: no state. Errors: leaf tier.
 * Source: containers/storage, pkg/idtools; fuse-overlayfs(1), xattr_permissions=2.
 */
#ifndef DRIVER_OVERRIDE_H
#define DRIVER_OVERRIDE_H

#include "base/macros.h"
#include "tree/entry.h"

#define OVERRIDE_XATTR      "user.containers.override_stat"
#define OVERRIDE_TEXT_BYTES 96

/* "UID:GID:MODE:TYPE" of an entry that is no symbolic link; `ret` is terminated. */
void override_format(const struct entry *e, char ret[OVERRIDE_TEXT_BYTES]);

/*
 * The root directory of a layer: as that of the layer below says, which may be without (then as it
 * is). below < 0: there is none, and root may read and enter.
 */
int override_inherit(int dir, int below) MUST_CHECK;

#endif
