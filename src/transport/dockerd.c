/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An engine is asked what an image consists of; then its archive, asked for by the id so that no
 * tag can move in between, goes through the code of docker-archive: as it arrives. What came must
 * be the image that was announced.
 */
#include "transport/dockerd.h"

#include "base/hex.h"
#include "oci/digest.h"
#include "oci/reference.h"
#include "transport/documents.h"
#include "transport/engine.h"

struct dockerd {
	struct source base;
	struct engine *engine;
	char *reference; /* owned; as the user wrote it */
	char *name;      /* owned; full reference; NULL: none */
	struct engine_image image;
	const struct archive_events *events; /* borrowed */
	bool outlined;          /* the caller has heard what is announced and relies on it */
	struct source *archive; /* owned; after manifest() */
};

static int get_outline(struct source *base, struct source_outline *ret, struct imbrex_error *err)
{
	struct dockerd *s = CONTAINER_OF(base, struct dockerd, base);

	s->outlined = true;
	*ret = (struct source_outline){
		.image = s->image.id,
		.diff_ids = s->image.diff_ids,
		.n_diff_ids = s->image.n_diff_ids,
		.name = s->name,
	};
	return 0;
}

/* Docker's own store calls an image by its configuration, containerd's by manifest or index. */
static int check_image(
	const struct dockerd *s, const struct source_manifest *m, struct imbrex_error *err)
{
	AUTO_OCI_MANIFEST manifest = { 0 };
	int r = oci_manifest_parse(
		m->media_type, str_text(&m->manifest), m->manifest.len, &manifest, err);

	if (r < 0)
		return r;
	if (hash_equal(&s->image.id, &manifest.config.digest) ||
		hash_equal(&s->image.id, &m->digest) || hash_equal(&s->image.id, &m->list_digest))
		return 0;
	return fail(err, IMBREX_EDIGEST, "the engine announced image %s but sent %s",
		digest_text(&s->image.id), digest_text(&manifest.config.digest));
}

static int receive(struct dockerd *s, struct source **ret, struct imbrex_error *err)
{
	const struct archive_options opts = {
		.events = s->events,
		.diff_ids = s->outlined ? s->image.diff_ids : NULL,
		.n_diff_ids = s->image.n_diff_ids,
	};
	AUTO_SOURCE struct source *archive = NULL;
	AUTO_SINK struct sink *sink = NULL;
	int r;

	r = archive_push_open(s->reference, &opts, &archive, &sink, err);
	if (r == 0)
		r = engine_export(s->engine, &s->image.id, sink, err);
	if (r < 0)
		return r;
	*ret = take_ptr(archive);
	return 0;
}

static int get_manifest(struct source *base, const struct platform *want,
	struct source_manifest *ret, struct imbrex_error *err)
{
	struct dockerd *s = CONTAINER_OF(base, struct dockerd, base);
	struct source_manifest m = { 0 };
	int r = receive(s, &s->archive, err);

	if (r == 0)
		r = s->archive->ops->manifest(s->archive, want, &m, err);
	if (r == 0)
		r = check_image(s, &m, err);
	if (r < 0) {
		source_manifest_done(&m);
		return r;
	}
	free(m.name);
	m.name = s->name ? strdup(s->name) : NULL;
	if (s->name && !m.name) {
		source_manifest_done(&m);
		return fail_nomem(err);
	}
	*ret = m;
	return 0;
}

static int get_blob(struct source *base, const struct oci_descriptor *d, struct sink *to,
	struct imbrex_error *err)
{
	struct dockerd *s = CONTAINER_OF(base, struct dockerd, base);

	return s->archive->ops->blob(s->archive, d, to, err);
}

static int get_member(struct source *base, const struct oci_descriptor *d, const char **ret,
	struct imbrex_error *err)
{
	struct dockerd *s = CONTAINER_OF(base, struct dockerd, base);

	return archive_source_member(s->archive, d, ret, err);
}

static void free_source(struct source *base)
{
	struct dockerd *s = CONTAINER_OF(base, struct dockerd, base);

	source_free(s->archive);
	engine_free(s->engine);
	engine_image_done(&s->image);
	free(s->reference);
	free(s->name);
	free(s);
}

static const struct source_ops dockerd_ops = {
	.name = "dockerd",
	.outline = get_outline,
	.manifest = get_manifest,
	.blob = get_blob,
	.member = get_member,
	.free = free_source,
};

/* "sha256:…", or so many digits that they cannot be a name. */
static bool is_id(const char *text)
{
	const char *hex = str_after(text, "sha256:");
	size_t len = strlen(hex ? hex : text);

	return hex ? len > 0 && len <= ID_HEX_LEN && hex_is_lower(hex, len)
		   : len == ID_HEX_LEN && hex_is_lower(text, len);
}

/* What the engine calls it, if it completes a short name otherwise than docker; none for an id. */
static int choose_name(struct dockerd *s, struct imbrex_error *err)
{
	AUTO_REFERENCE ref = { 0 };
	size_t len = strlen(s->reference);
	int r;

	if (is_id(s->reference))
		return 0;
	r = name_found_by(s->reference, &s->image.names, &s->name, err);
	if (r < 0 || s->name ||
		(len < ID_HEX_LEN && hex_is_lower(s->reference, len) &&
			strncmp(s->reference, digest_hex(&s->image.id), len) == 0))
		return r;
	r = reference_parse(s->reference, &ref, err);
	if (r == 0)
		r = reference_default_tag(&ref, err);
	if (r < 0)
		return r;
	s->name = reference_text(&ref);
	return s->name ? 0 : fail_nomem(err);
}

static int ask(struct dockerd *s, const struct dockerd_options *opts, struct imbrex_error *err)
{
	AUTO_ENDPOINT where = { 0 };
	AUTO_REFERENCE ref = { 0 };
	int r = 0;

	if (!is_id(s->reference))
		r = reference_parse(s->reference, &ref, err);
	if (r == 0)
		r = opts->host ? endpoint_parse(opts->host, &where, err)
			       : endpoint_find(&where, err);
	if (r == 0)
		r = engine_open(&where, opts->timeout_ms, &s->engine, err);
	if (r == 0)
		r = engine_inspect(s->engine, s->reference, &s->image, err);
	return r < 0 ? r : choose_name(s, err);
}

int dockerd_source_open(const char *reference, const struct dockerd_options *opts,
	struct source **ret, struct imbrex_error *err)
{
	AUTO_SOURCE struct source *base = NULL;
	struct dockerd *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return fail_nomem(err);
	s->base.ops = &dockerd_ops;
	base = &s->base;
	s->events = opts->events;
	s->reference = strdup(reference);
	if (!s->reference)
		return fail_nomem(err);
	r = ask(s, opts, err);
	if (r < 0)
		return r;
	*ret = take_ptr(base);
	return 0;
}
