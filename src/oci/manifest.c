/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Manifests and indexes. Every reader first settles what the document is (see the header), then
 * reads it as that and nothing else.
 */
#include "oci/manifest.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "base/limits.h"
#include "oci/digest.h"

/* Platforms that one message lists. */
#define PLATFORMS_SHOWN_MAX 12

void oci_manifest_done(struct oci_manifest *m)
{
	size_t i;

	oci_descriptor_done(&m->config);
	for (i = 0; i < m->n_layers; i++)
		oci_descriptor_done(&m->layers[i]);
	free(m->layers);
	strv_done(&m->annotations);
	*m = (struct oci_manifest){ 0 };
}

void oci_index_done(struct oci_index *index)
{
	size_t i;

	for (i = 0; i < index->n_manifests; i++)
		oci_descriptor_done(&index->manifests[i]);
	free(index->manifests);
	strv_done(&index->annotations);
	*index = (struct oci_index){ 0 };
}

static int refuse_members(const struct json_ref *root, const char *kind, const char *const *names,
	struct imbrex_error *err)
{
	for (; *names; names++) {
		struct json_ref member = json_get(root, *names);

		if (json_has(&member))
			return fail(err, IMBREX_EFORMAT, "%s: %s must not have the member '%s'",
				root->key, kind, *names);
	}
	return 0;
}

/* What the members alone suggest; OCI, because only there mediaType may be left out. */
static enum oci_media media_of_members(const struct json_ref *root)
{
	struct json_ref manifests = json_get(root, "manifests");
	struct json_ref layers = json_get(root, "layers");

	if (json_has(&layers))
		return OCI_MEDIA_MANIFEST;
	return json_has(&manifests) ? OCI_MEDIA_INDEX : OCI_MEDIA_OTHER;
}

static int check_schema_version(const struct json_ref *root, struct imbrex_error *err)
{
	struct json_ref version = json_get(root, "schemaVersion");
	int64_t value;
	int r;

	r = json_as_int64(&version, &value, err);
	if (r < 0)
		return r;
	if (value == 1)
		return fail(err, IMBREX_ENOTSUP,
			"%s: Docker schema 1 is not supported: the image has to be pushed again by "
			"a "
			"newer builder",
			root->key);
	if (value != 2)
		return fail(err, IMBREX_EFORMAT, "%s.schemaVersion is %" PRId64 ", not 2",
			root->key, value);
	return 0;
}

static int settle_media(const char *announced, const struct json_ref *root, enum oci_media *ret,
	struct imbrex_error *err)
{
	static const char *const not_in_index[] = { "layers", "config", "fsLayers", "history",
		NULL };
	static const char *const not_in_manifest[] = { "manifests", "fsLayers", "history", NULL };
	enum oci_media media =
		announced ? oci_media_parse(announced, NULL, NULL) : OCI_MEDIA_GENERIC;
	struct json_ref own_ref = json_get(root, "mediaType");
	enum oci_media own_media;
	const char *own = NULL;
	int r;

	if (!announced)
		announced = "";
	r = json_opt_string(&own_ref, &own, err);
	if (r < 0)
		return r;
	own_media = own && *own ? oci_media_parse(own, NULL, NULL) : OCI_MEDIA_GENERIC;
	if (media == OCI_MEDIA_DOCKER_SCHEMA1)
		own_media = media;
	else if (media == OCI_MEDIA_GENERIC)
		media = own_media;
	else if (own_media == OCI_MEDIA_GENERIC)
		own_media = media;
	if (media != own_media)
		return fail(err, IMBREX_EFORMAT, "%s: announced as '%s', but its mediaType is '%s'",
			root->key, announced, own);
	if (media == OCI_MEDIA_DOCKER_SCHEMA1)
		return fail(err, IMBREX_ENOTSUP,
			"%s: Docker schema 1 is not supported: the image has to be pushed again by "
			"a "
			"newer builder",
			root->key);
	if (media == OCI_MEDIA_GENERIC) {
		r = check_schema_version(root, err);
		if (r < 0)
			return r;
		media = media_of_members(root);
		if (media == OCI_MEDIA_OTHER)
			return fail(err, IMBREX_EFORMAT, "%s: has neither layers nor manifests",
				root->key);
	}
	if (!oci_media_is_manifest(media) && !oci_media_is_index(media))
		return fail(err, IMBREX_ENOTSUP, "%s: '%s' is no image manifest and no index",
			root->key, own && *own ? own : announced);
	r = check_schema_version(root, err);
	if (r < 0)
		return r;
	if (oci_media_is_index(media))
		r = refuse_members(root, "an index", not_in_index, err);
	else
		r = refuse_members(root, "an image manifest", not_in_manifest, err);
	if (r < 0)
		return r;
	*ret = media;
	return 0;
}

