/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts as file descriptors: made detached, configured, and attached last.
 *
 * Every constructor returns an fd of a mount that nobody sees yet; closing it undoes it. Failures
 * carry what the kernel wrote to the context's message log, which is where overlay says why.
 * Threading: no state. Needs Linux 5.12 (mount_setattr). Errors: err.
 * Source: fsopen(2), fsmount(2), open_tree(2), mount_setattr(2); Documentation/filesystems/
 * overlayfs.rst.
 */
#ifndef OS_MOUNTFD_H
#define OS_MOUNTFD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mount.h>

#include "base/macros.h"
#include "imbrex/error.h"

/* One "key=value" or bare "key" each. The kernel takes 255 bytes a value. */
struct mount_options {
	const char *const *items;
	size_t n;
};

/*
 * A new instance of a file system.
 *
 * source  what mountinfo shows, or a device; NULL if it has none
 * attrs   MOUNT_ATTR_RDONLY, _NODEV, _NOSUID, _NOEXEC, ...
 */
int mount_new(const char *fs_type, const char *source, struct mount_options options, uint64_t attrs,
	struct imbrex_error *err) MUST_CHECK;

/*
 * Directories are absolute paths or "/proc/self/fd/<N>". Of any length and any bytes: those the
 * kernel would not take as an option are passed by fd.
 */
struct overlay_spec {
	const char *const *lowers; /* topmost first; at least one unless upper is given */
	size_t n_lowers;
	const char *const *data_lowers; /* below all lowers, reached by redirects only */
	size_t n_data_lowers;
	const char *upper;            /* NULL: a read-only view */
	const char *work;             /* with upper, same file system */
	bool userxattr;               /* in a user namespace: user.overlay.*, not trusted.* */
	bool is_volatile;             /* no sync ever */
	const char *label;            /* SELinux context of everything in it; NULL: none */
	struct mount_options options; /* others */
	uint64_t attrs;               /* as for mount_new() */
	bool old_kernel;              /* take the road for Linux before 6.7 at once */
};

/*
 * An overlay. Lowers are added one by one ("lowerdir+"), so only the kernel's 500 bound their
 * number. Linux before 6.7 lacks that: then a child with a mount namespace of its own makes the
 * mount with all lowers in one page, by fd number, and the mount is taken over from it.
 *
 * Errors ELIMIT if an old kernel's page is too small; others as the kernel says.
 */
int overlay_mount_new(const struct overlay_spec *spec, struct imbrex_error *err) MUST_CHECK;

/* A detached bind mount of what the path names (links not followed); "" for dirfd itself. */
int mount_clone(int dirfd, const char *path, bool recursive, struct imbrex_error *err) MUST_CHECK;

/* Change a mount. */
struct mount_change {
	uint64_t set; /* MOUNT_ATTR_* */
	uint64_t clear;
	uint64_t propagation; /* MS_PRIVATE, MS_SLAVE, MS_SHARED, MS_UNBINDABLE; 0: as it is */
	int userns_fd;        /* > 0: map ids by this namespace; the mount must be detached */
	bool recursive;       /* all mounts below, all or none */
};
/* path "" for the mount whose fd dirfd is. */
int mount_change(int dirfd, const char *path, const struct mount_change *change,
	struct imbrex_error *err) MUST_CHECK;

/* Attach a detached mount (or move one). The last component may not be a link; path "" for dirfd
 * itself. */
int mount_attach(int mount_fd, int dirfd, const char *path, struct imbrex_error *err) MUST_CHECK;

/*
 * Unmount the uppermost mount at the path; `detach` lazily (MNT_DETACH). Relative paths are
 * resolved without following links.
 *
 * Errors ENOENT if it is no mount point or does not exist; EBUSY in use.
 */
int unmount_at(int dirfd, const char *path, bool detach, struct imbrex_error *err) MUST_CHECK;

/* Is the path the root of a mount? Links are not followed; "" for dirfd itself. 1, 0 or -errno. */
int is_mount_point(int dirfd, const char *path) MUST_CHECK;

/*
 * "nodev", "ro", "relatime", ... of a mount option list: true, and *attrs changed, if the word is
 * about the mount and not for the file system.
 */
bool mount_attr_from_word(const char *word, uint64_t *attrs);

#endif
