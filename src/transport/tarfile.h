/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tar: - a tarball of a root file system, compressed or not, as an image of one layer (plain.h).
 *
 * Lifecycle and threading: transport.h. Error tier: err; messages name the path.
 */
#ifndef TRANSPORT_TARFILE_H
#define TRANSPORT_TARFILE_H

#include "transport/transport.h"

/*
 * The layer is the tar as it is, unpacked, byte for byte. "-" or a pipe is kept in a temporary
 * file until the source is freed.
 */
int tarfile_source_open(const char *path, struct source **ret, struct imbrex_error *err) MUST_CHECK;

#endif
