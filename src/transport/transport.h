/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One image at one source: where manifest, config and layer bytes come from.
 *
 * open (source_open, or a transport's own constructor) -> manifest -> blob* -> free.
 * manifest() is called once, before any blob(), from one thread. blob() may then be called from
 * several threads at once; each call pushes into its own sink.
 *
 * A source hashes and sizes what it can name by digest: manifest() returns bytes that were checked
 * against the digest asked for, if one was. Blobs are checked by the sink they are pushed into.
 */
#ifndef TRANSPORT_TRANSPORT_H
#define TRANSPORT_TRANSPORT_H

#include <stdbool.h>

#include "base/str.h"
#include "imbrex/progress.h"
#include "oci/manifest.h"
#include "oci/platform.h"
#include "stream/sink.h"

struct source;

/* The documents of one image as they came, byte for byte. */
struct source_manifest {
	struct str manifest;      /* owned; the image manifest of the platform wanted */
	char *media_type;         /* owned; of `manifest`, never NULL */
	struct hash_value digest; /* sha256 of `manifest` */
	struct str list;          /* owned; the index or list it was chosen from; empty if none */
	char *list_media_type;    /* owned; NULL if none */
	struct hash_value list_digest; /* sha256 of `list`; valid if list.len > 0 */
	char *name; /* owned; full normalized reference this source suggests for the
		       image ("docker.io/library/x:1"); NULL if it has none */
};

void source_manifest_done(struct source_manifest *m);

/* What a source says of an image before a byte of it has come. Nothing is proved; borrowed from
 * the source. */
struct source_outline {
	struct hash_value image;           /* its id at the source */
	const struct hash_value *diff_ids; /* base layer first */
	size_t n_diff_ids;                 /* <= LIMIT_IMAGE_LAYERS */
	const char *name;                  /* as source_manifest.name */
};

struct source_ops {
	const char *name; /* "docker", "oci", ... */
	/* blob() pushes layers unpacked: a layer is then known by its DiffID only, and the digest
	 * and size of its descriptor are what others say of it. */
	bool unpacked;
	/*
	 * NULL: there is none. Called before manifest() by those who want to be told, while the
	 * image arrives, which of these layers is which (archive_member.diff_id).
	 */
	int (*outline)(struct source *s, struct source_outline *ret, struct imbrex_error *err);
	int (*manifest)(struct source *s, const struct platform *want, struct source_manifest *ret,
		struct imbrex_error *err);
	/*
	 * Push the bytes of `d`, verbatim (compressed as they are), into `to`, then finish it.
	 * Does not free `to`. A lost connection is resumed inside.
	 */
	int (*blob)(struct source *s, const struct oci_descriptor *d, struct sink *to,
		struct imbrex_error *err);
	/* Sources whose layers may have passed by already; else NULL. See archive_source_member().
	 */
	int (*member)(struct source *s, const struct oci_descriptor *d, const char **ret_member,
		struct imbrex_error *err);
	void (*free)(struct source *s);
};

struct source {
	const struct source_ops *ops;
};

static inline void source_free(struct source *s)
{
	if (s)
		s->ops->free(s);
}
DEFINE_CLEANUP(source, struct source, source_free)
#define AUTO_SOURCE AUTO(source)

#endif
