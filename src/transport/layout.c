/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.json is a list of images by name, not a list of platforms of one image, though some
 * programs write the latter. So: filter by name first; only if several entries are left does the
 * platform choose among them.
 */
#include "transport/layout.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"
#include "json/doc.h"
#include "oci/digest.h"
#include "oci/reference.h"

#define CONTAINERD_NAME "io.containerd.image.name"

static const char *ref_name(const struct oci_descriptor *d)
{
	return oci_pairs_get(&d->annotations, LAYOUT_REF_NAME);
}

/* "a:1" and "docker.io/library/a:1" are one name. */
static bool is_same_reference(const char *a, const char *b)
{
	AUTO_REFERENCE ref_a = { 0 };
	AUTO_REFERENCE ref_b = { 0 };
	AUTO_FREE char *text_a = NULL;
	AUTO_FREE char *text_b = NULL;

	if (reference_parse(a, &ref_a, NULL) < 0 || reference_default_tag(&ref_a, NULL) < 0 ||
		reference_parse(b, &ref_b, NULL) < 0 || reference_default_tag(&ref_b, NULL) < 0)
		return false;
	text_a = reference_text(&ref_a);
	text_b = reference_text(&ref_b);
	return text_a && text_b && str_eq(text_a, text_b);
}

/* containerd and docker write the full name in one of their own and only the tag in ref.name. */
static bool is_named(const struct oci_descriptor *d, const char *tag)
{
	const char *name = ref_name(d);
	const char *full = oci_pairs_get(&d->annotations, CONTAINERD_NAME);

	return (name && str_eq(name, tag)) || (full && is_same_reference(full, tag));
}

static bool is_image(const struct oci_descriptor *d)
{
	return oci_media_is_manifest(d->media) || oci_media_is_index(d->media) ||
	       d->media == OCI_MEDIA_GENERIC;
}

/* What a tag asks for: one of the members, or nothing at all. */
struct wanted {
	const char *name;         /* borrowed; NULL: none */
	struct hash_value digest; /* not set: none */
	bool by_number;
	uint64_t number;
};

static int parse_tag(const char *tag, struct wanted *ret, struct imbrex_error *err)
{
	char *end;

	if (!tag || tag[0] != '@') {
		ret->name = tag;
		return 0;
	}
	if (strchr(tag, ':'))
		return digest_parse(tag + 1, strlen(tag + 1), &ret->digest, err);
	errno = 0;
	ret->number = strtoull(tag + 1, &end, 10);
	if (errno || *end || tag[1] < '0' || tag[1] > '9')
		return fail(err, IMBREX_EINVAL, "'%s' is neither @NUMBER nor @DIGEST", tag);
	ret->by_number = true;
	return 0;
}

static bool is_wanted(const struct wanted *want, const struct oci_descriptor *d, size_t number)
{
	if (want->by_number)
		return number == want->number;
	if (hash_is_set(&want->digest))
		return hash_equal(&want->digest, &d->digest);
	return want->name ? is_named(d, want->name) : is_image(d);
}

/* Entries that the caller asked for, as an index that borrows them. */
static int filter(const struct oci_index *index, const struct wanted *want, struct oci_index *ret,
	struct imbrex_error *err)
{
	ret->media = index->media;
	ret->manifests = calloc(index->n_manifests + 1, sizeof(*ret->manifests));
	if (!ret->manifests)
		return fail_nomem(err);
	for (size_t i = 0; i < index->n_manifests; i++) {
		const struct oci_descriptor *d = &index->manifests[i];

		if (is_wanted(want, d, i))
			ret->manifests[ret->n_manifests++] = *d;
	}
	return 0;
}

static int hint_tags(const struct oci_index *index, int r, struct imbrex_error *err)
{
	AUTO_STR list = STR_INIT(IMBREX_ERROR_HINT_MAX - 16);

	for (size_t i = 0; i < index->n_manifests; i++) {
		const char *name = ref_name(&index->manifests[i]);

		/* A list that is too long is cut: it is a hint. */
		if (name && str_printf(&list, "%s%s", list.len > 0 ? ", " : "", name) < 0)
			break;
	}
	return list.len > 0 ? hint(err, r, "tags: %s", str_text(&list)) : r;
}

static bool all_same(const struct oci_index *index)
{
	for (size_t i = 1; i < index->n_manifests; i++) {
		if (!hash_equal(&index->manifests[0].digest, &index->manifests[i].digest))
			return false;
	}
	return true;
}

/* Several entries are one image for several platforms if none has a name of its own. */
static bool is_by_platform(const struct oci_index *index)
{
	const char *first = ref_name(&index->manifests[0]);

	for (size_t i = 0; i < index->n_manifests; i++) {
		const struct oci_descriptor *d = &index->manifests[i];
		const char *name = ref_name(d);

		if (!d->platform.architecture[0] || !name != !first ||
			(name && !str_eq(name, first)))
			return false;
	}
	return true;
}

static int choose(const struct oci_index *all, const struct oci_index *found, const char *tag,
	const struct platform *want, struct oci_descriptor *ret, struct imbrex_error *err)
{
	const struct oci_descriptor *entry = &found->manifests[0];
	int r;

	if (found->n_manifests == 0 && tag)
		return hint_tags(
			all, fail(err, IMBREX_ENOENT, "no image '%s' in index.json", tag), err);
	if (found->n_manifests == 0)
		return fail(err, IMBREX_ENOENT, "no image in index.json");
	if (found->n_manifests > 1 && !all_same(found)) {
		if (!is_by_platform(found))
			return hint_tags(all,
				fail(err, IMBREX_EINVAL, "index.json has %zu images%s%s: say which",
					found->n_manifests, tag ? " called " : "", tag ? tag : ""),
				err);
		r = oci_index_select(found, want, 0, &entry, err);
		if (r < 0)
			return r;
	}
	return oci_descriptor_copy(entry, ret, err);
}

int layout_check_version(const char *text, size_t len, struct imbrex_error *err)
{
	AUTO_JSON_DOC *doc = NULL;
	struct json_ref root, version;
	const char *value;
	int r;

	r = json_doc_parse("oci-layout", text, len, LIMIT_CONF_BYTES, &doc, err);
	if (r < 0)
		return r;
	root = json_doc_root(doc);
	version = json_get(&root, "imageLayoutVersion");
	r = json_as_string(&version, &value, err);
	if (r < 0)
		return r;
	if (!str_after(value, "1."))
		return fail(err, IMBREX_ENOTSUP, "oci-layout: version '%s' is not 1.x", value);
	return 0;
}

int layout_choose(const struct oci_index *index, const char *tag, const struct platform *want,
	struct oci_descriptor *ret, struct imbrex_error *err)
{
	struct wanted wanted = { 0 };
	struct oci_index found = { 0 };
	int r;

	r = parse_tag(tag, &wanted, err);
	if (r == 0)
		r = filter(index, &wanted, &found, err);
	if (r == 0)
		r = choose(index, &found, tag, want, ret, err);
	free(found.manifests); /* the entries are borrowed */
	return r;
}

const char *layout_name(const struct oci_descriptor *d)
{
	const char *full = oci_pairs_get(&d->annotations, CONTAINERD_NAME);

	return full ? full : ref_name(d);
}
