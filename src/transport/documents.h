/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From one descriptor to the image manifest of a platform, and blobs that are files.
 *
 * What every transport that keeps documents by digest has in common: an index is followed to the
 * entry that fits, every document is held against the size and the digest it was announced with.
 *
 * Threading: no state. Error tier: err.
 */
#ifndef TRANSPORT_DOCUMENTS_H
#define TRANSPORT_DOCUMENTS_H

#include <stddef.h>

#include "base/str.h"
#include "base/strv.h"
#include "transport/transport.h"

/*
 * Append the document that `d` names to *ret, whose maximum is d->size_bytes. Need not check
 * anything; must say in its errors where it looked.
 */
typedef int (*document_fetch_fn)(
	void *ctx, const struct oci_descriptor *d, struct str *ret, struct imbrex_error *err);

/*
 * Follow `top` (a manifest, or an index of any depth up to LIMIT_INDEX_DEPTH) to the manifest that
 * serves `want` (NULL: this machine). Fills everything but ret->name, which is left alone; if an
 * index was passed, ret->list is the first one.
 *
 * Errors EDIGEST if size or digest differ, ENOENT if no entry fits, ELIMIT, EFORMAT, and those of
 *        `fetch`
 */
int documents_choose(document_fetch_fn fetch, void *ctx, const struct oci_descriptor *top,
	const struct platform *want, struct source_manifest *ret,
	struct imbrex_error *err) MUST_CHECK;

/* The media type of a manifest or index as it is written; NULL for anything else. Static. */
const char *documents_media_type(enum oci_media media);

/* EDIGEST unless `text` has size and digest of `d`. */
int documents_check(const struct oci_descriptor *d, const struct str *text,
	struct imbrex_error *err) MUST_CHECK;

/*
 * Open a blob that is a file below `rootfd`. No symbolic link is followed; only a regular file of
 * exactly d->size_bytes is accepted, and a FIFO does not hang.
 *
 * Returns the fd, or a status. Errors ENOENT, EFORMAT, EDIGEST; messages name digest and file.
 */
int blob_file_open(int rootfd, const char *file, const struct oci_descriptor *d,
	struct imbrex_error *err) MUST_CHECK;
/* Push such a file and finish `to`. */
int blob_file_push(int rootfd, const char *file, const struct oci_descriptor *d, struct sink *to,
	struct imbrex_error *err) MUST_CHECK;
/* Append such a file to *ret. */
int blob_file_read(int rootfd, const char *file, const struct oci_descriptor *d, struct str *ret,
	struct imbrex_error *err) MUST_CHECK;

/*
 * A name for an image whose source has none: "localhost/<last component of path>:<tag>", turned
 * to lower case and cut to what a reference allows; an archive's suffixes are dropped, tag NULL is
 * "latest". *ret is NULL if nothing usable is left (the path is "-" or "/").
 */
int name_from_path(
	const char *path, const char *tag, char **ret, struct imbrex_error *err) MUST_CHECK;
/*
 * The same for a source that has a ref.name annotation. A name with '/' or ':' is a reference of
 * its own, completed with "localhost/" as podman load does; a bare word is a tag of the path.
 */
int name_from_ref(
	const char *path, const char *ref_name, char **ret, struct imbrex_error *err) MUST_CHECK;
/*
 * The name that an image, which goes by `names` where it is, was found by: the one that `reference`
 * is, or completes to by docker's rules or by podman's. *ret is NULL if there is none, because
 * `reference` is an id, or a beginning of one.
 */
int name_found_by(const char *reference, const struct strv *names, char **ret,
	struct imbrex_error *err) MUST_CHECK;

#endif
