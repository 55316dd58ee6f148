/* SPDX-License-Identifier: Apache-2.0 */
/* import, load, digest: images from registries and engines. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/enroot/enroot.h"

#define AT(member) offsetof(struct enroot_args, member)
#define OPTION_ARCH                                                            \
	{                                                                      \
		{ "-a", "--arch" }, AT(arch), false,                           \
			"Architecture of the image (x86_64, aarch64, ppc64le)" \
	}

static int no_memory(void)
{
	return enroot_error("out of memory");
}

/* A file that must not be there yet, in a directory that must be. */
static int output_path(const char *given, const char *fallback, bool force, char **ret)
{
	AUTO_FREE char *path = NULL;
	struct stat st;
	int status = enroot_realpath(given ? given : fallback, &path);

	if (status != 0)
		return status;
	if (!force && lstat(path, &st) == 0)
		return enroot_error("File already exists: %s", path);
	*ret = take_ptr(path);
	return 0;
}

/* ---- import ---------------------------------------------------------------------------- */

/* What a supervised process is to do. */
struct job {
	struct enroot *e;
	const struct enroot_uri *u;
	struct enroot_source *source;
	const char *path;
};

static int do_import(void *arg)
{
	const struct job *j = arg;
	AUTO_SQUASH squash = { .opts = { .all_root = true } };
	struct imbrex_error err = { 0 };
	int status = enroot_squash_options(&squash);

	if (status == 0)
		status = enroot_reach(j->e, j->u);
	if (status != 0)
		return status;
	return imbrex_squashfs_import(j->source->text, j->path, getenv("ENROOT_TEMP_PATH"),
		       &j->source->opts, &squash.opts, NULL, &err) < 0
		       ? enroot_source_fail(j->source, &err)
		       : EXIT_SUCCESS;
}

static int import_squashfs(struct enroot *e, const struct enroot_uri *u, const char *file)
{
	AUTO_SOURCE_ENROOT source = { 0 };
	struct job j = { .e = e, .u = u, .source = &source, .path = file };
	int status = enroot_source_init(e, u, e->operands[0], &source);

	return status ? status : enroot_supervise(do_import, &j, getenv("ENROOT_TEMP_PATH"));
}

static int run_import(struct enroot *e)
{
	const char *format =
		e->args.format ? e->args.format : enroot_setting("ENROOT_ZFS_IMPORT_FORMAT");
	AUTO_URI u = { 0 };
	AUTO_FREE char *name = NULL;
	AUTO_FREE char *fallback = NULL;
	AUTO_FREE char *file = NULL;
	int status;

	if (e->args.zfs_recv || e->args.zfs_status)
		return e->n_operands ? enroot_usage(e) : transfer_serve(e);
	if (!e->n_operands)
		return enroot_usage(e);
	if (str_after(e->operands[0], "zfs://"))
		return transfer_import(e, e->operands[0]);
	if (format && !str_eq(format, "pointer") && !str_eq(format, "squashfs"))
		return enroot_error("ENROOT_ZFS_IMPORT_FORMAT must be 'pointer' or 'squashfs', "
				    "not '%s'",
			format);
	if (!*e->operands[0])
		return enroot_error("Invalid argument");
	status = enroot_uri_parse(e->operands[0], &u);
	if (status != 0)
		return status;
	if (e->args.arch && !enroot_debian_arch(e->args.arch))
		return enroot_error("Unsupported architecture: %s", e->args.arch);
	name = enroot_uri_name(&u);
	fallback = name ? format_text("%s.sqsh", name) : NULL;
	if (!fallback)
		return no_memory();
	/* Nothing is ever overwritten here. */
	status = output_path(e->args.output, fallback, false, &file);
	if (status != 0)
		return status;
	if (e->backend == BACKEND_STORE && !(format && str_eq(format, "squashfs")))
		return store_import(e, &u, e->operands[0], file);
	if (e->backend == BACKEND_ZFS && !(format && str_eq(format, "squashfs")))
		return zfs_import(e, &u, e->operands[0], file);
	return import_squashfs(e, &u, file);
}

/* ---- load ------------------------------------------------------------------------------ */

