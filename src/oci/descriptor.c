/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors and the table of media types; see the header. */
#include "oci/descriptor.h"

#include <string.h>
#include <strings.h>

#include "oci/digest.h"

static const struct {
	const char *text;
	enum oci_media media;
	enum oci_compression compression;
	bool foreign;
} media_types[] = {
	{ OCI_TYPE_MANIFEST, OCI_MEDIA_MANIFEST },
	{ OCI_TYPE_INDEX, OCI_MEDIA_INDEX },
	{ OCI_TYPE_CONFIG, OCI_MEDIA_CONFIG },
	{ OCI_TYPE_LAYER, OCI_MEDIA_LAYER, OCI_TAR },
	{ OCI_TYPE_LAYER_GZIP, OCI_MEDIA_LAYER, OCI_TAR_GZIP },
	{ OCI_TYPE_LAYER_ZSTD, OCI_MEDIA_LAYER, OCI_TAR_ZSTD },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar", OCI_MEDIA_LAYER, OCI_TAR,
		true },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", OCI_MEDIA_LAYER,
		OCI_TAR_GZIP, true },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", OCI_MEDIA_LAYER,
		OCI_TAR_ZSTD, true },
	{ OCI_TYPE_DOCKER_MANIFEST, OCI_MEDIA_DOCKER_MANIFEST },
	{ OCI_TYPE_DOCKER_LIST, OCI_MEDIA_DOCKER_LIST },
	{ OCI_TYPE_DOCKER_CONFIG, OCI_MEDIA_DOCKER_CONFIG },
	{ OCI_TYPE_DOCKER_LAYER, OCI_MEDIA_LAYER, OCI_TAR },
	{ OCI_TYPE_DOCKER_LAYER ".gzip", OCI_MEDIA_LAYER, OCI_TAR_GZIP },
	{ OCI_TYPE_DOCKER_LAYER ".zstd", OCI_MEDIA_LAYER, OCI_TAR_ZSTD },
	{ "application/vnd.docker.image.rootfs.foreign.diff.tar", OCI_MEDIA_LAYER, OCI_TAR, true },
	{ "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", OCI_MEDIA_LAYER,
		OCI_TAR_GZIP, true },
	{ "application/vnd.docker.distribution.manifest.v1+json", OCI_MEDIA_DOCKER_SCHEMA1 },
	{ "application/vnd.docker.distribution.manifest.v1+prettyjws", OCI_MEDIA_DOCKER_SCHEMA1 },
	{ "application/json", OCI_MEDIA_GENERIC },
	{ "application/octet-stream", OCI_MEDIA_GENERIC },
	{ "binary/octet-stream", OCI_MEDIA_GENERIC },
	{ "text/plain", OCI_MEDIA_GENERIC },
	{ "text/html", OCI_MEDIA_GENERIC },
	{ "", OCI_MEDIA_GENERIC },
};

void oci_descriptor_done(struct oci_descriptor *d)
{
	free(d->media_type);
	strv_done(&d->annotations);
	*d = (struct oci_descriptor){ 0 };
}

int oci_descriptor_copy(
	const struct oci_descriptor *from, struct oci_descriptor *ret, struct imbrex_error *err)
{
	struct oci_descriptor copy = *from;
	int r;

	copy.annotations = (struct strv){ 0 };
	copy.media_type = strdup(from->media_type);
	if (!copy.media_type)
		return fail_nomem(err);
	r = strv_copy(&copy.annotations, &from->annotations);
	if (r < 0) {
		oci_descriptor_done(&copy);
		return fail_nomem(err);
	}
	*ret = copy;
	return 0;
}

enum oci_media oci_media_parse(
	const char *text, enum oci_compression *ret_compression, bool *ret_foreign)
{
	size_t len;
	size_t i;

	text += strspn(text, " \t");
	len = strcspn(text, "; \t");
	for (i = 0; i < ARRAY_LEN(media_types); i++) {
		if (strlen(media_types[i].text) != len ||
			strncasecmp(media_types[i].text, text, len) != 0)
			continue;
		if (ret_compression)
			*ret_compression = media_types[i].compression;
		if (ret_foreign)
			*ret_foreign = media_types[i].foreign;
		return media_types[i].media;
	}
	return OCI_MEDIA_OTHER;
}

bool oci_media_is_manifest(enum oci_media media)
{
	return media == OCI_MEDIA_MANIFEST || media == OCI_MEDIA_DOCKER_MANIFEST;
}

bool oci_media_is_index(enum oci_media media)
{
	return media == OCI_MEDIA_INDEX || media == OCI_MEDIA_DOCKER_LIST;
}

