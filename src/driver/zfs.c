/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver zfs: who can have it, its options, where its datasets lie, and what it tells of
 * itself.
 *
 * Source: containers/storage, drivers/zfs/zfs.go; docs/formats/store.md, "zfs".
 */
#include "driver/zfs.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "driver/options.h"
#include "driver/where.h"
#include "os/fd.h"
#include "os/mountinfo.h"
#include "os/probe.h"

/* ---- options --------------------------------------------------------------------------- */

static int set_fsname(void *at, const char *name, const char *value, struct imbrex_error *err)
{
	return zfs_name_dataset(at, value, err);
}

static const struct option_key zfs_keys[] = {
	{ "fsname", set_fsname, offsetof(struct zfs_driver, fs) },
	{ "mountopt", option_set_words, offsetof(struct zfs_driver, mount_options) },
	{ "size", option_set_bytes, offsetof(struct zfs_driver, size_bytes) },
};
static const struct option_table zfs_table = { "zfs", false, zfs_keys, ARRAY_LEN(zfs_keys) };

/* ---- where the datasets lie ------------------------------------------------------------ */

/* The dataset that the graph root lies on. */
static int find_fsname(struct zfs_driver *d, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = open_root_dir_at(AT_FDCWD, d->whole.config.graphroot, err);
	AUTO_MOUNTINFO mounts = MOUNTINFO_INIT;
	uint32_t magic = 0;
	struct stat st;
	size_t i;
	int r;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return fail_errno(err, "stat '%s'", d->whole.config.graphroot);
	r = fs_magic(fd, &magic);
	if (r < 0)
		return fail_code(err, r, "statfs '%s'", d->whole.config.graphroot);
	if (magic != FS_MAGIC_ZFS) {
		r = fail(err, IMBREX_ENOTSUP, "'%s' lies on %s, not on zfs",
			d->whole.config.graphroot, fs_name(magic));
		return hint(err, r, "set zfs.fsname to the dataset that layers shall lie below");
	}
	r = mountinfo_read(&mounts, err);
	for (i = 0; r == 0 && i < mounts.n; i++) {
		const struct mount_entry *e = &mounts.entries[i];

		if (str_eq(e->fs_type, "zfs") && e->dev_major == major(st.st_dev) &&
			e->dev_minor == minor(st.st_dev))
			return zfs_name_dataset(&d->fs, e->source, err);
	}
	return r < 0 ? r
		     : fail(err, IMBREX_ENOTSUP, "no mount tells which ZFS dataset '%s' is on",
			       d->whole.config.graphroot);
}

/* FNV-1a: enough to tell the stores of one machine apart. */
static uint64_t hash_text(const char *text)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	return hash;
}

static int set_mark(struct zfs_driver *d, struct imbrex_error *err)
{
	d->graphroot = realpath(d->whole.config.graphroot, NULL);
	if (!d->graphroot)
		return fail_errno(err, "resolve '%s'", d->whole.config.graphroot);
	(void)snprintf(
		d->mark, sizeof(d->mark), ZFS_MARK_PREFIX "%016" PRIx64, hash_text(d->graphroot));
	return 0;
}

/* ---- open ------------------------------------------------------------------------------ */

static void zfs_driver_close(struct driver *base)
{
	struct zfs_driver *d = zfs_of(base);

	whole_done(&d->whole);
	zfs_close(d->z);
	strv_done(&d->mount_options);
	free(d->home);
	free(d->graphroot);
	free(d);
}

static int check_machine(const struct zfs_driver *d, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = -EBADF;

	if (d->whole.config.rootless || geteuid() != 0)
		return fail(err, IMBREX_ENOTSUP,
			"the driver zfs needs root: others may not mount datasets");
	if (d->whole.config.imagestore)
		return fail(err, IMBREX_ENOTSUP,
			"the driver zfs keeps no layers of images in a second root ('%s')",
			d->whole.config.imagestore);
	fd = open("/dev/zfs", O_RDWR | O_CLOEXEC);
	if (fd < 0 && (errno == ENOENT || errno == ENXIO || errno == ENODEV))
		return fail(err, IMBREX_ENOTSUP, "this kernel has no ZFS: there is no /dev/zfs");
	return fd < 0 ? fail_errno(err, "open /dev/zfs") : 0;
}

static int setup(struct zfs_driver *d, struct imbrex_error *err)
{
	static const struct zfs_options plain = { 0 };
	int r;

	r = option_table_read(&zfs_table, d->whole.config.options, d, err);
	if (r == 0)
		r = check_machine(d, err);
	if (r == 0 && !d->fs.text[0])
		r = find_fsname(d, err);
	if (r == 0)
		r = zfs_open(d->whole.config.zfs ? d->whole.config.zfs : &plain, &d->z, err);
	if (r == 0)
		r = zfs_exists(d->z, &d->fs, err);
	if (r == 0)
		return fail(
			err, IMBREX_ENOENT, "there is no ZFS dataset '%s' for layers", d->fs.text);
	if (r > 0)
		r = set_mark(d, err);
	if (r < 0)
		return r;
	d->home = format_text("%s/zfs", d->whole.config.graphroot);
	if (!d->home)
		return fail_nomem(err);
	return d->whole.config.read_only ? 0 : mkdirs_at(AT_FDCWD, d->home, 0700, err);
}

