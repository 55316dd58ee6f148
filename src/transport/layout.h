/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two small files of an OCI image layout, wherever they lie: a directory or an archive.
 *
 * Threading: no state. Error tier: err. Source: OCI image-spec image-layout.md.
 */
#ifndef TRANSPORT_LAYOUT_H
#define TRANSPORT_LAYOUT_H

#include "oci/manifest.h"

/* The file `oci-layout`: EFORMAT if it is none, ENOTSUP for a major version other than 1. */
int layout_check_version(const char *text, size_t len, struct imbrex_error *err) MUST_CHECK;

/* The annotation that holds a tag. */
#define LAYOUT_REF_NAME "org.opencontainers.image.ref.name"

/*
 * Choose the image `tag` (see ocidir_source_open) from index.json. Of several entries with the
 * same tag, or of several without any, the platform decides.
 *
 * ret  a copy; oci_descriptor_done()
 * Errors ENOENT for no match (the hint lists the tags), EINVAL if a tag must be given
 */
int layout_choose(const struct oci_index *index, const char *tag, const struct platform *want,
	struct oci_descriptor *ret, struct imbrex_error *err) MUST_CHECK;
/* The name an entry has: the full one that containerd writes, else ref.name; NULL if none. */
const char *layout_name(const struct oci_descriptor *d);

#endif
