/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The btrfs driver: where its layers lie, what it can be told, and the table of what it does.
 *
 *   stage_new: an empty subvolume 0555, or a snapshot of the parent's ─▶ entries change it in place
 *   (whiteouts remove) ─▶ publish: rename to btrfs/subvolumes/<id>
 *
 * Mounting is a path, unless it is to be read-only. Source: docs/formats/btrfs-layer.md.
 */
#include "driver/btrfs.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "driver/options.h"
#include "driver/where.h"
#include "os/fd.h"
#include "os/probe.h"
#include "os/qgroup.h"
#include "os/userns.h"

/* ---- opening ------------------------------------------------------------------------------- */

static int refuse_mountopt(void *at, const char *name, const char *value, struct imbrex_error *err)
{
	return fail(err, IMBREX_ENOTSUP, "the driver btrfs has no mount options");
}

static const struct option_key btrfs_keys[] = {
	{ "min_space", option_set_bytes, offsetof(struct btrfs, min_space_bytes) },
	{ "mountopt", refuse_mountopt, 0 },
	{ "size", option_set_bytes, offsetof(struct btrfs, size_bytes) },
};
static const struct option_table btrfs_table = { "btrfs", false, btrfs_keys,
	ARRAY_LEN(btrfs_keys) };

static int parse_options(struct btrfs *b, struct imbrex_error *err)
{
	int r = option_table_read(&btrfs_table, b->whole.config.options, b, err);

	if (r < 0 || !b->size_bytes || b->size_bytes >= b->min_space_bytes)
		return r;
	return fail(err, IMBREX_EINVAL,
		"option btrfs.size: %" PRIu64 " bytes are less than btrfs.min_space, %" PRIu64,
		b->size_bytes, b->min_space_bytes);
}

static int check_file_system(struct btrfs *b, int graph, struct imbrex_error *err)
{
	uint32_t magic;
	int r;

	r = fs_magic(graph, &magic);
	if (r < 0)
		return fail_code(err, r, "file system of '%s'", b->whole.config.graphroot);
	if (magic != FS_MAGIC_BTRFS)
		return fail(err, IMBREX_ENOTSUP,
			"the driver btrfs needs btrfs, and '%s' lies on %s",
			b->whole.config.graphroot, fs_name(magic));
	if (b->whole.config.imagestore)
		return fail(err, IMBREX_ENOTSUP,
			"the driver btrfs keeps all layers in one place: it has no 'imagestore'");
	return 0;
}

/* A link in place of one of these directories is somebody's trap, not ours. */
static int open_home(struct btrfs *b, int dirfd, const char *name, const char *path, int *ret,
	struct imbrex_error *err)
{
	if (!b->whole.config.read_only && mkdirat(dirfd, name, 0700) < 0 && errno != EEXIST)
		return fail_errno(err, "create '%s'", path);
	*ret = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*ret >= 0 || (errno == ENOENT && b->whole.config.read_only))
		return 0;
	if (errno == ELOOP || errno == ENOTDIR)
		return fail(err, IMBREX_EFORMAT, "'%s' is not a directory", path);
	return fail_errno(err, "open '%s'", path);
}

static int setup(struct btrfs *b, struct imbrex_error *err)
{
	AUTO_FREE char *home = format_text("%s/btrfs", b->whole.config.graphroot);
	AUTO_CLOSE int graph = -EBADF;
	int r;

	b->path = format_text("%s/btrfs/subvolumes", b->whole.config.graphroot);
	if (!home || !b->path)
		return fail_nomem(err);
	graph = open_root_dir_at(AT_FDCWD, b->whole.config.graphroot, err);
	if (graph < 0)
		return graph;
	r = check_file_system(b, graph, err);
	if (r == 0)
		r = parse_options(b, err);
	if (r == 0)
		r = open_home(b, graph, "btrfs", home, &b->home, err);
	return r < 0 || b->home < 0
		       ? r
		       : open_home(b, b->home, "subvolumes", b->path, &b->subvolumes, err);
}

static void btrfs_close(struct driver *d)
{
	struct btrfs *b = btrfs_of(d);

	whole_done(&b->whole);
	(void)close_fd(b->subvolumes);
	(void)close_fd(b->home);
	free(b->path);
	free(b);
}

int btrfs_open_layer(struct btrfs *b, const char *id, char **ret_path, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = -EBADF;
	int r = whole_check_id(id, err);

	if (r < 0)
		return r;
	if (b->subvolumes < 0)
		return fail(err, IMBREX_ENOENT, "layer %s: no directory in '%s'", id, b->path);
	fd = whole_open_at(b->subvolumes, b->path, id, err);
	if (fd >= 0 && ret_path) {
		*ret_path = format_text("%s/%s", b->path, id);
		if (!*ret_path)
			return fail_nomem(err);
	}
	return take_fd(fd);
}

static int open_tree_of(struct whole *w, const char *id, struct imbrex_error *err)
{
	return btrfs_open_layer(btrfs_of(&w->base), id, NULL, err);
}

static int btrfs_open(
	const struct driver_config *config, struct driver **ret, struct imbrex_error *err)
{
	struct btrfs *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return fail_nomem(err);
	whole_init(&b->whole, &btrfs_ops, config, open_tree_of);
	b->whole.in_userns = config->rootless || !in_initial_userns();
	b->home = b->subvolumes = -EBADF;
	r = setup(b, err);
	if (r < 0) {
		btrfs_close(&b->whole.base);
		return r;
	}
	*ret = &b->whole.base;
	return 0;
}

/* ---- what there is --------------------------------------------------------------------------- */

