/* SPDX-License-Identifier: Apache-2.0 */
/* create, export, remove: between image files and containers. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/enroot/enroot.h"
#include "imbrex/transfer.h"

#define AT(member) offsetof(struct enroot_args, member)

/* ---- create ---------------------------------------------------------------------------- */

struct creation {
	const char *image, *path;
};

static int extract(void *arg)
{
	const struct creation *c = arg;
	struct imbrex_error err = { 0 };

	return imbrex_squashfs_extract(
		       c->image, c->path, enroot_number("ENROOT_MAX_PROCESSORS", 0), &err) < 0
		       ? enroot_fail(&err)
		       : EXIT_SUCCESS;
}

static int create_dir(struct enroot *e, const char *image, const char *path)
{
	struct creation c = { .image = image, .path = path };
	struct imbrex_error err = { 0 };
	struct stat st;

	if (lstat(path, &st) == 0) {
		if (!e->args.force)
			return enroot_error("File already exists: %s", path);
		if (imbrex_rootfs_remove(path, &err) < 0)
			return enroot_fail(&err);
	}
	enroot_info("Extracting squashfs filesystem...");
	return enroot_supervise(extract, &c, getenv("ENROOT_DATA_PATH"));
}

/* What kind of file an image is: 1 squashfs, 2 pointer, 3 ZFS stream, 0: message printed. */
static int image_kind(const char *image)
{
	struct imbrex_error err = { 0 };
	AUTO_POINTER p = { 0 };
	struct stat st;
	int r;

	if (stat(image, &st) < 0) {
		(void)enroot_error("No such file or directory: %s", image);
		return 0;
	}
	r = enroot_pointer_read(image, &p);
	if (r != 0)
		return r > 0 ? 2 : 0;
	if (imbrex_squashfs_probe(image, &err) > 0)
		return 1;
	if (imbrex_transfer_probe(image, &err) > 0)
		return 3;
	(void)enroot_error("Invalid image format: %s", image);
	return 0;
}

static char *name_of_image(const char *image)
{
	const char *slash = strrchr(image, '/');
	const char *base = slash ? slash + 1 : image;
	size_t len = strlen(base);

	if (str_ends(base, ".sqsh"))
		len -= strlen(".sqsh");
	else if (str_ends(base, ".zfs"))
		len -= strlen(".zfs");
	return strndup(base, len);
}

static int run_create(struct enroot *e)
{
	AUTO_FREE char *image = NULL;
	AUTO_FREE char *name = NULL;
	AUTO_FREE char *path = NULL;
	int status, kind;

	if (!*e->operands[0])
		return enroot_error("Invalid argument");
	status = enroot_realpath(e->operands[0], &image);
	if (status != 0)
		return status;
	kind = image_kind(image);
	if (kind == 0)
		return EXIT_FAILURE;
	name = e->args.name ? strdup(e->args.name) : name_of_image(image);
	if (!name)
		return enroot_error("out of memory");
	status = enroot_container_path(name, &path);
	if (status != 0)
		return status;
	if (kind == 3)
		return transfer_create(e, image, name);
	if (e->backend == BACKEND_ZFS)
		return kind == 2 ? zfs_create_pointer(e, image, name)
				 : zfs_create_squashfs(e, image, name);
	if (kind == 2 && e->backend == BACKEND_DIR)
		return enroot_error("%s is a ZFS pointer file; ENROOT_STORAGE_BACKEND=zfs (or "
				    "store) is required to use it",
			image);
	if (e->backend == BACKEND_STORE)
		return kind == 2 ? store_create(e, image, name)
				 : store_create_squashfs(e, image, name);
	return create_dir(e, image, path);
}

/* ---- export ---------------------------------------------------------------------------- */

static int export_dir(struct enroot *e, const char *path, const char *file)
{
	struct stat st;

	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return enroot_error("No such file or directory: %s", path);
	return enroot_export(path, file, e->args.force);
}

