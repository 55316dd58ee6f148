/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The search order of the docker program, and its two stores of certificates: one folder named by
 * the environment, one folder for each context.
 */
#include "transport/endpoint.h"

#include <fcntl.h>
#include <stddef.h>
#include <sys/un.h>

#include "base/hash.h"
#include "base/limits.h"
#include "json/doc.h"
#include "registry/conffile.h"
#include "registry/http.h"

#define DEFAULT_HOST "unix:///var/run/docker.sock"
/* What a port is left away for; names of IANA. */
#define PORT_PLAIN "2375"
#define PORT_TLS   "2376"

/* Certificates to connect with. */
struct material {
	bool tls;
	bool insecure;
	const char *dir; /* ca.pem, cert.pem and key.pem, as far as they are there; borrowed */
	bool ca_needed;
};

void endpoint_done(struct endpoint *e)
{
	free(e->text);
	free(e->socket_path);
	free(e->url);
	str_done(&e->ca_pem);
	free(e->cert_path);
	free(e->key_path);
	*e = (struct endpoint){ 0 };
}

static int parse_unix(const char *path, struct endpoint *e, struct imbrex_error *err)
{
	const size_t max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

	if (path[0] != '/')
		return fail(err, IMBREX_EINVAL, "engine '%s': not an absolute path", e->text);
	if (strlen(path) > max)
		return fail(err, IMBREX_EINVAL,
			"engine '%s': a socket's path has at most %zu bytes", e->text, max);
	e->socket_path = strdup(path);
	e->url = strdup("http://localhost");
	return e->socket_path && e->url ? 0 : fail_nomem(err);
}

static bool has_port(const char *host, size_t len)
{
	const char *bracket = memchr(host, ']', len);
	size_t skip = bracket ? (size_t)(bracket - host) : 0;

	return memchr(host + skip, ':', len - skip) != NULL;
}

static int parse_tcp(const char *rest, bool tls, struct endpoint *e, struct imbrex_error *err)
{
	size_t host_len = strcspn(rest, "/");
	size_t len = strlen(rest);
	struct http_origin origin;
	int r;

	if (host_len == 0)
		return fail(err, IMBREX_EINVAL, "engine '%s': no host", e->text);
	while (len > host_len && rest[len - 1] == '/')
		len--;
	e->url = format_text("%s://%.*s%s%.*s", tls ? "https" : "http", (int)host_len, rest,
		has_port(rest, host_len) ? ""
		: tls                    ? ":" PORT_TLS
					 : ":" PORT_PLAIN,
		(int)(len - host_len), rest + host_len);
	if (!e->url)
		return fail_nomem(err);
	r = http_origin_parse(e->url, &origin, err);
	return r < 0 ? wrap(err, r, "engine '%s'", e->text) : 0;
}

static int parse_host(const char *host, bool tls, struct endpoint *e, struct imbrex_error *err)
{
	const char *rest;

	e->text = strdup(host);
	if (!e->text)
		return fail_nomem(err);
	rest = str_after(host, "unix://");
	if (rest)
		return parse_unix(rest, e, err);
	rest = str_after(host, "tcp://");
	if (!rest)
		rest = str_after(host, "http://");
	if (rest)
		return parse_tcp(rest, tls, e, err);
	rest = str_after(host, "https://");
	if (rest)
		return parse_tcp(rest, true, e, err);
	if (str_after(host, "ssh://"))
		return hint(err, fail(err, IMBREX_ENOTSUP, "engine '%s': ssh is not spoken", host),
			"forward its socket: ssh -NT -L /tmp/docker.sock:/var/run/docker.sock "
			"HOST, "
			"and DOCKER_HOST=unix:///tmp/docker.sock");
	if (str_after(host, "npipe://") || str_after(host, "fd://"))
		return fail(err, IMBREX_ENOTSUP, "engine '%s': not a kind of socket that is known",
			host);
	return hint(err, fail(err, IMBREX_EINVAL, "engine '%s': unknown scheme", host),
		"known are unix:///PATH and tcp://HOST[:PORT]");
}

