/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small blob that says something of an image: its configuration. Threading: as the source. Error
 * tier: err.
 */
#ifndef IMAGE_DOCUMENT_H
#define IMAGE_DOCUMENT_H

#include "base/str.h"
#include "oci/manifest.h"
#include "transport/transport.h"

/*
 * Appended to ret; its size and digest are right, or it is an error (EDIGEST, EFORMAT).
 * Limits  LIMIT_CONFIG_BYTES
 */
int image_fetch_document(struct source *s, const struct oci_descriptor *d, struct str *ret,
	struct imbrex_error *err) MUST_CHECK;

#endif
