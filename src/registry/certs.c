/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads one certs.d folder. Authorities are read here, because libcurl takes a single text of them;
 * client certificate and key stay paths, because the TLS library reads those itself.
 */
#include "registry/certs.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/limits.h"
#include "registry/conffile.h"

static int add_authority(DIR *dir, const char *name, struct str *to, struct imbrex_error *err)
{
	int r;

	r = conffile_read(dirfd(dir), name, "certificate", to, err);
	if (r == 1)
		r = str_putc(to, '\n') < 0 ? fail_nomem(err) : 0;
	return r;
}

/* "x.cert" must have "x.key" beside it, and the reverse. */
static int check_twin(DIR *dir, const char *path, const char *name, const char *suffix,
	const char *twin_suffix, struct imbrex_error *err)
{
	AUTO_FREE char *twin =
		format_text("%.*s%s", (int)(strlen(name) - strlen(suffix)), name, twin_suffix);

	if (!twin)
		return fail_nomem(err);
	if (faccessat(dirfd(dir), twin, F_OK, 0) < 0)
		return fail(err, IMBREX_ENOENT, "'%s/%s' has no '%s' beside it", path, name, twin);
	return 0;
}

static int set_client(
	DIR *dir, const char *path, const char *name, struct certs *c, struct imbrex_error *err)
{
	int r;

	r = check_twin(dir, path, name, ".cert", ".key", err);
	if (r < 0 || c->cert_path) /* one is enough: the first */
		return r;
	c->cert_path = format_text("%s/%s", path, name);
	c->key_path = format_text("%s/%.*s.key", path, (int)(strlen(name) - strlen(".cert")), name);
	return c->cert_path && c->key_path ? 0 : fail_nomem(err);
}

static int read_one(
	DIR *dir, const char *path, const char *name, struct certs *c, struct imbrex_error *err)
{
	if (str_ends(name, ".crt"))
		return add_authority(dir, name, &c->ca_pem, err);
	if (str_ends(name, ".cert"))
		return set_client(dir, path, name, c, err);
	if (str_ends(name, ".key"))
		return check_twin(dir, path, name, ".key", ".cert", err);
	return 0;
}

static int read_folder(DIR *dir, const char *path, struct certs *c, struct imbrex_error *err)
{
	struct dirent *de;
	size_t n = 0;
	int r;

	while ((errno = 0, de = readdir(dir))) {
		if (de->d_name[0] == '.')
			continue;
		if (n++ == LIMIT_CONF_FILES)
			return fail(err, IMBREX_ELIMIT, "'%s' holds more than %d files", path,
				LIMIT_CONF_FILES);
		r = read_one(dir, path, de->d_name, c, err);
		if (r < 0)
			return r;
	}
	return errno ? fail_errno(err, "read '%s'", path) : 0;
}

/* 1 read, 0 no such folder (or one that is not for us). */
static int load_folder(const char *path, struct certs *ret, struct imbrex_error *err)
{
	AUTO_CERTS c = { .ca_pem = STR_INIT(LIMIT_CONF_BYTES) };
	DIR *dir = opendir(path);
	int r;

	if (!dir) {
		if (errno == ENOENT || errno == ENOTDIR || errno == EACCES)
			return 0;
		return fail_errno(err, "open '%s'", path);
	}
	r = read_folder(dir, path, &c, err);
	(void)closedir(dir);
	if (r < 0)
		return r;
	*ret = c;
	c = (struct certs){ 0 };
	return 1;
}

static char *user_folder(const char *registry)
{
	const char *dir = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

	if (dir && dir[0] == '/')
		return format_text("%s/containers/certs.d/%s", dir, registry);
	return format_text("%s/.config/containers/certs.d/%s",
		home && home[0] == '/' ? home : "/nonexistent", registry);
}

void certs_done(struct certs *c)
{
	str_done(&c->ca_pem);
	free(c->cert_path);
	free(c->key_path);
	*c = (struct certs){ 0 };
}

int certs_load(const char *only, const char *registry, struct certs *ret, struct imbrex_error *err)
{
	AUTO_FREE char *user = user_folder(registry);
	AUTO_FREE char *system = format_text("/etc/containers/certs.d/%s", registry);
	AUTO_FREE char *docker = format_text("/etc/docker/certs.d/%s", registry);
	int r;

	if (only) {
		r = load_folder(only, ret, err);
		if (r == 0)
			r = fail(err, IMBREX_ENOENT, "certificates folder '%s' does not exist",
				only);
		return r < 0 ? r : 0;
	}
	if (!user || !system || !docker)
		return fail_nomem(err);
	r = load_folder(user, ret, err);
	if (r == 0)
		r = load_folder(system, ret, err);
	if (r == 0)
		r = load_folder(docker, ret, err);
	return r < 0 ? r : 0;
}
