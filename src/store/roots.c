/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a store lies: paths of storage.conf with their variables, and the defaults for root and for
 * unprivileged users.
 */
#include "store/roots.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/str.h"

/* $NAME and ${NAME}; $UID is the user's id. */
static int expand(const char *text, uid_t uid, struct str *ret)
{
	while (*text) {
		const char *dollar = strchrnul(text, '$');
		char name[128];
		const char *start;
		const char *value;
		size_t len;
		int r;

		r = str_append(ret, text, (size_t)(dollar - text));
		if (r < 0 || !*dollar)
			return r;
		start = dollar + 1 + (dollar[1] == '{');
		len = strspn(
			start, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");
		if (len >= sizeof(name))
			return -EINVAL;
		memcpy(name, start, len);
		name[len] = '\0';
		text = start + len + (dollar[1] == '{' && start[len] == '}');
		value = getenv(name);
		r = str_eq(name, "UID") ? str_printf(ret, "%u", (unsigned int)uid)
					: str_puts(ret, value ? value : "");
		if (r < 0)
			return r;
	}
	return 0;
}

/* "/a/./b//../c" -> "/a/c", in place and by its words alone, as peers have it; NULL stays NULL. */
static char *clean_path(char *path)
{
	char *to = path;
	const char *at = path;
	size_t len;

	while (at && *at) {
		at += strspn(at, "/");
		len = strcspn(at, "/");
		if (len == 2 && at[0] == '.' && at[1] == '.') {
			while (to > path && *--to != '/')
				;
		} else if (len && !(len == 1 && *at == '.')) {
			*to++ = '/';
			memmove(to, at, len);
			to += len;
		}
		at += len;
	}
	if (path && to == path)
		*to++ = '/';
	if (path)
		*to = '\0';
	return path;
}

/* Absolute, with links resolved as far as the path exists. */
char *storage_path_settle(const char *path)
{
	AUTO_FREE char *real = realpath(path, NULL);
	AUTO_FREE char *cwd = NULL;

	if (real)
		return take_ptr(real);
	if (*path == '/')
		return clean_path(strdup(path));
	cwd = realpath(".", NULL);
	return cwd ? clean_path(format_text("%s/%s", cwd, path)) : NULL;
}

static int settle_path(const char *chosen, const char *configured, const char *fallback, uid_t uid,
	char **ret, struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(LIMIT_PATH_BYTES);
	const char *path = chosen && *chosen           ? chosen
			   : configured && *configured ? configured
						       : fallback;

	if (path == chosen || path == fallback) {
		if (str_puts(&text, path) < 0)
			return fail(err, IMBREX_ELIMIT, "path '%.60s…' is too long", path);
	} else if (expand(path, uid, &text) < 0) {
		return fail(err, IMBREX_EINVAL, "storage path '%.60s' cannot be expanded", path);
	}
	*ret = storage_path_settle(str_text(&text));
	return *ret ? 0 : fail_nomem(err);
}

static bool is_own_private_dir(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
	       (st.st_mode & 0722) == 0700;
}

/* "<runtime dir>/containers" of an unprivileged user; the directory may have to be made. */
static int rootless_runroot(uid_t uid, char **ret, struct imbrex_error *err)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	const char *tmp = getenv("TMPDIR");
	AUTO_FREE char *run = format_text("/run/user/%u", (unsigned int)uid);
	AUTO_FREE char *older = NULL;
	AUTO_FREE char *fallback = NULL;
	const char *base = NULL;

	if (!tmp || !*tmp)
		tmp = "/tmp";
	older = format_text("%s/podman-run-%u", tmp, (unsigned int)uid);
	fallback = format_text("%s/storage-run-%u", tmp, (unsigned int)uid);
	if (!run || !older || !fallback)
		return fail_nomem(err);
	if (runtime && *runtime) {
		base = runtime;
	} else {
		(void)mkdir(run, 0700);
		if (is_own_private_dir(run))
			base = run;
	}
	/* podman 4 has its own; where it has run, counts of mounts are kept there. */
	if (!base && is_own_private_dir(older))
		base = older;
	if (!base) {
		(void)mkdir(fallback, 0700);
		if (is_own_private_dir(fallback))
			base = fallback;
	}
	if (!base) {
		int r = fail(err, IMBREX_EPERM,
			"no private runtime directory: '%s' and '%s' are not usable", run,
			fallback);

		return hint(err, r, "set XDG_RUNTIME_DIR, or use --runroot");
	}
	*ret = format_text("%s/containers", base);
	return *ret ? 0 : fail_nomem(err);
}

int storage_roots_choose(const struct storage_config_request *request,
	const struct storage_roots *said, struct storage_config *ret, struct imbrex_error *err)
{
	bool per_user = request->rootless && request->uid != 0;
	AUTO_FREE char *graph = per_user ? format_text("%s/storage", said->data_dir)
					 : strdup("/var/lib/containers/storage");
	AUTO_FREE char *run = NULL;
	const char *configured = said->graphroot;
	int r = 0;

	if (!graph)
		return fail_nomem(err);
	if (per_user && !configured)
		configured = said->rootless_storage_path;
	if (per_user && !(request->runroot && *request->runroot) && !said->runroot) {
		r = rootless_runroot(request->uid, &run, err);
	} else if (!per_user) {
		run = strdup("/run/containers/storage");
		if (!run)
			r = fail_nomem(err);
	}
	if (r == 0)
		r = settle_path(
			request->graphroot, configured, graph, request->uid, &ret->graphroot, err);
	if (r == 0)
		r = settle_path(
			request->runroot, said->runroot, run, request->uid, &ret->runroot, err);
	return r;
}