/* 1 and *ret if `dir` has a file of that name. */
static int find_file(const char *dir, const char *name, char **ret, struct imbrex_error *err)
{
	AUTO_FREE char *path = format_text("%s/%s", dir, name);

	if (!path)
		return fail_nomem(err);
	if (access(path, F_OK) < 0)
		return 0;
	*ret = take_ptr(path);
	return 1;
}

static int load_material(const struct material *m, struct endpoint *e, struct imbrex_error *err)
{
	AUTO_FREE char *ca = NULL;
	int r;

	e->insecure = m->insecure;
	if (!m->dir)
		return 0;
	r = find_file(m->dir, "ca.pem", &ca, err);
	if (r == 0 && m->ca_needed)
		return fail(err, IMBREX_ENOENT, "engine '%s': no certificate authority '%s/ca.pem'",
			e->text, m->dir);
	if (r > 0 && !m->insecure) {
		e->ca_pem = (struct str)STR_INIT(LIMIT_CONF_BYTES);
		r = conffile_read(AT_FDCWD, ca, "certificate authority", &e->ca_pem, err);
	}
	if (r >= 0)
		r = find_file(m->dir, "cert.pem", &e->cert_path, err);
	if (r >= 0)
		r = find_file(m->dir, "key.pem", &e->key_path, err);
	if (r < 0)
		return r;
	if (!e->cert_path != !e->key_path)
		return fail(err, IMBREX_ENOENT,
			"engine '%s': '%s' has only one of cert.pem, key.pem", e->text, m->dir);
	return 0;
}

static int make(
	const char *host, const struct material *m, struct endpoint *ret, struct imbrex_error *err)
{
	AUTO_ENDPOINT e = { 0 };
	int r = parse_host(host, m->tls, &e, err);

	if (r == 0 && str_after(e.url, "https://"))
		r = load_material(m, &e, err);
	if (r < 0)
		return r;
	*ret = e;
	e = (struct endpoint){ 0 };
	return 0;
}

static bool is_set(const char *value)
{
	return value && *value;
}

/* ~/.docker, or what takes its place; NULL if there is no home. */
static int config_dir(char **ret, struct imbrex_error *err)
{
	const char *dir = getenv("DOCKER_CONFIG");
	const char *home = getenv("HOME");

	*ret = NULL;
	if (is_set(dir))
		*ret = strdup(dir);
	else if (is_set(home))
		*ret = format_text("%s/.docker", home);
	else
		return 0;
	return *ret ? 0 : fail_nomem(err);
}

static int from_environment(
	const char *host, const char *dir, struct endpoint *ret, struct imbrex_error *err)
{
	const char *certs = getenv("DOCKER_CERT_PATH");
	bool verify = is_set(getenv("DOCKER_TLS_VERIFY"));
	bool tls = verify || is_set(getenv("DOCKER_TLS"));
	const struct material m = {
		.tls = tls,
		.insecure = tls && !verify,
		.dir = !tls            ? NULL
		       : is_set(certs) ? certs
				       : dir,
		.ca_needed = verify,
	};

	return make(host, &m, ret, err);
}

/* ---- contexts ---------------------------------------------------------------------------- */

static bool context_name_is_valid(const char *name)
{
	for (const char *p = name; *p; p++) {
		bool word = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
			    (*p >= '0' && *p <= '9');

		if (!word && (p == name || !strchr("_.+-", *p)))
			return false;
	}
	return name[0] && name[1];
}

/* Text of a JSON file; 0 if there is none. */
static int read_json(const char *path, const char *what, struct json_doc **ret, struct str *text,
	struct imbrex_error *err)
{
	int r = conffile_read(AT_FDCWD, path, what, text, err);

	if (r <= 0)
		return r;
	r = json_doc_parse(what, str_text(text), text->len, LIMIT_CONF_BYTES, ret, err);
	return r < 0 ? wrap(err, r, "'%s'", path) : 1;
}

