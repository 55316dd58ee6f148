/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a layer to a path: the overlay mount of its chain, and its end.
 *
 * The mount is made detached and attached last, so a failure leaves nothing mounted. Who counts
 * mounts is the store: a second mount finds the first.
 *
 * Source: docs/formats/overlay-layer.md, "overlay"; overlayfs.rst of Linux.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "driver/overlay_plan.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "os/mountfd.h"
#include "os/probe.h"

static void plan_done(struct overlay_plan *p)
{
	overlay_layer_done(&p->layer);
	overlay_words_done(&p->words);
	strv_done(&p->lowers);
	free(p->dir);
	free(p->upper);
	free(p->work);
	free(p->target);
	(void)close_fd(p->mounts);
}
#define AUTO_PLAN __attribute__((cleanup(plan_done))) struct overlay_plan
#define PLAN_INIT                                             \
	{                                                     \
		.layer = OVERLAY_LAYER_INIT, .mounts = -EBADF \
	}

/* Where `merged` lies: in the layer, or below the run directory for layers we may not write. */
static int plan_target(
	struct overlay *o, const char *id, struct overlay_plan *p, struct imbrex_error *err)
{
	AUTO_FREE char *dir = NULL;
	int r;

	if (p->layer.home == 0 && !o->config.read_only) {
		dir = strdup(p->dir);
		p->mounts = fcntl(p->layer.fd, F_DUPFD_CLOEXEC, 3);
		if (p->mounts < 0)
			return fail_errno(err, "layer %s: open", id);
	} else {
		dir = format_text("%s/overlay/%s", o->config.runroot, id);
		if (!dir)
			return fail_nomem(err);
		r = mkdirs_at(AT_FDCWD, dir, 0700, err);
		if (r < 0)
			return r;
		r = open_dir_at(AT_FDCWD, dir, err);
		if (r < 0)
			return r;
		p->mounts = r;
	}
	p->target = dir ? format_text("%s/merged", dir) : NULL;
	if (!p->target)
		return fail_nomem(err);
	r = mkdir_at(p->mounts, "merged", 0700, err);
	return r < 0 ? wrap(err, r, "layer %s", id) : 0;
}

static int plan_words(struct overlay *o, const struct driver_mount_opts *opts,
	struct overlay_plan *p, struct imbrex_error *err)
{
	static const char metacopy[] = "metacopy=on";
	bool replaced = opts->options && opts->options->n;
	ptrdiff_t at;
	size_t i;
	int r = 0;

	for (i = 0; replaced && r == 0 && i < opts->options->n; i++)
		r = overlay_words_add(&p->words, opts->options->items[i], err);
	if (!replaced)
		r = overlay_words_add(&p->words, o->options.mountopt, err);
	if (r < 0)
		return r;
	/* The kernel refuses to follow what it wrote with that option unless it is there again. */
	at = strv_find(&p->words.options, metacopy);
	if (at < 0 && replaced && overlay_uses_metacopy(o) &&
		strv_add(&p->words.options, metacopy) < 0)
		return fail_nomem(err);
	if (at >= 0 && overlay_probe_metacopy(o) == 0)
		strv_remove(&p->words.options, (size_t)at);
	p->label = opts->label && *opts->label && selinux_is_on() ? opts->label : NULL;
	p->is_volatile =
		(opts->volatile_upper || p->words.is_volatile) && overlay_probe_volatile(o) > 0;
	return 0;
}

/* The writable top: diff belongs to root, work exists and does not remember a volatile mount. */
static int prepare_upper(struct overlay *o, const char *id, const struct driver_mount_opts *opts,
	struct overlay_plan *p, struct imbrex_error *err)
{
	AUTO_CLOSE int diff = -EBADF;
	struct id_pair root;
	struct stat st;
	int r;

	/* A mount program maps the upper directory, too. */
	r = id_maps_root(p->maps && o->options.mount_program ? NULL : opts->maps, &root);
	if (r < 0)
		return fail(err, IMBREX_EINVAL, "layer %s: the identity map has no root", id);
	diff = openat(p->layer.fd, "diff", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (diff < 0 || fstat(diff, &st) < 0)
		return fail_errno(err, "layer %s: open 'diff'", id);
	if ((st.st_uid != root.uid || st.st_gid != root.gid) &&
		fchown(diff, root.uid, root.gid) < 0 && !o->config.single_id)
		return fail_errno(err, "layer %s: set owner of 'diff'", id);
	r = mkdir_at(p->layer.fd, "work", 0700, err);
	if (r == 0)
		r = remove_tree_at(p->layer.fd, "work/work/incompat/volatile", err);
	if (r < 0)
		return wrap(err, r, "layer %s", id);
	p->upper = format_text("%s/diff", p->dir);
	p->work = format_text("%s/work", p->dir);
	return p->upper && p->work ? 0 : fail_nomem(err);
}

static int plan_lowers(struct overlay *o, const char *id, bool read_only, struct overlay_plan *p,
	struct imbrex_error *err)
{
	size_t least = read_only ? 2 : 1;
	AUTO_FREE char *diff = NULL;
	int r;

