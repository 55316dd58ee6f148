/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfs: <graphroot>/vfs/dir/<id> is the whole root file system of layer <id>.
 *
 *   stage_new: an empty directory 0555, or a copy of the parent's tree ─▶ entries change it in
 *   place (whiteouts remove) ─▶ publish: rename to vfs/dir/<id>
 *
 * Mounting is a path; nothing is ever mounted. Source: docs/formats/overlay-layer.md, "vfs".
 */
#include "driver/vfs.h"

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "driver/options.h"
#include "driver/where.h"
#include "driver/whole.h"
#include "os/atomic.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "os/userns.h"

struct vfs {
	struct whole whole;
	struct strv stores; /* graphroots of other stores */
	struct strv paths;  /* absolute; homes of layers: our own vfs/dir, then those of stores */
	int home;           /* owned; our own vfs/dir; -EBADF: a read-only store without one */
	int image_home;     /* owned; that of the second root, in paths too; -EBADF: none */
};

struct vfs_stage {
	struct whole_stage whole;
	struct tempdir *temp; /* borrowed */
	char name[TEMPDIR_NAME_BYTES];
};

static struct vfs *vfs_of(struct driver *d)
{
	return CONTAINER_OF(d, struct vfs, whole.base);
}

static struct vfs_stage *stage_of(struct driver_stage *s)
{
	return CONTAINER_OF(s, struct vfs_stage, whole.base);
}

static struct vfs *vfs_of_stage(struct vfs_stage *s)
{
	return vfs_of(&s->whole.w->base);
}

/* ---- opening ------------------------------------------------------------------------------- */

static const struct option_key vfs_keys[] = {
	{ "additionalimagestore", option_set_paths, offsetof(struct vfs, stores) },
	{ "ignore_chown_errors", option_set_bool, offsetof(struct vfs, whole.ignore_chown_errors) },
	{ "imagestore", option_set_paths, offsetof(struct vfs, stores) },
};
static const struct option_table vfs_table = { "vfs", false, vfs_keys, ARRAY_LEN(vfs_keys) };

static void vfs_close(struct driver *d)
{
	struct vfs *v = vfs_of(d);

	whole_done(&v->whole);
	strv_done(&v->stores);
	strv_done(&v->paths);
	(void)close_fd(v->image_home);
	(void)close_fd(v->home);
	free(v);
}

static int open_home(struct vfs *v, const char *path, int *ret_fd, struct imbrex_error *err)
{
	int r;

	r = v->whole.config.read_only ? 0 : mkdirs_at(AT_FDCWD, path, 0700, err);
	if (r < 0)
		return r;
	r = open_root_dir_at(AT_FDCWD, path, err);
	if (r == IMBREX_ENOENT && v->whole.config.read_only)
		return 0;
	if (r < 0)
		return r;
	*ret_fd = r;
	return 0;
}

static int setup(struct vfs *v, struct imbrex_error *err)
{
	size_t i;
	int r;

	r = option_table_read(&vfs_table, v->whole.config.options, v, err);
	if (r < 0)
		return r;
	r = strv_addf(&v->paths, "%s/vfs/dir", v->whole.config.graphroot);
	if (r == 0 && v->whole.config.imagestore)
		r = strv_addf(&v->paths, "%s/vfs/dir", v->whole.config.imagestore);
	for (i = 0; r == 0 && i < v->stores.n; i++)
		r = strv_addf(&v->paths, "%s/vfs/dir", v->stores.items[i]);
	if (r < 0)
		return fail_nomem(err);
	r = open_home(v, v->paths.items[0], &v->home, err);
	if (r == 0 && v->whole.config.imagestore)
		r = open_home(v, v->paths.items[1], &v->image_home, err);
	return r;
}

