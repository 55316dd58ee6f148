/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry client as a source of images: what the user wrote is resolved to candidates, each a
 * repository with its endpoints; the first whose manifest is found is the image. Blobs go straight
 * from there into their sinks; parts of large ones are kept for the next run if asked to.
 */
#include "transport/docker.h"

#include <assert.h>
#include <inttypes.h>

#include "oci/digest.h"
#include "oci/reference.h"
#include "registry/partial.h"
#include "registry/registries.h"
#include "transport/documents.h"

/* A blob smaller than this is fetched again sooner than looked up. */
#define PARTIAL_MIN_BYTES (32u * 1024 * 1024)

struct candidate {
	struct reference reference; /* tag or digest is set */
	struct repository *repository;
};

struct docker_source {
	struct source base;
	struct docker_options opts;
	struct candidate *candidates;
	size_t n_candidates;
	struct repository *chosen; /* of the candidate whose manifest was found; borrowed */
};

/* What documents_choose() asks for: the top document is at hand, children are fetched. */
struct fetch {
	struct repository *repository;
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

	if (!hash_equal(&d->digest, &f->top->digest)) {
		r = repository_manifest(
			f->repository, digest_text(&d->digest), &d->digest, &child, err);
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

static int candidate_manifest(const struct candidate *c, const struct platform *want,
	struct source_manifest *ret, struct imbrex_error *err)
{
	const struct reference *ref = &c->reference;
	bool by_digest = hash_is_set(&ref->digest);
	AUTO_FREE char *name = reference_text(ref);
	AUTO_DOCUMENT document = { 0 };
	struct oci_descriptor top = { 0 };
	struct fetch fetch = { .repository = c->repository, .top = &top, .document = &document };
	enum oci_media media;
	int r;

	if (!name)
		return fail_nomem(err);
	r = repository_manifest(c->repository, by_digest ? digest_text(&ref->digest) : ref->tag,
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

static int get_manifest(struct source *base, const struct platform *want,
	struct source_manifest *ret, struct imbrex_error *err)
{
	struct docker_source *s = CONTAINER_OF(base, struct docker_source, base);
	AUTO_STR log = STR_INIT(IMBREX_ERROR_MESSAGE_MAX);
	struct imbrex_error last = { 0 };
	size_t i;
	int r = 0;

	for (i = 0; i < s->n_candidates; i++) {
		r = candidate_manifest(&s->candidates[i], want, ret, &last);
		if (r == 0) {
			s->chosen = s->candidates[i].repository;
			return 0;
		}
		/* Cut when full: the message that holds it is no longer. */
		(void)!str_printf(&log, "%s%.400s", i ? "; " : "", last.message);
	}
	if (err)
		*err = last;
	return s->n_candidates > 1
		       ? hint(err, fail(err, r, "%s", str_text(&log)), "name the registry")
		       : r;
}

/* One document: 0 and *ret if it is the manifest, else 1 and where the index points to. */
static int digest_step(struct repository *repository, const char *name,
	const struct hash_value *want_digest, const struct platform *want, unsigned int depth,
	struct hash_value *ret, struct imbrex_error *err)
{
	AUTO_FREE char *type = NULL;
	AUTO_DOCUMENT document = { 0 };
	AUTO_OCI_INDEX index = { 0 };
	const struct oci_descriptor *entry;
	enum oci_media media;
	int r;

	r = repository_digest(repository, name, ret, &type, err);
	if (r < 0)
		return r;
	if (r > 0 && type && oci_media_is_manifest(oci_media_parse(type, NULL, NULL)))
		return 0;
	r = repository_manifest(repository, name, want_digest, &document, err);
	if (r == 0)
		r = oci_document_media(document.media_type, str_text(&document.body),
			document.body.len, &media, err);
	if (r < 0)
		return r;
	*ret = document.digest;
	if (oci_media_is_manifest(media))
		return 0;
	r = oci_index_parse(
		document.media_type, str_text(&document.body), document.body.len, &index, err);
	if (r == 0)
		r = oci_index_select(&index, want, depth, &entry, err);
	if (r < 0)
		return wrap(err, r, "%s", digest_short(&document.digest));
	*ret = entry->digest;
	return 1;
}

static int candidate_digest(const struct candidate *c, const struct platform *want,
	struct hash_value *ret, struct imbrex_error *err)
{
	struct hash_value at = c->reference.digest;
	bool by_digest = hash_is_set(&at);
	unsigned int depth = 0;
	int r;

	do {
		r = digest_step(c->repository, by_digest ? digest_text(&at) : c->reference.tag,
			by_digest ? &at : NULL, want, depth++, ret, err);
		at = *ret;
		by_digest = true;
	} while (r > 0);
	return r;
}

static int get_blob(struct source *base, const struct oci_descriptor *d, struct sink *to,
	struct imbrex_error *err)
{
	struct docker_source *s = CONTAINER_OF(base, struct docker_source, base);
	AUTO_PARTIAL part = { .fd = -EBADF };
	uint64_t offset = 0;
	int r = 0;

	assert(s->chosen); /* manifest() came first */
	if (s->opts.partial_dirfd > 0 && d->size_bytes >= s->opts.partial_min_bytes) {
		partial_open(&part, s->opts.partial_dirfd, &d->digest, d->size_bytes);
		r = partial_replay(&part, to, &offset, err);
	}
	if (r == 0)
		r = repository_blob(s->chosen, &d->digest, d->size_bytes, offset, to,
			part.fd >= 0 ? &part.observer : NULL, err);
	if (r == 0)
		r = sink_finish(to, err);
	if (r == 0 || r == IMBREX_EDIGEST)
		partial_drop(&part);
	return r;
}

static void free_source(struct source *base)
{
	struct docker_source *s = CONTAINER_OF(base, struct docker_source, base);
	size_t i;

	for (i = 0; i < s->n_candidates; i++) {
		repository_free(s->candidates[i].repository);
		reference_done(&s->candidates[i].reference);
	}
	free(s->candidates);
	free(s);
}

static const struct source_ops docker_ops = {
	.name = "docker",
	.manifest = get_manifest,
	.blob = get_blob,
	.free = free_source,
};

/* What the text may mean, in order. */
static int resolve(const struct docker_source *s, const struct registries *registries,
	const char *text, struct candidates *ret, struct imbrex_error *err)
{
	if (s->opts.short_names)
		return registries_resolve(registries, text, ret, err);
	ret->items = calloc(1, sizeof(*ret->items));
	if (!ret->items)
		return fail_nomem(err);
	ret->n = 1;
	return reference_parse(text, &ret->items[0], err);
}

/* Takes `ref` on success. */
static int add_candidate(struct docker_source *s, const struct registries *registries,
	struct reference *ref, struct imbrex_error *err)
{
	struct candidate *c = &s->candidates[s->n_candidates];
	AUTO_ENDPOINTS endpoints = { 0 };
	int r;

	r = reference_default_tag(ref, err);
	if (r == 0)
		r = registries_endpoints(registries, ref, &endpoints, err);
	if (r == 0)
		r = repository_open(&endpoints, &s->opts.repository, &c->repository, err);
	if (r < 0)
		return r;
	c->reference = *ref;
	*ref = (struct reference){ 0 };
	s->n_candidates++;
	return 0;
}

int docker_source_digest(struct source *base, const struct platform *want, struct hash_value *ret,
	struct imbrex_error *err)
{
	struct docker_source *s = CONTAINER_OF(base, struct docker_source, base);
	size_t i;
	int r = IMBREX_ENOENT;

	assert(base->ops == &docker_ops);
	for (i = 0; i < s->n_candidates && r < 0; i++)
		r = candidate_digest(&s->candidates[i], want, ret, err);
	return r;
}

void docker_source_forget_partial(struct source *base, const struct oci_descriptor *d)
{
	struct docker_source *s = CONTAINER_OF(base, struct docker_source, base);

	assert(base->ops == &docker_ops);
	if (s->opts.partial_dirfd > 0)
		partial_forget(s->opts.partial_dirfd, &d->digest);
}

int docker_source_open(const char *reference, const struct docker_options *opts,
	struct source **ret, struct imbrex_error *err)
{
	AUTO_REGISTRIES struct registries *registries = NULL;
	AUTO_CANDIDATES candidates = { 0 };
	AUTO_SOURCE struct source *base = NULL;
	struct docker_source *s;
	size_t i;
	int r;

	s = calloc(1, sizeof(*s));
	if (!s)
		return fail_nomem(err);
	s->base.ops = &docker_ops;
	base = &s->base;
	if (opts)
		s->opts = *opts;
	if (!s->opts.partial_min_bytes)
		s->opts.partial_min_bytes = PARTIAL_MIN_BYTES;
	r = registries_load(s->opts.registries_conf, &registries, err);
	if (r == 0)
		r = resolve(s, registries, reference, &candidates, err);
	if (r < 0)
		return r;
	s->candidates = calloc(candidates.n, sizeof(*s->candidates));
	if (!s->candidates)
		return fail_nomem(err);
	for (i = 0; i < candidates.n; i++) {
		r = add_candidate(s, registries, &candidates.items[i], err);
		if (r < 0)
			return r;
	}
	*ret = take_ptr(base);
	return 0;
}