	if (read_only) {
		r = overlay_diff_path(o, p->dir, id, p->layer.fd, &diff, err);
		if (r < 0)
			return r;
		if (strv_take(&p->lowers, take_ptr(diff)) < 0)
			return fail_nomem(err);
	}
	r = overlay_lowers_of(o, id, &p->layer, &p->lowers, err);
	if (r < 0)
		return r;
	/* The kernel wants two directories at least. */
	if (p->lowers.n < least) {
		if (p->layer.home == 0 && !o->config.read_only)
			r = mkdir_at(p->layer.fd, "empty", 0700, err);
		if (r < 0)
			return wrap(err, r, "layer %s", id);
		if (strv_addf(&p->lowers, "%s/empty", p->dir) < 0)
			return fail_nomem(err);
	}
	if (p->lowers.n > OVERLAY_LOWERS_MAX)
		return fail(err, IMBREX_ELIMIT, "layer %s: %zu directories below it, limit is %d",
			id, p->lowers.n, OVERLAY_LOWERS_MAX);
	return 0;
}

static int native_mount(
	struct overlay *o, const char *id, const struct overlay_plan *p, struct imbrex_error *err)
{
	int fd = overlay_mount_new(
		&(struct overlay_spec){
			.lowers = (const char *const *)p->lowers.items,
			.n_lowers = p->lowers.n,
			.upper = p->upper,
			.work = p->work,
			.userxattr = o->in_userns,
			.is_volatile = p->is_volatile && p->upper,
			.label = p->label,
			.options = { (const char *const *)p->words.options.items,
				p->words.options.n },
			.attrs = p->words.attrs,
		},
		err);

	return fd < 0 ? wrap(err, fd, "layer %s", id) : fd;
}

static int native_attach(
	struct overlay *o, const char *id, struct overlay_plan *p, struct imbrex_error *err)
{
	AUTO_OVERLAY_SHIFT shift = OVERLAY_SHIFT_INIT;
	AUTO_CLOSE int fd = -EBADF;
	int r;

	if (p->maps) {
		r = overlay_shift_lowers(o, p->maps, p->mounts, &p->lowers, &shift, err);
		if (r < 0)
			return wrap(err, r, "layer %s", id);
	}
	fd = native_mount(o, id, p, err);
	if (fd < 0)
		return fd;
	r = mount_attach(fd, p->mounts, "merged", err);
	return r < 0 ? wrap(err, r, "layer %s", id) : 0;
}

/* Read the layer itself into an empty plan. */
static int plan_layer(
	struct overlay *o, const char *id, struct overlay_plan *p, struct imbrex_error *err)
{
	int r = overlay_layer_open(o, id, &p->layer, err);

	if (r == 0)
		r = overlay_layer_read(id, &p->layer, err);
	/* A lost `link` file may be found again in l/. */
	if (r == IMBREX_ENOENT && !o->config.read_only && p->layer.fd >= 0 &&
		overlay_repair_links(o, NULL) == 0)
		r = overlay_layer_read(id, &p->layer, err);
	if (r < 0)
		return r;
	p->dir = format_text("%s/%s", o->homes[p->layer.home].path, id);
	return p->dir ? 0 : fail_nomem(err);
}

/* Have the mount program mount the plan in a tempdir. */
static int program_view(struct overlay *o, const char *id, struct overlay_plan *p,
	struct overlay_view *v, struct imbrex_error *err)
{
	int r = tempdir_new(o->homes[0].fd, "tempdirs", &v->temp, err);

	if (r < 0)
		return r;
	r = mkdir_at(tempdir_fd(v->temp), "merged", 0700, err);
	if (r < 0)
		return r;
	p->target = format_text("/proc/%d/fd/%d/merged", (int)getpid(), tempdir_fd(v->temp));
	if (!p->target)
		return fail_nomem(err);
	r = overlay_program_mount(o, id, p, err);
	if (r < 0)
		return r;
	r = open_dir_at(tempdir_fd(v->temp), "merged", err);
	if (r < 0)
		return r;
	v->fd = r;
	return 0;
}

int overlay_view_open(
	struct overlay *o, const char *id, struct overlay_view *ret, struct imbrex_error *err)
{
	AUTO_OVERLAY_VIEW v = OVERLAY_VIEW_INIT;
	AUTO_PLAN p = PLAN_INIT;
	int r;

