/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content descriptors and media types: what a manifest or an index says about another blob before
 * it is fetched. Sizes and digests are checked here, once; whoever fetches trusts nothing else.
 *
 * parse (by manifest.h) -> use -> oci_descriptor_done. Threading: none shared. Error tier: err.
 */
#ifndef OCI_DESCRIPTOR_H
#define OCI_DESCRIPTOR_H

#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/strv.h"
#include "json/doc.h"
#include "json/write.h"
#include "oci/platform.h"

enum oci_media {
	OCI_MEDIA_OTHER = 0,       /* well formed, but nothing an image is made of */
	OCI_MEDIA_MANIFEST,        /* OCI image manifest */
	OCI_MEDIA_INDEX,           /* OCI image index */
	OCI_MEDIA_CONFIG,          /* OCI image configuration */
	OCI_MEDIA_LAYER,           /* any layer; see enum oci_compression */
	OCI_MEDIA_DOCKER_MANIFEST, /* Docker manifest, version 2 schema 2 */
	OCI_MEDIA_DOCKER_LIST,     /* Docker manifest list */
	OCI_MEDIA_DOCKER_CONFIG,   /* Docker image configuration */
	OCI_MEDIA_DOCKER_SCHEMA1,  /* Docker manifest, schema 1, signed or not */
	OCI_MEDIA_GENERIC,         /* application/json and such: says nothing */
};

enum oci_compression {
	OCI_TAR = 0,
	OCI_TAR_GZIP,
	OCI_TAR_ZSTD, /* plain or zstd:chunked: the annotations tell */
};

/* Media types as they are written. */
#define OCI_TYPE_MANIFEST        "application/vnd.oci.image.manifest.v1+json"
#define OCI_TYPE_INDEX           "application/vnd.oci.image.index.v1+json"
#define OCI_TYPE_CONFIG          "application/vnd.oci.image.config.v1+json"
#define OCI_TYPE_LAYER           "application/vnd.oci.image.layer.v1.tar"
#define OCI_TYPE_LAYER_GZIP      OCI_TYPE_LAYER "+gzip"
#define OCI_TYPE_LAYER_ZSTD      OCI_TYPE_LAYER "+zstd"
#define OCI_TYPE_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define OCI_TYPE_DOCKER_LIST     "application/vnd.docker.distribution.manifest.list.v2+json"
#define OCI_TYPE_DOCKER_CONFIG   "application/vnd.docker.container.image.v1+json"
#define OCI_TYPE_DOCKER_LAYER    "application/vnd.docker.image.rootfs.diff.tar"

struct oci_descriptor {
	char *media_type; /* owned; never NULL after parsing */
	struct hash_value digest;
	uint64_t size_bytes;              /* of the blob as stored, compressed */
	enum oci_media media;             /* what media_type means */
	enum oci_compression compression; /* of a layer */
	bool foreign; /* layer not meant to be distributed ("foreign", "nondistributable") */
	struct platform platform; /* of an index entry; "" os and architecture if not said */
	struct strv annotations;  /* owned; key, value, key, value, ... */
};

void oci_descriptor_done(struct oci_descriptor *d);
int oci_descriptor_copy(const struct oci_descriptor *from, struct oci_descriptor *ret,
	struct imbrex_error *err) MUST_CHECK;

/*
 * What a media type means; parameters behind ';' and white space around are ignored, letters
 * compare in either case. compression and foreign (may be NULL) are set for layers.
 */
enum oci_media oci_media_parse(
	const char *text, enum oci_compression *ret_compression, bool *ret_foreign);
/* A single image: OCI or Docker schema 2. */
bool oci_media_is_manifest(enum oci_media media);
/* OCI index or Docker list. */
bool oci_media_is_index(enum oci_media media);

/*
 * Read a descriptor object. urls, data and unknown members are ignored.
 *
 * Errors EFORMAT (message begins with the path), ENOTSUP for unknown digest algorithms
 * Source OCI image-spec descriptor.md
 */
int oci_descriptor_parse(
	const struct json_ref *at, struct oci_descriptor *ret, struct imbrex_error *err) MUST_CHECK;

/* One descriptor as a value. */
void oci_descriptor_write(struct json_writer *w, const struct oci_descriptor *d);

/*
 * EFORMAT if a member of `at` differs from one of `names` (NULL at the end) in case only: Go's
 * decoders would take the one for the other, and the document would mean two things.
 */
int oci_check_key_case(
	const struct json_ref *at, const char *const *names, struct imbrex_error *err) MUST_CHECK;

/* The value of `key` in a list of key, value, ...; NULL if absent. */
const char *oci_pairs_get(const struct strv *pairs, const char *key);
/* Read an object of strings, appending to *ret; absent is empty. */
int oci_pairs_parse(
	const struct json_ref *at, struct strv *ret, struct imbrex_error *err) MUST_CHECK;

#endif
