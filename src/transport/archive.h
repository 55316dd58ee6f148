/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docker-archive: and oci-archive: - an image in one tar file, as docker save, podman save, skopeo
 * and buildah write it; plain, or compressed as a whole; from a file or a pipe.
 *
 * Three layouts: that of docker before 25 and of podman (manifest.json, configuration and layers
 * by any name, links between them), an OCI layout, and that of docker since 25: an OCI layout with
 * a manifest.json beside it, which is read as an OCI layout, because that has the manifests.
 *
 * Digests: an OCI layout has its own manifests, used byte for byte. manifest.json has none, so one
 * is made: Docker schema 2, bytes as podman load stores them, each layer described by its diff ID
 * and its uncompressed size - under podman's media type, which says gzip and is not to be trusted.
 * In such an image blob() pushes layers unpacked, so that digest and size hold.
 *
 * Lifecycle and threading: transport.h. Error tier: err; messages name the archive.
 * Source: moby image/spec/spec.md; OCI image-spec image-layout.md.
 */
#ifndef TRANSPORT_ARCHIVE_H
#define TRANSPORT_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/transport.h"

enum archive_flavour {
	ARCHIVE_ANY = 0,
	ARCHIVE_OCI,
	ARCHIVE_DOCKER,
};

/* A member that may be a layer. */
struct archive_member {
	const char *name;    /* borrowed until return */
	uint64_t size_bytes; /* in the archive, before unpacking */
	bool is_blob;        /* called blobs/ALGORITHM/HEX: comes as it is; all others unpacked */
	/* What it must be, unpacked, if archive_options.diff_ids and its name are to be believed;
	 * NULL: not told. Borrowed until the pass ends. */
	const struct hash_value *diff_id;
};

/*
 * Layers of an archive that passes by once, before anything is known about them.
 */
struct archive_events {
	void *ctx;
	/*
	 * A sink put into *ret (NULL on entry) gets the member's bytes, is finished at their end
	 * and freed; without one they are kept in a temporary file.
	 */
	int (*layer)(void *ctx, const struct archive_member *m, struct sink **ret,
		struct imbrex_error *err);
};

struct archive_options {
	enum archive_flavour flavour;
	/*
	 * NULL: the only image. Else "@N" for the Nth (from 0), "@sha256:..." for the manifest of
	 * an OCI layout, or a name: of manifest.json's RepoTags (completed as docker does), or of
	 * index.json. Borrowed during open.
	 */
	const char *tag;
	const struct archive_events *events; /* borrowed during the pass; NULL spools */
	/* The layers that the image is said to have, base layer first; borrowed during the pass;
	 * NULL: not known. */
	const struct hash_value *diff_ids;
	size_t n_diff_ids;
};

/*
 * Open `path`, "-" for standard input. What cannot seek or is compressed is read to its end here
 * (events are called); else nothing but headers.
 *
 * Errors ENOENT, EFORMAT if it is no archive or cut short, ELIMIT, those of the events.
 */
int archive_source_open(const char *path, const struct archive_options *opts, struct source **ret,
	struct imbrex_error *err) MUST_CHECK;
/* The same for an fd (borrowed) that is read to its end in one pass; `what` names it. */
int archive_stream_open(int fd, const char *what, const struct archive_options *opts,
	struct source **ret, struct imbrex_error *err) MUST_CHECK;

/*
 * The same for bytes that are pushed: into *ret_sink, which the caller owns, finishes and frees
 * before anything is done with *ret but freeing it.
 */
int archive_push_open(const char *what, const struct archive_options *opts, struct source **ret,
	struct sink **ret_sink, struct imbrex_error *err) MUST_CHECK;

/*
 * After manifest(): the member that holds layer `d`, by the name that archive_events.layer() was
 * called with (links are followed). Borrowed from `s`.
 *
 * Returns 1 if its bytes were taken by a sink of the events, 0 if blob() has them (*ret_member is
 * set all the same). ENOENT if `s` is no archive or has no such layer.
 */
int archive_source_member(struct source *s, const struct oci_descriptor *d, const char **ret_member,
	struct imbrex_error *err) MUST_CHECK;

#endif
