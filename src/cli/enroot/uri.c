/* SPDX-License-Identifier: Apache-2.0 */
/*
 * URIs of images, in enroot's grammar:
 *
 *   docker://[USER@][REGISTRY#|REGISTRY/][NAMESPACE/]IMAGE[:TAG][@sha256:HEX]
 *   dockerd://IMAGE[:TAG]   podman://IMAGE[:TAG]   zfs://[USER@]HOST/NAME
 *
 * Before a slash, only what has a dot or a port is a registry. A digest beats a tag.
 */
#include <string.h>

#include "cli/enroot/enroot.h"

#define DOCKER_HUB "registry-1.docker.io"

static const struct {
	const char *prefix;
	enum enroot_scheme scheme;
} schemes[] = {
	{ "docker://", SCHEME_DOCKER },
	{ "dockerd://", SCHEME_DOCKERD },
	{ "podman://", SCHEME_PODMAN },
	{ "zfs://", SCHEME_ZFS },
};

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool all_of(const char *text, size_t len, const char *others, bool upper)
{
	size_t i;

	for (i = 0; i < len; i++) {
		char c = text[i];

		if (!is_alnum(c) && !(c && strchr(others, c)))
			return false;
		if (!upper && c >= 'A' && c <= 'Z')
			return false;
	}
	return len > 0;
}

void enroot_uri_done(struct enroot_uri *u)
{
	free(u->user);
	free(u->registry);
	free(u->image);
	free(u->tag);
	*u = (struct enroot_uri){ 0 };
}

/* Takes "@sha256:HEX" or ":TAG" off the end of `text`. */
static bool split_tag(char *text, struct enroot_uri *u)
{
	char *at = strrchr(text, '@');
	char *slash, *colon;

	if (at) {
		if (!str_after(at + 1, "sha256:") || !all_of(at + 8, strlen(at + 8), "", true))
			return false;
		u->tag = strdup(at + 1);
		*at = 0;
	}
	/* The tag of a name; a registry's port stands before a slash. */
	slash = strrchr(text, '/');
	colon = strchr(slash ? slash : text, ':');
	if (colon) {
		if (!all_of(colon + 1, strlen(colon + 1), "._:-", true))
			return false;
		if (!u->tag)
			u->tag = strdup(colon + 1);
		*colon = 0;
	}
	if (!u->tag)
		u->tag = strdup("latest");
	return u->tag != NULL;
}

static bool is_hub(const char *registry)
{
	return str_eq(registry, DOCKER_HUB) || str_eq(registry, "docker.io") ||
	       str_eq(registry, "index.docker.io");
}

static bool set_image(struct enroot_uri *u, const char *registry, const char *image)
{
	bool hub = is_hub(registry);

	u->registry = strdup(hub ? DOCKER_HUB : registry);
	u->image = hub && !strchr(image, '/') ? format_text("library/%s", image) : strdup(image);
	return u->registry && u->image && u->user;
}

/* What follows the user. `rest` is changed. */
static bool split_docker(char *rest, struct enroot_uri *u)
{
	char *hash = strchr(rest, '#');
	char *slash;

	if (hash) {
		*hash = 0;
		return *rest && !strpbrk(rest, "/@") && split_tag(hash + 1, u) &&
		       all_of(hash + 1, strlen(hash + 1), "/._-", false) &&
		       set_image(u, rest, hash + 1);
	}
	if (!split_tag(rest, u))
		return false;
	slash = strchr(rest, '/');
	if (!slash)
		return *rest && !strpbrk(rest, "/@#:") && set_image(u, DOCKER_HUB, rest);
	*slash = 0;
	if (strpbrk(rest, ".:"))
		return !strpbrk(rest, "@") && *rest &&
		       all_of(slash + 1, strlen(slash + 1), "/._-", false) &&
		       set_image(u, rest, slash + 1);
	*slash = '/';
	return slash != rest && all_of(rest, strlen(rest), "/._-", false) &&
	       set_image(u, DOCKER_HUB, rest);
}

static bool split_user(const char *text, struct enroot_uri *u)
{
	const char *digest = strstr(text, "@sha256:");
	const char *end = digest ? digest : text + strlen(text);
	const char *at = memrchr(text, '@', (size_t)(end - text));
	AUTO_FREE char *rest = NULL;

	u->user = strndup(text, at ? (size_t)(at - text) : 0);
	rest = strdup(at ? at + 1 : text);
	if (!u->user || !rest)
		return false;
	if (at && !all_of(text, (size_t)(at - text), "_.!~*'()%;:&=+$,@-", true))
		return false;
	return split_docker(rest, u);
}

bool enroot_uri_split(const char *text, struct enroot_uri *ret)
{
	const char *rest = NULL;
	size_t i;

	*ret = (struct enroot_uri){ 0 };
	for (i = 0; i < ARRAY_LEN(schemes) && !rest; i++) {
		rest = str_after(text, schemes[i].prefix);
		if (rest)
			ret->scheme = schemes[i].scheme;
	}
	if (!rest)
		return false;
	if (ret->scheme == SCHEME_DOCKER)
		return split_user(rest, ret);
	ret->image = strdup(rest);
	if (!ret->image || ret->scheme == SCHEME_ZFS)
		return ret->image != NULL;
	return all_of(rest, strlen(rest), "/._:-", true);
}

int enroot_uri_parse(const char *text, struct enroot_uri *ret)
{
	size_t i;

	if (enroot_uri_split(text, ret))
		return 0;
	for (i = 0; i < ARRAY_LEN(schemes); i++) {
		if (str_after(text, schemes[i].prefix))
			return enroot_error("Invalid image reference: %s", text);
	}
	return enroot_error("Invalid argument: %s", text);
}

char *enroot_uri_source(const struct enroot_uri *u)
{
	const char *host = u->registry;
	bool digest;

	if (u->scheme == SCHEME_DOCKERD)
		return format_text("dockerd://%s", u->image);
	if (u->scheme == SCHEME_PODMAN)
		return format_text("podman://%s", u->image);
	digest = str_after(u->tag, "sha256:") != NULL;
	if (is_hub(host))
		host = "docker.io";
	/* A name without dot and port would be taken for a part of the image's name. */
	return format_text("docker://%s%s/%s%c%s", host,
		strpbrk(host, ".:") || str_eq(host, "localhost") ? "" : ":443", u->image,
		digest ? '@' : ':', u->tag);
}

char *enroot_uri_provenance(const struct enroot_uri *u, const char *typed)
{
	if (u->scheme != SCHEME_DOCKER)
		return strdup(typed);
	return format_text("docker://%s#%s:%s", u->registry, u->image, u->tag);
}

char *enroot_uri_name(const struct enroot_uri *u)
{
	const char *image = u->image;
	char *name, *p;

	if (u->scheme == SCHEME_DOCKER && is_hub(u->registry) && str_after(image, "library/"))
		image = str_after(image, "library/");
	name = u->scheme == SCHEME_DOCKER ? format_text("%s+%s", image, u->tag) : strdup(image);
	for (p = name; p && *p; p++) {
		if (*p == '/' || (*p == ':' && u->scheme != SCHEME_DOCKER))
			*p = '+';
	}
	return name;
}

const char *enroot_debian_arch(const char *machine)
{
	static const char *const names[][2] = {
		{ "x86_64", "amd64" },
		{ "aarch64", "arm64" },
		{ "ppc64le", "ppc64le" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++) {
		if (str_eq(names[i][0], machine))
			return names[i][1];
	}
	return NULL;
}