int oci_check_key_case(
	const struct json_ref *at, const char *const *names, struct imbrex_error *err)
{
	struct json_ref member;
	const char *const *name;
	void *iter = NULL;
	char path[96];

	while (json_next_member(at, &iter, &member)) {
		for (name = names; *name; name++) {
			if (strcasecmp(member.key, *name) == 0 && strcmp(member.key, *name) != 0)
				return fail(err, IMBREX_EFORMAT,
					"%s: the key '%s' must be written '%s'",
					json_path(at, path, sizeof(path)), member.key, *name);
		}
	}
	return 0;
}

const char *oci_pairs_get(const struct strv *pairs, const char *key)
{
	size_t i;

	for (i = 0; i + 1 < pairs->n; i += 2) {
		if (strcmp(pairs->items[i], key) == 0)
			return pairs->items[i + 1];
	}
	return NULL;
}

int oci_pairs_parse(const struct json_ref *at, struct strv *ret, struct imbrex_error *err)
{
	struct json_ref member;
	void *iter = NULL;
	int r;

	r = json_opt_object(at, err);
	if (r <= 0)
		return r;
	while (json_next_member(at, &iter, &member)) {
		const char *value = "";

		r = json_opt_string(&member, &value, err);
		if (r < 0)
			return r;
		r = strv_add(ret, member.key);
		if (r < 0)
			return fail_nomem(err);
		r = strv_add(ret, value);
		if (r < 0)
			return fail_nomem(err);
	}
	return 0;
}

static int parse_platform(const struct json_ref *at, struct platform *ret, struct imbrex_error *err)
{
	struct json_ref os = json_get(at, "os");
	struct json_ref architecture = json_get(at, "architecture");
	struct json_ref variant = json_get(at, "variant");
	const char *words[3] = { 0 };
	int r;

	r = json_opt_object(at, err);
	if (r <= 0)
		return r;
	r = json_opt_string(&os, &words[0], err);
	if (r < 0)
		return r;
	r = json_opt_string(&architecture, &words[1], err);
	if (r < 0)
		return r;
	r = json_opt_string(&variant, &words[2], err);
	if (r < 0)
		return r;
	return platform_set(words[0], words[1], words[2], ret, err);
}

static const char *const known_keys[] = { "mediaType", "digest", "size", "platform", "annotations",
	NULL };

static int parse_into(const struct json_ref *at, struct oci_descriptor *d, struct imbrex_error *err)
{
	struct json_ref media_type = json_get(at, "mediaType");
	struct json_ref digest = json_get(at, "digest");
	struct json_ref size = json_get(at, "size");
	struct json_ref platform = json_get(at, "platform");
	struct json_ref annotations = json_get(at, "annotations");
	const char *text;
	char path[96];
	int r;

	r = json_as_object(at, err);
	if (r < 0)
		return r;
	r = oci_check_key_case(at, known_keys, err);
	if (r < 0)
		return r;
	r = json_as_string(&media_type, &text, err);
	if (r < 0)
		return r;
	d->media_type = strdup(text);
	if (!d->media_type)
		return fail_nomem(err);
	d->media = oci_media_parse(text, &d->compression, &d->foreign);
	r = json_as_string(&digest, &text, err);
	if (r < 0)
		return r;
	r = digest_parse(text, strlen(text), &d->digest, err);
	if (r < 0)
		return wrap(err, r, "%s", json_path(&digest, path, sizeof(path)));
	r = json_as_uint64(&size, &d->size_bytes, err);
	if (r < 0)
		return r;
	r = parse_platform(&platform, &d->platform, err);
	if (r < 0)
		return wrap(err, r, "%s", json_path(at, path, sizeof(path)));
	return oci_pairs_parse(&annotations, &d->annotations, err);
}

int oci_descriptor_parse(
	const struct json_ref *at, struct oci_descriptor *ret, struct imbrex_error *err)
{
	struct oci_descriptor d = { 0 };
	int r;

	r = parse_into(at, &d, err);
	if (r < 0) {
		oci_descriptor_done(&d);
		return r;
	}
	*ret = d;
	return 0;
}

static void write_platform(struct json_writer *w, const struct platform *p)
{
	if (!p->os[0] && !p->architecture[0])
		return;
	json_write_key(w, "platform");
	json_write_object_begin(w);
	json_write_member_string(w, "architecture", p->architecture);
	json_write_member_string(w, "os", p->os);
	json_write_some_string(w, "variant", p->variant);
	json_write_object_end(w);
}

void oci_descriptor_write(struct json_writer *w, const struct oci_descriptor *d)
{
	json_write_object_begin(w);
	json_write_member_string(w, "mediaType", d->media_type);
	json_write_member_string(w, "digest", digest_text(&d->digest));
	json_write_member_uint(w, "size", d->size_bytes);
	json_write_some_pairs(w, "annotations", &d->annotations);
	write_platform(w, &d->platform);
	json_write_object_end(w);
}