/* The tree of a published layer: fd, and its absolute path if wanted. */
static int open_layer(struct vfs *v, const char *id, char **ret_path, struct imbrex_error *err)
{
	size_t i;
	int r;

	r = whole_check_id(id, err);
	if (r < 0)
		return r;
	for (i = 0; i < v->paths.n; i++) {
		AUTO_CLOSE int dir = open(v->paths.items[i], O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (dir < 0 && errno == ENOENT)
			continue;
		if (dir < 0)
			return fail_errno(err, "layer %s: open '%s'", id, v->paths.items[i]);
		r = whole_open_at(dir, v->paths.items[i], id, err);
		if (r != IMBREX_ENOENT)
			break;
	}
	if (i == v->paths.n)
		return fail(err, IMBREX_ENOENT, "layer %s: no directory in '%s'", id,
			v->paths.items[0]);
	if (r >= 0 && ret_path) {
		*ret_path = format_text("%s/%s", v->paths.items[i], id);
		if (!*ret_path) {
			(void)close_fd(r);
			return fail_nomem(err);
		}
	}
	return r;
}

static int open_tree_of(struct whole *w, const char *id, struct imbrex_error *err)
{
	return open_layer(vfs_of(&w->base), id, NULL, err);
}

static int vfs_open(
	const struct driver_config *config, struct driver **ret, struct imbrex_error *err)
{
	struct vfs *v = calloc(1, sizeof(*v));
	int r;

	if (!v)
		return fail_nomem(err);
	whole_init(&v->whole, &vfs_ops, config, open_tree_of);
	v->whole.in_userns = config->rootless || !in_initial_userns();
	v->home = v->image_home = -EBADF;
	r = setup(v, err);
	if (r < 0) {
		vfs_close(&v->whole.base);
		return r;
	}
	*ret = &v->whole.base;
	return 0;
}

/* ---- layers in the making ------------------------------------------------------------------ */

static void vfs_stage_free(struct driver_stage *base)
{
	struct vfs_stage *s = stage_of(base);
	struct imbrex_error ignored;
	bool published = s->whole.published;

	whole_stage_done(&s->whole);
	if (!published && s->name[0])
		(void)!remove_tree_at(tempdir_fd(s->temp), s->name, &ignored);
	free(s);
}

static int fill_from_parent(
	struct vfs_stage *s, const struct driver_parent *parent, struct imbrex_error *err)
{
	int r;

	if (parent->stage)
		return whole_stage_copy_from(&s->whole, whole_stage_of(parent->stage)->dir, err);
	r = open_layer(vfs_of_stage(s), parent->id, NULL, err);
	if (r < 0)
		return r;
	s->whole.parent = r;
	r = whole_stage_copy_from(&s->whole, r, err);
	return r < 0 ? wrap(err, r, "layer %s", parent->id) : 0;
}

static int make_dir(struct vfs_stage *s, struct imbrex_error *err)
{
	int temp = tempdir_fd(s->temp);

	tempdir_stage_addition(s->temp, s->name);
	if (mkdirat(temp, s->name, 0700) < 0)
		return fail_errno(err, "make directory of a new layer");
	s->whole.dir = openat(temp, s->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->whole.dir < 0 || fchmod(s->whole.dir, 0555) < 0)
		return fail_errno(err, "open directory of a new layer");
	return 0;
}

static int vfs_stage_new(struct driver *d, struct tempdir *temp, const struct driver_parent *parent,
	const struct driver_layer_opts *opts, struct driver_stage **ret, struct imbrex_error *err)
{
	AUTO_STAGE struct driver_stage *base = NULL;
	struct vfs_stage *s;
	int r;

	if (opts && opts->options && opts->options->n)
		return fail(err, IMBREX_ENOTSUP, "the driver vfs has no layer option '%s'",
			opts->options->items[0]);
	s = calloc(1, sizeof(*s));
	if (!s)
		return fail_nomem(err);
	whole_stage_init(&s->whole, whole_of(d));
	base = &s->whole.base;
	s->temp = temp;
	r = make_dir(s, err);
	if (r == 0)
		r = whole_stage_take(&s->whole, opts, err);
	/* What a copy brings replaces what is set here. */
	if (r == 0)
		r = whole_prepare_root(s->whole.dir, opts, /* fresh= */ true, err);
	if (r == 0 && parent && (parent->id || parent->stage))
		r = fill_from_parent(s, parent, err);
	if (r < 0)
		return r;
	*ret = take_ptr(base);
	return 0;
}

/* A layer holds what is below it too: to copy it, begin without a parent. */
static int vfs_stage_copy(struct driver_stage *base, const char *id, struct imbrex_error *err)
{
	struct vfs_stage *s = stage_of(base);
	int r;

	assert(!s->whole.sealed && !s->whole.has_entries && s->whole.parent < 0 &&
		s->whole.source < 0);
	r = open_layer(vfs_of_stage(s), id, NULL, err);
	if (r < 0)
		return r;
	s->whole.source = r;
	r = whole_stage_copy_from(&s->whole, r, err);
	return r < 0 ? wrap(err, r, "layer %s", id) : 0;
}

/* ---- publishing ---------------------------------------------------------------------------- */

/* Which of our homes a temporary directory is beside: names move within one root only. */
static int home_of(const struct vfs *v, const struct tempdir *temp)
{
	struct stat ours;
	struct stat asked;

	if (v->image_home >= 0 && fstat(v->image_home, &ours) == 0 &&
		fstatat(tempdir_parent_fd(temp), "dir", &asked, AT_SYMLINK_NOFOLLOW) == 0 &&
		ours.st_dev == asked.st_dev && ours.st_ino == asked.st_ino)
		return v->image_home;
	return v->home;
}

static int vfs_remove(
	struct driver *d, const char *id, struct tempdir *trash, struct imbrex_error *err)
{
	struct vfs *v = vfs_of(d);
	int r = whole_check_id(id, err);

	if (r < 0)
		return r;
	whole_stop_reading(&v->whole);
	r = tempdir_stage_deletion(trash, home_of(v, trash), id, err);
	return r < 0 && r != IMBREX_ENOENT ? wrap(err, r, "layer %s", id) : 0;
}

static int vfs_stage_publish(struct driver_stage *base, const char *id, struct imbrex_error *err)
{
	struct vfs_stage *s = stage_of(base);
	struct vfs *v = vfs_of_stage(s);
	int home = home_of(v, s->temp);
	int r;

	assert(s->whole.sealed && !s->whole.published);
	r = vfs_remove(&v->whole.base, id, s->temp, err);
	if (r < 0)
		return r;
	if (renameat(tempdir_fd(s->temp), s->name, home, id) < 0)
		return fail_errno(err, "layer %s: move to where layers are", id);
	s->whole.published = true;
	return 0;
}

static int vfs_stage_replace(
	struct driver_stage *base, const char *id, struct tempdir *trash, struct imbrex_error *err)
{
	struct vfs_stage *s = stage_of(base);
	struct vfs *v = vfs_of_stage(s);
	int home = home_of(v, s->temp);
	int r;

	assert(s->whole.sealed && !s->whole.published);
	r = s->whole.source < 0 ? whole_check_id(id, err)
				: whole_check_copied(&v->whole, id, s->whole.source, err);
	if (r < 0)
		return r;
	whole_stop_reading(&v->whole);
	r = exchange_at(tempdir_fd(s->temp), s->name, home, id);
	if (r < 0)
		return fail_code(err, r, "layer %s: replace its directory", id);
	if (!v->whole.config.ordered && sync_dir(home) < 0)
		return fail_errno(err, "layer %s: sync the directory above it", id);
	/* The stage is the old content now. */
	r = tempdir_stage_deletion(trash, tempdir_fd(s->temp), s->name, err);
	if (r == 0)
		s->whole.published = true;
	return r;
}

/* ---- mounting ------------------------------------------------------------------------------ */

static int check_mount_word(const char *list, struct imbrex_error *err)
{
	static const char *const fine[] = { "ro", "rw", "" };
	size_t i;

	for (i = 0; i < ARRAY_LEN(fine); i++)
		if (str_eq(list, fine[i]))
			return 0;
	return fail(err, IMBREX_ENOTSUP, "the driver vfs has no mount option '%s'", list);
}

static int vfs_mount(struct driver *d, const char *id, const struct driver_mount_opts *opts,
	char **ret_path, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = -EBADF;
	size_t i;
	int r;

	for (i = 0; opts->options && i < opts->options->n; i++) {
		r = check_mount_word(opts->options->items[i], err);
		if (r < 0)
			return r;
	}
	fd = open_layer(vfs_of(d), id, ret_path, err);
	return fd < 0 ? fd : 0;
}

static int vfs_unmount(struct driver *d, const char *id, struct imbrex_error *err)
{
	return whole_check_id(id, err);
}

/* ---- what there is ------------------------------------------------------------------------- */

static int vfs_list(struct driver *d, struct strv *ret, struct imbrex_error *err)
{
	struct vfs *v = vfs_of(d);
	int r = 0;

	if (v->home >= 0)
		r = whole_list_at(v->home, v->paths.items[0], ret, err);
	if (r == 0 && v->image_home >= 0)
		r = whole_list_at(v->image_home, v->paths.items[1], ret, err);
	return r;
}

static int vfs_sync_homes(struct driver *d, struct imbrex_error *err)
{
	struct vfs *v = vfs_of(d);
	int r = v->whole.config.read_only ? 0 : sync_dir(v->home);

	if (r == 0 && !v->whole.config.read_only && v->image_home >= 0)
		r = sync_dir(v->image_home);
	return r < 0 ? fail_code(err, r, "sync '%s'", v->paths.items[0]) : 0;
}

static int vfs_check(struct driver *d, const char *id, const char *parent_id, driver_problem_fn fn,
	void *ctx, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = -EBADF;
	struct imbrex_error why = { 0 };

	fd = open_layer(vfs_of(d), id, NULL, &why);
	return fd >= 0 ? 0
		       : fn(ctx,
				 &(struct driver_problem){
					 .kind = DRIVER_PROBLEM_ABSENT, .text = why.message },
				 err);
}

/* A layer is its tree and nothing else. */
static int vfs_repair(
	struct driver *d, const char *id, const char *parent_id, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = open_layer(vfs_of(d), id, NULL, err);

	return fd < 0 ? fd : 0;
}

static int vfs_garbage(
	struct driver *d, bool collect, driver_problem_fn fn, void *ctx, struct imbrex_error *err)
{
	return 0;
}

static int vfs_status(struct driver *d, struct strv *ret, struct imbrex_error *err)
{
	return 0;
}

static int vfs_metadata(
	struct driver *d, const char *id, struct strv *ret, struct imbrex_error *err)
{
	return whole_check_id(id, err);
}

static int vfs_locate(
	struct driver *d, const char *path, struct driver_place *ret, struct imbrex_error *err)
{
	char dir[NAME_MAX + 1];
	char id[NAME_MAX + 1];

	if (!path_word(&path, dir, sizeof(dir)))
		return place_set(ret, "", "directory", "", err);
	if (str_eq(dir, "tempdirs"))
		return place_set(ret, "", "temporary", "", err);
	if (!str_eq(dir, "dir") || !path_word(&path, id, sizeof(id)) ||
		whole_check_id(id, NULL) < 0 || !is_dir_at(vfs_of(d)->home, id))
		return place_set(ret, "", "other", "", err);
	return place_set(ret, id, "content", *path ? path : "/", err);
}

const struct driver_ops vfs_ops = {
	.name = "vfs",
	.independent = false,
	.in_place = true,
	.open = vfs_open,
	.close = vfs_close,
	.stage_new = vfs_stage_new,
	.stage_copy = vfs_stage_copy,
	.stage_entries = whole_stage_entries,
	.stage_seal = whole_stage_seal,
	.stage_map = whole_stage_map,
	.stage_rebase = whole_stage_rebase,
	.stage_publish = vfs_stage_publish,
	.stage_replace = vfs_stage_replace,
	.stage_free = vfs_stage_free,
	.remove = vfs_remove,
	.shifts = whole_shifts,
	.mount = vfs_mount,
	.unmount = vfs_unmount,
	.open_file = whole_open_file,
	.open_tree = whole_open_tree,
	.diff = whole_diff,
	.changes = whole_changes,
	.diff_size = whole_diff_size,
	.list = vfs_list,
	.exists = whole_exists,
	.sync_homes = vfs_sync_homes,
	.check = vfs_check,
	.repair = vfs_repair,
	.garbage = vfs_garbage,
	.tree_open = whole_tree_open,
	.tree_close = whole_tree_close,
	.status = vfs_status,
	.locate = vfs_locate,
	.holds = whole_holds,
	.metadata = vfs_metadata,
};
