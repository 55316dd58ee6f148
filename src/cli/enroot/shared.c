/* SPDX-License-Identifier: Apache-2.0 */
/* What commands of both backends need: paths, sources, squashfs options, the question. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "cli/enroot/enroot.h"

#define CONNECTIONS_DEFAULT 10
/* Of one image: more would only wait for one another. */
#define CONNECTIONS_MAX 128

int enroot_realpath(const char *path, char **ret)
{
	const char *slash = strrchr(path, '/');
	AUTO_FREE char *dir = NULL;
	AUTO_FREE char *real = NULL;

	/* All of it, if it is there: links at its end are followed. */
	*ret = realpath(path, NULL);
	if (*ret)
		return 0;
	dir = slash ? strndup(path, slash > path ? (size_t)(slash - path) : 1) : strdup(".");
	real = dir ? realpath(dir, NULL) : NULL;
	if (!real)
		return enroot_error("No such file or directory: %s", dir ? dir : path);
	*ret = format_text("%s/%s", str_eq(real, "/") ? "" : real, slash ? slash + 1 : path);
	return *ret ? 0 : enroot_error("out of memory");
}

int enroot_container_path(const char *name, char **ret)
{
	if (!*name)
		return enroot_error("Invalid argument");
	if (strchr(name, '/') || str_eq(name, "..") || strlen(name) > NAME_MAX)
		return enroot_error("Invalid argument: %s", name);
	*ret = format_text("%s/%s", getenv("ENROOT_DATA_PATH"), name);
	return *ret ? 0 : enroot_error("out of memory");
}

/* ---- sources --------------------------------------------------------------------------- */

/* As enroot says it: "URL U returned error code: 404 Not Found". */
static void print_refusal(size_t status, const char *url)
{
	static const char *const texts_400[] = { "Bad Request", "Unauthorized", "Payment Required",
		"Forbidden", "Not Found", "Method Not Allowed", "Not Acceptable",
		"Proxy Authentication Required", "Request Timeout", "Conflict", "Gone",
		"Length Required", "Precondition Failed", "Payload Too Large", "URI Too Long",
		"Unsupported Media Type", "Range Not Satisfiable", "Expectation Failed" };
	static const char *const texts_500[] = { "Internal Server Error", "Not Implemented",
		"Bad Gateway", "Service Unavailable", "Gateway Timeout" };
	const char *text = "";

	if (status >= 400 && status - 400 < ARRAY_LEN(texts_400))
		text = texts_400[status - 400];
	if (status >= 500 && status - 500 < ARRAY_LEN(texts_500))
		text = texts_500[status - 500];
	(void)enroot_error("URL %s returned error code: %zu %s", url, status, text);
}

static void print_unpacking(const struct enroot_source *s, bool registry)
{
	enroot_info("%s", registry ? "Extracting image layers..." : "Extracting image content...");
	if (registry)
		enroot_info("Converting whiteouts...");
	if (s->loading)
		enroot_info("Loading container root filesystem...");
}

static void on_step(void *userdata, enum imbrex_rootfs_step step, size_t n, const char *text)
{
	struct enroot_source *s = userdata;
	bool registry = str_after(s->text, "docker://") != NULL;

	switch (step) {
	case IMBREX_ROOTFS_QUERY:
		enroot_info("%s",
			registry ? "Querying registry for permission grant" : "Fetching image");
		return;
	case IMBREX_ROOTFS_GRANTED:
		enroot_info("Permission granted");
		return;
	case IMBREX_ROOTFS_AUTH:
		enroot_info("Authenticating with user: %s", text ? text : "<anonymous>");
		return;
	case IMBREX_ROOTFS_AUTH_DONE:
		enroot_info("Authentication succeeded");
		return;
	case IMBREX_ROOTFS_REFUSED:
		s->refused = true;
		print_refusal(n, text);
		return;
	case IMBREX_ROOTFS_MANIFEST:
		if (!registry)
			return;
		enroot_info("Fetching image manifest list");
		enroot_info("Fetching image manifest");
		return;
	case IMBREX_ROOTFS_DOWNLOAD:
		if (!registry)
			return;
		if (n)
			enroot_info("Downloading %zu missing layers...", n);
		else
			enroot_info("Found all layers in cache");
		return;
	case IMBREX_ROOTFS_UNPACK:
		print_unpacking(s, registry);
		return;
	case IMBREX_ROOTFS_PACK:
		enroot_info("Creating squashfs filesystem...");
		return;
	case IMBREX_ROOTFS_OTHER_ARCH:
		enroot_warn("Image architecture doesn't match the requested one: %s != %s", text,
			s->arch);
		return;
	}
}

/* What curl exits with, as enroot does where nothing else is said. */
static int network_status(const struct imbrex_error *err)
{
	switch (err->reason) {
	case IMBREX_REASON_NET_NAME:
		return 6;
	case IMBREX_REASON_NET_CONNECT:
		return 7;
	case IMBREX_REASON_NET_TIMEOUT:
		return 28;
	case IMBREX_REASON_NET_TLS:
		return 35;
	case IMBREX_REASON_NET_LOST:
		return 56;
	case IMBREX_REASON_NET_CERTIFICATE:
		return 60;
	default:
		return EXIT_FAILURE;
	}
}

