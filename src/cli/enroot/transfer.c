/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ZFS streams: create and export of .zfs files, zfs:// URIs, and what another machine calls to send
 * or receive one ("export --zfs-send", "import --zfs-recv"). Backend "zfs" only.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/enroot/enroot.h"
#include "imbrex/transfer.h"

static void close_templates(struct imbrex_templates **t)
{
	imbrex_templates_close(*t);
}
#define AUTO_TEMPLATES __attribute__((cleanup(close_templates))) struct imbrex_templates

static bool has_word(const char *setting, const char *word)
{
	AUTO_STRV words = { 0 };
	size_t i;

	if (!setting || enroot_words(setting, &words) < 0)
		return false;
	for (i = 0; i < words.n; i++)
		if (str_eq(words.items[i], word))
			return true;
	return false;
}

static struct imbrex_transfer_opts opts_of(const struct enroot *e)
{
	const char *mount = enroot_setting("ENROOT_ZFS_MOUNT_OPTIONS");

	return (struct imbrex_transfer_opts){
		.ssh = enroot_setting("ENROOT_SSH_PROGRAM"),
		.remote = enroot_setting("ENROOT_ZFS_REMOTE"),
		.setuid = has_word(mount, "suid"),
		.devices = has_word(mount, "dev"),
		.replace = e->args.force,
	};
}

static int need_backend(const struct enroot *e, const char *what)
{
	return e->backend == BACKEND_ZFS ? 0 : enroot_error("%s ENROOT_STORAGE_BACKEND=zfs", what);
}

static int done(int r, const struct imbrex_error *err)
{
	return r < 0 ? enroot_fail(err) : EXIT_SUCCESS;
}

/* ---- files ----------------------------------------------------------------------------- */

int transfer_create(struct enroot *e, const char *image, const char *name)
{
	const struct imbrex_transfer_opts opts = opts_of(e);
	struct imbrex_error err = { 0 };
	AUTO_TEMPLATES *t = NULL;
	int status = need_backend(e, ".zfs images require");

	if (status == 0)
		status = zfs_open_templates(&t);
	if (status != 0)
		return status;
	enroot_info("Receiving zfs stream...");
	return done(imbrex_transfer_create(t, image, name, &opts, &err), &err);
}

static int export_file(struct enroot *e, struct imbrex_templates *t, const char *name)
{
	const struct imbrex_transfer_opts opts = opts_of(e);
	AUTO_FREE char *fallback = format_text("%s.zfs", name);
	AUTO_FREE char *file = NULL;
	struct imbrex_error err = { 0 };
	struct stat st;
	int status;

	if (!fallback)
		return enroot_error("out of memory");
	status = enroot_realpath(e->args.output ? e->args.output : fallback, &file);
	if (status != 0)
		return status;
	if (!e->args.force && lstat(file, &st) == 0)
		return enroot_error("File already exists: %s", file);
	enroot_info("Creating zfs send stream...");
	return done(imbrex_transfer_export(t, name, file, &opts, &err), &err);
}

/* ---- machines -------------------------------------------------------------------------- */

int transfer_export(struct enroot *e)
{
	const struct imbrex_transfer_opts opts = opts_of(e);
	const char *name = e->operands[0];
	const char *uri =
		e->args.output && str_after(e->args.output, "zfs://") ? e->args.output : NULL;
	struct imbrex_error err = { 0 };
	AUTO_TEMPLATES *t = NULL;
	int status = need_backend(e, uri                ? "zfs:// destinations require"
				     : e->args.zfs_send ? "--zfs-send requires"
							: "--format=zfs requires");

	if (status == 0)
		status = zfs_open_templates(&t);
	if (status != 0)
		return status;
	if (e->args.zfs_send)
		return done(imbrex_transfer_send(t, name, STDOUT_FILENO, e->args.zfs_have,
				    e->args.zfs_resume, &err),
			&err);
	if (!uri)
		return export_file(e, t, name);
	enroot_info("Sending zfs stream to %s...", uri);
	return done(imbrex_transfer_push(t, name, uri, &opts, &err), &err);
}

/* To a file: the stream itself, or a squashfs image of it, as the file's name says. */
int transfer_import(struct enroot *e, const char *uri)
{
	const struct imbrex_transfer_opts opts = opts_of(e);
	struct imbrex_squashfs_opts squashfs = { 0 };
	AUTO_FREE char *name = NULL;
	AUTO_FREE char *fallback = NULL;
	AUTO_FREE char *file = NULL;
	struct imbrex_error err = { 0 };
	AUTO_TEMPLATES *t = NULL;
	struct stat st;
	int status = need_backend(e, "zfs:// URIs require");

	if (status != 0)
		return status;
	if (imbrex_transfer_name(uri, &name, &err) < 0)
		return enroot_fail(&err);
	fallback = format_text("%s.zfs", name);
	if (!fallback)
		return enroot_error("out of memory");
	status = enroot_realpath(e->args.output ? e->args.output : fallback, &file);
	if (status != 0)
		return status;
	if (lstat(file, &st) == 0)
		return enroot_error("File already exists: %s", file);
	enroot_info("Receiving zfs stream from %s...", uri);
	if (!str_ends(file, ".sqsh"))
		return done(imbrex_transfer_fetch(uri, file, &opts, &err), &err);
	status = zfs_open_templates(&t);
	if (status != 0)
		return status;
	squashfs.processors = enroot_number("ENROOT_MAX_PROCESSORS", 0);
	squashfs.all_root = true;
	return done(imbrex_transfer_squash(t, uri, file, &squashfs, &opts, &err), &err);
}

int transfer_load(struct enroot *e, const char *uri)
{
	const struct imbrex_transfer_opts opts = opts_of(e);
	AUTO_FREE char *name = NULL;
	struct imbrex_error err = { 0 };
	AUTO_TEMPLATES *t = NULL;
	int status = need_backend(e, "zfs:// URIs require");

	if (status != 0)
		return status;
	if (imbrex_transfer_name(uri, &name, &err) < 0)
		return enroot_fail(&err);
	status = zfs_open_templates(&t);
	if (status != 0)
		return status;
	enroot_info("Receiving zfs stream from %s...", uri);
	return done(imbrex_transfer_load(t, uri, e->args.name ? e->args.name : name, &opts, &err),
		&err);
}

/* ---- what another machine calls -------------------------------------------------------- */

int transfer_serve(struct enroot *e)
{
	const struct imbrex_transfer_opts opts = opts_of(e);
	AUTO_FREE char *text = NULL;
	struct imbrex_error err = { 0 };
	AUTO_TEMPLATES *t = NULL;
	int status;

	if (!e->args.name)
		return enroot_error(
			"%s requires -n NAME", e->args.zfs_recv ? "--zfs-recv" : "--zfs-status");
	status =
		need_backend(e, e->args.zfs_recv ? "--zfs-recv requires" : "--zfs-status requires");
	if (status == 0)
		status = zfs_open_templates(&t);
	if (status != 0)
		return status;
	if (e->args.zfs_recv)
		return done(
			imbrex_transfer_receive(t, STDIN_FILENO, e->args.name, &opts, &err), &err);
	if (imbrex_transfer_status(t, e->args.name, &text, &err) < 0)
		return enroot_fail(&err);
	(void)fputs(text, stdout);
	return fflush(stdout) == 0 ? EXIT_SUCCESS : enroot_error("Could not write");
}
