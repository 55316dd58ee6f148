/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths inside a directory that may be hostile: a root file system, a layer, a store.
 *
 * Resolution is the kernel's (openat2), so that no race with a renamed directory or a planted
 * symbolic link leads outside. Threading: no state.
 * Errors: open_beneath() is leaf tier (fd or -errno); the others know the path and fill err.
 */
#ifndef OS_BENEATH_H
#define OS_BENEATH_H

#include <sys/types.h>

#include "base/macros.h"
#include "imbrex/error.h"

enum beneath_mode {
	BENEATH_NO_SYMLINKS, /* any symbolic link is -ELOOP; absolute or leaving ".." is -EXDEV */
	BENEATH_IN_ROOT      /* rootfd is "/": links and ".." are resolved as after a chroot */
};

/*
 * openat2(2). O_CLOEXEC is added; `mode` counts with O_CREAT or O_TMPFILE only. Magic links of
 * /proc are never followed. EAGAIN (a rename elsewhere raced with "..") and EINTR are retried.
 */
int open_beneath(
	int rootfd, const char *path, int flags, mode_t mode, enum beneath_mode how) MUST_CHECK;

/*
 * mkdir -p of a relative path below rootfd, no symbolic links on the way. "." and empty components
 * are skipped, ".." is refused. Directories that exist keep their mode; new ones get `mode`
 * less the umask.
 *
 * ret_fd  the last directory, opened O_PATH; may be NULL
 */
int mkdirs_beneath(int rootfd, const char *path, mode_t mode, int *ret_fd,
	struct imbrex_error *err) MUST_CHECK;

/*
 * rm -rf. `name` is relative to dirfd, without symbolic links on the way; what it names itself may
 * be anything. Never follows a link, never leaves the tree when directories in it are moved
 * meanwhile, needs bounded fds and no recursion at any depth, adds u+rwx to directories in its
 * way. A subvolume of btrfs goes as one, with those nested in it, where the kernel allows; mounts
 * inside of it are detached by the kernel. Something that is not there is a success.
 *
 * Errors EBUSY at a mount point, or if others keep changing the tree; the message names the entry.
 */
int remove_tree_at(int dirfd, const char *name, struct imbrex_error *err) MUST_CHECK;
/* The same, but mounts found inside (or on top) are detached (MNT_DETACH) and removal goes on. */
int remove_tree_detach_at(int dirfd, const char *name, struct imbrex_error *err) MUST_CHECK;

#endif
