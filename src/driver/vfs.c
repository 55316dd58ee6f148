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
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "driver/apply.h"
#include "driver/chown.h"
#include "driver/content.h"
#include "driver/copy.h"
#include "driver/diff.h"
#include "driver/options.h"
#include "driver/where.h"
#include "os/atomic.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "os/probe.h"
#include "os/userns.h"
#include "os/xattr.h"

struct vfs {
	struct driver base;
	struct driver_config config;
	bool in_userns;
	bool ignore_chown_errors;
	struct strv stores; /* graphroots of other stores */
	struct strv paths;  /* absolute; homes of layers: our own vfs/dir, then those of stores */
	int home;           /* owned; our own vfs/dir; -EBADF: a read-only store without one */
	int image_home;     /* owned; that of the second root, in paths too; -EBADF: none */
	char *reading;      /* owned; layer of `reading_fd`; NULL: none */
	int reading_fd;     /* owned */
};

struct vfs_stage {
	struct driver_stage base;
	struct vfs *v;
	struct tempdir *temp; /* borrowed */
	char name[TEMPDIR_NAME_BYTES];
	int dir;    /* owned; the tree */
	int parent; /* owned; the published tree that was copied as what is below; -EBADF: none */
	int source; /* owned; the layer whose own content was copied; -EBADF: none */
	const struct apply_content *content; /* borrowed; NULL: none */
	struct id_maps_copy maps;            /* of the entries */
	bool has_entries;
	bool sealed;
	bool published;
};

static struct vfs *vfs_of(struct driver *d)
{
	return CONTAINER_OF(d, struct vfs, base);
}

static struct vfs_stage *stage_of(struct driver_stage *s)
{
	return CONTAINER_OF(s, struct vfs_stage, base);
}

static int check_id(const char *id, struct imbrex_error *err)
{
	size_t n = strlen(id);

	if (n == 0 || n > 128 || id[0] == '.' || strchr(id, '/'))
		return fail(err, IMBREX_EINVAL, "'%.128s' is not a layer id", id);
	return 0;
}

static const struct option_key vfs_keys[] = {
	{ "additionalimagestore", option_set_paths, offsetof(struct vfs, stores) },
	{ "ignore_chown_errors", option_set_bool, offsetof(struct vfs, ignore_chown_errors) },
	{ "imagestore", option_set_paths, offsetof(struct vfs, stores) },
};
static const struct option_table vfs_table = { "vfs", false, vfs_keys, ARRAY_LEN(vfs_keys) };

static void stop_reading(struct vfs *v)
{
	free(take_ptr(v->reading));
	v->reading_fd = close_fd(v->reading_fd);
}

static void vfs_close(struct driver *d)
{
	struct vfs *v = vfs_of(d);

	stop_reading(v);
	strv_done(&v->stores);
	strv_done(&v->paths);
	(void)close_fd(v->image_home);
	(void)close_fd(v->home);
	free(v);
}

static int open_home(struct vfs *v, const char *path, int *ret_fd, struct imbrex_error *err)
{
	int r;

	r = v->config.read_only ? 0 : mkdirs_at(AT_FDCWD, path, 0700, err);
	if (r < 0)
		return r;
	r = open_root_dir_at(AT_FDCWD, path, err);
	if (r == IMBREX_ENOENT && v->config.read_only)
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

	r = option_table_read(&vfs_table, v->config.options, v, err);
	if (r < 0)
		return r;
	r = strv_addf(&v->paths, "%s/vfs/dir", v->config.graphroot);
	if (r == 0 && v->config.imagestore)
		r = strv_addf(&v->paths, "%s/vfs/dir", v->config.imagestore);
	for (i = 0; r == 0 && i < v->stores.n; i++)
		r = strv_addf(&v->paths, "%s/vfs/dir", v->stores.items[i]);
	if (r < 0)
		return fail_nomem(err);
	r = open_home(v, v->paths.items[0], &v->home, err);
	if (r == 0 && v->config.imagestore)
		r = open_home(v, v->paths.items[1], &v->image_home, err);
	return r;
}

static int vfs_open(
	const struct driver_config *config, struct driver **ret, struct imbrex_error *err)
{
	struct vfs *v = calloc(1, sizeof(*v));
	int r;

	if (!v)
		return fail_nomem(err);
	v->base.ops = &vfs_ops;
	v->config = *config;
	v->home = v->image_home = v->reading_fd = -EBADF;
	v->in_userns = config->rootless || !in_initial_userns();
	v->ignore_chown_errors = config->single_id;
	r = setup(v, err);
	if (r < 0) {
		vfs_close(&v->base);
		return r;
	}
	*ret = &v->base;
	return 0;
}