static int do_load(void *arg)
{
	const struct job *j = arg;
	struct imbrex_error err = { 0 };
	int status = enroot_reach(j->e, j->u);

	if (status != 0)
		return status;
	return imbrex_rootfs_import(j->source->text, j->path, &j->source->opts, NULL, &err) < 0
		       ? enroot_source_fail(j->source, &err)
		       : EXIT_SUCCESS;
}

static int load_dir(struct enroot *e, const struct enroot_uri *u, const char *name)
{
	AUTO_SOURCE_ENROOT source = { 0 };
	AUTO_FREE char *path = NULL;
	struct job j = { .e = e, .u = u, .source = &source };
	struct imbrex_error err = { 0 };
	struct stat st;
	int status = enroot_container_path(name, &path);

	if (status == 0)
		status = enroot_source_init(e, u, e->operands[0], &source);
	if (status != 0)
		return status;
	if (lstat(path, &st) == 0) {
		if (!e->args.force)
			return enroot_error("File already exists: %s", path);
		if (imbrex_rootfs_remove(path, &err) < 0)
			return enroot_fail(&err);
	}
	source.opts.strip_setid = true;
	source.loading = true;
	j.path = path;
	return enroot_supervise(do_load, &j, getenv("ENROOT_DATA_PATH"));
}

static int run_load(struct enroot *e)
{
	AUTO_URI u = { 0 };
	AUTO_FREE char *name = NULL;
	int status;

	if (!*e->operands[0])
		return enroot_error("Invalid argument");
	if (e->args.name && strchr(e->args.name, '/'))
		return enroot_error("Invalid argument: %s", e->args.name);
	if (str_after(e->operands[0], "zfs://"))
		return transfer_load(e, e->operands[0]);
	status = enroot_uri_parse(e->operands[0], &u);
	if (status != 0)
		return status;
	name = e->args.name ? strdup(e->args.name) : enroot_uri_name(&u);
	if (!name)
		return no_memory();
	if (e->backend == BACKEND_STORE)
		return store_load(e, &u, e->operands[0], name);
	if (e->backend == BACKEND_ZFS)
		return zfs_load(e, &u, e->operands[0], name);
	return load_dir(e, &u, name);
}

/* ---- digest ---------------------------------------------------------------------------- */

static int run_digest(struct enroot *e)
{
	AUTO_SOURCE_ENROOT source = { 0 };
	AUTO_FREE char *digest = NULL;
	AUTO_URI u = { 0 };
	struct imbrex_error err = { 0 };
	int status = enroot_uri_parse(e->operands[0], &u);

	if (status == 0 && u.scheme != SCHEME_DOCKER)
		status = enroot_error("Invalid argument: %s", e->operands[0]);
	if (status == 0)
		status = enroot_source_init(e, &u, e->operands[0], &source);
	if (status != 0)
		return status;
	if (imbrex_rootfs_digest(source.text, &source.opts, &digest, &err) < 0)
		return enroot_source_fail(&source, &err);
	(void)puts(digest);
	return EXIT_SUCCESS;
}

static const struct enroot_option import_options[] = {
	OPTION_ARCH,
	{ { "-o", "--output" }, AT(output), false, "Name of the image file" },
	{ { "-f", "--format" }, AT(format), false,
		"What the file is: pointer or squashfs (backends store and zfs)" },
	{ { "-n", "--name" }, AT(name), false, "Name of the container (--zfs-recv)" },
	{ { "--zfs-recv" }, AT(zfs_recv), true, "Make a container of a ZFS stream on stdin" },
	{ { "--zfs-status" }, AT(zfs_status), true, "Tell another machine what is here" },
	{ { NULL } },
};

static const struct enroot_option load_options[] = {
	OPTION_ARCH,
	{ { "-n", "--name" }, AT(name), false, "Name of the container" },
	{ { "-f", "--force" }, AT(force), true, "Replace a container of that name" },
	{ { NULL } },
};

static const struct enroot_option digest_options[] = { OPTION_ARCH, { { NULL } } };

const struct enroot_command import_commands[] = {
	{ "import", "[OPTIONS] [--] URI", "Convert an image of a registry or engine to a file",
		import_options, 0, 1, run_import },
	{ "load", "[OPTIONS] [--] URI", "Make a container of an image of a registry or engine",
		load_options, 1, 1, run_load },
	{ "digest", "[OPTIONS] [--] URI", "Show the digest of an image", digest_options, 1, 1,
		run_digest },
	{ NULL },
};
