/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another store as a source.
 *
 * It is opened to be read only: no lock file, no directory, no record of it is made or changed. Its
 * records are believed as far as they say where things are; what a layer is, is proved by the
 * DiffIDs of the configuration, and the configuration by its digest.
 */
#include "image/storage.h"

#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "image/spec.h"
#include "imbrex/image.h"
#include "oci/config.h"
#include "oci/digest.h"
#include "store/adopt.h"
#include "transport/borrow.h"
#include "transport/documents.h"

struct storage {
	struct source base;
	struct imbrex_store *from; /* owned */
	struct imbrex_store *to;   /* borrowed; NULL: the image is not for a store */
	bool same;                 /* `from` is `to` */
	char *id;                  /* owned; of the image's record */
	char *name;                /* owned; by which it was found; NULL: none */
	struct str manifest_text;
	struct oci_manifest manifest;
	enum oci_media media;
	struct str config_text;
	struct oci_config config;
	struct strv layers;            /* ids, base layer first */
	struct layer_origin **origins; /* owned, each too; after manifest() */
};

static int open_other(struct storage *s, const struct store_spec *spec, struct imbrex_error *err)
{
	const struct imbrex_store_opts opts = {
		.graphroot = spec->graphroot,
		.runroot = spec->runroot,
		.driver = spec->driver && *spec->driver ? spec->driver : NULL,
		.storage_opts = (const char *const *)spec->options.items,
		.read_only = true,
	};
	struct stat a, b;
	int r = imbrex_store_open(&opts, &s->from, err);

	if (r < 0)
		return r;
	if (!s->to)
		return 0;
	if (fstat(s->from->graphfd, &a) < 0 || fstat(s->to->graphfd, &b) < 0)
		return fail_errno(err, "stat '%s'", imbrex_store_graphroot(s->from));
	s->same = a.st_dev == b.st_dev && a.st_ino == b.st_ino &&
		  str_eq(imbrex_store_driver(s->from), imbrex_store_driver(s->to));
	return 0;
}

/* ---- which image ------------------------------------------------------------------------- */

/* Names and top layer of the image; `reference` is what it is to be known by. */
static int note_image(struct storage *s, const char *reference, struct imbrex_error *err)
{
	struct imbrex_image *image;
	struct strv names = { 0 };
	int r = imbrex_image_get(s->from, s->id, &image, err);

	if (r < 0)
		return r;
	for (char **n = image->names; r == 0 && *n; n++)
		r = strv_add(&names, *n);
	if (r < 0)
		r = fail_nomem(err);
	if (r == 0)
		r = name_found_by(reference, &names, &s->name, err);
	if (r == 0)
		r = store_chain_ids(s->from, image->layer, &s->layers, err);
	strv_done(&names);
	imbrex_images_free(image, 1);
	return r;
}

static int find_image(struct storage *s, const char *reference, struct imbrex_error *err)
{
	const char *at = strrchr(reference, '@');
	AUTO_FREE char *name = NULL;
	int r;

	/* "@ID" and "REF@ID"; a digest stays with the name. */
	if (at && !strchr(at, ':')) {
		name = strndup(reference, (size_t)(at - reference));
		if (!name)
			return fail_nomem(err);
		r = imbrex_image_find(s->from, at + 1, &s->id, err);
		return r < 0 ? r : note_image(s, name, err);
	}
	if (!*reference)
		return fail(err, IMBREX_EINVAL, "no reference");
	r = imbrex_image_find(s->from, reference, &s->id, err);
	return r < 0 ? r : note_image(s, reference, err);
}

/* ---- documents --------------------------------------------------------------------------- */

static int take_document(char *text, size_t len, size_t max, const char *what, struct str *ret,
	struct imbrex_error *err)
{
	AUTO_FREE char *owned = text;

	*ret = (struct str)STR_INIT(max);
	if (len > max)
		return fail(err, IMBREX_ELIMIT, "%s: %zu bytes, more than %zu", what, len, max);
	return str_append(ret, owned, len) < 0 ? fail_nomem(err) : 0;
}

static int read_documents(struct storage *s, struct imbrex_error *err)
{
	char *text;
	size_t len;
	int r;

	r = imbrex_image_manifest(s->from, s->id, &text, &len, err);
	if (r == 0)
		r = take_document(
			text, len, LIMIT_MANIFEST_BYTES, "manifest", &s->manifest_text, err);
	if (r == 0)
		r = oci_document_media(
			NULL, str_text(&s->manifest_text), s->manifest_text.len, &s->media, err);
	if (r == 0)
		r = oci_manifest_parse(
			NULL, str_text(&s->manifest_text), s->manifest_text.len, &s->manifest, err);
	if (r == 0)
		r = imbrex_image_config(s->from, s->id, &text, &len, err);
	if (r == 0)
		r = take_document(
			text, len, LIMIT_CONFIG_BYTES, "configuration", &s->config_text, err);
	if (r == 0)
		r = oci_config_parse(
			str_text(&s->config_text), s->config_text.len, &s->config, err);
	if (r == 0)
		r = oci_config_check_layers(&s->config, s->manifest.n_layers, err);
	if (r == 0 && s->layers.n != s->manifest.n_layers)
		r = fail(err, IMBREX_EFORMAT, "has %zu layers but its manifest says %zu",
			s->layers.n, s->manifest.n_layers);
	return r;
}