static int btrfs_list(struct driver *d, struct strv *ret, struct imbrex_error *err)
{
	struct btrfs *b = btrfs_of(d);

	return b->subvolumes < 0 ? 0 : whole_list_at(b->subvolumes, b->path, ret, err);
}

static int btrfs_sync_homes(struct driver *d, struct imbrex_error *err)
{
	struct btrfs *b = btrfs_of(d);
	int r = b->whole.config.read_only ? 0 : sync_dir(b->subvolumes);

	return r < 0 ? fail_code(err, r, "sync '%s'", b->path) : 0;
}

/* ---- what is wrong --------------------------------------------------------------------------- */

static int btrfs_check(struct driver *d, const char *id, const char *parent_id,
	driver_problem_fn fn, void *ctx, struct imbrex_error *err)
{
	struct btrfs *b = btrfs_of(d);
	struct imbrex_error why = { 0 };
	AUTO_CLOSE int fd = -EBADF;
	int r;

	fd = btrfs_open_layer(b, id, NULL, &why);
	if (fd < 0)
		return fn(ctx,
			&(struct driver_problem){
				.kind = DRIVER_PROBLEM_ABSENT, .text = why.message },
			err);
	r = btrfs_limit_is_junk(b, id, err);
	if (r <= 0)
		return r;
	return fn(ctx,
		&(struct driver_problem){ .kind = DRIVER_PROBLEM_DIRECTORY,
			.text = "its quota file says no number of bytes: no limit is set" },
		err);
}

static int btrfs_repair(
	struct driver *d, const char *id, const char *parent_id, struct imbrex_error *err)
{
	struct btrfs *b = btrfs_of(d);
	AUTO_CLOSE int fd = btrfs_open_layer(b, id, NULL, err);
	int r;

	if (fd < 0)
		return fd;
	r = btrfs_limit_is_junk(b, id, err);
	return r <= 0 ? r : btrfs_limit_record(b, id, 0, /* sync= */ true, err);
}

static int btrfs_garbage(
	struct driver *d, bool collect, driver_problem_fn fn, void *ctx, struct imbrex_error *err)
{
	return btrfs_limit_garbage(btrfs_of(d), collect, fn, ctx, err);
}

/* ---- facts ----------------------------------------------------------------------------------- */

static int btrfs_status(struct driver *d, struct strv *ret, struct imbrex_error *err)
{
	static const char *const words[] = {
		[QUOTA_OFF] = "off", [QUOTA_FULL] = "full", [QUOTA_SIMPLE] = "simple"
	};
	struct btrfs *b = btrfs_of(d);
	enum quota_kind kind;
	int r;

	/* podman's two lines; there is no library behind ours. */
	r = strv_add(ret, "Build Version=Btrfs, by the kernel's calls");
	if (r == 0)
		r = strv_add(ret, "Library Version=none");
	if (r == 0)
		r = strv_addf(ret, "Quota Groups=%s",
			b->home >= 0 && quota_read(b->home, &kind) == 0 ? words[kind] : "unknown");
	return r < 0 ? fail_nomem(err) : 0;
}

static int btrfs_metadata(
	struct driver *d, const char *id, struct strv *ret, struct imbrex_error *err)
{
	return whole_check_id(id, err);
}

static int btrfs_locate(
	struct driver *d, const char *path, struct driver_place *ret, struct imbrex_error *err)
{
	struct btrfs *b = btrfs_of(d);
	char dir[NAME_MAX + 1];
	char id[NAME_MAX + 1];

	if (!path_word(&path, dir, sizeof(dir)))
		return place_set(ret, "", "directory", "", err);
	if (str_eq(dir, "tempdirs"))
		return place_set(ret, "", "temporary", "", err);
	if ((!str_eq(dir, "subvolumes") && !str_eq(dir, "quotas")) ||
		!path_word(&path, id, sizeof(id)) || whole_check_id(id, NULL) < 0 ||
		!is_dir_at(b->subvolumes, id))
		return place_set(ret, "", "other", "", err);
	if (str_eq(dir, "quotas"))
		return place_set(ret, id, "record", "", err);
	return place_set(ret, id, "content", *path ? path : "/", err);
}

const struct driver_ops btrfs_ops = {
	.name = "btrfs",
	.independent = false,
	.mount_tail = "/merged",
	.in_place = true,
	.open = btrfs_open,
	.close = btrfs_close,
	.create = btrfs_create,
	.stage_new = btrfs_stage_new,
	.stage_copy = btrfs_stage_copy,
	.stage_entries = whole_stage_entries,
	.stage_seal = whole_stage_seal,
	.stage_map = whole_stage_map,
	.stage_rebase = whole_stage_rebase,
	.stage_publish = btrfs_stage_publish,
	.stage_replace = btrfs_stage_replace,
	.stage_free = btrfs_stage_free,
	.remove = btrfs_remove,
	.shifts = whole_shifts,
	.mount = btrfs_mount,
	.unmount = btrfs_unmount,
	.open_file = whole_open_file,
	.open_tree = whole_open_tree,
	.diff = whole_diff,
	.changes = whole_changes,
	.diff_size = whole_diff_size,
	.list = btrfs_list,
	.exists = whole_exists,
	.sync_homes = btrfs_sync_homes,
	.check = btrfs_check,
	.repair = btrfs_repair,
	.garbage = btrfs_garbage,
	.tree_open = whole_tree_open,
	.tree_close = whole_tree_close,
	.status = btrfs_status,
	.locate = btrfs_locate,
	.holds = whole_holds,
	.metadata = btrfs_metadata,
};
