/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Image manifests and indexes, OCI and Docker schema 2, from and to their bytes.
 *
 *   oci_document_media -> oci_manifest_parse | oci_index_parse -> use -> *_done
 *
 * The bytes must have been checked against their digest before, if one is known. What kind a
 * document is must be said once: the type it was announced with, its own mediaType and its
 * members have to agree, because a document that is a manifest to one program and an index to
 * another is an attack (CVE-2021-41190).
 *
 * Threading: none shared. Error tier: err.
 */
#ifndef OCI_MANIFEST_H
#define OCI_MANIFEST_H

#include "base/error.h"
#include "base/hash.h"
#include "base/str.h"
#include "oci/descriptor.h"
#include "oci/platform.h"

struct oci_manifest {
	enum oci_media media; /* OCI_MEDIA_MANIFEST or OCI_MEDIA_DOCKER_MANIFEST */
	struct oci_descriptor config;
	struct oci_descriptor *layers; /* owned array, base layer first */
	size_t n_layers;               /* <= LIMIT_IMAGE_LAYERS */
	struct strv annotations;       /* owned; key, value, ... */
};

void oci_manifest_done(struct oci_manifest *m);
static inline void cleanup_oci_manifest(struct oci_manifest *m)
{
	oci_manifest_done(m);
}
#define AUTO_OCI_MANIFEST __attribute__((cleanup(cleanup_oci_manifest))) struct oci_manifest

struct oci_index {
	enum oci_media media;             /* OCI_MEDIA_INDEX or OCI_MEDIA_DOCKER_LIST */
	struct oci_descriptor *manifests; /* owned array, document order */
	size_t n_manifests;
	struct strv annotations; /* owned; key, value, ... */
};

void oci_index_done(struct oci_index *index);
static inline void cleanup_oci_index(struct oci_index *index)
{
	oci_index_done(index);
}
#define AUTO_OCI_INDEX __attribute__((cleanup(cleanup_oci_index))) struct oci_index

/*
 * Which of the four kinds a document is.
 *
 * announced  Content-Type or a descriptor's media type; NULL or a generic type (application/json)
 *            leaves it to the document
 * Errors EFORMAT if type, mediaType and members disagree or keys differ in case only; ENOTSUP for
 *        Docker schema 1 and for announced types that are no image
 * Limits LIMIT_MANIFEST_BYTES
 */
int oci_document_media(const char *announced, const char *text, size_t len, enum oci_media *ret,
	struct imbrex_error *err) MUST_CHECK;

/*
 * Read an image manifest; checks what oci_document_media() checks.
 *
 * Errors besides: ENOTSUP for a config or layer of unknown media type (named)
 * Limits LIMIT_IMAGE_LAYERS; config <= LIMIT_CONFIG_BYTES; layer <= LIMIT_LAYER_BYTES
 * Source OCI image-spec manifest.md; Docker registry manifest-v2-2
 */
int oci_manifest_parse(const char *announced, const char *text, size_t len,
	struct oci_manifest *ret, struct imbrex_error *err) MUST_CHECK;
/* Read an index or list. Entries may be of any media type. */
int oci_index_parse(const char *announced, const char *text, size_t len, struct oci_index *ret,
	struct imbrex_error *err) MUST_CHECK;

/*
 * The entry that serves `want` (NULL: this machine) best; attestations and foreign media types are
 * passed over, an entry without platform is taken if nothing else fits. The result, borrowed from
 * the index, may be an index itself.
 *
 * depth  indexes that led to this one: 0 for the first
 * Errors ENOENT (message lists the platforms there are); ELIMIT if the entry is an index deeper
 * than LIMIT_INDEX_DEPTH, or a document larger than LIMIT_MANIFEST_BYTES
 */
int oci_index_select(const struct oci_index *index, const struct platform *want, unsigned int depth,
	const struct oci_descriptor **ret, struct imbrex_error *err) MUST_CHECK;

/*
 * Append the document for a manifest or index: always the same bytes for the same content, members
 * in the order of the specification, no white space.
 */
int oci_manifest_write(
	const struct oci_manifest *m, struct str *ret, struct imbrex_error *err) MUST_CHECK;
int oci_index_write(
	const struct oci_index *index, struct str *ret, struct imbrex_error *err) MUST_CHECK;

#endif
