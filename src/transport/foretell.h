/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which layer of an image a member of its archive is, before the archive says so: the document
 * that does comes last, but who knows the DiffIDs can read it from the names.
 *
 * foretell_new -> (foretell_document | foretell_member)* -> foretell_free. One thread. Error tier:
 * err. A foretelling is a claim like any other: whoever relies on it compares digests.
 *
 * Source: moby image/tarexport/save.go (20.10: names are those that image/v1 gives layers; 25:
 * blobs by digest); containers/image docker/internal/tarfile/writer.go ("<DiffID>.tar").
 */
#ifndef TRANSPORT_FORETELL_H
#define TRANSPORT_FORETELL_H

#include <stddef.h>

#include "base/error.h"
#include "base/hash.h"

struct foretell;

/* Of an image with these DiffIDs, base layer first; copied. */
int foretell_new(const struct hash_value *diff_ids, size_t n, struct foretell **ret,
	struct imbrex_error *err) MUST_CHECK;
void foretell_free(struct foretell *f);
DEFINE_CLEANUP(foretell, struct foretell, foretell_free)
#define AUTO_FORETELL AUTO(foretell) struct foretell

/* A document "ID/json" has passed, which names the layer below; what is no such thing is ignored.
 */
int foretell_document(struct foretell *f, const char *member, const char *text, size_t len,
	struct imbrex_error *err) MUST_CHECK;
/* DiffID of what the member holds once unpacked; NULL if its name does not tell. */
const struct hash_value *foretell_member(const struct foretell *f, const char *member);

#endif
