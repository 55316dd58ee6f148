/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names derived from digests of layers: the ids under which the image library of podman keeps
 * image layers, so that both find what the other pulled, and the chain ID of the OCI specification.
 * Threading: pure functions. Error tier: err.
 */
#ifndef OCI_CHAIN_H
#define OCI_CHAIN_H

#include <stddef.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/hex.h"

/*
 * Store id of the layer `diff` on top of the layer with the id `parent` (NULL: the base layer):
 * the hex of a sha256 diff ID alone for the base layer, else sha256(parent "+" hex).
 * A base layer with a sha512 diff ID, for which there is no rule that yields an id, is hashed, too.
 *
 * Source docs/formats/oci.md#layer-ids
 */
int layer_id(const char *parent, const struct hash_value *diff, char ret[ID_HEX_LEN + 1],
	struct imbrex_error *err) MUST_CHECK;
/* Of a layer known by the digest of its table of contents only: sha256(parent "+@TOC=" hex). */
int layer_id_toc(const char *parent, const struct hash_value *toc, char ret[ID_HEX_LEN + 1],
	struct imbrex_error *err) MUST_CHECK;
/*
 * Store id of an image: the hex of a sha256 config digest, unless a layer is known by its table
 * of contents: then sha256("@With TOC:" and for each layer its TOC digest, if it has one, and "|").
 * Images of the same layers by TOC and different configs so share an id; podman has it that way.
 * A sha512 config digest, for which there is no rule that yields an id, is hashed.
 *
 * tocs   one value a layer, base first, not set where the diff ID is known
 */
int image_id(const struct hash_value *config, const struct hash_value *tocs, size_t n_tocs,
	char ret[ID_HEX_LEN + 1], struct imbrex_error *err) MUST_CHECK;

/*
 * OCI chain ID: the diff ID itself for the base layer (`parent` NULL or not set), else
 * sha256("<parent> <diff>").
 *
 * Source OCI image-spec config.md, "Layer ChainID"
 */
int chain_id(const struct hash_value *parent, const struct hash_value *diff, struct hash_value *ret,
	struct imbrex_error *err) MUST_CHECK;

#endif
