/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The overlay driver: a layer is a directory with its own changes, a chain is an overlay mount.
 *
 * Source: docs/formats/overlay-layer.md, "overlay".
 */
#include "driver/overlay.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "os/userns.h"

static int add_home(struct overlay *o, const char *root, bool make, struct imbrex_error *err)
{
	struct overlay_home *homes, *h;
	int fd, r;

	homes = realloc(o->homes, (o->n_homes + 1) * sizeof(*homes));
	if (!homes)
		return fail_nomem(err);
	o->homes = homes;
	h = &homes[o->n_homes];
	h->path = format_text("%s/overlay", root);
	if (!h->path)
		return fail_nomem(err);
	if (make) {
		r = mkdirs_at(AT_FDCWD, h->path, 0700, err);
		if (r < 0) {
			free(h->path);
			return r;
		}
	}
	fd = open_root_dir_at(AT_FDCWD, h->path, err);
	if (fd < 0) {
		free(h->path);
		return fd;
	}
	h->fd = fd;
	h->links = -EBADF;
	o->n_homes++;
	return 0;
}

static int add_own_home(struct overlay *o, const char *root, struct imbrex_error *err)
{
	bool read_only = o->config.read_only;
	struct overlay_home *h;
	int r;

	r = add_home(o, root, !read_only, err);
	if (r < 0)
		return r;
	h = &o->homes[o->n_own++];
	if (!read_only) {
		r = mkdir_at(h->fd, "l", 0755, err);
		if (r < 0)
			return wrap(err, r, "in '%s'", h->path);
	}
	r = openat(h->fd, "l", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (r < 0 && !(read_only && errno == ENOENT))
		return fail_errno(err, "open '%s/l'", h->path);
	h->links = r;
	return 0;
}

size_t overlay_home_of(const struct overlay *o, int dirfd)
{
	struct stat ours;
	struct stat asked;
	size_t i;

	for (i = 1; i < o->n_own; i++) {
		if (fstat(dirfd, &asked) == 0 && fstat(o->homes[i].fd, &ours) == 0 &&
			asked.st_dev == ours.st_dev && asked.st_ino == ours.st_ino)
			return i;
	}
	return 0;
}

static int open_runhome(struct overlay *o, struct imbrex_error *err)
{
	AUTO_FREE char *path = format_text("%s/overlay", o->config.runroot);
	int r;

	if (!path)
		return fail_nomem(err);
	r = mkdirs_at(AT_FDCWD, path, 0700, err);
	if (r < 0)
		return r;
	r = open_root_dir_at(AT_FDCWD, path, err);
	if (r < 0)
		return r;
	o->runhome = r;
	return 0;
}

static void overlay_close(struct driver *d)
{
	struct overlay *o = overlay_of(d);
	size_t i;

	overlay_stop_reading(o);
	for (i = 0; i < o->n_homes; i++) {
		(void)close_fd(o->homes[i].links);
		(void)close_fd(o->homes[i].fd);
		free(o->homes[i].path);
	}
	free(o->homes);
	(void)close_fd(o->runhome);
	overlay_options_done(&o->options);
	free(o);
}

static int overlay_setup(struct overlay *o, struct imbrex_error *err)
{
	const struct driver_config *config = &o->config;
	size_t i;
	int r;

	r = overlay_options_parse(&o->options, config->options, err);
	if (r < 0)
		return r;
	r = add_own_home(o, config->graphroot, err);
	if (r == 0 && config->imagestore)
		r = add_own_home(o, config->imagestore, err);
	if (r == IMBREX_ENOENT && config->read_only && o->n_own)
		r = 0; /* nothing was ever kept there */
	if (r < 0)
		return r;
	for (i = 0; i < o->options.image_stores.n; i++) {
		struct imbrex_error ignored;

		r = add_home(o, o->options.image_stores.items[i], false, &ignored);
		if (r < 0 && r != IMBREX_ENOENT) {
			if (err)
				*err = ignored;
			return r;
		}
	}
	if (config->read_only)
		return 0;
	r = open_runhome(o, err);
	if (r == 0)
		r = overlay_probe_support(o, err);
	return r < 0 ? r : overlay_quota_open(o, err);
}

/* Where the driver does not work, a home without layers goes again: it would decide about the
 * driver the next time. */
static void forget_home(struct overlay *o)
{
	if (o->config.read_only || !o->n_homes || unlinkat(o->homes[0].fd, "l", AT_REMOVEDIR) < 0)
		return;
	(void)unlinkat(o->homes[0].fd, "tempdirs", AT_REMOVEDIR);
	(void)unlinkat(o->homes[0].fd, ".has-mount-program", 0);
	(void)rmdir(o->homes[0].path);
}

static int overlay_open(
	const struct driver_config *config, struct driver **ret, struct imbrex_error *err)
{
	struct overlay *o = calloc(1, sizeof(*o));
	int r;

	if (!o)
		return fail_nomem(err);
	o->base.ops = &overlay_ops;
	o->config = *config;
	o->runhome = o->reading_diff = -EBADF;
	o->in_userns = config->rootless || !in_initial_userns();
	r = overlay_setup(o, err);
	if (r < 0) {
		if (r == IMBREX_ENOTSUP)
			forget_home(o);
		overlay_close(&o->base);
		return r;
	}
	*ret = &o->base;
	return 0;
}

void overlay_search_link(
	struct overlay *o, size_t home, const char *id, char ret[OVERLAY_LINK_LEN + 1])
{
	int fd = openat(o->homes[home].links, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct imbrex_error ignored;
	const struct dirent *d;

	ret[0] = 0;
	if (!dir) {
		(void)close_fd(fd);
		return;
	}
	while (!ret[0] && (d = readdir(dir)) != NULL) {
		AUTO_STR target = STR_INIT(4096);

		if (overlay_is_link_name(d->d_name, strlen(d->d_name)) &&
			overlay_link_target(o, home, d->d_name, &target, &ignored) == 0 &&
			str_eq(str_text(&target), id))
			memcpy(ret, d->d_name, OVERLAY_LINK_LEN + 1);
	}
	(void)closedir(dir);
}

/* Name in l/ that leads to layer `id` of one of our homes; "" if there is none. A `link` file that
 * names another layer's link is not believed. */
static void find_link(
	struct overlay *o, size_t home, const char *id, char ret[OVERLAY_LINK_LEN + 1])
{
	AUTO_OVERLAY_LAYER layer = OVERLAY_LAYER_INIT;
	AUTO_STR target = STR_INIT(4096);
	struct imbrex_error ignored;

	ret[0] = 0;
	if (o->homes[home].links < 0)
		return;
	if (overlay_layer_open(o, id, &layer, &ignored) == 0 && layer.home == home &&
		overlay_layer_read(id, &layer, &ignored) == 0 &&
		overlay_link_target(o, home, layer.link, &target, &ignored) == 0 &&
		str_eq(str_text(&target), id))
		memcpy(ret, layer.link, OVERLAY_LINK_LEN + 1);
	else
		overlay_search_link(o, home, id, ret);
}

int overlay_remove(
	struct driver *d, const char *id, struct tempdir *trash, struct imbrex_error *err)
{
	struct overlay *o = overlay_of(d);
	char link[OVERLAY_LINK_LEN + 1];
	/* Peers bind the home onto itself, and undo it, at any time: see tempdir_parent_fd(). */
	int home = tempdir_parent_fd(trash);
	AUTO_CLOSE int links = -EBADF;
	AUTO_CLOSE int layer = -EBADF;
	int r;

	r = overlay_check_id(id, err);
	if (r < 0)
		return r;
	overlay_stop_reading(o);
	find_link(o, overlay_home_of(o, home), id, link);
	links = link[0] ? open_dir_at(home, "l", err) : -EBADF;
	if (links >= 0) {
		r = tempdir_stage_deletion(trash, links, link, err);
		if (r < 0 && r != IMBREX_ENOENT)
			return wrap(err, r, "layer %s", id);
	}
	layer = openat(home, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = tempdir_stage_deletion(trash, home, id, err);
	if (r < 0 && r != IMBREX_ENOENT)
		return wrap(err, r, "layer %s", id);
	if (r == 0 && layer >= 0) {
		overlay_additional_removed(o, layer);
		overlay_release_limit(o, layer);
	}
	return 0;
}

static int list_home(const struct overlay_home *home, struct strv *ret, struct imbrex_error *err)
{
	int fd = openat(home->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct imbrex_error ignored;
	const struct dirent *e;
	int r = 0;

	if (!dir) {
		(void)close_fd(fd);
		return fail_errno(err, "read '%s'", home->path);
	}
	while (r == 0 && (e = readdir(dir)) != NULL) {
		if (overlay_check_id(e->d_name, &ignored) < 0)
			continue;
		if (e->d_type == DT_DIR ||
			(e->d_type == DT_UNKNOWN && is_dir_at(home->fd, e->d_name)))
			r = strv_add(ret, e->d_name);
	}
	(void)closedir(dir);
	return r < 0 ? fail_nomem(err) : 0;
}

static int overlay_list(struct driver *d, struct strv *ret, struct imbrex_error *err)
{
	struct overlay *o = overlay_of(d);
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < o->n_own; i++)
		r = list_home(&o->homes[i], ret, err);
	return r;
}

static bool overlay_exists(struct driver *d, const char *id)
{
	AUTO_OVERLAY_LAYER layer = OVERLAY_LAYER_INIT;
	struct imbrex_error ignored;

	return overlay_layer_open(overlay_of(d), id, &layer, &ignored) == 0;
}

static int overlay_sync_homes(struct driver *d, struct imbrex_error *err)
{
	struct overlay *o = overlay_of(d);
	size_t i;
	int r;

	for (i = 0; i < o->n_own && !o->config.read_only; i++) {
		r = sync_dir(o->homes[i].fd);
		if (r == 0)
			r = sync_dir(o->homes[i].links);
		if (r < 0)
			return fail_code(err, r, "sync '%s'", o->homes[i].path);
	}
	return 0;
}

const struct driver_ops overlay_ops = {
	.name = "overlay",
	.independent = true,
	.mount_tail = "/merged",
	.open = overlay_open,
	.close = overlay_close,
	.stage_new = overlay_stage_new,
	.find_additional = overlay_additional_find,
	.release_additional = overlay_additional_release,
	.stage_point = overlay_stage_point,
	.stage_copy = overlay_stage_copy,
	.stage_entries = overlay_stage_entries,
	.stage_seal = overlay_stage_seal,
	.create = overlay_create,
	.stage_map = overlay_stage_map,
	.stage_rebase = overlay_stage_rebase,
	.stage_publish = overlay_stage_publish,
	.stage_replace = overlay_stage_replace,
	.stage_free = overlay_stage_free,
	.remove = overlay_remove,
	.shifts = overlay_shifts,
	.mount = overlay_mount,
	.unmount = overlay_unmount,
	.mounted_elsewhere = overlay_mounted_elsewhere,
	.retire = overlay_retire,
	.open_file = overlay_open_file,
	.open_tree = overlay_open_tree,
	.diff = overlay_diff,
	.changes = overlay_changes,
	.diff_size = overlay_diff_size,
	.list = overlay_list,
	.exists = overlay_exists,
	.sync_homes = overlay_sync_homes,
	.check = overlay_check,
	.repair = overlay_repair,
	.repair_mapped = overlay_repair_mapped,
	.garbage = overlay_garbage,
	.tree_open = overlay_tree_open,
	.tree_close = overlay_tree_close,
	.status = overlay_status,
	.locate = overlay_locate,
	.holds = overlay_holds,
	.metadata = overlay_metadata,
	.limits = overlay_limits,
};