/* currentContext of config.json: *ret is NULL if it says nothing. */
static int current_context(const char *dir, char **ret, struct imbrex_error *err)
{
	AUTO_FREE char *path = format_text("%s/config.json", dir);
	AUTO_STR text = STR_INIT(LIMIT_CONF_BYTES);
	AUTO_JSON_DOC *doc = NULL;
	struct json_ref root, at;
	int r;

	if (!path)
		return fail_nomem(err);
	r = read_json(path, "config.json", &doc, &text, err);
	if (r <= 0)
		return r;
	root = json_doc_root(doc);
	at = json_get(&root, "currentContext");
	r = json_opt_text(&at, ret, err);
	return r < 0 ? wrap(err, r, "'%s'", path) : 0;
}

static int read_context(
	const char *path, char **ret_host, bool *ret_insecure, struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(LIMIT_CONF_BYTES);
	AUTO_JSON_DOC *doc = NULL;
	struct json_ref root, endpoints, docker, host, skip;
	int r;

	r = read_json(path, "meta.json", &doc, &text, err);
	if (r == 0)
		return hint(err, fail(err, IMBREX_ENOENT, "does not exist"), "docker context ls");
	if (r < 0)
		return r;
	root = json_doc_root(doc);
	endpoints = json_get(&root, "Endpoints");
	docker = json_get(&endpoints, "docker");
	host = json_get(&docker, "Host");
	skip = json_get(&docker, "SkipTLSVerify");
	r = json_opt_text(&host, ret_host, err);
	if (r >= 0)
		r = json_opt_bool(&skip, ret_insecure, err);
	return r < 0 ? wrap(err, r, "'%s'", path) : 0;
}

static int from_context(
	const char *name, const char *dir, struct endpoint *ret, struct imbrex_error *err)
{
	AUTO_FREE char *path = NULL;
	AUTO_FREE char *certs = NULL;
	AUTO_FREE char *host = NULL;
	struct material m = { 0 };
	struct hash_value digest;
	char hex[HASH_HEX_MAX];
	int r;

	if (!context_name_is_valid(name))
		return fail(err, IMBREX_EINVAL, "docker context '%s': not a name of one", name);
	r = hash_bytes(HASH_SHA256, name, strlen(name), &digest);
	if (r < 0)
		return fail_code(err, r, "docker context '%s': hash", name);
	(void)hash_hex(&digest, hex);
	path = format_text("%s/contexts/meta/%s/meta.json", dir, hex);
	certs = format_text("%s/contexts/tls/%s/docker", dir, hex);
	if (!path || !certs)
		return fail_nomem(err);
	r = read_context(path, &host, &m.insecure, err);
	if (r == 0 && access(certs, F_OK) == 0)
		m.dir = certs;
	m.tls = m.dir || m.insecure;
	if (r == 0)
		r = make(is_set(host) ? host : DEFAULT_HOST, &m, ret, err);
	return r < 0 ? wrap(err, r, "docker context '%s'", name) : 0;
}

int endpoint_find(struct endpoint *ret, struct imbrex_error *err)
{
	const char *host = getenv("DOCKER_HOST");
	const char *named = getenv("DOCKER_CONTEXT");
	AUTO_FREE char *dir = NULL;
	AUTO_FREE char *current = NULL;
	int r = config_dir(&dir, err);

	if (r < 0)
		return r;
	if (is_set(host))
		return from_environment(host, dir, ret, err);
	if (is_set(named))
		current = strdup(named);
	else if (dir)
		r = current_context(dir, &current, err);
	if (r < 0)
		return r;
	if (is_set(named) && !current)
		return fail_nomem(err);
	if (!is_set(current) || str_eq(current, "default"))
		return from_environment(DEFAULT_HOST, dir, ret, err);
	if (!dir)
		return fail(err, IMBREX_ENOENT, "docker context '%s': no home directory", current);
	return from_context(current, dir, ret, err);
}

int endpoint_parse(const char *host, struct endpoint *ret, struct imbrex_error *err)
{
	static const struct material none;

	return make(host, &none, ret, err);
}
