/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vfs driver: every layer is a whole tree, a copy of its parent's with its own changes made.
 * Slow and large, and works on every file system.
 */
#ifndef DRIVER_VFS_H
#define DRIVER_VFS_H

#include "driver/driver.h"

extern const struct driver_ops vfs_ops;

#endif