/* The tree of a published layer: fd, and its absolute path if wanted. */
static int open_layer(struct vfs *v, const char *id, char **ret_path, struct imbrex_error *err)
{
	size_t i;
	int fd, r;

	r = check_id(id, err);
	if (r < 0)
		return r;
	for (i = 0; i < v->paths.n; i++) {
		AUTO_FREE char *path = format_text("%s/%s", v->paths.items[i], id);

		if (!path)
			return fail_nomem(err);
		fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
			return fail(
				err, IMBREX_EFORMAT, "layer %s: '%s' is not a directory", id, path);
		if (fd < 0)
			return fail_errno(err, "layer %s: open '%s'", id, path);
		if (ret_path)
			*ret_path = take_ptr(path);
		return fd;
	}
	return fail(err, IMBREX_ENOENT, "layer %s: no directory in '%s'", id, v->paths.items[0]);
}

static void vfs_stage_free(struct driver_stage *base)
{
	struct vfs_stage *s = stage_of(base);
	struct imbrex_error ignored;

	s->dir = close_fd(s->dir);
	s->parent = close_fd(s->parent);
	s->source = close_fd(s->source);
	if (!s->published && s->name[0])
		(void)!remove_tree_at(tempdir_fd(s->temp), s->name, &ignored);
	id_maps_copy_done(&s->maps);
	free(s);
}

static int fill_from_parent(
	struct vfs_stage *s, const struct driver_parent *parent, struct imbrex_error *err)
{
	const struct copy_opts opts = { .in_userns = s->v->in_userns,
		.ignore_chown_errors = s->v->ignore_chown_errors };
	int r;

	if (parent->stage)
		return copy_tree(stage_of(parent->stage)->dir, s->dir, &opts, err);
	r = open_layer(s->v, parent->id, NULL, err);
	if (r < 0)
		return r;
	s->parent = r;
	r = copy_tree(s->parent, s->dir, &opts, err);
	return r < 0 ? wrap(err, r, "layer %s", parent->id) : 0;
}

/* What was asked for that a plain directory can do. */
static int take_layer_opts(
	struct vfs_stage *s, const struct driver_layer_opts *opts, struct imbrex_error *err)
{
	struct id_pair root;
	int r = 0;

	if (!opts)
		return 0;
	if (opts->options && opts->options->n)
		return fail(err, IMBREX_ENOTSUP, "the driver vfs has no layer option '%s'",
			opts->options->items[0]);
	if (opts->label && *opts->label && selinux_is_on())
		r = setxattr_at(
			s->dir, "", "security.selinux", opts->label, strlen(opts->label) + 1);
	if (r < 0 && r != -EOPNOTSUPP)
		return fail_code(err, r, "set SELinux label of a new layer");
	if (id_maps_empty(opts->maps))
		return 0;
	if (id_maps_root(opts->maps, &root) < 0)
		return fail(err, IMBREX_EINVAL, "the identity map of a new layer has no root");
	if (fchown(s->dir, root.uid, root.gid) < 0)
		return fail_errno(err, "set owner of directory of a new layer");
	return id_maps_copy(opts->maps, &s->maps) < 0 ? fail_nomem(err) : 0;
}

static int vfs_stage_new(struct driver *d, struct tempdir *temp, const struct driver_parent *parent,
	const struct driver_layer_opts *opts, struct driver_stage **ret, struct imbrex_error *err)
{
	AUTO_STAGE struct driver_stage *base = NULL;
	struct vfs_stage *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return fail_nomem(err);
	base = &s->base;
	s->base.ops = d->ops;
	s->v = vfs_of(d);
	s->temp = temp;
	s->dir = s->parent = s->source = -EBADF;
	tempdir_stage_addition(temp, s->name);
	if (mkdirat(tempdir_fd(temp), s->name, 0700) < 0)
		return fail_errno(err, "make directory of a new layer");
	s->dir = openat(tempdir_fd(temp), s->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->dir < 0 || fchmod(s->dir, 0555) < 0)
		return fail_errno(err, "open directory of a new layer");
	s->content = opts ? opts->content : NULL;
	r = take_layer_opts(s, opts, err);
	if (r < 0)
		return r;
	if (parent && (parent->id || parent->stage))
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
	const struct copy_opts opts = { .in_userns = s->v->in_userns,
		.ignore_chown_errors = s->v->ignore_chown_errors };
	int r;

	assert(!s->sealed && !s->has_entries && s->parent < 0 && s->source < 0);
	r = open_layer(s->v, id, NULL, err);
	if (r < 0)
		return r;
	s->source = r;
	r = copy_tree(s->source, s->dir, &opts, err);
	return r < 0 ? wrap(err, r, "layer %s", id) : 0;
}

