/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which image of an archive, and what its manifest is.
 *
 * The bytes are the bundle's business. Here only documents are read: index.json and what follows
 * from it, or manifest.json with the configuration it names, from which a manifest is made.
 */
#include "transport/archive.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/hex.h"
#include "base/limits.h"
#include "json/doc.h"
#include "oci/config.h"
#include "oci/digest.h"
#include "oci/manifest.h"
#include "oci/reference.h"
#include "os/fd.h"
#include "stream/detect.h"
#include "stream/pump.h"
#include "transport/bundle.h"
#include "transport/documents.h"
#include "transport/layout.h"

/* A blob of an image without manifests of its own. */
struct made_blob {
	struct hash_value digest;
	uint64_t size_bytes;
	const struct bundle_member *member; /* borrowed from the bundle */
};

struct archive {
	struct source source;
	struct bundle *bundle; /* owned */
	char *what;            /* owned; path for messages and names */
	enum archive_flavour flavour;
	char *tag; /* owned; NULL: none */
	/* After manifest(), if it was made from manifest.json: layers, then the configuration. */
	struct made_blob *made; /* owned; NULL if there is an OCI layout */
	size_t n_made;
};

/* One element of manifest.json. */
struct saved_image {
	const char *config;    /* borrowed from the document */
	struct strv repo_tags; /* owned */
	struct strv layers;    /* owned; member names, base layer first */
};

/* "blobs/sha512/" and 128 digits. */
#define BLOB_NAME_MAX (16 + HASH_HEX_MAX)

static void saved_image_done(struct saved_image *image)
{
	strv_done(&image->repo_tags);
	strv_done(&image->layers);
}

static int read_member(const struct archive *a, const char *name, size_t max_bytes, struct str *ret,
	struct imbrex_error *err)
{
	const struct bundle_member *m;
	int r = bundle_find(a->bundle, name, &m, err);

	return r < 0 ? r : bundle_read(a->bundle, m, max_bytes, ret, err);
}

/* The member that a digest of an OCI layout names. */
static int find_blob(const struct archive *a, const struct oci_descriptor *d,
	const struct bundle_member **ret, struct imbrex_error *err)
{
	char name[BLOB_NAME_MAX];
	char hex[HASH_HEX_MAX];
	int r;

	(void)snprintf(name, sizeof(name), "blobs/%s/%s", hash_name(d->digest.algorithm),
		hash_hex(&d->digest, hex));
	r = bundle_find(a->bundle, name, ret, err);
	if (r < 0)
		return r;
	if (bundle_member_size(*ret) != d->size_bytes)
		return fail(err, IMBREX_EDIGEST,
			"member '%s': has %" PRIu64 " bytes but %" PRIu64 " were announced", name,
			bundle_member_size(*ret), d->size_bytes);
	return 0;
}

static int fetch(
	void *ctx, const struct oci_descriptor *d, struct str *ret, struct imbrex_error *err)
{
	const struct archive *a = ctx;
	const struct bundle_member *m;
	int r = find_blob(a, d, &m, err);

	return r < 0 ? r : bundle_read(a->bundle, m, LIMIT_MANIFEST_BYTES, ret, err);
}

static int oci_manifest(struct archive *a, const struct platform *want, struct source_manifest *ret,
	struct imbrex_error *err)
{
	AUTO_STR version = STR_INIT(LIMIT_CONF_BYTES);
	AUTO_STR text = STR_INIT(LIMIT_MANIFEST_BYTES);
	AUTO_OCI_INDEX index = { 0 };
	struct oci_descriptor top = { 0 };
	int r;

	r = read_member(a, "oci-layout", LIMIT_CONF_BYTES, &version, err);
	if (r < 0)
		return r;
	r = layout_check_version(str_text(&version), version.len, err);
	if (r < 0)
		return r;
	r = read_member(a, "index.json", LIMIT_MANIFEST_BYTES, &text, err);
	if (r < 0)
		return r;
	r = oci_index_parse(NULL, str_text(&text), text.len, &index, err);
	if (r < 0)
		return wrap(err, r, "index.json");
	r = layout_choose(&index, a->tag, want, &top, err);
	if (r < 0)
		return r;
	r = documents_choose(fetch, a, &top, want, ret, err);
	if (r == 0)
		r = name_from_ref(a->what, layout_name(&top), &ret->name, err);
	oci_descriptor_done(&top);
	return r;
}

