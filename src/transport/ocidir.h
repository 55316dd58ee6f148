/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci: - an image of an OCI image layout in a directory.
 *
 * Lifecycle and threading: transport.h. Error tier: err; messages name the directory.
 * Source: OCI image-spec image-layout.md.
 */
#ifndef TRANSPORT_OCIDIR_H
#define TRANSPORT_OCIDIR_H

#include "transport/transport.h"

/*
 * tag  value of org.opencontainers.image.ref.name in index.json; "@sha256:..." takes the entry of
 *      that digest; NULL takes the only image there is (or, of several without names, the one for
 *      the platform)
 *
 * The name suggested is ref.name if that is a reference with a '/' or ':', as podman load takes
 * it, else "localhost/<directory>:<ref.name>". (podman 4 names what it pulls from a layout
 * "localhost/<whole path>:latest", which loses the tag.)
 */
int ocidir_source_open(
	const char *dir, const char *tag, struct source **ret, struct imbrex_error *err) MUST_CHECK;

#endif
