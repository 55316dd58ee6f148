/* SPDX-License-Identifier: Apache-2.0 */
/*
 * squashfs: - a squashfs image of a root file system, as an image of one layer (plain.h).
 *
 * Lifecycle and threading: transport.h. Error tier: err; messages name the path.
 */
#ifndef TRANSPORT_SQUASHFS_H
#define TRANSPORT_SQUASHFS_H

#include "transport/transport.h"

/*
 * The layer is a tar of what is in the image, in the image's order: the same image gives the same
 * layer. Names that a layer cannot hold (".wh.*") are EFORMAT.
 */
int squashfs_source_open(
	const char *path, struct source **ret, struct imbrex_error *err) MUST_CHECK;

#endif