static int get_outline(struct source *base, struct source_outline *ret, struct imbrex_error *err)
{
	struct storage *s = CONTAINER_OF(base, struct storage, base);

	*ret = (struct source_outline){
		.image = s->manifest.config.digest,
		.diff_ids = s->config.diff_ids,
		.n_diff_ids = s->config.n_diff_ids,
		.name = s->name,
	};
	return 0;
}

static int open_origins(struct storage *s, struct imbrex_error *err)
{
	s->origins = calloc(s->layers.n + 1, sizeof(struct layer_origin *));
	if (!s->origins)
		return fail_nomem(err);
	for (size_t i = 0; i < s->layers.n; i++) {
		int r = layer_origin_open(s->from, s->layers.items[i], s->to, &s->origins[i], err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int get_manifest(struct source *base, const struct platform *want,
	struct source_manifest *ret, struct imbrex_error *err)
{
	struct storage *s = CONTAINER_OF(base, struct storage, base);
	struct source_manifest m = { .manifest = STR_INIT(LIMIT_MANIFEST_BYTES) };
	int r = open_origins(s, err);

	if (r < 0)
		return r;
	r = hash_bytes(HASH_SHA256, str_text(&s->manifest_text), s->manifest_text.len, &m.digest);
	if (r < 0)
		return fail_code(err, r, "hash the manifest");
	r = str_append(&m.manifest, str_text(&s->manifest_text), s->manifest_text.len);
	m.media_type = strdup(documents_media_type(s->media));
	m.name = s->name ? strdup(s->name) : NULL;
	if (r < 0 || !m.media_type || (s->name && !m.name)) {
		source_manifest_done(&m);
		return fail_nomem(err);
	}
	*ret = m;
	return 0;
}

static int push_layer(struct storage *s, size_t i, struct sink *to, struct imbrex_error *err)
{
	struct sink *end;
	int r = borrow_sink_new(to, &end, err);

	return r < 0 ? r : layer_origin_push(s->origins[i], end, err);
}

static int get_blob(struct source *base, const struct oci_descriptor *d, struct sink *to,
	struct imbrex_error *err)
{
	struct storage *s = CONTAINER_OF(base, struct storage, base);
	int r;

	for (size_t i = 0; i < s->manifest.n_layers; i++) {
		if (hash_equal(&s->manifest.layers[i].digest, &d->digest))
			return push_layer(s, i, to, err);
	}
	if (!hash_equal(&s->manifest.config.digest, &d->digest))
		return fail(err, IMBREX_ENOENT, "no blob %s", digest_text(&d->digest));
	r = sink_write(to, str_text(&s->config_text), s->config_text.len, err);
	return r < 0 ? r : sink_finish(to, err);
}

static void free_source(struct source *base)
{
	struct storage *s = CONTAINER_OF(base, struct storage, base);

	for (size_t i = 0; s->origins && i < s->layers.n; i++)
		layer_origin_free(s->origins[i]);
	free(s->origins);
	strv_done(&s->layers);
	str_done(&s->manifest_text);
	oci_manifest_done(&s->manifest);
	str_done(&s->config_text);
	oci_config_done(&s->config);
	imbrex_store_close(s->from);
	free(s->id);
	free(s->name);
	free(s);
}

static const struct source_ops storage_ops = {
	.name = "containers-storage",
	.unpacked = true,
	.outline = get_outline,
	.manifest = get_manifest,
	.blob = get_blob,
	.free = free_source,
};

const char *storage_source_same(struct source *source)
{
	struct storage *s;

	if (source->ops != &storage_ops)
		return NULL;
	s = CONTAINER_OF(source, struct storage, base);
	return s->same ? s->id : NULL;
}

const struct apply_content *storage_source_content(struct source *source, size_t i)
{
	if (source->ops != &storage_ops)
		return NULL;
	return layer_origin_content(CONTAINER_OF(source, struct storage, base)->origins[i]);
}

static int open_image(struct storage *s, const char *where, struct imbrex_error *err)
{
	AUTO_STORE_SPEC spec = { 0 };
	int r = store_spec_parse(where, &spec, err);

	if (r == 0)
		r = open_other(s, &spec, err);
	if (r == 0)
		r = find_image(s, spec.reference, err);
	if (r < 0 || s->same)
		return r;
	r = read_documents(s, err);
	return r < 0 ? wrap(err, r, "image %.12s of '%s'", s->id, imbrex_store_graphroot(s->from))
		     : 0;
}

int storage_source_open(
	const char *where, struct imbrex_store *to, struct source **ret, struct imbrex_error *err)
{
	AUTO_SOURCE struct source *base = NULL;
	struct storage *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return fail_nomem(err);
	s->base.ops = &storage_ops;
	base = &s->base;
	s->to = to;
	r = open_image(s, where, err);
	if (r < 0)
		return r;
	*ret = take_ptr(base);
	return 0;
}
