/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ways to an image of podman, in the order of what they cost: the store itself, the service,
 * `podman save` into a pipe.
 */
#include "image/open.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "base/strv.h"
#include "image/spec.h"
#include "oci/reference.h"
#include "os/proc.h"
#include "transport/dockerd.h"

/* ---- the service ------------------------------------------------------------------------- */

static bool is_socket(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* "unix://…" of the user's service, or root's; NULL if there is no socket. */
static int find_service(char **ret, struct imbrex_error *err)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	AUTO_FREE char *path = NULL;

	if (dir && dir[0] == '/')
		path = format_text("%s/podman/podman.sock", dir);
	else if (geteuid() == 0)
		path = strdup("/run/podman/podman.sock");
	*ret = NULL;
	if (!path || !is_socket(path))
		return 0;
	*ret = format_text("unix://%s", path);
	return *ret ? 0 : fail_nomem(err);
}

static int open_service(const char *host, const char *where, const struct source_opts *opts,
	struct source **ret, struct imbrex_error *err)
{
	const struct dockerd_options dockerd = {
		.host = host,
		.timeout_ms = opts->engine_timeout_ms,
		.events = opts->events,
	};

	return dockerd_source_open(where, &dockerd, ret, err);
}

/* ---- the program ------------------------------------------------------------------------- */

struct save {
	const struct proc_spec *spec;
	int out; /* owned by the thread: writing end; closed when the program has ended */
	int result;
	struct imbrex_error err;
};

static void *run_save(void *arg)
{
	struct save *save = arg;

	save->result = proc_check(save->spec, NULL, &save->err);
	save->out = close_fd(save->out);
	return NULL;
}

/* What podman needs to find the user's store, and nothing else. */
static int make_env(struct strv *ret, struct imbrex_error *err)
{
	static const char *const kept[] = { "HOME", "USER", "LOGNAME", "TMPDIR", "XDG_RUNTIME_DIR",
		"XDG_CONFIG_HOME", "XDG_DATA_HOME", "CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF",
		"STORAGE_DRIVER", "STORAGE_OPTS", "_CONTAINERS_USERNS_CONFIGURED",
		"_CONTAINERS_ROOTLESS_UID", "_CONTAINERS_ROOTLESS_GID" };

	if (strv_add(ret, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin") <
			0 ||
		strv_add(ret, "LC_ALL=C.UTF-8") < 0)
		return fail_nomem(err);
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		const char *value = getenv(kept[i]);

		if (value && strv_addf(ret, "%s=%s", kept[i], value) < 0)
			return fail_nomem(err);
	}
	return 0;
}

static int receive(const struct proc_spec *spec, const char *where, const struct source_opts *opts,
	struct source **ret, struct imbrex_error *err)
{
	const struct archive_options archive = { .flavour = ARCHIVE_DOCKER,
		.events = opts->events };
	AUTO_SOURCE struct source *source = NULL;
	struct save save = { .spec = spec };
	AUTO_CLOSE int in = -EBADF;
	struct proc_spec with_output = *spec;
	pthread_t thread;
	int ends[2];
	int r;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return fail_errno(err, "pipe");
	in = ends[0];
	save.out = ends[1];
	with_output.stdout_fd = ends[1];
	save.spec = &with_output;
	r = pthread_create(&thread, NULL, run_save, &save);
	if (r) {
		(void)close_fd(save.out);
		return fail_code(err, r, "start a thread");
	}
	r = archive_stream_open(in, where, &archive, &source, err);
	in = close_fd(in); /* whoever still writes is told that nobody reads */
	(void)pthread_join(thread, NULL);
	/* A program that failed for a reason of its own has cut off the stream. */
	if (save.result < 0 && (r >= 0 || r == IMBREX_EFORMAT)) {
		if (err)
			*err = save.err;
		return save.result;
	}
	if (r < 0)
		return r;
	*ret = take_ptr(source);
	return 0;
}

/* ENOENT if there is no such program. */
static int open_program(const char *where, const struct source_opts *opts, struct source **ret,
	struct imbrex_error *err)
{
	static const char *const paths[] = { "/usr/bin/podman", "/usr/local/bin/podman",
		"/bin/podman", NULL };
	const char *program = proc_find(paths);
	const char *const argv[] = { program, "save", "-q", "--format", "docker-archive", "--",
		where, NULL };
	AUTO_STRV env = { 0 };
	struct proc_spec spec = { .argv = argv, .cause_is_last = true };
	int r;

	if (!program)
		return fail(err, IMBREX_ENOENT, "no program podman");
	r = make_env(&env, err);
	if (r < 0)
		return r;
	spec.env = (const char *const *)env.items;
	return receive(&spec, where, opts, ret, err);
}

/* ---- which way --------------------------------------------------------------------------- */

/* The store, not an image of it: there may be another way to it. */
static bool is_unreadable(const struct imbrex_error *why)
{
	return why->status == IMBREX_EPERM || why->status == IMBREX_ENOTSUP ||
	       why->reason == IMBREX_REASON_DRIVER_UNKNOWN ||
	       (why->status == IMBREX_ENOENT && why->reason == IMBREX_REASON_NONE);
}

static int open_podman(const char *where, const struct source_opts *opts, struct imbrex_store *to,
	struct source **ret, struct imbrex_error *err)
{
	const char *host = getenv("CONTAINER_HOST");
	AUTO_FREE char *service = NULL;
	struct imbrex_error why = { 0 };
	int r, other;

	if (store_spec_is_explicit(where))
		return storage_source_open(where, to, ret, err);
	if (host && *host)
		return open_service(host, where, opts, ret, err);
	r = storage_source_open(where, to, ret, &why);
	if (r == 0)
		return 0;
	other = is_unreadable(&why) ? find_service(&service, err) : 0;
	if (other < 0)
		return other;
	if (service)
		return open_service(service, where, opts, ret, err);
	/* Where there is no store, the program would make one. */
	if (is_unreadable(&why) && why.status != IMBREX_ENOENT) {
		other = open_program(where, opts, ret, err);
		if (other != IMBREX_ENOENT)
			return other;
	}
	if (err)
		*err = why;
	return r;
}

enum imbrex_rootfs_step step_of_event(enum repository_event event)
{
	static const enum imbrex_rootfs_step steps[] = {
		[REPOSITORY_GRANTED] = IMBREX_ROOTFS_GRANTED,
		[REPOSITORY_AUTHENTICATING] = IMBREX_ROOTFS_AUTH,
		[REPOSITORY_AUTHENTICATED] = IMBREX_ROOTFS_AUTH_DONE,
		[REPOSITORY_REFUSED] = IMBREX_ROOTFS_REFUSED,
	};

	return steps[event];
}

int image_source_open(const struct locator *l, const struct source_opts *opts,
	struct imbrex_store *to, struct source **ret, struct imbrex_error *err)
{
	static const struct source_opts defaults;

	if (l->kind == LOCATOR_STORAGE)
		return open_podman(l->where, opts ? opts : &defaults, to, ret, err);
	return source_open(l, opts, ret, err);
}
