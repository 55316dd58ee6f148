/* SPDX-License-Identifier: Apache-2.0 */
/* Content of one file of a layer, by the name a tar gave it. Errors: leaf tier. */
#ifndef DRIVER_CONTENT_H
#define DRIVER_CONTENT_H

#include <stddef.h>

#include "base/macros.h"

/*
 * Open regular file `name` (any bytes: absolute, "./x", "a/../b") below `rootfd` read-only, never
 * outside of it. Symbolic links on the way are resolved as after a chroot; the file itself must be
 * none. Nothing but a regular file is ever opened for reading, so devices and FIFOs do not notice.
 *
 * Errors -ENOENT; -EINVAL for a NUL byte or an empty name; -ENAMETOOLONG; -EMEDIUMTYPE if it is no
 * regular file.
 */
int content_open(int rootfd, const char *name, size_t name_len) MUST_CHECK;

#endif