static const char *const known_keys[] = { "schemaVersion", "mediaType", "config", "layers",
	"manifests", "annotations", "subject", "artifactType", "fsLayers", "history", NULL };

static int parse_document(const char *announced, const char *text, size_t len,
	struct json_doc **ret, enum oci_media *ret_media, struct imbrex_error *err)
{
	AUTO_JSON_DOC *doc = NULL;
	struct json_ref root;
	int r;

	r = json_doc_parse("manifest", text, len, LIMIT_MANIFEST_BYTES, &doc, err);
	if (r < 0)
		return r;
	root = json_doc_root(doc);
	r = json_as_object(&root, err);
	if (r < 0)
		return r;
	r = oci_check_key_case(&root, known_keys, err);
	if (r < 0)
		return r;
	r = settle_media(announced, &root, ret_media, err);
	if (r < 0)
		return r;
	*ret = take_ptr(doc);
	return 0;
}

/* All descriptors of an array; grows *n as it goes, so that a failure frees what was read. */
static int parse_list(const struct json_ref *at, struct oci_descriptor **items, size_t *n,
	struct imbrex_error *err)
{
	size_t count = json_count(at);
	size_t i;
	int r;

	r = json_as_array(at, err);
	if (r < 0)
		return r;
	*items = calloc(count ? count : 1, sizeof(**items));
	if (!*items)
		return fail_nomem(err);
	for (i = 0; i < count; i++) {
		struct json_ref item = json_at(at, i);

		r = oci_descriptor_parse(&item, &(*items)[i], err);
		if (r < 0)
			return r;
		*n = i + 1;
	}
	return 0;
}

static int check_config(const struct oci_descriptor *d, struct imbrex_error *err)
{
	if (d->media != OCI_MEDIA_CONFIG && d->media != OCI_MEDIA_DOCKER_CONFIG)
		return fail(err, IMBREX_ENOTSUP,
			"manifest.config: '%s' is no image configuration: this is an artifact, not "
			"an image",
			d->media_type);
	if (d->size_bytes > LIMIT_CONFIG_BYTES)
		return fail(err, IMBREX_ELIMIT,
			"manifest.config: %" PRIu64 " bytes are more than the limit of %u",
			d->size_bytes, LIMIT_CONFIG_BYTES);
	return 0;
}

static int check_layer(const struct oci_descriptor *d, size_t index, struct imbrex_error *err)
{
	if (d->media != OCI_MEDIA_LAYER)
		return fail(err, IMBREX_ENOTSUP, "manifest.layers[%zu]: '%s' is no layer %s", index,
			d->media_type,
			strstr(d->media_type, "encrypted") ? "that can be read: it is encrypted"
							   : "of a known kind");
	if (d->size_bytes > LIMIT_LAYER_BYTES)
		return fail(err, IMBREX_ELIMIT,
			"manifest.layers[%zu]: %" PRIu64 " bytes are more than the limit of %llu",
			index, d->size_bytes, LIMIT_LAYER_BYTES);
	return 0;
}

