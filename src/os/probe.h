/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this kernel and this file system can do.
 *
 * Threading: no state. Errors: leaf tier, except where a name is made.
 */
#ifndef OS_PROBE_H
#define OS_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"
#include "imbrex/error.h"

/* statfs magic numbers the drivers decide by. Source: statfs(2), linux/magic.h. */
#define FS_MAGIC_BTRFS    0x9123683Eu
#define FS_MAGIC_EXT      0xEF53u
#define FS_MAGIC_XFS      0x58465342u
#define FS_MAGIC_TMPFS    0x01021994u
#define FS_MAGIC_OVERLAY  0x794C7630u
#define FS_MAGIC_FUSE     0x65735546u
#define FS_MAGIC_ZFS      0x2FC12FC1u
#define FS_MAGIC_NFS      0x6969u
#define FS_MAGIC_AUFS     0x61756673u
#define FS_MAGIC_ECRYPTFS 0xF15Fu
#define FS_MAGIC_EROFS    0xE0F5E1E2u
#define FS_MAGIC_SQUASHFS 0x73717368u

int fs_magic(int fd, uint32_t *ret) MUST_CHECK;
/* The name containers/storage reports ("extfs", "xfs", "overlayfs"); "unknown" if it has none. */
const char *fs_name(uint32_t magic);
/* Data elsewhere: NFS and its like, where a rootless overlay cannot keep its attributes. */
bool fs_is_network(uint32_t magic);

/* "6.1.0-18-amd64" is 6 and 1; -EINVAL if uname speaks otherwise. */
int kernel_version(unsigned int *ret_major, unsigned int *ret_minor) MUST_CHECK;
bool kernel_at_least(unsigned int major, unsigned int minor);

/*
 * Does the file system of directory `dirfd` say the type of an entry when read (overlay needs it;
 * XFS made with ftype=0 does not)? Makes and removes one directory in it. 1 yes, 0 no.
 */
int fs_has_entry_types(int dirfd, struct imbrex_error *err) MUST_CHECK;

/* True if SELinux is on: only then is there anything that could keep a label. */
bool selinux_is_on(void);

/* True if the capability (CAP_SYS_ADMIN, ...) is in the effective set of this thread. */
bool have_capability(unsigned int cap);

#endif
