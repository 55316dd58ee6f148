/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rootfs: - a directory tree that is a root file system, as an image of one layer (plain.h).
 *
 * Lifecycle and threading: transport.h. Error tier: err; messages name the directory.
 */
#ifndef TRANSPORT_ROOTFS_H
#define TRANSPORT_ROOTFS_H

#include "transport/transport.h"

/*
 * What of the tree becomes the layer, and in which order, says treewalk.h. A tree that changes
 * between the two readings is EDIGEST or EBUSY.
 */
int rootfs_source_open(const char *dir, struct source **ret, struct imbrex_error *err) MUST_CHECK;

#endif
