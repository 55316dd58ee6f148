/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schemes are a table. What has no scheme is a path or a reference; see the header for the order.
 */
#include "transport/locator.h"

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "oci/reference.h"
#include "transport/probe.h"

enum shape {
	SHAPE_REFERENCE, /* the rest is a reference */
	SHAPE_PATH,      /* the rest is a path */
	SHAPE_PATH_TAG,  /* PATH[:TAG] */
};

struct scheme {
	const char *prefix;
	enum shape shape;
	enum locator_kind kind;
};

/* Longer prefixes first where one begins another. */
static const struct scheme schemes[] = {
	{ "docker://", SHAPE_REFERENCE, LOCATOR_DOCKER },
	{ "dockerd://", SHAPE_REFERENCE, LOCATOR_DOCKERD },
	{ "docker-daemon:", SHAPE_REFERENCE, LOCATOR_DOCKERD },
	{ "podman://", SHAPE_REFERENCE, LOCATOR_STORAGE },
	{ "containers-storage:", SHAPE_REFERENCE, LOCATOR_STORAGE },
	{ "docker-archive:", SHAPE_PATH_TAG, LOCATOR_DOCKER_ARCHIVE },
	{ "oci-archive:", SHAPE_PATH_TAG, LOCATOR_OCI_ARCHIVE },
	{ "oci:", SHAPE_PATH_TAG, LOCATOR_OCI },
	{ "dir:", SHAPE_PATH, LOCATOR_DIR },
	{ "rootfs:", SHAPE_PATH, LOCATOR_ROOTFS },
	{ "tar:", SHAPE_PATH, LOCATOR_TAR },
	{ "squashfs:", SHAPE_PATH, LOCATOR_SQUASHFS },
};

/* Levenshtein distance of short words; large for long ones. */
static unsigned int distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	unsigned int row[32];

	if (a_len >= ARRAY_LEN(row) || b_len >= ARRAY_LEN(row))
		return 100;
	for (size_t j = 0; j <= b_len; j++)
		row[j] = (unsigned int)j;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned int diagonal = row[0];

		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= b_len; j++) {
			unsigned int above = row[j];

			row[j] =
				MIN(MIN(row[j], row[j - 1]) + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[b_len];
}

/* The scheme that a word was probably meant to be; NULL if none is near. */
static const struct scheme *nearest(const char *word, size_t len)
{
	const struct scheme *best = NULL;
	unsigned int best_distance = 3;

	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		size_t scheme_len = strcspn(schemes[i].prefix, ":");
		unsigned int d = distance(word, len, schemes[i].prefix, scheme_len);

		if (d < best_distance && d < scheme_len) {
			best_distance = d;
			best = &schemes[i];
		}
	}
	return best;
}

static int fail_scheme(const char *text, size_t len, struct imbrex_error *err)
{
	const struct scheme *near = nearest(text, len);
	int r = fail(err, IMBREX_EINVAL, "source '%s': unknown scheme '%.*s'", text,
		(int)MIN(len, 64u), text);

	if (near)
		return hint(err, r, "did you mean '%s'?", near->prefix);
	return hint(err, r,
		"known are docker://, dockerd://, podman://, oci:, oci-archive:, docker-archive:, "
		"dir:, rootfs:, tar: and squashfs:");
}

static int fill(enum locator_kind kind, const char *where, size_t where_len, const char *tag,
	struct locator *ret, struct imbrex_error *err)
{
	AUTO_LOCATOR l = { .kind = kind };

	l.where = strndup(where, where_len);
	if (tag)
		l.tag = strdup(tag);
	if (!l.where || (tag && !l.tag))
		return fail_nomem(err);
	*ret = (struct locator){
		.kind = kind,
		.where = take_ptr(l.where),
		.tag = take_ptr(l.tag),
	};
	return 0;
}

static bool path_exists(const char *path)
{
	return access(path, F_OK) == 0;
}

/* Length of the path in PATH[:TAG]; the first colon separates unless all of it exists. */
static size_t path_len(const char *text)
{
	return path_exists(text) ? strlen(text) : strcspn(text, ":");
}

static int parse_path_tag(enum locator_kind kind, const char *text, const char *rest,
	struct locator *ret, struct imbrex_error *err)
{
	size_t len = path_len(rest);
	const char *tag = rest[len] == ':' ? rest + len + 1 : NULL;

	if (len == 0)
		return fail(err, IMBREX_EINVAL, "source '%s': no path", text);
	if (tag && !*tag)
		return fail(err, IMBREX_EINVAL, "source '%s': nothing after the last ':'", text);
	return fill(kind, rest, len, tag, ret, err);
}

static int parse_scheme(
	const struct scheme *s, const char *text, struct locator *ret, struct imbrex_error *err)
{
	const char *rest = text + strlen(s->prefix);

	switch (s->shape) {
	case SHAPE_PATH_TAG:
		return parse_path_tag(s->kind, text, rest, ret, err);
	case SHAPE_REFERENCE:
		if (!*rest)
			return fail(err, IMBREX_EINVAL, "source '%s': no reference", text);
		return fill(s->kind, rest, strlen(rest), NULL, ret, err);
	case SHAPE_PATH:
		break;
	}
	if (!*rest)
		return fail(err, IMBREX_EINVAL, "source '%s': no path", text);
	return fill(s->kind, rest, strlen(rest), NULL, ret, err);
}

