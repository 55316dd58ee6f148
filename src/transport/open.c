/* SPDX-License-Identifier: Apache-2.0 */
/* The table of transports. */
#include "transport/open.h"

#include "transport/dir.h"
#include "transport/dockerd.h"
#include "transport/ocidir.h"
#include "transport/rootfs.h"
#include "transport/squashfs.h"
#include "transport/tarfile.h"

typedef int (*open_fn)(const struct locator *l, const struct source_opts *opts, struct source **ret,
	struct imbrex_error *err);

static int open_docker(const struct locator *l, const struct source_opts *opts, struct source **ret,
	struct imbrex_error *err)
{
	struct docker_options docker = opts->docker;

	docker.short_names = l->bare;
	return docker_source_open(l->where, &docker, ret, err);
}

static int open_oci(const struct locator *l, const struct source_opts *opts, struct source **ret,
	struct imbrex_error *err)
{
	return ocidir_source_open(l->where, l->tag, ret, err);
}

static int open_archive(const struct locator *l, const struct source_opts *opts,
	struct source **ret, struct imbrex_error *err)
{
	const struct archive_options archive = {
		.flavour = l->kind == LOCATOR_OCI_ARCHIVE      ? ARCHIVE_OCI
			   : l->kind == LOCATOR_DOCKER_ARCHIVE ? ARCHIVE_DOCKER
							       : ARCHIVE_ANY,
		.tag = l->tag,
		.events = opts->events,
	};

	return archive_source_open(l->where, &archive, ret, err);
}

static int open_dockerd(const struct locator *l, const struct source_opts *opts,
	struct source **ret, struct imbrex_error *err)
{
	const struct dockerd_options dockerd = {
		.timeout_ms = opts->engine_timeout_ms,
		.events = opts->events,
	};

	return dockerd_source_open(l->where, &dockerd, ret, err);
}

static int open_dir(const struct locator *l, const struct source_opts *opts, struct source **ret,
	struct imbrex_error *err)
{
	return dir_source_open(l->where, ret, err);
}

static int open_rootfs(const struct locator *l, const struct source_opts *opts, struct source **ret,
	struct imbrex_error *err)
{
	return rootfs_source_open(l->where, ret, err);
}

static int open_tar(const struct locator *l, const struct source_opts *opts, struct source **ret,
	struct imbrex_error *err)
{
	return tarfile_source_open(l->where, ret, err);
}

static int open_squashfs(const struct locator *l, const struct source_opts *opts,
	struct source **ret, struct imbrex_error *err)
{
	return squashfs_source_open(l->where, ret, err);
}

static const open_fn table[] = {
	[LOCATOR_DOCKER] = open_docker,
	[LOCATOR_DOCKERD] = open_dockerd,
	[LOCATOR_OCI] = open_oci,
	[LOCATOR_OCI_ARCHIVE] = open_archive,
	[LOCATOR_DOCKER_ARCHIVE] = open_archive,
	[LOCATOR_ARCHIVE] = open_archive,
	[LOCATOR_DIR] = open_dir,
	[LOCATOR_ROOTFS] = open_rootfs,
	[LOCATOR_TAR] = open_tar,
	[LOCATOR_SQUASHFS] = open_squashfs,
};

int source_open(const struct locator *l, const struct source_opts *opts, struct source **ret,
	struct imbrex_error *err)
{
	static const struct source_opts defaults;

	if (l->kind == LOCATOR_STORAGE)
		return fail(err, IMBREX_ENOTSUP, "an image of another store cannot be read here");
	if ((size_t)l->kind >= ARRAY_LEN(table) || !table[l->kind])
		return fail(err, IMBREX_EINVAL, "source of unknown kind %d", (int)l->kind);
	return table[l->kind](l, opts ? opts : &defaults, ret, err);
}