static int run_export(struct enroot *e)
{
	AUTO_FREE char *path = NULL;
	AUTO_FREE char *fallback = NULL;
	AUTO_FREE char *file = NULL;
	struct stat st;
	int status = enroot_container_path(e->operands[0], &path);

	if (status != 0)
		return status;
	if (e->args.format && !str_eq(e->args.format, "sqsh") && !str_eq(e->args.format, "zfs"))
		return enroot_error("Invalid format: %s", e->args.format);
	if (e->args.zfs_send || (e->args.format && str_eq(e->args.format, "zfs")) ||
		(e->args.output && str_after(e->args.output, "zfs://")))
		return transfer_export(e);
	if (e->backend == BACKEND_DIR && (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)))
		return enroot_error("No such file or directory: %s", path);
	fallback = format_text("%s.sqsh", e->operands[0]);
	if (!fallback)
		return enroot_error("out of memory");
	status = enroot_realpath(e->args.output ? e->args.output : fallback, &file);
	if (status != 0)
		return status;
	if (!e->args.force && lstat(file, &st) == 0)
		return enroot_error("File already exists: %s", file);
	if (e->backend == BACKEND_STORE)
		return store_export(e, e->operands[0], file);
	if (e->backend == BACKEND_ZFS)
		return zfs_export(e, e->operands[0], file);
	return export_dir(e, path, file);
}

/* ---- remove ---------------------------------------------------------------------------- */

static int remove_dir(struct enroot *e, const char *name)
{
	AUTO_FREE char *path = NULL;
	struct imbrex_error err = { 0 };
	struct stat st;
	int status = enroot_container_path(name, &path);

	if (status != 0)
		return status;
	if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return enroot_error("No such file or directory: %s", path);
	if (!e->args.force) {
		int answer = enroot_confirm(path);

		if (answer <= 0)
			return answer < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	return imbrex_rootfs_remove(path, &err) < 0 ? enroot_fail(&err) : EXIT_SUCCESS;
}

static int run_remove(struct enroot *e)
{
	size_t i;
	int status = EXIT_SUCCESS;

	for (i = 0; status == EXIT_SUCCESS && i < e->n_operands; i++)
		status = e->backend == BACKEND_STORE ? store_remove(e, e->operands[i])
			 : e->backend == BACKEND_ZFS ? zfs_remove(e, e->operands[i])
						     : remove_dir(e, e->operands[i]);
	return status;
}

static const struct enroot_option create_options[] = {
	{ { "-n", "--name" }, AT(name), false, "Name of the container" },
	{ { "-f", "--force" }, AT(force), true, "Replace a container of that name" },
	{ { NULL } },
};

static const struct enroot_option export_options[] = {
	{ { "-o", "--output" }, AT(output), false, "Name of the image file" },
	{ { "-f", "--force" }, AT(force), true, "Replace a file of that name" },
	{ { "--format" }, AT(format), false, "What the file is: sqsh or zfs" },
	{ { "--zfs-send" }, AT(zfs_send), true, "Write a ZFS stream to stdout" },
	{ { "--zfs-have" }, AT(zfs_have), false, "GUIDs of snapshots on the other machine" },
	{ { "--zfs-resume" }, AT(zfs_resume), false, "Token of a stream that was cut" },
	{ { NULL } },
};

static const struct enroot_option remove_options[] = {
	{ { "-f", "--force" }, AT(force), true, "Do not ask" },
	{ { NULL } },
};

const struct enroot_command create_commands_enroot[] = {
	{ "create", "[OPTIONS] [--] IMAGE", "Make a container of an image file", create_options, 1,
		1, run_create },
	{ "export", "[OPTIONS] [--] NAME", "Make an image file of a container", export_options, 1,
		1, run_export },
	{ "remove", "[OPTIONS] [--] NAME...", "Delete containers", remove_options, 1, UINT_MAX,
		run_remove },
	{ NULL },
};
