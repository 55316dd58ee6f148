/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trees of datasets: as views for ourselves, which nobody else sees and which end with their
 * descriptors, and as mounts at zfs/graph/<id> for others.
 *
 * All mounts of one dataset are one file system. One that another program has remounted read-only
 * as a whole (containers/storage does so for what it only reads) can be viewed read-only only.
 */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/hex.h"
#include "driver/zfs.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "os/mountfd.h"
#include "os/probe.h"

/* ---- views ----------------------------------------------------------------------------- */

/* A mount that is nowhere lives as long as a descriptor of something in it. */
int zfs_view_open(
	struct zfs_driver *d, const struct zfs_name *name, bool read_only, struct imbrex_error *err)
{
	static const char *const whole[] = { "ro" };
	const uint64_t attrs = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC |
			       (read_only ? MOUNT_ATTR_RDONLY : 0);
	AUTO_CLOSE int mount = -EBADF;
	int fd;

	mount = mount_new("zfs", name->text, (struct mount_options){ 0 }, attrs, err);
	if (mount == IMBREX_EBUSY && read_only)
		mount = mount_new(
			"zfs", name->text, (struct mount_options){ whole, 1 }, attrs, err);
	if (mount < 0)
		return wrap(err, mount, "ZFS dataset '%s'", name->text);
	fd = openat(mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? fail_errno(err, "ZFS dataset '%s': open its root directory", name->text)
		      : fd;
}

int zfs_layer_view(struct whole *w, const char *id, struct imbrex_error *err)
{
	struct zfs_driver *d = zfs_of(&w->base);
	struct zfs_name name;
	int r;

	r = zfs_layer_name(d, id, &name, err);
	if (r == 0)
		r = zfs_view_open(d, &name, /* read_only= */ true, err);
	return r < 0 ? wrap(err, r, "layer %s", id) : r;
}

int zfs_prepare_root(int fd, const struct driver_layer_opts *opts, struct imbrex_error *err)
{
	if (fchmod(fd, 0555) < 0)
		return fail_errno(err, "set mode of a new layer");
	return whole_prepare_root(fd, opts, /* fresh= */ true, err);
}

/* ---- mounts ---------------------------------------------------------------------------- */

/*
 * zfs/graph, found anew each time: whoever mounts the driver's directory on itself (podman does)
 * hides what hangs on the directory below.
 */
static int open_graph(struct zfs_driver *d, bool make, struct imbrex_error *err)
{
	AUTO_CLOSE int home = open_root_dir_at(AT_FDCWD, d->home, err);
	int r;

	if (home < 0)
		return home;
	r = make ? mkdir_at(home, "graph", 0755, err) : 0;
	return r < 0 ? r : open_dir_at(home, "graph", err);
}

struct how {
	struct strv options; /* for the file system; owned */
	uint64_t attrs;
};

static void how_done(struct how *h)
{
	strv_done(&h->options);
}
#define AUTO_HOW __attribute__((cleanup(how_done))) struct how

static int choose_how(struct zfs_driver *d, const struct driver_mount_opts *opts, struct how *ret)
{
	const struct strv *words = opts->options ? opts->options : &d->mount_options;
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < words->n; i++)
		if (*words->items[i] && !mount_attr_from_word(words->items[i], &ret->attrs))
			r = strv_add(&ret->options, words->items[i]);
	if (opts->read_only)
		ret->attrs |= MOUNT_ATTR_RDONLY;
	if (r == 0 && opts->label && *opts->label && selinux_is_on())
		r = strv_addf(&ret->options, "context=%s", opts->label);
	return r;
}

static int mount_dataset(struct zfs_driver *d, const struct zfs_name *name, int graph,
	const char *id, const struct driver_mount_opts *opts, struct imbrex_error *err)
{
	AUTO_HOW how = { 0 };
	AUTO_CLOSE int fd = -EBADF;

	if (choose_how(d, opts, &how) < 0)
		return fail_nomem(err);
	fd = mount_new("zfs", name->text,
		(struct mount_options){ (const char *const *)how.options.items, how.options.n },
		how.attrs, err);
	if (fd < 0)
		return wrap(err, fd, "ZFS dataset '%s'", name->text);
	return mount_attach(fd, graph, id, err);
}