static int read_manifest(
	const struct json_ref *root, struct oci_manifest *m, struct imbrex_error *err)
{
	struct json_ref config = json_get(root, "config");
	struct json_ref layers = json_get(root, "layers");
	struct json_ref annotations = json_get(root, "annotations");
	size_t i;
	int r;

	r = oci_descriptor_parse(&config, &m->config, err);
	if (r < 0)
		return r;
	r = check_config(&m->config, err);
	if (r < 0)
		return r;
	if (json_count(&layers) > LIMIT_IMAGE_LAYERS)
		return fail(err, IMBREX_ELIMIT,
			"manifest.layers: %zu layers are more than the limit of %d",
			json_count(&layers), LIMIT_IMAGE_LAYERS);
	r = parse_list(&layers, &m->layers, &m->n_layers, err);
	if (r < 0)
		return r;
	for (i = 0; i < m->n_layers; i++) {
		r = check_layer(&m->layers[i], i, err);
		if (r < 0)
			return r;
	}
	return oci_pairs_parse(&annotations, &m->annotations, err);
}

static int read_index(
	const struct json_ref *root, struct oci_index *index, struct imbrex_error *err)
{
	struct json_ref manifests = json_get(root, "manifests");
	struct json_ref annotations = json_get(root, "annotations");
	int r;

	r = parse_list(&manifests, &index->manifests, &index->n_manifests, err);
	if (r < 0)
		return r;
	return oci_pairs_parse(&annotations, &index->annotations, err);
}

/* Attestations of build tools hang in an index as images of no platform. */
static bool is_attestation(const struct oci_descriptor *d)
{
	const char *type = oci_pairs_get(&d->annotations, "vnd.docker.reference.type");

	return (type && strcmp(type, "attestation-manifest") == 0) ||
	       (strcmp(d->platform.os, "unknown") == 0 &&
		       strcmp(d->platform.architecture, "unknown") == 0);
}

static bool is_candidate(const struct oci_descriptor *d)
{
	return (oci_media_is_manifest(d->media) || oci_media_is_index(d->media)) &&
	       !is_attestation(d);
}

static unsigned int rank_of(const struct oci_descriptor *d, const struct platform *want)
{
	if (!is_candidate(d))
		return 0;
	if (!d->platform.os[0] && !d->platform.architecture[0])
		return 1;
	/* Any platform that fits beats an entry that says nothing. */
	return 2 * platform_rank(want, &d->platform);
}

static int fail_no_platform(
	const struct oci_index *index, const struct platform *want, struct imbrex_error *err)
{
	AUTO_STR offers = STR_INIT(PLATFORMS_SHOWN_MAX * (PLATFORM_TEXT_MAX + 2) + 64);
	char text[PLATFORM_TEXT_MAX];
	size_t shown = 0;
	size_t more = 0;
	size_t i;
	int r = 0;

	for (i = 0; i < index->n_manifests && r >= 0; i++) {
		if (!is_candidate(&index->manifests[i]))
			continue;
		if (shown == PLATFORMS_SHOWN_MAX) {
			more++;
			continue;
		}
		r = str_printf(&offers, "%s%s", shown ? ", " : "",
			platform_format(&index->manifests[i].platform, text));
		shown++;
	}
	if (r >= 0 && more)
		r = str_printf(&offers, " and %zu more", more);
	if (r < 0)
		return fail_nomem(err);
	if (!shown)
		return fail(err, IMBREX_ENOENT, "index: no image for %s: it holds none at all",
			platform_format(want, text));
	return fail(err, IMBREX_ENOENT, "index: no image for %s, only for %s",
		platform_format(want, text), str_text(&offers));
}

int oci_document_media(const char *announced, const char *text, size_t len, enum oci_media *ret,
	struct imbrex_error *err)
{
	AUTO_JSON_DOC *doc = NULL;

	return parse_document(announced, text, len, &doc, ret, err);
}

int oci_manifest_parse(const char *announced, const char *text, size_t len,
	struct oci_manifest *ret, struct imbrex_error *err)
{
	AUTO_OCI_MANIFEST m = { 0 };
	AUTO_JSON_DOC *doc = NULL;
	struct json_ref root;
	int r;

	r = parse_document(announced, text, len, &doc, &m.media, err);
	if (r < 0)
		return r;
	if (!oci_media_is_manifest(m.media))
		return fail(err, IMBREX_EFORMAT,
			"manifest: an index stands where one image was expected");
	root = json_doc_root(doc);
	r = read_manifest(&root, &m, err);
	if (r < 0)
		return r;
	*ret = m;
	m = (struct oci_manifest){ 0 };
	return 0;
}

