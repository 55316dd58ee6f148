/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dir: - an image in the directory layout of containers/image (skopeo copy ... dir:DIR): the file
 * `version`, manifest.json, and every blob in a file called by the hex of its digest.
 *
 * Lifecycle and threading: transport.h. Error tier: err; messages name the directory.
 * Source: github.com/containers/image, docs/containers-transports.5.md and directory/.
 */
#ifndef TRANSPORT_DIR_H
#define TRANSPORT_DIR_H

#include "transport/transport.h"

/*
 * The layout has no names: the one suggested is "localhost/<directory>:latest". manifest.json may
 * be an index; the manifests it lists are files "<hex>.manifest.json".
 *
 * Errors ENOENT, ENOTSUP for a layout version other than 1.x
 */
int dir_source_open(const char *dir, struct source **ret, struct imbrex_error *err) MUST_CHECK;

#endif