/* What is mounted there already is a layer's, or in the way. */
static int check_mounted(int graph, const char *id, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = open_dir_at(graph, id, err);
	uint32_t magic = 0;

	if (fd < 0)
		return fd;
	if (fs_magic(fd, &magic) == 0 && magic == FS_MAGIC_ZFS)
		return 0;
	return fail(err, IMBREX_EBUSY, "layer %s: something else is mounted in its place", id);
}

int zfs_mount_layer(struct driver *base, const char *id, const struct driver_mount_opts *opts,
	char **ret_path, struct imbrex_error *err)
{
	struct zfs_driver *d = zfs_of(base);
	AUTO_FREE char *path = format_text("%s/graph/%s", d->home, id);
	AUTO_CLOSE int graph = -EBADF;
	struct zfs_name name;
	int r;

	r = path ? zfs_layer_name(d, id, &name, err) : fail_nomem(err);
	if (r < 0)
		return r;
	graph = open_graph(d, /* make= */ true, err);
	if (graph < 0)
		return graph;
	r = mkdir_at(graph, id, 0755, err);
	if (r < 0)
		return r;
	if (is_mount_point(graph, id) > 0) {
		r = check_mounted(graph, id, err);
	} else {
		r = mount_dataset(d, &name, graph, id, opts, err);
		if (r < 0)
			(void)unlinkat(graph, id, AT_REMOVEDIR);
	}
	if (r < 0)
		return wrap(err, r, "layer %s", id);
	*ret_path = take_ptr(path);
	return 0;
}

int zfs_unmount_layer(struct driver *base, const char *id, struct imbrex_error *err)
{
	struct zfs_driver *d = zfs_of(base);
	AUTO_CLOSE int graph = -EBADF;
	struct zfs_name name;
	int r;

	r = zfs_layer_name(d, id, &name, err);
	if (r < 0)
		return r;
	graph = open_graph(d, /* make= */ false, err);
	if (graph == IMBREX_ENOENT)
		return 0;
	if (graph < 0)
		return graph;
	r = unmount_at(graph, id, /* detach= */ true, err);
	if (r < 0 && r != IMBREX_ENOENT)
		return wrap(err, r, "layer %s", id);
	/* Where it stays, gc takes it. */
	(void)unlinkat(graph, id, AT_REMOVEDIR);
	return 0;
}

/* Negative, or told and (to collect) removed. */
static int stale_mountpoint(struct zfs_driver *d, int graph, const char *id, bool collect,
	driver_problem_fn fn, void *ctx, struct imbrex_error *err)
{
	AUTO_FREE char *path = format_text("%s/graph/%s", d->home, id);
	const struct driver_problem p = { .kind = DRIVER_PROBLEM_LEFTOVER,
		.path = path,
		.text = "an empty directory, left by a mount" };

	if (!path)
		return fail_nomem(err);
	if (is_mount_point(graph, id) != 0)
		return 0;
	/* Only an empty one is ours; to find out means to remove it. */
	if (collect && unlinkat(graph, id, AT_REMOVEDIR) < 0)
		return 0;
	return fn(ctx, &p, err);
}

int zfs_garbage_mountpoints(struct zfs_driver *d, bool collect, driver_problem_fn fn, void *ctx,
	struct imbrex_error *err)
{
	AUTO_CLOSE int graph = open_graph(d, /* make= */ false, err);
	int fd = graph < 0 ? -EBADF : openat(graph, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	int r = 0;

	if (graph == IMBREX_ENOENT)
		return 0;
	if (graph < 0)
		return graph;
	if (!dir) {
		(void)close_fd(fd);
		return fail_errno(err, "read '%s/graph'", d->home);
	}
	while (r >= 0 && (e = readdir(dir)) != NULL)
		if (e->d_name[0] != '.' && id_is_valid(e->d_name))
			r = stale_mountpoint(d, graph, e->d_name, collect, fn, ctx, err);
	(void)closedir(dir);
	return r < 0 ? r : 0;
}