int enroot_source_fail(const struct enroot_source *s, const struct imbrex_error *err)
{
	/* Engines are asked by other programs there. */
	int status = str_after(s->text, "docker://") ? network_status(err) : EXIT_FAILURE;

	if (!s->refused) {
		(void)enroot_fail(err);
		return status;
	}
	/* The error is told already, in few words. */
	enroot_info("%s", err->message);
	if (err->hint[0])
		enroot_info("%s", err->hint);
	return EXIT_FAILURE;
}

static int cache_level(void)
{
	const char *text = enroot_setting("ENROOT_ZSTD_OPTIONS");
	unsigned int level = text && *text == '-' ? (unsigned int)strtoul(text + 1, NULL, 10) : 0;

	return level >= 1 && level <= 19 ? (int)level : 1;
}

/* 0 is said to be as many as there are. */
static unsigned int connections(void)
{
	unsigned int n = enroot_number("ENROOT_MAX_CONNECTIONS", CONNECTIONS_DEFAULT);

	return n && n < CONNECTIONS_MAX ? n : CONNECTIONS_MAX;
}

int enroot_source_init(
	struct enroot *e, const struct enroot_uri *u, const char *typed, struct enroot_source *ret)
{
	const char *machine = e->args.arch;
	struct utsname uts;

	*ret = (struct enroot_source){ 0 };
	if (!machine)
		machine = uname(&uts) == 0 ? uts.machine : "x86_64";
	ret->arch = enroot_debian_arch(machine);
	if (!ret->arch)
		return enroot_error("Unsupported architecture: %s", machine);
	(void)snprintf(ret->platform, sizeof(ret->platform), "linux/%s", ret->arch);
	ret->text = enroot_uri_source(u);
	ret->provenance = enroot_uri_provenance(u, typed);
	if (!ret->text || !ret->provenance)
		return enroot_error("out of memory");
	if (u->scheme == SCHEME_DOCKER && enroot_credentials(u, &ret->user, &ret->password) < 0)
		return EXIT_FAILURE;
	ret->opts = (struct imbrex_rootfs_opts){
		.platform = ret->platform,
		.tls_verify = enroot_setting("ENROOT_ALLOW_HTTP") ? -1 : 0,
		.username = ret->user,
		.password = ret->password,
		.connections = connections(),
		.tries = enroot_number("ENROOT_TRANSFER_RETRIES", 0) + 1,
		.connect_timeout_sec = enroot_number("ENROOT_CONNECT_TIMEOUT", 30),
		.transfer_timeout_sec = enroot_number("ENROOT_TRANSFER_TIMEOUT", 0),
		.cache_dir = getenv("ENROOT_CACHE_PATH"),
		.cache_level = cache_level(),
		.provenance = ret->provenance,
		.step = on_step,
		.userdata = ret,
	};
	return 0;
}

/* A user's store of podman has files of other ids, which only the root of a namespace can read. */
int enroot_reach(struct enroot *e, const struct enroot_uri *u)
{
	struct imbrex_error err = { 0 };

	if (u->scheme != SCHEME_PODMAN || enroot_setting("CONTAINER_HOST"))
		return 0;
	if (cli_enter_userns(e->cli, &err) < 0)
		return enroot_fail(&err);
	enroot_end_with_parent();
	return 0;
}

void enroot_source_done(struct enroot_source *s)
{
	if (s->password)
		explicit_bzero(s->password, strlen(s->password));
	free(s->password);
	free(s->user);
	free(s->text);
	free(s->provenance);
	*s = (struct enroot_source){ 0 };
}

/* ---- squashfs -------------------------------------------------------------------------- */

int enroot_squash_options(struct enroot_squash *ret)
{
	const char *epoch = enroot_setting("SOURCE_DATE_EPOCH");
	char *end;

	if (enroot_words(enroot_setting("ENROOT_SQUASH_OPTIONS"), &ret->words) < 0)
		return enroot_error("out of memory");
	ret->opts.options = (const char *const *)ret->words.items;
	ret->opts.processors = enroot_number("ENROOT_MAX_PROCESSORS", 0);
	ret->opts.all_root = true;
	if (epoch) {
		ret->time_sec = strtoll(epoch, &end, 10);
		if (*end || end == epoch)
			return enroot_error("Invalid argument: SOURCE_DATE_EPOCH=%s", epoch);
		ret->opts.time_sec = &ret->time_sec;
	}
	return 0;
}

int enroot_export(const char *dir, const char *file, bool replace)
{
	AUTO_SQUASH squash = { .opts = { .leave_placeholders = true, .replace = replace } };
	struct imbrex_error err = { 0 };
	int status = enroot_squash_options(&squash);

	if (status != 0)
		return status;
	enroot_info("Creating squashfs filesystem...");
	return imbrex_squashfs_create(dir, file, &squash.opts, &err) < 0 ? enroot_fail(&err) : 0;
}

/* ---- the question ---------------------------------------------------------------------- */

int enroot_confirm(const char *path)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	int r;

	if (isatty(STDIN_FILENO))
		(void)fprintf(stderr, "Do you really want to delete %s? [y/N] ", path);
	n = getline(&line, &cap, stdin);
	if (n > 0 && line[n - 1] == '\n')
		line[n - 1] = 0;
	r = n < 0 ? -1 : str_eq(line, "y") || str_eq(line, "Y");
	free(line);
	return r;
}
