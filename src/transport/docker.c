/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry client as a source of images: the reference is resolved to the endpoints of one
 * repository, the manifest of the platform is found through indexes, blobs go straight into their
 * sinks.
 */
#include "transport/docker.h"

#include <inttypes.h>

#include "oci/digest.h"
#include "oci/reference.h"
#include "transport/documents.h"

struct docker_source {
	struct source base;
	struct docker_options opts;
	struct reference reference; /* tag or digest is set */
	struct repository *repository;
};

/* What documents_choose() asks for: the top document is at hand, children are fetched. */
struct fetch {
	struct docker_source *source;
	const struct oci_descriptor *top;
	const struct repository_document *document;
};

static int fetch_document(
	void *ctx, const struct oci_descriptor *d, struct str *ret, struct imbrex_error *err)
{
	struct fetch *f = ctx;
	AUTO_DOCUMENT child = { 0 };
	const struct repository_document *document = f->document;
	int r;

	if (d != f->top) {
		r = repository_manifest(
			f->source->repository, digest_text(&d->digest), &d->digest, &child, err);
		if (r < 0)
			return r;
		document = &child;
	}
	r = str_append(ret, str_text(&document->body), document->body.len);
	if (r == -EFBIG)
		return fail(err, IMBREX_EDIGEST,
			"manifest %s has %zu bytes, the index says %" PRIu64,
			digest_short(&d->digest), document->body.len, d->size_bytes);
	return r < 0 ? fail_nomem(err) : 0;
}

/* What a document is, also if its Content-Type was too general to say. For a borrowed member. */
static char *type_of(enum oci_media media)
{
	static char manifest[] = OCI_TYPE_MANIFEST, index[] = OCI_TYPE_INDEX,
		    docker_manifest[] = OCI_TYPE_DOCKER_MANIFEST,
		    docker_list[] = OCI_TYPE_DOCKER_LIST;

	switch (media) {
	case OCI_MEDIA_MANIFEST:
		return manifest;
	case OCI_MEDIA_INDEX:
		return index;
	case OCI_MEDIA_DOCKER_MANIFEST:
		return docker_manifest;
	default: /* oci_document_media() gives nothing else */
		return docker_list;
	}
}

static int get_manifest(struct source *base, const struct platform *want,
	struct source_manifest *ret, struct imbrex_error *err)
{
	struct docker_source *s = CONTAINER_OF(base, struct docker_source, base);
	const struct reference *ref = &s->reference;
	bool by_digest = hash_is_set(&ref->digest);
	AUTO_FREE char *name = reference_text(ref);
	AUTO_DOCUMENT document = { 0 };
	struct oci_descriptor top = { 0 };
	struct fetch fetch = { .source = s, .top = &top, .document = &document };
	enum oci_media media;
	int r;

	if (!name)
		return fail_nomem(err);
	r = repository_manifest(s->repository, by_digest ? digest_text(&ref->digest) : ref->tag,
		by_digest ? &ref->digest : NULL, &document, err);
	if (r < 0)
		return r;
	r = oci_document_media(
		document.media_type, str_text(&document.body), document.body.len, &media, err);
	if (r < 0)
		return r;
	top.media_type = type_of(media);
	top.digest = document.digest;
	top.size_bytes = document.body.len;
	r = documents_choose(fetch_document, &fetch, &top, want, ret, err);
	if (r < 0)
		return r;
	ret->name = take_ptr(name);
	return 0;
}

static int get_blob(struct source *base, const struct oci_descriptor *d, struct sink *to,
	struct imbrex_error *err)
{
	struct docker_source *s = CONTAINER_OF(base, struct docker_source, base);
	int r;

	r = repository_blob(s->repository, &d->digest, d->size_bytes, /* offset= */ 0, to,
		/* observer= */ NULL, err);
	if (r < 0)
		return r;
	return sink_finish(to, err);
}

static void free_source(struct source *base)
{
	struct docker_source *s = CONTAINER_OF(base, struct docker_source, base);

	repository_free(s->repository);
	reference_done(&s->reference);
	free(s);
}

static const struct source_ops docker_ops = {
	.name = "docker",
	.manifest = get_manifest,
	.blob = get_blob,
	.free = free_source,
};

int docker_source_open(const char *reference, const struct docker_options *opts,
	struct source **ret, struct imbrex_error *err)
{
	struct docker_source *s;
	AUTO_SOURCE struct source *base = NULL;
	AUTO_ENDPOINTS endpoints = { 0 };
	int r;

	s = calloc(1, sizeof(*s));
	if (!s)
		return fail_nomem(err);
	s->base.ops = &docker_ops;
	base = &s->base;
	if (opts)
		s->opts = *opts;
	r = reference_parse(reference, &s->reference, err);
	if (r < 0)
		return r;
	r = reference_default_tag(&s->reference, err);
	if (r < 0)
		return r;
	r = endpoints_add(&endpoints, s->reference.domain, s->reference.path,
		/* insecure= */ false, err);
	if (r < 0)
		return r;
	r = repository_open(&endpoints, &s->opts.repository, &s->repository, err);
	if (r < 0)
		return r;
	*ret = take_ptr(base);
	return 0;
}
