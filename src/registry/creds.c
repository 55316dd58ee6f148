/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials: the order of places, and the two formats that are JSON (podman's auth.json and
 * docker's config.json are one format). netrc.c reads the third, helper.c asks programs.
 *
 * Files are opened through symbolic links (mounted secrets are links), must be regular, small and
 * not writable by others; what others may read is only noted, because orchestrators mount it so.
 */
#include "registry/creds.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "base/hex.h"
#include "base/limits.h"
#include "base/str.h"
#include "json/doc.h"
#include "registry/conffile.h"
#include "registry/helper.h"
#include "registry/netrc.h"

/* What is looked for, and how. */
struct search {
	const struct creds_options *opts;
	const char *registry;
	const char *repository;
};

static void wipe(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

static void note(const struct search *s, const char *what, const char *path)
{
	AUTO_FREE char *text = NULL;

	if (!s->opts->note)
		return;
	text = format_text("credentials file '%s' %s", path, what);
	if (text) /* a note is not worth failing for */
		s->opts->note(s->opts->userdata, text);
}

static int check_file(
	const struct search *s, const char *path, const struct stat *st, struct imbrex_error *err)
{
	uid_t me = geteuid();

	if (st->st_mode & 022)
		return hint(err,
			fail(err, IMBREX_EPERM,
				"credentials file '%s' can be written by others (mode %04o)", path,
				(unsigned int)(st->st_mode & 07777)),
			"chmod 600 %s", path);
	if (me != 0 && st->st_uid != me && st->st_uid != 0)
		return fail(err, IMBREX_EPERM, "credentials file '%s' belongs to user %u", path,
			(unsigned int)st->st_uid);
	if (st->st_mode & 044)
		note(s, "can be read by others", path);
	return 0;
}

/* 1 read, 0 there is none. `to` is secret. */
static int read_file(
	const struct search *s, const char *path, struct str *to, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = -EBADF;
	struct stat st;
	int r;

	r = conffile_open(AT_FDCWD, path, "credentials file", &fd, &st, err);
	if (r <= 0)
		return r;
	r = check_file(s, path, &st, err);
	if (r == 0)
		r = conffile_read_fd(fd, &st, path, "credentials file", to, err);
	return r < 0 ? r : 1;
}

static int set_found(struct credentials *c, const char *where, struct imbrex_error *err)
{
	c->found_in = strdup(where);
	return c->found_in ? 1 : fail_nomem(err);
}

/* "user:password" in base64. */
static int decode_auth(
	const char *text, const char *path, struct credentials *ret, struct imbrex_error *err)
{
	size_t len = strlen(text), n = 0;
	char *plain = malloc(len / 4 * 3 + 1), *colon;
	int r = 0;

	if (!plain)
		return fail_nomem(err);
	if (base64_decode(text, len, plain, &n) < 0) {
		free(plain);
		return fail(err, IMBREX_EFORMAT,
			"credentials file '%s': an 'auth' entry is not base64", path);
	}
	plain[n] = '\0';
	while (n && plain[n - 1] == '\0') /* docker pads so */
		n--;
	colon = memchr(plain, ':', n);
	if (!colon || strlen(plain) != n) {
		r = fail(err, IMBREX_EFORMAT,
			"credentials file '%s': an 'auth' entry is not user:password", path);
	} else {
		ret->username = strndup(plain, (size_t)(colon - plain));
		ret->password = strdup(colon + 1);
		if (!ret->username || !ret->password)
			r = fail_nomem(err);
	}
	explicit_bzero(plain, len / 4 * 3 + 1);
	free(plain);
	return r;
}

/* One member of "auths". 1 if it holds credentials, 0 if it is empty (the store has them). */
static int read_entry(const struct json_ref *entry, const char *path, struct credentials *ret,
	struct imbrex_error *err)
{
	struct json_ref auth = json_get(entry, "auth"), token = json_get(entry, "identitytoken");
	struct json_ref user = json_get(entry, "username"), pass = json_get(entry, "password");
	const char *auth_text = "", *token_text = "", *user_text = NULL, *pass_text = NULL;
	int r;

	r = json_as_object(entry, err);
	if (r == 0)
		r = json_opt_string(&auth, &auth_text, err);
	if (r >= 0)
		r = json_opt_string(&token, &token_text, err);
	if (r >= 0)
		r = json_opt_string(&user, &user_text, err);
	if (r >= 0)
		r = json_opt_string(&pass, &pass_text, err);
	if (r < 0)
		return wrap(err, r, "credentials file '%s'", path);
	if (token_text[0]) {
		ret->identity_token = strdup(token_text);
		return ret->identity_token ? 1 : fail_nomem(err);
	}
	if (auth_text[0]) {
		r = decode_auth(auth_text, path, ret, err);
		return r < 0 ? r : 1;
	}
	if (!user_text || !pass_text)
		return 0;
	ret->username = strdup(user_text);
	ret->password = strdup(pass_text);
	return ret->username && ret->password ? 1 : fail_nomem(err);
}

/* The registry a key of old stands for: "https://index.docker.io/v1/" is docker.io. */
static bool is_key_of(const char *key, const char *registry)
{
	const char *host = str_after(key, "https://");
	size_t len;

	if (!host)
		host = str_after(key, "http://");
	if (!host)
		host = key;
	len = strcspn(host, "/");
	if (strlen(registry) == len && memcmp(host, registry, len) == 0)
		return host != key || !host[len];
	if (!str_eq(registry, "docker.io"))
		return false;
	return (len == strlen("index.docker.io") && memcmp(host, "index.docker.io", len) == 0) ||
	       (len == strlen("registry-1.docker.io") &&
		       memcmp(host, "registry-1.docker.io", len) == 0);
}

/* The member of `map` that fits best: longest path first, then the host by any of its names. */
static bool best_member(const struct search *s, const struct json_ref *map, struct json_ref *ret)
{
	AUTO_FREE char *key = format_text("%s/%s", s->registry, s->repository);
	void *iter = NULL;
	char *slash;

	while (key) {
		*ret = json_get(map, key);
		ret->key = s->registry; /* `key` does not live long enough to be quoted */
		if (json_has(ret))
			return true;
		slash = strrchr(key, '/');
		if (!slash)
			break;
		*slash = '\0';
	}
	while (json_next_member(map, &iter, ret) == 1) {
		if (json_has(ret) && is_key_of(ret->key, s->registry))
			return true;
	}
	return false;
}

static int ask_store(const struct search *s, const struct json_ref *root, const char *path,
	struct credentials *ret, struct imbrex_error *err)
{
	struct json_ref store = json_get(root, "credsStore");
	const char *name = "";
	int r;

	r = json_opt_string(&store, &name, err);
	if (r < 0)
		return wrap(err, r, "credentials file '%s'", path);
	if (!name[0])
		return 0;
	r = helper_get(name, s->registry, ret, err);
	if (r != IMBREX_ENOENT)
		return r;
	/* A store that was removed is no reason to refuse a public image. */
	note(s, "names a credsStore whose program is not installed", path);
	return 0;
}

static int search_document(const struct search *s, const struct json_ref *root, const char *path,
	struct credentials *ret, struct imbrex_error *err)
{
	struct json_ref helpers = json_get(root, "credHelpers"), auths = json_get(root, "auths");
	struct json_ref best;
	const char *name;
	int r;

	if (best_member(s, &helpers, &best)) {
		r = json_as_string(&best, &name, err);
		if (r < 0)
			return wrap(err, r, "credentials file '%s'", path);
		r = helper_get(name, s->registry, ret, err);
		if (r != 0)
			return r;
	}
	if (best_member(s, &auths, &best)) {
		r = read_entry(&best, path, ret, err);
		if (r != 0)
			return r;
	}
	return ask_store(s, root, path, ret, err);
}

/* 1 found, 0 the file is not there or has nothing for us. */
static int search_json(
	const struct search *s, const char *path, struct credentials *ret, struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(LIMIT_CONF_BYTES + 1);
	AUTO_JSON_DOC *doc = NULL;
	struct json_ref root;
	int r;

	r = read_file(s, path, &text, err);
	if (r <= 0)
		return r;
	if (!text.len) /* a fresh one; podman accepts it too */
		return 0;
	r = json_doc_parse("credentials", text.data, text.len, LIMIT_CONF_BYTES, &doc, err);
	explicit_bzero(text.data, text.len);
	if (r < 0)
		return wrap(err, r, "credentials file '%s'", path);
	root = json_doc_root(doc);
	r = search_document(s, &root, path, ret, err);
	return r == 1 && !ret->found_in ? set_found(ret, path, err) : r;
}

static int search_netrc(
	const struct search *s, const char *path, struct credentials *ret, struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(LIMIT_CONF_BYTES + 1);
	int r;

	r = read_file(s, path, &text, err);
	if (r <= 0 || !text.len)
		return r < 0 ? r : 0;
	r = netrc_find(text.data, text.len, s->registry, ret, err);
	explicit_bzero(text.data, text.len);
	if (r < 0)
		return wrap(err, r, "credentials file '%s'", path);
	return r == 1 ? set_found(ret, path, err) : 0;
}

typedef int (*search_fn)(const struct search *s, const char *path, struct credentials *ret,
	struct imbrex_error *err);

/* `path` is fresh or NULL (no memory); consumed. */
static int search_at(const struct search *s, search_fn search, char *path, struct credentials *ret,
	struct imbrex_error *err)
{
	AUTO_FREE char *owned = path;

	return owned ? search(s, owned, ret, err) : fail_nomem(err);
}

static char *runtime_path(void)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");

	if (dir && dir[0] == '/')
		return format_text("%s/containers/auth.json", dir);
	return format_text("/run/containers/%u/auth.json", (unsigned int)geteuid());
}

static char *config_path(const char *home)
{
	const char *dir = getenv("XDG_CONFIG_HOME");

	if (dir && dir[0] == '/')
		return format_text("%s/containers/auth.json", dir);
	return format_text("%s/.config/containers/auth.json", home);
}

static char *docker_path(const char *home)
{
	const char *dir = getenv("DOCKER_CONFIG");

	if (dir && dir[0])
		return format_text("%s/config.json", dir);
	return format_text("%s/.docker/config.json", home);
}

static char *netrc_path(const char *home)
{
	const char *file = getenv("NETRC");

	return file && file[0] ? strdup(file) : format_text("%s/.netrc", home);
}

static int search_all(const struct search *s, struct credentials *ret, struct imbrex_error *err)
{
	const char *home = getenv("HOME");
	int r;

	if (!home || home[0] != '/')
		home = "/nonexistent";
	r = search_at(s, search_json, runtime_path(), ret, err);
	if (r == 0)
		r = search_at(s, search_json, config_path(home), ret, err);
	if (r == 0)
		r = search_at(s, search_json, docker_path(home), ret, err);
	if (r == 0)
		r = search_at(s, search_netrc, netrc_path(home), ret, err);
	return r;
}

static int from_options(
	const struct creds_options *opts, struct credentials *ret, struct imbrex_error *err)
{
	ret->username = strdup(opts->username);
	ret->password = strdup(opts->password ? opts->password : "");
	if (!ret->username || !ret->password)
		return fail_nomem(err);
	return set_found(ret, "the command line", err);
}

static int find(const struct search *s, struct credentials *ret, struct imbrex_error *err)
{
	const char *file = s->opts->authfile;

	if (s->opts->username)
		return from_options(s->opts, ret, err);
	if (!file || !file[0])
		file = getenv("REGISTRY_AUTH_FILE");
	if (!file || !file[0])
		return search_all(s, ret, err);
	if (access(file, F_OK) < 0)
		return fail_errno(err, "credentials file '%s'", file);
	return search_json(s, file, ret, err);
}

void credentials_done(struct credentials *c)
{
	wipe(c->username);
	wipe(c->password);
	wipe(c->identity_token);
	free(c->found_in);
	*c = (struct credentials){ 0 };
}

int creds_find(const struct creds_options *opts, const char *registry, const char *repository,
	struct credentials *ret, struct imbrex_error *err)
{
	static const struct creds_options none;
	struct search s = {
		.opts = opts ? opts : &none,
		.registry = registry,
		.repository = repository,
	};
	struct credentials c = { 0 };
	int r;

	r = find(&s, &c, err);
	if (r == 1)
		*ret = c;
	else
		credentials_done(&c);
	return r;
}