static int zfs_driver_open(
	const struct driver_config *config, struct driver **ret, struct imbrex_error *err)
{
	struct zfs_driver *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return fail_nomem(err);
	whole_init(&d->whole, &zfs_ops, config, zfs_layer_view);
	d->whole.same_inodes = true;
	r = setup(d, err);
	if (r < 0) {
		zfs_driver_close(&d->whole.base);
		return r;
	}
	*ret = &d->whole.base;
	return 0;
}

/* ---- facts ----------------------------------------------------------------------------- */

static int zfs_status(struct driver *base, struct strv *ret, struct imbrex_error *err)
{
	static const char *const names[] = { "used", "available", "quota", "compression" };
	struct zfs_driver *d = zfs_of(base);
	AUTO_FREE char *health = NULL;
	AUTO_STRV v = { 0 };
	int r;

	r = zfs_get_native(d->z, &d->fs, names, ARRAY_LEN(names), &v, err);
	if (r == 0)
		r = zfs_pool_health(d->z, &d->fs, &health, err);
	if (r < 0)
		return r;
	r = strv_addf(ret, "Zpool=%.*s", (int)strcspn(d->fs.text, "/"), d->fs.text);
	if (r == 0)
		r = strv_addf(ret, "Zpool Health=%s", health);
	if (r == 0)
		r = strv_addf(ret, "Parent Dataset=%s", d->fs.text);
	if (r == 0)
		r = strv_addf(ret, "Space Used By Parent=%s", v.items[0]);
	if (r == 0)
		r = strv_addf(ret, "Space Available=%s", v.items[1]);
	if (r == 0)
		r = strv_addf(ret, "Parent Quota=%s", str_eq(v.items[2], "0") ? "no" : v.items[2]);
	if (r == 0)
		r = strv_addf(ret, "Compression=%s", v.items[3]);
	return r < 0 ? fail_nomem(err) : 0;
}

static int zfs_metadata(
	struct driver *base, const char *id, struct strv *ret, struct imbrex_error *err)
{
	struct zfs_driver *d = zfs_of(base);
	struct zfs_name name;
	int r;

	r = zfs_layer_name(d, id, &name, err);
	if (r < 0)
		return r;
	r = strv_addf(ret, "Mountpoint=%s/graph/%s", d->home, id);
	if (r == 0)
		r = strv_addf(ret, "Dataset=%s", name.text);
	return r < 0 ? fail_nomem(err) : 0;
}

static int zfs_locate(
	struct driver *base, const char *path, struct driver_place *ret, struct imbrex_error *err)
{
	char dir[NAME_MAX + 1];
	char id[NAME_MAX + 1];

	if (!path_word(&path, dir, sizeof(dir)))
		return place_set(ret, "", "directory", "", err);
	if (str_eq(dir, "tempdirs"))
		return place_set(ret, "", "temporary", "", err);
	if (!str_eq(dir, "graph") || !path_word(&path, id, sizeof(id)) ||
		!zfs_layer_exists(base, id))
		return place_set(ret, "", "other", "", err);
	return place_set(ret, id, "content", *path ? path : "/", err);
}

/* Datasets are on disk when they have their names. */
static int zfs_sync_homes(struct driver *d, struct imbrex_error *err)
{
	return 0;
}

const struct driver_ops zfs_ops = {
	.name = "zfs",
	.independent = false,
	.mount_tail = "",
	.open = zfs_driver_open,
	.close = zfs_driver_close,
	.create = zfs_create_layer,
	.stage_new = zfs_stage_new,
	.stage_copy = zfs_stage_copy,
	.stage_entries = whole_stage_entries,
	.stage_seal = whole_stage_seal,
	.stage_map = whole_stage_map,
	.stage_rebase = zfs_stage_rebase,
	.stage_publish = zfs_stage_publish,
	.stage_replace = zfs_stage_replace,
	.stage_free = zfs_stage_free,
	.remove = zfs_remove_layer,
	/* The kernel could, since OpenZFS 2.2; podman does not ask it to. */
	.shifts = whole_shifts,
	.mount = zfs_mount_layer,
	.unmount = zfs_unmount_layer,
	.open_file = whole_open_file,
	.open_tree = whole_open_tree,
	.diff = whole_diff,
	.changes = whole_changes,
	.diff_size = whole_diff_size,
	.list = zfs_list_layers,
	.exists = zfs_layer_exists,
	.sync_homes = zfs_sync_homes,
	.check = zfs_check,
	.repair = zfs_repair,
	.garbage = zfs_garbage,
	.tree_open = whole_tree_open,
	.tree_close = whole_tree_close,
	.status = zfs_status,
	.locate = zfs_locate,
	.holds = whole_holds,
	.metadata = zfs_metadata,
};
