/* SPDX-License-Identifier: Apache-2.0 */
/* Asks a docker-credential-* program. */
#include "registry/helper.h"

#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "base/str.h"
#include "json/doc.h"
#include "os/proc.h"

#define HELPER_PREFIX   "docker-credential-"
#define HELPER_NAME_MAX 64
/* A person may have to unlock a key ring. */
#define HELPER_TIMEOUT_MS 120000u

static bool is_name(const char *name)
{
	size_t i;

	for (i = 0; name[i]; i++) {
		char c = name[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			    c == '_' || c == '-'))
			return false;
	}
	return i > 0 && i <= HELPER_NAME_MAX;
}

static bool is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* *ret is a fresh path; ENOENT if there is none. */
static int find_program(const char *name, char **ret, struct imbrex_error *err)
{
	const char *dirs = getenv("PATH"), *dir;
	size_t len;

	for (dir = dirs ? dirs : ""; *dir; dir += len + (dir[len] == ':')) {
		AUTO_FREE char *path = NULL;

		len = strcspn(dir, ":");
		if (dir[0] != '/') /* the working directory is not a place for programs */
			continue;
		path = format_text("%.*s/" HELPER_PREFIX "%s", (int)len, dir, name);
		if (!path)
			return fail_nomem(err);
		if (is_program(path)) {
			*ret = take_ptr(path);
			return 0;
		}
	}
	return fail(err, IMBREX_ENOENT, "credential helper '" HELPER_PREFIX "%s' is not installed",
		name);
}

static int parse_answer(
	const char *name, const struct str *out, struct credentials *ret, struct imbrex_error *err)
{
	AUTO_JSON_DOC *doc = NULL;
	struct json_ref root, user, secret;
	const char *user_text = NULL, *secret_text = NULL;
	struct credentials c = { 0 };

	if (json_doc_parse("answer", str_text(out), out->len, LIMIT_CREDENTIAL_BYTES, &doc, NULL) ==
		0) {
		root = json_doc_root(doc);
		user = json_get(&root, "Username");
		secret = json_get(&root, "Secret");
		if (json_opt_string(&user, &user_text, NULL) < 0 ||
			json_opt_string(&secret, &secret_text, NULL) < 0)
			secret_text = NULL;
	}
	if (!secret_text || !secret_text[0])
		return fail(err, IMBREX_EFORMAT,
			"credential helper '" HELPER_PREFIX "%s' printed no credentials", name);
	if (!user_text || !user_text[0] || str_eq(user_text, "<token>")) {
		c.identity_token = strdup(secret_text);
	} else {
		c.username = strdup(user_text);
		c.password = strdup(secret_text);
	}
	c.found_in = format_text("the helper " HELPER_PREFIX "%s", name);
	if (!c.found_in || !(c.identity_token || (c.username && c.password))) {
		credentials_done(&c);
		return fail_nomem(err);
	}
	*ret = c;
	return 1;
}

/* What all helpers print, with exit status 1, when they have nothing. */
static bool says_not_found(const struct str *out)
{
	return strstr(str_text(out), "credentials not found") != NULL;
}

static int ask(const char *name, const char *path, const char *server, struct credentials *ret,
	struct imbrex_error *err)
{
	const char *argv[] = { path, "get", NULL };
	struct proc_spec spec = {
		.argv = argv,
		.env = (const char *const *)(uintptr_t)environ,
		.input = server,
		.input_len = strlen(server),
		.timeout_ms = HELPER_TIMEOUT_MS,
	};
	AUTO_STR out = STR_INIT(LIMIT_CREDENTIAL_BYTES);
	int r, status = 0;

	r = proc_run(&spec, &out, &status, err);
	if (r == 0 && status == 0)
		r = parse_answer(name, &out, ret, err);
	else if (r == 0 && !says_not_found(&out))
		r = fail(err, IMBREX_EFAIL,
			"credential helper '" HELPER_PREFIX "%s' failed with status %d", name,
			status);
	else if (r < 0)
		r = wrap(err, r, "credential helper '" HELPER_PREFIX "%s'", name);
	if (out.data)
		explicit_bzero(out.data, out.cap);
	return r;
}

int helper_get(
	const char *name, const char *registry, struct credentials *ret, struct imbrex_error *err)
{
	AUTO_FREE char *path = NULL;
	int r;

	if (!is_name(name))
		return fail(
			err, IMBREX_EINVAL, "'%.80s' is not the name of a credential helper", name);
	r = find_program(name, &path, err);
	if (r < 0)
		return r;
	if (str_eq(registry, "docker.io")) {
		r = ask(name, path, "https://index.docker.io/v1/", ret, err);
		if (r != 0)
			return r;
	}
	return ask(name, path, registry, ret, err);
}