int oci_index_parse(const char *announced, const char *text, size_t len, struct oci_index *ret,
	struct imbrex_error *err)
{
	AUTO_OCI_INDEX index = { 0 };
	AUTO_JSON_DOC *doc = NULL;
	struct json_ref root;
	int r;

	r = parse_document(announced, text, len, &doc, &index.media, err);
	if (r < 0)
		return r;
	if (!oci_media_is_index(index.media))
		return fail(err, IMBREX_EFORMAT,
			"manifest: a single image stands where an index was expected");
	root = json_doc_root(doc);
	r = read_index(&root, &index, err);
	if (r < 0)
		return r;
	*ret = index;
	index = (struct oci_index){ 0 };
	return 0;
}

int oci_index_select(const struct oci_index *index, const struct platform *want, unsigned int depth,
	const struct oci_descriptor **ret, struct imbrex_error *err)
{
	const struct oci_descriptor *best = NULL;
	struct platform host;
	unsigned int best_rank = 0;
	size_t i;
	int r;

	if (!want) {
		r = platform_host(&host, err);
		if (r < 0)
			return r;
		want = &host;
	}
	for (i = 0; i < index->n_manifests; i++) {
		unsigned int rank = rank_of(&index->manifests[i], want);

		if (rank > best_rank) {
			best = &index->manifests[i];
			best_rank = rank;
		}
	}
	if (!best)
		return fail_no_platform(index, want, err);
	if (oci_media_is_index(best->media) && depth + 1 >= LIMIT_INDEX_DEPTH)
		return fail(err, IMBREX_ELIMIT, "index: nested more than %d levels deep",
			LIMIT_INDEX_DEPTH);
	if (best->size_bytes > LIMIT_MANIFEST_BYTES)
		return fail(err, IMBREX_ELIMIT,
			"index: manifest %s of %" PRIu64 " bytes is larger than the limit of %u",
			digest_short(&best->digest), best->size_bytes, LIMIT_MANIFEST_BYTES);
	*ret = best;
	return 0;
}

int oci_manifest_write(const struct oci_manifest *m, struct str *ret, struct imbrex_error *err)
{
	struct json_writer w;
	size_t i;

	assert(oci_media_is_manifest(m->media));
	json_writer_init(&w, ret);
	json_write_object_begin(&w);
	json_write_member_int(&w, "schemaVersion", 2);
	json_write_member_string(&w, "mediaType",
		m->media == OCI_MEDIA_MANIFEST ? OCI_TYPE_MANIFEST : OCI_TYPE_DOCKER_MANIFEST);
	json_write_key(&w, "config");
	oci_descriptor_write(&w, &m->config);
	json_write_key(&w, "layers");
	json_write_array_begin(&w);
	for (i = 0; i < m->n_layers; i++)
		oci_descriptor_write(&w, &m->layers[i]);
	json_write_array_end(&w);
	json_write_some_pairs(&w, "annotations", &m->annotations);
	json_write_object_end(&w);
	return json_writer_finish(&w, err);
}

int oci_index_write(const struct oci_index *index, struct str *ret, struct imbrex_error *err)
{
	struct json_writer w;
	size_t i;

	assert(oci_media_is_index(index->media));
	json_writer_init(&w, ret);
	json_write_object_begin(&w);
	json_write_member_int(&w, "schemaVersion", 2);
	json_write_member_string(&w, "mediaType",
		index->media == OCI_MEDIA_INDEX ? OCI_TYPE_INDEX : OCI_TYPE_DOCKER_LIST);
	json_write_key(&w, "manifests");
	json_write_array_begin(&w);
	for (i = 0; i < index->n_manifests; i++)
		oci_descriptor_write(&w, &index->manifests[i]);
	json_write_array_end(&w);
	json_write_some_pairs(&w, "annotations", &index->annotations);
	json_write_object_end(&w);
	return json_writer_finish(&w, err);
}