static bool looks_like_path(const char *text)
{
	return text[0] == '/' || str_after(text, "./") || str_after(text, "../") ||
	       str_eq(text, ".") || str_eq(text, "..");
}

static int kind_of(
	const char *path, enum probe_kind probed, enum locator_kind *ret, struct imbrex_error *err)
{
	switch (probed) {
	case PROBE_OCI:
		*ret = LOCATOR_OCI;
		return 0;
	case PROBE_DIR:
		*ret = LOCATOR_DIR;
		return 0;
	case PROBE_TREE:
		*ret = LOCATOR_ROOTFS;
		return 0;
	case PROBE_ARCHIVE:
		*ret = LOCATOR_ARCHIVE;
		return 0;
	case PROBE_TAR:
		*ret = LOCATOR_TAR;
		return 0;
	case PROBE_SQUASHFS:
		*ret = LOCATOR_SQUASHFS;
		return 0;
	case PROBE_ZFS:
		return fail(err, IMBREX_ENOTSUP, "'%s' is a zfs send stream, which cannot be read",
			path);
	case PROBE_UNKNOWN:
		break;
	}
	return fail(err, IMBREX_EFORMAT, "'%s' is neither an image nor a tar archive", path);
}

/* 1 and *ret if `text` is a path, 0 if it must be a reference. */
static int parse_path(const char *text, struct locator *ret, struct imbrex_error *err)
{
	bool must = looks_like_path(text);
	AUTO_FREE char *path = strndup(text, path_len(text));
	const char *tag;
	enum probe_kind probed;
	enum locator_kind kind;
	int r;

	if (!path)
		return fail_nomem(err);
	if (!must && !path_exists(path))
		return 0;
	r = probe_path(path, &probed, must ? err : NULL);
	if (r < 0)
		return must ? r : 0;
	if (!must && (probed == PROBE_TREE || probed == PROBE_UNKNOWN))
		return 0;
	r = kind_of(path, probed, &kind, err);
	if (r < 0)
		return r;
	tag = text[strlen(path)] == ':' ? text + strlen(path) + 1 : NULL;
	if (tag && (kind == LOCATOR_ROOTFS || kind == LOCATOR_TAR || kind == LOCATOR_SQUASHFS ||
			   kind == LOCATOR_DIR))
		return fail(err, IMBREX_EINVAL, "source '%s': '%s' holds one image and has no tags",
			text, path);
	if (tag && !*tag)
		return fail(err, IMBREX_EINVAL, "source '%s': nothing after the last ':'", text);
	r = fill(kind, path, strlen(path), tag, ret, err);
	return r < 0 ? r : 1;
}

/* "oic:image-dir": a reference by its form, a scheme by what stands behind it. */
static bool is_misspelt_scheme(const char *text)
{
	size_t len = strcspn(text, ":");
	AUTO_FREE char *rest = NULL;

	if (!text[len] || len < 3 || !nearest(text, len))
		return false;
	rest = strndup(text + len + 1, path_len(text + len + 1));
	return rest && *rest && path_exists(rest);
}

static int parse_reference(const char *text, struct locator *ret, struct imbrex_error *err)
{
	AUTO_REFERENCE ref = { 0 };
	size_t colon = strcspn(text, ":");
	int r;

	if (is_misspelt_scheme(text))
		return fail_scheme(text, colon, err);
	r = reference_parse(text, &ref, err);
	if (r < 0 && text[colon] && nearest(text, colon))
		return fail_scheme(text, colon, err);
	if (r < 0)
		return r;
	r = fill(LOCATOR_DOCKER, text, strlen(text), NULL, ret, err);
	if (r == 0)
		ret->bare = true;
	return r;
}

int locator_parse(const char *text, struct locator *ret, struct imbrex_error *err)
{
	const char *slashes = strstr(text, "://");
	int r;

	if (!*text)
		return fail(err, IMBREX_EINVAL, "the source is empty");
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		if (str_after(text, schemes[i].prefix))
			return parse_scheme(&schemes[i], text, ret, err);
	}
	if (slashes)
		return fail_scheme(text, (size_t)(slashes - text), err);
	if (str_eq(text, "-"))
		return fill(LOCATOR_ARCHIVE, "-", 1, NULL, ret, err);
	r = parse_path(text, ret, err);
	if (r != 0)
		return r < 0 ? r : 0;
	return parse_reference(text, ret, err);
}

void locator_done(struct locator *l)
{
	free(l->where);
	free(l->tag);
	*l = (struct locator){ 0 };
}

const char *locator_kind_name(enum locator_kind kind)
{
	switch (kind) {
	case LOCATOR_DOCKER:
		return "docker";
	case LOCATOR_DOCKERD:
		return "dockerd";
	case LOCATOR_STORAGE:
		return "containers-storage";
	case LOCATOR_OCI:
		return "oci";
	case LOCATOR_OCI_ARCHIVE:
		return "oci-archive";
	case LOCATOR_DOCKER_ARCHIVE:
		return "docker-archive";
	case LOCATOR_ARCHIVE:
		return "archive";
	case LOCATOR_DIR:
		return "dir";
	case LOCATOR_ROOTFS:
		return "rootfs";
	case LOCATOR_TAR:
		return "tar";
	case LOCATOR_SQUASHFS:
		return "squashfs";
	}
	return "unknown";
}