	r = plan_layer(o, id, &p, err);
	if (r == 0)
		r = plan_words(o, &(struct driver_mount_opts){ 0 }, &p, err);
	if (r == 0)
		r = plan_lowers(o, id, true, &p, err);
	if (r < 0)
		return r;
	if (o->options.mount_program) {
		r = program_view(o, id, &p, &v, err);
	} else {
		r = native_mount(o, id, &p, err);
		v.fd = r;
	}
	if (r < 0)
		return r;
	*ret = v;
	v = (struct overlay_view)OVERLAY_VIEW_INIT;
	return 0;
}

int overlay_view_stage(struct overlay *o, const char *name, int dir, const struct str *lower,
	struct overlay_view *ret, struct imbrex_error *err)
{
	AUTO_OVERLAY_VIEW v = OVERLAY_VIEW_INIT;
	AUTO_PLAN p = PLAN_INIT;
	int r;

	p.layer.fd = fcntl(dir, F_DUPFD_CLOEXEC, 3);
	if (p.layer.fd < 0)
		return fail_errno(err, "open staged layer");
	/* By our number: a mount program is another process. */
	p.dir = format_text("/proc/%d/fd/%d", (int)getpid(), p.layer.fd);
	p.upper = p.dir ? format_text("%s/diff", p.dir) : NULL;
	p.work = p.dir ? format_text("%s/work", p.dir) : NULL;
	if (!p.upper || !p.work || str_append(&p.layer.lower, str_text(lower), lower->len) < 0)
		return fail_nomem(err);
	r = plan_words(o, &(struct driver_mount_opts){ .volatile_upper = true }, &p, err);
	p.words.attrs &= ~(uint64_t)MOUNT_ATTR_RDONLY;
	if (r == 0)
		r = plan_lowers(o, name, false, &p, err);
	if (r < 0)
		return r;
	r = o->options.mount_program ? program_view(o, name, &p, &v, err)
				     : native_mount(o, name, &p, err);
	if (r < 0)
		return r;
	if (!o->options.mount_program)
		v.fd = r;
	*ret = v;
	v = (struct overlay_view)OVERLAY_VIEW_INIT;
	return 0;
}

void overlay_view_close(struct overlay_view *v)
{
	struct imbrex_error ignored;

	v->fd = close_fd(v->fd);
	if (v->temp)
		(void)!unmount_at(tempdir_fd(v->temp), "merged", true, &ignored);
	tempdir_free(v->temp);
	v->temp = NULL;
}

/*
 * Peers bind the home onto itself, privately, before they mount a layer, and that hides whatever
 * was mounted below it before. So we do the same, first; and since the fd that we hold may lead
 * beneath a bind mount that came later, we open the home anew.
 */
static int enter_home(struct overlay *o, bool make, struct imbrex_error *err)
{
	static const struct mount_change private = { .propagation = MS_PRIVATE };
	struct overlay_home *home = &o->homes[0];
	AUTO_CLOSE int mount_fd = -EBADF;
	int fd;
	int r;

	if (o->options.skip_mount_home || o->config.read_only)
		return 0;
	if (make && is_mount_point(AT_FDCWD, home->path) == 0) {
		mount_fd = mount_clone(AT_FDCWD, home->path, true, err);
		if (mount_fd < 0)
			return mount_fd;
		r = mount_attach(mount_fd, AT_FDCWD, home->path, err);
		if (r == 0)
			r = mount_change(mount_fd, "", &private, err);
		if (r < 0)
			return r;
	}
	fd = open_dir_at(AT_FDCWD, home->path, err);
	if (fd < 0)
		return fd;
	(void)close_fd(home->fd);
	home->fd = fd;
	return 0;
}

/* The bind mount of the home goes. The fd that we hold led into it. */
int overlay_retire(struct driver *d, struct imbrex_error *err)
{
	struct overlay *o = overlay_of(d);
	struct overlay_home *home = &o->homes[0];
	int r;

	if (o->options.skip_mount_home || o->config.read_only)
		return 0;
	if (is_mount_point(AT_FDCWD, home->path) > 0) {
		r = unmount_at(AT_FDCWD, home->path, true, err);
		if (r < 0)
			return r;
	}
	return enter_home(o, /* make= */ false, err);
}

/*
 * Is the upper directory of a layer another overlay's, in whatever mount namespace? Two of them on
 * one directory destroy it, and the kernel only warns, unless it is asked for index=on. So it is,
 * for a mount that can never be made, because upper and work directory are the same: whether that
 * is what it fails for, or EBUSY, is the answer.
 * Source: fs/overlayfs/super.c, ovl_get_upper() before ovl_get_workdir(), Linux 4.13 to 6.18.
 */
bool overlay_mounted_elsewhere(struct driver *d, const char *id)
{
	static const char *const index[] = { "index=on" };
	struct overlay *o = overlay_of(d);
	AUTO_CLOSE int fd = -EBADF;
	struct imbrex_error why = { 0 };
	AUTO_FREE char *lower = NULL;
	AUTO_FREE char *upper = NULL;
	AUTO_PLAN p = PLAN_INIT;

	if (o->options.mount_program || plan_layer(o, id, &p, NULL) < 0 || p.layer.home != 0)
		return false;
	lower = format_text("%s/work", p.dir);
	upper = format_text("%s/diff", p.dir);
	if (!lower || !upper)
		return false;
	fd = overlay_mount_new(
		&(struct overlay_spec){
			.lowers = (const char *const[]){ lower },
			.n_lowers = 1,
			.upper = upper,
			.work = upper,
			.userxattr = o->in_userns,
			.options = { index, ARRAY_LEN(index) },
		},
		&why);
	return fd < 0 && why.errnum == EBUSY;
}

int overlay_mount(struct driver *d, const char *id, const struct driver_mount_opts *opts,
	char **ret_path, struct imbrex_error *err)
{
	struct overlay *o = overlay_of(d);
	AUTO_PLAN p = PLAN_INIT;
	bool read_only;
	int r;

	r = enter_home(o, /* make= */ true, err);
	if (r == 0)
		r = plan_layer(o, id, &p, err);
	if (r == 0)
		r = plan_target(o, id, &p, err);
	if (r < 0)
		return r;
	r = is_mount_point(p.mounts, "merged");
	if (r < 0)
		return fail_code(err, r, "layer %s: look at '%s'", id, p.target);
	if (r > 0) {
		*ret_path = take_ptr(p.target);
		return 0;
	}
	r = plan_words(o, opts, &p, err);
	if (r < 0)
		return r;
	if (!opts->mapped && opts->maps && opts->maps->n_uids && opts->maps->n_gids &&
		overlay_shifts(d, opts->maps))
		p.maps = opts->maps;
	read_only = opts->read_only || p.words.attrs & MOUNT_ATTR_RDONLY || p.layer.home != 0 ||
		    o->config.read_only;
	r = plan_lowers(o, id, read_only, &p, err);
	if (r == 0 && !read_only)
		r = prepare_upper(o, id, opts, &p, err);
	if (r == 0)
		r = o->options.mount_program ? overlay_program_mount(o, id, &p, err)
					     : native_attach(o, id, &p, err);
	if (r < 0)
		return r;
	*ret_path = take_ptr(p.target);
	return 0;
}

/* After an unmount: an empty directory in the place of `merged`, as containers/storage leaves it,
 * so that nothing written beneath the mount survives. */
static int renew_merged(int dir, struct imbrex_error *err)
{
	int r = mkdir_at(dir, "merged.1", 0700, err);

	/* A full layer of a peer's, whose directory passes its project on. */
	if (r == IMBREX_ENOSPC && project_stop_inheritance(dir) == 0)
		r = mkdir_at(dir, "merged.1", 0700, err);

	if (r < 0)
		return r;
	if (renameat(dir, "merged.1", dir, "merged") < 0)
		return fail_errno(err, "replace 'merged'");
	return 0;
}

int overlay_unmount(struct driver *d, const char *id, struct imbrex_error *err)
{
	struct overlay *o = overlay_of(d);
	AUTO_OVERLAY_LAYER layer = OVERLAY_LAYER_INIT;
	AUTO_FREE char *run = NULL;
	AUTO_CLOSE int dir = -EBADF;
	int r;

	r = enter_home(o, /* make= */ false, err);
	if (r == 0)
		r = overlay_layer_open(o, id, &layer, err);
	if (r < 0)
		return r;
	if (layer.home == 0 && !o->config.read_only) {
		dir = take_fd(layer.fd);
	} else {
		run = format_text("%s/overlay/%s", o->config.runroot, id);
		if (!run)
			return fail_nomem(err);
		dir = open_dir_at(AT_FDCWD, run, err);
		if (dir == IMBREX_ENOENT)
			return 0;
		if (dir < 0)
			return dir;
	}
	overlay_shift_forget(dir);
	/* Beneath a mount program nobody else tells the upper file system to write. */
	if (o->options.mount_program && layer.home == 0)
		(void)syncfs(dir);
	r = unmount_at(dir, "merged", true, err);
	if (r == IMBREX_ENOENT)
		return 0;
	if (r == 0 && !run)
		r = renew_merged(dir, err);
	if (r < 0)
		return wrap(err, r, "layer %s", id);
	if (run && (unlinkat(dir, "merged", AT_REMOVEDIR) < 0 || rmdir(run) < 0))
		return fail_errno(err, "layer %s: remove '%s'", id, run);
	return 0;
}