/* The full reference that a RepoTag stands for; NULL if it is none. */
static char *normalized(const char *text)
{
	AUTO_REFERENCE ref = { 0 };

	if (reference_parse(text, &ref, NULL) < 0 || reference_default_tag(&ref, NULL) < 0)
		return NULL;
	return reference_text(&ref);
}

static bool has_repo_tag(const struct json_ref *image, const char *want)
{
	struct json_ref tags = json_get(image, "RepoTags");

	for (size_t i = 0; i < json_count(&tags); i++) {
		struct json_ref at = json_at(&tags, i);
		AUTO_FREE char *full = NULL;
		const char *tag;

		if (json_as_string(&at, &tag, NULL) < 0)
			continue;
		full = normalized(tag);
		if (full && str_eq(full, want))
			return true;
	}
	return false;
}

static int hint_tags(const struct json_ref *images, int r, struct imbrex_error *err)
{
	AUTO_STR list = STR_INIT(IMBREX_ERROR_HINT_MAX - 16);

	for (size_t i = 0; i < json_count(images); i++) {
		struct json_ref image = json_at(images, i);
		struct json_ref tags = json_get(&image, "RepoTags");

		for (size_t j = 0; j < json_count(&tags); j++) {
			struct json_ref at = json_at(&tags, j);
			const char *tag;

			/* A list that is too long is cut: it is a hint. */
			if (json_as_string(&at, &tag, NULL) < 0 ||
				str_printf(&list, "%s%s", list.len > 0 ? ", " : "", tag) < 0)
				break;
		}
	}
	return list.len > 0 ? hint(err, r, "tags: %s", str_text(&list)) : r;
}

/* "@N": index of an image; false if `tag` is something else. */
static bool parse_number(const char *tag, size_t *ret)
{
	char *end;
	unsigned long value;

	if (!tag || tag[0] != '@' || tag[1] < '0' || tag[1] > '9')
		return false;
	errno = 0;
	value = strtoul(tag + 1, &end, 10);
	*ret = value;
	return *end == '\0' && errno == 0;
}

/* The index of the image that `tag` asks for. */
static int choose_saved(
	const struct json_ref *images, const char *tag, size_t *ret, struct imbrex_error *err)
{
	size_t n = json_count(images);
	AUTO_FREE char *full = NULL;

	if (!tag && n == 1) {
		*ret = 0;
		return 0;
	}
	if (n == 0)
		return fail(err, IMBREX_ENOENT, "manifest.json names no image");
	if (!tag)
		return hint_tags(
			images, fail(err, IMBREX_EINVAL, "holds %zu images: say which", n), err);
	if (parse_number(tag, ret))
		return *ret < n ? 0
				: fail(err, IMBREX_ENOENT, "no image %s: there are %zu", tag, n);
	full = normalized(tag);
	if (!full)
		return fail(err, IMBREX_EINVAL, "'%s' is not a reference", tag);
	for (size_t i = 0; i < n; i++) {
		struct json_ref image = json_at(images, i);

		if (has_repo_tag(&image, full)) {
			*ret = i;
			return 0;
		}
	}
	return hint_tags(images, fail(err, IMBREX_ENOENT, "no image '%s'", full), err);
}

static int parse_saved(const struct json_ref *at, struct saved_image *ret, struct imbrex_error *err)
{
	struct json_ref config = json_get(at, "Config");
	struct json_ref tags = json_get(at, "RepoTags");
	struct json_ref layers = json_get(at, "Layers");
	int r;

	r = json_as_object(at, err);
	if (r == 0)
		r = json_as_string(&config, &ret->config, err);
	if (r == 0)
		r = json_opt_strings(&tags, &ret->repo_tags, err);
	if (r >= 0 && json_count(&layers) > LIMIT_IMAGE_LAYERS)
		return fail(err, IMBREX_ELIMIT, "manifest.json: %zu layers, more than %d",
			json_count(&layers), LIMIT_IMAGE_LAYERS);
	if (r >= 0)
		r = json_opt_strings(&layers, &ret->layers, err);
	return r < 0 ? r : 0;
}