static int vfs_stage_entries(
	struct driver_stage *base, struct entry_sink **ret, struct imbrex_error *err)
{
	struct vfs_stage *s = stage_of(base);
	AUTO_CLOSE int fd = -EBADF;
	int r;

	assert(!s->sealed && !s->has_entries);
	fd = fcntl(s->dir, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return fail_errno(err, "open staged layer");
	r = apply_new(fd,
		&(struct apply_opts){
			.whiteouts = APPLY_REMOVE,
			.apply_root = true,
			.maps = &s->maps.maps,
			.content = s->content,
			.in_userns = s->v->in_userns,
			.ignore_chown_errors = s->v->ignore_chown_errors,
		},
		ret, err);
	if (r < 0)
		return r;
	(void)take_fd(fd);
	s->has_entries = true;
	return 0;
}

static int vfs_stage_seal(struct driver_stage *base, const struct driver_parent *parent, bool sync,
	struct imbrex_error *err)
{
	struct vfs_stage *s = stage_of(base);

	assert(!s->sealed);
	if (sync && syncfs(s->dir) < 0)
		return fail_errno(err, "sync a new layer");
	s->sealed = true;
	return 0;
}

/* EBUSY unless layer `id` is the directory that was copied. */
static int check_copied(struct vfs *v, const char *id, int copied, struct imbrex_error *err)
{
	AUTO_CLOSE int now = open_layer(v, id, NULL, err);
	struct stat then, there;

	if (now < 0)
		return now;
	if (fstat(copied, &then) < 0 || fstat(now, &there) < 0)
		return fail_errno(err, "layer %s: stat its directory", id);
	if (then.st_dev != there.st_dev || then.st_ino != there.st_ino)
		return fail(err, IMBREX_EBUSY, "layer %s was replaced while it was copied", id);
	return 0;
}

static int vfs_stage_map(struct driver_stage *base, const struct id_maps *from,
	const struct id_maps *to, struct imbrex_error *err)
{
	struct vfs_stage *s = stage_of(base);
	int r;

	assert(s->sealed && !s->published && !s->has_entries);
	r = chown_tree(s->dir, from, to, err);
	if (r < 0)
		return r;
	return syncfs(s->dir) < 0 ? fail_errno(err, "sync a new layer") : 0;
}

/* A plain directory shows its owners as they are. */
static bool vfs_shifts(struct driver *d, const struct id_maps *maps)
{
	return false;
}

/* What is taken away leaves its place first, and its files after: a parent that is still where it
 * was has been copied whole. */
static int vfs_stage_rebase(
	struct driver_stage *base, const struct driver_parent *parent, struct imbrex_error *err)
{
	struct vfs_stage *s = stage_of(base);

	assert(s->sealed && !s->published);
	if (s->parent < 0 || !parent || !parent->id)
		return 0;
	return check_copied(s->v, parent->id, s->parent, err);
}

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
	int r = check_id(id, err);

	if (r < 0)
		return r;
	stop_reading(v);
	r = tempdir_stage_deletion(trash, home_of(v, trash), id, err);
	return r < 0 && r != IMBREX_ENOENT ? wrap(err, r, "layer %s", id) : 0;
}

static int vfs_stage_publish(struct driver_stage *base, const char *id, struct imbrex_error *err)
{
	struct vfs_stage *s = stage_of(base);
	int home = home_of(s->v, s->temp);
	int r;

	assert(s->sealed && !s->published);
	r = vfs_remove(&s->v->base, id, s->temp, err);
	if (r < 0)
		return r;
	if (renameat(tempdir_fd(s->temp), s->name, home, id) < 0)
		return fail_errno(err, "layer %s: move to where layers are", id);
	s->published = true;
	return 0;
}

static int vfs_stage_replace(
	struct driver_stage *base, const char *id, struct tempdir *trash, struct imbrex_error *err)
{
	struct vfs_stage *s = stage_of(base);
	int home = home_of(s->v, s->temp);
	int r;

