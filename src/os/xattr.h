/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes relative to a directory fd, also of symbolic links and special files.
 *
 * Linux before 6.13 has no *xattrat calls, and f*xattr refuse O_PATH fds; so these go through
 * "/proc/self/fd/<dirfd>/<name>" with the l* calls, which is free of races while `name` is one
 * component. /proc must be mounted.
 *
 * `name` is one component, or "" for the directory (or O_PATH object) `dirfd` itself.
 * Threading: no state. Errors: leaf tier (-ENODATA: no such attribute; -EOPNOTSUPP: not on this
 * file system; -EINVAL: `name` has a slash).
 */
#ifndef OS_XATTR_H
#define OS_XATTR_H

#include <stddef.h>

#include "base/macros.h"
#include "base/str.h"

int setxattr_at(
	int dirfd, const char *name, const char *attr, const void *value, size_t len) MUST_CHECK;
/* Appends the value to ret. */
int getxattr_at(int dirfd, const char *name, const char *attr, struct str *ret) MUST_CHECK;
/* Appends the attribute names, each with its NUL, to ret. */
int listxattr_at(int dirfd, const char *name, struct str *ret) MUST_CHECK;
int removexattr_at(int dirfd, const char *name, const char *attr) MUST_CHECK;

#endif
