/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Image references. The text is cut from the right, digest first, then tag, then domain, and each
 * part is checked by its own small grammar; so a message can say which part is wrong.
 */
#include "oci/reference.h"

#include <string.h>

#include "base/hex.h"
#include "base/limits.h"
#include "base/str.h"
#include "oci/digest.h"

#define DEFAULT_DOMAIN  "docker.io"
#define LEGACY_DOMAIN   "index.docker.io"
#define OFFICIAL_PATH   "library/"
#define LOCAL_DOMAIN    "localhost"
#define PATH_BYTES_MAX  255
#define TAG_BYTES_MAX   128
#define PORT_DIGITS_MAX 5

/* Parts of a text under parsing, all borrowed from it. */
struct parts {
	const char *domain;
	size_t domain_len; /* 0: left out */
	const char *path;
	size_t path_len;
	const char *tag;
	size_t tag_len;
	const char *digest; /* NULL: none */
};

static inline bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static inline bool is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static inline bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool has_upper(const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (is_upper(text[i]))
			return true;
	}
	return false;
}

static bool tag_is_valid(const char *tag, size_t len)
{
	size_t i;

	if (!len || len > TAG_BYTES_MAX || tag[0] == '.' || tag[0] == '-')
		return false;
	for (i = 0; i < len; i++) {
		if (!is_lower_alnum(tag[i]) && !is_upper(tag[i]) && tag[i] != '_' &&
			tag[i] != '.' && tag[i] != '-')
			return false;
	}
	return true;
}

/* Length of what stands between two alphanumeric runs: ".", "_", "__" or dashes; 0 if none. */
static size_t separator_len(const char *text, size_t len)
{
	size_t n = 0;

	if (text[0] == '.')
		return 1;
	if (text[0] == '_')
		return len > 1 && text[1] == '_' ? 2 : 1;
	while (n < len && text[n] == '-')
		n++;
	return n;
}

static bool component_is_valid(const char *text, size_t len)
{
	size_t i = 0;

	for (;;) {
		size_t begin = i;
		size_t n;

		while (i < len && is_lower_alnum(text[i]))
			i++;
		if (i == begin)
			return false;
		if (i == len)
			return true;
		n = separator_len(text + i, len - i);
		if (!n)
			return false;
		i += n;
	}
}

static bool path_is_valid(const char *path, size_t len)
{
	size_t i = 0;

	while (i <= len) {
		const char *slash = memchr(path + i, '/', len - i);
		size_t n = slash ? (size_t)(slash - path) - i : len - i;

		if (!component_is_valid(path + i, n))
			return false;
		i += n + 1;
	}
	return true;
}

/* Labels of letters, digits and inner dashes, joined by dots. */
static bool host_is_valid(const char *host, size_t len)
{
	bool edge = true;
	size_t i;

	for (i = 0; i < len; i++) {
		char c = host[i];

		if (is_lower_alnum(c) || is_upper(c)) {
			edge = false;
			continue;
		}
		if (c == '-') {
			if (edge || i + 1 == len || host[i + 1] == '.')
				return false;
			continue;
		}
		if (c != '.' || edge)
			return false;
		edge = true;
	}
	return !edge;
}

static bool ipv6_is_valid(const char *host, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		char c = host[i];

		if (!is_digit(c) && !(c >= 'a' && c <= 'f') && !(c >= 'A' && c <= 'F') && c != ':')
			return false;
	}
	return len >= 2;
}

static bool domain_is_valid(const char *domain, size_t len)
{
	const char *colon;
	size_t host_len = len;
	size_t i;

	if (domain[0] == '[') {
		const char *close = memchr(domain, ']', len);

		if (!close || !ipv6_is_valid(domain + 1, (size_t)(close - domain) - 1))
			return false;
		host_len = (size_t)(close - domain) + 1;
		if (host_len == len)
			return true;
		if (domain[host_len] != ':')
			return false;
	} else {
		colon = memchr(domain, ':', len);
		if (colon)
			host_len = (size_t)(colon - domain);
		if (!host_is_valid(domain, host_len))
			return false;
		if (host_len == len)
			return true;
	}
	if (len - host_len < 2 || len - host_len - 1 > PORT_DIGITS_MAX)
		return false;
	for (i = host_len + 1; i < len; i++) {
		if (!is_digit(domain[i]))
			return false;
	}
	return true;
}

/* Does what stands before the first slash name a registry? */
static bool looks_like_domain(const char *text, size_t len)
{
	return memchr(text, '.', len) || memchr(text, ':', len) || has_upper(text, len) ||
	       (len == strlen(LOCAL_DOMAIN) && memcmp(text, LOCAL_DOMAIN, len) == 0);
}

static void cut(const char *text, struct parts *ret)
{
	struct parts p = { 0 };
	const char *at = strchr(text, '@');
	size_t len = at ? (size_t)(at - text) : strlen(text);
	const char *slash;
	const char *colon;

	if (at)
		p.digest = at + 1;
	slash = memrchr(text, '/', len);
	colon = memrchr(text, ':', len);
	if (colon && (!slash || colon > slash)) {
		p.tag = colon + 1;
		p.tag_len = len - (size_t)(p.tag - text);
		len = (size_t)(colon - text);
	}
	slash = memchr(text, '/', len);
	p.path = text;
	if (slash && looks_like_domain(text, (size_t)(slash - text))) {
		p.domain = text;
		p.domain_len = (size_t)(slash - text);
		p.path = slash + 1;
	}
	p.path_len = len - (size_t)(p.path - text);
	*ret = p;
}