	assert(s->sealed && !s->published);
	r = s->source < 0 ? check_id(id, err) : check_copied(s->v, id, s->source, err);
	if (r < 0)
		return r;
	stop_reading(s->v);
	r = exchange_at(tempdir_fd(s->temp), s->name, home, id);
	if (r < 0)
		return fail_code(err, r, "layer %s: replace its directory", id);
	if (!s->v->config.ordered && sync_dir(home) < 0)
		return fail_errno(err, "layer %s: sync the directory above it", id);
	/* The stage is the old content now. */
	r = tempdir_stage_deletion(trash, tempdir_fd(s->temp), s->name, err);
	if (r == 0)
		s->published = true;
	return r;
}

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
	return check_id(id, err);
}

static int vfs_open_file(struct driver *d, const char *id, const char *name, size_t name_len,
	int *ret_fd, struct imbrex_error *err)
{
	struct vfs *v = vfs_of(d);
	int fd;

	if (!v->reading || !str_eq(v->reading, id)) {
		stop_reading(v);
		fd = open_layer(v, id, NULL, err);
		if (fd < 0)
			return fd;
		v->reading_fd = fd;
		v->reading = strdup(id);
		if (!v->reading)
			return fail_nomem(err);
	}
	fd = content_open(v->reading_fd, name, name_len);
	if (fd == -EMEDIUMTYPE)
		return fail(err, IMBREX_EFORMAT, "layer %s: '%.*s' is not a regular file", id,
			(int)MIN(name_len, 200), name);
	if (fd < 0)
		return fail_code(
			err, fd, "layer %s: open '%.*s'", id, (int)MIN(name_len, 200), name);
	*ret_fd = fd;
	return 0;
}