/* A configuration that is called by a digest must have it. */
static int check_config_name(
	const char *name, const struct hash_value *digest, struct imbrex_error *err)
{
	const char *stem = strrchr(name, '/');
	char hex[HASH_HEX_MAX];

	stem = stem ? stem + 1 : name;
	if (str_after(stem, "sha256:"))
		stem = str_after(stem, "sha256:");
	if (strlen(stem) < ID_HEX_LEN || !hex_is_lower(stem, ID_HEX_LEN) ||
		hex_is_lower(stem, ID_HEX_LEN + 1))
		return 0;
	if (memcmp(stem, hash_hex(digest, hex), ID_HEX_LEN) == 0)
		return 0;
	return fail(err, IMBREX_EDIGEST, "configuration '%s': content is %s", name,
		digest_text(digest));
}

static int make_blobs(struct archive *a, const struct saved_image *image, struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(LIMIT_CONFIG_BYTES);
	AUTO_OCI_CONFIG config = { 0 };
	size_t n = image->layers.n;
	struct made_blob *made;
	int r;

	made = calloc(n + 1, sizeof(*made));
	if (!made)
		return fail_nomem(err);
	free(a->made);
	a->made = made;
	a->n_made = n + 1;
	r = bundle_find(a->bundle, image->config, &made[n].member, err);
	if (r == 0)
		r = bundle_read(a->bundle, made[n].member, LIMIT_CONFIG_BYTES, &text, err);
	if (r < 0)
		return r;
	made[n].size_bytes = text.len;
	r = hash_bytes(HASH_SHA256, str_text(&text), text.len, &made[n].digest);
	if (r < 0)
		return fail_code(err, r, "hash '%s'", image->config);
	r = check_config_name(image->config, &made[n].digest, err);
	if (r < 0)
		return r;
	r = oci_config_parse(str_text(&text), text.len, &config, err);
	if (r == 0)
		r = oci_config_check_layers(&config, n, err);
	if (r < 0)
		return wrap(err, r, "'%s'", image->config);
	for (size_t i = 0; i < n; i++) {
		made[i].digest = config.diff_ids[i];
		r = bundle_find(a->bundle, image->layers.items[i], &made[i].member, err);
		if (r == 0)
			r = bundle_unpacked_size(
				a->bundle, made[i].member, &made[i].size_bytes, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The bytes that podman stores for such an image, so that both call it by the same digest. */
static int write_manifest(const struct archive *a, struct str *ret, struct imbrex_error *err)
{
	const struct made_blob *config = &a->made[a->n_made - 1];
	int r;

	r = str_printf(ret,
		"{\"schemaVersion\":2,\"mediaType\":\"%s\",\"config\":{\"mediaType\":\"%s\","
		"\"size\":%" PRIu64 ",\"digest\":\"%s\"},\"layers\":[",
		OCI_TYPE_DOCKER_MANIFEST, OCI_TYPE_DOCKER_CONFIG, config->size_bytes,
		digest_text(&config->digest));
	for (size_t i = 0; i + 1 < a->n_made && r == 0; i++)
		r = str_printf(ret,
			"%s{\"mediaType\":\"%s.gzip\",\"size\":%" PRIu64 ",\"digest\":\"%s\"}",
			i > 0 ? "," : "", OCI_TYPE_DOCKER_LAYER, a->made[i].size_bytes,
			digest_text(&a->made[i].digest));
	if (r == 0)
		r = str_puts(ret, "]}");
	return r < 0 ? fail_nomem(err) : 0;
}

static int fill_made(struct archive *a, const struct saved_image *image,
	struct source_manifest *ret, struct imbrex_error *err)
{
	int r;

	r = make_blobs(a, image, err);
	if (r < 0)
		return r;
	ret->manifest = (struct str)STR_INIT(LIMIT_MANIFEST_BYTES);
	r = write_manifest(a, &ret->manifest, err);
	if (r < 0)
		return r;
	r = hash_bytes(HASH_SHA256, str_text(&ret->manifest), ret->manifest.len, &ret->digest);
	if (r < 0)
		return fail_code(err, r, "hash the manifest");
	ret->media_type = strdup(OCI_TYPE_DOCKER_MANIFEST);
	if (!ret->media_type)
		return fail_nomem(err);
	if (a->tag && a->tag[0] != '@')
		ret->name = normalized(a->tag);
	else if (image->repo_tags.n > 0)
		ret->name = normalized(image->repo_tags.items[0]);
	return 0;
}

static int docker_manifest(struct archive *a, struct source_manifest *ret, struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(LIMIT_MANIFEST_BYTES);
	AUTO_JSON_DOC *doc = NULL;
	struct saved_image image = { 0 };
	struct json_ref root, at;
	size_t index = 0;
	int r;

	r = read_member(a, "manifest.json", LIMIT_MANIFEST_BYTES, &text, err);
	if (r < 0)
		return r;
	r = json_doc_parse(
		"manifest.json", str_text(&text), text.len, LIMIT_MANIFEST_BYTES, &doc, err);
	if (r < 0)
		return r;
	root = json_doc_root(doc);
	r = json_as_array(&root, err);
	if (r < 0)
		return r;
	r = choose_saved(&root, a->tag, &index, err);
	if (r < 0)
		return r;
	at = json_at(&root, index);
	r = parse_saved(&at, &image, err);
	if (r == 0)
		r = fill_made(a, &image, ret, err);
	saved_image_done(&image);
	return r;
}

static int choose_layout(struct archive *a, const struct platform *want,
	struct source_manifest *ret, struct imbrex_error *err)
{
	bool has_oci = bundle_has(a->bundle, "index.json") && bundle_has(a->bundle, "oci-layout");
	bool has_docker = bundle_has(a->bundle, "manifest.json");
	int r;

	if (a->flavour == ARCHIVE_OCI && !has_oci)
		return fail(err, IMBREX_EFORMAT,
			"not an OCI archive: has no oci-layout and index.json");
	if (!has_oci && !has_docker)
		return hint(err,
			fail(err, IMBREX_EFORMAT, "not an image archive: has no manifest.json%s",
				a->flavour == ARCHIVE_ANY ? " and no oci-layout" : ""),
			"a root file system is read by tar:FILE");
	if (!has_oci)
		return docker_manifest(a, ret, err);
	r = oci_manifest(a, want, ret, err);
	/* Names that only manifest.json has. */
	if (r == IMBREX_ENOENT && a->tag && has_docker && a->flavour != ARCHIVE_OCI) {
		source_manifest_done(ret);
		return docker_manifest(a, ret, err);
	}
	return r;
}

static int archive_manifest(struct source *s, const struct platform *want,
	struct source_manifest *ret, struct imbrex_error *err)
{
	struct archive *a = CONTAINER_OF(s, struct archive, source);
	struct source_manifest m = { 0 };
	int r = choose_layout(a, want, &m, err);

	if (r < 0) {
		source_manifest_done(&m);
		return wrap(err, r, "archive '%s'", a->what);
	}
	*ret = m;
	return 0;
}

static int find(const struct archive *a, const struct oci_descriptor *d,
	const struct bundle_member **ret, struct imbrex_error *err)
{
	if (!a->made)
		return find_blob(a, d, ret, err);
	for (size_t i = 0; i < a->n_made; i++) {
		if (hash_equal(&a->made[i].digest, &d->digest)) {
			*ret = a->made[i].member;
			return 0;
		}
	}
	return fail(err, IMBREX_ENOENT, "no blob %s", digest_text(&d->digest));
}

static int archive_blob(
	struct source *s, const struct oci_descriptor *d, struct sink *to, struct imbrex_error *err)
{
	struct archive *a = CONTAINER_OF(s, struct archive, source);
	const struct bundle_member *m;
	int r = find(a, d, &m, err);

	if (r < 0)
		return wrap(err, r, "archive '%s'", a->what);
	return bundle_push(a->bundle, m, a->made != NULL, to, err);
}

static void archive_free(struct source *s)
{
	struct archive *a = CONTAINER_OF(s, struct archive, source);

	bundle_free(a->bundle);
	free(a->made);
	free(a->what);
	free(a->tag);
	free(a);
}

static const struct source_ops archive_ops = {
	.name = "archive",
	.manifest = archive_manifest,
	.blob = archive_blob,
	.member = archive_source_member,
	.free = archive_free,
};

static int archive_new(const char *what, const struct archive_options *opts, struct archive **ret,
	struct imbrex_error *err)
{
	struct archive *a = calloc(1, sizeof(*a));

	if (!a)
		return fail_nomem(err);
	a->source.ops = &archive_ops;
	a->flavour = opts->flavour;
	a->what = strdup(what);
	a->tag = opts->tag ? strdup(opts->tag) : NULL;
	if (!a->what || (opts->tag && !a->tag)) {
		archive_free(&a->source);
		return fail_nomem(err);
	}
	*ret = a;
	return 0;
}

/* An uncompressed regular file: payload can be left where it is. */
static int can_seek(int fd, bool *ret, struct imbrex_error *err)
{
	char magic[COMPRESSION_MAGIC_MAX];
	struct stat st;
	size_t len;
	int r;

	if (fstat(fd, &st) < 0)
		return fail_errno(err, "stat");
	*ret = false;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? fail(err, IMBREX_EFORMAT, "is a directory") : 0;
	r = pread_all(fd, magic, sizeof(magic), 0, &len);
	if (r < 0)
		return fail_code(err, r, "read");
	*ret = compression_detect(magic, len) == COMPRESSION_NONE;
	return 0;
}

/* `fd` is taken on success. */
static int open_fd(int fd, const char *path, const struct archive_options *opts,
	struct source **ret, struct imbrex_error *err)
{
	struct archive *a;
	bool seekable = false;
	int r;

	r = can_seek(fd, &seekable, err);
	if (r < 0)
		return wrap(err, r, "archive '%s'", path);
	if (!seekable) {
		r = archive_stream_open(fd, path, opts, ret, err);
		if (r == 0)
			(void)close_fd(fd);
		return r;
	}
	r = archive_new(path, opts, &a, err);
	if (r < 0)
		return r;
	r = bundle_index(fd, &a->bundle, err);
	if (r < 0) {
		archive_free(&a->source);
		return wrap(err, r, "archive '%s'", path);
	}
	*ret = &a->source;
	return 0;
}

int archive_source_open(const char *path, const struct archive_options *opts, struct source **ret,
	struct imbrex_error *err)
{
	AUTO_CLOSE int fd = -EBADF;
	int r;

	if (str_eq(path, "-"))
		fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
	else
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return fail_errno(err, "open '%s'", path);
	r = open_fd(fd, path, opts, ret, err);
	if (r == 0)
		(void)take_fd(fd);
	return r;
}

int archive_push_open(const char *what, const struct archive_options *opts, struct source **ret,
	struct sink **ret_sink, struct imbrex_error *err)
{
	struct archive *a;
	int r;

	r = archive_new(what, opts, &a, err);
	if (r < 0)
		return r;
	r = bundle_push_new(opts, &a->bundle, ret_sink, err);
	if (r < 0) {
		archive_free(&a->source);
		return r;
	}
	*ret = &a->source;
	return 0;
}

int archive_stream_open(int fd, const char *what, const struct archive_options *opts,
	struct source **ret, struct imbrex_error *err)
{
	AUTO_SOURCE struct source *source = NULL;
	AUTO_SINK struct sink *sink = NULL;
	int r;

	r = archive_push_open(what, opts, &source, &sink, err);
	if (r == 0)
		r = pump_fd(fd, sink, UINT64_MAX, err);
	if (r == 0)
		r = sink_finish(sink, err);
	if (r < 0)
		return wrap(err, r, "archive '%s'", what);
	*ret = take_ptr(source);
	return 0;
}

int archive_source_member(struct source *s, const struct oci_descriptor *d, const char **ret_member,
	struct imbrex_error *err)
{
	const struct bundle_member *m;
	struct archive *a;
	int r;

	if (s->ops != &archive_ops)
		return fail(err, IMBREX_ENOENT, "a %s source has no members", s->ops->name);
	a = CONTAINER_OF(s, struct archive, source);
	r = find(a, d, &m, err);
	if (r < 0)
		return wrap(err, r, "archive '%s'", a->what);
	*ret_member = bundle_member_name(m);
	return bundle_member_taken(m) ? 1 : 0;
}