static int check(const char *text, const struct parts *p, struct imbrex_error *err)
{
	if (p->domain_len && !domain_is_valid(p->domain, p->domain_len))
		return fail(err, IMBREX_EINVAL, "reference '%s': '%.*s' is no registry host", text,
			(int)p->domain_len, p->domain);
	if (!p->path_len)
		return fail(err, IMBREX_EINVAL, "reference '%s' names no repository", text);
	if (has_upper(p->path, p->path_len))
		return fail(err, IMBREX_EINVAL,
			"reference '%s': the repository '%.*s' must be lower case", text,
			(int)p->path_len, p->path);
	if (p->path_len > PATH_BYTES_MAX)
		return fail(err, IMBREX_ELIMIT,
			"reference '%.64s...': the repository is longer than %d bytes", text,
			PATH_BYTES_MAX);
	if (!path_is_valid(p->path, p->path_len))
		return fail(err, IMBREX_EINVAL, "reference '%s': '%.*s' is no repository name",
			text, (int)p->path_len, p->path);
	if (p->tag && !tag_is_valid(p->tag, p->tag_len))
		return fail(err, IMBREX_EINVAL, "reference '%s': '%.*s' is no tag", text,
			(int)p->tag_len, p->tag);
	return 0;
}

static int parse(const char *text, const char *domain, const char *official, struct reference *ret,
	struct imbrex_error *err)
{
	AUTO_REFERENCE ref = { 0 };
	struct parts p;
	bool bare;
	int r;

	if (!*text)
		return fail(err, IMBREX_EINVAL, "an empty text is no image reference");
	if (strnlen(text, LIMIT_REFERENCE_BYTES + 1) > LIMIT_REFERENCE_BYTES)
		return fail(err, IMBREX_ELIMIT, "reference '%.64s...' is longer than %d bytes",
			text, LIMIT_REFERENCE_BYTES);
	if (id_is_valid(text))
		return fail(err, IMBREX_EINVAL,
			"reference '%s' is an id: 64 hex digits cannot be a repository name", text);
	cut(text, &p);
	r = check(text, &p, err);
	if (r < 0)
		return r;
	if (p.digest) {
		r = digest_parse(p.digest, strlen(p.digest), &ref.digest, err);
		if (r < 0) {
			r = r == IMBREX_EFORMAT ? IMBREX_EINVAL : r;
			if (err)
				err->status = r;
			return wrap(err, r, "reference '%s'", text);
		}
	}
	if (p.domain_len)
		domain = strncmp(p.domain, LEGACY_DOMAIN "/", sizeof(LEGACY_DOMAIN)) == 0
				 ? DEFAULT_DOMAIN
				 : NULL;
	ref.domain = domain ? strdup(domain) : strndup(p.domain, p.domain_len);
	if (!ref.domain)
		return fail_nomem(err);
	bare = strcmp(ref.domain, DEFAULT_DOMAIN) == 0 && !memchr(p.path, '/', p.path_len);
	ref.path = format_text("%s%.*s", bare ? official : "", (int)p.path_len, p.path);
	if (!ref.path)
		return fail_nomem(err);
	if (p.tag) {
		ref.tag = strndup(p.tag, p.tag_len);
		if (!ref.tag)
			return fail_nomem(err);
	}
	*ret = ref;
	ref = (struct reference){ 0 };
	return 0;
}

void reference_done(struct reference *ref)
{
	free(ref->domain);
	free(ref->path);
	free(ref->tag);
	*ref = (struct reference){ 0 };
}

int reference_parse(const char *text, struct reference *ret, struct imbrex_error *err)
{
	return parse(text, DEFAULT_DOMAIN, OFFICIAL_PATH, ret, err);
}

int reference_parse_local(const char *text, struct reference *ret, struct imbrex_error *err)
{
	return parse(text, LOCAL_DOMAIN, OFFICIAL_PATH, ret, err);
}

int reference_default_tag(struct reference *ref, struct imbrex_error *err)
{
	if (ref->tag || hash_is_set(&ref->digest))
		return 0;
	ref->tag = strdup("latest");
	return ref->tag ? 0 : fail_nomem(err);
}

int reference_copy(const struct reference *from, struct reference *ret, struct imbrex_error *err)
{
	AUTO_REFERENCE ref = { .digest = from->digest };

	ref.domain = strdup(from->domain);
	ref.path = strdup(from->path);
	if (from->tag)
		ref.tag = strdup(from->tag);
	if (!ref.domain || !ref.path || (from->tag && !ref.tag))
		return fail_nomem(err);
	*ret = ref;
	ref = (struct reference){ 0 };
	return 0;
}

char *reference_name(const struct reference *ref)
{
	return format_text("%s/%s", ref->domain, ref->path);
}

static char *with_suffixes(const struct reference *ref, const char *domain, const char *path)
{
	bool pinned = hash_is_set(&ref->digest);

	return format_text("%s%s%s%s%s%s%s", domain, *domain ? "/" : "", path, ref->tag ? ":" : "",
		ref->tag ? ref->tag : "", pinned ? "@" : "", digest_text(&ref->digest));
}

char *reference_text(const struct reference *ref)
{
	return with_suffixes(ref, ref->domain, ref->path);
}

char *reference_familiar(const struct reference *ref)
{
	const char *path = ref->path;
	const char *rest;

	if (strcmp(ref->domain, DEFAULT_DOMAIN) != 0)
		return reference_text(ref);
	rest = str_after(path, OFFICIAL_PATH);
	if (rest && !strchr(rest, '/'))
		path = rest;
	/* A first component that would be taken for a registry, or an id, must keep its domain. */
	if ((strchr(path, '/') && looks_like_domain(path, strcspn(path, "/"))) ||
		(path != ref->path && id_is_valid(path)))
		return reference_text(ref);
	return with_suffixes(ref, "", path);
}

bool reference_tag_is_valid(const char *tag)
{
	return tag_is_valid(tag, strlen(tag));
}