static int vfs_open_tree(struct driver *d, const char *id, int *ret_fd, struct imbrex_error *err)
{
	int fd = open_layer(vfs_of(d), id, NULL, err);

	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

/* Both trees; `old` stays closed if there is no other. */
static int open_pair(struct driver *d, const char *id, const char *other, struct tree_pair *ret,
	struct imbrex_error *err)
{
	int fd = open_layer(vfs_of(d), id, NULL, err);

	if (fd < 0)
		return fd;
	ret->new = fd;
	if (!other)
		return 0;
	fd = open_layer(vfs_of(d), other, NULL, err);
	if (fd < 0)
		return fd;
	ret->old = fd;
	return 0;
}

static void close_pair(struct tree_pair *p)
{
	(void)close_fd(p->new);
	(void)close_fd(p->old);
}
#define AUTO_PAIR __attribute__((cleanup(close_pair))) struct tree_pair

static int vfs_diff(struct driver *d, const char *id, const struct id_maps *maps, const char *other,
	const struct id_maps *other_maps, struct entry_sink *to, struct imbrex_error *err)
{
	AUTO_PAIR p = { .new = -EBADF, .old = -EBADF, .maps = maps, .old_maps = other_maps };
	int r = open_pair(d, id, other, &p, err);

	if (r < 0)
		return r;
	r = diff_trees(&p, to, err);
	return r < 0 ? wrap(err, r, "layer %s", id) : 0;
}

static int vfs_changes(struct driver *d, const char *id, const struct id_maps *maps,
	const char *other, const struct id_maps *other_maps, driver_change_fn fn, void *ctx,
	struct imbrex_error *err)
{
	AUTO_PAIR p = { .new = -EBADF, .old = -EBADF, .maps = maps, .old_maps = other_maps };
	int r = open_pair(d, id, other, &p, err);

	if (r < 0)
		return r;
	r = changes_trees(&p, fn, ctx, err);
	return r < 0 ? wrap(err, r, "layer %s", id) : 0;
}

static int vfs_diff_size(
	struct driver *d, const char *id, const char *other, int64_t *ret, struct imbrex_error *err)
{
	AUTO_PAIR p = { .new = -EBADF, .old = -EBADF };
	int r = open_pair(d, id, other, &p, err);

	if (r < 0)
		return r;
	r = size_of_difference(&p, ret, err);
	return r < 0 ? wrap(err, r, "layer %s", id) : 0;
}

static int list_home(int home, const char *path, struct strv *ret, struct imbrex_error *err)
{
	int fd = openat(home, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	int r = 0;

	if (!dir) {
		(void)close_fd(fd);
		return fail_errno(err, "read '%s'", path);
	}
	while (r == 0 && (e = readdir(dir)) != NULL)
		if (e->d_name[0] != '.' && is_dir_at(home, e->d_name))
			r = strv_add(ret, e->d_name);
	(void)closedir(dir);
	return r < 0 ? fail_nomem(err) : 0;
}

static int vfs_list(struct driver *d, struct strv *ret, struct imbrex_error *err)
{
	struct vfs *v = vfs_of(d);
	int r = 0;

	if (v->home >= 0)
		r = list_home(v->home, v->paths.items[0], ret, err);
	if (r == 0 && v->image_home >= 0)
		r = list_home(v->image_home, v->paths.items[1], ret, err);
	return r;
}

static bool vfs_exists(struct driver *d, const char *id)
{
	AUTO_CLOSE int fd = -EBADF;
	struct imbrex_error ignored;

	fd = open_layer(vfs_of(d), id, NULL, &ignored);
	return fd >= 0;
}

static int vfs_sync_homes(struct driver *d, struct imbrex_error *err)
{
	struct vfs *v = vfs_of(d);
	int r = v->config.read_only ? 0 : sync_dir(v->home);

	if (r == 0 && !v->config.read_only && v->image_home >= 0)
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

static int vfs_tree_open(
	struct driver *d, const char *id, struct driver_tree *ret, struct imbrex_error *err)
{
	struct vfs *v = vfs_of(d);
	int fd = open_layer(v, id, NULL, err);

	if (fd < 0)
		return fd;
	*ret = (struct driver_tree){
		.fd = fd,
		.whole = true,
		.whiteouts = APPLY_REMOVE,
		.any_owner = v->ignore_chown_errors,
		.no_devices = v->in_userns,
	};
	return 0;
}

static void vfs_tree_close(struct driver *d, struct driver_tree *t)
{
	t->fd = close_fd(t->fd);
}

static int vfs_status(struct driver *d, struct strv *ret, struct imbrex_error *err)
{
	return 0;
}

static int vfs_metadata(
	struct driver *d, const char *id, struct strv *ret, struct imbrex_error *err)
{
	return check_id(id, err);
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
	if (!str_eq(dir, "dir") || !path_word(&path, id, sizeof(id)) || check_id(id, NULL) < 0 ||
		!is_dir_at(vfs_of(d)->home, id))
		return place_set(ret, "", "other", "", err);
	return place_set(ret, id, "content", *path ? path : "/", err);
}

/* Copies are equal in all but the inode: what differs from below is the layer's own. */
static int vfs_holds(struct driver *d, const char *id, const char *below, const char *inside,
	struct imbrex_error *err)
{
	AUTO_CLOSE int upper = open_layer(vfs_of(d), id, NULL, err);
	AUTO_CLOSE int lower = -EBADF;
	struct stat a, b;
	int r;

	if (upper < 0)
		return upper;
	r = tree_holds(upper, inside, err);
	if (r <= 0 || !below)
		return r;
	lower = open_layer(vfs_of(d), below, NULL, err);
	if (lower < 0)
		return lower;
	r = tree_holds(lower, inside, err);
	if (r <= 0)
		return r < 0 ? r : 1;
	inside += strspn(inside, "/");
	if (!*inside)
		inside = ".";
	if (fstatat(upper, inside, &a, AT_SYMLINK_NOFOLLOW) < 0 ||
		fstatat(lower, inside, &b, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno(err, "layer %s: look at '%s'", id, inside);
	return a.st_mode != b.st_mode || a.st_uid != b.st_uid || a.st_gid != b.st_gid ||
	       a.st_mtim.tv_sec != b.st_mtim.tv_sec || a.st_mtim.tv_nsec != b.st_mtim.tv_nsec ||
	       (!S_ISDIR(a.st_mode) && a.st_size != b.st_size);
}

const struct driver_ops vfs_ops = {
	.name = "vfs",
	.independent = false,
	.in_place = true,
	.open = vfs_open,
	.close = vfs_close,
	.stage_new = vfs_stage_new,
	.stage_copy = vfs_stage_copy,
	.stage_entries = vfs_stage_entries,
	.stage_seal = vfs_stage_seal,
	.stage_map = vfs_stage_map,
	.stage_rebase = vfs_stage_rebase,
	.stage_publish = vfs_stage_publish,
	.stage_replace = vfs_stage_replace,
	.stage_free = vfs_stage_free,
	.remove = vfs_remove,
	.shifts = vfs_shifts,
	.mount = vfs_mount,
	.unmount = vfs_unmount,
	.open_file = vfs_open_file,
	.open_tree = vfs_open_tree,
	.diff = vfs_diff,
	.changes = vfs_changes,
	.diff_size = vfs_diff_size,
	.list = vfs_list,
	.exists = vfs_exists,
	.sync_homes = vfs_sync_homes,
	.check = vfs_check,
	.repair = vfs_repair,
	.garbage = vfs_garbage,
	.tree_open = vfs_tree_open,
	.tree_close = vfs_tree_close,
	.status = vfs_status,
	.locate = vfs_locate,
	.holds = vfs_holds,
	.metadata = vfs_metadata,
};
